"""`snakemake --report report.zip`: what people look at in one archive, in which no name does harm."""

import json
from pathlib import Path
from zipfile import ZipFile

import pytest
from playwright.sync_api import Browser

from tests.integration.study import Study

HARM = "</script><script>document.title = 'hacked'</script><img src=x onerror=\"document.title='hacked'\">"
DATASET = "main/english/single"
SHOWN = {
    "Report": ["report.html"],
    "Figures": ["comparison.png", "curves.png"],
    "Tables": ["averages.tsv", "check.tsv", "comparison.tsv", "report.tsv"],
    "Data": [f"data/{DATASET}/summary.png"],
}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Path]:
    """A study whose labels, text prefix and folder would do harm, and its archive, unpacked."""
    study = Study.write(tmp_path_factory.mktemp("archive") / "<b>study", [("english", "single")])
    for path in (study.folder / "data").rglob("*.json"):
        content = json.loads(path.read_text())
        content["Labels"] = [f"{label} {HARM}" for label in content["Labels"]]
        path.write_text(json.dumps(content))
    study.configure(
        models={"default": {"name": "./encoders/english", "text_prefix": f"{HARM} "}},
        methods={"sam": None, "tfidf": None},
        report={"bootstrap": 200},
    )
    study.completed("-c2")
    study.completed("--report", "report.zip")
    with ZipFile(study.folder / "report.zip") as packed:
        packed.extractall(study.folder / "unpacked")
    return study, study.folder / "unpacked/report/report.html"


def test_the_archive_holds_what_people_look_at(archive: tuple[Study, Path]) -> None:
    study, page = archive
    packed = {path.read_bytes() for path in (page.parent / "data").rglob("*") if path.is_file()}
    names = [name for of_category in SHOWN.values() for name in of_category]
    assert packed == {(study.folder / "results" / name).read_bytes() for name in names}
    text = page.read_text(encoding="utf-8")
    assert "hacked" not in text and "<b>study" not in text


def test_it_shows_them_and_runs_nothing_of_a_user(browser: Browser, archive: tuple[Study, Path]) -> None:
    context = browser.new_context(offline=True)
    page = context.new_page()
    events: list[str] = []
    page.on("pageerror", lambda error: events.append(str(error)))
    page.on("dialog", lambda dialog: (events.append(dialog.message), dialog.dismiss()))
    for category, names in SHOWN.items():
        page.goto(archive[1].as_uri())
        page.get_by_role("link", name=category, exact=True).click()
        for name in names:
            for text in DATASET.split("/") if category == "Data" else [f"results/{name}"]:
                page.get_by_text(text, exact=True).wait_for(timeout=5000)
    assert page.title() == "Snakemake Report"
    assert events == []
    context.close()
