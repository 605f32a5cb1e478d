"""A real Slurm cluster on loopback: slurmctld, slurmdbd with MariaDB, and ten slurmd on one machine.

Nodes g1 and g2 have pretended GPUs (links to /dev/null, which Slurm counts and binds), s1 to s6 have one
each, c1 and c2 have none. Everything lives in one folder, in a network namespace that has only loopback, so
that no job finds the internet, and in a mount namespace in which this folder is /etc/slurm. Nothing else of
the machine is touched. Needs root.

Several processes can share a cluster: see :func:`running`.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from string import Template

DAEMONS = ("munged", "slurmctld", "slurmd")
ACCOUNTING_DAEMONS = ("slurmdbd", "mariadbd")
PACKAGES = "slurmctld slurmd slurm-client munge slurmdbd mariadb-server iproute2"
GPU_NODES, CPU_NODES = ("g1", "g2"), ("c1", "c2")
# One GPU each, so one job: such a node can be taken from its job, or lost, without harm to another's.
SPARE_NODES = ("s1", "s2", "s3", "s4", "s5", "s6")
NODES = (*GPU_NODES, *CPU_NODES, *SPARE_NODES)
GPUS, CPUS, MEMORY_MB = 4, 8, 128000  # of a node; more than the machine has, which Slurm is told to believe
PORTS = {"slurmctld": 16817, "slurmdbd": 16819, "mariadbd": 13306, "slurmd": 17000}
ACCOUNTING = [
    "AccountingStorageType=accounting_storage/slurmdbd",
    "AccountingStorageHost=127.0.0.1",
    f"AccountingStoragePort={PORTS['slurmdbd']}",
    "AccountingStorageTRES=gres/gpu",
    "AccountingStorageEnforce=limits",
]
NO_ACCOUNTING = ["AccountingStorageType=accounting_storage/none"]
CONFIGURATION = Path(__file__).parent / "configuration"
ROOT = Path(__file__).parents[2]
LIMITED = "limited"  # an account in which a user may have one job in the queue


def missing() -> str | None:
    """Return why this machine cannot run a cluster, or None where it can."""
    if os.geteuid() != 0:
        return "a Slurm cluster of our own needs root"
    absent = [name for name in (*DAEMONS, *ACCOUNTING_DAEMONS, "ip") if shutil.which(name) is None]
    if absent:
        return f"{', '.join(absent)}: not installed; on Debian: apt-get install {PACKAGES}"
    if subprocess.run(["unshare", "--net", "--mount", "true"], capture_output=True, check=False).returncode:
        return "this machine gives no network and mount namespaces"
    return None


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait for a condition.

    Raises
    ------
    TimeoutError
        When it does not come true in time.
    """
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not after {seconds} s")
        time.sleep(0.1)


def lives(process: int) -> bool:
    """Return whether a process is there and has not ended."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


@contextmanager
def running(folder: Path, *, accounting: bool = True, options: str = "") -> Iterator[Cluster]:
    """Give the cluster of a folder, which all processes that ask for it share.

    A process of its own starts the cluster for the first of them. It stops it when the last of them is done
    or dead: each holds a lock, which the kernel releases however the process ends.

    Raises
    ------
    RuntimeError
        When the cluster does not start.
    """
    folder.mkdir(parents=True, exist_ok=True)
    cluster = Cluster(folder / "cluster", accounting=accounting, options=options)
    keeper = None
    with (folder / "starting").open("w") as starting, (folder / "users").open("w") as users:
        fcntl.flock(starting, fcntl.LOCK_EX)
        fcntl.flock(users, fcntl.LOCK_SH)  # waits for the end of an earlier cluster that is being stopped
        if not (folder / "runs").exists():
            shutil.rmtree(cluster.folder, ignore_errors=True)
            command = [sys.executable, "-m", "tests.slurm.cluster", str(folder), f"--options={options}"]
            with (folder / "keeper.log").open("w") as log:
                keeper = subprocess.Popen(
                    [*command, *([] if accounting else ["--no-accounting"])],
                    cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                )  # fmt: skip
            while not (folder / "runs").exists():
                if keeper.poll() is not None:
                    raise RuntimeError(f"no cluster: {(folder / 'keeper.log').read_text()}")
                time.sleep(0.1)
        fcntl.flock(starting, fcntl.LOCK_UN)
        yield cluster
    if keeper:
        keeper.wait()


def keep(folder: Path, *, accounting: bool, options: str) -> None:
    """Start the cluster of a folder, wait until no process uses it any more, and stop it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    cluster = Cluster(folder / "cluster", accounting=accounting, options=options)
    with (folder / "users").open() as users:
        try:
            cluster.start()
            (folder / "runs").touch()
            fcntl.flock(users, fcntl.LOCK_EX)
        finally:
            (folder / "runs").unlink(missing_ok=True)
            cluster.stop()


class Cluster:
    """The daemons of one cluster, started and stopped, killed and brought back.

    Which process is which daemon is in files, so that every process that shares the cluster can kill one.

    Parameters
    ----------
    folder
        Where configuration, state, database and logs go. Sockets lie there: at most 80 characters.
    accounting
        Whether there is a slurmdbd, so that sacct works.
    options
        Further lines of slurm.conf.
    """

    def __init__(self, folder: Path, *, accounting: bool = True, options: str = "") -> None:
        self.folder, self.accounting, self.options = folder, accounting, options

    def inside(self, *command: object, cwd: Path | None = None) -> list[str]:
        """Return the command line that runs a command where this cluster is, in `cwd`."""
        namespaces = ["--net", "--mount", "--target", self._process("namespaces")]
        return [*map(str, ["nsenter", *namespaces, f"--wd={cwd or Path.cwd()}", "--", *command])]

    def run(
        self, *command: object, check: bool = True, cwd: Path | None = None, timeout: float | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command where this cluster is, to its end."""
        line = self.inside(*command, cwd=cwd)
        done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=timeout)
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done

    def start(self) -> None:
        """Start everything, and wait until all nodes are idle."""
        spools = [f"spool/{node}" for node in NODES]
        for name in ("log", "state", "devices", "mysql", "temporary", "processes", *spools):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(GPUS):
            (self.folder / f"devices/gpu{number}").symlink_to("/dev/null")
        self._write_configuration()
        self._enter_namespaces()
        self._start_munge()
        if self.accounting:
            self._start_accounting()
        self.start_controller()
        for node in NODES:
            self.start_node(node)
        wait_until(lambda: set(self.states().values()) == {"idle"}, 60, "idle nodes")

    def stop(self) -> None:
        """Kill everything, jobs and what outlived its node included; with it the namespaces end."""
        with suppress(FileNotFoundError):  # not even they were made
            space = Path(f"/proc/{self._process('namespaces')}/ns/net").stat().st_ino
            while inside := processes_in(space):
                for process in inside:
                    with suppress(ProcessLookupError):
                        os.kill(process, signal.SIGKILL)
                time.sleep(0.1)

    def states(self) -> dict[str, str]:
        """Return the state of every node, as sinfo gives it."""
        lines = self.run("sinfo", "-h", "-N", "-o", "%N %t", check=False).stdout.splitlines()
        return dict(line.split() for line in lines)

    def kill(self, daemon: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Kill a daemon: a node's slurmd by the node's name. Its jobs' processes stay."""
        process = self._process(daemon)
        with suppress(ProcessLookupError):
            os.kill(process, number)
        wait_until(lambda: not lives(process), 60, f"end of {daemon}")

    def start_controller(self) -> None:
        """Start slurmctld, again after it was killed."""
        self._start("slurmctld", "slurmctld", "-D")
        wait_until(lambda: self.run("scontrol", "ping", check=False).returncode == 0, 30, "slurmctld")

    def start_node(self, node: str) -> None:
        """Start the slurmd of a node, again after it was killed."""
        self._start(node, "slurmd", "-D", "-N", node)

    def lose(self, node: str) -> None:
        """Lose a node, as Slurm sees it; the processes of its jobs live on."""
        self.kill(node)
        self.run("scontrol", "update", f"nodename={node}", "state=down", "reason=lost")

    def bring_back(self, node: str) -> None:
        """Have a lost node again."""
        self.start_node(node)
        self.run("scontrol", "update", f"nodename={node}", "state=resume")
        wait_until(lambda: self.states().get(node) == "idle", 60, f"idle {node}")

    def start_slurmdbd(self) -> None:
        """Start slurmdbd, again after it was killed."""
        self._start("slurmdbd", "slurmdbd", "-D")
        wait_until(
            lambda: self.run("sacctmgr", "-n", "list", "cluster", check=False).returncode == 0,
            30,
            "slurmdbd",
        )

    def _start(self, name: str, *command: object) -> None:
        self._note(name, self.inside(*command))

    def _note(self, name: str, command: list[str]) -> None:
        """Start a daemon, and note its process."""
        with (self.folder / f"log/{name}.out").open("ab") as log:
            process = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
            )
        (self.folder / "processes" / name).write_text(str(process.pid))

    def _process(self, name: str) -> int:
        return int((self.folder / "processes" / name).read_text())

    def _write_configuration(self) -> None:
        first = PORTS["slurmd"] + 1
        values = {
            "folder": self.folder,
            "host": socket.gethostname().split(".")[0],
            "gpu_nodes": ",".join(GPU_NODES),
            "cpu_nodes": ",".join(CPU_NODES),
            "spare_nodes": ",".join(SPARE_NODES),
            "gpu_node_ports": f"{first}-{first + len(GPU_NODES) - 1}",
            "cpu_node_ports": f"{first + len(GPU_NODES)}-{first + len(GPU_NODES) + len(CPU_NODES) - 1}",
            "spare_node_ports": f"{first + len(GPU_NODES) + len(CPU_NODES)}-{first + len(NODES) - 1}",
            "gpus": GPUS,
            "last_gpu": GPUS - 1,
            "cpus": CPUS,
            "memory": MEMORY_MB,
            "accounting": "\n".join(ACCOUNTING if self.accounting else NO_ACCOUNTING),
            "options": self.options,
            **{f"{name}_port": port for name, port in PORTS.items()},
        }
        for template in CONFIGURATION.glob("*.conf"):
            file = self.folder / template.name
            file.write_text(Template(template.read_text()).substitute(values))
            file.chmod(0o600)

    def _enter_namespaces(self) -> None:
        """Hold the namespaces open, and give them what they need."""
        self._note("namespaces", ["unshare", "--net", "--mount", "sleep", "infinity"])
        process = Path(f"/proc/{self._process('namespaces')}")
        # Not before unshare has become sleep are the namespaces complete, their mounts our own.
        wait_until(lambda: (process / "comm").read_text() == "sleep\n", 10, "namespaces")
        self.run("mount", "--bind", self.folder, "/etc/slurm")
        self.run("ip", "link", "set", "lo", "up")
        # slurmdbd asks for the kinds of address that the machine has, where 127.0.0.1 does not count.
        self.run("ip", "address", "add", "192.0.2.1/32", "dev", "lo")

    def _start_munge(self) -> None:
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        files = {
            "key-file": key,
            "log-file": "log/munged.log",
            "pid-file": "munged.pid",
            "seed-file": "munge.seed",
            "socket": "munge.socket",
        }
        options = [f"--{name}={self.folder / file}" for name, file in files.items()]
        self._start("munged", "munged", "--foreground", "--force", *options)
        wait_until((self.folder / "munge.socket").exists, 10, "munged")

    def _start_accounting(self) -> None:
        database = self.folder / "mysql/db.sock"
        # A temporary folder of its own: a server that starts removes what others have in a common one.
        place = [f"--datadir={self.folder}/mysql", f"--tmpdir={self.folder}/temporary"]
        install = ["--user=root", *place, "--auth-root-authentication-method=normal", "--skip-test-db"]
        self.run("mariadb-install-db", "--no-defaults", *install)
        self._start(
            "mariadbd", "mariadbd", "--no-defaults", "--user=root", *place, f"--socket={database}",
            "--bind-address=127.0.0.1", f"--port={PORTS['mariadbd']}", "--innodb-buffer-pool-size=64M",
            "--innodb-lock-wait-timeout=900", "--innodb-flush-log-at-trx-commit=0", "--skip-name-resolve",
        )  # fmt: skip
        client = ["mariadb", "--no-defaults", "-uroot", f"--socket={database}"]
        wait_until(lambda: self.run(*client, "-e", "SELECT 1", check=False).returncode == 0, 60, "MariaDB")
        self.run(
            *client,
            "-e",
            "CREATE DATABASE slurm; CREATE USER slurm@'127.0.0.1' IDENTIFIED BY 'slurm';"
            "GRANT ALL ON slurm.* TO slurm@'127.0.0.1'",
        )
        self.start_slurmdbd()
        for what in (
            "cluster loopback",
            f"account study,{LIMITED} cluster=loopback",
            "user root account=study",
            f"user root account={LIMITED} MaxSubmitJobs=1",
        ):
            self.run("sacctmgr", "-i", "add", *what.split())


def processes_in(space: int) -> list[int]:
    """Return the processes that are in a network namespace and have not ended."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # gone meanwhile, or not ours to look at
            if (process / "ns/net").stat().st_ino == space and lives(int(process.name)):
                found.append(int(process.name))
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=keep.__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--no-accounting", action="store_true", help="no slurmdbd, no sacct")
    parser.add_argument("--options", default="", help="further lines of slurm.conf")
    arguments = parser.parse_args()
    keep(arguments.folder, accounting=not arguments.no_accounting, options=arguments.options)
