"""Find the labels that a free-text answer names."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, zip_longest

from polysharp.core.terms import LabelType

# Removed everywhere: soft hyphens, zero-width spaces, direction marks, variation selectors of emoji, and
# what is optional in writing: Arabic and Hebrew vowel signs, and the Arabic lengthening stroke.
_INVISIBLE = re.compile(
    "[\u00ad\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u061c\u0640\u064b-\u0652\u0670"
    "\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufe0e\ufe0f\ufeff]"
)
_JOINERS = "\u200c\u200d"  # inside words in Persian and Hindi, and inside emoji; never at the edge of a word
_LOOSE_JOINERS = re.compile(f"(?<!\\S)[{_JOINERS}]+|[{_JOINERS}]+(?!\\S)")
_ONE_FORM = str.maketrans(dict.fromkeys("‐‑‒–−", "-") | dict.fromkeys("‘’ʼ′", "'") | {"ı": "i"})
# Thai, Lao, Tibetan, Burmese, Khmer, Japanese and Chinese put no spaces between words.
_UNSPACED = re.compile(
    "[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u312f\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
# Attached to a word without a space: Korean particles after it, Arabic conjunctions and articles before it.
_PARTICLE = re.compile(
    "(?:은|는|이|가|을|를|의|에|에서|와|과|로|으로|도|만|번|이다|입니다|이에요|예요|이며|이고|이란|라고|이라고)(?!\\w)"
)
_ARABIC = re.compile("[\u0620-\u064a]")
_ARABIC_PREFIX = re.compile("(?:^|\\W)[وف]?(?:[بكل]?(?:ال)?|لل)$")
_NUMBER = re.compile(r"(?:(?<!\w)[+-])?(?:\d+(?:[.,]\d+)*|\.\d+)%?")
_PART = re.compile("[^,]+")  # an item of a list

_QUOTES = " \"'`*_()[]{}<>«»‹›„“”「」『』【】"

# A negation applies to what follows it, up to the next of these, or to what directly precedes it.
_CLAUSE = re.compile("[.!?;:,()\\[\\]|\n。、；：،؟।]|\\b(?:but|rather|sondern|mais|sino)\\b")
_NEGATION = re.compile(
    r"\b(?:(?:not|nicht|pas|não|не)(?! (?:only|just|nur|seulement|só|только)\b)|no|non|never|neither|nor"
    r"|without|cannot|\w+n't|kein\w*|weder|noch|ohne|aucune?|sans|sin|senza|sem|niet|geen|zonder|нет|ни|без"
    r"|ليس|ليست|غير|بدون)\b|不是|并非|並非|不属于|不屬於|没有|沒有"
)
_NEGATED_BEFORE = re.compile("[非不无無未反]$")
_NEGATED_AFTER = re.compile(
    "[\"'*_`]*\\s*(?:[:=?]\\s*[\"'*_`]*(?:no|not|false|0|nein|non)\\b"
    "|(?:で|じゃ|と|に|は|が|の)*(?:関係|関連)?(?:は|が|の)?(?:な[いしくか]|ありません|無関係)"
    "|[이가은는와과]?\\s*(?:관련이? ?)?(?:아니|아닙|없|무관)"
    "|(?:ile ilgili )?değil|(?:से संबंधित )?नहीं|无关|無關)"
)


@dataclass(frozen=True)
class _Match:
    """A label found in an answer.

    before, after
        Whether a hyphen or an underscore joins it to another word, as in ``non-hate``. It then counts only
        if the other word is a label, too.
    """

    start: int
    end: int
    label: str
    before: bool
    after: bool


@dataclass(frozen=True)
class _Labels:
    """Labels as they are searched for: numbers by value, everything else as words."""

    numbers: dict[str, list[str]]
    words: list[tuple[str, re.Pattern[str]]]

    def matches(self, text: str) -> Iterator[_Match]:
        """Yield every place in a folded text where a label occurs as whole words."""
        for number in _NUMBER.finditer(text):
            if _is_whole(text, *number.span()):
                for span in self._parts(number):
                    for label in self.numbers.get(_value(text[slice(*span)]), []):
                        yield _Match(*span, label, *_joined(text, *number.span()))
        for label, pattern in self.words:
            for found in pattern.finditer(text):
                if _is_whole(text, *found.span()):
                    yield _Match(*found.span(), label, *_joined(text, *found.span()))

    def _parts(self, number: re.Match[str]) -> list[tuple[int, int]]:
        """Return the places of labels in a number: the whole number, or the items of a list such as 1,3."""
        parts = [part.span() for part in _PART.finditer(number.string, *number.span())]
        whole = _value(number[0]) in self.numbers
        listed = all(_value(number.string[slice(*part)]) in self.numbers for part in parts)
        return [number.span()] if whole or not listed else parts


def named_labels(answer: str, labels: Sequence[str], label_type: LabelType) -> list[str] | None:
    """Return the labels that a free-text answer names, or None if it is not mapped to any.

    An answer that equals a label is that label. Otherwise a label is named if it occurs as whole words; case,
    width and Unicode form are ignored. If one label contains another, the longer one is taken. In scripts
    without spaces, a label may also occur between other characters.

    An answer that names several labels is mapped to all of them (``multi``) or to none (``single``). An
    answer that negates a label is mapped to none: what is meant is not guessed.
    """
    forms: tuple[Callable[[str], str], ...] = (str, str.strip, _composed, _plain, _bare)
    for form in forms:
        equal = [label for label in labels if form(label) == form(answer) != ""]
        if len(equal) == 1:
            return equal
    text = _folded(answer)
    matches = _uncovered(list(_looked_for(tuple(labels)).matches(text)))
    by_place: dict[tuple[int, int], list[str]] = defaultdict(list)
    for match in matches:
        by_place[match.start, match.end].append(match.label)
    if _negated(text, list(by_place)):
        return None
    named = set()
    for here in by_place.values():
        written = [label for label in here if _composed(label) in _composed(answer)]
        if len(here) > 1 and len(written) != 1:  # labels that differ only in case or the like
            return None
        named.update(here if len(here) == 1 else written)
    if not named or (label_type == "single" and len(named) > 1):
        return None
    return [label for label in labels if label in named]


def _composed(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())


def _folded(text: str) -> str:
    """Return a text with case, width and Unicode form normalised, and digits from 0 to 9."""
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    if not text.isascii():
        text = _LOOSE_JOINERS.sub("", _INVISIBLE.sub("", text)).translate(_ONE_FORM)
        text = text.replace("i\u0307", "i")  # from a Turkish capital
        text = re.sub(r"\d", lambda digit: str(unicodedata.decimal(digit[0])), text)
    return text


def _plain(text: str) -> str:
    return " ".join(_folded(text).split())


def _bare(text: str) -> str:
    """Return a text without the punctuation that people put around an answer."""
    return _plain(text).lstrip(_QUOTES).rstrip(_QUOTES + ".,;:!。、")


@lru_cache(maxsize=16)
def _looked_for(labels: tuple[str, ...]) -> _Labels:
    numbers: dict[str, list[str]] = defaultdict(list)
    words = []
    for label in labels:
        folded = _plain(label)
        if _NUMBER.fullmatch(folded):
            numbers[_value(folded)].append(label)
        elif any(_is_word(sign) or unicodedata.category(sign) == "So" for sign in folded):
            words.append((label, _pattern(folded)))  # a label of punctuation only must equal the answer
    return _Labels(dict(numbers), words)


def _pattern(folded: str) -> re.Pattern[str]:
    """Return a pattern for a label that treats spaces, hyphens and underscores between words alike."""
    parts = re.split(r"((?<=[^\s_-])[\s_-]+(?=[^\s_-])|\s*/\s*)", folded)
    between = (r"\s*/\s*" if "/" in part else r"[\s_-]+" for part in parts[1::2])
    return re.compile("".join(chain(*zip_longest(map(re.escape, parts[::2]), between, fillvalue=""))))


def _value(number: str) -> str:
    """Return a number without a plus sign and without decimals that are zero."""
    return re.sub(r"\.0+$", "", number.removeprefix("+"))


def _is_word(sign: str) -> bool:
    return sign.isalnum() or (sign != "" and (sign in _JOINERS or unicodedata.category(sign)[0] == "M"))


def _is_whole(text: str, start: int, end: int) -> bool:
    """Whether a place is not inside a longer word; particles that are attached to words do not count."""
    before, after = text[max(start - 1, 0) : start], text[end : end + 1]
    begins = not _is_word(before) or bool(_UNSPACED.match(before) or _UNSPACED.match(text[start]))
    if not begins and _ARABIC.match(text[start]):
        begins = bool(_ARABIC_PREFIX.search(text[max(start - 6, 0) : start]))
    if before == "\u200d" or (after and (after == "\u200d" or unicodedata.category(after)[0] == "M")):
        return False  # inside one character
    ends = not _is_word(after) or bool(_UNSPACED.match(after) or _UNSPACED.match(text[end - 1]))
    return begins and (ends or bool(_PARTICLE.match(text, end)))


def _joined(text: str, start: int, end: int) -> tuple[bool, bool]:
    """Return whether a hyphen or underscore joins a place to the word before, an underscore to that after.

    A hyphen after it does not count: ``non-hate`` is not hate, but ``left-wing`` is left.
    """
    before, after = text[max(start - 2, 0) : start], text[end : end + 2]
    joins_before = len(before) == 2 and before[1] in "-_" and _is_word(before[0])
    joins_after = len(after) == 2 and after[0] == "_" and _is_word(after[1])
    return joins_before and not _UNSPACED.match(before[0]), joins_after


def _uncovered(matches: Sequence[_Match]) -> list[_Match]:
    """Return the matches that are not inside a longer one, and are joined only to other matches."""
    starts, ends = {match.start for match in matches}, {match.end for match in matches}
    free = [
        match
        for match in matches
        if (not match.before or match.start - 1 in ends) and (not match.after or match.end + 1 in starts)
    ]
    kept: list[_Match] = []
    for match in sorted(free, key=lambda match: (match.start, -match.end)):
        last = kept[-1] if kept else None
        if last is None or match.end > last.end or (match.start, match.end) == (last.start, last.end):
            kept.append(match)
    return kept


def _negated(text: str, places: Sequence[tuple[int, int]]) -> bool:
    """Whether a label at one of these places is negated. A negation inside a label is part of the label."""
    masked = list(text)
    for start, end in places:
        masked[start:end] = " " * (end - start)
    rest = "".join(masked)
    clauses = [0, *(sign.end() for sign in _CLAUSE.finditer(rest))]
    return any(
        _NEGATION.search(rest, clauses[bisect(clauses, start) - 1], start)
        or _NEGATED_BEFORE.search(rest, max(start - 1, 0), start)
        or _NEGATED_AFTER.match(rest, end)
        for start, end in places
    )
