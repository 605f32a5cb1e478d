"""A small study in a folder of its own: real workflow, real architectures, few words."""

import csv
import json
import os
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from polysharp.core.columns import TABLES
from tests import warm
from tests.conftest import ROOT
from tests.tiny_models import write_tiny_model

LANGUAGES = {
    "english": ("roberta", ["tax money bank", "nurse doctor hospital", "school teacher pupil"]),
    "german": ("roberta", ["Steuer Geld Bank", "Pflege Arzt Klinik", "Schule Lehrer Schüler"]),
    "french": ("camembert", ["impôt argent banque", "infirmière médecin hôpital", "école maître élève"]),
    "turkish": ("xlm-roberta", ["vergi para banka", "hemşire doktor hastane", "okul öğretmen öğrenci"]),
}
LABELS = ["economy", "health", "schools"]
# A dry run that names every job: what the logger of profiles/default leaves out.
PLAIN_DRY_RUN = ["-n", "--workflow-profile", "none", "--rerun-incomplete"]
SIZES = {"train": 30, "val": 15, "test": 20}


def write_data(folder: Path, language: str, label_type: str, seed: int = 0) -> None:
    """Write three JSON files of learnable texts: the label's words among those of no label.

    One text in ten speaks of something else, as scores of 1 would leave nothing to choose.
    """
    words = LANGUAGES[language][1]
    draw = random.Random(f"{language} {label_type} {seed}")
    folder.mkdir(parents=True, exist_ok=True)
    for split, size in SIZES.items():
        texts, labels = [], []
        for row in range(size):
            chosen = [row % 3] if label_type == "single" else sorted(draw.sample(range(3), 1 + row % 2))
            topics = chosen if draw.random() > 0.1 else [draw.randrange(3)]
            said = [draw.choice(words[label].split()) for label in topics for _ in range(3)]
            filler = [f"{draw.choice('abcdefgh')}{draw.choice('aeiou')}" for _ in range(4)]
            mixed = said + filler
            draw.shuffle(mixed)
            texts.append(" ".join(mixed))
            names = [LABELS[label] for label in chosen]
            labels.append(names[0] if label_type == "single" else names)
        (folder / f"{split}.json").write_text(json.dumps({"Text": texts, "Labels": labels}), encoding="utf-8")


def copy_of_the_repository(folder: Path) -> Path:
    """Copy what a run needs of the repository, and return the folder."""
    for name in ("workflow", "config", "profiles", "envs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Snakefile", folder)
    return folder


def snakemake(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run Snakemake to its end, as a shell would, without help from the environment of the tests."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    # A copy of the repository brings its own library.
    copy = cwd if "-s" not in arguments else Path(arguments[arguments.index("-s") + 1]).parent
    copied = copy not in (None, ROOT) and (copy / "workflow/polysharp").exists()
    python = sys.executable if copied else warm.python()
    return subprocess.run(
        [python, "-m", "snakemake", *arguments],
        capture_output=True, text=True, env=environment, check=False, timeout=900, cwd=cwd,
    )  # fmt: skip


def counts(dry_run: subprocess.CompletedProcess[str]) -> dict[str, int]:
    """Return how many jobs of every rule a dry run names, without the target rules."""
    assert dry_run.returncode == 0, dry_run.stdout + dry_run.stderr
    table = re.search(r"^job\s+count\n[-\s]+\n(.*?)^total", dry_run.stdout, re.MULTILINE | re.DOTALL)
    jobs = dict(line.split() for line in table.group(1).splitlines()) if table else {}
    return {rule: int(count) for rule, count in jobs.items() if rule not in ("all", "default")}


def copy_study(study: "Study", folder: Path) -> "Study":
    """Copy a study with its times, by which Snakemake tells what has changed."""
    shutil.copytree(study.folder, folder)
    return Study(folder)


class Study:
    """A folder with a configuration, a sample sheet, data and models, in which Snakemake runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def write(cls, folder: Path, datasets: list[tuple[str, str]], **configuration: object) -> "Study":
        study = cls(folder)
        (folder / "config").mkdir(parents=True)
        for language in {language for language, _ in datasets}:
            study.write_model(language)
        for language, label_type in datasets:
            write_data(folder / "data" / language / label_type, language, label_type)
        study.write_sheet(datasets)
        study.configure(**configuration)
        return study

    def write_model(self, language: str) -> None:
        architecture, words = LANGUAGES[language]
        write_tiny_model(self.folder / "encoders" / language, architecture, words * 20)

    def write_sheet(self, datasets: list[tuple[str, str]]) -> None:
        rows = [["language", "label_type", "source"]]
        rows += [[language, kind, f"data/{language}/{kind}"] for language, kind in datasets]
        with (self.folder / "config" / "datasets.tsv").open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream, delimiter="\t", lineterminator="\n").writerows(rows)

    def configure(self, path: Path | None = None, **changes: object) -> None:
        """Write the configuration, of the study itself or as a file of its own."""
        models = {
            path.name: {"name": f"./encoders/{path.name}", "max_length": 32}
            for path in sorted((self.folder / "encoders").iterdir())
        }
        content: dict[str, object] = {
            "seeds": [1, 2],
            "cells_per_job": 1,
            "methods": {"sam": None, "probe": None, "tfidf": None},
            "models": models,
            "training": {"epochs": 2, "learning_rate": 1e-3},
            "report": {"reference": "probe", "bootstrap": 200},
        }
        path = path or self.folder / "config" / "config.yaml"
        path.write_text(yaml.safe_dump(content | changes), encoding="utf-8")

    def command(self, *arguments: str, snakefile: Path = ROOT / "Snakefile") -> list[str]:
        """Return the arguments of Snakemake that run this study."""
        return ["-s", str(snakefile), "--directory", str(self.folder), *arguments]

    def run(self, *arguments: str, snakefile: Path = ROOT / "Snakefile") -> subprocess.CompletedProcess[str]:
        return snakemake(*self.command(*arguments, snakefile=snakefile))

    def completed(self, *arguments: str, snakefile: Path = ROOT / "Snakefile") -> None:
        """Run to the end, with success."""
        result = self.run(*arguments, snakefile=snakefile)
        assert result.returncode == 0, result.stdout + result.stderr

    def planned(self, *arguments: str, snakefile: Path = ROOT / "Snakefile") -> dict[str, int]:
        """Return how many jobs of every rule a dry run names, without the target rules."""
        return counts(self.run(*PLAIN_DRY_RUN, *arguments, snakefile=snakefile))

    def jobs(self, *arguments: str, snakefile: Path = ROOT / "Snakefile") -> set[str]:
        """Return every job that a dry run names, as rule and values of its wildcards."""
        result = self.run(*PLAIN_DRY_RUN, *arguments, snakefile=snakefile)
        assert result.returncode == 0, result.stdout + result.stderr
        found = set()
        for block in re.split(r"^\[.*\]\n", result.stdout, flags=re.MULTILINE)[1:]:
            rule = re.match(r"(?:local)?rule (\w+):", block)
            wildcards = re.search(r"^    wildcards: (.*)$", block, re.MULTILINE)
            values = re.findall(r"\w+=([^,]*)", wildcards.group(1)) if wildcards else []
            assert rule, block
            found.add(" ".join([rule.group(1), *filter(None, ["/".join(values)])]))
        return found - {"all", "default"}

    def table(self, name: str) -> list[dict[str, str]]:
        with (self.folder / "results" / name).open(encoding="utf-8", newline="") as stream:
            return list(csv.DictReader(stream, delimiter="\t"))

    def bytes_of_results(self) -> dict[str, bytes]:
        """Return the files that have to be the same whenever the same work is done."""
        results = self.folder / "results"
        names = [table.file for table in TABLES if table.file != "costs.tsv"]
        names += ["comparison.parquet", "comparison.tex"]
        paths = [results / name for name in names]
        for kind in ("png", "pdf"):  # of baselines alone there are no curves
            paths += [results / f"comparison.{kind}", *results.glob(f"curves.{kind}")]
        paths += sorted(results.glob("**/predictions.parquet"))
        paths += sorted(results.glob("best/**/model.safetensors"))
        return {str(path.relative_to(results)): path.read_bytes() for path in paths}
