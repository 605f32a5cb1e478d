"""``python -m polysharp``: the command ``polysharp`` where the library is only on PYTHONPATH."""

from polysharp.cli import main

main()
