"""Simulate studies in which methods are the same, and count how often something is claimed of them.

Seeds and texts are logit-normal: every text is hard or easy for all methods, and a little more so for one
of them; every seed is a little better or worse. One seed stands for a method that draws nothing at random.

``pairs`` compares two equal methods. Each test claims a difference at p < .05. Printed are, over all kinds
of studies with a number of seeds, the lowest and the highest share of false claims:

texts       an interval over texts alone, of the mean over seeds
bootstrap   the percentile interval of a bootstrap over seeds and texts together
polysharp   polysharp's own test

``standing`` ranks several methods, some of them equal. A claim is false if it says that a method is worse
than the highest one, and it is not. Printed are the share of studies with a false claim, its 95 % interval
(Clopper and Pearson), and the share in which the best method is found, if there is one:

highest     Holm over the comparisons with the highest method, as if it had been named before
holm        Holm over all pairs of methods, with the p-values of polysharp's standings
polysharp   polysharp's standings
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping
from itertools import combinations, cycle, islice, product

import numpy as np
from scipy.stats import binomtest, norm

from polysharp.evaluation.estimates import Tally, tallies
from polysharp.evaluation.ranking import Ranking, adjusted, p_value_of_claim, standings, verdict
from polysharp.evaluation.statistics import Difference, compare

DRAWS = 400
SEEDS, TEXTS, SPREADS, REFERENCES = (2, 3, 5), (50, 200), (0.0, 0.15, 0.3, 0.6), ("deterministic", "seeds")
LEVEL = 1.8  # logit of a text of usual difficulty
NULLS = {
    "2 equal": [0.0] * 2,
    "4 equal": [0.0] * 4,
    "7 equal": [0.0] * 7,
    "3 equal, 1 better": [0, 0, 0, 0.8],
    "3 equal, 1 a little better": [0, 0, 0, 0.2],
    "2 equal, 2 worse": [0, 0, -0.8, -0.8],
    "2 equal, 5 worse": [0, 0, -0.4, -0.8, -0.8, -1.2, -1.2],
}


def right(
    draw: np.random.Generator,
    hard: np.ndarray,
    seeds: int,
    spread: float,
    fixed: bool,
    level: float = LEVEL,
) -> np.ndarray:
    """Return which texts the seeds of a method are right on, (seeds, texts); all seeds alike if `fixed`."""
    logits = level + hard + draw.normal(0, 0.5, hard.shape)
    if fixed:
        return (draw.random((1, len(hard))) < 1 / (1 + np.exp(-logits))).repeat(seeds, axis=0)
    return np.asarray(
        draw.random((seeds, len(hard))) < 1 / (1 + np.exp(-logits - draw.normal(0, spread, (seeds, 1))))
    )


def predictions(of_seeds: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return predictions of two labels that are right where it says so."""
    truth = np.tile([[True, False]], (of_seeds.shape[1], 1))
    return [(truth, np.where(seed[:, None], truth, ~truth)) for seed in of_seeds]


def p_values(one: np.ndarray, other: np.ndarray, draw: np.random.Generator) -> dict[str, float]:
    """Return the p-value of every test."""
    texts = one.mean(0) - other.mean(0)
    spread = texts.std() / len(texts) ** 0.5
    mine, its = (Tally.of(predictions(of_seeds), DRAWS) for of_seeds in (one, other))
    found: Difference = mine.minus(its, "accuracy")
    seeds = draw.integers(len(one), size=(DRAWS, len(one)))
    both = found.resampled[np.arange(DRAWS)[:, None], seeds].mean(1)
    return {
        "texts": float(2 * norm.sf(abs(texts.mean()) / spread)) if spread else 1.0,
        "bootstrap": (2 * min((both <= 0).sum(), (both >= 0).sum()) + 1) / (DRAWS + 1),
        "polysharp": found.p_value,
    }


def pairs(arguments: argparse.Namespace) -> None:
    """Compare two equal methods."""
    draw = np.random.default_rng(arguments.seed)
    print("seeds", "test", "lowest", "highest", sep="\t")
    for seeds in SEEDS:
        shares: dict[str, list[float]] = {}
        for texts, spread, reference in product(TEXTS, SPREADS, REFERENCES):
            claims: dict[str, int] = {}
            for _ in range(arguments.studies):
                hard = draw.normal(0, 1.5, texts)
                one = right(draw, hard, seeds, spread, fixed=False)
                other = right(draw, hard, seeds, spread, fixed=reference == "deterministic")
                for test, p_value in p_values(one, other, draw).items():
                    claims[test] = claims.get(test, 0) + (p_value < 0.05)
            for test, number in claims.items():
                shares.setdefault(test, []).append(number / arguments.studies)
        for test, of_test in shares.items():
            print(seeds, test, f"{min(of_test):.3f}", f"{max(of_test):.3f}", sep="\t", flush=True)


def excluded(methods: Mapping[str, Tally]) -> dict[str, tuple[str, set[str]]]:
    """Return the highest method, and the methods that are said to be worse, by procedure."""
    ranking = Ranking.of(methods, "accuracy", lambda *_: True)
    highest, left = ranking.highest, standings([ranking])[0]
    behind = {
        name: compare(methods[highest].minus(methods[name], "accuracy"), True) for name in ranking.behind
    }
    p_values = adjusted([found.p_value for found in behind.values()])
    judged = zip(behind.items(), p_values, strict=True)
    pairs = list(combinations(methods, 2))
    of_pairs = [p_value_of_claim(methods[a].minus(methods[b], "accuracy"), True) for a, b in pairs]
    told = [
        set(pair) for pair, p in zip(pairs, adjusted(of_pairs), strict=True) if p is not None and p < 0.05
    ]
    return {
        "highest": (highest, {name for (name, found), p in judged if verdict(found, p) != "tie"}),
        "holm": (highest, {name for name in methods if {highest, name} in told}),
        "polysharp": (highest, set(methods) - set(left)),
    }


def standing(arguments: argparse.Namespace) -> None:
    """Rank several methods."""
    print("methods", "seeds", "procedure", "studies", "false", "low", "high", "found", sep="\t")
    for (name, levels), seeds in product(NULLS.items(), (1, *SEEDS)):
        draw = np.random.default_rng([arguments.seed, seeds, *name.encode()])
        true = {f"method {number}": level for number, level in enumerate(levels)}
        best = [method for method, level in true.items() if level == max(levels)]
        false: Counter[str] = Counter()
        found: Counter[str] = Counter()
        for texts, spread in islice(cycle(product(TEXTS, (0.15, 0.6))), arguments.studies):
            hard = draw.normal(0, 1.5, texts)
            methods = tallies(
                {
                    method: predictions(right(draw, hard, seeds, spread, seeds == 1, LEVEL + level))
                    for method, level in true.items()
                },
                DRAWS,
            )
            for procedure, (highest, worse) in excluded(methods).items():
                false[procedure] += any(true[method] >= true[highest] for method in worse)
                found[procedure] += [highest] == best and len(worse) == len(levels) - 1
        for procedure in ("highest", "holm", "polysharp"):
            ends = binomtest(false[procedure], arguments.studies).proportion_ci()
            shares = [false[procedure] / arguments.studies, ends.low, ends.high]
            shares += [found[procedure] / arguments.studies] if len(best) == 1 else []
            shown = [f"{share:.3f}" for share in shares]
            print(name, seeds, procedure, arguments.studies, *shown, sep="\t", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("pairs", "standing"))
    parser.add_argument("--studies", type=int, default=500, help="of every kind (default: 500)")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    {"pairs": pairs, "standing": standing}[given.what](given)
