"""Read predictions from elsewhere for one data set from a table, and score them like any method's.

Writes report.json, predictions.parquet, history.jsonl and costs.json into --output.
"""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from polysharp.cli.options import cell_parser
from polysharp.cli.running import run_command
from polysharp.config.checking import parse_settings
from polysharp.config.settings import OutsideSettings

log = logging.getLogger("polysharp.read_outside")


def parser() -> argparse.ArgumentParser:
    result = cell_parser("read-predictions", __doc__, "outside")
    result.add_argument(
        "--task", default="main", help="rows to use if the table has a column task (default: main)"
    )
    result.add_argument("--language", required=True, help="rows to use if the table has a column language")
    return result


def main(arguments: argparse.Namespace) -> None:
    from polysharp.core.files import sha256
    from polysharp.data.prepared import read_prepared
    from polysharp.results.runs import write_predictions
    from polysharp.training.costs import Costs
    from polysharp.training.external import read_answers

    costs = Costs()
    settings = parse_settings("outside", arguments.settings)
    assert isinstance(settings, OutsideSettings)
    data = read_prepared(arguments.data)
    content = sha256(Path(settings.predictions))  # before it is read: a later change is seen by the next run
    answers = read_answers(Path(settings.predictions), settings, data, arguments.task, arguments.language)
    for split, of_split in answers.items():
        log.info(
            "%s: %d texts; %d answers could not be mapped to labels and count as wrong",
            split,
            len(of_split.predicted),
            of_split.unmapped.sum(),
        )
    about = {
        "selection_metric": arguments.metric,
        "settings": settings.model_dump(),
        "thresholds": None,
        "epochs": None,
        "predictions_sha256": content,
        "unmapped": {split: int(of_split.unmapped.sum()) for split, of_split in answers.items()},
    }
    predicted = {split: of_split.predicted for split, of_split in answers.items()}
    unmapped = {split: of_split.unmapped for split, of_split in answers.items()}
    write_predictions(arguments.output, data, predicted, {}, about, [], costs.as_dict(), unmapped)


def run(argv: Sequence[str]) -> None:
    arguments = parser().parse_args(argv)
    run_command(main, arguments, f"{arguments.output}")
