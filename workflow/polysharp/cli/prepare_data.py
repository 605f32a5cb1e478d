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
    result.add_argument(
        "--tolerate-refusal",
        action="store_true",
        help="exit with 0 even if the data cannot be used; prepared.json in --output says so",
    )
    result.add_argument("--output", type=Path, required=True, metavar="FOLDER")
    return result


def main(arguments: argparse.Namespace) -> None:
    gc.disable()  # there is hardly any garbage, and collecting it takes a tenth of the time
    from polysharp.config.checks import FINDINGS
    from polysharp.data.preparation import RefusedData, prepare_data, record_refusal

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
    try:
        findings = prepare_data(
            source,
            arguments.label_type,
            severities,
            arguments.split_seed,
            arguments.output,
            arguments.language,
        )
    except UserError as error:
        if isinstance(error, RefusedData):
            log_findings([finding for finding in error.findings if finding.severity != "error"])
        record_refusal(error, arguments.output)
        log.info("the data are refused; all findings: %s", arguments.output / FINDINGS)
        if not arguments.tolerate_refusal:
            raise
        for line in error.lines:
            log.error("error: %s", line)
        return
    log_findings(findings)
    names = ", ".join(f"{finding.check} ({finding.count})" for finding in findings)
    log.info("findings: %s", f"{names}; see {arguments.output / FINDINGS}" if names else "none")


def run(argv: Sequence[str]) -> None:
    arguments = parser().parse_args(argv)
    run_command(main, arguments, f"data {arguments.output}")
