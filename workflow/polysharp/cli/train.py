"""Fine-tune the classifiers of cells of one method and model, one after the other.

Writes report.json, predictions.parquet, history.jsonl and costs.json into --output, and the
classifier, in the state that the setting `keep` names, into the folder `checkpoint` of --work. With
--cells, only the best classifier of the seeds of a data set is kept. Complete cells are not trained
again.
"""

import argparse
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from polysharp.cli.options import Place, add_model_options, cell_parser, places
from polysharp.cli.running import importing, limit_threads, make_cells, run_cells
from polysharp.config.checking import parse_settings
from polysharp.config.settings import ModelSettings, TrainingSettings


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
    return result


def main(arguments: argparse.Namespace) -> None:
    settings = parse_settings("finetune", arguments.settings)
    assert isinstance(settings, TrainingSettings)
    cells = places(arguments)
    limit_threads(arguments.threads)
    with importing():
        from polysharp.data.prepared import read_prepared
        from polysharp.models.folder import read_identity
        from polysharp.training.cells import keep_best_checkpoints, train_cell
        from polysharp.training.hardware import accelerator
        from polysharp.training.inputs import PretrainedModel, SharedTrainingInputs
        from polysharp.training.snapshots import StopRequest

    identity = read_identity(arguments.model)
    stop = StopRequest()
    stop.listen()
    device = accelerator(settings.precision, arguments.threads)
    reading = ModelSettings(
        name=str(arguments.model),
        text_prefix=arguments.text_prefix,
        pooling=arguments.pooling,
        max_length=arguments.max_length,
    )
    pretrained = PretrainedModel(arguments.model, reading, keep=len(cells) > 1)

    @lru_cache(maxsize=1)  # the cells of a data set come one after the other
    def inputs_of(data: Path) -> SharedTrainingInputs:
        return SharedTrainingInputs(pretrained, read_prepared(data), settings, arguments.metric, device)

    def train(cell: Place) -> None:
        output, work, data = map(cell.folder, (arguments.output, arguments.work, arguments.data))
        soups = [cell.folder(folder) for folder in arguments.soups]
        inputs = inputs_of(data)
        train_cell(inputs, identity, cell.seed, output, work, stop, arguments.snapshot_seconds, soups)
        if arguments.cells and device.is_main_process:
            seeds = arguments.study_seeds or [one.seed for one in cells]
            keep_best_checkpoints(output, work, seeds, arguments.metric, soups)

    make_cells(arguments, train, alone=device.num_processes == 1, first=device.is_main_process)


def run(argv: Sequence[str]) -> None:
    run_cells(main, parser().parse_args(argv))
