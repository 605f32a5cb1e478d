"""Call ``polysharp cancel-orphans``: for workflows that still name this file; it goes with release 0.2."""

import sys

from polysharp.cli.cancel_orphans import run

run(sys.argv[1:])
