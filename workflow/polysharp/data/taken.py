"""Which rows of a source are used, by their language and split, and findings about the others."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from polysharp.config.checks import CheckName
from polysharp.config.sources import Source, share_of, slip, split_meant
from polysharp.core.errors import nearest
from polysharp.core.terms import SPLITS
from polysharp.data.cells import as_text
from polysharp.data.languages import is_meant
from polysharp.data.readers import FileTable

SHOWN = 20  # values of a column in a message


@dataclass
class Taken:
    """Decides which rows of a source are used, and counts the values of language and split in all rows."""

    source: Source
    _values: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    _first: dict[tuple[str, str], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Look up the names of the splits once."""
        self._split_of_name = dict(zip(self.source.splits, SPLITS, strict=True))

    def split_of(self, table: FileTable, index: int, of_file: str | None) -> tuple[bool, str | None]:
        """Return whether a row is used, and its split; None if splits are still to be drawn."""
        source = self.source
        if source.language_column is not None:
            language = self._value("language", source.language_column, table, index)
            if language.casefold() != str(source.language_value).casefold():
                return False, None
        if source.split_column is not None:
            split = self._split_of_name.get(self._value("split", source.split_column, table, index))
            return split is not None, split
        return True, of_file

    def _value(self, kind: str, column: str, table: FileTable, index: int) -> str:
        value = as_text(table.columns[column][index])
        self._values[kind][value] += 1
        self._first.setdefault((kind, value), f"{table.path}, row {table.rows[index]}")
        return value

    def absent(self) -> Iterator[str]:
        """Yield a line for a language or a split that no row of the files has."""
        source = self.source
        if source.language_column is not None:
            wanted = str(source.language_value)
            if wanted.casefold() not in {value.casefold() for value in self._values["language"]}:
                yield self._no_row("language", source.language_column, wanted)
        if source.split_column is not None:
            for name in source.splits:
                if share_of(name) is None and name not in self._values["split"]:
                    yield self._no_row("split", source.split_column, name)

    def _no_row(self, kind: str, column: str, wanted: str) -> str:
        found = self._values[kind]
        shown = ", ".join(repr(value) for value in sorted(found)[:SHOWN])
        hint = nearest(wanted, found)
        return f"{self.source.path}: no row has {wanted!r} in column {column!r}; its values are {shown}{hint}"

    def left_out(self) -> Iterator[tuple[CheckName, str, str]]:
        """Yield unused values as check, place and message: misspelt names of used ones, and other splits."""
        source = self.source
        if source.language_column is not None:
            wanted = str(source.language_value)
            for value in sorted(self._values["language"]):
                if value.casefold() != wanted.casefold() and is_meant(value, wanted):
                    told = self._told("language", source.language_column, value, wanted)
                    yield "misspelt_value", self._first["language", value], told
        if source.split_column is not None:
            names = {split: name for name, split in self._split_of_name.items() if share_of(name) is None}
            for value in sorted(self._values["split"]):
                if value not in names.values():
                    meant = slip(value, names.values()) or names.get(split_meant(value) or "")
                    told = self._told("split", source.split_column, value, meant)
                    yield "misspelt_value" if meant else "other_split", self._first["split", value], told

    def _told(self, kind: str, column: str, value: str, meant: str | None) -> str:
        count = self._values[kind][value]
        hint = f"; did you mean {meant!r}?" if meant else ""
        return f"{value!r} in column {column!r} ({count} row{'s' * (count > 1)}) is not used{hint}"
