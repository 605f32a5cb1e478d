"""Where the texts of a data set are, as its row of the sample sheet says. Reads no texts."""

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
NAMES = ("train", "val", "test")  # default names of files, or of values in a column
SHARES = ("80%", "10%", "10%")
DELIMITERS = {"space": " ", "tab": "\t"}  # names for invisible delimiters
HUB = "hub:"
FETCHED_FOLDER, FETCHED = "sources", "fetched.json"  # of data sets from the hub: folder, list of contents
_SPLIT_WORDS = {  # usual words for the three
    "train": {"train", "training", "trn"},
    "validation": {"validation", "valid", "val", "development", "devel", "dev"},
    "test": {"test", "testing", "tst"},
}
_SLIP = 4  # characters of a name: shorter names that differ in one are different names
_HUB = re.compile(r"hub:(?P<name>[^@#\s]+)(?:@(?P<revision>[^#\s]+))?(?:#(?P<configuration>\S.*))?")
_SHARE = re.compile(r"(\d+(?:\.\d+)?)\s*%")


@dataclass(frozen=True)
class HubSource:
    """A data set on the hub: which one, at which revision, and which of its configurations."""

    name: str
    revision: str | None = None
    configuration: str | None = None

    def __str__(self) -> str:
        """Return it as written in the sample sheet."""
        revision = f"@{self.revision}" if self.revision else ""
        return f"{HUB}{self.name}{revision}" + (f"#{self.configuration}" if self.configuration else "")


@dataclass(frozen=True)
class Source:
    """Files of texts and labels, and which of their rows and columns are used.

    Parameters
    ----------
    path
        A file, a folder, or a pattern of files.
    sheet
        The sheet of a workbook; None if it has only one.
    text
        Column of the texts.
    labels
        Column of the labels. Several columns, or patterns, hold 0 or 1, and their names are the labels.
    delimiter
        The separator between the labels of a text if one value holds several.
    group
        Column of speakers, documents or the like: texts of one group are never in two splits.
    language_column, language_value
        For files with several languages: the column that holds the language, and its value for this one.
    split_column
        Column that holds the split.
    splits
        For training, validation and test: the name (of the file, or in `split_column`), or the share to
        draw (``10%``): from all texts if all three are shares, else from the training texts.
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
        """Names and patterns of all columns that are read."""
        given = (self.text, *self.labels, self.group, self.language_column, self.split_column)
        return [name for name in dict.fromkeys(given) if name is not None]

    @property
    def shares(self) -> dict[str, float]:
        """The splits that are drawn, with their shares."""
        return {
            split: share
            for split, name in zip(SPLITS, self.splits, strict=True)
            if (share := share_of(name)) is not None
        }

    @property
    def problem(self) -> str | None:
        """What is wrong with the splits of a single file, if anything."""
        if len(self.shares) == len(SPLITS) or self.split_column or not Path(self.path).is_file():
            return None
        return (
            f"splits: {','.join(self.splits)!r}: {self.path} is one file; expected shares, as in "
            "'80%,10%,10%', or split_column, the column that holds the split"
        )

    def as_arguments(self) -> list[str]:
        """Return all that differs from the defaults as arguments of `polysharp prepare-data`."""
        arguments = [f"--source={self.path}"]
        for field in fields(self)[1:]:
            value = getattr(self, field.name)
            if value != field.default:
                given = ",".join(value) if isinstance(value, tuple) else value
                arguments.append(f"--{field.name.replace('_', '-')}={given}")
        return arguments

    def files(self) -> dict[Path, str | None]:
        """Return the files, and the split that each one holds; None if it holds several.

        Raises
        ------
        UserError
            When a file is missing or ambiguous.
        """
        path = Path(self.path)
        if path.is_file():
            found, whole = [path], True
        elif path.is_dir():
            found, whole = sorted(file for file in path.iterdir() if is_readable(file)), False
        else:
            found, whole = [file for file in matching(path) if is_readable(file)], False
        if not found:
            raise UserError(f"{path}: no file of a known format; expected one of {', '.join(FORMATS)}")
        if whole or self.split_column or len(self.shares) == len(SPLITS):
            return dict.fromkeys(found)
        return self._by_name(found, path.is_dir())

    def _by_name(self, found: Sequence[Path], one_each: bool) -> dict[Path, str | None]:
        """Return the files that are named after splits."""
        result: dict[Path, str | None] = {}
        lines = []
        stems = list(dict.fromkeys(stem_of(file) for file in found))
        stem_of_split = {means: stem for stem in reversed(stems) if (means := split_meant(stem))}
        remedy = "if the texts are not split, set splits to 80%,10%,10%"
        if set(SPLITS) <= stem_of_split.keys():
            remedy = f"set splits to {','.join(stem_of_split[split] for split in SPLITS)}"
        for split, name in zip(SPLITS, self.splits, strict=True):
            if share_of(name) is not None:
                continue
            named = [file for file in found if stem_of(file) == name]
            if not named:
                lines.append(
                    f"{self.path}: no file {name!r} for {split}; there are {', '.join(stems)}"
                    f"{nearest(name, stems)}; {remedy}"
                )
            elif one_each and len(named) > 1:
                names = " and ".join(file.name for file in named)
                lines.append(f"{self.path}: {names} for {split}; expected one file, or a pattern as source")
            result |= dict.fromkeys(named, split)
        named_splits = [name for name in self.splits if share_of(name) is None]
        lines += [
            f"{file}: not used; did you mean {meant!r}?"
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
        When it has another form.
    """
    match = _HUB.fullmatch(text)
    if match is None:
        raise UserError(f"{text!r}: expected hub:org/name, optionally with @revision and #configuration")
    return HubSource(**match.groupdict())


def share_of(name: str) -> float | None:
    """Return the share that ``10%`` means, between 0 and 1; None for a name."""
    match = _SHARE.fullmatch(name.strip())
    return float(match[1]) / 100 if match else None


def split_meant(word: str) -> str | None:
    """Return the split that a word means, in any spelling, or None."""
    bare = _bare(word)
    return next((split for split, words in _SPLIT_WORDS.items() if bare in words), None)


def slip(word: str, names: Iterable[str]) -> str | None:
    """Return the name that a word misspells, in case, space or one letter; None if there is no such name.

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
    """Return the splits in a cell of the sample sheet.

    Raises
    ------
    ValueError
        When they are not three names or valid shares.
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
    """Return the ending that names the format of a file, without the ending of a compression.

    Raises
    ------
    ValueError
        When the format is not known.
    """
    endings = [ending.lower() for ending in path.suffixes]
    if endings and endings[-1] in PACKED:
        endings.pop()
    ending = endings[-1] if endings else ""
    if ending not in FORMATS:
        raise ValueError(
            f"unknown ending {ending!r}; expected {', '.join(FORMATS)}, "
            f"or one of them compressed ({', '.join(PACKED)}){nearest(ending, FORMATS)}"
        )
    return ending


def is_readable(path: Path) -> bool:
    """Return whether a file can be read, judging by its name."""
    try:
        format_of(path)
    except ValueError:
        return False
    return not path.name.startswith((".", "~$"))  # hidden, or the lock of a workbook that is open in Excel


def stem_of(path: Path) -> str:
    """Return the name of a file without the endings of format and compression."""
    name = path.name
    for known in (PACKED, FORMATS):
        stem, dot, ending = name.rpartition(".")
        if stem and f"{dot}{ending}".lower() in known:
            name = stem
    return name


def matching(pattern: Path) -> list[Path]:
    """Return the files that a pattern with ``*`` or ``?`` matches, sorted; none if it is not a pattern."""
    start = Path(pattern.anchor)
    if not has_magic(str(pattern)):
        return []
    return sorted(file for file in start.glob(str(pattern.relative_to(start))) if file.is_file())
