"""Baseline of cells: logistic regression on TF-IDF of words and character n-grams.

Writes report.json, predictions.parquet, history.jsonl and costs.json into --output. Complete cells are
not made again.
"""

import argparse
from collections.abc import Sequence

from polysharp.cli.options import Place, cell_parser
from polysharp.cli.running import limit_threads, make_cells, run_cells
from polysharp.config.checking import parse_settings
from polysharp.config.settings import TfidfSettings


def parser() -> argparse.ArgumentParser:
    return cell_parser("train-tfidf", __doc__, "tfidf")


def main(arguments: argparse.Namespace) -> None:
    settings = parse_settings("tfidf", arguments.settings)
    assert isinstance(settings, TfidfSettings)
    limit_threads(arguments.threads)
    from polysharp.data.prepared import read_prepared
    from polysharp.results.completeness import is_complete
    from polysharp.results.runs import write_run
    from polysharp.training.costs import Costs
    from polysharp.training.tfidf import train_tfidf

    def train(cell: Place) -> None:
        costs, data = Costs(), read_prepared(cell.folder(arguments.data))
        about = {
            "seed": cell.seed,
            "selection_metric": arguments.metric,
            "settings": settings.model_dump(),
        }
        output = cell.folder(arguments.output)
        if is_complete(output, {**about, "data_sha256": data.sha256}, "tfidf"):
            return
        outcome = train_tfidf(data, settings, arguments.metric, cell.seed)
        write_run(output, data, outcome, about, costs.as_dict())

    make_cells(arguments, train)


def run(argv: Sequence[str]) -> None:
    run_cells(main, parser().parse_args(argv))
