"""Labelled texts in many languages out of the Debian archive's package lists, through apt alone.

A package's description is the text, translated by people into many languages. Its section is a
single label, its debtags are several. One door: :func:`fetch_lists` (network) or lists that are
there already, :func:`find_lists`, then :func:`build`, which gives the same bytes for the same lists.

Nothing here depends on the clock, on the order of files or on a random seed. What has to be chosen
is chosen by a hash of the source package's name, so a source package is in the same split in every
language and for both label types: translations of one text never face each other across splits.
"""

import hashlib
import json
import logging
import os
import re
import shutil
import subprocess
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from polysharp.core.errors import UserError, nearest
from polysharp.core.files import sha256, write_text

log = logging.getLogger("polysharp.example_data")

# Languages with at least a few hundred usable descriptions, and Debian's codes for them.
LANGUAGES: dict[str, str] = {
    "czech": "cs",
    "danish": "da",
    "english": "en",
    "french": "fr",
    "german": "de",
    "italian": "it",
    "japanese": "ja",
    "korean": "ko",
    "polish": "pl",
    "portuguese": "pt_BR",  # Brazilian; the European translation is much smaller
    "russian": "ru",
    "slovak": "sk",
    "spanish": "es",
    "ukrainian": "uk",
}

# Sections by single label. A section that stands nowhere here gives no text: `utils`, `misc`, `x11`
# and the desktops say too little about the topic, the language sections (`python`, `perl`, ...) and
# the libraries hold texts on every topic, `fonts` and `localization` are written to one pattern.
SECTIONS: dict[str, tuple[str, ...]] = {
    "admin": ("admin", "kernel", "shells"),
    "devel": ("devel", "interpreters", "vcs"),
    "games": ("games",),
    "graphics": ("graphics",),
    "media": ("sound", "video"),
    "net": ("comm", "httpd", "mail", "net", "news", "web"),
    "science": ("electronics", "math", "science"),
    "text": ("editors", "tex", "text"),
}

# Debtags by label of the multi-label task: the common ones that a reader could tell from a text.
TAGS: dict[str, str] = {
    "interface-commandline": "interface::commandline",
    "interface-daemon": "interface::daemon",
    "interface-graphical": "interface::graphical",
    "use-converting": "use::converting",
    "use-editing": "use::editing",
    "use-gameplaying": "use::gameplaying",
    "works-with-audio": "works-with::audio",
    "works-with-image": "works-with::image",
    "works-with-text": "works-with::text",
}

LABEL_TYPES: dict[str, tuple[str, ...]] = {"single": tuple(sorted(SECTIONS)), "multi": tuple(sorted(TAGS))}

# Of nine source packages four go to training, two to validation, three to the test. The shares are
# fixed, whatever sizes are asked for, so that no size moves a package into another split.
SHARES: dict[str, int] = {"train": 4, "val": 2, "test": 3}

MAX_CHARACTERS = 250  # 2,700 embedded texts must stay under 700 KB
MIN_CHARACTERS = 60
SAME_OPENING = 100  # characters: two texts that share so long an opening are one boilerplate
SHINGLE = 5  # characters
NEAR_DUPLICATE = 0.5  # share of the smaller text's shingles that also stand in the other text
MAX_FAMILY = 3  # texts of one data set whose source packages share the first part of their name
COPIED = 60  # characters: a paragraph at least so long that equals the English one was not translated

_RECORDS = "lists.sha256"
_SATELLITE = re.compile(
    r"^(lib(?!re)|fonts-|task-|education-)|-(dev|docs?|dbg|dbgsym|data|common|examples|l10n)\b"
)
_EMPTY_ROLE = re.compile(r"\b(transitional|dummy|meta-?package)\b", re.IGNORECASE)
_PATTERNED_SECTIONS = frozenset(
    {"debug", "doc", "fonts", "introspection", "libdevel", "libs", "localization", "metapackages"}
    | {"oldlibs", "tasks"}
)
_BULLET = re.compile(r"^\s*([*+•·-]\s+|\*(?=\w))")
_CJK = r"[\u3000-\u30ff\u3400-\u9fff\uff00-\uffef]"
# Three letters or a bracket before the mark, or "e.g." would end a sentence.
_SENTENCE_END = re.compile(r"(?:\w{3}|[)\]\"'»”])[.!?]['\")»”]?(?=\s)|。")
_FIELD = re.compile(r"([A-Za-z][\w-]*):[ \t]*(.*)")

Description = tuple[str, str]  # the short line, and the long text as its lines stand in the list


@dataclass(frozen=True)
class Lists:
    """The package list and the translation lists of one release, as decompressed files."""

    release: str
    packages: Path
    translations: Mapping[str, Path]  # by language code

    def digests(self) -> str:
        """Return one line per list, SHA-256 and the list's path in the archive, as sha256sum prints them.

        Debian's signed Release file states the same sums for the same paths.
        """
        lines = [(f"{self.release}/main/binary-amd64/Packages", self.packages)]
        lines += [
            (f"{self.release}/main/i18n/Translation-{c}", self.translations[c]) for c in self.translations
        ]
        return "".join(f"{sha256(path)}  {name}\n" for name, path in sorted(lines))


@dataclass(frozen=True)
class Package:
    """The binary package that speaks for its source package."""

    source: str
    name: str
    section: str
    tags: frozenset[str]
    md5: str  # Description-md5, under which the translations are found


@dataclass(frozen=True)
class Example:
    """One labelled text; `labels` are in sorted order and hold exactly one for single-label tasks."""

    source: str
    text: str
    labels: tuple[str, ...]


# --- Lists: through apt, or from a folder ---------------------------------------------------------


def language_code(language: str) -> str:
    """Return Debian's code for a language's name; :class:`UserError` for one that is not known."""
    try:
        return LANGUAGES[language]
    except KeyError:
        hint = nearest(language, LANGUAGES)
        raise UserError(
            f"--languages: {language!r} is not known{hint} (known: {', '.join(LANGUAGES)})"
        ) from None


def fetch_lists(folder: Path, languages: Iterable[str]) -> Path:
    """Let apt download the lists into `folder` and return the folder that then holds them.

    The machine's own sources and proxy are used. State, lists and cache lie in `folder` alone, the
    system's hooks are switched off, and no root is needed. :class:`UserError` when apt is missing or fails.
    """
    apt = shutil.which("apt-get")
    if apt is None:
        raise UserError("apt-get was not found: build on Debian, or give lists that are there with --lists")
    folder = folder.resolve()
    for part in ("lists/partial", "cache/archives/partial"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    write_text(folder / "apt.conf", _apt_configuration(folder, languages))
    command = [apt, "-q", "-c", str(folder / "apt.conf"), "update"]
    log.info("apt-get update into %s", folder)
    result = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
    complaints = [line for line in result.stderr.splitlines() if line.startswith(("E:", "W:"))]
    for line in complaints:
        log.warning("apt: %s", line)
    if result.returncode:
        reason = complaints[0] if complaints else f"exit code {result.returncode}"
        raise UserError(f"apt-get update failed, is there a network? {reason}")
    return folder / "lists"


def _apt_configuration(folder: Path, languages: Iterable[str]) -> str:
    """Return settings that apt reads after the system's own: `#clear` is needed to empty a list."""
    codes = sorted({"en", *map(language_code, languages)})
    return "\n".join(
        [
            f'Dir::State "{folder}/";',
            f'Dir::State::lists "{folder}/lists/";',
            'Dir::State::status "/dev/null";',
            f'Dir::Cache "{folder}/cache/";',
            'Dir::Cache::pkgcache "";',
            'Dir::Cache::srcpkgcache "";',
            "#clear APT::Update::Pre-Invoke;",
            "#clear APT::Update::Post-Invoke;",
            "#clear APT::Update::Post-Invoke-Success;",
            "#clear APT::Architectures;",
            'APT::Architecture "amd64";',  # the same list on every machine
            'APT::Architectures { "amd64"; };',
            "#clear Acquire::Languages;",
            "Acquire::Languages { " + " ".join(f'"{code}";' for code in codes) + " };",
            'Acquire::GzipIndexes "false";',
            'Acquire::Retries "1";',
            'Acquire::http::Timeout "30";',
            "",
        ]
    )


def find_lists(folder: Path, languages: Iterable[str], release: str | None = None) -> Lists:
    """Return Debian's lists of section main for these languages among apt's files in `folder`.

    Other archives, and the updates and security suites (which change by the day and have no
    translations), are passed over. :class:`UserError` when lists are missing, or when several
    releases are there and `release` (a codename) chooses none of them.
    """
    prefixes = {codename: prefix for prefix, codename in _releases(folder)}
    if release is None and len(prefixes) == 1:
        release = next(iter(prefixes))
    if release is None or release not in prefixes:
        if not prefixes:
            raise UserError(
                f"{folder}: no lists of a Debian release (no network, or no Debian in apt's sources?)"
            )
        raise UserError(f"{folder}: choose a release with --release: {', '.join(sorted(prefixes))}")
    prefix = prefixes[release]
    packages = folder / f"{prefix}_main_binary-amd64_Packages"
    translations = {
        code: folder / f"{prefix}_main_i18n_Translation-{code.replace('_', '%5f')}"
        for code in sorted({"en", *map(language_code, languages)})
    }
    missing = [path.name for path in (packages, *translations.values()) if not path.is_file()]
    if missing:
        raise UserError(*(f"{folder}: list {name} is missing (apt could not fetch it?)" for name in missing))
    return Lists(release, packages, translations)


def _releases(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield file-name prefix and codename of each Debian release in `folder`."""
    for path in sorted([*folder.glob("*_InRelease"), *folder.glob("*_Release")]):
        with path.open(encoding="utf-8", errors="replace") as stream:
            head = {match[1]: match[2] for line in stream if (match := _FIELD.match(line))}
        codename = head.get("Codename", "-")
        if head.get("Origin") == head.get("Label") == "Debian" and "-" not in codename:
            yield path.name.rsplit("_", 1)[0], codename


# --- Reading --------------------------------------------------------------------------------------


def read_stanzas(path: Path) -> Iterator[dict[str, str]]:
    """Yield the stanzas of a list as fields by name; continuation lines follow the first after a newline."""
    fields: dict[str, str] = {}
    name = ""
    with path.open(encoding="utf-8", newline="\n") as stream:
        for line in stream:
            line = line.rstrip("\n")
            if not line:
                if fields:
                    yield fields
                fields, name = {}, ""
            elif line[0] in " \t":
                fields[name] = f"{fields.get(name, '')}\n{line}"
            elif match := _FIELD.match(line):
                name = match[1]
                fields[name] = match[2]
    if fields:
        yield fields


def read_descriptions(path: Path, code: str, wanted: frozenset[str]) -> dict[str, Description]:
    """Return the descriptions of the translation list of language `code` by Description-md5, for `wanted`."""
    descriptions: dict[str, Description] = {}
    for stanza in read_stanzas(path):
        md5, text = stanza.get("Description-md5", ""), stanza.get(f"Description-{code}")
        if text is not None and md5 in wanted:
            short, _, long = text.partition("\n")
            descriptions[md5] = (short, long)
    return descriptions


def choose_packages(stanzas: Iterable[Mapping[str, str]]) -> list[Package]:
    """Return one package per source package, in the order of the sources' hashes.

    Libraries, documentation, data, transitional and other packages whose texts follow a pattern
    are passed over. The package named like its source is taken, else the one with the shortest name.
    """
    best: dict[str, Package] = {}
    for stanza in stanzas:
        package = _package(stanza)
        if package is None:
            continue
        other = best.get(package.source)
        if other is None or _preference(package) < _preference(other):
            best[package.source] = package
    return sorted(best.values(), key=lambda package: source_hash(package.source))


def _preference(package: Package) -> tuple[bool, int, str, str]:
    return package.name != package.source, len(package.name), package.name, package.md5


def _package(stanza: Mapping[str, str]) -> Package | None:
    name, section = stanza.get("Package", ""), stanza.get("Section", "")
    tags = frozenset(re.split(r",\s*", stanza["Tag"])) if stanza.get("Tag") else frozenset()
    if (
        not name
        or "Description-md5" not in stanza
        or section in _PATTERNED_SECTIONS
        or _SATELLITE.search(name)
        or _EMPTY_ROLE.search(stanza.get("Description", ""))
        or tags & {"role::dummy", "role::metapackage"}
    ):
        return None
    source = stanza.get("Source", name).split()[0]
    return Package(source, name, section, tags, stanza["Description-md5"])


# --- Splits and labels ----------------------------------------------------------------------------


def source_hash(source: str) -> str:
    """Return the hash of a source package's name that decides its split and its turn."""
    return hashlib.sha256(f"polysharp packages/{source}".encode()).hexdigest()


def split_of(source: str) -> str:
    """Return the split of a source package: ``train``, ``val`` or ``test``, in every language alike."""
    part = int(source_hash(source), 16) % sum(SHARES.values())
    for split, share in SHARES.items():
        part -= share
        if part < 0:
            return split
    raise AssertionError("unreachable: the parts cover the shares")


def labels_of(package: Package, label_type: str) -> tuple[str, ...]:
    """Return the package's labels in sorted order, none when the task does not cover it."""
    if label_type == "single":
        return tuple(label for label in sorted(SECTIONS) if package.section in SECTIONS[label])
    return tuple(label for label in sorted(TAGS) if TAGS[label] in package.tags)


# --- Texts ----------------------------------------------------------------------------------------


def clean_text(description: Description) -> str:
    """Return short line and long text as one readable line; list items are kept, each after ``- ``."""
    short, long = description
    lines = [short.strip()]
    if lines[0] and lines[0][-1] not in ".!?:。":
        lines[0] += "."
    for line in long.splitlines():
        if line.strip() != ".":  # a paragraph break
            lines.append(_BULLET.sub("- ", line))
    text = unicodedata.normalize("NFC", " ".join(" ".join(lines).split()))
    # Japanese has no spaces between words: those left by the line breaks go.
    return re.sub(rf"(?<={_CJK}) (?={_CJK})", "", text)


def shorten(text: str, limit: int = MAX_CHARACTERS) -> str:
    """Return at most `limit` characters: whole sentences if they fill 60 % of it, else words and ``…``."""
    if len(text) <= limit:
        return text
    ends = [match.end() for match in _SENTENCE_END.finditer(text, 0, limit + 1) if match.end() <= limit]
    if ends and ends[-1] >= 0.6 * limit:
        return text[: ends[-1]]
    cut = text[:limit]
    return cut.rpartition(" ")[0].rstrip(" ,;:-") + " …" if " " in cut[limit // 2 : -2] else cut[:-1] + "…"


def is_translated(description: Description, english: Description) -> bool:
    """Return whether the long text is another than the English one, in every longer paragraph."""
    originals = {paragraph for paragraph in _paragraphs(english[1]) if len(paragraph) >= COPIED}
    return description[1] != english[1] and originals.isdisjoint(_paragraphs(description[1]))


def _paragraphs(long: str) -> list[str]:
    return [" ".join(part.split()) for part in re.split(r"(?m)^\s*\.\s*$", long)]


# --- Data sets ------------------------------------------------------------------------------------


def examples(
    packages: Iterable[Package],
    descriptions: Mapping[str, Description],
    english: Mapping[str, Description],
    label_type: str,
) -> Iterator[Example]:
    """Yield the labelled texts of a language in the order of `packages`.

    Texts that are not (wholly) translated or nearly empty are passed over; for English itself
    `english` is empty.
    """
    for package in packages:
        labels = labels_of(package, label_type)
        description = descriptions.get(package.md5)
        if not labels or description is None:
            continue
        if package.md5 in english and not is_translated(description, english[package.md5]):
            continue
        text = shorten(clean_text(description))
        if len(text) >= MIN_CHARACTERS:
            yield Example(package.source, text, labels)


class _Novelty:
    """Remembers the texts taken into a data set and knows which further ones add nothing."""

    def __init__(self) -> None:
        self.openings: set[str] = set()
        self.shingles: list[frozenset[str]] = []
        self.families: Counter[str] = Counter()

    def take(self, example: Example) -> bool:
        """Return whether the example is new, and if so remember it."""
        letters = "".join(c for c in example.text.casefold() if c.isalpha())
        shingles = frozenset(letters[i : i + SHINGLE] for i in range(max(1, len(letters) - SHINGLE + 1)))
        family = _family(example.source)
        if (
            self.families[family] >= MAX_FAMILY
            or letters[:SAME_OPENING] in self.openings
            or any(_overlap(shingles, other) >= NEAR_DUPLICATE for other in self.shingles)
        ):
            return False
        self.families[family] += 1
        self.openings.add(letters[:SAME_OPENING])
        self.shingles.append(shingles)
        return True


def _family(source: str) -> str:
    return re.split(r"[-.+0-9]", source, maxsplit=1)[0] or source


def _overlap(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / min(len(one), len(other))


def sample(
    candidates: Iterable[Example], sizes: Mapping[str, int], labels: Sequence[str]
) -> dict[str, list[Example]]:
    """Return for each split up to `sizes` examples, as balanced over `labels` as the candidates allow.

    Within a split the next example is always the first one (in the order of the hash) that has the
    label with the fewest examples so far. No text, near duplicate or fourth member of a family of
    packages is taken, in any split.
    """
    pools: dict[str, list[Example]] = {split: [] for split in sizes}
    for example in candidates:
        pools[split_of(example.source)].append(example)
    novelty = _Novelty()
    return {split: _balanced(pools[split], sizes[split], labels, novelty) for split in sizes}


def _balanced(pool: list[Example], size: int, labels: Sequence[str], novelty: _Novelty) -> list[Example]:
    queues = {label: iter([e for e in pool if label in e.labels]) for label in labels}
    counts: Counter[str] = Counter()
    seen: set[str] = set()
    chosen: list[Example] = []
    while queues and len(chosen) < size:
        label = min(queues, key=lambda name: (counts[name], name))
        example = next((e for e in queues[label] if e.source not in seen), None)
        if example is None:
            del queues[label]
            continue
        seen.add(example.source)
        if novelty.take(example):
            chosen.append(example)
            counts.update(example.labels)
    return sorted(chosen, key=lambda e: source_hash(e.source))


def shortfalls(
    splits: Mapping[str, Sequence[Example]], sizes: Mapping[str, int], labels: Sequence[str]
) -> list[str]:
    """Return a line for each split with too few texts, or with a label in fewer than one of twenty."""
    lines = []
    for split, size in sizes.items():
        if len(splits[split]) < size:
            lines.append(f"{split}: {len(splits[split])} of {size} texts found")
            continue
        counts = label_counts(splits[split])
        rare = [f"{label} {counts[label]}" for label in labels if counts[label] < max(1, size // 20)]
        if rare:
            lines.append(f"{split}: labels with fewer than {max(1, size // 20)} texts: {', '.join(rare)}")
    return lines


def label_counts(chosen: Iterable[Example]) -> Counter[str]:
    """Return how many examples have each label."""
    return Counter(label for example in chosen for label in example.labels)


def tutorial_json(chosen: Sequence[Example], label_type: str) -> str:
    """Return the examples in the tutorial's format, one text and one label set per line."""
    texts = _json_list([example.text for example in chosen])
    labels = _json_list([list(e.labels) if label_type == "multi" else e.labels[0] for e in chosen])
    return f'{{"Text": {texts},\n"Labels": {labels}}}\n'


def _json_list(values: Iterable[object]) -> str:
    return "[\n" + ",\n".join(json.dumps(value, ensure_ascii=False) for value in values) + "\n]"


def build(
    lists: Lists, output: Path, languages: Sequence[str], label_types: Sequence[str], sizes: Mapping[str, int]
) -> None:
    """Write ``<language>/<label type>/{train,val,test}.json`` and the lists' hashes under `output`.

    Nothing is written unless every data set is complete: :class:`UserError` says what each lacks.
    """
    packages = choose_packages(read_stanzas(lists.packages))
    wanted = frozenset(package.md5 for package in packages)
    english = read_descriptions(lists.translations["en"], "en", wanted)
    files: dict[Path, str] = {}
    problems: list[str] = []
    for language in languages:
        code = language_code(language)
        own = english if code == "en" else read_descriptions(lists.translations[code], code, wanted)
        for label_type in label_types:
            labels = LABEL_TYPES[label_type]
            found = list(examples(packages, own, {} if code == "en" else english, label_type))
            splits = sample(found, sizes, labels)
            lacking = shortfalls(splits, sizes, labels)
            problems += [f"{language} {label_type}, {line}; give smaller --sizes" for line in lacking]
            log.info("%s %s: %d candidates", language, label_type, len(found))
            for split, chosen in splits.items():
                log.info("  %s %d: %s", split, len(chosen), _listing(label_counts(chosen), labels))
                files[output / language / label_type / f"{split}.json"] = tutorial_json(chosen, label_type)
    if problems:
        raise UserError(*problems)
    for path, content in files.items():
        write_text(path, content)
    _record(output / _RECORDS, lists.digests())


def _listing(counts: Counter[str], labels: Sequence[str]) -> str:
    return ", ".join(f"{label} {counts[label]}" for label in labels)


def _record(path: Path, digests: str) -> None:
    if path.exists() and path.read_text(encoding="utf-8") != digests:
        log.warning("the lists are not those recorded in %s: the texts may have changed", path)
    write_text(path, digests)
