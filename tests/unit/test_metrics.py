"""Scores, held against scikit-learn."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import accuracy_score, f1_score
from sklearn.metrics import classification_report as scikit_learns_report

from polysharp.configuration import LabelType
from polysharp.metrics import classification_report, f1_rows, scores, weighted_counts

NAMES = ["a", "b", "c", "d"]
Predictions = tuple[np.ndarray, np.ndarray, LabelType]


@st.composite
def predictions(draw: Any) -> Predictions:
    """Draw true and predicted labels in which some labels may not occur at all."""
    texts = draw(st.integers(1, 25))
    if draw(st.booleans()):
        occurring = draw(st.sets(st.integers(0, 3), min_size=1))
        pick = st.lists(st.sampled_from(sorted(occurring)), min_size=texts, max_size=texts)
        return np.eye(4, dtype=bool)[draw(pick)], np.eye(4, dtype=bool)[draw(pick)], "single"
    return draw(arrays(bool, (texts, 4))), draw(arrays(bool, (texts, 4))), "multi"


@given(predictions())
def test_the_report_is_scikit_learns(drawn: Predictions) -> None:
    truth, predicted, label_type = drawn
    given_to_it: tuple[Any, Any] = (truth.astype(int), predicted.astype(int))
    if label_type == "single":
        given_to_it = truth.argmax(axis=1), predicted.argmax(axis=1)
    expected = scikit_learns_report(
        *given_to_it, labels=range(4), target_names=NAMES, output_dict=True, zero_division=0
    )
    accuracy = expected.pop("accuracy", accuracy_score(truth, predicted))
    if label_type == "single":
        expected.pop("micro avg", None)  # shown instead of the accuracy where a label does not occur
        accuracy = accuracy_score(truth, predicted)
    rows = {row.row: row for row in classification_report(truth, predicted, NAMES, label_type)}
    shown = rows.pop("accuracy")
    assert (shown.row_type, shown.f1, shown.support) == ("accuracy", pytest.approx(accuracy), len(truth))
    assert shown.precision is None and shown.recall is None
    assert list(rows) == list(expected)
    for name, row in rows.items():
        assert row.row_type == ("label" if name in NAMES else "average")
        assert row.precision == pytest.approx(expected[name]["precision"])
        assert row.recall == pytest.approx(expected[name]["recall"])
        assert row.f1 == pytest.approx(expected[name]["f1-score"])
        assert row.support == expected[name]["support"]


@given(predictions())
def test_the_rows_of_the_bootstrap_are_those_of_the_report(drawn: Predictions) -> None:
    truth, predicted, label_type = drawn
    rows = {row.row: row.f1 for row in classification_report(truth, predicted, NAMES, label_type)}
    drawn_rows = f1_rows(weighted_counts(truth, predicted), label_type)
    assert drawn_rows.pop("(labels)")[0].tolist() == pytest.approx([rows.pop(name) for name in NAMES])
    assert {name: values[0] for name, values in drawn_rows.items()} == pytest.approx(rows)


@given(predictions(), st.data())
def test_weights_are_repetitions(drawn: Predictions, data: Any) -> None:
    truth, predicted, label_type = drawn
    weights = data.draw(
        arrays(int, (3, len(truth)), elements=st.integers(0, 3)).filter(lambda w: w.any(1).all())
    )
    rows = f1_rows(weighted_counts(truth, predicted, weights.astype(float)), label_type)
    for number, weight in enumerate(weights):
        repeated = (np.repeat(truth, weight, axis=0), np.repeat(predicted, weight, axis=0))
        for name, values in f1_rows(weighted_counts(*repeated), label_type).items():
            np.testing.assert_allclose(rows[name][number], values[0], atol=1e-12)


@given(predictions())
def test_scores_are_scikit_learns(drawn: Predictions) -> None:
    truth, predicted, _ = drawn
    expected = {
        f"{average}_f1": f1_score(truth, predicted, average=average, zero_division=0)
        for average in ("macro", "micro", "weighted")
    }
    assert scores(truth, predicted) == pytest.approx(
        expected | {"accuracy": accuracy_score(truth, predicted)}
    )


def test_labels_without_support_lower_the_macro_average() -> None:
    truth = np.array([[True, False], [True, False]])
    assert scores(truth, truth)["macro_f1"] == 0.5
    assert scores(truth, truth)["weighted_f1"] == scores(truth, truth)["accuracy"] == 1.0


def test_nothing_predicted_where_nothing_is_true_counts_as_scikit_learn_has_it() -> None:
    nothing = np.zeros((3, 2), bool)
    rows = {row.row: row.f1 for row in classification_report(nothing, nothing, ["a", "b"], "multi")}
    assert rows == {
        "a": 0, "b": 0, "micro avg": 0, "macro avg": 0, "weighted avg": 0, "samples avg": 0, "accuracy": 1,
    }  # fmt: skip
