"""Labels as indicator matrices, decisions, and the thresholds behind them."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import f1_score

from polysharp.core.labels import decide, decode, encode, label_order
from polysharp.evaluation.thresholds import tune_thresholds

NAMES = ["a", "b", "c", "d"]
LABELS = st.lists(st.lists(st.sampled_from(NAMES), unique=True).map(sorted), min_size=1, max_size=30)


@given(LABELS)
def test_order_is_sorted_whatever_the_order_of_the_texts(labels: list[list[str]]) -> None:
    order = label_order(labels)
    assert order == sorted({name for names in labels for name in names})
    assert order == label_order(reversed([list(reversed(names)) for names in labels]))


@pytest.mark.parametrize(
    ("labels", "order"),
    [
        (map(str, range(12)), "0 1 2 3 4 5 6 7 8 9 10 11"),
        (["10", "-2", "+3", "-10", "0", "1"], "-10 -2 0 1 +3 10"),
        (["01", "1", "002"], "01 1 002"),
        (["٣", "١٠", "٢"], "٢ ٣ ١٠"),
        (["10", "9", "other"], "10 9 other"),  # not all are integers
        (["1.5", "10", "9"], "1.5 10 9"),
        (["1" * 5000, "2"], f"{'1' * 5000} 2"),
        (["", "10", "9"], " 10 9"),
    ],
)
def test_integers_are_ordered_by_value(labels: Iterable[str], order: str) -> None:
    labels = list(labels)
    assert label_order([[label] for label in labels]) == order.split(" ")
    assert label_order([labels[::-1]]) == order.split(" ")


@given(LABELS)
def test_encoding_and_decoding_are_inverse(labels: list[list[str]]) -> None:
    indicators = encode(labels, NAMES)
    assert indicators.shape == (len(labels), 4) and indicators.dtype == bool
    assert decode(indicators, NAMES) == labels
    assert indicators.sum() == sum(map(len, labels))


def test_unknown_labels_are_not_dropped_in_silence() -> None:
    with pytest.raises(KeyError):
        encode([["a"], ["x"]], NAMES)


def test_decisions() -> None:
    scores = np.array([[0.2, 0.5, 0.3], [0.4, 0.4, 0.2], [0.9, 0.8, 0.1]])
    assert decode(decide(scores, None), "abc") == [["b"], ["a"], ["a"]]  # of equal scores the first
    assert decode(decide(scores, [0.4, 0.5, 0.2]), "abc") == [["b", "c"], ["a", "c"], ["a", "b"]]
    assert decode(decide(scores, [0.95, 0.95, 0.95]), "abc") == [[], [], []]


# --- Thresholds -----------------------------------------------------------------------------------


@st.composite
def scored_texts(draw: Any) -> tuple[np.ndarray, np.ndarray]:
    shape = draw(st.tuples(st.integers(1, 25), st.integers(1, 3)))
    coarse = st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.7, 1.0])
    scores = draw(arrays(float, shape, elements=coarse | st.floats(0, 1)))
    return scores, draw(arrays(bool, shape))


def best_f1(scores: np.ndarray, truth: np.ndarray) -> float:
    """Return the highest F1 of any threshold: one at every score, and one above all."""
    return max(
        f1_score(truth, scores >= threshold, zero_division=0) for threshold in (*np.unique(scores), 2.0)
    )


@given(scored_texts())
@example((np.array([[0.0], [5e-324]]), np.array([[False], [True]])))
def test_no_other_threshold_gives_a_higher_f1(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    scores, truth = drawn
    thresholds = tune_thresholds(scores, truth)
    assert len(thresholds) == scores.shape[1]
    predicted = decide(scores, thresholds)
    for label, threshold in enumerate(thresholds):
        if not truth[:, label].any():
            assert threshold == 0.5
            continue
        found = f1_score(truth[:, label], predicted[:, label], zero_division=0)
        assert found == pytest.approx(best_f1(scores[:, label], truth[:, label]))
        assert 0 <= threshold <= 1


@given(scored_texts())
def test_thresholds_are_plain_numbers_in_label_order(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    scores, truth = drawn
    thresholds = tune_thresholds(scores, truth)
    assert all(type(threshold) is float for threshold in thresholds)
    one_by_one = [
        tune_thresholds(scores[:, [label]], truth[:, [label]])[0] for label in range(scores.shape[1])
    ]
    assert thresholds == one_by_one


def test_of_equally_good_thresholds_the_nearest_to_a_half() -> None:
    truth = np.array([[False], [True]])
    assert tune_thresholds(np.array([[0.1], [0.9]]), truth) == [0.5]
    assert tune_thresholds(np.array([[0.1], [0.3]]), truth) == [pytest.approx(0.2)]
    assert tune_thresholds(np.array([[0.6], [0.9]]), truth) == [pytest.approx(0.75)]


def test_thresholds_lie_half_way_between_scores() -> None:
    scores, truth = np.array([[0.8], [0.7], [0.6], [0.1]]), np.array([[True], [True], [False], [False]])
    assert tune_thresholds(scores, truth) == [pytest.approx(0.65)]


def test_a_label_that_all_texts_have_is_predicted_everywhere() -> None:
    scores = np.array([[0.01], [0.4], [0.9]])
    assert decide(scores, tune_thresholds(scores, np.ones((3, 1), bool))).all()
