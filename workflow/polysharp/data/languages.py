"""Which language a text is in, as lingua recognises it, against the one that is stated."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Sequence

from lingua import Language, LanguageDetectorBuilder

SAMPLE = 200  # texts that are looked at
SHORTEST = 30  # characters: what is shorter may be in any language
SURE, RULED_OUT = 0.9, 0.01  # probabilities of the other language and of the one that is stated
SHARE = 0.1  # of the sample in one other language: fewer are names, quotations, and lingua's own mistakes
# Codes of single languages that lingua has under the code of their group.
GROUPS = {
    "arb": "ara", "swh": "swa", "cmn": "zho", "pes": "fas", "zsm": "msa", "lvs": "lav", "ekk": "est",
    "als": "sqi", "khk": "mon",
}  # fmt: skip

LANGUAGES = sorted(language.name.lower() for language in Language.all())


def known_language(name: str) -> Language | None:
    """Return the language that a slug names, in English or by its ISO code, or None.

    What stands behind a hyphen or an underscore is passed by: ``english-uk``, ``deu_latn``.
    """
    for part in (name, name.replace("_", "-").split("-")[0]):
        code = GROUPS.get(part, part)
        for language in Language.all():
            names = (language.name, language.iso_code_639_1.name, language.iso_code_639_3.name)
            if code.upper() in names:
                return language
    return None


def in_another_language(texts: Sequence[str], stated: Language) -> list[tuple[int, str]]:
    """Return the numbers of texts that are surely in another language than `stated`, and in which one.

    Of texts of at least 30 characters a sample of 200 is looked at, the same every time. Only a language
    that a tenth of the sample is in counts.
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
