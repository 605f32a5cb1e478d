"""The checks of the data: what each one finds, how severe it is, and what to do about it."""

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
    "near_copy_of_test",
    "near_copy_of_validation",
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
LONGEST_TEXT = 100_000  # characters: about fifty pages, of which a model reads only the first
UNKNOWN = 0.1  # share of unknown tokens that lowers the scores noticeably
RARE = 5  # a label with fewer training texts is rare
SMALL = {"validation": 20, "test": 30}  # texts: one of 20 is worth five points of accuracy
MAX_LINES = 5  # places listed for each finding; the others are counted
UNEQUAL = 20  # ratio of training texts between two labels that counts as imbalance


@dataclass(frozen=True)
class Check:
    """A kind of finding. `title` is a plural that follows a count; `remedy` says what to do."""

    severity: Severity
    title: str
    remedy: str


CHECKS: dict[CheckName, Check] = {
    "encoding": Check("error", "texts or labels that are not UTF-8", "save the file as UTF-8"),
    "text": Check("error", "rows without a text", "add the text, or remove the row"),
    "labels": Check("error", "rows with invalid labels", "correct the label, or remove the row"),
    "control_characters": Check(
        "error", "texts or labels with control characters", "remove them; they come from damaged files"
    ),
    "size": Check(
        "error", f"texts longer than {LONGEST_TEXT:,} characters", "keep only the part to classify"
    ),
    "misspelt_value": Check(
        "error",
        "unused splits or languages that look like misspelt names of used ones",
        "use one spelling for each; to leave the rows out on purpose, rename the value",
    ),
    "untrained_label": Check(
        "error",
        "labels in validation or test that no training text has",
        "correct the label, or add training texts with it: it cannot be learnt, and its F1 is 0",
    ),
    "group_in_two_splits": Check(
        "error", "groups with texts in two splits", "split by group: set splits to 80%,10%,10%"
    ),
    "unlabelled": Check(
        "warning",
        "texts with empty labels, which count as texts without any label",
        "if they are not labelled yet, label them or remove the rows; otherwise nothing",
    ),
    "blank_indicator": Check(
        "warning",
        "rows of 0 and 1 with some empty labels, which count as 0",
        "write 0; if the label is not known, remove the row",
    ),
    "missing_text": Check(
        "warning",
        "texts that look like missing values, and are kept as texts",
        "if the text is missing, remove the row; otherwise nothing",
    ),
    "missing_label": Check(
        "warning",
        "labels that look like missing values, and are kept as labels",
        "if the label is missing, remove the row; otherwise nothing",
    ),
    "missing_group": Check(
        "warning",
        "groups that look like missing values, and count as no group",
        "fill in the group; if this is its real name, spell it differently",
    ),
    "joined_label": Check(
        "warning",
        "labels that combine several others, but count as one label",
        "if texts have several labels, use label_type multi with a delimiter; otherwise nothing",
    ),
    "quotes": Check(
        "warning",
        "rows with quotation marks that may have been misread",
        "check them; to be sure, enclose every field of the file in double quotes, also in the header",
    ),
    "other_split": Check(
        "warning",
        "unused splits, whose rows are left out",
        "if they should be used, name them in splits; otherwise nothing",
    ),
    "copy_in_another_split": Check(
        "warning",
        "texts that also occur in another split",
        "nothing: they were left out of training or validation",
    ),
    "near_copy_of_test": Check(
        "warning",
        "test texts that are nearly the same as a training or validation text",
        "remove one of each pair, or give both the same group: memorised texts make test scores too high",
    ),
    "near_copy_of_validation": Check(
        "warning",
        "validation texts that are nearly the same as a training text",
        "remove one of each pair, or give both the same group: memorised texts lead to worse choices",
    ),
    "contradiction": Check(
        "warning", "duplicate texts with conflicting labels", "decide which labels are right"
    ),
    "copy": Check("warning", "duplicate texts with the same labels", "remove unintended duplicates"),
    "near_copy": Check(
        "warning",
        "texts that are nearly the same as another one in their split",
        "remove unintended duplicates",
    ),
    "language": Check(
        "warning",
        "texts that are not in the expected language (in a sample of 200)",
        "give them their own row in the sample sheet, or remove them",
    ),
    "unknown_language": Check(
        "warning",
        "unknown language names",
        "correct the name; the language of the texts was not checked",
    ),
    "uncovered_language": Check(
        "warning",
        "languages that polysharp cannot detect",
        "nothing; the language of the texts was not checked",
    ),
    "similar_labels": Check(
        "warning", "labels that are spelt almost the same", "use one spelling for each label"
    ),
    "small_split": Check(
        "warning",
        f"splits with few texts (validation below {SMALL['validation']}, test below {SMALL['test']})",
        "label more texts, or make the split larger: a single text changes its scores a lot",
    ),
    "untested_label": Check(
        "warning",
        "labels without texts in validation or test",
        "add such texts, or merge the label with another: its F1 there is 0, which lowers the macro average",
    ),
    "rare_label": Check(
        "warning", f"labels with fewer than {RARE} training texts", "label more texts with them"
    ),
    "imbalance": Check(
        "warning",
        f"labels with {UNEQUAL} times fewer training texts than the most frequent one",
        "judge them by their rows in report.tsv, not by the accuracy",
    ),
    "cut_text": Check(
        "warning",
        "texts that are truncated, because they are too long for the model",
        "raise max_length of the model, or shorten them",
    ),
    "unknown_pieces": Check(
        "warning",
        "splits in which 10 % or more of the tokens are unknown to the model (or single bytes)",
        "choose a model that knows this language and script: it cannot distinguish unknown tokens",
    ),
    "padding": Check(
        "warning",
        "models whose output for a text depends on padding",
        "choose another model: predictions depend on the other texts in the batch",
    ),
}


@dataclass(frozen=True)
class Finding:
    """What a check found: how often, and all places with their content."""

    check: CheckName
    severity: Severity
    count: int
    places: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the finding with its title and remedy."""
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
    """Return a finding of :meth:`Finding.as_dict` as a row of a table, with its first places only."""
    surplus = len(finding["places"]) - MAX_LINES
    more = [f"and {surplus} more"] if surplus > 0 else []
    return {**finding, "places": " | ".join([*finding["places"][:MAX_LINES], *more])}
