"""The logistic-regression probe and the TF-IDF baseline."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from scipy.special import expit, softmax
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import StandardScaler

from polysharp.config.settings import ProbeSettings, TfidfSettings
from polysharp.core.errors import UserError
from polysharp.core.labels import decide
from polysharp.core.terms import LabelType
from polysharp.data.prepared import PreparedData
from polysharp.evaluation.decisions import judge, probabilities
from polysharp.evaluation.metrics import scores
from polysharp.training.probe import LinearModel, fit, fit_probe
from polysharp.training.tfidf import train_tfidf

Split = tuple[np.ndarray, np.ndarray]


def make_split(labels: int, label_type: LabelType, texts: int = 60, seed: int = 0) -> Split:
    """Return features of very different scales, and the truth that they hint at."""
    draw = np.random.default_rng(seed)
    features = draw.normal(size=(texts, 5))
    leaning = features[:, :labels] + draw.normal(size=(texts, labels)) * 0.7
    truth = np.eye(labels, dtype=bool)[leaning.argmax(axis=1)] if label_type == "single" else leaning > 0.3
    return features * [1e-2, 1, 50, 3, 0.2] + [0, 5, -80, 0, 1], truth


def settings(*candidates: float, class_weights: str = "balanced") -> ProbeSettings:
    return ProbeSettings(inverse_regularisation=list(candidates), class_weights=class_weights)


def pipeline(class_weights: str) -> LogisticRegression:
    weight = "balanced" if class_weights == "balanced" else None
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.1, class_weight=weight, max_iter=1000))


@pytest.mark.parametrize("class_weights", ["balanced", "none"])
@pytest.mark.parametrize("labels", [2, 3, 4])
def test_single_labels_equal_scikit_learns_pipeline(labels: int, class_weights: str) -> None:
    train, validation = (make_split(labels, "single", seed=seed) for seed in (0, 1))
    model, decision, chosen = fit_probe(
        train, validation, "single", settings(0.1, class_weights=class_weights), "macro_f1"
    )
    theirs = pipeline(class_weights).fit(train[0], train[1].argmax(axis=1))
    expected = theirs.predict_proba(validation[0])
    found = softmax(model.logits(validation[0]), axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(decision.scores, expected, atol=1e-6)
    assert (chosen, decision.thresholds) == (0.1, None)
    if labels > 2:
        np.testing.assert_allclose(
            model.logits(validation[0]), theirs.decision_function(validation[0]), atol=1e-5
        )


@pytest.mark.parametrize("class_weights", ["balanced", "none"])
def test_several_labels_equal_scikit_learns_pipelines(class_weights: str) -> None:
    train, validation = (make_split(4, "multi", seed=seed) for seed in (0, 1))
    model, decision, _ = fit_probe(
        train, validation, "multi", settings(0.1, class_weights=class_weights), "macro_f1"
    )
    for label in range(4):
        theirs = pipeline(class_weights).fit(train[0], train[1][:, label])
        expected = theirs.decision_function(validation[0])
        np.testing.assert_allclose(model.logits(validation[0])[:, label], expected, atol=1e-5)
        np.testing.assert_allclose(decision.scores[:, label], expit(expected), atol=1e-6)
    assert decision.thresholds is not None and len(decision.thresholds) == 4


def test_class_weights_help_the_rare_label() -> None:
    features, truth = make_split(2, "single", texts=300)
    rare = np.flatnonzero(truth[:, 1])[:12]
    kept = np.concatenate([np.flatnonzero(truth[:, 0]), rare])
    predicted = {}
    for class_weights in ("balanced", "none"):
        model = fit(features[kept], truth[kept], "single", class_weights, 1.0)
        predicted[class_weights] = decide(model.logits(features), None)[:, 1].sum()
    assert predicted["balanced"] > 2 * predicted["none"]


@pytest.mark.parametrize("present", [(1, 3), (0, 2, 3)])
def test_a_label_without_a_training_text_is_never_predicted(present: tuple[int, ...]) -> None:
    features, truth = make_split(4, "single", texts=120)
    kept = truth[:, present].any(axis=1)
    model, decision, _ = fit_probe(
        (features[kept], truth[kept]), (features, truth), "single", settings(0.1), "macro_f1"
    )
    absent = [label for label in range(4) if label not in present]
    assert not decide(probabilities(model.logits(features), "single"), None)[:, absent].any()
    assert decision.scores[:, absent].max() < 1e-3
    assert (model.weight[absent] == 0).all()
    assert np.isfinite(model.bias).all()


def test_labels_that_all_or_no_training_texts_have() -> None:
    features, truth = make_split(3, "multi")
    truth[:, 0], truth[:, 1] = True, False
    model, decision, _ = fit_probe((features, truth), (features, truth), "multi", settings(0.1), "macro_f1")
    assert (model.weight[:2] == 0).all() and model.weight[2].any()
    assert model.bias[0] == pytest.approx(np.log(60.5 / 0.5))
    assert model.bias[1] == pytest.approx(np.log(0.5 / 60.5))
    predicted = decide(decision.scores, decision.thresholds)
    assert predicted[:, 0].all() and not predicted[:, 1].any()


@pytest.mark.parametrize("label_type", ["single", "multi"])
def test_features_that_hardly_vary_do_not_blow_up_the_weights(label_type: LabelType) -> None:
    features, truth = make_split(3, label_type)
    noise = np.random.default_rng(1).normal(size=(60, 3)) * [1e-33, 1e-12, 0] + [0, 7, 2]
    train = np.hstack([features, noise]), truth
    model, decision, _ = fit_probe(train, train, label_type, settings(0.1), "macro_f1")
    plain, expected, _ = fit_probe(
        (features, truth), (features, truth), label_type, settings(0.1), "macro_f1"
    )
    assert np.abs(model.weight).max() < 1e3
    assert np.abs(model.weight[:, 5:]).max() < 1e-3
    np.testing.assert_allclose(model.weight[:, :5], plain.weight, rtol=1e-2, atol=1e-4)
    np.testing.assert_allclose(decision.scores, expected.scores, atol=1e-3)


def test_features_that_do_not_vary_at_all() -> None:
    features, truth = np.full((10, 3), 2.0), np.eye(2, dtype=bool)[[0, 1] * 5]
    model, _, _ = fit_probe((features, truth), (features, truth), "single", settings(0.1), "macro_f1")
    assert np.isfinite(model.weight).all() and np.isfinite(model.bias).all()


def test_the_regularisation_that_is_best_on_validation_is_taken() -> None:
    train, validation = (make_split(3, "single", texts=30, seed=seed) for seed in (0, 5))
    candidates = [100.0, 1e-3, 0.1]
    values = {
        candidate: fit_probe(train, validation, "single", settings(candidate), "accuracy")[1].value
        for candidate in candidates
    }
    assert len(set(values.values())) > 1
    _, decision, chosen = fit_probe(train, validation, "single", settings(*candidates), "accuracy")
    assert decision.value == max(values.values()) == values[chosen]


def test_of_equally_good_candidates_the_most_regularised() -> None:
    features = np.array([[-1.0], [1.0]] * 10)
    truth = np.eye(2, dtype=bool)[[0, 1] * 10]
    _, decision, chosen = fit_probe(
        (features, truth), (features, truth), "single", settings(1, 0.01, 0.1), "accuracy"
    )
    assert (decision.value, chosen) == (1.0, 0.01)


@pytest.mark.parametrize("metric", ["macro_f1", "micro_f1", "weighted_f1", "accuracy"])
@pytest.mark.parametrize("label_type", ["single", "multi"])
def test_a_judgement_is_the_metric_of_its_own_decision(label_type: LabelType, metric: str) -> None:
    _, truth = make_split(3, label_type)
    logits = np.random.default_rng(2).normal(size=truth.shape) + truth
    decision = judge(logits, truth, label_type, metric)
    assert (decision.thresholds is None) == (label_type == "single")
    assert decision.value == scores(truth, decide(decision.scores, decision.thresholds))[metric]


def test_logits_are_the_linear_ones() -> None:
    model = LinearModel(np.array([[1.0, 2.0], [0.0, -1.0]]), np.array([0.5, 0.0]))
    assert model.logits(np.array([[3.0, 1.0]])).tolist() == [[5.5, -1.0]]


# --- TF-IDF ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("label_type", ["single", "multi"])
def test_tfidf_learns_words_and_does_not_use_its_seed(
    label_type: str, small_data: Callable[[str], PreparedData]
) -> None:
    data = small_data(label_type)
    one, other = (train_tfidf(data, TfidfSettings(), "macro_f1", seed) for seed in (1, 2))
    assert one.decision.value > 0.8
    assert one.epochs is None
    for split in ("validation", "test"):
        assert one.logits[split].shape == (len(data.split(split)), 3)
        assert np.array_equal(one.logits[split], other.logits[split])


def test_tfidf_equals_scikit_learns_pipeline(small_data: Callable[[str], PreparedData]) -> None:
    data = small_data("single")
    train, test = data.split("train"), data.split("test")
    features = make_union(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True),
    )
    theirs = make_pipeline(features, LogisticRegression(C=10, class_weight="balanced", max_iter=1000))
    theirs.fit(train["text"].to_list(), [names[0] for names in train["labels"]])
    chosen = TfidfSettings(inverse_regularisation=[10.0])
    outcome = train_tfidf(data, chosen, "macro_f1", 0)
    np.testing.assert_allclose(
        outcome.logits["test"], theirs.decision_function(test["text"].to_list()), atol=1e-6
    )
    assert outcome.history == [
        {"inverse_regularisation": 10.0, "validation_macro_f1": outcome.decision.value}
    ]


def test_tfidf_reads_no_word_of_validation_or_test(small_data: Callable[[str], PreparedData]) -> None:
    data = small_data("single")
    strange = (
        pl.when(pl.col("split") == "test").then(pl.col("text") + " strange words").otherwise(pl.col("text"))
    )
    changed = replace(data, examples=data.examples.with_columns(strange.alias("text")))
    one, other = (train_tfidf(given, TfidfSettings(), "macro_f1", 0) for given in (data, changed))
    assert np.array_equal(one.logits["validation"], other.logits["validation"])


def test_tfidf_on_a_drawn_part(small_data: Callable[[str], PreparedData]) -> None:
    few = TfidfSettings(train_size=9)
    one, again, other = (train_tfidf(small_data("single"), few, "macro_f1", seed) for seed in (1, 1, 2))
    assert np.array_equal(one.logits["test"], again.logits["test"])
    assert not np.array_equal(one.logits["test"], other.logits["test"])


def test_texts_without_words_are_told_in_words(small_data: Callable[[str], PreparedData]) -> None:
    data = small_data("single")
    wordless = replace(data, examples=data.examples.with_columns(pl.lit("!").alias("text")))
    with pytest.raises(UserError, match="no words found in the training texts"):
        train_tfidf(wordless, TfidfSettings(), "macro_f1", 0)
