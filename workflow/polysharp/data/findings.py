"""Checks of a data set for problems that would harm its results, before anything is trained."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from rapidfuzz.distance import OSA

from polysharp.config.checks import CHECK_NAMES, CHECKS, RARE, SMALL, UNEQUAL, CheckName, Finding, Severity
from polysharp.core.errors import nearest
from polysharp.core.labels import label_order
from polysharp.core.terms import SPLITS
from polysharp.data.cells import UNSEEN
from polysharp.data.examples import Example, Problem
from polysharp.data.languages import frequent_languages, in_another_language, is_language, known_language
from polysharp.data.similarity import near_copies

LONG_ENOUGH = 6  # characters of a label: shorter ones that differ in two are different labels
SHOWN = 40  # characters of a text in a message
Seen = tuple[CheckName, str]  # a check, and one place with its content


def collect_findings(seen: Sequence[Seen], severities: Mapping[CheckName, Severity]) -> list[Finding]:
    """Return one finding per check that found anything and is not ignored, in the order of the checks."""
    places: dict[CheckName, list[str]] = defaultdict(list)
    for check, place in seen:
        places[check].append(place)
    found = []
    for check in CHECK_NAMES:
        severity = severities.get(check, CHECKS[check].severity)
        if places[check] and severity != "ignore":
            found.append(Finding(check, severity, len(places[check]), tuple(places[check])))
    return found


def excerpt(text: str) -> str:
    """Return the beginning of a text, for a message."""
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def row_findings(problems: Sequence[Problem]) -> Iterator[Seen]:
    """Yield the problems in single rows."""
    for problem in problems:
        yield problem.check, f"{problem.place}: {problem.text}"


def remove_leaks(examples: Sequence[Example]) -> tuple[list[Example], list[Seen]]:
    """Return the examples without copies across splits, and a finding for each that was left out.

    A text that is also in test is left out of validation and training, and one that is also in validation
    is left out of training. Test is never changed.
    """
    first: dict[str, dict[str, Example]] = {split: {} for split in SPLITS}
    for example in examples:
        first[_split(example)].setdefault(example.key, example)
    kept: list[Example] = []
    seen: list[Seen] = []
    for example in examples:
        later = SPLITS[SPLITS.index(_split(example)) + 1 :]
        copies = (first[split].get(example.key) for split in reversed(later))
        copy = next((other for other in copies if other), None)
        if copy is None:
            kept.append(example)
        else:
            where = f"{example.place} ({example.split}): the same text as {copy.place} ({copy.split})"
            seen.append(("copy_in_another_split", where))
            if copy.labels != example.labels:
                seen.append(("contradiction", _contradiction(example, copy)))
    return kept, seen


def text_findings(examples: Sequence[Example]) -> Iterator[Seen]:
    """Yield the texts that occur twice, exactly or nearly, and groups in two splits."""
    first: dict[tuple[str, str], Example] = {}
    for example in examples:
        other = first.setdefault((_split(example), example.key), example)
        if other is not example:
            if other.labels == example.labels:
                yield "copy", f"{example.place}: the same as {other.place}"
            else:
                yield "contradiction", _contradiction(example, other)
    # From the last split on, so that a near copy is reported with the text whose score it would raise.
    order = sorted(first.values(), key=lambda example: -SPLITS.index(_split(example)))
    learnt_from: dict[int, list[str]] = defaultdict(list)  # of a text, those that are nearly the same
    for flattered, learnt in near_copies([example.key for example in order]):
        later, earlier = order[flattered], order[learnt]
        if later.split == earlier.split:
            yield "near_copy", f"{earlier.place}: nearly the same as {later.place} ({later.split})"
        else:
            learnt_from[flattered].append(f"{earlier.place} ({earlier.split})")
    for flattered, places in learnt_from.items():
        later = order[flattered]
        check: CheckName = "near_copy_of_test" if later.split == "test" else "near_copy_of_validation"
        yield check, f"{later.place}: nearly the same as {', '.join(places)}"
    splits: dict[str, dict[str, Example]] = defaultdict(dict)
    for example in examples:
        if example.group is not None:
            splits[example.group].setdefault(_split(example), example)
    for group, of_group in splits.items():
        if len(of_group) > 1:
            where = " and ".join(f"{example.place} ({split})" for split, example in of_group.items())
            yield "group_in_two_splits", f"{group!r}: {where}"


def language_findings(examples: Sequence[Example], language: str) -> Iterator[Seen]:
    """Yield texts in another language, if enough of a sample are and `language` can be detected."""
    stated = known_language(language)
    if stated is None and is_language(language):
        yield "uncovered_language", repr(language)
    elif stated is None:
        yield "unknown_language", f"{language!r}{nearest(language, frequent_languages())}"
    else:
        for number, name in in_another_language([example.text for example in examples], stated):
            example = examples[number]
            yield "language", f"{example.place}: {name}: {excerpt(example.text)!r}"


def label_findings(examples: Sequence[Example]) -> Iterator[Seen]:
    """Yield labels that cannot be learnt or evaluated, and labels that look alike."""
    counts = {split: Counter[str]() for split in SPLITS}
    first: dict[str, Example] = {}
    for example in examples:
        counts[_split(example)].update(example.labels)
        for name in example.labels:
            first.setdefault(name, example)
    for split in SPLITS[1:]:
        texts = sum(example.split == split for example in examples)
        if texts < SMALL[split]:
            yield "small_split", f"{split}: {texts}"
    train = counts["train"]
    names = label_order(example.labels for example in examples)
    frequent, most = [name for name in names if train[name] >= RARE], max(train.values(), default=0)
    all_texts = sum(counts.values(), Counter())
    usual: dict[str, str] = {}  # the most frequent spelling of each label
    for name in sorted(names, key=lambda name: -all_texts[name]):
        usual.setdefault(_bare(name), name)
    for name in names:
        other = usual[_bare(name)]
        if other == name and all_texts[name] < RARE:
            other = _misspelt(name, frequent) or name
        if other != name:
            yield "similar_labels", f"{name!r} ({first[name].place}) and {other!r} ({first[other].place})"
        parts = [part.strip() for part in re.split(r"[,;|/+&]", name)]
        if len(parts) > 1 and all(part in first for part in parts):
            yield "joined_label", f"{first[name].place}: label {name!r}"
        for split in SPLITS[1:]:
            if not counts[split][name]:
                yield "untested_label", f"{name!r} in {split}"
        if not train[name]:
            where = first[name]
            text = f"no training text has the label {name!r}{nearest(name, train)}"
            yield "untrained_label", f"{where.place} ({where.split}): {text}"
        elif train[name] < RARE:
            yield "rare_label", f"{name!r}: {train[name]}"
        if 0 < UNEQUAL * train[name] < most:
            yield "imbalance", f"{name!r}: {train[name]}, against {most}"


def _split(example: Example) -> str:
    assert example.split is not None
    return example.split


def _named(labels: Sequence[str]) -> str:
    return ", ".join(map(repr, labels)) or "no label"


def _contradiction(example: Example, other: Example) -> str:
    return f"{example.place}: {_named(example.labels)}, but {_named(other.labels)} in {other.place}"


def _misspelt(name: str, frequent: Sequence[str]) -> str | None:
    """Return the frequent label within two typing errors of a rare one, if it is long enough."""
    if len(name) < LONG_ENOUGH:
        return None
    numbers = re.findall(r"\d+", name)  # another number is not a typing error
    alike = (label for label in frequent if OSA.distance(name, label, score_cutoff=2) <= 2)
    return next((label for label in alike if re.findall(r"\d+", label) == numbers), None)


def _bare(name: str) -> str:
    """Return a label without differences in spelling that are easily overlooked.

    These are case, space, hyphens, accents, enclosing quotes, invisible characters, and in whole numbers
    leading zeros and zero decimals.
    """
    plain = unicodedata.normalize("NFKD", UNSEEN.sub("", name)).casefold().strip("\"'«»„“”‚‘’")
    # The same number: programs add decimals in columns with gaps, and remove leading zeros.
    plain = re.sub(r"^([+-]?)0*(\d+)(?:[.,]0+)?$", r"\1\2", plain)
    # In numbers, a minus and separators are part of the value.
    plain = re.sub(r"(?<!\S)-(?=\d)", "\N{MINUS SIGN}", re.sub(r"(?<=\d)[ _-]+(?=\d)", "/", plain))
    return "".join(sign for sign in plain if sign not in " _-" and not "\u0300" <= sign <= "\u036f") or name
