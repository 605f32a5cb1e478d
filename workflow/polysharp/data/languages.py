"""The language of texts, as lingua detects it, compared with the expected one."""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from functools import cache

from lingua import Language, LanguageDetectorBuilder

from polysharp.config.slugs import slug
from polysharp.config.sources import slip

SAMPLE = 200  # texts that are checked
SHORTEST = 30  # characters: the language of shorter texts is unclear
SURE, RULED_OUT = 0.9, 0.01  # probabilities of the other language and of the expected one
SHARE = 0.1  # of the sample in one other language: fewer may be names, quotations or mistakes of lingua
# Codes of languages for which lingua uses the code of their group.
GROUPS = {
    "arb": "ara", "swh": "swa", "cmn": "zho", "pes": "fas", "zsm": "msa", "lvs": "lav", "ekk": "est",
    "als": "sqi", "khk": "mon",
}  # fmt: skip

LANGUAGES = sorted(language.name.lower() for language in Language.all())


def known_language(name: str) -> Language | None:
    """Return the language of a slug (an English name or ISO code); None if lingua does not know it.

    What follows a hyphen or an underscore is ignored: ``english-uk``, ``deu_latn``.
    """
    for part in _parts(name):
        code = GROUPS.get(part, part)
        for language in Language.all():
            names = (language.name, language.iso_code_639_1.name, language.iso_code_639_3.name)
            if code.upper() in names:
                return language
    return None


def is_language(name: str) -> bool:
    """Return whether a slug names any language of ISO 639-3, as :func:`known_language` reads it."""
    return any(part in _all_languages() for part in _parts(name))


def is_meant(word: str, wanted: str) -> bool:
    """Return whether a word means the language `wanted`, by another name or misspelt.

    Other names are ``de``, ``deu`` and ``German``. Languages with different regions or scripts are
    different (``pt``, ``pt-BR``; ``zho_Hans``, ``zho_Hant``).
    """
    one, other = word.casefold(), wanted.casefold()
    if "".join(filter(str.isalnum, one)) == "".join(filter(str.isalnum, other)):
        return True
    if one.isalpha() and other.isalpha() and (language := known_language(one)):
        return language == known_language(other)
    return bool(slip(word, [wanted])) and not is_language(one)


def frequent_languages() -> list[str]:
    """Return the slugs of lingua's languages and of those with a code of two letters, sorted."""
    import iso639

    short = (slug(_bare(language.name)) for language in iso639.ALL_LANGUAGES if language.part1)
    return sorted({*LANGUAGES, *short})


@cache
def _all_languages() -> frozenset[str]:
    """Return the codes of all languages, and the slugs of their names in English."""
    import iso639  # takes half a second, and is rarely needed

    found = set()
    for language in iso639.ALL_LANGUAGES:
        found |= {code for code in (language.part1, language.part2b, language.part3) if code}
        names = [language.name, *(other.print for other in language.other_names or ())]
        found |= {slug(name) for name in map(_bare, names) if any(map(str.isalnum, name))}
    return frozenset(found)


def _bare(name: str) -> str:
    """Return a name without ISO's additions, as in ``Nepali (individual language)``."""
    return re.sub(r"\s*\(.*?\)", "", name)


def _parts(name: str) -> Iterator[str]:
    yield name
    yield name.replace("_", "-").split("-")[0]


def in_another_language(texts: Sequence[str], stated: Language) -> list[tuple[int, str]]:
    """Return the numbers of texts that are clearly not in the language `stated`, and their languages.

    Checks a sample of 200 texts of at least 30 characters, the same every time. Only languages with at
    least a tenth of the sample are reported.
    """
    long = [number for number, text in enumerate(texts) if len(text) >= SHORTEST]
    sample = sorted(random.Random(0).sample(long, min(SAMPLE, len(long))))
    detector = LanguageDetectorBuilder.from_all_languages().with_low_accuracy_mode().build()
    found: dict[Language, list[int]] = defaultdict(list)
    told = detector.compute_language_confidence_values_in_parallel([texts[number] for number in sample])
    for number, values in zip(sample, told, strict=True):
        likely, probability = values[0].language, values[0].value
        if likely != stated and probability > SURE:
            of_stated = next((entry.value for entry in values if entry.language == stated), 0.0)
            if of_stated < RULED_OUT:
                found[likely].append(number)
    counts = Counter({language: len(numbers) for language, numbers in found.items()})
    others = [language for language, count in counts.items() if count >= SHARE * len(sample)]
    return sorted((number, language.name.capitalize()) for language in others for number in found[language])
