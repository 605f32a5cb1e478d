"""What a data set holds: sizes, labels, lengths as its model counts them, and what would be cut."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from tokenizers import Tokenizer

from polysharp.config.checks import SUMMARY, UNKNOWN, CheckName, Finding, Severity
from polysharp.core import columns
from polysharp.core.files import read_json, write_json
from polysharp.core.paths import TOKENIZER
from polysharp.core.terms import SPLITS
from polysharp.core.tsv import write_table
from polysharp.data.findings import Seen, collect_findings, excerpt
from polysharp.data.prepared import PreparedData
from polysharp.models.folder import READS_PADDING, read_identity, read_positions
from polysharp.reporting.figures import draw_summary

PERCENTILES = (5, 25, 50, 75, 95, 100)
TABLE, PICTURE = "summary.tsv", "summary.png"
COLUMNS = columns.SUMMARY.names


@dataclass(frozen=True)
class Summary:
    """Sizes, labels and lengths of a data set, by split.

    Attributes
    ----------
    tokens
        Lengths of the texts (texts,) in tokens, special ones included.
    pieces, unknown
        Tokens of every text (texts,) without special ones and the prefix; how many of them the vocabulary
        has not.
    max_length
        Tokens that the model reads.
    reads_padding
        Whether the model's predictions depend on the padding beside a text.
    """

    data: PreparedData
    tokens: dict[str, NDArray[np.int64]]
    pieces: dict[str, NDArray[np.int64]]
    unknown: dict[str, NDArray[np.int64]]
    max_length: int
    reads_padding: bool

    def rows(self) -> Iterator[tuple[str, str, str, int]]:
        """Yield the rows of the table: split, measure, name, value."""
        for split in SPLITS:
            labels = self.data.split(split)["labels"].to_list()
            tokens = self.tokens[split]
            counts = Counter(name for names in labels for name in names)
            yield split, "texts", "", len(labels)
            yield from ((split, "label", name, counts[name]) for name in self.data.labels)
            if self.data.label_type == "multi":
                yield split, "without_label", "", sum(not names for names in labels)
            for percentile in PERCENTILES:
                value = int(np.percentile(tokens, percentile, method="lower"))
                yield split, "tokens", f"p{percentile}", value
            yield split, "pieces", "", int(self.pieces[split].sum())
            yield split, "unknown_pieces", "", int(self.unknown[split].sum())
            yield split, "cut_texts", "", int((tokens > self.max_length).sum())
            yield split, "cut_tokens", "", int(np.maximum(tokens - self.max_length, 0).sum())

    def table(self) -> pl.DataFrame:
        """Return the rows as a table."""
        return pl.DataFrame(list(self.rows()), schema=COLUMNS, orient="row")

    def findings(self) -> Iterator[Seen]:
        """Yield what the model cannot do with these texts."""
        for split in SPLITS:
            of_split, unknown = self.data.split(split), self.unknown[split]
            for name, tokens in zip(of_split["id"], self.tokens[split], strict=True):
                if tokens > self.max_length:
                    yield "cut_text", f"{_place(name)}: {tokens} tokens, of which {self.max_length} are read"
            pieces = int(self.pieces[split].sum())
            if pieces and unknown.sum() >= UNKNOWN * pieces:
                most = int(unknown.argmax())
                shown = excerpt(of_split["text"][most])
                share = f"{unknown.sum()} of {pieces} ({unknown.sum() / pieces:.0%})"
                yield "unknown_pieces", f"{split}: {share}; most in {_place(of_split['id'][most])}: {shown!r}"
        if self.reads_padding:
            yield "padding", "the model of this data set"


def _place(name: str) -> str:
    file, _, row = name.rpartition(":")
    return f"{file}, row {row}"


def summarise(data: PreparedData, model: Path, text_prefix: str, max_length: int) -> Summary:
    """Count the tokens of every text as the prepared `model` would read it whole."""
    tokenizer = Tokenizer.from_file(str(model / TOKENIZER))
    unknown_ids = _unknown_ids(tokenizer, read_json(model / TOKENIZER))
    prefix = tokenizer.encode(text_prefix, add_special_tokens=False).ids
    tokens, pieces, unknown = {}, {}, {}
    for split in SPLITS:
        encodings = tokenizer.encode_batch_fast([text_prefix + text for text in data.split(split)["text"]])
        tokens[split] = np.array([len(encoding.ids) for encoding in encodings])
        added = np.array([sum(encoding.special_tokens_mask) for encoding in encodings])
        pieces[split] = np.maximum(tokens[split] - added - len(prefix), 0)
        unknown[split] = np.array([sum(token in unknown_ids for token in e.ids) for e in encodings])
        unknown[split] -= sum(token in unknown_ids for token in prefix)
    reads_padding = read_identity(model).get(READS_PADDING, False)
    return Summary(data, tokens, pieces, unknown, min(max_length, read_positions(model)), reads_padding)


def _unknown_ids(tokenizer: Tokenizer, content: Mapping[str, Any]) -> frozenset[int]:
    """Return the ids that stand for what a vocabulary has not: the unknown piece, and parts of characters.

    Vocabularies of bytes know everything, but what they have no piece of only as the bytes of UTF-8, of
    which two or three make a character.
    """
    model = content["model"]
    unknown = model.get("unk_id")
    if model.get("unk_token") is not None:
        unknown = tokenizer.token_to_id(model["unk_token"])
    bytes_of_utf8 = set()
    if model.get("byte_fallback"):
        bytes_of_utf8 = {f"<0x{byte:02X}>" for byte in range(0x80, 0x100)}
    elif '"ByteLevel"' in json.dumps([content["pre_tokenizer"], content["decoder"]]):
        bytes_of_utf8 = {sign for sign, byte in _byte_level().items() if byte >= 0x80}
    ids = (unknown, *map(tokenizer.token_to_id, bytes_of_utf8))
    return frozenset(token for token in ids if token is not None)


def _byte_level() -> dict[str, int]:
    """Return the byte that each sign of a byte-level vocabulary stands for."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(0x100) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + n): byte for n, byte in enumerate(others)}


def write_summary(summary: Summary, severities: Mapping[CheckName, Severity], folder: Path) -> list[Finding]:
    """Write table, JSON and picture of a data set into `folder`; return what was found."""
    findings = collect_findings([*summary.findings()], severities)
    table = summary.table()
    write_table(table.to_dicts(), COLUMNS, folder / TABLE)
    content = {
        "label_type": summary.data.label_type,
        "max_length": summary.max_length,
        "measures": table.to_dicts(),
        "findings": [finding.as_dict() for finding in findings],
    }
    write_json(folder / SUMMARY, content)
    draw_summary(table, summary.tokens, summary.max_length, folder / PICTURE)
    return findings
