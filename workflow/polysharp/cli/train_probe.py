"""Baseline of cells: logistic regression on the frozen, mean-pooled encoder.

Writes report.json, predictions.parquet, history.jsonl and costs.json into --output. Complete cells are
not made again.
"""

import argparse
from collections.abc import Sequence

from polysharp.cli.options import Place, add_model_options, cell_parser, places
from polysharp.cli.running import importing, limit_threads, make_cells, run_cells
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
        from polysharp.results.completeness import is_complete
        from polysharp.results.runs import write_run
        from polysharp.training.batches import tokenize_splits
        from polysharp.training.costs import Costs
        from polysharp.training.features import probe_encoder
        from polysharp.training.hardware import accelerator, fingerprint
        from polysharp.training.inputs import PretrainedModel

    identity = read_identity(arguments.model)
    device = accelerator("float32", arguments.threads)
    reading = ModelSettings(
        name=str(arguments.model), text_prefix=arguments.text_prefix, max_length=arguments.max_length
    )
    pretrained = PretrainedModel(arguments.model, reading, keep=len(places(arguments)) > 1)
    of_all = {
        "selection_metric": arguments.metric,
        "model": identity,
        "reading": reading.model_dump(exclude={"name", "revision"}),
        "settings": settings.model_dump(),
        "determinism": fingerprint(device),
    }

    def train(cell: Place) -> None:
        costs, data = Costs(), read_prepared(cell.folder(arguments.data))
        about = {"seed": cell.seed, **of_all}
        output = cell.folder(arguments.output)
        if is_complete(output, {**about, "data_sha256": data.sha256}, "probe"):
            return
        splits = tokenize_splits(data, pretrained.tokenizer, settings.train_size, cell.seed)
        outcome = probe_encoder(
            pretrained.encoder(),
            splits,
            pretrained.tokenizer,
            data.label_type,
            settings,
            arguments.metric,
            device.device,
        )
        write_run(output, data, outcome, about, costs.as_dict())

    make_cells(arguments, train)


def run(argv: Sequence[str]) -> None:
    run_cells(main, parser().parse_args(argv))
