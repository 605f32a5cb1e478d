"""A small study in a folder of its own: real workflow, real architectures, few words."""

import csv
import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import yaml

from tests.tiny_models import write_tiny_model

ROOT = Path(__file__).parents[2]
LANGUAGES = {
    "english": ("roberta", ["tax money bank", "nurse doctor hospital", "school teacher pupil"]),
    "french": ("camembert", ["impôt argent banque", "infirmière médecin hôpital", "école maître élève"]),
    "turkish": ("xlm-roberta", ["vergi para banka", "hemşire doktor hastane", "okul öğretmen öğrenci"]),
}
LABELS = ["economy", "health", "schools"]
SIZES = {"train": 30, "val": 15, "test": 20}


def write_data(folder: Path, language: str, label_type: str, seed: int = 0) -> None:
    """Write three JSON files of learnable texts: the label's words among those of no label."""
    words = LANGUAGES[language][1]
    draw = random.Random(f"{language} {label_type} {seed}")
    folder.mkdir(parents=True, exist_ok=True)
    for split, size in SIZES.items():
        texts, labels = [], []
        for row in range(size):
            chosen = [row % 3] if label_type == "single" else sorted(draw.sample(range(3), 1 + row % 2))
            said = [draw.choice(words[label].split()) for label in chosen for _ in range(3)]
            filler = [f"{draw.choice('abcdefgh')}{draw.choice('aeiou')}" for _ in range(4)]
            mixed = said + filler
            draw.shuffle(mixed)
            texts.append(" ".join(mixed))
            names = [LABELS[label] for label in chosen]
            labels.append(names[0] if label_type == "single" else names)
        (folder / f"{split}.json").write_text(json.dumps({"Text": texts, "Labels": labels}), encoding="utf-8")


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

    def configure(self, **changes: object) -> None:
        models = {
            path.name: {"name": f"./encoders/{path.name}", "max_length": 32}
            for path in sorted((self.folder / "encoders").iterdir())
        }
        content: dict[str, object] = {
            "seeds": [1, 2],
            "methods": {"sam": None, "probe": None, "tfidf": None},
            "models": models,
            "training": {"epochs": 2, "learning_rate": 1e-3},
            "report": {"reference": "probe", "bootstrap": 200},
        }
        path = self.folder / "config" / "config.yaml"
        path.write_text(yaml.safe_dump(content | changes), encoding="utf-8")

    def run(self, *arguments: str, snakefile: Path = ROOT / "Snakefile") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "snakemake", "-s", str(snakefile), "--directory", str(self.folder)]
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        return subprocess.run(
            [*command, *arguments], capture_output=True, text=True, env=environment, check=False, timeout=900
        )

    def planned(self, *arguments: str, snakefile: Path = ROOT / "Snakefile") -> dict[str, int]:
        """Return how many jobs of every rule a dry run names, without the target rules."""
        result = self.run("-n", *arguments, snakefile=snakefile)
        assert result.returncode == 0, result.stdout + result.stderr
        table = re.search(r"^job\s+count\n[-\s]+\n(.*?)^total", result.stdout, re.MULTILINE | re.DOTALL)
        jobs = dict(line.split() for line in table.group(1).splitlines()) if table else {}
        return {rule: int(count) for rule, count in jobs.items() if rule not in ("all", "default")}

    def table(self, name: str) -> list[dict[str, str]]:
        with (self.folder / "results" / name).open(encoding="utf-8", newline="") as stream:
            return list(csv.DictReader(stream, delimiter="\t"))

    def bytes_of_results(self) -> dict[str, bytes]:
        """Return the files that have to be the same whenever the same work is done."""
        results = self.folder / "results"
        names = ["report.tsv", "comparison.tsv", "runs.tsv", "comparison.png"]
        paths = [results / name for name in names] + sorted(results.glob("**/predictions.parquet"))
        paths += sorted(results.glob("best/**/model.safetensors"))
        return {str(path.relative_to(results)): path.read_bytes() for path in paths}
