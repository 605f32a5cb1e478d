"""Fonts for labels in any script: which of this machine's a figure needs, and which are not here.

matplotlib brings DejaVu Sans, shapes what it draws (libraqm: joined letters, right to left, conjuncts), and
takes letters that a font lacks from the next one of a list. This module finds that list.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from matplotlib import font_manager
from matplotlib.font_manager import FontEntry
from matplotlib.ft2font import FaceFlags, FT2Font

DEFAULT = "DejaVu Sans"
# How the names of characters begin that one family has.
CJK = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO", "IDEOGRAPHIC", "FULLWIDTH", "HALFWIDTH")
# matplotlib's own: other glyphs than their numbers say, or a box for every character.
UNFIT = ("Last Resort", "cm", "STIX", "DejaVu")
SYMBOLS = ("So", "Sk", "Sm", "Sc", "No", "Me")  # Unicode's categories of what a name can stand for
UNSEEN = ("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs")  # and of what needs no glyph
VARIATIONS = {*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)}  # say which form of a character is meant
SKINS = range(0x1F3FB, 0x1F400)
JOINER = "\u200d"
FLAGS = range(0x1F1E6, 0x1F200)  # letters, two of which are a flag


@dataclass(frozen=True)
class Lettering:
    """How texts are drawn.

    Attributes
    ----------
    texts
        The texts. Symbols that no font of this machine can draw, as most emoji, are names in brackets.
    families
        The fonts, in the order in which a letter is looked for.
    missing
        How the names of letters begin that no font of this machine has, which are drawn as boxes.
    """

    texts: list[str]
    families: list[str]
    missing: list[str]

    @property
    def note(self) -> str | None:
        """Return what to install, or None where nothing is missing."""
        if not self.missing:
            return None
        others = [name.title() for name in self.missing if not name.startswith(CJK)]
        has_cjk = len(others) < len(self.missing)
        scripts = ["CJK"] * has_cjk + others
        packages = ["fonts-noto-cjk"] * has_cjk + ["fonts-noto-core"] * bool(others)
        return (
            "Boxes are letters for which this machine has no font. To install: "
            f"Noto Sans {', '.join(scripts)} (Debian: {', '.join(packages)})."
        )


def letter(texts: Iterable[str]) -> Lettering:
    """Return how to draw texts with the fonts of this machine. The same fonts give the same answer."""
    given = list(texts)
    wanted = {ord(character) for text in given for character in text if _is_seen(character)}
    left = _lacking(_default(), wanted)
    families = [DEFAULT]
    for entry in _candidates(left) if left else []:
        rest = _lacking(entry, left)
        if len(rest) < len(left):
            families.append(entry.name)
            left = rest
    symbols = {code for code in left if unicodedata.category(chr(code)) in SYMBOLS}
    missing = sorted({unicodedata.name(chr(code), "").split(" ")[0] for code in left - symbols})
    return Lettering([_in_words(text, symbols) for text in given], families, missing)


def shortened(text: str, length: int) -> str:
    """Return the beginning of a text in one line: `length` characters, or fewer where one is of several."""
    end = min(length, len(text))
    while 0 < end < len(text) and (_continues(text[end]) or _goes_on(text[end - 1])):
        end -= 1
    return " ".join(text[:end].split())


def _continues(character: str) -> bool:
    """Whether a character belongs to the one before."""
    return unicodedata.category(character)[0] == "M" or character == JOINER or ord(character) in SKINS


def _goes_on(character: str) -> bool:
    """Whether the next character belongs to this one: a joiner, or the sign that joins Indic consonants."""
    return character == JOINER or unicodedata.combining(character) == 9


def _is_seen(character: str) -> bool:
    return unicodedata.category(character) not in UNSEEN and ord(character) not in VARIATIONS


def _in_words(text: str, symbols: set[int]) -> str:
    """Return a text with names in the place of these symbols, and letters in the place of flags."""
    words = []
    for before, character in pairwise(["", *text]):
        code = ord(character)
        if code in symbols and code in FLAGS:
            words.append(chr(ord("A") + code - FLAGS.start))
        elif code in symbols:
            name = unicodedata.name(character, f"U+{code:04X}").lower()
            words.append(f"[{name.removeprefix('emoji modifier fitzpatrick ')}]")
        elif not (before and ord(before) in symbols and (character == JOINER or code in VARIATIONS)):
            words.append(character)
    return "".join(words)


def _default() -> FontEntry:
    return next(entry for entry in _regular() if entry.name == DEFAULT)


def _regular() -> list[FontEntry]:
    """Return the fonts that matplotlib knows, without bold ones, italics and their like."""
    return [
        entry
        for entry in font_manager.fontManager.ttflist
        if entry.style == "normal" and {entry.weight, entry.stretch} <= {400, "normal"}
    ]


def _lacking(entry: FontEntry, wanted: set[int]) -> set[int]:
    """Return those of the characters that a font has not."""
    font = _opened(entry.fname, entry.index)
    return wanted if font is None else {code for code in wanted if not font.get_char_index(code)}


@cache
def _opened(file: str, index: int) -> FT2Font | None:
    """Return a font, or None of one that is gone, damaged, or made of coloured pictures."""
    try:
        font = FT2Font(file, face_index=index)
    except (OSError, RuntimeError):
        return None
    is_drawn = FaceFlags.SCALABLE in font.face_flags and FaceFlags.COLOR not in font.face_flags
    return font if is_drawn else None


def _candidates(wanted: set[int]) -> list[FontEntry]:
    """Return the fonts of this machine in the order in which they are tried."""
    _find_new_fonts()
    names = {unicodedata.name(chr(code), "").split(" ")[0] for code in wanted}
    # Chinese, Japanese and Korean write some characters differently; what stands beside them tells which.
    cjk = "KR" if "HANGUL" in names else "JP" if names & {"HIRAGANA", "KATAKANA"} else "SC"

    def order(entry: FontEntry) -> tuple[object, ...]:
        return (
            entry.name != f"Noto Sans CJK {cjk}",
            not entry.name.startswith("Noto Sans"),
            len(_lacking(entry, wanted)),
            entry.name,
            entry.fname,
        )

    return sorted((entry for entry in _regular() if not entry.name.startswith(UNFIT)), key=order)


@cache
def _find_new_fonts() -> None:
    """Add the fonts that were installed since matplotlib made its list, which it keeps for good."""
    known = {entry.fname for entry in font_manager.fontManager.ttflist}
    for file in sorted(set(font_manager.findSystemFonts()) - known):
        try:
            font_manager.fontManager.addfont(file)
        except (OSError, RuntimeError, ValueError):
            continue
