"""How a command runs: threads, logging, and an exit status that says what happened."""

import argparse
import errno
import gc
import logging
import os
import platform
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType

from polysharp.cli.options import Place, places
from polysharp.cluster import driver, slurm
from polysharp.config.checks import CHECKS, Finding
from polysharp.core.errors import Interrupted, UserError
from polysharp.core.failure_file import FailureNote, remove_failure, write_failure
from polysharp.core.files import write_json
from polysharp.core.refusal import read_refusal
from polysharp.core.terms import counted
from polysharp.training.lease import LeaseLost

log = logging.getLogger("polysharp")
UNFINISHED = os.EX_TEMPFAIL  # 75
FULL = (errno.ENOSPC, errno.EDQUOT)
ASKED_TO_STOP = (signal.SIGTERM, signal.SIGHUP)


def limit_threads(threads: int) -> None:
    """Set the number of threads of numpy and polars; call this before either is imported."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"):
        os.environ[name] = str(threads)


@contextmanager
def importing() -> Iterator[None]:
    """Import modules without garbage collection: there is no garbage, and it takes a fifth of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def log_findings(findings: Sequence[Finding]) -> None:
    """Log findings, each with what to do and its first places."""
    for finding in findings:
        check = CHECKS[finding.check]
        log.warning("%s: %d; what to do: %s", check.title, finding.count, check.remedy)
        for line in finding.lines():
            log.warning("  %s", line)


def run_command(
    main: Callable[[argparse.Namespace], None],
    arguments: argparse.Namespace,
    name: str,
    failures: Sequence[Path] | None = None,
) -> None:
    """Run `main` and exit with the status of :func:`attempt`; `name` begins every line on the terminal.

    A command that SIGTERM or SIGHUP ends is unfinished, unless `main` handles these signals itself.
    """
    start_logging(arguments.log, name)
    for number in ASKED_TO_STOP:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup does with SIGHUP
            signal.signal(number, _stop)
    if failures is None:
        failures = [arguments.failure] if arguments.failure else []
    if status := attempt(lambda: main(arguments), failures):
        sys.exit(status)


def _stop(number: int, _frame: FrameType | None) -> None:
    for further in ASKED_TO_STOP:  # a terminal that closes signals every process, and Snakemake again
        signal.signal(further, signal.SIG_IGN)
    raise Interrupted(f"stopped by {signal.Signals(number).name}; rerun to start from the beginning")


def start_logging(file: Path | None, name: str) -> None:
    """Log to a file, and to the terminal, where every line begins with `name`.

    Commands that a workflow has started log only to the file: the workflow shows what matters.
    """
    logging.raiseExceptions = False  # a log that cannot be written is no reason for a traceback
    terminal = logging.StreamHandler()
    terminal.setFormatter(logging.Formatter(f"%(asctime)s [{name}] %(message)s", "%H:%M:%S"))
    handlers: list[logging.Handler] = [terminal]
    if file and _first():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)  # not truncated: a process that was replaced may not have noticed it yet
        file_handler = _LogFile(file, encoding="utf-8")
        file_handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
        handlers = [file_handler] if driver.driver_here() else [terminal, file_handler]
    log.handlers, log.propagate = handlers, False
    log.setLevel(logging.INFO)
    if job := os.environ.get("SLURM_JOB_ID"):
        log.info("Slurm job %s on %s", job, platform.node())


class _LogFile(logging.FileHandler):
    """A log file whose lines go to the terminal if the disk is full."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Print what cannot be written."""
        print(self.format(record), file=sys.stderr)


def attempt(work: Callable[[], None], failures: Sequence[Path]) -> int:
    """Do a piece of work and return its exit status.

    0 when it is complete, 1 when it failed, 75 when it was asked to stop: a fine-tuning resumes when it is
    started again; a Slurm job that is being preempted is requeued. The lines of a :class:`UserError` are
    logged; anything else is a bug, whose traceback is logged. The files `failures` are removed first, and
    receive the reason.
    """
    for failure in failures if _first() else []:
        remove_failure(failure)
    try:
        work()
        return 0
    except LeaseLost as loss:  # from now on the other process writes about this cell
        log.info("%s", loss)
        return _unfinished()
    except UserError as error:
        for line in error.lines:
            log.error("error: %s", line)
        failure_class, reason, status = error.failure_class, "; ".join(error.lines), 1
    except Interrupted as interruption:
        log.info("%s", interruption)
        failure_class, reason, status = "stopped", str(interruption), UNFINISHED
    except KeyboardInterrupt:
        log.info("interrupted")
        failure_class, reason, status = "stopped", "interrupted", 130
    except BrokenPipeError:
        # The reader of a pipe (`... | head`) has gone: nothing to report, nobody to report it to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        status = 1
        if _disk_is_full(error):
            failure_class, reason = (
                "disk",
                f"no space left on the disk of {Path.cwd()} or in the temporary folder",
            )
            log.error("error: %s; free up disk space, and run the same command again", reason)
        else:
            failure_class, reason = "bug", f"{type(error).__name__}: {error}".splitlines()[0]
            log.exception("this is a bug in polysharp, or a case that it does not handle:")
    # If another process has written a reason, that is the cause: the others fail because they lost it.
    for failure in failures:
        if not failure.exists():
            try:
                write_failure(failure, FailureNote(failure_class, reason, os.environ.get("SLURM_JOB_ID")))
            except OSError as error:
                log.error("error: the reason could not be written: %s", error)
    return _unfinished() if status == UNFINISHED else status


def make_cells(
    arguments: argparse.Namespace, make: Callable[[Place], None], alone: bool = True, first: bool = True
) -> None:
    """Make the results of every cell of a command, write its receipt, and exit if one is not complete.

    A cell that fails leaves the others alone, and has its own reason.

    Parameters
    ----------
    alone
        Whether there are no other processes, which may wait for this one in a cell that has failed.
    first
        Whether this is the process that writes.
    """
    from polysharp.core.paths import COSTS
    from polysharp.results.completeness import read_report
    from polysharp.results.runs import write_receipt
    from polysharp.results.status import reached
    from polysharp.training.costs import share_overhead

    cells, ends, made = places(arguments), [], []
    for cell in cells:
        failures = [cell.folder(arguments.failure)] if arguments.failure else []
        folder = cell.folder(arguments.output)
        before = _changed(folder / COSTS)
        ends.append(attempt(partial(make, cell), failures))
        if _changed(folder / COSTS) != before:  # it was not complete before
            made.append(folder)
        if ends[-1] == UNFINISHED or (ends[-1] and not alone):
            break
    if made and first:
        share_overhead(made)
    if any(ends):
        sys.exit(max(ends))
    if not first:
        return
    outputs = {cell.name: cell.folder(arguments.output) for cell in cells}
    reports = [report for folder in outputs.values() if (report := read_report(folder))]
    log.info("%s", reached([cell.seed for cell in cells], reports, arguments.metric))
    if arguments.receipt:
        write_receipt(arguments.receipt, outputs)


def _changed(file: Path) -> int | None:
    """Return when a file was changed, by the clock of its file system; None if it does not exist."""
    return file.stat().st_mtime_ns if file.is_file() else None


def run_cells(main: Callable[[argparse.Namespace], None], arguments: argparse.Namespace) -> None:
    """Run a command that makes the results of several cells, as :func:`run_command` does.

    What fails before the first cell is a failure of every cell. Of several cells, those whose data are
    refused are passed over before anything is loaded.
    """
    name = str(arguments.output)
    failures = [arguments.failure] if arguments.failure else []
    try:
        found = places(arguments)
    except UserError:  # told below, when there is a log
        found = []
    if found:
        name = found[0].name if len(found) == 1 else f"{found[0].name} and {len(found) - 1} more"
        failures = [place.folder(failure) for failure in failures for place in found]
    run_command(lambda given: _of_accepted_data(main, given), arguments, name, failures)


def _of_accepted_data(main: Callable[[argparse.Namespace], None], arguments: argparse.Namespace) -> None:
    """Run `main` without the cells whose data are refused; if there are no others, write an empty receipt."""
    if not arguments.cells:
        return main(arguments)
    cells = places(arguments)
    accepted = [cell.name for cell in cells if not read_refusal(cell.folder(arguments.data))]
    if refused := len(cells) - len(accepted):
        log.info("passed over, as the data are refused: %s", counted(refused, "cell"))
    arguments.cells = accepted
    if accepted:
        return main(arguments)
    if arguments.receipt:
        write_json(arguments.receipt, {"sha256": {}})


def _unfinished() -> int:
    """Requeue the Slurm job if it is being preempted; return the exit status."""
    if _first() and slurm.requeue_if_preempted():
        log.info("preempted: this Slurm job is requeued")
    return UNFINISHED


def _disk_is_full(error: BaseException | None) -> bool:
    """Whether an error comes from a full disk or quota. Libraries may have wrapped the original error."""
    while error is not None:
        if getattr(error, "errno", None) in FULL or "No space left on device" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _first() -> bool:
    """Whether this is the first of several processes, as torchrun numbers them."""
    return os.environ.get("RANK", "0") == "0"
