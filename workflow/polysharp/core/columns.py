"""The tables of a study and the meaning of their columns: the only definition, also for docs/tables.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from polysharp.core.terms import METRICS, REPORTED


@dataclass(frozen=True)
class Table:
    """A table of a study: its file, what a row stands for, and its columns with their meaning."""

    file: str
    row: str
    columns: Mapping[str, str]

    @property
    def names(self) -> list[str]:
        """Return the names of the columns, in their order."""
        return list(self.columns)


def dataset_of(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return the data set of a row of a table: task, language, label type."""
    return row["task"], row["language"], row["label_type"]


_DATASET = {
    "task": "what is classified",
    "language": "language of the texts",
    "label_type": "`single`: one label per text; `multi`: any number",
}
_CELL = {**_DATASET, "method": "name of the method in the configuration"}
CELL = list(_CELL)  # columns that identify the data set and method of a row
_SEEDS = {
    "n_seeds": "number of complete seeds; a method that draws nothing at random has one",
    "n_expected": "number of seeds that should be complete",
}
_STATUS = {"status": "`complete`, `partial` (some seeds are missing) or `missing`"}
_SOURCE = {"source": "for published scores: where they are from. They were not computed here, are compared "
    "with none, and have no verdict; empty for scores that were computed here"}  # fmt: skip
_DIFFERENCE = {
    "reference": "method that this one is compared with",
    "difference": "`test_mean` of this method minus that of the reference",
    "difference_ci_low": "95 % interval of `difference`, lower end; texts and seeds are paired; empty "
    "if all resamples are equal",
    "difference_ci_high": "upper end",
    "p_value": "of the paired test, over seeds and texts together, that there is no difference; empty if it "
    "cannot be computed: a cell is missing, or a method that draws at random has only one seed",
    "p_adjusted": "`p_value` adjusted by Holm's method for all p-values in this table",
    "verdict": "`better` or `worse` if the interval excludes 0 and `p_adjusted` is below .05; `tie` "
    "otherwise; `reference` in the rows of the reference; empty if a cell of either method is missing",
}
_PROPORTIONS = {
    "precision": "share of the texts with this label among those for which it was predicted",
    "recall": "share of the texts for which it was predicted among those with this label",
    "f1": "harmonic mean of precision and recall",
}

REPORT = Table(
    "report.tsv",
    "a label or an average in the classification report of one method on one split of a data set",
    {
        **_CELL,
        "split": "`validation` or `test`. Validation scores are optimistic: choices were made on them",
        "row_type": "`label`, `average` or `accuracy`",
        "row": "the label; `macro avg` (mean over all labels, where labels without texts count as 0), "
        "`weighted avg` (weighted by support), `micro avg` (all decisions together), `samples avg` (mean "
        "over texts; a text without labels counts as 0, even if none was predicted, as in scikit-learn); "
        "`accuracy` (for `multi`: all labels of a text are right)",
        **{
            f"{name}_{end}": f"{what}: {meaning}"
            for name, meaning in _PROPORTIONS.items()
            for end, what in (("mean", "mean over seeds"), ("sd", "standard deviation over seeds (n - 1)"))
        },
        "f1_ci_low": "95 % interval of `f1_mean` over seeds and texts together, lower end; empty if all "
        "resamples are equal, for example if every text is right: this does not mean certainty",
        "f1_ci_high": "upper end. In the row `accuracy`, the f1 columns hold the accuracy",
        "support": "number of texts with this label; in rows of averages, number of labels of all texts",
        **_SEEDS,
        **_STATUS,
        "best_seed": "the seed with the best score on validation",
        "best_f1": "F1 of this seed in this row",
    },
)
COMPARISON = Table(
    "comparison.tsv",
    "one method on one data set: the main result",
    {
        **_CELL,
        "status": f"{_STATUS['status']}; `published` for scores that were not computed here",
        **_SEEDS,
        "coverage": "`n_seeds` / `n_expected`",
        "n_test": "number of test texts",
        "metric": "the score in the columns that follow: the configuration's `selection_metric`",
        "validation_mean": "mean over seeds on validation; optimistic, as choices were made on it",
        "validation_sd": "standard deviation over seeds (n - 1)",
        "test_mean": "mean over seeds on test",
        "test_sd": "standard deviation over seeds (n - 1)",
        "test_ci_low": "95 % interval of `test_mean` over seeds and texts together, lower end; empty if all "
        "resamples are equal",
        "test_ci_high": "upper end",
        "accuracy_mean": "accuracy on test, mean over seeds",
        "ece_mean": "expected calibration error on test, mean over seeds: how far probabilities differ from "
        "the observed shares. Of several C with the same validation score the smallest is used, which "
        "gives the most cautious probabilities: with perfect scores the error may be large",
        "unmapped": "for predictions from elsewhere: number of test texts whose answer stands for no label, "
        "or with `single` for several; they are wrong in the accuracy, and no label in all other scores",
        **_DIFFERENCE,
        "standing": "`best`: every other method of the data set is worse, by tests that allow for all pairs "
        "of methods; `tie`: the highest method and those that cannot be distinguished from it; empty: worse "
        "than the highest, a soup, or a cell of the data set is missing. The probability of any false claim "
        "in this column is at most .05",
        "best_seed": "the seed with the best score on validation",
        "untrained": "number of seeds in which no epoch was better on validation than the state before "
        "training (by default the probe), which was kept; empty for methods without epochs",
        "environments": "number of different environments (versions, processor or GPU, threads) in which "
        "the seeds of this method and of the reference were trained; above 1, small differences may be "
        "due to them",
        **_SOURCE,
    },
)
AVERAGES = Table(
    "averages.tsv",
    "one method over all languages of a task and label type",
    {
        "task": _CELL["task"],
        "label_type": _CELL["label_type"],
        "method": _CELL["method"],
        "average": "`mean of languages`: every language counts the same; `pooled`: every text counts the "
        "same, as if all were of one language (only if the languages have the same labels)",
        "languages": "number of languages in the average: those with all cells of all methods complete",
        "languages_expected": "number of languages in the study",
        **_SEEDS,
        "metric": COMPARISON.columns["metric"],
        "test_mean": "average on test, mean over seeds",
        "test_sd": "standard deviation of the average over seeds (n - 1)",
        "test_ci_low": "95 % interval over seeds and texts together, lower end; for these languages, not "
        "for languages in general. In languages with the same number of test texts, the same rows are "
        "drawn together, because they may be translations of each other",
        "test_ci_high": "upper end",
        **_DIFFERENCE,
        "wins": "number of languages in which `verdict` in comparison.tsv is `better`",
        "ties": "the same for `tie`",
        "losses": "the same for `worse`",
        **_SOURCE,
    },
)
CONFUSIONS = Table(
    "confusions.tsv",
    "a pair of a true label and a predicted label",
    {
        **_CELL,
        "split": "`validation` or `test`",
        "true": "a label of the texts; empty if a label was predicted in addition to the right ones",
        "predicted": "for `single`, the predicted label: the rows are the confusion matrix. For `multi`, the "
        "same label if it was predicted, else a label that was wrongly predicted for the same text; empty "
        "if the label was missed and none was wrongly predicted",
        "texts_mean": "number of texts, mean over seeds",
        "n_seeds": _SEEDS["n_seeds"],
    },
)
CURVES = Table(
    "curves.tsv",
    "an epoch of a method's training on one data set",
    {
        **_CELL,
        "epoch": "number of passes over the training texts; 0 is the state before training",
        "loss_mean": "loss on training texts in this epoch, mean over seeds",
        "loss_sd": "standard deviation over seeds (n - 1)",
        "metric": "the score in the next columns",
        "validation_mean": "score on validation after this epoch, mean over seeds",
        "validation_sd": "standard deviation over seeds (n - 1)",
        "kept": "number of seeds that keep the weights of this epoch, or average them with others",
        "n_seeds": "number of seeds that reached this epoch",
    },
)
RUNS = Table(
    "runs.tsv",
    "one cell: a data set, a method and a seed",
    {
        **_CELL,
        "seed": "seed; 0 for a method that draws nothing at random",
        "status": "`complete`, `failed` or `missing`",
        "reason": "why the cell is not complete",
        **{f"{split}_{metric}": f"{metric} on {split}" for split in REPORTED for metric in METRICS},
        **{f"{split}_ece": f"expected calibration error on {split}" for split in REPORTED},
        "unmapped": "for predictions from elsewhere: number of test texts whose answer stands for no label",
        "epochs": "epoch whose weights are kept, or the first and last of those that are averaged (`2-4`); 0 "
        "is the state before training",
        "thresholds": "for `multi`, by label, as JSON: the lowest probability at which it is predicted, "
        "chosen on validation",
        "model": "pre-trained model",
        "model_revision": "its commit or version",
        "model_sha256": "SHA-256 of its weights and tokenizer",
        "data_sha256": "SHA-256 of the prepared texts and labels",
        "determinism": "what the last digits depend on: versions, processor or GPU, threads, arithmetic",
        "differs": "parts of `determinism` that differ from those of most cells, except the arithmetic, "
        "which is a setting",
        "code_sha256": "SHA-256 of polysharp's source code",
    },
)
COSTS = Table(
    "costs.tsv",
    "the costs of one cell; the only table that differs from run to run",
    {
        **_CELL,
        "seed": RUNS.columns["seed"],
        "seconds": "wall-clock time of the cell, including interrupted processes",
        "overhead_seconds": "its share of what the process took beside its cells, such as loading libraries, "
        "in proportion to the seconds of each",
        "allocated_seconds": "its share of the time that Slurm counts for the jobs that worked on it; empty "
        "without accounting",
        "forecast_seconds": "what was forecast for it when the run began; empty if nothing was known",
        "memory_mb": "peak memory of the process",
        "gpu": "type of GPU; empty without one",
        "gpu_memory_mb": "peak memory on the GPU",
        "gpu_hours": "hours for which a GPU was allocated: `allocated_seconds`, or else `seconds` and "
        "`overhead_seconds` together; 0 without one",
        "host": "name of the machine",
        "slurm_jobs": "Slurm jobs that worked on the cell",
    },
)
TABLES = (REPORT, COMPARISON, AVERAGES, CONFUSIONS, CURVES, RUNS, COSTS)

_FINDING = {
    "severity": "`error` (the data set is refused) or `warning`",
    "check": "name of the check (config/README.md)",
    "count": "number of places where it was found",
    "finding": "what was found",
    "remedy": "what to do about it",
    "places": "the first places, with file and row, and how many more there are",
}
CHECK = Table("check.tsv", "a kind of finding in a data set; `data/…/findings.tsv` has those of one", {
    **_DATASET, **_FINDING,
})  # fmt: skip
FAILURES = Table(
    "failures.tsv",
    "a failed cell; the file exists only if there is one",
    {
        **_CELL,
        "seed": RUNS.columns["seed"],
        "class": "class of the failure, such as `memory`, `time`, `input`",
        "reason": "the error message, or that the process was killed without one",
        "log": "log file of the cell",
        "slurm_job": "Slurm job of the cell",
        "remedy": "what to do about it",
    },
)
SUMMARY = Table(
    "data/…/summary.tsv",
    "a measure of one split of a data set",
    {
        "split": "`train`, `validation` or `test`",
        "measure": "`texts`, `label` (texts with it), `without_label`, `tokens` (percentiles of the lengths "
        "of texts, in tokens of the model), `pieces` (all tokens, without special ones), `unknown_pieces` "
        "(those that the model's vocabulary does not have), `cut_texts` (longer than the model reads), "
        "`cut_tokens` (those that are not read)",
        "name": "the label or percentile",
        "value": "the number",
    },
)
PREDICTIONS = Table(
    "runs/…/predictions.parquet",
    "the prediction of one cell for a validation or test text; every score can be recomputed from them",
    {
        "id": "the text: its file and row",
        "split": "`validation` or `test`",
        "y_true": "its labels, as a list; with `single` a list of one",
        "y_pred": "the predicted labels, as a list; null if an answer from elsewhere stands for no label: it "
        "is wrong in the accuracy, even if `y_true` is empty, and an empty list in all other scores",
        "scores": "probability of every label, in the order of `labels` in the cell's report.json; empty for "
        "predictions from elsewhere",
    },
)
BESIDE = (CHECK, FAILURES, SUMMARY, PREDICTIONS)


def data_dictionary() -> str:
    """Return the text of docs/tables.md: every table and column with its meaning."""
    lines = [
        "<!-- Generated from workflow/polysharp/core/columns.py by `make schemas`. -->",
        "# The tables",
        "",
        "All tables are in `results/`. They are tab-separated, in UTF-8, with a decimal point and six "
        "decimals; unknown values are empty. Text that a spreadsheet would read as a formula starts with an "
        "apostrophe. Rows and columns have the same order in every run. [statistics.md](statistics.md) "
        "explains how intervals and tests are computed.",
    ]
    for table in (*TABLES, *BESIDE):
        lines += [
            "",
            f"## {table.file}",
            f"Each row is {table.row}.",
            "",
            "| column | meaning |",
            "| --- | --- |",
        ]
        lines += [f"| `{name}` | {meaning} |" for name, meaning in table.columns.items()]
    return "\n".join(lines) + "\n"
