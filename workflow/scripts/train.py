"""Fine-tune a classifier for one cell: one data set, one method, one seed.

Writes report.json, predictions.parquet, history.jsonl and costs.json into --output, and the
classifier, in the state that is best on validation, into --checkpoint.
"""

import argparse
from pathlib import Path

from polysharp.commands import add_model_options, cell_parser, importing, limit_threads, run
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
    result.add_argument(
        "--snapshots",
        type=Path,
        metavar="FOLDER",
        help="where the state of the unfinished training is kept: at SIGTERM or SIGINT it is written, the "
        "command exits with 75, and started again it goes on from there, to the same bytes",
    )
    result.add_argument(
        "--snapshot-seconds",
        type=float,
        default=600,
        metavar="SECONDS",
        help="least time between two snapshots; 0 takes one after every step (default: 600)",
    )
    return result


def main(arguments: argparse.Namespace) -> None:
    settings = parse_settings("finetune", arguments.settings)
    assert isinstance(settings, TrainingSettings)
    limit_threads(arguments.threads)
    with importing():
        from polysharp.costs import Costs
        from polysharp.data import read_prepared
        from polysharp.hardware import accelerator, fingerprint
        from polysharp.models import read_identity
        from polysharp.runs import code_sha256, write_run
        from polysharp.snapshots import Snapshots
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
    about = {
        "selection_metric": arguments.metric,
        "model": identity,
        "settings": settings.model_dump(),
        "determinism": fingerprint(device),
    }
    snapshots = None
    if arguments.snapshots:
        identity_of_work = {
            **about,
            "seed": arguments.seed,
            "data": data.sha256,
            "code": code_sha256(),
            "reading": model.model_dump(exclude={"name"}),
        }
        snapshots = Snapshots(arguments.snapshots, identity_of_work, arguments.snapshot_seconds)
        snapshots.listen()
    training = FineTuning(arguments.model, data, model, settings, arguments.metric, arguments.seed, device)
    outcome = training.run(snapshots)
    if device.is_main_process:
        training.save(arguments.checkpoint, outcome.decision.thresholds)
        costs.earlier = training.earlier_seconds
        write_run(arguments.output, data, outcome, about, costs.as_dict())
        if snapshots:
            snapshots.clear()


if __name__ == "__main__":
    arguments = parser().parse_args()
    run(main, arguments, f"{arguments.output}")
