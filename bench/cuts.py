"""Write the data sets on which polysharp's defaults are chosen: no text of them is in a reported test split.

From the training and development texts of SIB-200, BRIGHTER and XLM-T, each language gets a data set of 100
training texts and a larger one, with the same validation and test texts.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

VALIDATION = 100
SMALL = 100  # training texts of the small data sets
SIB200 = {"hindi": "hin_Deva", "russian": "rus_Cyrl", "swahili": "swh_Latn", "yoruba": "yor_Latn"}
BRIGHTER = {"german": "deu", "hausa": "hau", "tatar": "tat"}
XLM_T = ("english", "german", "spanish")
CLASSES = ("negative", "neutral", "positive")  # of XLM-T, by number
Rows = list[tuple[str, str | list[str]]]  # text and label, or labels


def sib200(folder: Path) -> Iterator[tuple[str, Rows]]:
    """Yield every language with the texts of its training split, in the same order."""
    for language, code in SIB200.items():
        table = pl.read_csv(folder / code / "train.tsv", separator="\t", quote_char=None).sort("index_id")
        yield language, list(zip(table["text"].to_list(), table["category"].to_list(), strict=True))


def brighter(folder: Path) -> Iterator[tuple[str, Rows]]:
    """Yield every language with the texts of its training and development splits."""
    for language, code in BRIGHTER.items():
        table = pl.concat([pl.read_csv(folder / code / f"{split}.csv") for split in ("train", "dev")])
        emotions = [name for name in table.columns if name not in ("id", "text")]
        yield (
            language,
            [(row["text"], [name for name in emotions if row[name]]) for row in table.iter_rows(named=True)],
        )


def xlm_t(folder: Path) -> Iterator[tuple[str, Rows]]:
    """Yield every language with the texts of its training and validation splits."""
    for language in XLM_T:
        lines = {
            kind: [
                line
                for split in ("train", "val")
                for line in (folder / language / f"{split}_{kind}.txt").read_text("utf-8").split("\n")
            ]
            for kind in ("text", "labels")
        }
        pairs = zip(lines["text"], lines["labels"], strict=True)
        yield language, [(text, CLASSES[int(label)]) for text, label in pairs if label]


def write(rows: Rows, train: int, test: int, output: Path) -> None:
    """Draw disjoint splits from the texts, without those that occur twice, and write both data sets."""
    rows = list({text: (text, labels) for text, labels in rows}.values())
    drawn = [rows[index] for index in np.random.default_rng(0).permutation(len(rows))]
    validation, held_out, texts = (
        drawn[:VALIDATION],
        drawn[VALIDATION : VALIDATION + test],
        drawn[VALIDATION + test : VALIDATION + test + train],
    )
    for size, given in ((SMALL, texts[:SMALL]), (train, texts)):
        folder = output.with_name(f"{output.name}-{size}")
        folder.mkdir(parents=True, exist_ok=True)
        for name, split in (("train", given), ("val", validation), ("test", held_out)):
            content = {"Text": [text for text, _ in split], "Labels": [labels for _, labels in split]}
            text = json.dumps(content, ensure_ascii=False, indent=0)
            (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def main(arguments: argparse.Namespace) -> None:
    sheet = ["task\tlanguage\tlabel_type\tsource"]
    for task, label_type, read, train, test in (
        ("sib200", "single", sib200, 350, 251),
        ("brighter", "multi", brighter, 700, 400),
        ("xlm-t", "single", xlm_t, 700, 400),
    ):
        source = arguments.source / task.replace("sib200", "sib-200")
        for language, rows in read(source):
            write(rows, train, test, arguments.output / task / language)
            sheet += [
                f"{task}-{size}\t{language}\t{label_type}\t{arguments.output / task / language}-{size}"
                for size in (SMALL, train)
            ]
    (arguments.output / "datasets.tsv").write_text("\n".join(sheet) + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--source", type=Path, required=True, metavar="FOLDER", help="with sib-200, brighter and xlm-t in it"
    )
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER")
    main(parser.parse_args())
