"""Fine-tune classifiers for cells of one data set and method, one seed after the other.

Writes report.json, predictions.parquet, history.jsonl and costs.json into --output, and the
classifier, in the state that the setting `keep` names, into the folder `checkpoint` of --work. With
several seeds, {seed} in a path stands for the seed, and only the best classifier of --study-seeds is
kept. If a seed fails, the others are still trained. Complete cells are not trained again.
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from polysharp.cli.options import add_model_options, cell_parser
from polysharp.cli.running import UNFINISHED, attempt, importing, limit_threads, run_command
from polysharp.config.checking import parse_settings
from polysharp.config.settings import ModelSettings, TrainingSettings
from polysharp.core.errors import UserError

log = logging.getLogger("polysharp.train")


def parser() -> argparse.ArgumentParser:
    result = cell_parser("train", __doc__, "finetune")
    add_model_options(result)
    result.add_argument(
        "--pooling",
        choices=["mean", "cls"],
        default="mean",
        help="mean of the tokens under a linear head, or transformers' own classifier (default: mean)",
    )
    result.add_argument(
        "--seeds", type=int, nargs="+", metavar="SEED", help="several seeds, instead of --seed"
    )
    result.add_argument(
        "--study-seeds",
        type=int,
        nargs="+",
        metavar="SEED",
        help="all seeds of the study, which other jobs may train (default: those of this command)",
    )
    result.add_argument(
        "--work",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="where the classifier goes, and the state of an unfinished training: at SIGTERM, SIGINT "
        "or SIGHUP the state is saved, and the command exits with 75; rerun it to resume, with the same "
        "bytes as result",
    )
    result.add_argument(
        "--snapshot-seconds",
        type=float,
        default=600,
        metavar="SECONDS",
        help="minimum time between two snapshots of that state; 0 takes one after every step (default: 600)",
    )
    result.add_argument(
        "--soups",
        type=Path,
        nargs="+",
        default=[],
        metavar="FOLDER",
        help="folders of the sums of average-seeds that need the weights: a classifier is kept until they "
        "have it, and a complete cell without one is trained again",
    )
    result.add_argument(
        "--receipt",
        type=Path,
        metavar="FILE",
        help="file to write when all seeds are complete, with the SHA-256 of their reports",
    )
    return result


def main(arguments: argparse.Namespace) -> None:
    settings = parse_settings("finetune", arguments.settings)
    assert isinstance(settings, TrainingSettings)
    seeds = arguments.seeds
    for name in ("output", "work"):
        if len(seeds) > 1 and "{seed}" not in str(getattr(arguments, name)):
            raise UserError(
                f"--{name} {getattr(arguments, name)}: expected {{seed}} in it, with several seeds"
            )
    limit_threads(arguments.threads)
    with importing():
        from polysharp.data.prepared import read_prepared
        from polysharp.models.folder import read_identity
        from polysharp.results.completeness import read_report
        from polysharp.results.runs import write_receipt
        from polysharp.results.status import validation_score
        from polysharp.training.cells import format_seed, keep_best_checkpoints, train_cell
        from polysharp.training.hardware import accelerator
        from polysharp.training.inputs import SharedTrainingInputs
        from polysharp.training.snapshots import StopRequest

    identity = read_identity(arguments.model)
    stop = StopRequest()
    stop.listen()
    device = accelerator(settings.precision, arguments.threads)
    model = ModelSettings(
        name=str(arguments.model),
        text_prefix=arguments.text_prefix,
        pooling=arguments.pooling,
        max_length=arguments.max_length,
    )
    data = read_prepared(arguments.data)
    inputs = SharedTrainingInputs(arguments.model, data, model, settings, arguments.metric, device)
    ends = []
    for seed in seeds:
        output, work = (format_seed(path, seed) for path in (arguments.output, arguments.work))
        failures = [format_seed(arguments.failure, seed)] if arguments.failure else []
        train = partial(
            train_cell,
            inputs,
            identity,
            seed,
            output,
            work,
            stop,
            arguments.snapshot_seconds,
            arguments.soups,
        )
        ends.append(attempt(train, failures))
        if ends[-1] == UNFINISHED:
            break
        if ends[-1] and device.num_processes > 1:
            break  # the other processes may wait for this one in the seed that failed
        if ends[-1] == 0 and output != arguments.output and device.is_main_process:
            keep_best_checkpoints(
                arguments.output,
                arguments.work,
                seed,
                arguments.study_seeds or seeds,
                arguments.metric,
                arguments.soups,
            )
    if any(ends):
        sys.exit(max(ends))
    if not device.is_main_process:
        return
    reports = [read_report(format_seed(arguments.output, seed)) for seed in seeds]
    reached = [
        f"{validation_score(report, arguments.metric):.3f}" + " (before training)" * (report["epochs"] == [0])
        for report in reports
        if report
    ]
    log.info(
        "validation %s of seed %s: %s",
        arguments.metric,
        ", ".join(map(str, seeds)),
        ", ".join(reached),
    )
    if arguments.receipt:
        write_receipt(arguments.receipt, {seed: format_seed(arguments.output, seed) for seed in seeds})


def run(argv: Sequence[str]) -> None:
    arguments = parser().parse_args(argv)
    arguments.seeds = arguments.seeds or [arguments.seed]
    named = {name: str(getattr(arguments, name) or "") for name in ("output", "failure")}
    failures = [Path(named["failure"].replace("{seed}", str(seed))) for seed in arguments.seeds]
    name = named["output"].replace("{seed}", ",".join(map(str, arguments.seeds)))
    run_command(main, arguments, name, failures if arguments.failure else [])
