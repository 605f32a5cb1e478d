"""The report in a real browser: without a network, with and without JavaScript, narrow and wide."""

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page

from polysharp.core.tsv import read_table
from polysharp.reporting.report import short
from tests.reports import build, make_study

WIDTHS = (360, 1280)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(make_study(tmp_path_factory.mktemp("report")))


def opened(context: BrowserContext, report: Path) -> tuple[Page, list[str]]:
    """Return the report's page, and what should not happen: requests, dialogs, errors."""
    page, events = context.new_page(), []
    page.on("request", lambda request: events.append(request.url))
    page.on("dialog", lambda dialog: (events.append(dialog.message), dialog.dismiss()))
    page.on("console", lambda message: events.append(message.text))
    page.on("pageerror", lambda error: events.append(str(error)))
    page.goto(report.as_uri())
    for details in page.locator("details").all():
        details.locator("summary").first.click()
    return page, [event for event in events if event != report.as_uri()]


@pytest.mark.parametrize("javascript", [True, False])
@pytest.mark.parametrize("width", WIDTHS)
def test_every_number_is_seen(browser: Browser, report: Path, width: int, javascript: bool) -> None:
    context = browser.new_context(
        viewport={"width": width, "height": 800}, java_script_enabled=javascript, offline=True
    )
    page, events = opened(context, report)
    assert events == []
    assert page.title() == "polysharp: the report"  # no label has changed it
    rows = page.locator("#comparison ~ .wide table tbody").first.locator("tr").all()
    comparison = read_table(report.parent / "comparison.tsv")
    assert len(rows) == len(comparison) == 16
    for row, expected in zip(rows, comparison, strict=True):
        shown = row.inner_text().split()
        assert expected["method"] in shown and expected["label_type"] in shown
        for name in (
            "validation_mean",
            "test_mean",
            "test_ci_low",
            "test_ci_high",
            "test_sd",
            "accuracy_mean",
        ):
            assert not expected[name] or short(expected[name]) in shown, (name, shown)
        for name in ("difference", "difference_ci_low", "difference_ci_high"):
            if expected[name]:
                numbers = [value.replace("−", "-").lstrip("+") for value in shown]
                assert short(expected[name]).replace("-.000", ".000") in numbers, (name, shown)
    context.close()


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_wider_than_the_window(browser: Browser, report: Path, width: int) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800}, offline=True)
    page, _ = opened(context, report)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    context.close()


def test_tables_are_sorted_and_filtered(browser: Browser, report: Path) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 800}, offline=True)
    page, events = opened(context, report)
    table = page.locator("#comparison ~ .wide table").first
    column = table.locator("thead th").all_inner_texts().index("test")

    def values() -> list[float]:
        found = table.locator(f"tbody tr:visible td:nth-child({column + 1}) > data").all()
        return [float(data.get_attribute("value") or "nan") for data in found]

    given = values()
    head = table.locator("thead th").nth(column)
    head.locator("button").click()
    assert values() == sorted(given) != given
    assert head.get_attribute("aria-sort") == "ascending"
    head.locator("button").press("Enter")
    assert values() == sorted(given, reverse=True)
    page.get_by_label("Show rows of this table that contain").fill("yoruba tfidf")
    assert len(values()) == 2
    assert page.locator(".heat tbody tr:visible").count() == 4  # the others stay as they are
    assert events == []
    context.close()


@pytest.mark.parametrize("javascript", [True, False])
def test_what_decides_is_in_sight(browser: Browser, report: Path, javascript: bool) -> None:
    context = browser.new_context(
        viewport={"width": 1280, "height": 800}, offline=True, java_script_enabled=javascript
    )
    page = context.new_page()
    page.goto(report.as_uri())
    heads = page.locator("#comparison ~ .wide table").first.locator("thead th")
    (place,) = [i for i, text in enumerate(heads.all_inner_texts()) if text == "adjusted p"]
    box = heads.nth(place).bounding_box()
    assert box is not None and box["x"] + box["width"] <= 1280 - 16
    context.close()


def test_a_link_to_a_data_set_opens_it(browser: Browser, report: Path) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 800}, offline=True)
    page = context.new_page()
    page.goto(report.as_uri())
    assert page.locator("details[open]").count() == 0
    page.locator(".heat tbody a").nth(1).click()
    page.get_by_role("heading", name="Labels").wait_for(timeout=5000)
    page.goto(f"{report.as_uri()}#main/yoruba/multi")
    page.reload()
    assert page.locator("details[open]").get_attribute("id") == "main/yoruba/multi"
    context.close()


def test_on_paper_everything_is_there(browser: Browser, report: Path) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 800}, offline=True)
    page = context.new_page()
    page.goto(report.as_uri())
    page.set_viewport_size({"width": 720, "height": 1000})  # A4 without its margins
    page.emulate_media(media="print")
    for table in page.locator("#averages ~ .wide table, #comparison ~ .wide table").all()[:2]:
        box = table.bounding_box()
        assert box is not None and box["x"] + box["width"] <= 720
    assert page.get_by_role("heading", name="Labels").first.is_visible()
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_in_the_way_of_anybody(browser: Browser, report: Path, width: int, scheme: str) -> None:
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme, offline=True, bypass_csp=True
    )
    page, _ = opened(context, report)
    found = Axe().run(page).response["violations"]
    serious = [entry for entry in found if entry["impact"] in ("serious", "critical")]
    assert serious == [], [(entry["id"], entry["nodes"][0]["html"][:200]) for entry in serious]
    context.close()
