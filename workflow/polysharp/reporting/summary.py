"""What a data set holds: sizes, labels, lengths as its model counts them, and what would be cut."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from tokenizers import Tokenizer

from polysharp.config.checks import SUMMARY, CheckName, Finding, Severity
from polysharp.core import columns
from polysharp.core.files import write_json
from polysharp.core.paths import TOKENIZER
from polysharp.core.terms import SPLITS
from polysharp.core.tsv import write_table
from polysharp.data.findings import Seen, collect_findings
from polysharp.data.prepared import PreparedData
from polysharp.models.folder import read_positions
from polysharp.reporting.figures import draw_summary

PERCENTILES = (5, 25, 50, 75, 95, 100)
TABLE, PICTURE = "summary.tsv", "summary.png"
COLUMNS = columns.SUMMARY.names


@dataclass(frozen=True)
class Summary:
    """Sizes, labels and lengths of a data set; lengths in tokens, special ones included."""

    data: PreparedData
    tokens: dict[str, NDArray[np.int64]]
    max_length: int

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
            yield split, "cut_texts", "", int((tokens > self.max_length).sum())
            yield split, "cut_tokens", "", int(np.maximum(tokens - self.max_length, 0).sum())

    def table(self) -> pl.DataFrame:
        """Return the rows as a table."""
        return pl.DataFrame(list(self.rows()), schema=COLUMNS, orient="row")

    def cut_texts(self) -> Iterator[Seen]:
        """Yield the texts of which the model reads only a part."""
        for split in SPLITS:
            for name, tokens in zip(self.data.split(split)["id"], self.tokens[split], strict=True):
                if tokens > self.max_length:
                    file, _, row = name.rpartition(":")
                    text = f"{tokens} tokens, of which {self.max_length} are read"
                    yield "cut_text", f"{file}, row {row}: {text}"


def summarise(data: PreparedData, model: Path, text_prefix: str, max_length: int) -> Summary:
    """Count the tokens of every text as the prepared `model` would read it whole."""
    tokenizer = Tokenizer.from_file(str(model / TOKENIZER))
    tokens = {}
    for split in SPLITS:
        texts = [text_prefix + text for text in data.split(split)["text"]]
        tokens[split] = np.array([len(encoding.ids) for encoding in tokenizer.encode_batch_fast(texts)])
    return Summary(data, tokens, min(max_length, read_positions(model)))


def write_summary(summary: Summary, severities: Mapping[CheckName, Severity], folder: Path) -> list[Finding]:
    """Write table, JSON and picture of a data set into `folder`; return what was found."""
    findings = collect_findings([*summary.cut_texts()], severities)
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
