"""What a run says on the terminal: every job that has ended, what is running, and at the end what matters.

Snakemake logs an event for every step of a run. Here events become lines of the same log, so that they appear
in order beside any progress display, and in Snakemake's log file, for jobs on a cluster, too. The commands of
jobs write to their own logs only: several processes that write at once would garble a progress display.
"""

from __future__ import annotations

import atexit
import logging
import re
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from polysharp.cluster.driver_files import read_told

EVERY = 300  # seconds between two lines about what is running
SHOWN = 4  # lines about what went wrong in one job
SAYS_LAST_LINE = {"models", "runs", "sources"}  # folders of logs whose last line is the result
SAYS_ALL = {"merge_findings.log", "merge_reports.log", "partial.log"}
NOISE = (
    "Conda environments: ignored",
    "Exiting because a job execution failed. Look above for error messages",  # ours come last
)
COMMAND_FAILED = "\nCalledProcessError in file "
STAMP = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ")


@dataclass(frozen=True)
class _Job:
    """A job that Snakemake has started or submitted."""

    log: Path
    started: float

    @property
    def name(self) -> str:
        """Return the path of its log without what all logs share: ``runs/main/german/single/sam/seed-1``."""
        return self.log.with_suffix("").as_posix().rpartition("logs/")[2]

    @property
    def lines(self) -> list[str]:
        """Return what it has logged since it started."""
        return read_log(self.log) if self.has_begun else []

    @property
    def has_begun(self) -> bool:
        """Whether it has begun to log. One that waits in a queue has not; an earlier attempt may have."""
        return self.log.is_file() and self.log.stat().st_mtime >= self.started - 1

    @property
    def says(self) -> list[str]:
        """Return the lines that are worth saying when it is done."""
        if self.log.name in SAYS_ALL:
            return self.lines
        kind = self.name.partition("/")[0]
        return [f"{self.name}: {line}" for line in self.lines[-1:]] if kind in SAYS_LAST_LINE else []


def read_log(file: Path) -> list[str]:
    """Return the lines of a command's log, without the time."""
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return [STAMP.sub("", line) for line in text.splitlines()]


class ProgressLines(logging.Filter):
    """A filter of Snakemake's logger that adds lines of our own.

    Only the shell commands of failed jobs do not pass: in their place stands why the job failed.

    Parameters
    ----------
    logger
        Snakemake's.
    hides_logs
        Whether the handlers do not learn of a job's log: one shows it whole when the job has failed.
    """

    def __init__(self, logger: logging.Logger, hides_logs: bool) -> None:
        super().__init__()
        self._logger, self._hides_logs = logger, hides_logs
        self._jobs: dict[int, _Job] = {}
        self._ended, self._total = 0, 0
        self._watch = threading.Thread(target=self._keep_watch, daemon=True)
        self._last: list[str] = []
        self._told = 0  # byte of the file of messages up to which they were shown
        self._reading = threading.Lock()
        self._exit = threading.Event()
        logger.addFilter(self)
        atexit.register(self.close)

    def filter(self, record: logging.LogRecord) -> bool:
        """Hear of an event, and return whether it is shown."""
        name = str(getattr(record, "event", ""))
        if name == "run_info":
            self._total = record.__dict__.get("stats", {}).get("total", 0)
        elif name == "job_started" and not self._watch.is_alive():
            self._watch.start()
        elif name == "job_info":
            self._begin(record)
        elif name == "job_finished":
            self._succeeded(self._jobs.pop(record.__dict__["job_id"], None))
        elif name == "job_error":
            self._failed(self._jobs.pop(record.__dict__["jobid"], None), record)
        return not (record.msg in NOISE or (name == "error" and COMMAND_FAILED in record.getMessage()))

    def say_last(self, lines: Iterable[str]) -> None:
        """Print lines when all else has been said."""
        self._last += lines

    def running(self) -> str | None:
        """Return what the oldest job that has begun logged last, and how many others are running."""
        begun = [job for job in list(self._jobs.values()) if job.has_begun]
        others = f" (and {len(begun) - 1} more jobs)" if len(begun) > 1 else ""
        return next((f"{job.name}: {lines[-1]}{others}" for job in begun if (lines := job.lines)), None)

    def close(self) -> None:
        """Print what is left to say, at the end of the process."""
        self._exit.set()
        last, self._last = [*self._new_messages(), *self._last], []
        for line in last:
            print(line, file=sys.stderr)

    def _new_messages(self) -> list[str]:
        with self._reading:  # the watch may read, too
            lines, self._told = read_told(self._told)
        return lines

    def _begin(self, record: logging.LogRecord) -> None:
        logs: Sequence[str] = record.__dict__.get("log") or []
        if logs:
            # Snakemake may have added a remark about the file.
            self._jobs[record.__dict__["jobid"]] = _Job(Path(logs[0].split(" (")[0]), time.time())
        if self._hides_logs:
            record.__dict__["log"] = []

    def _succeeded(self, job: _Job | None) -> None:
        self._ended += 1
        for line in job.says if job else []:
            self._logger.info(f"{time.strftime('%H:%M:%S')} [{self._ended}/{self._total}] {line}")

    def _failed(self, job: _Job | None, record: logging.LogRecord) -> None:
        if job is None:
            return
        known = record.__dict__.get("rule_msg")  # to the executor, such as the state that Slurm gives
        logs = ", ".join(record.__dict__.get("log") or [str(job.log)])
        errors = [line for line in job.lines if line.startswith("error: ")]
        if len(errors) > SHOWN:
            errors[SHOWN:] = [f"and {len(errors) - SHOWN} more: {job.log}"]
        for line in [*filter(None, [known]), *(errors or [f"failed; log: {logs}"])]:
            self._logger.error(f"{job.name}: {line}")

    def _keep_watch(self) -> None:
        due = time.monotonic() + EVERY
        while not self._exit.wait(1):
            for line in self._new_messages():
                self._logger.warning(line)
            if time.monotonic() > due:
                due += EVERY
                if about := self.running():
                    self._logger.info(f"{time.strftime('%H:%M:%S')} running: {about}")
