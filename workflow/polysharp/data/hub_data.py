"""Data sets of the hub, converted into a folder with one Parquet file per split."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from polysharp.config.sources import FETCHED, HubSource
from polysharp.core.errors import UserError, first_line, list_some, nearest
from polysharp.core.files import replacing_folder, sha256, write_json
from polysharp.core.hub import Repository, Snapshot, download, sizes, suggest_revision
from polysharp.data.raw import MAX_BYTES

log = logging.getLogger("polysharp")

CARD = "README.md"
# Files that are read: texts and tables. Others are not downloaded, above all no pickled tables.
READABLE = ("*.csv", "*.tsv", "*.json", "*.jsonl", "*.parquet", "*.csv.gz", "*.json.gz", "*.jsonl.gz")
BUILDERS = ("csv", "json", "parquet")  # of the library datasets, for such files


def fetch_data(source: HubSource, destination: Path) -> None:
    """Write the splits of a data set on the hub to ``destination/<split>.parquet``, all of them or none.

    Numbers that stand for labels are replaced by the names of the labels. Only columns of texts, numbers
    and lists of them are kept. ``fetched.json`` describes the content of the folder.

    Raises
    ------
    UserError
        One line that says what to do.
    """
    repository = Repository(source.name, source.revision, "dataset")
    listed = sizes(repository)
    card = _read_card(repository) if CARD in listed or not listed else {}
    part = _part(repository, source.configuration, card, listed)
    snapshot = download(repository, [[CARD, *_wanted(repository, part, listed)]])
    with replacing_folder(destination) as staging:
        splits = _convert(repository, snapshot, part, staging)
        content = {
            "name": source.name,
            "revision": snapshot.commit,
            "configuration": part.name,
            "splits": splits,
        }
        write_json(staging / FETCHED, content)
    suggest_revision(repository, snapshot)
    counts = ", ".join(f"{split} {told['texts']}" for split, told in splits.items())
    log.info("downloaded %s, revision %s: %s", repository.title, snapshot.commit, counts)


@dataclass(frozen=True)
class _Part:
    """A configuration of a data set: the patterns of its files, and its part of the card.

    Without a card, it is the folder `root`, or all files.
    """

    name: str | None
    patterns: tuple[str, ...]
    card: Mapping[str, Any]
    root: str = ""


def _read_card(repository: Repository) -> dict[str, Any]:
    """Return the metadata in a data set's README.md."""
    from huggingface_hub import DatasetCard

    path = download(repository, [[CARD]]).folder / CARD
    try:
        return dict(DatasetCard.load(path).data.to_dict()) if path.is_file() else {}
    except Exception as error:  # the file may hold anything
        raise UserError(f"{repository.title}: its {CARD} cannot be read: {first_line(error)}") from None


def _part(
    repository: Repository, configuration: str | None, card: Mapping[str, Any], listed: Mapping[str, int]
) -> _Part:
    """Return the requested configuration, or the only one, or the one named default."""
    entries = card.get("configs") or []
    try:
        names = [str(entry.get("config_name", "default")) for entry in entries]
        patterns = [tuple(_patterns(entry)) for entry in entries]
    except (AttributeError, KeyError, TypeError):
        text = f"its {CARD} cannot be read: its configs are not in the hub's format"
        raise UserError(f"{repository.title}: {text}") from None
    if not names:
        folders = sorted({name.split("/")[0] for name in listed if "/" in name})
        if configuration is None:
            return _Part(None, READABLE, {})
        if listed and configuration not in folders:
            raise UserError(_unknown(repository, configuration, folders))
        return _Part(
            configuration, tuple(f"{configuration}/{form}" for form in READABLE), {}, f"{configuration}/"
        )
    if configuration is None and len(names) > 1 and "default" not in names:
        raise UserError(
            f"{repository.title}: has the configurations {list_some(names)}; choose one, as in "
            f"'hub:{repository.name}#{names[0]}'"
        )
    chosen = configuration or ("default" if "default" in names else names[0])
    if chosen not in names:
        raise UserError(_unknown(repository, chosen, names))
    number = names.index(chosen)
    told = card.get("dataset_info")
    of_it = (
        [entry for entry in told if entry.get("config_name") == chosen] if isinstance(told, list) else told
    )
    return _Part(chosen, patterns[number], {"configs": [entries[number]], "dataset_info": of_it})


def _wanted(repository: Repository, part: _Part, listed: Mapping[str, int]) -> list[str]:
    """Return the files of a part, or their patterns if the hub does not answer."""
    wanted = [name for name in listed if _is_wanted(name, part)]
    if listed and not wanted:
        script = "; its own script is never run, but the hub may have converted its data: try"
        raise UserError(
            f"{repository.title}: no readable files of texts ({', '.join(READABLE[:5])})"
            + f"{script} revision refs/convert/parquet" * any(name.endswith(".py") for name in listed)
        )
    total = sum(listed[name] for name in wanted)
    if total > MAX_BYTES:
        raise UserError(
            f"{repository.title}: {total / 2**30:.1f} GB; expected at most {MAX_BYTES >> 30} GB; "
            "choose a configuration, as in 'hub:org/name#configuration'"
        )
    return wanted or list(part.patterns)


def _is_wanted(name: str, part: _Part) -> bool:
    return all(any(fnmatchcase(name, form) for form in forms) for forms in (part.patterns, READABLE))


def _patterns(entry: Mapping[str, Any]) -> Iterator[str]:
    """Yield the patterns of a configuration's files, which cards give in several forms."""
    folder = f"{entry['data_dir'].strip('/')}/" if entry.get("data_dir") else ""

    def of(files: Any) -> Iterator[str]:
        if isinstance(files, str):
            yield folder + files
            yield folder + files.replace("**/", "")  # also matches no folder at all
        for file in files if isinstance(files, list) else []:
            yield from of(file["path"] if isinstance(file, dict) else file)

    given = entry.get("data_files")
    if given is None:
        yield from (folder + pattern for pattern in READABLE)
    elif isinstance(given, dict):
        for files in given.values():
            yield from of(files)
    else:
        yield from of(given)


def _unknown(repository: Repository, configuration: str, names: Sequence[str]) -> str:
    there = f"it has {list_some(names)}{nearest(configuration, names)}"
    return f"{repository.title}: no configuration {configuration!r}; {there}"


def _convert(
    repository: Repository, snapshot: Snapshot, part: _Part, staging: Path
) -> dict[str, dict[str, Any]]:
    """Write every split as Parquet; return the number of texts, columns and SHA-256 of each.

    The library datasets gets a folder with only the wanted files: otherwise it would require the files
    of other configurations, and open pickled tables.
    """
    import datasets
    from huggingface_hub import DatasetCard, DatasetCardData

    splits = {}
    with _explained(repository), TemporaryDirectory(prefix=".datasets-", dir=staging.parent) as temporary:
        folder = Path(temporary) / "data"
        for file in snapshot.folder.rglob("*"):
            name = file.relative_to(snapshot.folder).as_posix()
            if file.is_file() and _is_wanted(name, part):
                link = folder / name.removeprefix(part.root)
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(file.resolve())
        if part.card:
            card = DatasetCard.from_template(
                DatasetCardData(**part.card), template_str="---\n{{ card_data }}\n---"
            )
            card.save(folder / CARD)
        builder = datasets.load_dataset_builder(str(folder), cache_dir=str(Path(temporary) / "cache"))
        kind = type(builder).__module__.rpartition(".")[2]
        if kind not in BUILDERS:
            raise UserError(f"{repository.title}: made of {kind} files; expected {', '.join(BUILDERS)}")
        builder.download_and_prepare()
        for split, data in builder.as_dataset().items():
            table = _table(data)
            table.write_parquet(staging / f"{split}.parquet")
            splits[str(split)] = {
                "texts": len(table),
                "columns": table.columns,
                "sha256": sha256(staging / f"{split}.parquet"),
            }
    return splits


def _table(data: Any) -> pl.DataFrame:
    """Return the columns of a split with texts, numbers and lists of them; labels as names."""
    import datasets

    columns = {}
    for name, feature in data.features.items():
        inner = feature.feature if isinstance(feature, datasets.List | datasets.LargeList) else feature
        if isinstance(inner, datasets.ClassLabel):
            columns[name] = pl.Series(name, [_named(value, inner.names) for value in data[name]])
        elif isinstance(inner, datasets.Value):
            columns[name] = pl.Series(name, data.with_format("arrow")[name].combine_chunks())
    return pl.DataFrame(columns)


def _named(value: Any, names: Sequence[str]) -> Any:
    """Return the names for numbers of labels; None for numbers without a name, such as -1."""
    if isinstance(value, list):
        return [_named(entry, names) for entry in value]
    return names[value] if value is not None and 0 <= value < len(names) else None


@contextmanager
def _explained(repository: Repository) -> Iterator[None]:
    """Turn errors of the library datasets about downloaded files into one line."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        raise UserError(f"{repository.title}: cannot be read: {first_line(cause)}") from None
