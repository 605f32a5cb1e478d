"""Runs, tables and selection: a small study on disk, its logits made up."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from scipy.stats import t as student
from sklearn.calibration import calibration_curve
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, precision_score, recall_score
from sklearn.preprocessing import MultiLabelBinarizer

from polysharp.cli import read_predictions as command
from polysharp.config.sample_sheet import Dataset
from polysharp.config.settings import Configuration
from polysharp.config.study import Cell, Matrix, load_study
from polysharp.core.columns import AVERAGES, COMPARISON, PREDICTIONS, REPORT, TABLES
from polysharp.core.errors import UserError
from polysharp.core.files import read_json, sha256, write_json, write_text
from polysharp.core.labels import encode
from polysharp.core.paths import Paths
from polysharp.core.terms import LabelType
from polysharp.data.preparation import prepare_data
from polysharp.data.prepared import PreparedData, read_prepared
from polysharp.evaluation.decisions import judge
from polysharp.evaluation.statistics import resamples
from polysharp.reporting.exports import LATEX, PARQUET, write_latex
from polysharp.reporting.panels import _matrix
from polysharp.reporting.selection import select_best
from polysharp.reporting.tables import MANIFEST, write_tables
from polysharp.results.completeness import REASONS
from polysharp.results.outcome import Outcome
from polysharp.results.runs import read_history, read_predictions, write_run
from polysharp.results.status import best_run, failures, read_runs
from tests.conftest import make_texts, write_source

STUDY = {
    "seeds": [1, 2, 3],
    "methods": {"sam": {}, "adamw": {}, "twin": {"base": "adamw"}, "tfidf": {}},
    "models": {"default": {"name": "a/model", "revision": "main"}},
    "report": {"reference": "adamw", "bootstrap": 300},
}
# How well the made-up logits know the labels; another number gives other logits.
SKILL = {"sam": 2.5, "adamw": 0.6, "twin": 0.6, "tfidf": 1.0}
REPORT_CONTRACT = (
    "task language label_type method split row_type row precision_mean precision_sd recall_mean recall_sd "
    "f1_mean f1_sd f1_ci_low f1_ci_high support n_seeds n_expected status best_seed best_f1"
)


def make_logits(truth: np.ndarray, skill: float, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=truth.shape)
    return noise + skill * (truth - 0.5)


@dataclass
class Study:
    """A study in a folder of its own."""

    configuration: Configuration
    matrix: Matrix
    paths: Paths

    def data(self, dataset: Dataset) -> PreparedData:
        return read_prepared(self.paths.data(dataset.path))

    def cell(self, label_type: str, method: str, seed: int) -> Cell:
        return next(
            cell
            for cell in self.matrix.cells
            if (cell.dataset.label_type, cell.method, cell.seed) == (label_type, method, seed)
        )

    def train(self, cell: Cell, skill: float | None = None) -> dict[str, Any]:
        """Write a cell's results and its checkpoint; adamw and its twin get the same logits."""
        data, logits, truths = self.data(cell.dataset), {}, {}
        for number, split in enumerate(("validation", "test")):
            truths[split] = encode(data.split(split)["labels"].to_list(), data.labels)
            logits[split] = make_logits(truths[split], skill or SKILL[cell.method], 10 * cell.seed + number)
        decision = judge(logits["validation"], truths["validation"], data.label_type, "macro_f1")
        finetuned = cell.has_checkpoint
        history: list[dict[str, float]] = []
        for epoch in range(3) if finetuned else ():
            loss = {"train_loss": 11 / epoch + cell.seed / 10} if epoch else {}  # 10 and more is no share
            history.append({"epoch": epoch, **loss, "validation_macro_f1": decision.value / (3 - epoch)})
        settings = dict(entry.split("=", 1) for entry in cell.settings)
        about = {
            "settings": {key: json.loads(value) for key, value in settings.items()},
            "selection_metric": "macro_f1",
            "seed": cell.seed,
            "model": {"name": "a/model", "revision": "c" * 40, "sha256": "0" * 64},
            "reading": {"text_prefix": "", "pooling": "mean", "max_length": 128},
            "determinism": "torch",
        }
        outcome = Outcome(logits, decision, [2] if finetuned else None, history)
        report = write_run(self.paths.run(cell.path), data, outcome, about, {"seconds": 1.5, "host": "here"})
        if finetuned:
            write_text(self.paths.checkpoint(cell.path) / "model.safetensors", f"weights of {cell.path}")
            write_text(self.paths.checkpoint(cell.path) / "config.json", '{"polysharp": {"max_length": 16}}')
        return report

    def write(self) -> dict[str, pl.DataFrame]:
        """Write the tables and return them."""
        write_tables(self.matrix, self.configuration, self.paths)
        return self.read()

    def read(self) -> dict[str, pl.DataFrame]:
        return {
            table.file.removesuffix(".tsv"): pl.read_csv(
                self.paths.results / table.file, separator="\t", infer_schema_length=None
            )
            for table in TABLES
        }

    def all_predictions(self, method: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Return true and predicted single labels of all languages, as indicators."""
        parts = [
            pl.read_parquet(self.paths.run(cell.path) / "predictions.parquet").filter(
                pl.col("split") == "test"
            )
            for cell in self.matrix.cells
            if cell.dataset.label_type == "single" and cell.method == method and cell.seed in (seed, 0)
        ]
        both = pl.concat(parts)
        labels = sorted({label for labels in both["y_true"] for label in labels})
        return encode(both["y_true"].to_list(), labels), encode(both["y_pred"].to_list(), labels)

    def bytes(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.paths.results.iterdir() if path.is_file()}


def open_study(folder: Path, content: dict[str, Any] = STUDY) -> Study:
    sheet = folder / "datasets.tsv"
    configuration, matrix = load_study({**content, "datasets": str(sheet)}, [folder])
    return Study(configuration, matrix, Paths(folder / "results", folder / "work"))


def prepared(folder: Path, sources: list[tuple[str, str, str]]) -> Study:
    """Return a study of data sets by language, label type and folder of texts, prepared."""
    rows = ["\t".join(("main", *source)) for source in sources]
    write_text(folder / "datasets.tsv", "\n".join(["task\tlanguage\tlabel_type\tsource", *rows]))
    study = open_study(folder)
    for dataset in study.matrix.datasets:
        prepare_data(dataset.source, dataset.label_type, {}, 0, study.paths.data(dataset.path))
    return study


def make_study(folder: Path) -> Study:
    """Return a study of two data sets, prepared, in which one label stands in no test text."""
    for label_type in ("single", "multi"):
        texts = make_texts(label_type)
        labels = texts["train"]["Labels"]
        labels[0] = "rare" if label_type == "single" else ["rare", "food"]
        write_source(folder / label_type, texts)
    return prepared(folder, [("english", label_type, label_type) for label_type in ("single", "multi")])


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A study in which every cell is complete and the tables are written; not to be changed."""
    study = make_study(tmp_path_factory.mktemp("finished"))
    for cell in study.matrix.cells:
        study.train(cell)
    study.write()
    return study


@pytest.fixture
def study(finished: Study, tmp_path: Path) -> Study:
    """A copy of the finished study, to be changed."""
    shutil.copytree(finished.paths.results.parent, tmp_path / "copy")
    return open_study(tmp_path / "copy")


# --- Predictions and reports of one cell ----------------------------------------------------------


def test_predictions_hold_all_that_was_predicted(finished: Study) -> None:
    for label_type in ("single", "multi"):
        cell = finished.cell(label_type, "sam", 2)
        data, report = finished.data(cell.dataset), read_json(finished.paths.run(cell.path) / "report.json")
        table = pl.read_parquet(finished.paths.run(cell.path) / "predictions.parquet")
        assert table.columns == ["id", "split", "y_true", "y_pred", "scores"]
        reported = data.examples.filter(pl.col("split") != "train").sort("split", descending=True)
        assert table["id"].to_list() == reported["id"].to_list()
        assert table["y_true"].to_list() == reported["labels"].to_list()
        for predicted, scores in table.select("y_pred", "scores").iter_rows():
            if label_type == "single":
                assert sum(scores) == pytest.approx(1)
                assert predicted == [data.labels[int(np.argmax(scores))]]
            else:
                above = zip(data.labels, scores, report["thresholds"], strict=True)
                assert predicted == [name for name, score, threshold in above if score >= threshold]


def test_predictions_have_the_columns_that_they_say(finished: Study) -> None:
    for cell in finished.matrix.cells:
        table = pl.read_parquet(finished.paths.run(cell.path) / "predictions.parquet")
        assert table.columns == PREDICTIONS.names


def test_report_says_what_made_it(finished: Study) -> None:
    cell = finished.cell("multi", "sam", 1)
    report = read_json(finished.paths.run(cell.path) / "report.json")
    library = Path(__import__("polysharp").__file__).parent
    assert report["labels"] == ["animals", "food", "music", "rare"]
    assert report["code_sha256"] == sha256(*sorted(library.rglob("*.py")))
    assert report["data_sha256"] == finished.data(cell.dataset).sha256
    assert (report["epochs"], report["label_type"]) == ([2], "multi")
    history = (finished.paths.run(cell.path) / "history.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in history] == [0, 1, 2]


def test_rewriting_a_run_gives_the_same_bytes(study: Study) -> None:
    cell = study.cell("multi", "tfidf", 0)
    before = {path.name: path.read_bytes() for path in study.paths.run(cell.path).iterdir()}
    study.train(cell)
    assert {path.name: path.read_bytes() for path in study.paths.run(cell.path).iterdir()} == before


def test_not_a_number_is_never_published(study: Study, tmp_path: Path) -> None:
    cell = study.cell("single", "tfidf", 0)
    data = study.data(cell.dataset)
    truth = encode(data.split("validation")["labels"].to_list(), data.labels)
    logits = {split: make_logits(truth, 1, 0) for split in ("validation",)}
    logits["test"] = make_logits(encode(data.split("test")["labels"].to_list(), data.labels), 1, 0)
    decision = judge(logits["validation"], truth, "single", "macro_f1")
    outcome = Outcome(logits, decision, None, [])
    with pytest.raises(ValueError, match="JSON compliant"):
        write_run(tmp_path / "run", data, outcome, {"settings": {"rho": nan}}, {})
    assert not (tmp_path / "run" / "report.json").exists()


# --- The tables of a complete study ---------------------------------------------------------------


def test_columns_are_the_contract(finished: Study) -> None:
    tables = finished.read()
    assert tables["report"].columns == REPORT.names
    assert " ".join(REPORT.names) == REPORT_CONTRACT
    assert tables["comparison"].columns == COMPARISON.names
    assert len(tables["comparison"]) == 8
    assert len(tables["runs"]) == len(tables["costs"]) == 2 * (3 + 3 + 3 + 1)
    assert set(tables["runs"]["status"]) == {"complete"}


def test_rows_stand_in_a_fixed_order(finished: Study) -> None:
    report = finished.read()["report"]
    keys = report.select("language", "label_type", "method", "split").rows()
    blocks = list(dict.fromkeys(keys))
    assert blocks == [
        ("english", label_type, method, split)
        for label_type in ("multi", "single")
        for method in ("sam", "adamw", "twin", "tfidf")
        for split in ("validation", "test")
    ]
    assert keys == sorted(keys, key=blocks.index)
    names = report.filter(label_type="multi", method="sam", split="test")["row"].to_list()
    averages = ["micro avg", "macro avg", "weighted avg", "samples avg"]
    assert names == ["animals", "food", "music", "rare", *averages, "accuracy"]
    names = report.filter(label_type="single", method="sam", split="test")["row"].to_list()
    assert names == ["animals", "food", "music", "rare", "macro avg", "weighted avg", "accuracy"]


def stored(study: Study, cell: Cell, split: str) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return true and predicted labels of a cell as scikit-learn's indicators, and the labels."""
    table = pl.read_parquet(study.paths.run(cell.path) / "predictions.parquet").filter(split=split)
    labels = read_json(study.paths.run(cell.path) / "report.json")["labels"]
    binarizer = MultiLabelBinarizer(classes=labels)
    truth = binarizer.fit_transform(table["y_true"].to_list())
    return truth, binarizer.transform(table["y_pred"].fill_null([]).to_list()), labels


def recomputed(study: Study, cell: Cell, split: str) -> dict[str, tuple[float | None, ...]]:
    """Return precision, recall, F1 and support of every row, by scikit-learn from predictions.parquet."""
    truth, predicted, labels = stored(study, cell, split)
    table = pl.read_parquet(study.paths.run(cell.path) / "predictions.parquet").filter(split=split)
    unmapped = table["y_pred"].is_null().to_numpy()
    averages = {"single": ("macro", "weighted"), "multi": ("micro", "macro", "weighted", "samples")}
    rows: dict[str, tuple[float | None, ...]] = {}

    def scores(average: str | None) -> list[Any]:
        return [
            score(truth, predicted, average=average, zero_division=0)
            for score in (precision_score, recall_score, f1_score)
        ]

    for index, values in enumerate(zip(*scores(None), truth.sum(axis=0), strict=True)):
        rows[labels[index]] = values
    for average in averages[cell.dataset.label_type]:
        rows[f"{average} avg"] = (*scores(average), int(truth.sum()))
    # To scikit-learn an unmapped answer is a label that no text has.
    with_unmapped = np.column_stack([truth, 0 * unmapped]), np.column_stack([predicted, unmapped])
    rows["accuracy"] = (None, None, accuracy_score(*with_unmapped), len(truth))
    return rows


def same(printed: float | None, computed: float | None) -> bool:
    return f"{printed:.6f}" == f"{computed:.6f}" if computed is not None else printed is None


def test_every_number_follows_from_the_stored_predictions(finished: Study) -> None:
    report = finished.read()["report"]
    checked = 0
    for (label_type, method, split), block in report.group_by("label_type", "method", "split"):
        cells = [
            cell
            for cell in finished.matrix.cells
            if cell.method == method and cell.dataset.label_type == label_type
        ]
        per_seed = {cell.seed: recomputed(finished, cell, str(split)) for cell in cells}
        for row in block.to_dicts():
            values = np.array([rows[row["row"]] for rows in per_seed.values()], dtype=float)
            for column, name in enumerate(("precision", "recall", "f1")):
                of_seeds = values[:, column]
                known = not np.isnan(of_seeds).any()
                assert same(row[f"{name}_mean"], of_seeds.mean() if known else None), row
                assert same(row[f"{name}_sd"], of_seeds.std(ddof=1) if known and len(cells) > 1 else None)
                checked += 1
            assert row["support"] == values[0, 3]
            if row["f1_ci_low"] is None:  # the same in every resample: all wrong, or all right
                assert row["f1_mean"] in (0, 1) and row["f1_ci_high"] is None
            else:
                assert row["f1_ci_low"] <= row["f1_mean"] + 1e-6 <= row["f1_ci_high"] + 2e-6
            assert (row["n_seeds"], row["n_expected"], row["status"]) == (len(cells), len(cells), "complete")
            assert same(row["best_f1"], per_seed[row["best_seed"]][row["row"]][2])
    assert checked == 3 * len(report)


def test_an_unmapped_answer_is_wrong_also_on_a_text_without_labels(tmp_path: Path) -> None:
    write_source(tmp_path / "multi", make_texts("multi"))
    data = read_prepared(prepared(tmp_path, [("english", "multi", "multi")]).paths.data("main/english/multi"))
    test = data.split("test")
    truth = test["labels"].to_list()
    without = [row for row, labels in enumerate(truth) if not labels]
    unmapped = [*without[::2], truth.index(["food"])]
    assert 2 < len(unmapped) < len(without)
    answers = [json.dumps(labels) for labels in truth]
    methods: dict[str, dict[str, str]] = {"tfidf": {}}
    for method, answer in (("asked", ""), ("wrong", '["music"]')):
        for row in unmapped:
            answers[row] = answer
        path = tmp_path / f"{method}.tsv"
        pl.DataFrame({"id": test["id"], "predicted": answers}).write_csv(path, separator="\t")
        methods[method] = {"base": "outside", "predictions": str(path)}
    report = {"reference": "tfidf", "bootstrap": 300}
    study = open_study(
        tmp_path, {**STUDY, "methods": methods, "report": report, "selection_metric": "accuracy"}
    )
    for cell in study.matrix.cells:
        if cell.method == "tfidf":
            study.train(cell)
            continue
        folders = f"--data={study.paths.data(cell.dataset.path)}", f"--output={study.paths.run(cell.path)}"
        options = "--language=english", "--metric=accuracy", "--set", *cell.settings
        command.main(command.parser().parse_args([*folders, *options]))
    tables = study.write()

    cell = study.cell("multi", "asked", 0)
    table = pl.read_parquet(study.paths.run(cell.path) / "predictions.parquet")
    assert table["y_pred"].is_null().arg_true().to_list() == sorted(unmapped)
    rows = recomputed(study, cell, "test")
    assert rows["accuracy"][2] == pytest.approx(1 - len(unmapped) / len(test))
    for row in tables["report"].filter(method="asked", split="test").to_dicts():
        assert same(row["f1_mean"], rows[row["row"]][2]), row["row"]
    # Of the accuracy it is the same as an answer that is wrong, in every resample and comparison.
    columns = [name for name in tables["comparison"].columns if name not in ("method", "unmapped")]
    asked, wrong = (
        tables["comparison"].filter(method=method).select(columns).rows() for method in ("asked", "wrong")
    )
    assert asked == wrong
    confusions = tables["confusions"].filter(
        pl.col("true").ne_missing(pl.col("predicted")), method="asked", split="test"
    )
    assert confusions.select("true", "predicted", "texts_mean").rows() == [("food", None, 1)]


def macro_f1(truth: np.ndarray, predicted: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Return macro-F1, far quicker than scikit-learn; test_the_formula_is_that_of_scikit_learn compares."""
    each = np.ones(len(truth)) if weights is None else weights
    hits, all_ = each @ (truth & predicted), each @ truth + each @ predicted
    return float(np.divide(2 * hits, all_, out=np.zeros(len(all_)), where=all_ > 0).mean())


@dataclass
class Formulae:
    """What docs/statistics.md says of scores (seeds,) and their draws (draws, seeds), written again."""

    observed: np.ndarray
    draws: np.ndarray

    def __post_init__(self) -> None:
        self.seeds = len(self.observed)
        self.joint, self.noise = 0.0, np.zeros(len(self.draws))
        if self.seeds > 1:
            beside = self.draws - self.draws.mean(1, keepdims=True)
            self.joint = float(beside.var(0).sum()) / (self.seeds - 1) / self.seeds
            # Which value of t goes with which draw is left to chance, from a seed of its own.
            order = np.random.default_rng([self.seeds, len(self.draws)]).permutation(len(self.draws))
            quantiles = student.ppf((order + 0.5) / len(self.draws), self.seeds - 1)
            self.noise = quantiles * self.observed.std(ddof=1) / np.sqrt(self.seeds)

    def shrunk(self, draws: np.ndarray) -> np.ndarray:
        return draws * np.sqrt(max(float(np.mean(draws**2)) - self.joint, 0) / float(np.mean(draws**2)))

    def interval(self) -> tuple[float, float]:
        mean = self.draws.mean(1)
        low, high = np.percentile(mean.mean() + self.shrunk(mean - mean.mean()) + self.noise, [2.5, 97.5])
        return float(low), float(high)

    def p_value(self, swapped: np.ndarray) -> float:
        texts = self.shrunk(swapped)
        sums = np.abs([texts + self.noise, texts - self.noise])
        return float(((sums >= abs(self.observed.mean()) - 1e-12).sum() + 1) / (sums.size + 1))


def test_the_formula_is_that_of_scikit_learn(finished: Study) -> None:
    (weights,) = resamples(30, 20).weights()
    for cell in finished.matrix.cells:
        truth, predicted, _ = stored(finished, cell, "test")
        for of_draw in (None, *weights):
            expected = f1_score(truth, predicted, average="macro", sample_weight=of_draw, zero_division=0)
            assert macro_f1(truth, predicted, of_draw) == pytest.approx(expected)


@pytest.mark.parametrize("label_type", ["single", "multi"])
def test_intervals_and_p_values_follow_from_the_stored_predictions(
    finished: Study, label_type: LabelType
) -> None:
    # Only which texts are drawn is the library's; what they give is scikit-learn's.
    rows = finished.read()["comparison"].filter(label_type=label_type).to_dicts()
    (weights,), (swaps,) = resamples(30, 300).weights(), resamples(30, 300).swaps()
    pairs, scores = {}, {}
    for method in ("sam", "adamw", "tfidf"):
        cells = [c for c in finished.matrix.cells if (c.method, c.dataset.label_type) == (method, label_type)]
        pairs[method] = [stored(finished, cell, "test")[:2] for cell in cells]
        scores[method] = Formulae(
            np.array([macro_f1(*pair) for pair in pairs[method]]),
            np.array([[macro_f1(*pair, w) for pair in pairs[method]] for w in weights]),
        )
    for row in rows:
        method = row["method"]
        if method == "twin":  # the same as adamw
            continue
        assert row["test_mean"] == pytest.approx(scores[method].observed.mean(), abs=1e-6)
        low, high = scores[method].interval()
        assert row["test_ci_low"] == pytest.approx(max(low, 0), abs=1e-6)
        assert row["test_ci_high"] == pytest.approx(min(high, 1), abs=1e-6)
        if method == "adamw":  # the reference
            continue
        # A method that has one seed stands beside each seed of the other.
        mine, its = scores[method], scores["adamw"]
        difference = Formulae(mine.observed - its.observed, mine.draws - its.draws)
        assert row["difference"] == pytest.approx(difference.observed.mean(), abs=1e-6)
        found = row["difference_ci_low"], row["difference_ci_high"]
        assert found == pytest.approx(difference.interval(), abs=1e-6)
        swapped = np.zeros(300)
        for seed in range(3):
            truth, ours = pairs[method][seed % len(pairs[method])]
            theirs = pairs["adamw"][seed][1]
            for draw, places in enumerate(swaps.astype(bool)[:, :, None]):
                a, b = np.where(places, theirs, ours), np.where(places, ours, theirs)
                swapped[draw] += (macro_f1(truth, a) - macro_f1(truth, b)) / 3
        expected = difference.p_value(swapped)
        if expected * 601 >= 21:  # enough draws to tell
            assert row["p_value"] == pytest.approx(expected, abs=1e-6)
        else:
            assert row["p_value"] < 21 / 601


@pytest.mark.parametrize("label_type", ["single", "multi"])
def test_calibration_and_accuracy_follow_from_the_stored_predictions(
    finished: Study, label_type: LabelType
) -> None:
    for row in finished.read()["comparison"].filter(label_type=label_type).to_dicts():
        errors, accuracies = [], []
        for cell in finished.matrix.cells:
            if (cell.method, cell.dataset.label_type) != (row["method"], label_type):
                continue
            truth, predicted, _ = stored(finished, cell, "test")
            table = pl.read_parquet(finished.paths.run(cell.path) / "predictions.parquet")
            said = np.array(table.filter(split="test")["scores"].to_list())
            accuracies.append(accuracy_score(truth, predicted))
            if label_type == "single":  # whether the likeliest label is right
                truth, said = truth[np.arange(30), said.argmax(1)], said.max(1)
            sizes, _ = np.histogram(said, 15, (0, 1))
            shares, means = calibration_curve(truth.ravel(), said.ravel(), n_bins=15)
            errors.append(np.abs(shares - means) @ sizes[sizes > 0] / said.size)
        assert row["ece_mean"] == pytest.approx(np.mean(errors), abs=1e-6)
        assert row["accuracy_mean"] == pytest.approx(np.mean(accuracies), abs=1e-6)


def test_labels_without_support_are_shown_and_count(finished: Study) -> None:
    report = finished.read()["report"].filter(split="test")
    for label_type in ("single", "multi"):
        rows = report.filter(label_type=label_type, method="adamw", row_type="label").to_dicts()
        rare = rows[-1]
        assert (rare["row"], rare["support"], rare["f1_mean"]) == ("rare", 0, 0.0)
        macro = report.filter(label_type=label_type, method="adamw", row="macro avg")["f1_mean"][0]
        assert macro == pytest.approx(np.mean([row["f1_mean"] for row in rows]), abs=2e-6)


def test_comparison_agrees_with_the_report(finished: Study) -> None:
    tables = finished.read()
    macro = tables["report"].filter(pl.col("row") == "macro avg")
    for row in tables["comparison"].to_dicts():
        of_row = macro.filter(label_type=row["label_type"], method=row["method"])
        test = of_row.filter(split="test").to_dicts()[0]
        validation = of_row.filter(split="validation").to_dicts()[0]
        for ours, theirs in (("mean", "f1_mean"), ("sd", "f1_sd")):
            assert row[f"test_{ours}"] == test[theirs]
            assert row[f"validation_{ours}"] == validation[theirs]
        assert (row["test_ci_low"], row["test_ci_high"]) == (test["f1_ci_low"], test["f1_ci_high"])
        assert row["best_seed"] == test["best_seed"]
        assert (row["metric"], row["n_test"]) == ("macro_f1", 30)


def test_verdicts(finished: Study) -> None:
    comparison = finished.read()["comparison"]
    for label_type in ("single", "multi"):
        rows = {row["method"]: row for row in comparison.filter(label_type=label_type).to_dicts()}
        verdicts = {method: row["verdict"] for method, row in rows.items() if method != "tfidf"}
        assert verdicts == {"sam": "better", "adamw": "reference", "twin": "tie"}
        twin, sam, reference = rows["twin"], rows["sam"], rows["adamw"]
        assert (twin["difference"], twin["difference_ci_low"], twin["difference_ci_high"]) == (0, None, None)
        assert twin["p_value"] == twin["p_adjusted"] == 1
        assert sam["difference"] == pytest.approx(sam["test_mean"] - reference["test_mean"], abs=2e-6)
        assert 0 < sam["difference_ci_low"] < sam["difference"] < sam["difference_ci_high"]
        assert 0 < sam["p_value"] <= sam["p_adjusted"] < 0.05
        for column in ("difference", "difference_ci_low", "p_value", "p_adjusted"):
            assert reference[column] is None


def test_a_method_below_the_reference_is_worse(study: Study) -> None:
    content = STUDY | {"report": {"reference": "sam", "bootstrap": 300}}
    rows = open_study(study.paths.results.parent, content).write()["comparison"]
    assert set(rows.filter(method="adamw")["verdict"]) == {"worse"}


@pytest.mark.parametrize("metric", ["macro_f1", "micro_f1", "weighted_f1", "accuracy"])
def test_every_selection_metric_is_a_row_of_the_report(study: Study, metric: str) -> None:
    for cell in study.matrix.cells:
        path = study.paths.run(cell.path) / "report.json"
        write_json(path, read_json(path) | {"selection_metric": metric})
    tables = open_study(study.paths.results.parent, STUDY | {"selection_metric": metric}).write()
    for row in tables["comparison"].to_dicts():
        runs = tables["runs"].filter(label_type=row["label_type"], method=row["method"])
        assert row["test_mean"] == pytest.approx(runs[f"test_{metric}"].mean(), abs=2e-6)
        best = runs.sort(f"validation_{metric}", descending=True, maintain_order=True)["seed"][0]
        assert row["best_seed"] == best
        assert row["test_ci_low"] <= row["test_mean"] <= row["test_ci_high"]


def test_the_reference_may_be_named_as_it_is_configured(study: Study) -> None:
    methods = {"sam": {}, "Adam W": {"base": "adamw"}, "twin": {"base": "adamw"}, "tfidf": {}}
    content = STUDY | {"methods": methods, "report": {"reference": "Adam W", "bootstrap": 300}}
    for label_type in ("single", "multi"):
        for seed in (1, 2, 3):
            source = study.paths.run(study.cell(label_type, "adamw", seed).path)
            if source.exists():  # with all its seeds
                source.parent.rename(source.parent.with_name("adam-w"))
    comparison = open_study(study.paths.results.parent, content).write()["comparison"]
    verdicts = dict(comparison.filter(label_type="single").select("method", "verdict").iter_rows())
    assert verdicts["adam-w"] == "reference" and verdicts["sam"] == "better"


def test_runs_whose_data_are_not_prepared_are_missing(study: Study) -> None:
    dataset = study.cell("single", "sam", 1).dataset
    shutil.rmtree(study.paths.data(dataset.path))
    runs = study.write()["runs"].filter(label_type="single")
    assert set(runs["status"]) == {"missing"} and "not prepared" in runs["reason"][0]


def test_without_a_reference_nothing_is_compared(study: Study) -> None:
    content = STUDY | {"report": {"bootstrap": 300}}
    rows = open_study(study.paths.results.parent, content).write()["comparison"]
    assert rows["verdict"].null_count() == rows["p_value"].null_count() == len(rows)


def test_tables_are_the_same_bytes_when_written_again(study: Study) -> None:
    before = study.bytes()
    assert set(before) == {*(table.file for table in TABLES), PARQUET, LATEX, MANIFEST}
    study.write()
    assert study.bytes() == before


def test_tables_are_plain(finished: Study) -> None:
    for table in TABLES:
        text = (finished.paths.results / table.file).read_bytes().decode("utf-8")
        assert "\r" not in text and text.endswith("\n")
        widths = {line.count("\t") for line in text.splitlines()}
        assert len(widths) == 1
    row = (finished.paths.results / "report.tsv").read_text().splitlines()[1].split("\t")
    for value in (row[REPORT.names.index(name)] for name in ("f1_mean", "f1_sd", "f1_ci_low", "best_f1")):
        assert len(value.partition(".")[2]) == 6


def test_manifest_names_the_tables_that_can_be_compared(finished: Study) -> None:
    sums = read_json(finished.paths.results / MANIFEST)["sha256"]
    assert sums == {
        name: sha256(finished.paths.results / name)
        for name in [*(table.file for table in TABLES if table.file != "costs.tsv"), PARQUET, LATEX]
    }


def test_costs_are_those_of_the_jobs(finished: Study) -> None:
    costs = finished.read()["costs"]
    assert set(costs["seconds"]) == {1.5} and set(costs["host"]) == {"here"}


def test_the_best_of_a_data_set_is_told_apart_from_all_others(study: Study) -> None:
    def standing(label_type: str) -> dict[str, str | None]:
        rows = study.read()["comparison"].filter(label_type=label_type)
        return dict(rows.select("method", "standing").iter_rows())

    for seed in (1, 2, 3):
        study.train(study.cell("multi", "sam", seed), skill=9)
    study.write()
    assert standing("multi") == {"sam": "best", "adamw": None, "twin": None, "tfidf": None}
    for seed in (1, 2, 3):
        study.train(study.cell("multi", "twin", seed), skill=9)  # sam's predictions
        study.train(study.cell("multi", "adamw", seed), skill=8.8)
    study.write()
    assert standing("multi") == {"sam": "tie", "adamw": "tie", "twin": "tie", "tfidf": None}
    shutil.rmtree(study.paths.run(study.cell("multi", "tfidf", 0).path))
    study.write()
    assert set(standing("multi").values()) == {None}  # one is not there: nothing is claimed


def test_confusions_follow_from_the_stored_predictions(finished: Study) -> None:
    table = finished.read()["confusions"]
    matrix = np.zeros((4, 4))
    labels = ["animals", "food", "music", "rare"]
    for seed in (1, 2, 3):
        cell = finished.cell("single", "sam", seed)
        stored = pl.read_parquet(finished.paths.run(cell.path) / "predictions.parquet")
        stored = stored.filter(pl.col("split") == "test").explode("y_true").explode("y_pred")
        matrix += confusion_matrix(stored["y_true"], stored["y_pred"], labels=labels)
    shown = table.filter(label_type="single", method="sam", split="test")
    found = {(row["true"], row["predicted"]): row["texts_mean"] for row in shown.to_dicts()}
    for i, true in enumerate(labels):
        for j, predicted in enumerate(labels):
            assert found.get((true, predicted), 0) == pytest.approx(matrix[i, j] / 3, abs=1e-6)
    assert sum(found.values()) == pytest.approx(30, abs=1e-5)
    several = table.filter(label_type="multi", method="sam", split="test")
    assert several["true"].null_count() and several["predicted"].null_count()


def test_labels_that_are_integers_are_ordered_by_value_everywhere(tmp_path: Path) -> None:
    names = [str(number) for number in range(-2, 12)]
    splits = {}
    for split, size in (("train", 60), ("val", 42), ("test", 42)):
        labels = [number % 14 - 2 for number in range(size)]
        splits[split] = {"Text": [f"text {number} of {split}" for number in range(size)], "Labels": labels}
    write_source(tmp_path / "numbers", splits)
    study = prepared(tmp_path, [("english", "single", "numbers")])
    for cell in study.matrix.cells:
        report = study.train(cell)
        assert report["labels"] == names
        assert [row["row"] for row in report["report"]["test"] if row["row_type"] == "label"] == names
    assert read_json(study.paths.data("main/english/single") / "labels.json")["labels"] == names
    tables = study.write()
    rows = tables["report"].filter(method="sam", split="test", row_type="label")
    assert rows["row"].cast(pl.String).to_list() == names
    pairs = tables["confusions"].filter(method="sam", split="test")
    for column in ("true", "predicted"):
        assert [str(n) for n in sorted(set(pairs[column]))] == names
    assert pairs.select("true", "predicted").rows() == sorted(pairs.select("true", "predicted").rows())
    shown = _matrix([{key: str(value) for key, value in row.items()} for row in pairs.to_dicts()])
    assert shown is not None and shown.labels == names


def test_curves_are_means_over_seeds(study: Study) -> None:
    for seed, value in ((1, 0.5), (2, 0.7), (3, 0.6)):
        history = [
            {"epoch": 0, "validation_macro_f1": value - 0.1},
            {"epoch": 1, "train_loss": seed / 10, "validation_macro_f1": value},
        ]
        path = study.paths.run(study.cell("single", "sam", seed).path) / "history.jsonl"
        path.write_text("".join(json.dumps(entry) + "\n" for entry in history))
    rows = study.write()["curves"].filter(label_type="single", method="sam").to_dicts()
    assert [row["epoch"] for row in rows] == [0, 1]
    assert (rows[0]["loss_mean"], rows[0]["validation_mean"], rows[0]["n_seeds"]) == (None, 0.5, 3)
    assert rows[1]["loss_mean"] == pytest.approx(0.2)
    assert (rows[1]["validation_mean"], rows[1]["validation_sd"]) == pytest.approx((0.6, 0.1))
    assert (rows[1]["metric"], rows[1]["kept"]) == ("macro_f1", 0)  # the best epoch was 2


def test_runs_from_another_environment_are_flagged(study: Study) -> None:
    parts = ["torch 2.13.0", "x86_64 AVX2", "1 threads"]
    for cell in study.matrix.cells:
        path = study.paths.run(cell.path) / "report.json"
        other = ["NVIDIA H200", *parts[:2], "4 threads"] if cell.seed == 2 else parts
        arithmetic = "bfloat16" if cell.method == "sam" else "float32"  # a setting of the method
        write_json(path, read_json(path) | {"determinism": ", ".join([*other, arithmetic])})
    tables = study.write()
    for row in tables["runs"].to_dicts():
        assert row["differs"] == ("NVIDIA H200, 4 threads" if row["seed"] == 2 else None)
    environments = dict(tables["comparison"].select("method", "environments").iter_rows())
    assert environments == {"sam": 2, "adamw": 2, "twin": 2, "tfidf": 2}  # that of the reference counts


def test_one_seed_of_a_random_method_is_not_tested(study: Study) -> None:
    alone = open_study(study.paths.results.parent, STUDY | {"seeds": [1]})
    rows = alone.write()["comparison"].filter(label_type="multi").to_dicts()
    for row in rows:
        assert (row["p_value"], row["verdict"]) == (
            (None, "reference") if row["method"] == "adamw" else (None, "tie")
        )
        assert row["standing"] == "tie"


def test_nothing_is_claimed_of_a_method_whose_seeds_are_not_all_there(study: Study) -> None:
    shutil.rmtree(study.paths.run(study.cell("multi", "sam", 2).path))
    rows = {row["method"]: row for row in study.write()["comparison"].filter(label_type="multi").to_dicts()}
    sam = rows["sam"]
    assert (sam["status"], sam["coverage"], sam["n_seeds"]) == ("partial", pytest.approx(2 / 3, abs=1e-6), 2)
    assert sam["test_mean"] is not None and sam["verdict"] is None and sam["difference"] is None
    assert rows["tfidf"]["verdict"] is not None


# --- Averages over languages ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A study of three languages, of which one has other labels for `multi`; not to be changed."""
    folder = tmp_path_factory.mktemp("three")
    sources = []
    for language in ("english", "german", "polish"):
        for label_type in ("single", "multi"):
            texts = make_texts(label_type)
            if (language, label_type) == ("polish", "multi"):
                texts["train"]["Labels"][0] = ["rare"]
            write_source(folder / language / label_type, texts)
            sources.append((language, label_type, f"{language}/{label_type}"))
    study = prepared(folder, sources)
    for cell in study.matrix.cells:
        study.train(cell, SKILL[cell.method] + len(cell.dataset.language) / 10)
    study.write()
    return study


def test_averages_are_those_of_the_languages_and_of_all_texts(three: Study) -> None:
    tables = three.read()
    averages = tables["averages"]
    assert averages.columns == AVERAGES.names
    assert averages.select("label_type", "average").unique(maintain_order=True).rows() == [
        ("multi", "mean of languages"),  # whose labels differ: nothing to pool
        ("single", "mean of languages"),
        ("single", "pooled"),
    ]
    per_language = tables["comparison"]
    for row in averages.to_dicts():
        of_row = per_language.filter(label_type=row["label_type"], method=row["method"])
        assert (row["languages"], row["languages_expected"]) == (3, 3)
        assert row["n_seeds"] == row["n_expected"] == (1 if row["method"] == "tfidf" else 3)
        if row["average"] == "pooled":
            pairs = [three.all_predictions(row["method"], seed) for seed in range(1, 4)]
            pairs = pairs[:1] if row["method"] == "tfidf" else pairs
            expected = [f1_score(*pair, average="macro", zero_division=0) for pair in pairs]
            assert row["test_mean"] == pytest.approx(np.mean(expected), abs=1e-6)
        else:
            assert row["test_mean"] == pytest.approx(of_row["test_mean"].mean(), abs=2e-6)
        assert row["test_ci_low"] < row["test_mean"] < row["test_ci_high"]
        if row["method"] == "adamw":
            assert (row["verdict"], row["wins"]) == ("reference", None)
            continue
        verdicts = of_row["verdict"].to_list()
        counted = [verdicts.count(verdict) for verdict in ("better", "tie", "worse")]
        assert [row["wins"], row["ties"], row["losses"]] == counted
    twin = averages.filter(method="twin")
    assert set(twin["difference"]) == {0} and set(twin["verdict"]) == {"tie"}


def test_only_complete_languages_are_averaged(three: Study, tmp_path: Path) -> None:
    shutil.copytree(three.paths.results.parent, tmp_path / "copy")
    study = open_study(tmp_path / "copy")
    shutil.rmtree(study.paths.run("main/german/single/twin/seed-3"))
    averages = study.write()["averages"].filter(label_type="single", average="mean of languages")
    assert set(averages.select("languages", "languages_expected").rows()) == {(2, 3)}
    kept = study.read()["comparison"].filter(label_type="single").filter(pl.col("language") != "german")
    for row in averages.to_dicts():
        expected = kept.filter(method=row["method"])["test_mean"].mean()
        assert row["test_mean"] == pytest.approx(expected, abs=2e-6)


# --- The comparison for programs and papers -------------------------------------------------------


def test_parquet_holds_what_the_table_holds(three: Study) -> None:
    table = three.read()["comparison"]
    frame = pl.read_parquet(three.paths.results / PARQUET)
    assert frame.columns == table.columns
    assert frame.schema["difference"] == pl.Float64 and frame.schema["n_test"] == pl.Int64
    for name in frame.columns:
        for exact, printed in zip(frame[name], table[name], strict=True):
            assert exact == printed or f"{exact:.6f}" == f"{printed:.6f}"


def test_latex_is_a_table_that_can_be_read(three: Study, tmp_path: Path) -> None:
    text = (three.paths.results / LATEX).read_text()
    lines = [line for line in text.splitlines() if line.startswith(("english", "german", "polish"))]
    assert len(lines) == 6 and all(line.endswith(r" \\") and line.count("&") == 5 for line in lines)
    rows = three.read()["comparison"].filter(language="english", label_type="multi").to_dicts()
    sam = rows[0]
    assert f"{sam['test_mean']:.3f}"[1:] in lines[0] and f"[{sam['test_ci_low']:.3f}"[0] in lines[0]
    assert text.count("\\begin{tabular}{llcccc}") == text.count("\\end{tabular}") == 1
    assert "(sam, adamw, twin: 3; tfidf: 1)" in text and "macro F1" in text and text.endswith("}\n")
    hostile = [{**row, "language": r"a_b & 50% \input{x} $#^~{}"} for row in rows]
    write_latex(hostile, tmp_path / "hostile.tex")
    row = next(line for line in (tmp_path / "hostile.tex").read_text().splitlines() if line.startswith("a"))
    assert row.startswith(r"a\_b \& 50\% \textbackslash{}input\{x\} \$\#\textasciicircum{}")


def test_many_data_sets_make_a_table_of_several_pages(three: Study, tmp_path: Path) -> None:
    rows = three.read()["comparison"].filter(label_type="single", language="english").to_dicts()
    many = [{**row, "language": f"language-{number}"} for number in range(50) for row in rows]
    write_latex(many, tmp_path / "many.tex")
    text = (tmp_path / "many.tex").read_text()
    assert "longtable" in text and "\\begin{table}" not in text and text.count("language-") == 50


# --- Cells that are not there ---------------------------------------------------------------------


def test_a_missing_cell_makes_its_method_partial(study: Study) -> None:
    shutil.rmtree(study.paths.run(study.cell("single", "sam", 2).path))
    tables = study.write()
    assert not (study.paths.results / MANIFEST).exists()
    run = tables["runs"].filter(label_type="single", method="sam", seed=2).to_dicts()[0]
    assert run["status"] == "missing" and "not trained" in run["reason"]
    rows = tables["report"].filter(label_type="single", method="sam")
    assert set(rows.select("status", "n_seeds", "n_expected").rows()) == {("partial", 2, 3)}
    kept = [recomputed(study, study.cell("single", "sam", seed), "test")["macro avg"][2] for seed in (1, 3)]
    macro = rows.filter(split="test", row="macro avg")["f1_mean"][0]
    assert macro == pytest.approx(np.mean(kept), abs=1e-6)
    assert set(tables["report"].filter(label_type="multi")["status"]) == {"complete"}
    assert tables["comparison"].filter(label_type="single", method="sam")["status"][0] == "partial"


def test_a_report_that_cannot_be_read_is_a_missing_cell(study: Study) -> None:
    cell = study.matrix.cells[0]
    report = study.paths.run(cell.path) / "report.json"
    report.write_bytes(report.read_bytes()[:100])
    runs = write_tables(study.matrix, study.configuration, study.paths)
    assert {run.cell.path: run.status for run in runs if run.status != "complete"} == {cell.path: "missing"}


def test_a_method_without_any_run_is_shown_as_missing(study: Study) -> None:
    for seed in (1, 2, 3):
        shutil.rmtree(study.paths.run(study.cell("multi", "adamw", seed).path))  # the reference
    tables = study.write()
    rows = tables["report"].filter(label_type="multi", method="adamw").to_dicts()
    assert [(row["split"], row["row"], row["status"]) for row in rows] == [
        ("validation", "macro avg", "missing"),
        ("test", "macro avg", "missing"),
    ]
    assert {row["f1_mean"] for row in rows} == {None}
    assert {(row["n_seeds"], row["n_expected"]) for row in rows} == {(0, 3)}
    compared = tables["comparison"].filter(label_type="multi")
    assert compared["verdict"].null_count() == len(compared)  # without the reference nothing is claimed
    assert compared.filter(method="adamw")["test_mean"].to_list() == [None]


def test_an_untrained_study_has_its_tables(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    shutil.rmtree(study.paths.results)  # nothing is prepared, either
    tables = study.write()
    assert set(tables["runs"]["status"]) == {"missing"}
    assert set(tables["report"]["status"]) == {"missing"}
    assert len(tables["comparison"]) == 8
    assert not (study.paths.results / MANIFEST).exists()


@pytest.mark.parametrize("step", [0, 1, 2])
def test_the_reason_of_a_failure_is_told(study: Study, step: int) -> None:
    cell = study.cell("single", "sam", 3)
    place = failures(cell, study.paths)[step]
    assert place.parent.name == ("seed-3", "single", place.parent.name)[step]
    write_json(place, {"reason": f"the reason\tof step {step}"})
    tables = study.write()
    row = tables["runs"].filter(label_type="single", method="sam", seed=3).to_dicts()[0]
    assert (row["status"], row["reason"]) == ("failed", f"the reason\tof step {step}")
    assert row["test_macro_f1"] is None
    failed = tables["runs"].filter(status="failed")
    assert len(failed) == (1, 10, 18)[step]  # the cell, its data set, all that need its model
    assert not (study.paths.results / MANIFEST).exists()


def test_runs_with_other_settings_do_not_count(study: Study) -> None:
    changed = STUDY | {"training": {"epochs": 9}}
    later = open_study(study.paths.results.parent, changed)
    runs = later.write()["runs"]
    missing = runs.filter(pl.col("method") != "tfidf")
    assert set(missing["status"]) == {"missing"} and set(runs.filter(method="tfidf")["status"]) == {
        "complete"
    }
    assert all("other settings" in reason for reason in missing["reason"])
    assert not (study.paths.results / MANIFEST).exists()


def test_runs_on_other_data_do_not_count(study: Study) -> None:
    dataset = study.cell("single", "sam", 1).dataset
    texts = make_texts("single")
    texts["test"]["Text"][0] += " changed"
    write_source(Path(dataset.source.path), texts)
    prepare_data(dataset.source, "single", {}, 0, study.paths.data(dataset.path))
    runs = study.write()["runs"]
    assert set(runs.filter(label_type="single")["status"]) == {"missing"}
    assert all("other data" in reason for reason in runs.filter(label_type="single")["reason"])
    assert set(runs.filter(label_type="multi")["status"]) == {"complete"}


def test_a_study_read_back_from_its_own_json_has_the_same_cells(finished: Study) -> None:
    content = yaml.safe_load(finished.configuration.model_dump_json())
    _, matrix = load_study(content, [finished.paths.results.parent])
    assert matrix == finished.matrix


# --- Test labels decide nothing -------------------------------------------------------------------


def permute_test_labels(study: Study) -> None:
    """Deal the test labels of every data set out anew, and predict anew as before."""
    for dataset in study.matrix.datasets:
        logits = {}
        for cell in study.matrix.of(dataset):
            table = pl.read_parquet(study.paths.run(cell.path) / "predictions.parquet")
            logits[cell] = table
        texts = json.loads((Path(dataset.source.path) / "test.json").read_text())
        order = np.random.default_rng(0).permutation(len(texts["Labels"]))
        texts["Labels"] = [texts["Labels"][index] for index in order]
        (Path(dataset.source.path) / "test.json").write_text(json.dumps(texts))
        prepare_data(dataset.source, dataset.label_type, {}, 0, study.paths.data(dataset.path))
        data = study.data(dataset)
        for cell, table in logits.items():
            report = read_json(study.paths.run(cell.path) / "report.json")
            scores = {
                split: np.array(table.filter(pl.col("split") == split)["scores"].to_list())
                for split in ("validation", "test")
            }
            back = {
                split: np.log(of) if dataset.label_type == "single" else np.log(of / (1 - of))
                for split, of in scores.items()
            }
            truth = encode(data.split("validation")["labels"].to_list(), data.labels)
            decision = judge(back["validation"], truth, dataset.label_type, "macro_f1")
            about = {
                key: report[key]
                for key in (*REASONS, "determinism")
                if key in report.keys() - {"data_sha256"}
            }
            outcome = Outcome(back, decision, report["epochs"], read_history(study.paths.run(cell.path)))
            write_run(study.paths.run(cell.path), data, outcome, about, {})


def test_permuted_test_labels_change_no_choice(study: Study) -> None:
    before = study.read()
    permute_test_labels(study)
    after = study.write()
    assert set(after["runs"]["status"]) == {"complete"}
    assert after["report"].filter(split="test")["f1_mean"].to_list() != (
        before["report"].filter(split="test")["f1_mean"].to_list()
    )
    chosen = ["task", "language", "label_type", "method", "split", "row", "best_seed"]
    assert after["report"].select(chosen).equals(before["report"].select(chosen))
    validation = pl.col("split") == "validation"
    assert after["report"].filter(validation).equals(before["report"].filter(validation))
    for columns in (["thresholds"], ["epochs"], ["validation_macro_f1"]):
        assert after["runs"].select(columns).equals(before["runs"].select(columns))
    for table, columns in (
        ("comparison", ["method", "best_seed", "validation_mean", "validation_sd"]),
        ("curves", ["method", "epoch", "kept", "loss_mean", "validation_mean"]),
    ):
        assert after[table].select(columns).equals(before[table].select(columns))


def test_permuted_test_labels_change_no_selection(study: Study, finished: Study) -> None:
    permute_test_labels(study)
    for label_type in ("single", "multi"):
        chosen = [
            best_run(read_runs(finetuned(of, label_type), "macro_f1", of.paths), "macro_f1")
            for of in (study, finished)
        ]
        assert chosen[0] is not None and chosen[1] is not None
        assert chosen[0].cell.path == chosen[1].cell.path


# --- Selection ------------------------------------------------------------------------------------


def set_validation(study: Study, cell: Cell, value: float) -> None:
    """Let a cell have this macro F1 on validation."""
    path = study.paths.run(cell.path) / "report.json"
    report = read_json(path)
    report["scores"]["validation"]["macro_f1"] = value
    write_json(path, report)


def finetuned(study: Study, label_type: str) -> list[Cell]:
    return [
        cell for cell in study.matrix.cells if cell.has_checkpoint and cell.dataset.label_type == label_type
    ]


def select(
    study: Study, label_type: str = "multi", but: Callable[[Cell], bool] = lambda cell: False
) -> tuple[Cell, Path]:
    """Select among the fine-tuned cells but some, as if these had not been configured."""
    output = study.paths.results / "best" / "main" / "english" / label_type
    cells = {cell.path: cell for cell in finetuned(study, label_type) if not but(cell)}
    return cells[select_best(list(cells), "macro_f1", 200, study.paths, output)], output


def test_the_best_by_validation_is_published_and_the_losers_removed(study: Study) -> None:
    validation = {
        cell: read_json(study.paths.run(cell.path) / "report.json")["scores"]["validation"]["macro_f1"]
        for cell in finetuned(study, "multi")
    }
    winner, output = select(study)
    assert validation[winner] == max(validation.values())
    kept = study.paths.checkpoint(winner.path) / "model.safetensors"
    assert (output / "model.safetensors").samefile(kept)
    assert kept.read_text() == f"weights of {winner.path}"
    assert [cell for cell in validation if study.paths.checkpoint(cell.path).exists()] == [winner]
    assert all(study.paths.checkpoint(cell.path).exists() for cell in finetuned(study, "single"))
    report = read_json(study.paths.run(winner.path) / "report.json")
    published = read_json(output / "thresholds.json")
    assert published["labels"] == report["labels"]
    assert list(published["thresholds"].values()) == report["thresholds"]
    card = (output / "README.md").read_text()
    assert f"method `{winner.method}`, seed {winner.seed}" in card and "c" * 40 in card
    assert f"{report['scores']['test']['macro_f1']:.3f}" in card


def interval_in(cell: str) -> list[float]:
    return [float(end) for end in cell.split("to") if end.strip()]


@pytest.mark.parametrize("label_type", ["single", "multi"])
def test_the_card_says_how_sure_its_scores_are(study: Study, label_type: LabelType) -> None:
    winner, output = select(study, label_type)
    card = (output / "README.md").read_text()
    data = study.data(winner.dataset)
    predictions = pl.read_parquet(study.paths.run(winner.path) / "predictions.parquet")
    truth, predicted = (
        encode(predictions.filter(split="test")[column].to_list(), data.labels)
        for column in ("y_true", "y_pred")
    )
    (drawn,) = resamples(len(truth), 200).weights()
    draws = [
        f1_score(truth, predicted, average=None, sample_weight=weights, zero_division=0) for weights in drawn
    ]
    average = np.percentile(np.mean(draws, axis=1), [2.5, 97.5])
    assert "reads only the first 16 tokens" in card  # which is less than configured, as models have an end
    assert f"test (n = {len(truth)})" in card and f"validation (n = {len(data.split('validation'))})" in card
    (row,) = [line for line in card.splitlines() if line.startswith("| macro_f1 |")]
    assert interval_in(row.split("|")[4]) == pytest.approx(average, abs=6e-4)
    of_labels = np.percentile(draws, [2.5, 97.5], axis=0).T
    for label, ends, support in zip(data.labels, of_labels, truth.sum(0), strict=True):
        (row,) = [line for line in card.splitlines() if line.startswith(f"| {label} |")]
        *_, interval, texts, _ = row.split("|")
        assert int(texts) == support
        assert interval_in(interval) == (pytest.approx(ends, abs=6e-4) if ends[0] < ends[1] else [])
        scarce = [line for line in card.splitlines() if "whose scores are unreliable" in line]
        assert any(label in line for line in scarce) == (support < 10)


def test_single_label_classifiers_have_no_thresholds(study: Study) -> None:
    _, output = select(study, "single")
    assert read_json(output / "thresholds.json")["thresholds"] is None
    assert "argmax" in (output / "README.md").read_text()


def test_selecting_again_changes_nothing(study: Study) -> None:
    winner, output = select(study)
    before = {path.name: path.read_bytes() for path in output.iterdir()}
    assert select(study) == (winner, output)
    assert {path.name: path.read_bytes() for path in output.iterdir()} == before


def test_the_winner_is_copied_where_links_are_not_possible(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(source: Path, target: Path) -> None:
        raise OSError("Invalid cross-device link")

    monkeypatch.setattr("os.link", refused)
    winner, output = select(study)
    kept = study.paths.checkpoint(winner.path) / "model.safetensors"
    assert (output / "model.safetensors").read_text() == kept.read_text()
    assert not (output / "model.safetensors").samefile(kept)


def test_a_better_method_added_later_takes_the_place(study: Study) -> None:
    select(study)
    newcomer = study.cell("multi", "twin", 2)
    study.train(newcomer, skill=50)
    winner, output = select(study)
    assert winner == newcomer
    assert (output / "model.safetensors").read_text() == f"weights of {newcomer.path}"


def test_a_winner_whose_checkpoint_is_gone_is_told_with_a_remedy(study: Study) -> None:
    winner, _ = select(study)
    with pytest.raises(UserError, match="removed after an earlier selection") as caught:
        select(study, but=lambda cell: cell == winner)
    needed = str(caught.value).partition("not found, though ")[2].split()[0]
    assert str(caught.value).endswith("The same command, given again, trains it again")
    assert study.paths.checkpoint(winner.path).exists()  # nothing is removed when nothing is published
    # The cell that is needed counts as not trained.
    assert not (study.paths.run(needed) / "report.json").exists()


def test_ties_go_to_the_first(study: Study) -> None:
    """adamw and its twin have the same logits; both seeds and methods count in the configured order."""
    winner, _ = select(study, but=lambda cell: cell.method == "sam")
    assert winner.method == "adamw"


def test_the_best_seed_of_the_tables_is_the_published_one_also_at_a_tie(study: Study) -> None:
    backwards = open_study(study.paths.results.parent, STUDY | {"seeds": [3, 2, 1]})
    for cell in finetuned(backwards, "multi"):
        set_validation(backwards, cell, 0.5)
    winner, _ = select(backwards)
    best = backwards.write()["comparison"].filter(label_type="multi", method=winner.method)["best_seed"]
    assert (winner.method, winner.seed, best.to_list()) == ("sam", 3, [3])


def test_predictions_are_read_in_the_order_of_the_labels(finished: Study) -> None:
    cell = finished.cell("single", "sam", 1)
    data = finished.data(cell.dataset)
    truth, predicted, _ = read_predictions(finished.paths.run(cell.path), data.labels)["test"]
    assert np.array_equal(truth, encode(data.split("test")["labels"].to_list(), data.labels))
    assert predicted.sum(axis=1).tolist() == [1] * 30
