"""Which cells one job trains, one after the other, in one process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from polysharp.core.paths import RECEIPT, REPORT
from polysharp.core.terms import Kind

if TYPE_CHECKING:
    from polysharp.config.study import Cell

SEED_MINUTES = 60  # that a fine-tuning job asks for, per cell
PACKED: tuple[Kind, ...] = ("finetune", "probe", "tfidf")  # kinds of which a job may train several cells


@dataclass(frozen=True)
class Job:
    """Cells of one method, of one data set or several, that one process trains.

    All have the same model and settings. The first cell gives the job its name.
    """

    cells: tuple[Cell, ...]

    @property
    def path(self) -> str:
        """Path of the first cell inside results/runs and work."""
        return self.cells[0].path

    @property
    def minutes(self) -> int:
        """The time limit of a fine-tuning job at its first attempt."""
        return SEED_MINUTES * len(self.cells)

    @property
    def output(self) -> str:
        """The output that the job declares to Snakemake, inside results/runs.

        If a job may have several cells, it is a receipt: Snakemake deletes the declared output of a failed
        job, and one cell of a job may fail while the others are complete.
        """
        return f"{self.path}/{RECEIPT if self.cells[0].kind in PACKED else REPORT}"


def make_jobs(
    cells: Sequence[Cell], cells_per_job: int | None, seeds: int, sizes: Mapping[str, int] | None = None
) -> list[Job]:
    """Return the jobs that train the cells, in the order of their first cells.

    Parameters
    ----------
    cells
        Ordered by data set, then by method.
    cells_per_job
        None: the number in `sizes`; of methods that are not there, the seeds of one data set.
    seeds
        Number of seeds of the study.
    sizes
        Number of cells in a job, by method.
    """
    place = {cell.path: number for number, cell in enumerate(cells)}
    jobs: list[Job] = []
    for group in _groups(cells).values():
        if group[0].kind not in PACKED:
            jobs += [Job((cell,)) for cell in group]
        elif size := cells_per_job or (sizes or {}).get(group[0].method):
            jobs += [Job(tuple(part)) for part in _parts(group, size)]
        else:
            by_dataset = groupby(group, key=lambda cell: cell.dataset.path)
            jobs += [Job(tuple(part)) for _, of in by_dataset for part in _parts(list(of), seeds)]
    return sorted(jobs, key=lambda job: place[job.path])


def _groups(cells: Iterable[Cell]) -> Mapping[tuple[object, ...], list[Cell]]:
    """Return the cells that one process can train: of one method, with one model and its settings."""
    groups: dict[tuple[object, ...], list[Cell]] = {}
    for cell in cells:
        model = cell.dataset.model if cell.has_model else None
        groups.setdefault((cell.method, model), []).append(cell)
    return groups


def _parts(cells: Sequence[Cell], size: int) -> Iterator[Sequence[Cell]]:
    yield from (cells[first : first + size] for first in range(0, len(cells), size))
