"""Write docs/quality.md from the tables of the studies in bench/quality and bench/brighter.

Without --collect, the tables and the picture that are stored in the project are used; with it, those that the
studies have just made are stored first. `make quality` runs the studies and this.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from polysharp.core.tsv import read_table
from polysharp.evaluation.averages import MEAN
from polysharp.reporting.numbers import short, signed

BENCH = Path(__file__).parent
STUDIES = ("quality", "brighter")
TABLES = ("comparison", "averages", "runs")
Row = dict[str, str]


def collect() -> None:
    """Store the tables of the studies, the differences to `sam`, and the picture."""
    for study in STUDIES:
        folder = BENCH / study
        for name in TABLES:
            shutil.copyfile(folder / "results" / f"{name}.tsv", folder / f"{name}.tsv")
        summary = ["bench/summary.py", folder, "--reference", "sam", "--output", folder / "summary.tsv"]
        subprocess.run([sys.executable, *map(str, summary)], check=True, cwd=BENCH.parent)
        picture = folder / "results/comparison.png"
        shutil.copyfile(picture, BENCH.parent / "docs" / f"{study}.png")


class Study:
    """The tables of one study, for the template."""

    def __init__(self, name: str) -> None:
        tables = {table: read_table(BENCH / name / f"{table}.tsv") for table in TABLES}
        self.comparison, self.averages = tables["comparison"], tables["averages"]
        self.summary = read_table(BENCH / name / "summary.tsv")
        self.compared = [row for row in self.comparison if row["difference"]]
        self.runs = tables["runs"]

    def languages(self, task: str, label_type: str) -> list[str]:
        """Return the languages of a task, in the order of the table."""
        keys = (r["language"] for r in self.comparison if (r["task"], r["label_type"]) == (task, label_type))
        return list(dict.fromkeys(keys))

    def row(self, task: str, language: str, label_type: str, method: str) -> Row:
        """Return the row of a method on a data set; an empty one if there is none."""
        wanted = {"task": task, "language": language, "label_type": label_type, "method": method}
        found = [row for row in self.comparison if wanted.items() <= row.items()]
        return found[0] if found else dict.fromkeys(self.comparison[0], "")

    def means(self, task: str, label_type: str) -> list[Row]:
        """Return the rows of the methods' means over the languages of a task."""
        wanted = {"task": task, "label_type": label_type, "average": MEAN}
        return [row for row in self.averages if wanted.items() <= row.items()]

    def mean(self, task: str, label_type: str, method: str) -> Row:
        """Return the row of a method's mean over the languages of a task."""
        return next(row for row in self.means(task, label_type) if row["method"] == method)

    def against_sam(self, group: str) -> list[Row]:
        """Return the means of the methods over data sets, with their differences to `sam`."""
        return [row for row in self.summary if row["datasets"] == group]

    def epochs(self, method: str) -> list[str]:
        """Return the epochs that the runs of a method kept."""
        return [row["epochs"] for row in self.runs if row["method"] == method]


def difference(row: Row) -> str:
    """Return a difference with its interval, in bold if the verdict is `better` or `worse`."""
    if not row["difference"]:
        return ""
    low, high = (row.get(f"difference_{end}") or row[end] for end in ("ci_low", "ci_high"))
    text = f"{signed(row['difference'])} ({signed(low)} to {signed(high)})"
    return f"**{text}**" if row.get("verdict") in ("better", "worse") else text


def page() -> str:
    """Return the text of docs/quality.md."""
    environment = Environment(
        loader=FileSystemLoader(BENCH),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"short": short, "difference": difference}
    studies = {name: Study(name) for name in STUDIES}
    others = read_table(BENCH / "others.tsv")
    return environment.get_template("quality.md.j2").render(**studies, others=others)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--collect", action="store_true", help="store what the studies have made")
    parser.add_argument("--output", type=Path, default=BENCH.parent / "docs/quality.md", metavar="FILE")
    arguments = parser.parse_args()
    if arguments.collect:
        collect()
    arguments.output.write_text(page(), encoding="utf-8")
