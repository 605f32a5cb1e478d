"""Data sets: read, check, split, remove leaks, and store in the form that training reads."""

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
from polysharp.core.refusal import record_prepared, record_refused
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
    """Data that cannot be used, with all findings; the lines are the errors."""

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
    """Read, check and split a data set, and store it in `output`; return the findings, which are stored too.

    Parameters
    ----------
    severities
        Severities of checks that differ from their own. If a check of single rows is not an error, the rows
        that cannot be used are left out.
    seed
        For drawing splits, if `source` gives them as shares.
    language
        Expected language of the texts, as an English name or ISO code; None: no check.

    Raises
    ------
    UserError
        When the data cannot be read, or not be used (RefusedData). Nothing is written then.
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
    record_prepared(output)
    return findings


def record_refusal(error: UserError, output: Path) -> None:
    """Store in `output` that a data set is refused, with its findings, in place of its texts."""
    write_findings(error.findings if isinstance(error, RefusedData) else [], output)
    record_refused(output, error.lines)


def _checked(
    source: Source,
    label_type: LabelType,
    severities: Mapping[CheckName, Severity],
    seed: int,
    language: str | None,
) -> tuple[list[Example], list[Finding]]:
    """Return the examples that are kept, and all findings."""
    if source.problem:
        raise UserError(source.problem)
    given, problems = read_examples(source, label_type)
    seen = [*row_findings(problems)]
    if not given:
        raise RefusedData(collect_findings(seen, {}))
    try:
        split = make_splits(given, source, seed)
    except UserError as error:  # too few are left: report the unusable rows first
        raise RefusedData(collect_findings(seen, severities), *error.lines) from None
    examples, leaks = remove_leaks(split)
    before, left = (Counter(example.split for example in those) for those in (split, examples))
    lines = [
        f"{source.path}: every text of {name} also occurs in another split; expected different texts"
        if before[name]
        else f"{source.path}: no text of {name} can be used; expected at least one"
        for name in SPLITS
        if not left[name]
    ]
    learnable = label_order(example.labels for example in examples if example.split == "train")
    if len(learnable) < 2:
        lines.append(f"{source.path}: the training texts have the labels {learnable}; expected two or more")
    elif len({example.labels for example in examples if example.split == "train"}) < 2:
        lines.append(
            f"{source.path}: every training text has the labels {learnable}; expected different labels"
        )
    if lines:
        raise RefusedData(collect_findings(seen, severities), *lines)
    seen += [*leaks, *label_findings(examples), *text_findings(examples)]
    if language is not None and severities.get("language") != "ignore":
        seen += language_findings(examples, language)
    return examples, collect_findings(seen, severities)


def _lists(values: Sequence[Sequence[str]]) -> pl.Series:
    """Return a column of lists of text; from Python's own lists, polars takes ten times as long."""
    ends = np.cumsum([0, *map(len, values)])
    flat = pa.array(list(chain.from_iterable(values)), pa.large_string())
    return pl.Series(pa.LargeListArray.from_arrays(ends, flat))


def write_findings(findings: Sequence[Finding], folder: Path) -> None:
    """Write findings as a table, with the first places of each, and as JSON, with all places."""
    entries = [finding.as_dict() for finding in findings]
    write_json(folder / PLACES, entries)
    write_table([as_row(entry) for entry in entries], COLUMNS, folder / FINDINGS)
