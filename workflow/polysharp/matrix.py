"""The sample sheet and the matrix of cells: task x language x label_type x method x seed."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from polysharp.configuration import (
    LABEL_TYPES,
    Configuration,
    Kind,
    LabelType,
    ModelSettings,
    Places,
    check_configuration,
    resolve_method,
    resolve_model,
)
from polysharp.errors import UserError, nearest

SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
REQUIRED = ("language", "label_type", "source")
OPTIONAL = ("task", "columns", "splits")
SEED_MINUTES = 60  # that a job of fine-tuning asks for, for each of its seeds
DETERMINISTIC_SEED = 0  # the path of the one cell of a method that draws nothing at random


@dataclass(frozen=True)
class Dataset:
    """One row of the sample sheet; `task` and `language` are slugs."""

    task: str
    language: str
    label_type: LabelType
    source: str
    columns: tuple[str, str]
    splits: tuple[str, str, str]
    model: ModelSettings

    @property
    def path(self) -> str:
        """Path of the data set inside results/data and results/best."""
        return f"{self.task}/{self.language}/{self.label_type}"


@dataclass(frozen=True)
class Cell:
    """One training: a data set, a method and a seed."""

    dataset: Dataset
    method: str
    kind: Kind
    seed: int
    settings: tuple[str, ...]

    @property
    def path(self) -> str:
        """Path of the cell inside results/runs and work."""
        return f"{self.dataset.path}/{self.method}/seed-{self.seed}"

    @property
    def has_checkpoint(self) -> bool:
        """Whether the cell leaves a checkpoint that can be published."""
        return self.kind == "finetune"


@dataclass(frozen=True)
class Job:
    """Cells of one data set and method that one process trains; it is named by the first of them."""

    cells: tuple[Cell, ...]

    @property
    def path(self) -> str:
        """Path of the first cell inside results/runs and work."""
        return self.cells[0].path

    @property
    def minutes(self) -> int:
        """How long the job may take, at its first attempt, where it is fine-tuning."""
        return SEED_MINUTES * len(self.cells)

    @property
    def output(self) -> str:
        """What the job declares to have made, inside results/runs.

        Of several cells none, as a failing job loses what it declares, and one cell may fail: a receipt.
        """
        return f"{self.path}/{'job.json' if self.cells[0].kind == 'finetune' else 'report.json'}"


@dataclass(frozen=True)
class Matrix:
    """All data sets, all methods in their configured order, all cells, all jobs that train them."""

    datasets: tuple[Dataset, ...]
    methods: tuple[str, ...]
    cells: tuple[Cell, ...]
    jobs: tuple[Job, ...]

    def of(self, dataset: Dataset, method: str | None = None) -> list[Cell]:
        """Return the cells of a data set, of one method or of all, in the configured order."""
        return [c for c in self.cells if c.dataset == dataset and (method is None or c.method == method)]


def load_study(
    content: Mapping[str, Any],
    bases: Sequence[Path],
    files: Sequence[str] = (),
    command_line: Mapping[str, Any] | None = None,
) -> tuple[Configuration, Matrix]:
    """Check the configuration and its sample sheet, and expand the matrix.

    Parameters
    ----------
    content
        The merged content of configuration files and command line.
    bases
        Folders in which relative paths are looked for, in this order.
    files, command_line
        The configuration files, and what ``--config`` said, for the errors.

    Raises
    ------
    UserError
        With one line for everything that is wrong.
    """
    places = Places([Path(file) for file in files], command_line or {})
    configuration, lines = check_configuration(content)
    lines += check_names(configuration)
    lines = [places.locate(line) for line in lines]
    datasets: list[Dataset] = []
    try:
        sheet = find(configuration.datasets, bases) or Path(configuration.datasets)
        datasets = read_datasets(sheet, configuration, bases)
    except UserError as error:
        lines += error.lines
    if lines:
        raise UserError(*lines)
    return configuration, expand(configuration, datasets)


def slug(name: str) -> str:
    """Return `name` as a part of a path: ``[a-z0-9][a-z0-9_-]{0,63}``, accents dropped.

    Raises
    ------
    ValueError
        When nothing of it can stand in a path.
    """
    result = _latin(name)[:64]
    if not result:
        raise ValueError(f"{name!r}: expected a name with latin letters or digits")
    return result


def _latin(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9_-]+", "-", plain).strip("-_")


def model_slug(model: ModelSettings) -> str:
    """Return the folder of a prepared model: readable, and different for every name and revision."""
    text = model.name if model.revision is None else f"{model.name}-{model.revision}"
    digest = hashlib.sha256(json.dumps([model.name, model.revision]).encode()).hexdigest()[:8]
    readable = _latin(text.rstrip("/").replace(":", "-").split("/")[-1])[:55]
    return f"{readable or 'model'}-{digest}"


def expand(configuration: Configuration, datasets: Sequence[Dataset]) -> Matrix:
    """Return every cell of the study. The configuration has been checked before."""
    methods = {slug(name): resolve_method(configuration, name) for name in configuration.methods}
    cells = [
        Cell(dataset, method, kind, seed, as_arguments(settings.model_dump()))
        for dataset in datasets
        for method, (kind, settings) in methods.items()
        for seed in (
            configuration.seeds if kind == "finetune" or settings.train_size else [DETERMINISTIC_SEED]
        )
    ]
    return Matrix(
        tuple(datasets), tuple(methods), tuple(cells), tuple(_jobs(cells, configuration.seeds_per_job))
    )


def _jobs(cells: Sequence[Cell], seeds_per_job: int) -> Iterator[Job]:
    """Yield the jobs that train the cells, which lie by data set and method."""
    for _, group in groupby(cells, key=lambda cell: (cell.dataset.path, cell.method)):
        of_group = tuple(group)
        size = seeds_per_job if of_group[0].kind == "finetune" else 1
        yield from (Job(of_group[first : first + size]) for first in range(0, len(of_group), size))


def as_arguments(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Return settings as ``key=value`` arguments of a script, values in JSON."""
    return tuple(f"{key}={json.dumps(value)}" for key, value in settings.items())


def check_names(configuration: Configuration) -> list[str]:
    """Return a line for every method or model key that cannot be told apart in a path."""
    lines: list[str] = []
    for section in ("methods", "models"):
        seen: dict[str, str] = {}
        for name in getattr(configuration, section):
            try:
                other = seen.setdefault(slug(name), name)
            except ValueError as error:
                lines.append(f"{section}.{name}: {error}")
                continue
            if other != name:
                lines.append(f"{section}.{name}: {name!r} and {other!r} would share the path {slug(name)!r}")
            elif section == "models" and slug(name) != name:
                lines.append(f"{section}.{name}: expected {slug(name)!r}, the language as it stands in paths")
    return lines


def read_datasets(path: Path, configuration: Configuration, bases: Sequence[Path]) -> list[Dataset]:
    """Read the sample sheet at `path`.

    Parameters
    ----------
    bases
        Folders in which a relative `source` is looked for, in this order.

    Raises
    ------
    UserError
        With one line for everything that is wrong in any row.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{path}: not found; expected the sample sheet named by the key datasets") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: byte {error.start} is not UTF-8; save the table as UTF-8") from None
    rows = list(csv.reader(text.splitlines(), delimiter="\t"))
    numbered = [(n, r) for n, r in enumerate(rows, 1) if any(map(str.strip, r)) and not r[0].startswith("#")]
    if not numbered:
        raise UserError(f"{path}: empty; expected a header {', '.join(REQUIRED)} and one row per data set")
    header = [name.strip() for name in numbered[0][1]]
    _check_header(path, header)
    lines: list[str] = []
    datasets: list[Dataset] = []
    places: dict[str, int] = {}
    for number, row in numbered[1:]:
        record = {key: value.strip() for key, value in zip(header, row, strict=False)}
        problems, dataset = _read_row(record, len(row) - len(header), configuration, bases)
        if dataset is not None:
            first = places.setdefault(dataset.path, number)
            if first != number:
                problems.append(
                    f"the same path {dataset.path!r} as row {first}; expected every data set once"
                )
            datasets.append(dataset)
        lines += [f"{path}, row {number}: {problem}" for problem in problems]
    if not lines and not datasets:
        lines = [f"{path}: no rows below the header; expected one row per data set"]
    if lines:
        raise UserError(*lines)
    return datasets


def _check_header(path: Path, header: Sequence[str]) -> None:
    known = (*REQUIRED, *OPTIONAL)
    if len(header) == 1 and any(separator in header[0] for separator in ",; "):
        raise UserError(f"{path}, row 1: {header[0]!r}: expected columns separated by tabs")
    problems = [
        f"column {name!r}: not a known column; expected one of {', '.join(known)}{nearest(name, known)}"
        for name in header
        if name not in known
    ]
    problems += [f"column {name!r}: missing" for name in REQUIRED if name not in header]
    problems += [f"column {name!r}: stands there twice" for name in set(header) if header.count(name) > 1]
    if problems:
        raise UserError(*(f"{path}, row 1: {problem}" for problem in sorted(problems)))


def _read_row(
    record: Mapping[str, str], surplus: int, configuration: Configuration, bases: Sequence[Path]
) -> tuple[list[str], Dataset | None]:
    """Return what is wrong with a row, and the data set where nothing is."""
    if surplus > 0:
        return [f"{surplus} more values than columns; expected one value per column"], None
    problems = [f"{key}: empty" for key in REQUIRED if not record.get(key)]
    names = {"task": record.get("task") or "main", "language": record.get("language", "")}
    slugs: dict[str, str] = {}
    for key, name in names.items():
        try:
            if name:
                slugs[key] = slug(name)
        except ValueError as error:
            problems.append(f"{key}: {error}")
    label_type = record.get("label_type", "")
    if label_type and label_type not in LABEL_TYPES:
        tutorial = {"choosing": "single", "deciding": "multi"}.get(label_type.lower())
        hint = f"; did you mean {tutorial!r}?" if tutorial else nearest(label_type, LABEL_TYPES)
        problems.append(f"label_type: {label_type!r}: expected 'single' or 'multi'{hint}")
    columns = tuple((record.get("columns") or "Text,Labels").split(","))
    if len(columns) != 2 or not all(columns):
        problems.append(f"columns: {record['columns']!r}: expected two names, as in 'Text,Labels'")
    splits = tuple((record.get("splits") or "train,val,test").split(","))
    if len(splits) != 3 or len(set(splits)) < 3 or not all(splits):
        problems.append(f"splits: {record['splits']!r}: expected three file names, as in 'train,val,test'")
    model = None
    if "language" in slugs:
        try:
            model = _located(resolve_model(configuration, slugs["language"]), bases)
        except UserError as error:
            problems += error.lines
    source = find(record.get("source", ""), bases)
    if record.get("source") and source is None:
        looked = " or ".join(str(base) for base in dict.fromkeys(bases))
        problems.append(
            f"source: {record['source']!r}: no such folder in {looked}{_sibling(record['source'], bases)}"
        )
    for key in ("source", "splits"):
        if set(record.get(key, "")) & set("{}"):  # there is no way to write a brace that is meant
            problems.append(f"{key}: {record[key]!r}: expected no braces, which are wildcards to Snakemake")
    if problems:
        return problems, None
    assert model is not None and source is not None
    return [], Dataset(
        slugs["task"],
        slugs["language"],
        "single" if label_type == "single" else "multi",
        str(source),
        (columns[0], columns[1]),
        (splits[0], splits[1], splits[2]),
        model,
    )


def _located(model: ModelSettings, bases: Sequence[Path]) -> ModelSettings:
    """Return a model whose name, where it is a local folder, is the path that was found."""
    if not model.name.startswith((".", "/", "~")):
        return model
    folder = find(model.name, bases)
    if folder is None:
        raise UserError(f"model {model.name!r}: no such folder{_sibling(model.name, bases)}")
    return model.model_copy(update={"name": str(folder) if folder.is_absolute() else f"./{folder}"})


def find(name: str, bases: Sequence[Path]) -> Path | None:
    """Return the first existing path of `name` in the folders `bases`, or as it is when absolute."""
    path = Path(name).expanduser()
    return next((base / path for base in bases if name and (base / path).exists()), None)


def _sibling(name: str, bases: Sequence[Path]) -> str:
    """Return a hint at a folder whose name is nearly that of the missing one."""
    parents = [base / Path(name).parent for base in bases]
    siblings = [path.name for parent in parents if parent.is_dir() for path in parent.iterdir()]
    return nearest(name, (str(Path(name).parent / sibling) for sibling in siblings))
