"""Simulate studies in which two methods are the same, and count how often tests tell them apart.

Seeds and texts are logit-normal: every text is hard or easy for both methods, and a little more so for one
of them; every seed is a little better or worse. Each test claims a difference at p < .05. Printed are, over
all kinds of studies with a number of seeds, the lowest and the highest share of false claims:

texts       an interval over texts alone, of the mean over seeds
bootstrap   the percentile interval of a bootstrap over seeds and texts together
polysharp   polysharp's own test
"""

from __future__ import annotations

import argparse
from itertools import product

import numpy as np
from scipy.stats import norm

from polysharp.estimates import Tally
from polysharp.statistics import Difference

DRAWS = 400
SEEDS, TEXTS, SPREADS, REFERENCES = (2, 3, 5), (50, 200), (0.0, 0.15, 0.3, 0.6), ("deterministic", "seeds")


def right(draw: np.random.Generator, hard: np.ndarray, seeds: int, spread: float, fixed: bool) -> np.ndarray:
    """Return which texts the seeds of a method are right on, (seeds, texts); all seeds alike if `fixed`."""
    logits = 1.8 + hard + draw.normal(0, 0.5, hard.shape)
    if fixed:
        return (draw.random((1, len(hard))) < 1 / (1 + np.exp(-logits))).repeat(seeds, axis=0)
    return np.asarray(
        draw.random((seeds, len(hard))) < 1 / (1 + np.exp(-logits - draw.normal(0, spread, (seeds, 1))))
    )


def tally(of_seeds: np.ndarray) -> Tally:
    """Return the counts of predictions of two labels that are right where it says so."""
    truth = np.tile([[True, False]], (of_seeds.shape[1], 1))
    return Tally.of([(truth, np.where(seed[:, None], truth, ~truth)) for seed in of_seeds], DRAWS)


def p_values(one: np.ndarray, other: np.ndarray, draw: np.random.Generator) -> dict[str, float]:
    """Return the p-value of every test."""
    texts = one.mean(0) - other.mean(0)
    spread = texts.std() / len(texts) ** 0.5
    found: Difference = tally(one).minus(tally(other), "accuracy")
    seeds = draw.integers(len(one), size=(DRAWS, len(one)))
    both = found.resampled[np.arange(DRAWS)[:, None], seeds].mean(1)
    return {
        "texts": float(2 * norm.sf(abs(texts.mean()) / spread)) if spread else 1.0,
        "bootstrap": (2 * min((both <= 0).sum(), (both >= 0).sum()) + 1) / (DRAWS + 1),
        "polysharp": found.p_value,
    }


def main(arguments: argparse.Namespace) -> None:
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


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--studies", type=int, default=500, help="of every kind (default: 500)")
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args())
