"""Run `python -m polysharp ...` and `python -m snakemake ...` without paying for their imports.

A server imports the libraries once and forks for every command. The command is a real process, with its own
arguments, environment, working directory, streams, signals and exit status; it only skips the seconds in
which torch and transformers are imported. Tests call :func:`python` in place of ``sys.executable``. The
program that it returns asks the server, and starts Python itself for anything that the server cannot do.

The server starts with pytest and imports at the first request. With ``POLYSHARP_TESTS_COLD=1`` there is no
server, and every command is a new interpreter; ``make coverage`` and ``make test-long`` run like this.
Tests of the process itself (kill -9, process groups, command line, imports, start-up time) call
``sys.executable``: in /proc a command of the server has the server's command line.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import json
import logging
import os
import runpy
import selectors
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import traceback
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).parent.parent
PYTHON = "POLYSHARP_TESTS_PYTHON"  # the program that asks the server; not set without a server
COLD = "POLYSHARP_TESTS_COLD"
CPU = "POLYSHARP_TESTS_CPU"  # file to which the server appends the CPU seconds of every command
# Libraries read these variables at import: a command that sets one of them needs its own interpreter.
AT_IMPORT = ("HF_", "HUGGINGFACE_", "TRANSFORMERS_", "PYTHONHASHSEED", "COVERAGE", "LD_")
ARCHITECTURES = ("bert", "camembert", "roberta", "xlm_roberta")
LIBRARIES = [
    *("accelerate", "jinja2", "matplotlib.pyplot", "polars", "pyarrow.parquet", "pydantic", "rapidfuzz"),
    *("rensa", "scipy.special", "scipy.stats", "sklearn.feature_extraction.text", "sklearn.linear_model"),
    *("sklearn.pipeline", "snakemake.api", "snakemake.cli", "snakemake.report.html_reporter"),
    *("snakemake_executor_plugin_slurm", "torch", "transformers.models.auto.modeling_auto"),
    *(f"transformers.models.{name}.modeling_{name}" for name in ARCHITECTURES),
    *(f"transformers.models.{name}.tokenization_{name}" for name in ARCHITECTURES),
]
# In place of Python. Starts in 0.03 s, as it imports no more than this.
CLIENT = """
import json, os, signal, socket, sys
def cold():
    os.execv(REAL, [REAL, *sys.argv[1:]])
given = sys.argv[1:]
flags = []
while given and given[0] in ("-P", "-u"):
    flags.append(given.pop(0))
if given[:1] not in (["-m"], ["-c"]) or "SLURM_JOB_ID" in os.environ:  # Slurm has to own what a job runs
    cold()
connection = socket.socket(socket.AF_UNIX)
mask = os.umask(0)
os.umask(mask)
request = dict(argv=given, safe_path="-P" in flags, cwd=os.getcwd(), environment=dict(os.environ), umask=mask)
try:
    connection.connect(SOCKET)
    text = json.dumps(request).encode("utf-8", "surrogateescape")
    socket.send_fds(connection, [len(text).to_bytes(8, "big")], [0, 1, 2])
    connection.sendall(text)
    answers = connection.makefile("r")
    process = int(answers.readline() or 0)
except OSError:
    process = 0
if not process:
    cold()
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
    signal.signal(number, lambda number, frame: os.kill(process, number))
status = int(answers.readline() or 1)
if status < 0:
    signal.signal(-status, signal.SIG_DFL) if status != -signal.SIGKILL else None
    os.kill(os.getpid(), -status)
sys.exit(status)
"""


def python() -> str:
    """Return the program to call in place of Python: the server's client, or, without one, Python."""
    return os.environ.get(PYTHON, sys.executable)


class Server:
    """Starts the server, and stops it."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="polysharp-tests-"))
        socket_file, program = self._folder / "socket", self._folder / "bin/python"
        program.parent.mkdir()
        client = self._folder / "client.py"
        client.write_text(f"REAL = {sys.executable!r}\nSOCKET = {str(socket_file)!r}\n{CLIENT}")
        program.write_text(f"#!/bin/sh\nexec '{sys.executable}' -IS '{client}' \"$@\"\n")
        program.chmod(0o755)
        environment = os.environ | {"PYTHONPATH": f"{ROOT / 'workflow'}{os.pathsep}{ROOT}"}
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(socket_file))
            listening.listen(64)
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.warm", str(listening.fileno()), str(program)],
                cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                pass_fds=[listening.fileno()], start_new_session=True,
            )  # fmt: skip
        os.environ[PYTHON] = str(program)

    def stop(self) -> None:
        del os.environ[PYTHON]
        assert self._process.stdin
        self._process.stdin.close()  # ends the server, also when pytest is killed
        self._process.wait()
        shutil.rmtree(self._folder)


# --- In the server ------------------------------------------------------------------------------------


def serve(socket_number: int, program: str) -> None:
    """Answer requests until the standard input is closed."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"):
        os.environ[name] = "1"  # a fork has no threads
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    listening = socket.socket(fileno=socket_number)
    selector = selectors.DefaultSelector()
    selector.register(0, selectors.EVENT_READ, "end")
    selector.register(listening, selectors.EVENT_READ, "request")
    running: dict[int, tuple[socket.socket, int, str | None]] = {}  # client, pidfd, CPU file
    loaded = False
    while True:
        for key, _ in selector.select():
            if key.data == "end":
                for process in running:
                    os.kill(process, signal.SIGKILL)
                return
            if key.data == "request":
                if not loaded:
                    _load()
                    loaded = True
                connection, _ = listening.accept()
                request, streams = _read(connection)
                if request is None or not _same_imports(request["environment"]):
                    connection.close()
                else:
                    process = os.fork()
                    if process == 0:
                        _become(request, streams, program, connection)
                    with suppress(OSError):  # the client was killed
                        connection.sendall(b"%d\n" % process)
                    pidfd = os.pidfd_open(process)
                    running[process] = connection, pidfd, request["environment"].get(CPU)
                    selector.register(pidfd, selectors.EVENT_READ, process)
                    selector.register(connection, selectors.EVENT_READ, -process)
                for stream in streams:
                    os.close(stream)
            elif key.data < 0:  # the client was killed
                if -key.data in running:
                    os.kill(-key.data, signal.SIGKILL)
                selector.unregister(key.fileobj)
            elif key.data in running:
                _end(key.data, *running.pop(key.data), selector)


def _load() -> None:
    """Import what commands import."""
    gc.disable()
    library = ROOT / "workflow"
    files = sorted((library / "polysharp").rglob("*.py"))
    names = [".".join(path.relative_to(library).with_suffix("").parts) for path in files]
    for name in LIBRARIES + [name for name in names if "__" not in name]:
        importlib.import_module(name)
    gc.freeze()
    gc.enable()


def _read(connection: socket.socket) -> tuple[dict | None, list[int]]:
    head, streams, _, _ = socket.recv_fds(connection, 8, 3)
    if len(head) < 8 or len(streams) < 3:
        return None, streams
    size, text = int.from_bytes(head, "big"), b""
    while len(text) < size:
        part = connection.recv(size - len(text))
        if not part:
            return None, streams
        text += part
    return json.loads(text), streams


def _same_imports(environment: dict[str, str]) -> bool:
    """Whether a new interpreter with this environment would import what the server has imported."""

    def relevant(variables: dict[str, str]) -> dict[str, str]:
        found = {name: value for name, value in variables.items() if name.startswith(AT_IMPORT)}
        found.pop("HF_HUB_OFFLINE", None)  # set in _become
        return found

    library = environment.get("PYTHONPATH", str(ROOT / "workflow")).split(os.pathsep)[0]
    return library == str(ROOT / "workflow") and relevant(environment) == relevant(dict(os.environ))


def _enter_namespaces_of(client: socket.socket) -> None:
    """Enter the namespaces of the client: a cluster of the tests has its own network and mounts."""
    process, _, _ = struct.unpack("3i", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    for kind in ("net", "mnt"):
        theirs = Path(f"/proc/{process}/ns/{kind}")
        if theirs.readlink() != Path(f"/proc/self/ns/{kind}").readlink():
            with theirs.open() as namespace:
                if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), 0):
                    raise OSError(ctypes.get_errno(), f"setns {kind}")


def _become(request: dict, streams: list[int], program: str, client: socket.socket) -> None:
    """Run the command in a child of the server, and exit."""
    from huggingface_hub import constants as hub

    status = 1
    try:
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        _enter_namespaces_of(client)
        os.closerange(3, 1024)
        os.chdir(request["cwd"])
        os.umask(request["umask"])
        os.environ.clear()
        os.environ.update(request["environment"])
        hub.HF_HUB_OFFLINE = os.environ.get("HF_HUB_OFFLINE") == "1"
        sys.executable = program  # so that Snakemake's jobs ask the server, too
        sys.path[:] = [path for path in sys.path if path not in (str(ROOT), "")]
        option, what, *arguments = request["argv"]
        if not request["safe_path"]:
            sys.path.insert(0, request["cwd"])
        sys.argv = [option, *arguments]
        atexit._clear()
        if option == "-m":
            runpy.run_module(what, run_name="__main__", alter_sys=True)
        else:
            exec(compile(what, "<string>", "exec"), {"__name__": "__main__"})
        status = 0
    except SystemExit as end:
        if isinstance(end.code, int) or end.code is None:
            status = end.code or 0
        else:
            print(end.code, file=sys.stderr)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        traceback.print_exc()
    finally:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except OSError:
                status = status or 1
        os._exit(status)


def _end(
    process: int, connection: socket.socket, pidfd: int, cpu: str | None, selector: selectors.BaseSelector
) -> None:
    """Send the exit status of a command that has ended, and note its CPU seconds."""
    _, status, used = os.wait4(process, 0)
    selector.unregister(pidfd)
    os.close(pidfd)
    if cpu:
        with Path(cpu).open("a") as file:
            file.write(f"{used.ru_utime + used.ru_stime}\n")
    with suppress(KeyError):
        selector.unregister(connection)
    with suppress(OSError):  # the client was killed
        connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
    connection.close()


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.argv[2])
