"""A small study with labels that would do harm, and its report."""

from pathlib import Path

from polysharp.core.files import write_json
from polysharp.data.overview import write_overview
from polysharp.reporting.report import write_report
from polysharp.reporting.selection import select_best
from polysharp.reporting.tables import write_tables
from tests.conftest import make_texts, write_source
from tests.unit.test_tables import SKILL, Study, prepared

HOSTILE = {
    "animals": "<script>document.title = 'hacked'; alert(1)</script>",
    "food": '"><img src=x onerror="alert(2)">',
    "music": '=HYPERLINK("http://example.invalid")',
}


def make_study(folder: Path) -> Study:
    """Return a study of two languages and label types, trained as far as its tables know."""
    sources = []
    for language in ("english", "yoruba"):
        for label_type in ("single", "multi"):
            texts = make_texts(label_type)
            for split in texts.values():
                split["Labels"] = [
                    HOSTILE[label] if isinstance(label, str) else [HOSTILE[name] for name in label]
                    for label in split["Labels"]
                ]
            write_source(folder / language / label_type, texts)
            sources.append((language, label_type, f"{language}/{label_type}"))
    study = prepared(folder, sources)
    for cell in study.matrix.cells:
        study.train(cell, SKILL[cell.method] + (3 if cell.dataset.language == "english" else 0))
    return study


def build(study: Study) -> Path:
    """Write tables, best classifiers, findings and report; return the report."""
    write_tables(study.matrix, study.configuration, study.paths)
    for dataset in study.matrix.datasets:
        cells = [cell.path for cell in study.matrix.of(dataset) if cell.has_checkpoint]
        output = study.paths.results / "best" / dataset.path
        select_best(cells, "macro_f1", study.configuration.report.bootstrap, study.paths, output)
    write_overview({dataset.path: [] for dataset in study.matrix.datasets}, study.paths)
    output = study.paths.results / "report.html"
    write_report(study.configuration, study.paths, output)
    return output


def fail(study: Study, cell: str, reason: str) -> None:
    """Let a cell have failed."""
    write_json(study.paths.work / "runs" / cell / "failure.json", {"class": "nan", "reason": reason})
