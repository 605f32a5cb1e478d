"""Intervals, paired tests and verdicts."""

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, nct, norm, ttest_1samp
from scipy.stats import t as student
from sklearn.metrics import accuracy_score, f1_score

from polysharp.core.terms import LabelType
from polysharp.evaluation import statistics
from polysharp.evaluation.averages import MEAN, POOLED, Languages
from polysharp.evaluation.estimates import Tally, score, tallies
from polysharp.evaluation.ranking import verdict
from polysharp.evaluation.statistics import Comparison, Difference, Estimate, compare, resamples

TEXTS, DRAWS = 40, 60
Predictions = list[tuple[np.ndarray, np.ndarray]]


def predictions(
    label_type: LabelType, seeds: int, right: float = 0.7, seed: int = 0, texts: int = TEXTS
) -> Predictions:
    """Return true and predicted labels of several seeds, `right` of them right."""
    draw = np.random.default_rng(seed)
    if label_type == "single":
        truth = np.eye(3, dtype=bool)[np.random.default_rng(9).integers(0, 3, texts)]
        others = (np.eye(3, dtype=bool)[draw.integers(0, 3, texts)] for _ in range(seeds))
    else:
        truth = np.random.default_rng(9).random((texts, 3)) < 0.4
        others = (draw.random((texts, 3)) < 0.4 for _ in range(seeds))
    return [(truth, np.where(draw.random((texts, 1)) < right, truth, other)) for other in others]


def binary(right: np.ndarray) -> Predictions:
    """Return predictions of two labels, (seeds, texts), right where it says so."""
    truth = np.tile([[True, False]], (right.shape[1], 1))
    return [(truth, np.where(of_seed[:, None], truth, ~truth)) for of_seed in right]


def difference(one: Predictions, other: Predictions, draws: int = 2000) -> Difference:
    return Tally.of(one, draws).minus(Tally.of(other, draws), "accuracy")


def of_seeds(values: list[float], draws: int = 2000) -> Difference:
    """Return a difference that no text makes, only seeds."""
    observed = np.array(values)
    return Difference(observed, np.tile(observed, (draws, 1)), np.zeros(draws))


def all_draws(texts: int, draws: int) -> tuple[np.ndarray, np.ndarray]:
    """Return all weights and swaps."""
    found = resamples(texts, draws)
    return np.concatenate(list(found.weights())), np.concatenate(list(found.swaps()))


# --- Resamples ------------------------------------------------------------------------------------


@pytest.mark.parametrize("label_type", ["single", "multi"])
def test_draws_are_scikit_learns_on_the_resampled_texts(label_type: LabelType) -> None:
    given = predictions(label_type, seeds=3)
    rows = Tally.of(given, DRAWS).rows
    for number, weights in enumerate(all_draws(TEXTS, DRAWS)[0][:10]):
        texts = np.repeat(np.arange(TEXTS), weights.astype(int))
        assert len(texts) == TEXTS
        drawn = [(truth[texts], predicted[texts]) for truth, predicted in given]
        per_label = [f1_score(*pair, average=None, zero_division=0) for pair in drawn]
        np.testing.assert_allclose(rows["(labels)"].resampled[number], per_label)
        for average in ("micro", "macro", "weighted"):
            expected = [f1_score(*pair, average=average, zero_division=0) for pair in drawn]
            assert rows[f"{average} avg"].resampled[number] == pytest.approx(expected)
        expected = [accuracy_score(*pair) for pair in drawn]
        assert rows["accuracy"].resampled[number] == pytest.approx(expected)


@pytest.mark.parametrize("seeds", [(1, 1), (3, 3), (3, 1)])
def test_swapped_scores_are_those_of_methods_that_changed_places(seeds: tuple[int, int]) -> None:
    one, other = (predictions("multi", n, 0.5 + n / 10, seed=n) for n in seeds)
    found = Tally.of(one, DRAWS).minus(Tally.of(other, DRAWS), "macro_f1")
    for number, swaps in enumerate(all_draws(TEXTS, DRAWS)[1][:10]):
        differences = []
        for index, (truth, ours) in enumerate(one):
            theirs = other[index % len(other)][1]
            mixed = [np.where(swaps[:, None] == 1, *pair) for pair in ((theirs, ours), (ours, theirs))]
            mine, its = (f1_score(truth, labels, average="macro", zero_division=0) for labels in mixed)
            differences.append(mine - its)
        assert found.swapped[number] == pytest.approx(np.mean(differences))
    assert found.mean == pytest.approx(
        np.mean([f1_score(*pair, average="macro", zero_division=0) for pair in one])
        - np.mean([f1_score(*pair, average="macro", zero_division=0) for pair in other])
    )


def test_the_number_of_texts_alone_decides_the_draws() -> None:
    weights, swaps = all_draws(30, 2000)
    resamples.cache_clear()
    assert np.array_equal(all_draws(30, 2000)[0], weights)
    assert set(weights.sum(1)) == {30}
    assert weights.mean(0) == pytest.approx(np.ones(30), abs=0.1)
    assert weights.var() == pytest.approx(29 / 30, rel=0.05)
    assert swaps.mean() == pytest.approx(0.5, abs=0.01)


def test_blocks_of_draws_are_parts_of_the_same_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    texts, draws = 37, 301
    random = np.random.default_rng([texts, draws])
    places = random.integers(texts, size=(draws, texts))
    weights = [np.bincount(of_draw, minlength=texts) for of_draw in places]
    swaps = random.integers(2, size=(draws, texts))
    given = {name: predictions("multi", 2, seed=n, texts=texts) for n, name in enumerate("ab")}
    resamples.cache_clear()
    whole = tallies(given, draws)
    for block, kept in ((1000, 2**22), (1000, 0), (1, 0)):  # 28th draw in another block; one draw in each
        monkeypatch.setattr(statistics, "BLOCK", block)
        monkeypatch.setattr(statistics, "KEPT", kept)
        resamples.cache_clear()
        assert len(list(resamples(texts, draws).weights())) == -(-draws // max(1, block // texts))
        assert all(
            np.array_equal(*pair) for pair in zip(all_draws(texts, draws), (weights, swaps), strict=True)
        )
        parts = tallies(given, draws)
        for method, tally in whole.items():
            for ours, theirs in zip(
                tally.resampled + tally.swapped, parts[method].resampled + parts[method].swapped, strict=True
            ):
                assert all(np.array_equal(ours[key], theirs[key]) for key in ours if key != "samples")
                np.testing.assert_allclose(ours["samples"], theirs["samples"], rtol=1e-14)
    resamples.cache_clear()


def test_memory_does_not_grow_with_texts_times_draws() -> None:
    """15,000 test texts, 3 seeds and 10 labels: arrays of 2,000 draws take 1 GB, of 200 0.1 GB."""
    draw = np.random.default_rng(0)
    truth = np.eye(10, dtype=bool)[draw.integers(10, size=15_000)]
    pairs = [(truth, np.eye(10, dtype=bool)[draw.integers(10, size=15_000)]) for _ in range(3)]
    tracemalloc.start()
    tally = Tally.of(pairs, 200)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert tally.resampled[0]["total"].tolist() == [[15_000]] * 200
    assert peak < 30e6


# --- Intervals ------------------------------------------------------------------------------------


def test_intervals_cover_the_estimate_and_narrow_with_more_texts() -> None:
    widths = []
    for texts in (30, 480):
        right = np.arange(texts) >= texts // 3
        low, high = Tally.of(binary(right[None]), 2000).estimate("accuracy").interval()
        assert low < 2 / 3 < high
        widths.append(high - low)
    assert widths[1] == pytest.approx(widths[0] / 4, rel=0.1)
    assert widths[0] == pytest.approx(2 * 1.96 * np.sqrt(2 / 9 / 30), rel=0.1)


@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
def test_where_only_seeds_differ_the_interval_is_students(seeds: int) -> None:
    values = np.linspace(-0.01, 0.02, seeds)
    expected = student.interval(0.95, seeds - 1, values.mean(), values.std(ddof=1) / np.sqrt(seeds))
    assert of_seeds(values.tolist()).interval() == pytest.approx(expected, rel=0.01)


def test_an_interval_stays_within_what_a_score_can_be() -> None:
    wild = Estimate(np.array([0.5, 1.0]), np.tile([0.5, 1.0], (2000, 1)))
    assert wild.interval().tolist() == [0, 1]
    assert of_seeds([-0.9, 0.9]).interval().tolist() == [-1, 1]


def test_what_a_seed_and_a_text_do_together_counts_once() -> None:
    """Seeds that are right on texts of their own: the mean varies less by far than seeds and texts apart."""
    draw, texts, seeds, values = np.random.default_rng(0), 200, 5, []
    for _ in range(400):
        values.append((draw.random((seeds, texts)) < 0.8).mean())
    true_width = 2 * 1.96 * np.std(values)
    widths = []
    for _ in range(60):
        right = draw.random((seeds, texts)) < 0.8
        low, high = Tally.of(binary(right), 500).estimate("accuracy").interval()
        widths.append(high - low)
    assert 1 < np.mean(widths) / true_width < 1.5  # Student's t with 4 degrees of freedom: 1.42


@pytest.mark.parametrize(("seeds", "spread"), [(2, 0.03), (3, 0.03), (5, 0.0), (5, 0.03)])
def test_intervals_cover_what_would_come_of_all_seeds_and_texts(seeds: int, spread: float) -> None:
    draw, true, covered, number = np.random.default_rng(1), 0.6, 0, 300
    for _ in range(number):
        level = true + spread * draw.standard_normal((seeds, 1))
        hard = draw.random(150)  # the same texts are hard for every seed, with some luck
        right = 0.7 * hard + 0.3 * draw.random((seeds, 150)) < _quantile(level)
        low, high = Tally.of(binary(right), 300).estimate("accuracy").interval()
        covered += low <= true <= high
    assert covered >= binom.ppf(0.001, number, 0.95)


def _quantile(level: np.ndarray) -> np.ndarray:
    """Return below what 0.7 u + 0.3 v lies with a probability, .22 to .78; u and v even in [0, 1]."""
    return 0.7 * level + 0.15


# --- Tests ----------------------------------------------------------------------------------------


@given(st.lists(st.integers(-20, 30), min_size=2, max_size=8).filter(lambda v: len(set(v)) > 1))
def test_where_only_seeds_differ_the_test_is_students(values: list[int]) -> None:
    scores = [value / 1000 for value in values]
    assert of_seeds(scores).p_value == pytest.approx(ttest_1samp(scores, 0).pvalue, rel=0.05, abs=1e-3)


@pytest.mark.parametrize(("wins", "losses", "texts"), [(6, 0, 11), (12, 3, 40), (30, 15, 200), (5, 5, 50)])
def test_where_only_texts_differ_the_test_is_that_of_signs(wins: int, losses: int, texts: int) -> None:
    one, other = np.ones((2, 1, texts), dtype=bool)
    one[0, :losses], other[0, losses : losses + wins] = False, False
    found = difference(binary(one), binary(other), 20_000)
    assert found.mean == pytest.approx((wins - losses) / texts)
    assert found.p_value == pytest.approx(binomtest(wins, wins + losses).pvalue, abs=0.01)


def test_far_out_the_p_value_goes_on_below_what_draws_can_tell() -> None:
    one, other = np.ones((2, 1, 400), dtype=bool)
    other[0, :60] = False
    assert difference(binary(one), binary(other)).p_value == pytest.approx(2 * norm.sf(60 / 60**0.5), rel=0.6)
    far = of_seeds([0.100, 0.101, 0.102, 0.103, 0.104])
    assert far.p_value == pytest.approx(ttest_1samp(far.observed, 0).pvalue, rel=1e-6)
    both = Difference(far.observed, far.resampled, np.random.default_rng(0).normal(0, 0.02, 2000))
    assert far.p_value < both.p_value < 2 * norm.sf(0.102 / 0.02) * 1.5


def test_the_same_predictions_do_not_differ() -> None:
    given = predictions("single", seeds=3)
    found = compare(difference(given, given), testable=True)
    assert found == Comparison(0.0, 0.0, 0.0, 1.0)


def test_who_is_the_reference_does_not_matter() -> None:
    one, other = (predictions("multi", 3, right, seed=number) for number, right in ((1, 0.7), (2, 0.6)))
    ours, theirs = difference(one, other), difference(other, one)
    assert ours.p_value == pytest.approx(theirs.p_value)
    assert ours.interval() == pytest.approx(-theirs.interval()[::-1], abs=0.01)


# What a study looks like: seeds, texts, how much seeds and texts vary, whether the other method has seeds.
STUDIES = [(2, 100, 0.3, 3), (3, 100, 0.6, 3), (3, 200, 0.3, 1), (5, 100, 0.0, 5), (5, 200, 0.6, 1)]


def made_up(
    draw: np.random.Generator, seeds: int, hard: np.ndarray, spread: float, level: float = 1.8
) -> np.ndarray:
    """Return which texts the seeds of a method are right on: logit-normal over seeds and texts."""
    own = hard + draw.normal(0, 0.5, hard.shape)
    logits = level + own + draw.normal(0, spread, (seeds, 1))
    return np.asarray(draw.random(logits.shape) < 1 / (1 + np.exp(-logits)))


@pytest.mark.parametrize(("seeds", "texts", "spread", "others"), STUDIES)
def test_methods_of_the_same_distribution_are_rarely_told_apart(
    seeds: int, texts: int, spread: float, others: int
) -> None:
    draw, number, claimed, naive = np.random.default_rng(3), 300, 0, 0
    for _ in range(number):
        hard = draw.normal(0, 1.5, texts)
        others_spread = spread if others > 1 else 0.0
        one, other = (
            made_up(draw, seeds, hard, spread),
            made_up(draw, min(others, seeds), hard, others_spread),
        )
        found = difference(binary(one), binary(other), 300)
        claimed += verdict(compare(found, True), found.p_value) != "tie"
        texts_alone = one.mean(0) - other.mean(0)
        naive += abs(texts_alone.mean()) > 1.96 * texts_alone.std() / texts**0.5
    assert claimed <= binom.ppf(0.99, number, 0.05)
    if spread == 0.6:  # what a test over texts alone would claim: seeds do matter here
        assert naive > binom.ppf(0.999, number, 0.10)


@pytest.mark.parametrize(
    ("seeds", "size", "spread"), [(3, 0.05, 0.02), (5, 0.02, 0.02), (10, 0.02, 0.02), (10, 0.01, 0.02)]
)
def test_seeds_find_a_true_difference_as_often_as_theory_says(seeds: int, size: float, spread: float) -> None:
    """The power of Student's test: a t distribution that is not central."""
    draw, number = np.random.default_rng(4), 600
    scores = draw.normal(size, spread, (number, seeds))
    found = np.mean([of_seeds(values.tolist(), 200).p_value < 0.05 for values in scores])
    limit, shift = student.ppf(0.975, seeds - 1), size / spread * seeds**0.5
    theory = nct.sf(limit, seeds - 1, shift) + nct.cdf(-limit, seeds - 1, shift)
    assert found == pytest.approx(theory, abs=4 * np.sqrt(theory * (1 - theory) / number) + 0.01)


@pytest.mark.parametrize(
    ("better", "worse", "texts"), [(0.12, 0.06, 400), (0.10, 0.05, 200), (0.2, 0.05, 150)]
)
def test_texts_find_a_true_difference_as_often_as_theory_says(
    better: float, worse: float, texts: int
) -> None:
    """The power of McNemar's test (Connor 1987, Biometrics 43, 207-211)."""
    draw, number, claimed = np.random.default_rng(5), 400, 0
    for _ in range(number):
        luck = draw.random(texts)
        one = ~((luck >= better) & (luck < better + worse))
        found = difference(binary(one[None]), binary((luck >= better)[None]), 400)
        claimed += found.p_value < 0.05
    both, size = better + worse, better - worse
    theory = norm.sf((1.96 * both**0.5 - size * texts**0.5) / (both - size**2) ** 0.5)
    assert claimed / number == pytest.approx(theory, abs=0.08)


# --- Averages over languages ----------------------------------------------------------------------


def languages(*given: dict[str, Predictions]) -> Languages:
    result = Languages()
    for of_language in given:
        tallies = {method: Tally.of(seeds, 2000) for method, seeds in of_language.items()}
        result.add(["a", "b", "c"], score(tallies, "accuracy", "probe"))
    return result


def width(estimate: Estimate) -> float:
    low, high = estimate.interval()
    return float(high - low)


def test_translations_of_the_same_texts_are_no_further_evidence() -> None:
    english = {"sam": predictions("single", 3, seed=1), "probe": predictions("single", 1, 0.5, seed=2)}
    german = {"sam": predictions("single", 3, seed=3), "probe": predictions("single", 1, 0.5, seed=4)}
    alone = languages(english).averages("accuracy", "probe")[MEAN]
    twice = languages(english, english).averages("accuracy", "probe")[MEAN]
    both = languages(english, german).averages("accuracy", "probe")[MEAN]
    for method in ("sam", "probe"):
        assert width(twice.estimates[method]) == pytest.approx(width(alone.estimates[method]))
    assert width(both.estimates["probe"]) < 0.9 * width(alone.estimates["probe"])
    assert twice.differences["sam"].p_value == pytest.approx(alone.differences["sam"].p_value)


def test_pooled_is_the_score_of_all_texts_together() -> None:
    small, large = (
        {"sam": predictions("single", 2, 0.8, seed=n, texts=n), "probe": predictions("single", 1, 0.5, n, n)}
        for n in (20, 100)
    )
    averages = languages(small, large).averages("accuracy", "probe")
    together = [
        [np.concatenate(parts) for parts in zip(one, other, strict=True)]
        for one, other in zip(small["sam"], large["sam"], strict=True)
    ]
    assert averages[POOLED].estimates["sam"].observed == pytest.approx(
        [accuracy_score(*pair) for pair in together]
    )
    apart = [np.mean([accuracy_score(*seeds[n]) for seeds in (small["sam"], large["sam"])]) for n in (0, 1)]
    assert averages[MEAN].estimates["sam"].observed == pytest.approx(apart)


def test_languages_with_other_labels_are_not_pooled() -> None:
    given: Callable[[int], dict[str, Predictions]] = lambda n: {"sam": predictions("single", 2, seed=n)}  # noqa: E731
    result = languages(given(1), given(2))
    assert set(result.averages("accuracy", None)) == {MEAN, POOLED}
    tallies = {method: Tally.of(seeds, 2000) for method, seeds in given(3).items()}
    result.add(["a", "b", "other"], score(tallies, "accuracy", None))
    assert set(result.averages("accuracy", None)) == {MEAN}
    assert (result.added, len(result.estimates)) == (3, 1)
