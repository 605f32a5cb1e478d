"""Data sets, read, checked, split, freed of leaks, and stored in the one form that training reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from polysharp.config.checks import COLUMNS, FINDINGS, PLACES, CheckName, Finding, Severity, as_row
from polysharp.config.sources import Source
from polysharp.core.errors import UserError
from polysharp.core.files import replacing, write_json
from polysharp.core.labels import label_order
from polysharp.core.paths import EXAMPLES, LABELS
from polysharp.core.terms import SPLITS, LabelType
from polysharp.core.tsv import write_table
from polysharp.data.examples import Example, read_examples
from polysharp.data.findings import (
    collect_findings,
    label_findings,
    language_findings,
    remove_leaks,
    row_findings,
    text_findings,
)
from polysharp.data.splitting import make_splits


class RefusedData(UserError):
    """Data that cannot be used, with everything that was found in them; the lines are the errors."""

    def __init__(self, findings: Sequence[Finding], *lines: str) -> None:
        errors = [finding for finding in findings if finding.severity == "error"]
        super().__init__(*(line for finding in errors for line in finding.lines()), *lines)
        self.findings = findings


def prepare_data(
    source: Source,
    label_type: LabelType,
    severities: Mapping[CheckName, Severity],
    seed: int,
    output: Path,
    language: str | None = None,
) -> list[Finding]:
    """Read, check, split and store a data set in `output`; return the findings, which are stored too.

    Parameters
    ----------
    severities
        Of the checks whose own is not wanted. Where one that concerns single rows is no error, the rows
        that cannot be used are left out.
    seed
        By which splits are drawn, where `source` gives them in shares.
    language
        That the texts should be in, by its English name or its ISO code; None does not look.

    Raises
    ------
    UserError
        When the data cannot be read, or used (RefusedData); nothing is written then.
    """
    examples, findings = _checked(source, label_type, severities, seed, language)
    if any(finding.severity == "error" for finding in findings):
        raise RefusedData(findings)
    with replacing(output / EXAMPLES) as staging:
        pl.DataFrame(
            {
                "id": [e.id for e in examples],
                "split": [e.split for e in examples],
                "text": [e.text for e in examples],
                "labels": _lists([e.labels for e in examples]),
            },
            schema={"id": pl.String, "split": pl.String, "text": pl.String, "labels": pl.List(pl.String)},
        ).write_parquet(staging, statistics=False)
    names = label_order(example.labels for example in examples)
    write_json(output / LABELS, {"label_type": label_type, "labels": names})
    write_findings(findings, output)
    return findings


def _checked(
    source: Source,
    label_type: LabelType,
    severities: Mapping[CheckName, Severity],
    seed: int,
    language: str | None,
) -> tuple[list[Example], list[Finding]]:
    """Return the examples that are kept, and everything that was found."""
    if source.problem:
        raise UserError(source.problem)
    given, problems = read_examples(source, label_type)
    seen = [*row_findings(problems)]
    if not given:
        raise RefusedData(collect_findings(seen, {}))
    try:
        split = make_splits(given, source, seed)
    except UserError as error:  # too few are left: first those that cannot be used, then that
        raise RefusedData(collect_findings(seen, severities), *error.lines) from None
    examples, leaks = remove_leaks(split)
    before, left = (Counter(example.split for example in those) for those in (split, examples))
    lines = [
        f"{source.path}: every text of {name} stands in another split too; expected different texts"
        if before[name]
        else f"{source.path}: no text of {name} can be used; expected some"
        for name in SPLITS
        if not left[name]
    ]
    learnable = label_order(example.labels for example in examples if example.split == "train")
    if len(learnable) < 2:
        lines.append(f"{source.path}: the training texts have the labels {learnable}; expected two or more")
    elif len({example.labels for example in examples if example.split == "train"}) < 2:
        lines.append(
            f"{source.path}: every training text has the labels {learnable}; expected different ones"
        )
    if lines:
        raise RefusedData(collect_findings(seen, severities), *lines)
    seen += [*leaks, *label_findings(examples), *text_findings(examples)]
    if language is not None and severities.get("language") != "ignore":
        seen += language_findings(examples, language)
    return examples, collect_findings(seen, severities)


def _lists(values: Sequence[Sequence[str]]) -> pl.Series:
    """Return a column of lists of text; polars takes ten times as long over Python's own lists."""
    ends = np.cumsum([0, *map(len, values)])
    flat = pa.array(list(chain.from_iterable(values)), pa.large_string())
    return pl.Series(pa.LargeListArray.from_arrays(ends, flat))


def write_findings(findings: Sequence[Finding], folder: Path) -> None:
    """Write findings as a table, with the first places of each, and as JSON with all of them."""
    entries = [finding.as_dict() for finding in findings]
    write_json(folder / PLACES, entries)
    write_table([as_row(entry) for entry in entries], COLUMNS, folder / FINDINGS)
