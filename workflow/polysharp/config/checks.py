"""What is looked for in data: every check, how severe a finding of it is, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

Severity = Literal["error", "warning", "ignore"]
CheckName = Literal[
    "encoding",
    "text",
    "labels",
    "control_characters",
    "size",
    "misspelt_value",
    "untrained_label",
    "group_in_two_splits",
    "unlabelled",
    "blank_indicator",
    "missing_text",
    "missing_label",
    "missing_group",
    "joined_label",
    "quotes",
    "other_split",
    "copy_in_another_split",
    "near_copy_in_another_split",
    "contradiction",
    "copy",
    "near_copy",
    "language",
    "unknown_language",
    "uncovered_language",
    "similar_labels",
    "small_split",
    "untested_label",
    "rare_label",
    "imbalance",
    "cut_text",
    "unknown_pieces",
    "padding",
]
CHECK_NAMES: tuple[CheckName, ...] = get_args(CheckName)
FINDINGS, PLACES, SUMMARY = "findings.tsv", "findings.json", "summary.json"  # files of a data set
COLUMNS = ["severity", "check", "count", "finding", "remedy", "places"]  # of tables of findings
LONGEST_TEXT = 100_000  # characters: some fifty pages, of which a model reads the first
UNKNOWN = 0.1  # share of unknown pieces from which on the scores suffer
RARE = 5  # training texts of a label
SMALL = 20  # texts of validation or test: one of them is five points of accuracy
MAX_LINES = 5  # places of one finding that are spelled out; the rest is counted
UNEQUAL = 20  # times as many training texts of one label as of another


@dataclass(frozen=True)
class Check:
    """A kind of finding. `title` is said of how many there are, and `remedy` what to do."""

    severity: Severity
    title: str
    remedy: str


CHECKS: dict[CheckName, Check] = {
    "encoding": Check("error", "texts or labels that are not UTF-8", "save the file as UTF-8"),
    "text": Check("error", "rows without a text", "write the text, or remove the row"),
    "labels": Check("error", "rows whose labels cannot be used", "correct the label, or remove the row"),
    "control_characters": Check(
        "error", "texts or labels with control characters", "remove them; they come from damaged files"
    ),
    "size": Check(
        "error", f"texts of more than {LONGEST_TEXT:,} characters", "give what is to be classified alone"
    ),
    "misspelt_value": Check(
        "error",
        "splits or languages that are not taken, and are nearly written as one that is",
        "write each in one way; where they are meant to be left out, rename them",
    ),
    "untrained_label": Check(
        "error",
        "labels in validation or test that no training text has",
        "correct the label, or give it a training text: it cannot be learnt, and counts as 0",
    ),
    "group_in_two_splits": Check(
        "error", "groups with texts in two splits", "split by group: splits 80%,10%,10%"
    ),
    "unlabelled": Check(
        "warning",
        "texts whose labels are left empty, which count as texts without any label",
        "where nobody has labelled them yet, label them or remove the rows",
    ),
    "blank_indicator": Check(
        "warning",
        "rows with 0 and 1 in which some labels have neither, which counts as 0",
        "write 0, or where nobody has decided, remove the rows",
    ),
    "missing_text": Check(
        "warning",
        "texts that look like a missing value, and are taken as they stand",
        "where nothing is known, remove the rows; nothing if the text is meant",
    ),
    "missing_label": Check(
        "warning",
        "labels that look like a missing value, and are taken as they stand",
        "where nothing is known, remove the rows; nothing if the label is meant",
    ),
    "missing_group": Check(
        "warning",
        "groups that look like a missing value, whose texts count as without a group",
        "write who it is; where that is a name, write it in another way",
    ),
    "joined_label": Check(
        "warning",
        "labels that name several others, and are taken as labels of their own",
        "where texts have several labels, use multi, and their delimiter; nothing if the label is meant",
    ),
    "quotes": Check(
        "warning",
        "rows with quotation marks that may be meant otherwise than they were read",
        "look at them; to be sure, enclose every field of the file in double quotes, also in the header",
    ),
    "other_split": Check(
        "warning",
        "splits that are not taken, with their rows",
        "nothing if they are meant to be left out; else name them in splits",
    ),
    "copy_in_another_split": Check(
        "warning",
        "texts that stand in another split too",
        "nothing: they were left out of training or validation",
    ),
    "near_copy_in_another_split": Check(
        "warning",
        "texts that are nearly the same as one in a later split",
        "look at them: what is learnt by heart makes test scores too good",
    ),
    "contradiction": Check("warning", "duplicate texts with conflicting labels", "decide on one of them"),
    "copy": Check("warning", "duplicate texts with the same labels", "remove those not meant"),
    "near_copy": Check(
        "warning", "texts nearly the same as another of their split", "remove those not meant"
    ),
    "language": Check(
        "warning",
        "texts in another language than stated (of a sample of 200)",
        "give them a row of their own in the sample sheet, or remove them",
    ),
    "unknown_language": Check(
        "warning",
        "names of languages that are not known",
        "correct the name; otherwise nothing: whether the texts are in it was not looked at",
    ),
    "uncovered_language": Check(
        "warning",
        "languages that cannot be told from others here",
        "nothing: whether the texts are in it was not looked at",
    ),
    "similar_labels": Check("warning", "labels that are spelt almost alike", "write each label in one way"),
    "small_split": Check(
        "warning",
        f"splits with fewer than {SMALL} texts",
        "label more texts, or make the split larger: one text more or less right changes its scores much",
    ),
    "untested_label": Check(
        "warning",
        "labels without a text in validation or test",
        "label such texts, or give them another label: there its F1 is 0, which lowers the macro average",
    ),
    "rare_label": Check(
        "warning", f"labels with fewer than {RARE} training texts", "label more texts with them"
    ),
    "imbalance": Check(
        "warning",
        f"labels with {UNEQUAL} times fewer training texts than the most frequent one",
        "read their rows in report.tsv, not the accuracy",
    ),
    "cut_text": Check(
        "warning",
        "texts that are longer than the model reads",
        "raise max_length of the model, or shorten them",
    ),
    "unknown_pieces": Check(
        "warning",
        "splits of whose pieces a tenth or more is not in the model's vocabulary (unknown, or single bytes)",
        "choose a model that knows this language and script: what it does not know it cannot tell apart",
    ),
    "padding": Check(
        "warning",
        "models that make of a text something else with other texts beside it, as the padding changes",
        "choose another model: predictions depend on the batch that a text is in",
    ),
}


@dataclass(frozen=True)
class Finding:
    """What a check has found: how often, and every place with what stands there."""

    check: CheckName
    severity: Severity
    count: int
    places: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the finding with what it means and what to do."""
        check = CHECKS[self.check]
        return {
            "check": self.check,
            "severity": self.severity,
            "count": self.count,
            "finding": check.title,
            "remedy": check.remedy,
            "places": list(self.places),
        }

    def lines(self) -> list[str]:
        """Return the first places as lines, and how many more there are."""
        surplus = self.count - MAX_LINES
        more = [f"and {surplus} more {CHECKS[self.check].title}"] if surplus > 0 else []
        return [*self.places[:MAX_LINES], *more]


def as_row(finding: Mapping[str, Any]) -> dict[str, Any]:
    """Return a finding, as :meth:`Finding.as_dict` gives it, as a row of a table: its first places alone."""
    return {**finding, "places": " | ".join(finding["places"][:MAX_LINES])}
