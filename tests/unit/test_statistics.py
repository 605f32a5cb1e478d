"""Intervals, paired tests and verdicts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control
from sklearn.metrics import accuracy_score, f1_score

from polysharp.configuration import LabelType
from polysharp.statistics import Bootstrap, Difference, adjusted, interval, paired_difference, verdict

TEXTS, DRAWS = 40, 60
Predictions = list[tuple[np.ndarray, np.ndarray]]


def predictions(label_type: LabelType, seeds: int, right: float = 0.7, seed: int = 0) -> Predictions:
    """Return true and predicted labels of several seeds, `right` of them right."""
    draw = np.random.default_rng(seed)
    if label_type == "single":
        truth = np.eye(3, dtype=bool)[np.random.default_rng(9).integers(0, 3, TEXTS)]
        others = (np.eye(3, dtype=bool)[draw.integers(0, 3, TEXTS)] for _ in range(seeds))
    else:
        truth = np.random.default_rng(9).random((TEXTS, 3)) < 0.4
        others = (draw.random((TEXTS, 3)) < 0.4 for _ in range(seeds))
    return [(truth, np.where(draw.random((TEXTS, 1)) < right, truth, other)) for other in others]


def rows_of(
    given: Predictions, label_type: LabelType, key: str = "a", seeds: int = 3
) -> dict[str, np.ndarray]:
    return Bootstrap(TEXTS, seeds, DRAWS, key).rows(given, label_type)


@pytest.mark.parametrize("label_type", ["single", "multi"])
def test_draws_are_scikit_learns_on_the_resampled_texts(label_type: LabelType) -> None:
    given, bootstrap = predictions(label_type, seeds=3), Bootstrap(TEXTS, 3, DRAWS, "a")
    rows = bootstrap.rows(given, label_type)
    for number in range(10):
        texts = np.repeat(np.arange(TEXTS), bootstrap._weights[number].astype(int))
        assert len(texts) == TEXTS
        seeds = [int(u * 3) for u in bootstrap._seeds[number]]
        of_seeds = [(given[seed][0][texts], given[seed][1][texts]) for seed in seeds]
        per_label = np.mean([f1_score(*pair, average=None, zero_division=0) for pair in of_seeds], axis=0)
        np.testing.assert_allclose(rows["(labels)"][number], per_label)
        for average in ("macro", "weighted") if label_type == "single" else ("micro", "macro", "samples"):
            expected = np.mean([f1_score(*pair, average=average, zero_division=0) for pair in of_seeds])
            assert rows[f"{average} avg"][number] == pytest.approx(expected)
        assert rows["accuracy"][number] == pytest.approx(np.mean([accuracy_score(*p) for p in of_seeds]))


def test_seeds_are_drawn_too() -> None:
    bootstrap = Bootstrap(TEXTS, 3, 2000, "a")
    chosen = (bootstrap._seeds * 3).astype(int)
    assert set(chosen.ravel().tolist()) == {0, 1, 2}
    assert np.bincount(chosen.ravel()) / chosen.size == pytest.approx([1 / 3] * 3, abs=0.03)
    constant = [
        (truth, truth if number else ~truth) for number, (truth, _) in enumerate(predictions("multi", 2))
    ]
    draws = rows_of(constant, "multi", seeds=2)["accuracy"]
    assert set(draws.tolist()) == {0.0, 0.5, 1.0}


def test_the_key_alone_decides_the_draws() -> None:
    given = predictions("multi", seeds=3)
    one, again, other = (rows_of(given, "multi", key)["macro avg"] for key in ("a/b", "a/b", "a/c"))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_methods_pair_in_texts_and_seeds() -> None:
    """The same predictions differ by nothing in any draw; one seed and several share the texts."""
    given, bootstrap = predictions("single", seeds=3), Bootstrap(TEXTS, 3, DRAWS, "a")
    one, two = (bootstrap.rows(given, "single")["macro avg"] for _ in range(2))
    assert paired_difference(0.0, one, two) == Difference(0.0, 0.0, 0.0, 1.0)
    single = bootstrap.rows(given[:1], "single")["accuracy"]
    threefold = bootstrap.rows(given[:1] * 3, "single")["accuracy"]
    np.testing.assert_allclose(single, threefold)


def test_intervals_cover_the_estimate_and_narrow_with_more_texts() -> None:
    widths = []
    for texts in (30, 480):
        truth = np.tile(np.eye(2, dtype=bool), (texts // 2, 1))
        predicted = truth.copy()
        predicted[: texts // 3] = ~predicted[: texts // 3]
        low, high = interval(Bootstrap(texts, 1, 500, "a").rows([(truth, predicted)], "single")["accuracy"])
        assert low < 2 / 3 < high
        widths.append(high - low)
    assert widths[1] == pytest.approx(widths[0] / 4, rel=0.25)


def test_interval_is_the_95_percent_percentile_interval() -> None:
    assert interval(np.arange(0, 1001) / 1000) == pytest.approx((0.025, 0.975))


def test_a_p_value_is_never_zero() -> None:
    assert paired_difference(1.0, np.ones(99), np.zeros(99)).p_value == pytest.approx(0.02)
    assert paired_difference(-1.0, np.zeros(1999), np.ones(1999)).p_value == pytest.approx(0.001)


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=50))
def test_p_values_do_not_depend_on_who_is_the_reference(differences: list[int]) -> None:
    draws, reference = np.array(differences, float), np.zeros(len(differences))
    one, other = paired_difference(0.0, draws, reference), paired_difference(0.0, reference, draws)
    assert 0 < one.p_value == other.p_value <= 1
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low))


@given(st.dictionaries(st.text(max_size=3), st.floats(0.0001, 1), max_size=12))
def test_adjusted_p_values_are_scipys(p_values: dict[str, float]) -> None:
    found = adjusted(p_values)
    assert list(found) == list(p_values)
    if p_values:
        expected = false_discovery_control(list(p_values.values()), method="bh")
        assert list(found.values()) == pytest.approx(expected)
    assert all(found[key] >= p_values[key] - 1e-12 for key in p_values)


@pytest.mark.parametrize(
    ("difference", "p_adjusted", "expected"),
    [
        (Difference(0.1, 0.05, 0.15, 0.01), 0.02, "better"),
        (Difference(-0.1, -0.15, -0.05, 0.01), 0.02, "worse"),
        (Difference(0.1, 0.05, 0.15, 0.01), 0.05, "tie"),
        (Difference(0.1, -0.01, 0.15, 0.01), 0.02, "tie"),
        (Difference(0.1, 0.0, 0.15, 0.01), 0.02, "tie"),
        (Difference(-0.1, -0.15, 0.0, 0.01), 0.02, "tie"),
        (Difference(0.0, 0.0, 0.0, 1.0), 1.0, "tie"),
    ],
)
def test_verdicts(difference: Difference, p_adjusted: float, expected: str) -> None:
    assert verdict(difference, p_adjusted) == expected
