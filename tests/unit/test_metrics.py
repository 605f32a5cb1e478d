"""Scores, held against scikit-learn."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.calibration import calibration_curve
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score
from sklearn.metrics import classification_report as scikit_learns_report

from polysharp.core.labels import Predicted
from polysharp.core.terms import LabelType
from polysharp.evaluation.metrics import (
    BINS,
    NO_LABEL,
    classification_report,
    confusions,
    expected_calibration_error,
    f1_rows,
    scores,
    weighted_counts,
)

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
    drawn_rows = f1_rows(weighted_counts([Predicted(truth, predicted)])[0])
    assert drawn_rows.pop("(labels)")[0].tolist() == pytest.approx([rows.pop(name) for name in NAMES])
    assert {name: drawn_rows[name][0] for name in rows} == pytest.approx(rows)


@given(predictions(), st.data())
def test_weights_are_repetitions(drawn: Predictions, data: Any) -> None:
    truth, predicted, _ = drawn
    weights = data.draw(
        arrays(int, (3, len(truth)), elements=st.integers(0, 3)).filter(lambda w: w.any(1).all())
    )
    rows = f1_rows(weighted_counts([Predicted(truth, predicted)], [weights.astype(np.float32)])[0])
    for number, weight in enumerate(weights):
        repeated = (np.repeat(truth, weight, axis=0), np.repeat(predicted, weight, axis=0))
        for name, values in f1_rows(weighted_counts([Predicted(*repeated)])[0]).items():
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


@given(predictions())
def test_confusions_of_single_labels_are_scikit_learns_matrix(drawn: Predictions) -> None:
    truth, predicted, label_type = drawn
    found = confusions(truth, predicted, NAMES)
    if label_type == "single":
        matrix = confusion_matrix(truth.argmax(1), predicted.argmax(1), labels=range(len(NAMES)))
        expected = {(a, b): matrix[i, j] for i, a in enumerate(NAMES) for j, b in enumerate(NAMES)}
        assert found == {pair: count for pair, count in expected.items() if count}
    for index, name in enumerate(NAMES):
        both = (truth[:, index] & predicted[:, index]).sum()
        assert found.get((name, name), 0) == both


def test_confusions_of_several_labels_tell_what_stands_in_the_place_of_what() -> None:
    truth = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 1], [0, 0, 0], [0, 1, 0]], dtype=bool)
    predicted = np.array([[1, 0, 1], [0, 0, 0], [0, 0, 1], [1, 0, 0], [0, 1, 1]], dtype=bool)
    a, b, c = NAMES[:3]
    assert confusions(truth, predicted, NAMES[:3]) == {
        (a, a): 1, (b, c): 1,  # the first text: one found, one taken for another
        (a, NO_LABEL): 1, (c, c): 1, (NO_LABEL, a): 1, (b, b): 1, (NO_LABEL, c): 1,
    }  # fmt: skip


def test_calibration_error_is_the_gap_between_what_is_said_and_what_comes_true() -> None:
    truth = np.tile([[True, False]], (10, 1))
    said = np.array([[0.9, 0.1]] * 6 + [[0.3, 0.7]] * 4)
    # Six times .9 where all are right, four times .7 where none is.
    assert expected_calibration_error(truth, said, "single") == pytest.approx(0.6 * 0.1 + 0.4 * 0.7)
    each = (6 * 0.1 + 6 * 0.1 + 4 * 0.7 + 4 * 0.7) / 20
    assert expected_calibration_error(truth, said, "multi") == pytest.approx(each)
    assert expected_calibration_error(truth, truth.astype(float), "single") == 0


@given(predictions(), st.integers(0, 2**32 - 1))
def test_calibration_error_agrees_with_scikit_learns_curve(drawn: Predictions, seed: int) -> None:
    truth, _, _ = drawn
    said = np.random.default_rng(seed).random(truth.shape)
    found = expected_calibration_error(truth, said, "multi")
    sizes, _ = np.histogram(said, BINS, (0, 1))
    shares, means = calibration_curve(truth.ravel(), said.ravel(), n_bins=BINS)
    expected = np.abs(shares - means) @ sizes[sizes > 0] / said.size
    assert found == pytest.approx(expected)
