"""One classifier with the mean of the weights of several seeds, in the workflow."""

from pathlib import Path

import pytest

from tests.integration.study import Study

SOUP = {"base": "soup", "of": "sam"}
METHODS = {"sam": {"keep": "average"}, "soup-of-sam": SOUP, "probe": None}


def checkpoints(study: Study) -> list[str]:
    """Return the cells that still have their classifier."""
    folders = (study.folder / "work/runs").glob("**/checkpoint")
    return sorted(str(folder.parent.relative_to(study.folder / "work/runs")) for folder in folders)


def times(study: Study) -> dict[str, int]:
    """Return when every training ended."""
    reports = study.folder.glob("results/runs/**/sam/*/report.json")
    return {report.parent.name: report.stat().st_mtime_ns for report in sorted(reports)}


@pytest.mark.slow
def test_a_soup_is_the_same_however_its_seeds_came(tmp_path: Path) -> None:
    study = Study.write(
        tmp_path / "grown", [("english", "single")], methods={"sam": METHODS["sam"], "probe": None}
    )
    study.completed("-c2")
    assert len(checkpoints(study)) == 1  # that of the other seed is gone, and has to be trained again
    study.configure(methods=METHODS)
    study.completed("-c2")
    before = times(study)
    study.configure(methods=METHODS, seeds=[3, 1, 2])
    study.completed("-c2")
    after = times(study)
    assert {seed for seed in after if after[seed] != before.get(seed)} == {"seed-3"}
    assert study.planned("-c2") == {}
    whole = Study.write(
        tmp_path / "whole", [("english", "single")], methods=METHODS, seeds=[3, 1, 2], cells_per_job=3
    )
    whole.completed("-c2")
    assert study.bytes_of_results() == whole.bytes_of_results()
    assert len(checkpoints(study)) == len(checkpoints(whole)) == 1
    (row,) = [row for row in whole.table("comparison.tsv") if row["method"] == "soup-of-sam"]
    assert (row["n_seeds"], row["n_expected"], row["status"]) == ("1", "1", "complete")
    assert row["test_ci_low"] and (row["verdict"], row["p_value"]) == (
        "tie",
        "",
    )  # nothing says how soups vary
    predictions = {
        (study.folder / f"results/runs/main/english/single/{cell}/predictions.parquet").read_bytes()
        for cell in ("soup-of-sam/seed-0", "sam/seed-1", "sam/seed-2", "sam/seed-3")
    }
    assert len(predictions) == 4
    report = (study.folder / "results/report.html").read_text(encoding="utf-8")
    assert "soup-of-sam</strong>: one classifier: the mean of the weights of all seeds of a method" in report
