"""The command ``polysharp`` and its sub-commands, each in the module of its name.

The module of a sub-command has ``parser`` (its options), ``main`` (its work) and ``run(argv)``, which
parses, calls ``main`` and exits with a status. Only the module of the given command is imported, because
a study starts thousands of these processes.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

from polysharp import VERSION
from polysharp.core.errors import nearest

# Grouped by task, in the order in which a user meets them.
COMMANDS: dict[str, dict[str, str]] = {
    "plan a study": {
        "plan": "estimate what a study takes: cells, jobs, time, disk",
        "status": "say how far a study is, and how long the rest may take",
        "doctor": "examine a Slurm cluster and write a profile for it",
    },
    "prepare models and data, check the data": {
        "prepare-model": "convert a model (hub id, folder or package) into a local model folder",
        "fetch-data": "download a data set from the Hugging Face hub",
        "prepare-data": "read, check, split and store one data set",
        "summarise-data": "count and draw the texts, labels and tokens of a data set",
        "merge-findings": "merge the findings of all data sets into check.tsv",
    },
    "train one cell": {
        "train": "fine-tune a classifier, one seed or several",
        "average-seeds": "make one classifier with the mean of the weights of several seeds",
        "train-probe": "baseline: logistic regression on a frozen encoder",
        "train-tfidf": "baseline: logistic regression on TF-IDF features",
        "read-predictions": "score predictions made elsewhere, such as a language model's answers",
    },
    "compare and publish": {
        "merge-reports": "merge the results of all cells into the tables",
        "draw-figures": "draw comparison.tsv and curves.tsv as PNG and PDF",
        "build-report": "write the tables as one HTML page",
        "select-best": "publish the classifier that is best on validation",
    },
    "maintain": {
        "cancel-orphans": "cancel the Slurm jobs that a killed run left behind",
        "write-schemas": "generate schemas, the published profile and docs/tables.md",
    },
}
NAMES = [name for group in COMMANDS.values() for name in group]


def main(argv: Sequence[str] | None = None) -> None:
    """Run the sub-command at the start of `argv`, by default the command line."""
    given = list(sys.argv[1:] if argv is None else argv)
    if not given or given[0] in ("-h", "--help"):
        print(_help())
    elif given[0] == "--version":
        print(f"polysharp {VERSION}")
    elif given[0] not in NAMES:
        hint = nearest(given[0], NAMES) or "; `polysharp --help` lists the commands"
        sys.exit(f"polysharp: {given[0]!r}: unknown command{hint}")
    else:
        import_module(f"polysharp.cli.{given[0].replace('-', '_')}").run(given[1:])


def _help() -> str:
    width = max(map(len, NAMES))
    lines = [
        "usage: polysharp COMMAND [options]",
        "",
        "Fine-tune classifiers with sharpness-aware minimisation for every language, label type, method and",
        "seed. The Snakemake workflow calls these commands; each also works on its own.",
    ]
    for title, commands in COMMANDS.items():
        lines += ["", f"{title}:", *(f"  {name:{width}}  {what}" for name, what in commands.items())]
    return "\n".join([*lines, "", "`polysharp COMMAND --help` explains the options of a command."])
