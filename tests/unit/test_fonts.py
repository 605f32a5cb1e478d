"""Labels in any script: drawn, or with the name of the font to install."""

import os
import warnings
from pathlib import Path

import matplotlib
import numpy as np
import polars as pl
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath
from numpy.testing import assert_allclose
from PIL import Image

from polysharp.reporting import fonts
from polysharp.reporting.figures import draw_summary
from polysharp.reporting.fonts import DEFAULT, letter, shortened
from polysharp.reporting.summary import COLUMNS

LABELS = {
    "Chinese": "经济政策",
    "Japanese": "経済とスポーツ",
    "Korean": "경제 정책",
    "Arabic": "اقتصاد (عام) 2024",
    "Persian": "سیاست‌های مالی",
    "Hebrew": "כלכלה",
    "Devanagari": "राष्ट्रीय शिक्षा",
    "Bengali": "স্বাস্থ্য",
    "Tamil": "பொருளாதாரம்",
    "Thai": "เศรษฐกิจที่นี่",
    "Amharic": "ኢኮኖሚ",
    "Khmer": "សេដ្ឋកិច្ច",
    "emoji": "joy 😀, 👩‍🌾 1️⃣ 🇩🇪 👍🏽",
}


@pytest.fixture
def with_fonts() -> None:
    """Skip, or where POLYSHARP_NEEDS_FONTS is set fail, where this machine lacks fonts."""
    if note := letter(LABELS.values()).note:
        if os.environ.get("POLYSHARP_NEEDS_FONTS") == "1":
            pytest.fail(note)
        pytest.skip(note)


@pytest.fixture
def without_fonts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no other fonts than those that matplotlib brings."""
    own = matplotlib.get_data_path()
    found = font_manager.fontManager.ttflist
    monkeypatch.setattr(font_manager.fontManager, "ttflist", [e for e in found if e.fname.startswith(own)])
    monkeypatch.setenv("MPL_IGNORE_SYSTEM_FONTS", "1")
    fonts._find_new_fonts.cache_clear()


def draw(labels: list[str], output: Path) -> bytes:
    """Return the picture of a data set with these labels; any warning is an error."""
    rows = [(split, "label", label, 5) for split in ("train", "val", "test") for label in labels]
    table = pl.DataFrame(rows, schema=COLUMNS, orient="row")
    tokens = {split: np.arange(1, 9) for split in ("train", "val", "test")}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw_summary(table, tokens, 6, output)
    return output.read_bytes()


def test_labels_in_every_script_have_glyphs(with_fonts: None, tmp_path: Path) -> None:
    drawn = draw(list(LABELS.values()), tmp_path / "summary.png")
    assert drawn == draw(list(LABELS.values()), tmp_path / "again.png")
    families = letter(LABELS.values()).families
    assert families[0] == DEFAULT and len(families) == len(set(families)) > 1


def path(text: str, family: list[str]) -> np.ndarray:
    return np.asarray(TextPath((0, 0), text, prop=FontProperties(family=family)).vertices)


def test_arabic_is_joined_and_runs_from_right_to_left() -> None:
    # The same as letters in their joined forms, put from left to right by hand.
    assert_allclose(path("سلام", [DEFAULT]), path("\u202d\ufee1\ufefc\ufeb3\u202c", [DEFAULT]), atol=1e-6)


def test_devanagari_has_its_conjuncts(with_fonts: None) -> None:
    family = letter(["क्ष"]).families
    together, apart = (np.ptp(path(text, family)[:, 0]) for text in ("क्ष", "क्\u200cष"))
    assert together < apart


def test_what_to_install_is_said_in_the_picture_and_symbols_are_words(
    without_fonts: None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lettering = letter([*LABELS.values(), "🧪 lab 👩‍🌾 🇩🇪"])
    assert lettering.families == [DEFAULT]
    assert lettering.texts[-1] == "[test tube] lab [woman][ear of rice] DE"
    assert lettering.note == (  # DejaVu has Arabic and Hebrew
        "Boxes are letters for which this machine has no font. To install: Noto Sans CJK, Bengali, "
        "Devanagari, Ethiopic, Khmer, Tamil, Thai (Debian: fonts-noto-cjk, fonts-noto-core)."
    )
    plain, noted = (tmp_path / f"{name}.png" for name in ("plain", "noted"))
    with caplog.at_level("WARNING", "polysharp"):
        draw(["economy", "ኢኮኖሚ"], noted)
        draw(["economy", "כלכלה"], plain)
    with Image.open(noted) as with_note, Image.open(plain) as without:
        assert (np.array(with_note.convert("L"))[-30:] < 200).sum() > 500 + (
            np.array(without.convert("L"))[-12:] < 200
        ).sum()


def test_a_font_that_was_just_installed_is_used(
    without_fonts: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    pen.lineTo((500, 0))
    pen.lineTo((500, 700))
    pen.closePath()
    font = FontBuilder(1000, isTTF=True)
    font.setupGlyphOrder([".notdef", "ha"])
    font.setupCharacterMap({ord("ሀ"): "ha"})
    font.setupGlyf({".notdef": TTGlyphPen(None).glyph(), "ha": pen.glyph()})
    font.setupHorizontalMetrics({".notdef": (600, 0), "ha": (600, 0)})
    font.setupHorizontalHeader(ascent=800, descent=-200)
    font.setupNameTable({"familyName": "Tiny Ethiopic", "styleName": "Regular"})
    font.setupOS2()
    font.setupPost()
    assert letter(["ሀ"]).missing == ["ETHIOPIC"]
    (tmp_path / "fonts").mkdir()
    font.save(tmp_path / "fonts/tiny.ttf")
    (tmp_path / "fonts/damaged.ttf").write_bytes(b"no font")
    monkeypatch.delenv("MPL_IGNORE_SYSTEM_FONTS")
    monkeypatch.setattr(font_manager, "X11FontDirectories", [str(tmp_path / "fonts")])
    monkeypatch.setattr(font_manager, "_get_fontconfig_fonts", list)
    fonts._find_new_fonts.cache_clear()
    found = letter(["a ሀ"])
    assert (found.families, found.missing, found.note) == ([DEFAULT, "Tiny Ethiopic"], [], None)
    draw(["a ሀ"], tmp_path / "summary.png")


@pytest.mark.parametrize(
    ("text", "length", "expected"),
    [
        ("economy", 40, "economy"),
        ("economy", 3, "eco"),
        ("two\nlines", 40, "two lines"),
        ("ab\u0301c", 2, "a"),  # no letter without its accent
        ("aक्षि", 4, "a"),
        ("a👩‍🌾", 2, "a"),
        ("a👩‍🌾", 3, "a"),
        ("", 3, ""),
        ("\u0301" * 5, 3, ""),
    ],
)
def test_what_is_too_long_is_cut_between_characters(text: str, length: int, expected: str) -> None:
    assert shortened(text, length) == expected
