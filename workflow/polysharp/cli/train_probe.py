"""Baseline of one cell: logistic regression on the frozen, mean-pooled encoder.

Writes report.json, predictions.parquet, history.jsonl and costs.json into --output.
"""

import argparse
from collections.abc import Sequence

from polysharp.cli.options import add_model_options, cell_parser
from polysharp.cli.running import importing, limit_threads, run_command
from polysharp.config.checking import parse_settings
from polysharp.config.settings import ModelSettings, ProbeSettings


def parser() -> argparse.ArgumentParser:
    result = cell_parser("train-probe", __doc__, "probe")
    add_model_options(result)
    return result


def main(arguments: argparse.Namespace) -> None:
    settings = parse_settings("probe", arguments.settings)
    assert isinstance(settings, ProbeSettings)
    limit_threads(arguments.threads)
    with importing():
        from polysharp.data.prepared import read_prepared
        from polysharp.models.folder import read_identity
        from polysharp.results.runs import write_run
        from polysharp.training.batches import TextTokenizer, tokenize_splits
        from polysharp.training.costs import Costs
        from polysharp.training.features import probe_encoder
        from polysharp.training.hardware import accelerator, fingerprint

    costs = Costs()
    identity = read_identity(arguments.model)
    data = read_prepared(arguments.data)
    device = accelerator("float32", arguments.threads)
    model = ModelSettings(
        name=str(arguments.model), text_prefix=arguments.text_prefix, max_length=arguments.max_length
    )
    tokenizer = TextTokenizer(arguments.model, model)
    splits = tokenize_splits(data, tokenizer, settings.train_size, arguments.seed)
    outcome = probe_encoder(
        arguments.model, splits, tokenizer, data.label_type, settings, arguments.metric, device.device
    )
    about = {
        "seed": arguments.seed,
        "selection_metric": arguments.metric,
        "model": identity,
        "reading": model.model_dump(exclude={"name", "revision"}),
        "settings": settings.model_dump(),
        "determinism": fingerprint(device),
    }
    write_run(arguments.output, data, outcome, about, costs.as_dict())


def run(argv: Sequence[str]) -> None:
    arguments = parser().parse_args(argv)
    run_command(main, arguments, f"{arguments.output}")
