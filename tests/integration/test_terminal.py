"""What people see of a run: few lines, and at the end of one that fails its cause."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.study import Study, copy_of_the_repository, snakemake

# Python imports this module when it starts: the plugin is not to be found.
WITHOUT_PLUGIN = """
import importlib.util, pkgutil
find, walk = importlib.util.find_spec, pkgutil.iter_modules
name = "snakemake_logger_plugin_rich"
importlib.util.find_spec = lambda asked, package=None: None if asked == name else find(asked, package)
pkgutil.iter_modules = lambda *given: (module for module in walk(*given) if module.name != name)
"""


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A study one of whose data sets has a label too few."""
    methods = {"tfidf": None, "adamw": None}
    datasets = [("english", "single"), ("german", "single")]
    study = Study.write(tmp_path_factory.mktemp("broken"), datasets, methods=methods, report={})
    file = study.folder / "data/german/single/train.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    content["Labels"].pop()
    file.write_text(json.dumps(content), encoding="utf-8")
    return study


def test_a_failing_run_is_short_and_ends_with_its_cause(broken: Study) -> None:
    failed = broken.run("-c2", "--keep-going")
    lines = failed.stderr.splitlines()
    assert failed.returncode == 1 and failed.stdout == ""
    cause = "data/german/single/train.json: 30 in 'Text', 29 in 'Labels'; expected the same number in each"
    assert any(cause in line for line in lines[-5:])  # below what Snakemake says at the end
    assert sum(cause in line for line in lines) == 3  # at once, as a finding, and as what made cells fail
    assert sum("[" in line and "/english/single/tfidf/seed-0: validation" in line for line in lines) == 1
    assert sum("validation macro_f1 of seed" in line for line in lines) == 3
    assert len(lines) <= 50, failed.stderr
    assert "Traceback" not in failed.stderr and "python -P -m polysharp" not in failed.stderr


def test_without_the_plugin_snakemakes_own_output_has_the_same_lines(broken: Study, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_PLUGIN, encoding="utf-8")
    failed = subprocess.run(
        [sys.executable, "-m", "snakemake", *broken.command("-c2", "check")],
        capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    lines = failed.stderr.splitlines()
    assert failed.returncode == 1 and "Error in rule summarise_data:" in failed.stderr
    cause = "data/german/single/train.json: 30 in 'Text', 29 in 'Labels'; expected the same number in each"
    assert sum(cause in line for line in lines) == 2 and any(cause in line for line in lines[-5:])


def test_a_dry_run_fits_the_screen(broken: Study) -> None:
    planned = broken.run("-n")
    assert planned.returncode == 0
    assert len((planned.stdout + planned.stderr).splitlines()) <= 30
    assert "summarise data" in planned.stderr and "This was a dry-run" in planned.stderr


def test_the_dry_run_of_the_example_fits_the_screen(tmp_path: Path) -> None:
    planned = snakemake("-n", cwd=copy_of_the_repository(tmp_path / "copy"))
    assert planned.returncode == 0
    assert len((planned.stdout + planned.stderr).splitlines()) <= 30, planned.stderr
