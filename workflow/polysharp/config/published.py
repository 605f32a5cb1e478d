"""Published scores: a table that is shown beside what the study computes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from polysharp.config.checking import resolve_method
from polysharp.config.sample_sheet import Dataset
from polysharp.config.settings import Configuration, PublishedSettings
from polysharp.config.sheets import check_header, read_sheet
from polysharp.config.slugs import slug
from polysharp.core.errors import UserError, nearest
from polysharp.core.terms import LABEL_TYPES, Metric

REQUIRED = ("language", "metric", "score", "source")
OPTIONAL = ("method", "task", "label_type")
Record = Mapping[str, str]


@dataclass(frozen=True)
class PublishedScore:
    """A score that a publication has for a data set of the study."""

    dataset: Dataset
    method: str
    score: float
    source: str

    def __str__(self) -> str:
        """Return all that the tables show of it."""
        return f"{self.dataset.path}, {self.method}: {self.score!r}, {self.source}"


def read_published(configuration: Configuration, datasets: Sequence[Dataset]) -> list[PublishedScore]:
    """Return the published scores of all methods for the data sets of the study.

    Rows of other languages, tasks and metrics are left out, so that one table may have them all.

    Raises
    ------
    UserError
        With a line for each mistake in any table.
    """
    scores: list[PublishedScore] = []
    lines: list[str] = []
    for method in configuration.methods:
        _, settings = resolve_method(configuration, method)
        if not isinstance(settings, PublishedSettings):
            continue
        try:
            scores += _read(Path(settings.scores), method, configuration.selection_metric, datasets)
        except UserError as error:
            lines += error.lines
    if lines:
        raise UserError(*dict.fromkeys(lines))  # one table may be that of several methods
    return scores


def _read(path: Path, method: str, metric: Metric, datasets: Sequence[Dataset]) -> list[PublishedScore]:
    records = _records(path)
    if "method" in records[0][1]:
        named = {_slug(record["method"]): record["method"] for _, record in records}
        if slug(method) not in named:
            raise UserError(f"methods.{method}: {path}: no row has this method{nearest(slug(method), named)}")
        records = [(row, record) for row, record in records if _slug(record["method"]) == slug(method)]
    lines: list[str] = []
    found: dict[Dataset, tuple[int, PublishedScore]] = {}
    for row, record in records:
        lines += [f"{path}, row {row}: {problem}" for problem in _problems(record)]
        if lines or record["metric"] != metric:
            continue
        of_row = [dataset for dataset in datasets if _is_of(record, dataset)]
        if len({(dataset.task, dataset.label_type) for dataset in of_row}) > 1:
            paths = ", ".join(dataset.path for dataset in of_row)
            lines.append(f"{path}, row {row}: may be of {paths}; expected columns 'task' and 'label_type'")
        for dataset in of_row:
            score = PublishedScore(dataset, slug(method), float(record["score"]), record["source"])
            first, _ = found.setdefault(dataset, (row, score))
            if first != row:
                lines.append(f"{path}, row {row}: {dataset.path} has a score in row {first}; expected one")
    if not lines and not found:
        languages = {dataset.language for dataset in datasets}
        lines.append(
            f"methods.{method}: {path}: no row has a score of the study's data sets and its metric "
            f"{metric!r}; the languages of the study are {', '.join(sorted(languages))}"
        )
    if lines:
        raise UserError(*lines)
    return [score for _, score in found.values()]


def _records(path: Path) -> list[tuple[int, Record]]:
    """Return the rows of a table with their numbers, and an empty value for each one that is missing."""
    numbered = read_sheet(path)
    header = [name.strip() for name in numbered[0][1]] if numbered else []
    check_header(path, header, REQUIRED, OPTIONAL)
    if len(numbered) == 1:
        raise UserError(f"{path}: no rows below the header; expected one per data set")
    return [
        (number, dict.fromkeys(header, "") | {k: v.strip() for k, v in zip(header, row, strict=False)})
        for number, row in numbered[1:]
    ]


def _problems(record: Record) -> Iterator[str]:
    """Yield what is wrong with the values of a row."""
    yield from (f"{name}: empty" for name in REQUIRED if not record[name])
    if record["metric"] and record["metric"] not in get_args(Metric):
        expected = ", ".join(get_args(Metric))
        hint = nearest(record["metric"], get_args(Metric))
        yield f"metric: {record['metric']!r}: expected one of {expected}{hint}"
    if (label_type := record.get("label_type")) and label_type not in LABEL_TYPES:
        yield f"label_type: {label_type!r}: expected 'single' or 'multi'"
    if record["score"]:
        try:
            score = float(record["score"])
        except ValueError:
            score = math.nan
        if not 0 <= score <= 1:
            percent = "; divide percentages by 100" if 1 < score <= 100 else ""
            yield f"score: {record['score']!r}: expected a number from 0 to 1{percent}"


def _is_of(record: Record, dataset: Dataset) -> bool:
    """Whether a row is of a data set; without task or label type it may be of any."""
    return (
        _slug(record["language"]) == dataset.language
        and (not record.get("task") or _slug(record["task"]) == dataset.task)
        and record.get("label_type", "") in ("", dataset.label_type)
    )


def _slug(name: str) -> str:
    """Return a name as paths have it; none for a name that no data set or method can have."""
    try:
        return slug(name)
    except ValueError:
        return ""
