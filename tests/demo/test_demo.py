"""The bars that the embedded example has to pass; after `make demo`, whose results these tests read."""

from pathlib import Path

import polars as pl
import pytest

RESULTS = Path(__file__).parents[2] / "results"

pytestmark = pytest.mark.skipif(
    not (RESULTS / "manifest.json").is_file(), reason="results/manifest.json is absent: run `make demo` first"
)


@pytest.fixture(scope="module")
def scores() -> pl.DataFrame:
    """Test macro-F1, one row per data set, one column per method."""
    table = pl.read_csv(RESULTS / "comparison.tsv", separator="\t")
    return table.pivot("method", index=["language", "label_type"], values="test_mean")


def test_all_six_data_sets_are_complete() -> None:
    runs = pl.read_csv(RESULTS / "runs.tsv", separator="\t")
    assert runs["status"].to_list() == ["complete"] * 6 * (3 + 1 + 1)  # seeds of sam, probe, tfidf


def test_sam_is_at_most_four_points_below_the_probe_anywhere(scores: pl.DataFrame) -> None:
    assert (scores["sam"] - scores["probe"]).min() >= -0.04, scores


def test_sam_is_better_on_average_than_both_baselines(scores: pl.DataFrame) -> None:
    means = scores.select("sam", "probe", "tfidf").mean().row(0, named=True)
    assert means["sam"] > means["probe"], means
    assert means["sam"] > means["tfidf"], means


def test_training_jobs_stay_below_3_gb() -> None:
    costs = pl.read_csv(RESULTS / "costs.tsv", separator="\t")
    assert costs["memory_mb"].max() < 3 * 1024
