"""Read, check, split and store one data set."""

import argparse
import gc
import logging
from collections.abc import Sequence
from pathlib import Path

from polysharp.cli.options import add_severity_option, command_parser
from polysharp.cli.running import log_findings, run_command
from polysharp.config.sources import DELIMITERS, NAMES, SHARES, Source, parse_splits
from polysharp.core.errors import UserError
from polysharp.core.terms import LABEL_TYPES

log = logging.getLogger("polysharp.prepare_data")


def parser() -> argparse.ArgumentParser:
    result = command_parser("prepare-data", __doc__)
    result.add_argument("--source", required=True, metavar="PATH", help="file, folder, or pattern of files")
    result.add_argument("--sheet", metavar="NAME", help="sheet of a workbook, if it has several")
    result.add_argument("--label-type", choices=LABEL_TYPES, required=True)
    result.add_argument("--language", metavar="NAME", help="expected language of the texts; default: any")
    result.add_argument("--text", default="Text", metavar="COLUMN", help="column of the texts; default: Text")
    result.add_argument(
        "--labels",
        type=lambda names: tuple(names.split(",")),
        default=("Labels",),
        metavar="COLUMN[,...]",
        help="column of the labels, or a column of 0 and 1 per label; default: Labels",
    )
    result.add_argument(
        "--delimiter",
        type=lambda sign: DELIMITERS.get(sign, sign),
        metavar="SIGN",
        help="separator between the labels in one value; also 'space' or 'tab'",
    )
    result.add_argument("--group", metavar="COLUMN", help="column of groups that are never in two splits")
    result.add_argument("--language-column", metavar="COLUMN", help="column that holds the language")
    result.add_argument(
        "--language-value", metavar="VALUE", help="value of this language; default: --language"
    )
    result.add_argument("--split-column", metavar="COLUMN", help="column that holds the split")
    result.add_argument(
        "--splits",
        type=parse_splits,
        metavar="TRAIN,VALIDATION,TEST",
        help="names of files, values of the split column, or shares to draw; default: train,val,test; for "
        "one file 80%%,10%%,10%%",
    )
    result.add_argument("--split-seed", type=int, default=0, metavar="N", help="seed for shares; default: 0")
    add_severity_option(result)
    result.add_argument("--output", type=Path, required=True, metavar="FOLDER")
    return result


def main(arguments: argparse.Namespace) -> None:
    gc.disable()  # there is hardly any garbage, and collecting it takes a tenth of the time
    from polysharp.config.checks import FINDINGS, PLACES
    from polysharp.data.preparation import RefusedData, prepare_data, write_findings

    if arguments.language_column and not (arguments.language_value or arguments.language):
        raise UserError("--language-column: expected --language-value or --language as well")
    one_file = Path(arguments.source).is_file() and not arguments.split_column
    source = Source(
        arguments.source,
        arguments.sheet,
        arguments.text,
        arguments.labels,
        arguments.delimiter,
        arguments.group,
        arguments.language_column,
        arguments.language_value or arguments.language,
        arguments.split_column,
        arguments.splits or (SHARES if one_file else NAMES),
    )
    severities = dict(arguments.severities)
    if arguments.failure:  # findings of the last run
        (arguments.failure.parent / PLACES).unlink(missing_ok=True)
    try:
        findings = prepare_data(
            source,
            arguments.label_type,
            severities,
            arguments.split_seed,
            arguments.output,
            arguments.language,
        )
    except RefusedData as refused:
        log_findings([finding for finding in refused.findings if finding.severity != "error"])
        if arguments.failure:
            write_findings(refused.findings, arguments.failure.parent)
            log.info("all findings: %s", arguments.failure.parent / FINDINGS)
        raise
    log_findings(findings)
    names = ", ".join(f"{finding.check} ({finding.count})" for finding in findings)
    log.info("findings: %s", f"{names}; see {arguments.output / FINDINGS}" if names else "none")


def run(argv: Sequence[str]) -> None:
    arguments = parser().parse_args(argv)
    run_command(main, arguments, f"data {arguments.output}")
