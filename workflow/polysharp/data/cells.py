"""Single values of a table: lists written as text, missing values, invisible characters."""

from __future__ import annotations

import ast
import json
import re
import unicodedata
from typing import Any

# What Unicode calls "default ignorable" (DerivedCoreProperties.txt): invisible characters.
_UNSEEN = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u3164\ufeff\uffa0\ufff0-\ufff8"
)
_OF_THE_SIGN_BEFORE = "\ufe00-\ufe0f\U000e0000-\U000e0fff"  # variants of emoji, flags
UNSEEN = re.compile(f"[{_UNSEEN}{_OF_THE_SIGN_BEFORE}]+")
_SEEN = re.compile(rf"[^\s\u2800{_UNSEEN}{_OF_THE_SIGN_BEFORE}]")  # U+2800: blank Braille pattern
_EDGES = re.compile(rf"^[\s{_UNSEEN}]+|[\s{_UNSEEN}]+$")

# Missing values as pandas, R, Excel and databases write them. Case matters: Nan and Na are names of people.
_MISSING = frozenset([
    "nan", "NaN", "NAN", "-nan", "-NaN", "na", "NA", "n/a", "N/A", "<na>", "<NA>", "none", "None", "NONE",
    "null", "Null", "NULL", "(null)", "NaT", "\\N", "#N/A", "#NA", "#NULL!", "#VALUE!", "#REF!", "#NAME?",
    "#DIV/0!", "#NUM!", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN",
])  # fmt: skip

_STRING = r"""u?(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
_NUMBER = r"[-+]?\d+(?:\.\d*)?"
_ENTRY = re.compile(rf"(?:np\.\w+\()?({_STRING}|{_NUMBER}|None)\)?", re.DOTALL)  # numpy 2: np.str_('a')
_WHOLE = re.compile(r"^([+-]?\d+)\.0$")
_BRACKETS = {"[": "]", "(": ")", "{": "}"}
_BEGUN = re.compile(r"""[\[({]+\s*u?['"]""")  # also if the end was cut off
_OF_A_CLASS = re.compile(
    r"(?:np\.)?(?:array|frozenset|Index|Series|list|set|tuple)\([\[({].*\)"
    r"|(?:c|list)\(\s*['\"].*\)|character\(0\)",  # as R writes vectors and lists
    re.DOTALL,
)


def as_list(text: str) -> list[Any] | None:
    """Return the list that is written in a cell, or None.

    It may be JSON, or printed by Python (also a tuple, a set, numbers of numpy) or numpy (``['a' 'b']``).
    If a comma is missing in a Python list, the result is None, as it is not known what else is missing.
    """
    stripped = text.strip()
    if stripped == "set()":
        return []
    if stripped.startswith("["):
        try:
            value = json.loads(stripped)
        except (ValueError, RecursionError):
            pass
        else:
            return value if isinstance(value, list) else None
    if stripped[:1] not in _BRACKETS or stripped[-1] != _BRACKETS[stripped[0]]:
        return None
    entries, commas = _entries(stripped[1:-1])
    if entries is None or (commas is False and stripped[0] != "["):
        return None
    if stripped[0] == "(" and commas is None and entries and not stripped[1:-1].rstrip().endswith(","):
        return None  # a value in parentheses
    if stripped == "{}":
        return None  # a dictionary
    return entries


def _entries(inner: str) -> tuple[list[Any] | None, bool | None]:
    """Return a sequence of strings and numbers, and whether commas separate them; None for anything else."""
    entries: list[Any] = []
    commas: bool | None = None
    position = len(inner) - len(inner.lstrip())
    while position < len(inner):
        match = _ENTRY.match(inner, position)
        if match is None or (match[0].startswith("np.") != match[0].endswith(")")):
            return None, None
        try:
            entries.append(ast.literal_eval(match[1]))
        except (ValueError, SyntaxError):  # an invalid escape
            return None, None
        gap = re.compile(r"\s*(,?)\s*").match(inner, match.end())
        assert gap is not None
        position = gap.end()
        if position < len(inner):
            if not gap[0] or (commas is not None and commas != bool(gap[1])):
                return None, None
            commas = bool(gap[1])
    return entries, commas


def looks_like_list(text: str) -> bool:
    """Return whether a cell looks like a list written as text, also if :func:`as_list` cannot read it.

    A name in brackets, such as ``[other]``, does not.
    """
    stripped = text.strip()
    if as_list(stripped) is not None or _OF_A_CLASS.fullmatch(stripped) or _BEGUN.match(stripped):
        return True
    if stripped[:1] not in _BRACKETS or stripped[-1] != _BRACKETS[stripped[0]]:
        return False
    inner = stripped[1:-1].strip()
    if stripped[0] == "[" and inner.endswith(("'", '"')):
        return True
    return "," in inner and stripped[0] != "(" and not any(sign in inner for sign in "[](){}")


def trimmed(text: str) -> str:
    """Return a name without white space and invisible characters at its edges; inside, they may matter."""
    return _EDGES.sub("", text)


def is_blank(text: str) -> bool:
    """Return whether a text has no visible character."""
    return _SEEN.search(text) is None


def looks_missing(text: str) -> bool:
    """Return whether a value is what programs write for missing values."""
    return text.strip() in _MISSING


def without_decimals(value: Any) -> Any:
    """Return 7 for 7.0, as whole numbers appear in a column with gaps; any other value as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def as_group(value: Any) -> str:
    """Return the name of a group in the form in which groups are compared.

    Files of one data set may differ: ``7`` and, in a column with gaps, ``7.0``; ``ü`` as one character or
    as two.
    """
    return _WHOLE.sub(r"\1", unicodedata.normalize("NFC", as_text(value)))


def as_text(value: Any) -> str:
    """Return a value as text for comparison: empty if missing, whole numbers without ``.0``."""
    if value is None or value != value:
        return ""
    return trimmed(str(without_decimals(value)))
