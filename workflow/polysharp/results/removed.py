"""What somebody has removed by hand is made again.

Snakemake notices that a declared output is gone. Results of cells and prepared texts are no declared outputs:
in their place stands a file that says that they are there, which is removed here if they are not.
"""

from __future__ import annotations

from polysharp.config.jobs import PACKED, Job
from polysharp.config.study import Matrix
from polysharp.core.paths import PREPARED, RECEIPT, REPORT, Paths, prepared_files
from polysharp.core.refusal import read_refusal


def notice_removed(matrix: Matrix, paths: Paths) -> None:
    """Remove the receipts of jobs that lack the results of a cell, and the records of data that are gone."""
    for dataset in matrix.datasets:
        folder = paths.data(dataset.path)
        if not all(file.is_file() for file in prepared_files(folder)) and not read_refusal(folder):
            (folder / PREPARED).unlink(missing_ok=True)
    for job in matrix.jobs:
        if job.cells[0].kind in PACKED and not is_complete(job, paths):
            (paths.run(job.path) / RECEIPT).unlink(missing_ok=True)


def is_complete(job: Job, paths: Paths) -> bool:
    """Whether a job has a receipt, and each of its cells a report, or data that are refused."""
    return (paths.run(job.path) / RECEIPT).is_file() and all(
        (paths.run(cell.path) / REPORT).is_file() or read_refusal(paths.data(cell.dataset.path))
        for cell in job.cells
    )
