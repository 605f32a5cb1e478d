"""The report as a file: what stands in it, and what does not."""

import re
import shutil
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from polysharp.core.files import read_json, write_json
from polysharp.core.tsv import read_table, write_table
from polysharp.reporting.failures import find_failures, write_failures
from polysharp.reporting.report import probability, short, signed, write_report
from polysharp.reporting.tables import write_tables
from polysharp.results.status import read_runs
from tests.reports import HOSTILE, build, fail, make_study
from tests.unit.test_tables import STUDY, Study, open_study, permute_test_labels, set_validation


class Page(HTMLParser):
    """Elements, attributes and numbers of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value) for name, value in attrs]

    def values(self, tag: str, name: str) -> list[str | None]:
        return [value for t, n, value in self.attributes if (t, n) == (tag, name)]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Not to be changed."""
    made = make_study(tmp_path_factory.mktemp("report"))
    build(made)
    return made


@pytest.fixture
def copied(study: Study, tmp_path: Path) -> Study:
    shutil.copytree(study.paths.results.parent, tmp_path / "copy")
    return open_study(tmp_path / "copy")


def text_of(study: Study) -> str:
    return (study.paths.results / "report.html").read_text(encoding="utf-8")


def test_every_number_of_the_comparison_and_the_averages_stands_in_it(study: Study) -> None:
    values = Counter(Page(text_of(study)).values("data", "value"))
    for table in ("comparison.tsv", "averages.tsv"):
        needed = Counter(
            value
            for row in read_table(study.paths.results / table)
            for name, value in row.items()
            if re.fullmatch(r"-?\d+\.\d{6}", value)
        )
        assert needed
        assert not {value: count for value, count in needed.items() if values[value] < count}


def test_nothing_from_outside_is_in_it(study: Study) -> None:
    text = text_of(study)
    page = Page(text)
    assert page.tags["script"] == page.tags["style"] == 1
    assert not page.tags["img"] + page.tags["link"] + page.tags["iframe"] + page.tags["object"]
    assert not [name for _, name, _ in page.attributes if name.startswith("on") or name == "style"]
    links = page.values("a", "href")
    assert [value for value in links if not str(value).startswith("#")] == ["costs.tsv"]
    anchors = [value for _, name, value in page.attributes if name == "id"]
    assert len(anchors) == len(set(anchors))
    assert {str(value)[1:] for value in links if value != "costs.tsv"} <= set(map(str, anchors))
    assert {str(value)[1:] for value in page.values("use", "href")} <= set(map(str, anchors))
    (policy,) = [value for value in page.values("meta", "content") if "default-src" in str(value)]
    assert policy and "default-src 'none'" in policy and "unsafe" not in policy


def test_hostile_labels_are_text(study: Study) -> None:
    text = text_of(study)
    for label in HOSTILE.values():
        assert label not in text
    assert "&lt;script&gt;document.title" in text
    assert "'=HYPERLINK" not in text.replace("&#39;", "'")  # the apostrophe is the spreadsheet's


def test_it_says_what_stands_behind_the_numbers(study: Study) -> None:
    text = text_of(study)
    for table in ("comparison", "averages"):
        tests = [row for row in read_table(study.paths.results / f"{table}.tsv") if row["p_adjusted"]]
        assert f"{len(tests)} in {table}.tsv" in text
    assert "Holm" in text and "approximate randomisation" in text
    data = study.data(study.matrix.datasets[0])
    sizes = [len(data.split(split)) for split in ("train", "validation", "test")]
    assert "{} training, {} validation, {} test texts. Model: <code>a/model</code>".format(*sizes) in text
    assert "Epochs kept, seed by seed: sam 2, 2, 2; adamw 2, 2, 2; twin 2, 2, 2" in text
    assert "no epoch was better" not in text


def test_cells_that_training_has_not_made_better_are_told(copied: Study) -> None:
    path = copied.paths.run(copied.cell("single", "sam", 2).path) / "report.json"
    write_json(path, read_json(path) | {"epochs": [0]})
    assert "not improved" not in text_of(copied)
    text = build(copied).read_text(encoding="utf-8")
    assert "sam kept the state before training in 1 of 3 seeds on " in text
    assert text.count(' <span class="warn">1 not improved</span>') == 1
    assert "sam 2, 0, 2" in text


def test_test_texts_that_are_nearly_known_stand_at_the_head(copied: Study) -> None:
    row = {"task": "main", "language": "yoruba", "label_type": "single", "severity": "warning"}
    row |= {"check": "near_copy_of_test", "count": 2, "finding": "f", "remedy": "r", "places": "p"}
    write_table([row], list(row), copied.paths.results / "check.tsv")
    write_report(copied.configuration, copied.paths, copied.paths.results / "report.html")
    head, _, _ = text_of(copied).partition('id="overview"')
    said = "main, yoruba, single: at least 2 test texts are nearly the same as a training or validation text"
    assert said in head


def test_labels_without_test_texts_stand_at_the_head(copied: Study) -> None:
    assert "no test text" not in text_of(copied)
    path = copied.paths.results / "report.tsv"
    rows = read_table(path)
    labels = list(dict.fromkeys(row["row"] for row in rows if row["row_type"] == "label"))
    for row in rows:
        if (row["language"], row["label_type"], row["split"]) == ("yoruba", "single", "test"):
            row["support"] = "0" if row["row"] == labels[0] else row["support"]
    write_table(rows, list(rows[0]), path)
    write_report(copied.configuration, copied.paths, copied.paths.results / "report.html")
    head, _, _ = text_of(copied).partition('id="overview"')
    (said,) = re.findall(r"[^>]* no test text and counts as 0 in macro averages", head)
    assert re.fullmatch(r"main, yoruba, single: 1 of \d+ labels has .*", said)


def test_where_there_is_no_interval_the_report_says_so(copied: Study) -> None:
    path = copied.paths.results / "averages.tsv"
    rows = read_table(path)
    for row in rows:
        if row["method"] == "sam":
            row |= dict.fromkeys(
                [f"{name}_ci_{end}" for name in ("test", "difference") for end in ("low", "high")], ""
            )
    write_table(rows, list(rows[0]), path)
    write_report(copied.configuration, copied.paths, copied.paths.results / "report.html")
    text = text_of(copied)
    assert "no interval: the same score in every resample, p " in text
    assert '<span class="ci">no interval</span>' in text
    assert not re.findall(r'<span class="ci">\s*to\s*</span>', text)


def test_the_classifier_is_the_one_that_is_published(copied: Study) -> None:
    said = "<code>results/best/main/yoruba/single</code>, from main/yoruba/single/sam/seed-"
    assert said in text_of(copied)
    for cell in copied.matrix.cells:  # it is trained anew, gets worse, and nothing is published yet
        if cell.dataset.path == "main/yoruba/single" and cell.method == "sam":
            copied.train(cell, 0.1)
    write_tables(copied.matrix, copied.configuration, copied.paths)
    write_report(copied.configuration, copied.paths, copied.paths.results / "report.html")
    text = text_of(copied)
    (panel,) = re.findall(r'<details id="main/yoruba/single".*?</details>', text, re.DOTALL)
    assert said in panel and "Confusions of sam" not in panel and "<h3>Confusions of " in panel


def shown(study: Study, dataset: str) -> str:
    """Write tables and report anew; return the method whose confusions the report shows of a data set."""
    write_tables(study.matrix, study.configuration, study.paths)
    write_report(study.configuration, study.paths, study.paths.results / "report.html")
    (panel,) = re.findall(rf'<details id="{dataset}".*?</details>', text_of(study), re.DOTALL)
    (method,) = re.findall(r"<h3>Confusions of (\w+)</h3>", panel)
    return method


def test_what_is_shown_is_not_decided_by_printed_digits(copied: Study) -> None:
    shutil.rmtree(copied.paths.results / "best")
    for cell in copied.matrix.cells:
        if cell.dataset.path == "main/yoruba/single" and cell.has_checkpoint:
            set_validation(copied, cell, 0.70000004 if cell.method == "adamw" else 0.70000001)
    assert shown(copied, "main/yoruba/single") == "adamw"


def test_the_published_classifier_is_shown_until_its_cell_is_trained_again(copied: Study) -> None:
    cell = next(c for c in copied.matrix.cells if c.path == "main/yoruba/single/adamw/seed-1")
    published = copied.paths.results / "best/main/yoruba/single/thresholds.json"
    write_json(published, read_json(published) | {"cell": cell.path})
    assert shown(copied, "main/yoruba/single") == "adamw"
    copied.train(cell)
    assert shown(copied, "main/yoruba/single") == "sam"


def test_numbers_stay_beside_labels_that_run_from_right_to_left(copied: Study) -> None:
    published = copied.paths.results / "best/main/yoruba/single/thresholds.json"
    write_json(published, read_json(published) | {"thresholds": {"اقتصاد": 0.5, "صحة": 0.25}})
    write_report(copied.configuration, copied.paths, copied.paths.results / "report.html")
    # Without the elements a browser would put the first number beside the second label.
    assert "Thresholds: <bdi>اقتصاد</bdi> 0.500, <bdi>صحة</bdi> 0.250." in text_of(copied)


def test_baselines_alone_leave_no_classifier_and_one_method_no_ranking(copied: Study) -> None:
    shutil.rmtree(copied.paths.results / "best")
    study = open_study(copied.paths.results.parent, STUDY | {"methods": {"tfidf": {}}, "report": {}})
    write_tables(study.matrix, study.configuration, study.paths)
    write_report(study.configuration, study.paths, study.paths.results / "report.html")
    text = text_of(study)
    assert "How to use a classifier" not in text and "import polysharp.classifier" not in text
    assert "cannot be judged" not in text and "cannot be distinguished" not in text


def test_how_to_use_reads_as_a_model_does(study: Study) -> None:
    text = text_of(study)
    code = text[text.index("import polysharp.classifier") :]
    assert "text_prefix" in code and "max_length" in code and "argmax" in code and "thresholds" in code


def test_it_says_what_won_and_what_did_not(study: Study) -> None:
    text = text_of(study)
    comparison = read_table(study.paths.results / "comparison.tsv")
    best = Counter((row["label_type"], row["method"]) for row in comparison if row["standing"] == "best")
    found = re.findall(r"<strong>Found\.</strong> (.*)</p>", text)[0]
    for method in {method for _, method in best}:
        assert f"{method} is better than every other method on " in found
    assert "twin is not distinguishable from adamw (.000, " in text


def test_curves_are_those_of_the_table(study: Study) -> None:
    rows = [row for row in read_table(study.paths.results / "curves.tsv") if row["language"] == "english"]
    panel = re.search(r'<details id="main/english/single".*?</details>', text_of(study), re.DOTALL)
    assert panel
    drawings = re.findall(r'aria-label="(\w+): (loss|macro F1)[^"]*".*?<polyline points="([^"]*)"', panel[0])
    assert [drawing[:2] for drawing in drawings] == [
        (method, what) for what in ("loss", "macro F1") for method in ("sam", "adamw", "twin")
    ]
    for what, name in (("loss", "loss"), ("macro F1", "validation")):
        of_name = [row for row in rows if row["label_type"] == "single" and row[f"{name}_mean"]]
        drawn = [point.split(",") for _, of, points in drawings if of == what for point in points.split(" ")]
        assert [float(x) for x, _ in drawn] == [50 * int(row["epoch"]) for row in of_name]
        # Heights are linear in the values, downwards as in every drawing.
        values = [float(row[f"{name}_mean"]) for row in of_name]
        heights = [float(y) for _, y in drawn]
        assert np.corrcoef(values, heights)[0, 1] == pytest.approx(-1, abs=1e-4)
        assert min(heights) >= 0 and max(heights) <= 40
    assert "sam: loss on training texts from 11.200 in the first epoch to 5.700 in the last epoch" in panel[0]


def test_permuted_test_labels_change_no_choice_of_what_is_shown(copied: Study) -> None:
    chosen = r"<h3>.*onfusions of \w+</h3>|<p><code>results/best/.*</p>"
    before = re.findall(chosen, text_of(copied))
    permute_test_labels(copied)
    after = re.findall(chosen, build(copied).read_text(encoding="utf-8"))
    assert len(before) >= 7  # where all is right, there are no confusions
    assert set(before) <= set(after) and sum("results/best" in line for line in after) == 4


def test_the_same_tables_give_the_same_bytes(copied: Study) -> None:
    first = build(copied).read_bytes()
    assert build(copied).read_bytes() == first


def test_what_failed_is_told(copied: Study) -> None:
    cell = copied.cell("single", "sam", 2)
    fail(copied, cell.path, "the loss is <not> a number")
    runs = write_tables(copied.matrix, copied.configuration, copied.paths)
    write_failures(find_failures(runs, copied.matrix, copied.paths), copied.paths)
    write_report(copied.configuration, copied.paths, copied.paths.results / "report.html")
    text = text_of(copied)
    assert [run.status for run in read_runs([cell], "macro_f1", copied.paths)] == ["failed"]
    assert "the loss is &lt;not&gt; a number" in text and "lower learning_rate" in text
    assert f"1 of {len(copied.matrix.cells)} cells (a data set, a method, a seed) is missing" in text
    assert "cannot be judged yet, because cells are missing" in text


def test_a_study_of_which_nothing_is_there_has_one(copied: Study) -> None:
    shutil.rmtree(copied.paths.results)
    write_tables(copied.matrix, copied.configuration, copied.paths)
    write_report(copied.configuration, copied.paths, copied.paths.results / "report.html")
    number = len(copied.matrix.cells)
    text = text_of(copied)
    assert f"{number} of {number} cells (a data set, a method, a seed) are missing" in text
    assert "manifest.json" not in text


@pytest.mark.parametrize(
    ("value", "shown"),
    [("", ""), ("0.000000", "<.001"), ("0.0006", ".001"), ("0.141", ".141"), ("1.000", "1.000")],
)
def test_a_p_value_is_never_0(value: str, shown: str) -> None:
    assert probability(value) == shown


@pytest.mark.parametrize(
    ("value", "plain", "difference"),
    [
        ("0.742400", ".742", "+.742"),
        ("1.000000", "1.000", "+1.000"),
        ("10.200000", "10.200", "+10.200"),
        ("-0.020400", "-.020", "−.020"),
        ("-0.000000", "-.000", ".000"),
        ("0.000100", ".000", ".000"),
        ("", "", ""),
    ],
)
def test_numbers_are_short(value: str, plain: str, difference: str) -> None:
    assert short(value) == plain
    assert signed(value) == difference
