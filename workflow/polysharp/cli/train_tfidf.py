"""Baseline of one cell: logistic regression on TF-IDF of words and character n-grams.

Writes report.json, predictions.parquet, history.jsonl and costs.json into --output.
"""

import argparse
from collections.abc import Sequence

from polysharp.cli.options import cell_parser
from polysharp.cli.running import limit_threads, run_command
from polysharp.config.checking import parse_settings
from polysharp.config.settings import TfidfSettings


def parser() -> argparse.ArgumentParser:
    return cell_parser("train-tfidf", __doc__, "tfidf")


def main(arguments: argparse.Namespace) -> None:
    settings = parse_settings("tfidf", arguments.settings)
    assert isinstance(settings, TfidfSettings)
    limit_threads(arguments.threads)
    from polysharp.data.prepared import read_prepared
    from polysharp.results.runs import write_run
    from polysharp.training.costs import Costs
    from polysharp.training.tfidf import train_tfidf

    costs = Costs()
    data = read_prepared(arguments.data)
    outcome = train_tfidf(data, settings, arguments.metric, arguments.seed)
    about = {
        "seed": arguments.seed,
        "selection_metric": arguments.metric,
        "settings": settings.model_dump(),
    }
    write_run(arguments.output, data, outcome, about, costs.as_dict())


def run(argv: Sequence[str]) -> None:
    arguments = parser().parse_args(argv)
    run_command(main, arguments, f"{arguments.output}")
