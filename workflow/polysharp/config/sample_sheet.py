"""The sample sheet: one row per data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from polysharp.config.checking import resolve_model
from polysharp.config.packages import PACKAGE, PACKAGES, unknown_package
from polysharp.config.settings import Configuration, ModelSettings
from polysharp.config.sheets import check_header, read_sheet
from polysharp.config.slugs import hub_slug, slug
from polysharp.config.sources import (
    DELIMITERS,
    FETCHED,
    FETCHED_FOLDER,
    HUB,
    NAMES,
    SHARES,
    WORKBOOKS,
    HubSource,
    Source,
    matching,
    parse_hub,
    parse_splits,
)
from polysharp.core.errors import UserError, nearest
from polysharp.core.files import expanded
from polysharp.core.terms import LABEL_TYPES, SPLITS, LabelType

REQUIRED = ("language", "label_type", "source")
OPTIONAL = ("task", "text", "labels", "delimiter", "group", "language_column", "split_column", "splits")


@dataclass(frozen=True)
class Dataset:
    """One row of the sample sheet; `task` and `language` are slugs."""

    task: str
    language: str
    label_type: LabelType
    source: Source
    model: ModelSettings
    hub: HubSource | None = None  # where the files of `source` are downloaded from

    @property
    def inputs(self) -> list[Path]:
        """The files of the data set; for one on the hub, the file that says that it was downloaded."""
        if self.hub is not None:
            return [Path(self.source.path) / FETCHED]
        return list(self.source.files())

    @property
    def path(self) -> str:
        """Path of the data set inside results/data and results/best."""
        return f"{self.task}/{self.language}/{self.label_type}"


def read_datasets(path: Path, configuration: Configuration, bases: Sequence[Path]) -> list[Dataset]:
    """Read the sample sheet at `path`.

    Parameters
    ----------
    bases
        Folders that are searched for a relative `source`, in this order.

    Raises
    ------
    UserError
        With one line for each mistake in any row.
    """
    try:
        numbered = read_sheet(path)
    except FileNotFoundError:
        expected = f"expected the sample sheet named by the key datasets{_sibling(str(path), bases)}"
        raise UserError(f"{path}: not found; {expected}") from None
    if not numbered:
        raise UserError(f"{path}: empty; expected a header {', '.join(REQUIRED)} and one row per data set")
    header = [name.strip() for name in numbered[0][1]]
    check_header(path, header, REQUIRED, OPTIONAL)
    lines: list[str] = []
    datasets: list[Dataset] = []
    places: dict[str, int] = {}
    for number, row in numbered[1:]:
        record = {key: value.strip() for key, value in zip(header, row, strict=False)}
        if ("delimiter", " ") in zip(header, row, strict=False):
            record["delimiter"] = " "
        problems, dataset = _read_row(record, len(row) - len(header), configuration, bases)
        if dataset is not None:
            first = places.setdefault(dataset.path, number)
            if first != number:
                problems.append(f"the same path {dataset.path!r} as row {first}; expected each data set once")
            datasets.append(dataset)
        lines += [f"{path}, row {number}: {problem}" for problem in problems]
    if not lines and not datasets:
        lines = [f"{path}: no rows below the header; expected one row per data set"]
    if lines:
        raise UserError(*lines)
    return datasets


def _read_row(
    record: Mapping[str, str], surplus: int, configuration: Configuration, bases: Sequence[Path]
) -> tuple[list[str], Dataset | None]:
    """Return the mistakes in a row, and the data set if there are none."""
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
    model = None
    if "language" in slugs:
        try:
            model = _located(resolve_model(configuration, slugs["language"]), bases)
        except UserError as error:
            problems += error.lines
    source = hub = None
    if record.get("source"):
        try:
            source, hub = _read_source(record, label_type, bases)
        except UserError as error:
            problems += error.lines
    if problems:
        return problems, None
    assert model is not None and source is not None
    of_type: LabelType = "single" if label_type == "single" else "multi"
    return [], Dataset(slugs["task"], slugs["language"], of_type, source, model, hub)


def _read_source(
    record: Mapping[str, str], label_type: str, bases: Sequence[Path]
) -> tuple[Source, HubSource | None]:
    """Return the source of a row, whose files exist or will be downloaded, and its data set on the hub.

    Raises
    ------
    UserError
        With a line for each mistake, which begins with the column.
    """
    if set(record["source"]) & set("{}"):  # they cannot be escaped
        text = "expected no braces, which Snakemake reads as wildcards"
        raise UserError(f"source: {record['source']!r}: {text}")
    hub = None
    if record["source"].startswith(HUB):
        try:
            hub = parse_hub(record["source"])
        except UserError as error:
            raise UserError(*(f"source: {line}" for line in error.lines)) from None
        path, sheet = f"{FETCHED_FOLDER}/{hub_slug(hub)}", None
    else:
        path, sheet = _find_source(record["source"], bases)
    labels = tuple(name.strip() for name in (record.get("labels") or "Labels").split(","))
    delimiter = DELIMITERS.get(record.get("delimiter", ""), record.get("delimiter")) or None
    if record.get("delimiter", "").isspace() and (label_type == "single" or len(labels) > 1):
        delimiter = None  # an invisible blank is hardly intended here
    split_column = record.get("split_column") or None
    problems = []
    if not all(labels):
        problems.append(f"labels: {record['labels']!r}: expected column names, as in 'economy,welfare'")
    if delimiter and label_type == "single":
        problems.append(f"delimiter: {delimiter!r}: expected none, as label_type is 'single'; or use 'multi'")
    if delimiter and len(labels) > 1:
        problems.append(f"delimiter: {delimiter!r}: expected none, as labels names several columns")
    splits = SPLITS if hub else NAMES if split_column or Path(path).is_dir() else SHARES
    if record.get("splits"):
        try:
            splits = parse_splits(record["splits"])
        except ValueError as error:
            problems.append(f"splits: {record['splits']!r}: {error}")
    column, equals, value = (record.get("language_column") or "").partition("=")
    source = Source(
        path,
        sheet,
        record.get("text") or "Text",
        labels,
        delimiter,
        record.get("group") or None,
        column or None,
        (value if equals else record["language"]) if column else None,
        split_column,
        splits,
    )
    if hub is not None and len(source.shares) == len(splits):
        problems.append(
            f"splits: {','.join(splits)!r}: expected the name of the split to draw from, "
            "as in 'train,10%,10%'"
        )
    if source.problem:
        problems.append(source.problem)
    files: list[Path] = []
    if not problems and hub is None:
        try:
            files = list(source.files())
        except UserError as error:
            problems += [f"source: {line}" for line in error.lines]
    problems += [
        f"source: {str(file)!r}: expected no braces, which Snakemake reads as wildcards"
        for file in files
        if set(str(file)) & set("{}")
    ]
    if problems:
        raise UserError(*problems)
    return source, hub


def _find_source(name: str, bases: Sequence[Path]) -> tuple[str, str | None]:
    """Return the path of a source in the first base that has it, and the sheet of a workbook."""
    found = find(name, bases)
    if found is not None:
        return str(found), None
    file, hash_sign, sheet = name.rpartition("#")
    if hash_sign and file.lower().endswith(WORKBOOKS) and (found := find(file, bases)):
        return str(found), sheet
    for base in bases:
        if matching(base / expanded(name)):
            return str(base / expanded(name)), None
    looked = " or ".join(str(base.resolve()) for base in dict.fromkeys(bases))
    raise UserError(
        f"source: {name!r}: no such folder or file in {looked}, and no file matches it{_sibling(name, bases)}"
    )


def _located(model: ModelSettings, bases: Sequence[Path]) -> ModelSettings:
    """Return a model; if its name is a local folder, with the path where it was found."""
    if model.name.startswith(PACKAGE) and model.name.removeprefix(PACKAGE) not in PACKAGES:
        raise UserError(unknown_package(model.name.removeprefix(PACKAGE)))
    if not model.name.startswith((".", "/", "~")):
        return model
    folder = find(model.name, bases)
    if folder is None:
        raise UserError(f"model {model.name!r}: no such folder{_sibling(model.name, bases)}")
    return model.model_copy(update={"name": str(folder) if folder.is_absolute() else f"./{folder}"})


def find(name: str, bases: Sequence[Path]) -> Path | None:
    """Return the first existing path of `name` in the folders `bases`; an absolute one as it is."""
    path = expanded(name)
    try:
        return next((base / path for base in bases if name and (base / path).exists()), None)
    except OSError:  # not a file name: too long
        return None


def _sibling(name: str, bases: Sequence[Path]) -> str:
    """Return a hint at a file or folder with a name similar to the missing one."""
    parents = [base / Path(name).parent for base in bases]
    siblings = [path.name for parent in parents if parent.is_dir() for path in parent.iterdir()]
    return nearest(name, (str(Path(name).parent / sibling) for sibling in siblings))
