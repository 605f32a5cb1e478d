"""Commands that the server of tests.warm runs end as those of a new interpreter."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import warm

pytestmark = pytest.mark.skipif(warm.PYTHON not in os.environ, reason="there is no server")


def run(python: str, code: str, cwd: Path | None = None) -> tuple[int, str]:
    command = [python, "-c", code, "argument"]
    done = subprocess.run(command, input="in", capture_output=True, text=True, cwd=cwd, check=False)
    return done.returncode, done.stdout


def test_the_server_has_imported_what_commands_import() -> None:
    code = "import sys; print('torch' in sys.modules, 'polysharp.cli.train' in sys.modules)"
    # Without the server commands start all the same, but slowly; what ended it is in the output of pytest.
    assert run(warm.python(), code) == (0, "True True\n")


@pytest.mark.parametrize(
    "code",
    [
        "import os, sys; print(os.getcwd(), sys.argv[1:], sys.stdin.read(), os.environ.get('LC_ALL'))",
        "raise SystemExit(3)",
        "raise SystemExit('a message')",
        "1 / 0",
        "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
        "import atexit; atexit.register(print, 'at the end')",
    ],
)
def test_a_command_ends_as_in_a_new_interpreter(code: str, tmp_path: Path) -> None:
    assert run(warm.python(), code, tmp_path) == run(sys.executable, code, tmp_path)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_to_the_client_ends_the_command(number: signal.Signals) -> None:
    code = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    with subprocess.Popen([warm.python(), "-c", code], stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout
        command = int(client.stdout.readline())
        client.send_signal(number)
        assert client.stdout.read() == ""  # closed when the command has ended
    assert client.returncode == -number and command != client.pid
