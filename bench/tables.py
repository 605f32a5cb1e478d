"""Measure how long the tables of a large study take, and how much memory: its predictions are made up.

Makes a study of single-label data sets, in which every cell is complete, and writes its tables:

    python bench/tables.py --output /tmp/study                             # 205 languages, 7 methods, 3 seeds
    python bench/tables.py --output /tmp/long --languages 1 --methods 3 --texts 15000 --labels 10

A study that is there is not made again, so that two versions can be measured with the same one.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path

import numpy as np
import polars as pl

from polysharp.cli.running import limit_threads
from polysharp.config.study import load_study
from polysharp.core.files import write_text
from polysharp.core.paths import Paths
from polysharp.data.preparation import prepare_data

SPLITS = ("train", "val", "test")


def write_sources(arguments: argparse.Namespace) -> None:
    """Write the data sets of the study and its sample sheet."""
    labels = [f"label {number}" for number in range(arguments.labels)]
    draw = np.random.default_rng(0)
    sheet = ["language\tlabel_type\tsource"]
    for number in range(arguments.languages):
        language = f"language-{number:03}"
        for split in SPLITS:
            size = arguments.texts if split == "test" else arguments.validation
            given = [*labels, *draw.choice(labels, size - len(labels))]  # every label in every split
            texts = [f"Text {place} of {split} in {language}." for place in range(size)]
            content = json.dumps({"Text": texts, "Labels": given})
            write_text(arguments.output / "sources" / language / f"{split}.json", content)
        sheet.append(f"{language}\tsingle\tsources/{language}")
    write_text(arguments.output / "datasets.tsv", "\n".join(sheet) + "\n")


def main(arguments: argparse.Namespace) -> None:
    limit_threads(1)
    from polysharp.core.labels import encode
    from polysharp.data.prepared import read_prepared
    from polysharp.reporting.tables import write_tables
    from polysharp.results.runs import write_predictions

    made = (arguments.output / "datasets.tsv").exists()
    if not made:
        write_sources(arguments)
    content = {
        "datasets": "datasets.tsv",
        "seeds": list(range(1, arguments.seeds + 1)),
        "methods": {f"method-{number}": {"base": "adamw"} for number in range(arguments.methods)},
        "models": {"default": {"name": "a/model", "revision": "main"}},
        "report": {"reference": "method-0", "bootstrap": arguments.draws},
    }
    configuration, matrix = load_study(content, [arguments.output])
    paths = Paths(arguments.output / "results", arguments.output / "work")
    draw = np.random.default_rng(1)
    for dataset in matrix.datasets if not made else ():
        prepare_data(dataset.source, dataset.label_type, {}, 0, paths.data(dataset.path))
        data = read_prepared(paths.data(dataset.path))
        for cell in matrix.of(dataset):
            predicted = {}
            skill = 0.7 + 0.02 * int(cell.method.removeprefix("method-")) + draw.normal(0, 0.01)
            for split in ("validation", "test"):
                truth = encode(data.split(split)["labels"].to_list(), data.labels)
                right = draw.random((len(truth), 1)) < skill
                predicted[split] = np.where(right, truth, truth[draw.permutation(len(truth))])
            settings = dict(entry.split("=", 1) for entry in cell.settings)
            about = {
                "selection_metric": configuration.selection_metric,
                "seed": cell.seed,
                "settings": {key: json.loads(value) for key, value in settings.items()},
                "thresholds": None,
                "epochs": [1],
                "model": {"name": "a/model", "revision": "c" * 40, "sha256": "0" * 64},
                "reading": dataset.model.model_dump(exclude={"name", "revision"}),
                "determinism": "made up",
            }
            write_predictions(paths.run(cell.path), data, predicted, {}, about, [], {})
    if not made:
        print(f"made {len(matrix.cells)} cells in {arguments.output}; once more to measure")
        return  # a process of its own: memory is measured
    start = time.process_time()
    write_tables(matrix, configuration, paths)
    seconds = time.process_time() - start
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    comparison = pl.read_csv(paths.results / "comparison.tsv", separator="\t")
    print(f"{len(matrix.cells)} cells: {seconds:.1f} s, at most {memory:.0f} MB")
    print(dict(comparison["standing"].value_counts().iter_rows()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True)
    for name, default in (("languages", 205), ("methods", 7), ("seeds", 3), ("texts", 204), ("labels", 7)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--validation", type=int, default=99, help="texts of the other splits")
    parser.add_argument("--draws", type=int, default=2000)
    main(parser.parse_args())
