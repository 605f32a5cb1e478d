"""The tables of a study and what their columns mean: the one definition behind tables and docs/tables.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from polysharp.core.terms import METRICS, REPORTED


@dataclass(frozen=True)
class Table:
    """A table of a study: its file, what one row of it is, its columns with their meaning."""

    file: str
    row: str
    columns: Mapping[str, str]

    @property
    def names(self) -> list[str]:
        """Return the names of the columns, in their order."""
        return list(self.columns)


def dataset_of(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return the data set that a row of a table is of: task, language, label type."""
    return row["task"], row["language"], row["label_type"]


_DATASET = {
    "task": "what is classified",
    "language": "language of the texts",
    "label_type": "`single`: one label per text; `multi`: any number",
}
_CELL = {**_DATASET, "method": "method, as the configuration names it"}
CELL = list(_CELL)  # columns that say which data set and method a row is of
_SEEDS = {
    "n_seeds": "seeds that are there; a method that draws nothing at random has one",
    "n_expected": "seeds that should be there",
}
_STATUS = {"status": "`complete`, `partial` (some seeds are missing) or `missing`"}
_DIFFERENCE = {
    "reference": "method that this one is compared with",
    "difference": "`test_mean` of this method minus that of the reference",
    "difference_ci_low": "95 % interval of `difference`, lower end; texts and seeds are paired; empty "
    "where resamples do not differ",
    "difference_ci_high": "upper end",
    "p_value": "of the paired test over seeds and texts together that there is no difference; empty where "
    "there is nothing to test: a cell is missing, or a method that draws at random has one seed alone",
    "p_adjusted": "`p_value` adjusted by Holm's method for all the tests whose p-values this table prints",
    "verdict": "`better` or `worse` where the interval leaves out 0 and `p_adjusted` is below .05; `tie` "
    "otherwise; `reference` in the rows of the reference; empty where a cell of either is missing",
}
_PROPORTIONS = {
    "precision": "share of the texts with this label among those that it was predicted for",
    "recall": "share of the texts that it was predicted for among those with this label",
    "f1": "harmonic mean of the two",
}

REPORT = Table(
    "report.tsv",
    "a label or an average of one method's classification report on one split of a data set",
    {
        **_CELL,
        "split": "`validation` or `test`. Validation scores are optimistic: choices were made on them",
        "row_type": "`label`, `average` or `accuracy`",
        "row": "the label; `macro avg` (mean over all labels, those without texts included, which count as "
        "0), `weighted avg` (by support), `micro avg` (all decisions together), `samples avg` (mean over "
        "texts; one without labels counts as 0, even when none was predicted, as in scikit-learn); "
        "`accuracy` (of multi-label texts: all labels right)",
        **{
            f"{name}_{end}": f"{what}: {meaning}"
            for name, meaning in _PROPORTIONS.items()
            for end, what in (("mean", "mean over seeds"), ("sd", "standard deviation over seeds (n - 1)"))
        },
        "f1_ci_low": "95 % interval of `f1_mean` over seeds and texts together, lower end; empty where "
        "resamples do not differ, as where every text is right, which does not mean that it is certain",
        "f1_ci_high": "upper end. Accuracy stands in the f1 columns of its row",
        "support": "texts with this label; in rows of averages, labels of all texts",
        **_SEEDS,
        **_STATUS,
        "best_seed": "the seed that is best on validation",
        "best_f1": "its F1 in this row",
    },
)
COMPARISON = Table(
    "comparison.tsv",
    "one method on one data set: the headline",
    {
        **_CELL,
        **_STATUS,
        **_SEEDS,
        "coverage": "`n_seeds` / `n_expected`",
        "n_test": "texts of the test split",
        "metric": "the score in the columns that follow: the configuration's `selection_metric`",
        "validation_mean": "mean over seeds on validation; optimistic, as choices were made on it",
        "validation_sd": "standard deviation over seeds (n - 1)",
        "test_mean": "mean over seeds on test",
        "test_sd": "standard deviation over seeds (n - 1)",
        "test_ci_low": "95 % interval of `test_mean` over seeds and texts together, lower end; empty where "
        "resamples do not differ",
        "test_ci_high": "upper end",
        "accuracy_mean": "accuracy on test, mean over seeds",
        "ece_mean": "expected calibration error on test, mean over seeds: by how much stated "
        "probabilities miss the shares that come true. Of values of C with the same validation score the "
        "smallest is taken, whose probabilities are the most cautious: with perfect scores it may be large",
        "unmapped": "of predictions from outside: test texts whose answer stands for no label, or of "
        "`single` for several; they count as wrong in the accuracy, and as no label in the other scores",
        **_DIFFERENCE,
        "standing": "`best`: every other method of the data set is worse, by tests that allow for all pairs "
        "of methods; `tie`: the highest method and those that cannot be distinguished from it; empty: worse "
        "than the highest, or a cell of the data set is missing. The probability of any false claim in "
        "this column is at most .05",
        "best_seed": "the seed that is best on validation",
        "environments": "in how many different environments (versions, processor or GPU, threads) the "
        "seeds of this method and of the reference were trained; above 1 small differences may be theirs",
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
        "same, as if all were of one language (only where the languages have the same labels)",
        "languages": "languages averaged over: those of which every cell of every method is there",
        "languages_expected": "languages of the study",
        **_SEEDS,
        "metric": COMPARISON.columns["metric"],
        "test_mean": "mean over seeds of the average",
        "test_sd": "standard deviation over seeds (n - 1) of the average",
        "test_ci_low": "95 % interval over seeds and texts together, lower end; for these languages, not "
        "for languages in general. Of languages with as many test texts the same places are drawn, so "
        "that translations of the same texts count as what they are",
        "test_ci_high": "upper end",
        **_DIFFERENCE,
        "wins": "languages in which comparison.tsv says `better`",
        "ties": "languages in which it says `tie`",
        "losses": "languages in which it says `worse`",
    },
)
CONFUSIONS = Table(
    "confusions.tsv",
    "a label that texts have, beside a label that was predicted",
    {
        **_CELL,
        "split": "`validation` or `test`",
        "true": "a label of the texts; empty where a label was predicted too much",
        "predicted": "of `single`, the label that was predicted: together the confusion matrix. Of `multi`, "
        "the same label where it was found, else a label that was predicted wrongly beside it; empty "
        "where it was missed and nothing was wrongly predicted",
        "texts_mean": "number of texts, mean over seeds",
        "n_seeds": _SEEDS["n_seeds"],
    },
)
CURVES = Table(
    "curves.tsv",
    "an epoch of a method's training on one data set",
    {
        **_CELL,
        "epoch": "passes over the training texts; 0 is the state before training",
        "loss_mean": "loss on training texts in this epoch, mean over seeds",
        "loss_sd": "standard deviation over seeds (n - 1)",
        "metric": "the score in the next columns",
        "validation_mean": "score on validation after this epoch, mean over seeds",
        "validation_sd": "standard deviation over seeds (n - 1)",
        "chosen": "seeds whose best epoch this is",
        "n_seeds": "seeds that reached this epoch",
    },
)
RUNS = Table(
    "runs.tsv",
    "one cell: a data set, a method and a seed",
    {
        **_CELL,
        "seed": "seed; 0 for a method that draws nothing at random",
        "status": "`complete`, `failed` or `missing`",
        "reason": "why it is not complete",
        **{f"{split}_{metric}": f"{metric} on {split}" for split in REPORTED for metric in METRICS},
        **{f"{split}_ece": f"expected calibration error on {split}" for split in REPORTED},
        "unmapped": "of predictions from outside: test texts whose answer stands for no label",
        "best_epoch": "epoch that is best on validation; 0: none was better than the state before training",
        "thresholds": "by label, as JSON: from which probability on it is predicted (`multi`), chosen on "
        "validation",
        "model": "pre-trained model",
        "model_revision": "its commit or version",
        "model_sha256": "SHA-256 of its files",
        "data_sha256": "SHA-256 of the prepared texts and labels",
        "determinism": "what the last digits depend on: versions, processor or GPU, threads, arithmetic",
        "differs": "parts of `determinism` that are others than in most cells, the arithmetic aside, which "
        "is a setting",
        "code_sha256": "SHA-256 of polysharp's library",
    },
)
COSTS = Table(
    "costs.tsv",
    "what one cell took; the one table that differs from run to run",
    {
        **_CELL,
        "seed": RUNS.columns["seed"],
        "seconds": "wall-clock time, that of interrupted processes included",
        "memory_mb": "peak memory of the process",
        "gpu": "kind of GPU; empty without one",
        "gpu_memory_mb": "peak memory on it",
        "gpu_hours": "`seconds` in hours where there was a GPU, else 0",
        "host": "name of the machine",
    },
)
TABLES = (REPORT, COMPARISON, AVERAGES, CONFUSIONS, CURVES, RUNS, COSTS)

_FINDING = {
    "severity": "`error` (the data set is refused) or `warning`",
    "check": "what was looked for (config/README.md)",
    "count": "how often it was found",
    "finding": "what was found",
    "remedy": "what to do about it",
    "places": "where: the first places, with file and row",
}
CHECK = Table("check.tsv", "a kind of finding in a data set; `data/…/findings.tsv` is the same of one", {
    **_DATASET, **_FINDING,
})  # fmt: skip
FAILURES = Table(
    "failures.tsv",
    "a cell that failed; the file is there only when one did",
    {
        **_CELL,
        "seed": RUNS.columns["seed"],
        "class": "kind of cause, such as `memory`, `time`, `input`",
        "reason": "what it said, or that it was killed before it could",
        "log": "its log",
        "slurm_job": "its job on Slurm",
        "remedy": "what to do about it",
    },
)
SUMMARY = Table(
    "data/…/summary.tsv",
    "a measure of one split of a data set",
    {
        "split": "`train`, `validation` or `test`",
        "measure": "`texts`, `label` (texts with it), `without_label`, `tokens` (percentiles of the texts' "
        "lengths as the model counts them), `pieces` (all tokens, without special ones), `unknown_pieces` "
        "(those that the model's vocabulary does not have), `cut_texts` (longer than the model reads), "
        "`cut_tokens`",
        "name": "the label, or the percentile",
        "value": "the number",
    },
)
PREDICTIONS = Table(
    "runs/…/predictions.parquet",
    "a validation or test text as one cell predicts it: every score can be recomputed from these",
    {
        "id": "the text: its file and row",
        "split": "`validation` or `test`",
        "y_true": "its labels, a list; of `single` of one",
        "y_pred": "the labels that were predicted, a list; null where an answer from outside stands for no "
        "label: it is wrong in the accuracy, also where `y_true` is empty, and counts as an empty list in "
        "all other scores",
        "scores": "probability of every label, in the order of `labels` in the cell's report.json (which is "
        "the sorted one); empty for predictions from outside",
    },
)
BESIDE = (CHECK, FAILURES, SUMMARY, PREDICTIONS)


def data_dictionary() -> str:
    """Return docs/tables.md: every table and column with its meaning."""
    lines = [
        "<!-- Generated from workflow/polysharp/core/columns.py by `make schemas`. -->",
        "# The tables",
        "",
        "In `results/`: tab-separated, UTF-8, a point before the decimals, six digits; nothing stands "
        "where nothing is known. Text that a spreadsheet would take for a formula has an apostrophe before "
        "it. Rows and columns are in the same order in every run. How intervals and tests are made: "
        "[statistics.md](statistics.md).",
    ]
    for table in (*TABLES, *BESIDE):
        lines += [
            "",
            f"## {table.file}",
            f"One row: {table.row}.",
            "",
            "| column | meaning |",
            "| --- | --- |",
        ]
        lines += [f"| `{name}` | {meaning} |" for name, meaning in table.columns.items()]
    return "\n".join(lines) + "\n"
