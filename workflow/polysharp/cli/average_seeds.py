"""Make one classifier with the mean of the weights of several seeds of a method: a soup.

Writes report.json, predictions.parquet, history.jsonl and costs.json into results/runs/CELL, the classifier
into work/runs/CELL/checkpoint, and the sum of the weights into work/runs/CELL/sum. Seeds that are in the sum
are not read again. Of the classifiers of the seeds, only the best on validation is kept.
"""

import argparse
from collections.abc import Sequence

from polysharp.cli.options import add_metric_option, add_model_options, command_parser
from polysharp.cli.running import importing, limit_threads, run_command
from polysharp.config.settings import ModelSettings, SoupSettings, TrainingSettings


def parser() -> argparse.ArgumentParser:
    result = command_parser("average-seeds", __doc__)
    result.add_argument("--cell", required=True, help="task/language/label_type/method/seed-0 of the soup")
    result.add_argument("--of", required=True, nargs="+", metavar="CELL", help="the cells to average")
    result.add_argument("--threads", type=int, default=1, help="processor threads on CPU (default: 1)")
    add_metric_option(result)
    add_model_options(result)
    return result


def main(arguments: argparse.Namespace) -> None:
    limit_threads(arguments.threads)
    with importing():
        from polysharp.core.paths import Paths
        from polysharp.data.prepared import read_prepared
        from polysharp.models.folder import read_identity
        from polysharp.results.completeness import averaged_reports
        from polysharp.results.runs import write_run
        from polysharp.training.cells import keep_best_checkpoints
        from polysharp.training.costs import Costs
        from polysharp.training.hardware import accelerator, fingerprint
        from polysharp.training.inputs import PretrainedModel, SharedTrainingInputs, save_classifier
        from polysharp.training.soup import average_seeds, evaluate

    costs, paths, cell, first = Costs(), Paths(), arguments.cell, arguments.of[0]
    data = read_prepared(paths.data(cell.rsplit("/", 2)[0]))
    device = accelerator("float32", arguments.threads)
    reading = ModelSettings(
        name=str(arguments.model), text_prefix=arguments.text_prefix, max_length=arguments.max_length
    )
    pretrained = PretrainedModel(arguments.model, reading)
    inputs = SharedTrainingInputs(pretrained, data, TrainingSettings(), arguments.metric, device)
    model = average_seeds(inputs, arguments.of, paths.weight_sum(cell), paths)
    outcome = evaluate(model, inputs, len(arguments.of))
    save_classifier(model, inputs.tokenizer, outcome.decision.thresholds, paths.checkpoint(cell))
    about = {
        "seed": 0,
        "selection_metric": arguments.metric,
        "model": read_identity(arguments.model),
        "reading": reading.model_dump(exclude={"name", "revision"}),
        "settings": SoupSettings(of=first.split("/")[-2]).model_dump(),
        "averaged": averaged_reports(arguments.of, paths),
        "determinism": fingerprint(device),
    }
    write_run(paths.run(cell), data, outcome, about, costs.as_dict())
    seeds = [int(one.rpartition("-")[2]) for one in arguments.of]
    work = paths.checkpoint(first).parent
    keep_best_checkpoints(paths.run(first), work, seeds, arguments.metric, [paths.weight_sum(cell)])


def run(argv: Sequence[str]) -> None:
    arguments = parser().parse_args(argv)
    run_command(main, arguments, arguments.cell)
