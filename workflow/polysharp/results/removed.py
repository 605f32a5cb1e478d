"""What somebody has removed by hand is made again.

Results of cells and prepared texts are no outputs that Snakemake knows. Files that it knows say that they are
there: they are removed here if they are wrong, with those that say that the whole study is complete.
"""

from __future__ import annotations

from polysharp.config.study import Matrix
from polysharp.core.paths import CHECKED, MANIFEST, PREPARED, RECEIPT, Paths, prepared_files
from polysharp.core.refusal import read_refusal
from polysharp.results.packing import is_complete, written_jobs


def notice_removed(matrix: Matrix, paths: Paths) -> None:
    """Remove the records of data and of the last run's results that are not there."""
    texts = [
        folder / PREPARED
        for folder in (paths.data(dataset.path) for dataset in matrix.datasets)
        if not all(file.is_file() for file in prepared_files(folder)) and not read_refusal(folder)
    ]
    jobs = [job for job in written_jobs(matrix, paths) if not is_complete(job, paths)]
    receipts = [paths.run(job.path) / RECEIPT for job in jobs]
    if texts or receipts:
        complete = [paths.results / name for name in (MANIFEST, *([CHECKED] if texts else []))]
        for file in (*texts, *receipts, *complete):
            file.unlink(missing_ok=True)
