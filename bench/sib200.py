"""Write SIB-200 as data sets of this workflow: the published splits, and the training split cut in three.

Of the second kind are the texts that settings are chosen on: the test split, which is reported, is not
among them. Sentences are parallel, so every language is cut at the same ones.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import polars as pl

LANGUAGES = {
    "arabic": "arb_Arab",
    "chinese": "zho_Hans",
    "english": "eng_Latn",
    "french": "fra_Latn",
    "german": "deu_Latn",
    "hindi": "hin_Deva",
    "japanese": "jpn_Jpan",
    "russian": "rus_Cyrl",
    "spanish": "spa_Latn",
    "swahili": "swh_Latn",
    "turkish": "tur_Latn",
    "yoruba": "yor_Latn",
}
FILES = {"train": "train", "dev": "val", "test": "test"}
PARTS = {"train": 350, "val": 100}  # of the training split; the rest of its 701 is the test part


def main(arguments: argparse.Namespace) -> None:
    for language, code in LANGUAGES.items():
        folder = arguments.source / code
        if not folder.is_dir():
            sys.exit(f"{folder}: no such folder; expected SIB-200 as published, one folder per language")
        splits = {
            name: pl.read_csv(folder / f"{file}.tsv", separator="\t", quote_char=None).sort("index_id")
            for file, name in FILES.items()
        }
        write(arguments.output / "published" / language, splits)
        train = splits["train"]
        train = train[np.random.default_rng(0).permutation(len(train)).tolist()]
        first, second = PARTS["train"], PARTS["train"] + PARTS["val"]
        parts = {"train": train[:first], "val": train[first:second], "test": train[second:]}
        write(arguments.output / "training-split" / language, parts)


def write(folder: Path, splits: dict[str, pl.DataFrame]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in splits.items():
        content = {"Text": table["text"].to_list(), "Labels": table["category"].to_list()}
        text = json.dumps(content, ensure_ascii=False, indent=0)
        (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--source", type=Path, required=True, metavar="FOLDER", help="SIB-200's data folder")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER")
    main(parser.parse_args())
