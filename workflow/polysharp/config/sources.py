"""Where the texts of a data set are, as a row of the sample sheet says it. Reads no text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from glob import has_magic
from pathlib import Path

from polysharp.core.errors import UserError, nearest
from polysharp.core.terms import SPLITS

FORMATS = (".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".xlsx", ".xls", ".ods", ".parquet")
WORKBOOKS = (".xlsx", ".xls", ".ods")
PACKED = (".gz", ".bz2", ".xz", ".zip")
NAMES = ("train", "val", "test")  # of files, or of values in a column, where the sheet says nothing
SHARES = ("80%", "10%", "10%")
DELIMITERS = {"space": " ", "tab": "\t"}  # that nobody sees in a sheet
HUB = "hub:"
FETCHED_FOLDER, FETCHED = "sources", "fetched.json"  # for what is on the hub; in each, what it holds
_SPLIT_WORDS = {  # how people call the three
    "train": {"train", "training", "trn"},
    "validation": {"validation", "valid", "val", "development", "devel", "dev"},
    "test": {"test", "testing", "tst"},
}
_SLIP = 4  # characters of a name: shorter ones differ by one and mean something else
_HUB = re.compile(r"hub:(?P<name>[^@#\s]+)(?:@(?P<revision>[^#\s]+))?(?:#(?P<configuration>\S.*))?")
_SHARE = re.compile(r"(\d+(?:\.\d+)?)\s*%")


@dataclass(frozen=True)
class HubSource:
    """A data set on the hub: which one, at which revision, and which of its configurations."""

    name: str
    revision: str | None = None
    configuration: str | None = None

    def __str__(self) -> str:
        """Return it as the sample sheet writes it."""
        revision = f"@{self.revision}" if self.revision else ""
        return f"{HUB}{self.name}{revision}" + (f"#{self.configuration}" if self.configuration else "")


@dataclass(frozen=True)
class Source:
    """Files of texts and labels, and what in them is meant.

    Parameters
    ----------
    path
        A file, a folder, or a pattern of files.
    sheet
        Of a workbook: which one. None where it has only one.
    text
        Column of the texts.
    labels
        Column of the labels; several, or patterns of several, hold 0 or 1 and are named by their label.
    delimiter
        What stands between the labels of a text where a column holds several in one value.
    group
        Column of what may not stand in two splits: a speaker, a document.
    language_column, language_value
        Of a file with several languages: the column that says which, and its value for this one.
    split_column
        Column that says the split.
    splits
        For training, validation and test: the name (of the file, or in `split_column`), or the share to
        draw (``10%``): of everything where all three are shares, else of what the first one names.
    """

    path: str
    sheet: str | None = None
    text: str = "Text"
    labels: tuple[str, ...] = ("Labels",)
    delimiter: str | None = None
    group: str | None = None
    language_column: str | None = None
    language_value: str | None = None
    split_column: str | None = None
    splits: tuple[str, str, str] = NAMES

    @property
    def columns(self) -> list[str]:
        """Names and patterns of all the columns that are read."""
        given = (self.text, *self.labels, self.group, self.language_column, self.split_column)
        return [name for name in dict.fromkeys(given) if name is not None]

    @property
    def shares(self) -> dict[str, float]:
        """Which splits are drawn, and the share of each."""
        return {
            split: share
            for split, name in zip(SPLITS, self.splits, strict=True)
            if (share := share_of(name)) is not None
        }

    @property
    def problem(self) -> str | None:
        """What is wrong with the splits of a single file, where that is so."""
        if len(self.shares) == len(SPLITS) or self.split_column or not Path(self.path).is_file():
            return None
        return (
            f"splits: {','.join(self.splits)!r}: {self.path} is one file; expected shares, as in "
            "'80%,10%,10%', or the column that names the split, as split_column"
        )

    def as_arguments(self) -> list[str]:
        """Return what differs from the defaults as arguments of `polysharp prepare-data`."""
        arguments = [f"--source={self.path}"]
        for field in fields(self)[1:]:
            value = getattr(self, field.name)
            if value != field.default:
                given = ",".join(value) if isinstance(value, tuple) else value
                arguments.append(f"--{field.name.replace('_', '-')}={given}")
        return arguments

    def files(self) -> dict[Path, str | None]:
        """Return the files, and the split that each one holds; None where it holds several.

        Raises
        ------
        UserError
            When a file is missing, or it is not clear which one is meant.
        """
        path = Path(self.path)
        if path.is_file():
            found, whole = [path], True
        elif path.is_dir():
            found, whole = sorted(file for file in path.iterdir() if is_readable(file)), False
        else:
            found, whole = [file for file in matching(path) if is_readable(file)], False
        if not found:
            raise UserError(f"{path}: no file that can be read; expected one of {', '.join(FORMATS)}")
        if whole or self.split_column or len(self.shares) == len(SPLITS):
            return dict.fromkeys(found)
        return self._by_name(found, path.is_dir())

    def _by_name(self, found: Sequence[Path], one_each: bool) -> dict[Path, str | None]:
        """Return the files whose names are those of splits."""
        result: dict[Path, str | None] = {}
        lines = []
        stems = list(dict.fromkeys(stem_of(file) for file in found))
        for split, name in zip(SPLITS, self.splits, strict=True):
            if share_of(name) is not None:
                continue
            named = [file for file in found if stem_of(file) == name]
            if not named:
                lines.append(
                    f"{self.path}: no file {name!r} for {split}; there are {', '.join(stems)}"
                    f"{nearest(name, stems)}; with texts that are not split, say splits 80%,10%,10%"
                )
            elif one_each and len(named) > 1:
                names = " and ".join(file.name for file in named)
                lines.append(f"{self.path}: {names} for {split}; expected one, or a pattern as source")
            result |= dict.fromkeys(named, split)
        named_splits = [name for name in self.splits if share_of(name) is None]
        lines += [
            f"{file}: is not taken; did you mean {meant!r}?"
            for file in found
            if not lines and file not in result and (meant := slip(stem_of(file), named_splits))
        ]
        if lines:
            raise UserError(*lines)
        return result


def parse_hub(text: str) -> HubSource:
    """Return the data set that ``hub:org/name@revision#configuration`` names.

    Raises
    ------
    UserError
        When it is written in another way.
    """
    match = _HUB.fullmatch(text)
    if match is None:
        raise UserError(f"{text!r}: expected hub:org/name, and where wanted @revision and #configuration")
    return HubSource(**match.groupdict())


def share_of(name: str) -> float | None:
    """Return the share that ``10%`` means, between 0 and 1, or None where it is a name."""
    match = _SHARE.fullmatch(name.strip())
    return float(match[1]) / 100 if match else None


def split_meant(word: str) -> str | None:
    """Return the split that a word stands for, however it is written, or None."""
    bare = _bare(word)
    return next((split for split, words in _SPLIT_WORDS.items() if bare in words), None)


def slip(word: str, names: Iterable[str]) -> str | None:
    """Return the name that a word is a slip of: in case, space, or one letter; None where it is none.

    Names that differ in a number (``fold1``, ``fold2``) are different names.
    """
    from rapidfuzz.distance import OSA

    for name in names:
        one, other = _bare(word), _bare(name)
        if one == other and one:
            return name
        long_enough = min(len(one), len(other)) >= _SLIP
        same_numbers = re.findall(r"\d+", one) == re.findall(r"\d+", other)
        if long_enough and same_numbers and OSA.distance(one, other, score_cutoff=1) == 1:
            return name
    return None


def _bare(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.casefold())


def parse_splits(text: str) -> tuple[str, str, str]:
    """Return the splits that a cell of the sample sheet names.

    Raises
    ------
    ValueError
        When they are not three names, or shares that make sense.
    """
    names = tuple(name.strip() for name in text.split(","))
    shares = [share_of(name) for name in names]
    given = [name for name, share in zip(names, shares, strict=True) if share is None]
    if len(names) != 3 or not all(names) or len(set(given)) < len(given):
        raise ValueError("expected three names, as in 'train,val,test', or shares, as in '80%,10%,10%'")
    drawn = [share for share in shares if share is not None]
    if any(share <= 0 for share in drawn):
        raise ValueError("expected shares above 0%")
    if len(drawn) == 3 and round(sum(drawn), 6) != 1:
        raise ValueError(f"the shares add up to {100 * sum(drawn):g}%; expected 100%")
    if len(drawn) < 3 and (shares[0] is not None or sum(drawn) >= 1):
        raise ValueError("expected a name for training, from which the shares are drawn: 'train,10%,test'")
    return names[0], names[1], names[2]


def format_of(path: Path) -> str:
    """Return the ending that names the format of a file, that of what is packed in a packed one.

    Raises
    ------
    ValueError
        When it names none that is known.
    """
    endings = [ending.lower() for ending in path.suffixes]
    if endings and endings[-1] in PACKED:
        endings.pop()
    ending = endings[-1] if endings else ""
    if ending not in FORMATS:
        raise ValueError(
            f"the ending {ending!r} names no known format; expected {', '.join(FORMATS)}, "
            f"or one of them packed ({', '.join(PACKED)}){nearest(ending, FORMATS)}"
        )
    return ending


def is_readable(path: Path) -> bool:
    """Return whether the name of a file says that it can be read."""
    try:
        format_of(path)
    except ValueError:
        return False
    return not path.name.startswith((".", "~$"))  # hidden, or of a workbook that is open in Excel


def stem_of(path: Path) -> str:
    """Return the name of a file without the endings that say how to read it."""
    name = path.name
    for known in (PACKED, FORMATS):
        stem, dot, ending = name.rpartition(".")
        if stem and f"{dot}{ending}".lower() in known:
            name = stem
    return name


def matching(pattern: Path) -> list[Path]:
    """Return the files that a pattern with ``*`` or ``?`` matches, sorted; none of what is no pattern."""
    start = Path(pattern.anchor)
    if not has_magic(str(pattern)):
        return []
    return sorted(file for file in start.glob(str(pattern.relative_to(start))) if file.is_file())
