"""Fine-tune a classifier for one cell: one data set, one method, one seed.

Writes report.json, predictions.parquet, history.jsonl and costs.json into --output, and the
classifier, in the state that is best on validation, into --checkpoint.
"""

import argparse
from pathlib import Path

from polysharp.commands import add_model_options, cell_parser, limit_threads, run
from polysharp.configuration import ModelSettings, TrainingSettings, parse_settings


def parser() -> argparse.ArgumentParser:
    result = cell_parser(__doc__, "finetune")
    add_model_options(result)
    result.add_argument(
        "--pooling",
        choices=["mean", "cls"],
        default="mean",
        help="mean of the tokens under a linear head, or transformers' own classifier (default: mean)",
    )
    result.add_argument(
        "--checkpoint", type=Path, required=True, metavar="FOLDER", help="where the classifier goes"
    )
    return result


def main(arguments: argparse.Namespace) -> None:
    settings = parse_settings("finetune", arguments.settings)
    assert isinstance(settings, TrainingSettings)
    limit_threads(arguments.threads)
    from polysharp.costs import Costs
    from polysharp.data import read_prepared
    from polysharp.hardware import accelerator, fingerprint
    from polysharp.models import read_identity
    from polysharp.runs import write_run
    from polysharp.training import FineTuning

    costs = Costs()
    identity = read_identity(arguments.model)
    data = read_prepared(arguments.data)
    device = accelerator(settings.precision, arguments.threads)
    model = ModelSettings(
        name=str(arguments.model),
        text_prefix=arguments.text_prefix,
        pooling=arguments.pooling,
        max_length=arguments.max_length,
    )
    training = FineTuning(arguments.model, data, model, settings, arguments.metric, arguments.seed, device)
    outcome = training.run()
    training.save(arguments.checkpoint, outcome.decision.thresholds)
    about = {
        "selection_metric": arguments.metric,
        "model": identity,
        "settings": settings.model_dump(),
        "determinism": fingerprint(device),
    }
    write_run(arguments.output, data, outcome, about, costs.as_dict())


if __name__ == "__main__":
    arguments = parser().parse_args()
    run(main, arguments, f"{arguments.output}")
