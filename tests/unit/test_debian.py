"""The embedded example data and the command that builds it."""

import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polysharp.core.errors import UserError
from tests import warm
from tests.conftest import ROOT, write_command
from tools.example_data import debian
from tools.example_data.debian import Example, Lists, Package

EMBEDDED = ROOT / "workflow" / "resources" / "packages"
SIZES = {"train": 200, "val": 100, "test": 150}
PREFIX = "mirror_debian_dists_oldie"

names = st.text(st.characters(codec="ascii", categories=("Ll", "Nd"), include_characters="+-."), min_size=1)


# --- A small archive, written by hand -------------------------------------------------------------


def md5(name: str) -> str:
    return hashlib.md5(name.encode()).hexdigest()


def stanza(name: str, section: str = "games", tags: str = "", **more: str) -> dict[str, str]:
    fields = {"Package": name, "Section": section, "Description": f"{name} in short", **more}
    fields["Description-md5"] = md5(name)
    return {**fields, "Tag": tags} if tags else fields


def write_list(path: Path, stanzas: Iterable[dict[str, str]]) -> None:
    text = "\n".join("".join(f"{k}: {v}\n" for k, v in fields.items()) for fields in stanzas)
    path.write_text(text, encoding="utf-8")


def sentence(language: str, name: str) -> str:
    """Return a long text that shares next to nothing with the one of another name or language."""
    letters = (
        hashlib.sha512(f"{language} {name}".encode())
        .hexdigest()
        .translate(str.maketrans("0123456789", "ghijklmnop"))
    )
    return "\n " + " ".join(letters[i : i + 7] for i in range(0, 100, 7))


SECTIONS = ["admin", "devel", "games", "graphics", "sound", "net", "science", "text"]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Return a folder of apt lists with 240 source packages, in English and German."""
    folder = tmp_path / "lists"
    folder.mkdir()
    tags = sorted(debian.TAGS.values())
    packages = []
    for number in range(240):
        name = "".join(chr(ord("a") + (number // 26**i) % 26) for i in range(3)) + "tool"
        chosen = f"{tags[number % 9]}, {tags[number * 5 % 9]},\n role::program"
        packages.append(stanza(name, SECTIONS[number % 8], chosen))
    write_archive(folder, packages, ("en", "de"))
    return folder


def write_archive(folder: Path, packages: list[dict[str, str]], codes: Iterable[str]) -> None:
    release = "Origin: Debian\nLabel: Debian\nCodename: oldie\n"
    (folder / f"{PREFIX}_InRelease").write_text(release)
    write_list(folder / f"{PREFIX}_main_binary-amd64_Packages", packages)
    for code in codes:
        translated = [
            {
                "Package": p["Package"],
                "Description-md5": p["Description-md5"],
                f"Description-{code}": f"{p['Package']} {code}{sentence(code, p['Package'])}",
            }
            for p in packages
        ]
        write_list(folder / f"{PREFIX}_main_i18n_Translation-{code.replace('_', '%5f')}", translated)


def build_small(archive: Path, output: Path, **sizes: int) -> None:
    lists = debian.find_lists(archive, ["german"])
    small = {"train": 40, "val": 20, "test": 30} | sizes
    debian.build(lists, output, ["english", "german"], ["single", "multi"], small)


def read(folder: Path, language: str, label_type: str, split: str) -> dict[str, list]:
    return json.loads((folder / language / label_type / f"{split}.json").read_text(encoding="utf-8"))


# --- Finding the lists ----------------------------------------------------------------------------


def test_updates_and_other_archives_are_passed_over(archive: Path) -> None:
    (archive / "m_dists_oldie-security_InRelease").write_text(
        "Origin: Debian\nLabel: Debian-Security\nCodename: oldie-security\n"
    )
    (archive / "m_dists_oldie-updates_InRelease").write_text(
        "Origin: Debian\nLabel: Debian\nCodename: oldie-updates\n"
    )
    (archive / "m_dists_nodistro_Release").write_text(
        "Origin: . nodistro\nLabel: Debian\nCodename: nodistro\n"
    )
    assert debian.find_lists(archive, ["german"]).release == "oldie"


def test_several_releases_need_a_choice(archive: Path) -> None:
    (archive / "m_dists_newie_InRelease").write_text("Origin: Debian\nLabel: Debian\nCodename: newie\n")
    with pytest.raises(UserError, match="--release: newie, oldie"):
        debian.find_lists(archive, ["german"])
    assert debian.find_lists(archive, ["german"], "oldie").release == "oldie"


def test_missing_lists_are_named(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Translation-pt%5fBR is missing"):
        debian.find_lists(archive, ["portuguese"])
    with pytest.raises(UserError, match="no lists of a Debian release"):
        debian.find_lists(tmp_path / "nowhere", ["german"])


def test_unknown_language_is_answered_with_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'german'"):
        debian.language_code("germann")


def test_missing_apt_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(UserError, match="apt-get was not found"):
        debian.fetch_lists(tmp_path, ["german"])


def fake_apt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, body: str) -> None:
    write_command(tmp_path, "apt-get", body)
    monkeypatch.setattr(shutil, "which", lambda name: str(tmp_path / name))


def test_failure_of_apt_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_apt(monkeypatch, tmp_path, "echo 'E: something is amiss' >&2; exit 100")
    with pytest.raises(UserError, match="E: something is amiss") as caught:
        debian.fetch_lists(tmp_path / "apt", ["german"])
    assert len(caught.value.lines) == 1


def test_apt_is_kept_to_its_private_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_apt(monkeypatch, tmp_path, f'echo "$@" > {tmp_path}/arguments')
    lists = debian.fetch_lists(tmp_path / "apt", ["german", "portuguese"])
    assert lists == tmp_path / "apt" / "lists"
    configuration = tmp_path / "apt" / "apt.conf"
    assert (tmp_path / "arguments").read_text() == f"-q -c {configuration} update\n"
    settings = configuration.read_text()
    for place in ("State", "State::lists", "Cache"):
        assert f'Dir::{place} "{tmp_path}/apt/' in settings
    assert 'Acquire::Languages { "de"; "en"; "pt_BR"; };' in settings
    assert "#clear APT::Update::Post-Invoke-Success;" in settings  # no hook touches the system


# --- Reading --------------------------------------------------------------------------------------


def test_stanzas_with_continuation_lines(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_text(
        "Package: a\nTag: x::y,\n x::z\nURL: http://h:1/\n\n\nPackage: b\nEmpty:\n", encoding="utf-8"
    )
    assert list(debian.read_stanzas(path)) == [
        {"Package": "a", "Tag": "x::y,\n x::z", "URL": "http://h:1/"},
        {"Package": "b", "Empty": ""},
    ]


def test_descriptions_are_joined_by_md5(tmp_path: Path) -> None:
    path = tmp_path / "list"
    write_list(
        path,
        [
            {"Package": "a", "Description-md5": "1", "Description-pt_BR": "curto\n longo\n .\n fim"},
            {"Package": "b", "Description-md5": "2", "Description-pt_BR": "outro\n texto"},
            {"Package": "c", "Description-md5": "3", "Description-de": "anderes"},
        ],
    )
    assert debian.read_descriptions(path, "pt_BR", frozenset("13")) == {"1": ("curto", " longo\n .\n fim")}


def test_one_package_per_source() -> None:
    chosen = debian.choose_packages(
        [
            stanza("chess-gui", Source="chess (1.2)"),
            stanza("chess", Source="chess"),
            stanza("chess-data"),
            stanza("aaa-tools", "admin", Source="zed"),
            stanza("zz", "admin", Source="zed"),
        ]
    )
    assert {(package.source, package.name) for package in chosen} == {("chess", "chess"), ("zed", "zz")}
    assert [package.source for package in chosen] == sorted(["chess", "zed"], key=debian.source_hash)


@pytest.mark.parametrize(
    "other",
    [
        stanza("libfoo1", "libs"),
        stanza("libfoo-tools"),
        stanza("foo-dev", "devel"),
        stanza("foo-doc"),
        stanza("foo-data"),
        stanza("fonts-foo"),
        stanza("foo", "metapackages"),
        stanza("foo", tags="role::dummy"),
        stanza("foo") | {"Description": "transitional package"},
        stanza("foo") | {"Description": "everything (metapackage)"},
    ],
)
def test_packages_without_a_text_of_their_own(other: dict[str, str]) -> None:
    assert debian.choose_packages([other]) == []


def test_names_that_only_look_like_libraries_stay() -> None:
    assert len(debian.choose_packages([stanza("librecad"), stanza("devede")])) == 2


# --- Labels and splits ----------------------------------------------------------------------------


def package(section: str = "misc", *tags: str) -> Package:
    return Package("s", "n", section, frozenset(tags), "1")


def test_labels() -> None:
    assert debian.labels_of(package("sound"), "single") == ("media",)
    assert debian.labels_of(package("utils"), "single") == ()
    tags = ("works-with::text", "use::editing", "role::program")
    assert debian.labels_of(package("utils", *tags), "multi") == ("use-editing", "works-with-text")
    assert debian.labels_of(package("sound", "role::program"), "multi") == ()


def test_no_section_has_two_labels() -> None:
    sections = [section for group in debian.SECTIONS.values() for section in group]
    assert len(sections) == len(set(sections))


def test_split_assignment_is_fixed() -> None:
    """These are part of the data: a change here moves texts from the test into training."""
    expected = {
        "gimp": "train",
        "vim": "test",
        "bash": "test",
        "apt": "test",
        "audacity": "train",
        "git": "val",
    }
    assert {name: debian.split_of(name) for name in expected} == expected


@given(names)
def test_split_depends_on_the_name_alone(name: str) -> None:
    split = debian.split_of(name)
    assert split in debian.SHARES
    assert debian.split_of(name) == split


@given(
    st.sets(names, max_size=40),
    st.tuples(*[st.integers(0, 15)] * 3),
    st.sampled_from(["train", "val", "test"]),
)
def test_samples_are_disjoint_and_keep_to_their_split(
    sources: set[str], numbers: tuple[int, int, int], split: str
) -> None:
    candidates = [
        Example(s, sentence("en", s), ("a",) if len(s) % 2 else ("a", "b")) for s in sorted(sources)
    ]
    sizes = dict(zip(SIZES, numbers, strict=True))
    splits = debian.sample(candidates, sizes, ["a", "b"])
    chosen = [example.source for examples in splits.values() for example in examples]
    assert len(chosen) == len(set(chosen))
    assert all(debian.split_of(example.source) == split for example in splits[split])
    assert all(len(splits[name]) <= sizes[name] for name in splits)


# --- Texts ----------------------------------------------------------------------------------------


def test_clean_text() -> None:
    description = (
        "chess program",
        " Plays chess\n well.\n .\n Features:\n  * openings\n  - endings\n  *  levels",
    )
    expected = "chess program. Plays chess well. Features: - openings - endings - levels"
    assert debian.clean_text(description) == expected
    assert debian.clean_text(("何か", " 日本語の\n 文章 です")) == "何か. 日本語の文章です"


def test_shorten_at_sentences_or_words() -> None:
    assert debian.shorten("Short text.", 20) == "Short text."
    assert debian.shorten("First sentence here. Second one.", 25) == "First sentence here."
    assert debian.shorten("One two three four five six seven", 22) == "One two three four …"
    assert debian.shorten("It plays games, e.g. chess and many more", 24) == "It plays games, e.g. …"
    assert debian.shorten("あ" * 30, 20) == "あ" * 19 + "…"


@given(st.text(min_size=1), st.integers(5, 60))
def test_shortened_texts_keep_the_limit(text: str, limit: int) -> None:
    short = debian.shorten(text, limit)
    assert len(short) <= limit + 1  # a blank may stand before the ellipsis
    assert short == text or text.startswith(short.rstrip("… "))


def test_untranslated_texts_are_found() -> None:
    long = " A paragraph that is long enough to be seen as copied when it occurs twice.\n .\n Short."
    english = ("short", long)
    assert not debian.is_translated(("kurz", long), english)
    assert not debian.is_translated(("kurz", " Ein deutscher Absatz.\n .\n" + long), english)
    assert debian.is_translated(("kurz", " Ein deutscher Absatz.\n .\n Short."), english)


def test_untranslated_and_empty_texts_give_no_example() -> None:
    one = Package("s", "s", "games", frozenset(), "1")
    english = {"1": ("short", sentence("en", "s"))}
    assert list(debian.examples([one], english, {}, "single"))
    assert not list(debian.examples([one], english, english, "single"))
    assert not list(debian.examples([one], {"1": ("short", " text")}, {}, "single"))
    assert not list(debian.examples([one], {}, {}, "single"))


def test_near_duplicates_and_large_families_are_dropped() -> None:
    same = sentence("en", "x")
    copies = [Example(f"x{c}y", same + " " + c * 3, ("a",)) for c in "abcdefghijklmnopqrstuvwxyz"]
    assert sum(map(len, debian.sample(copies, SIZES, ["a"]).values())) == 1
    family = [Example(f"gnome-{c}", sentence("en", c), ("a",)) for c in "abcdefghijklmnopqrstuvwxyz"]
    assert sum(map(len, debian.sample(family, SIZES, ["a"]).values())) == debian.MAX_FAMILY


def test_samples_are_balanced() -> None:
    labels = ["a", "b", "c"]
    letters = "abcdefghijklmnopqrst"
    sources = [f"{one}{other}x" for one in letters for other in letters]
    many = [Example(s, sentence("en", s), (labels[(i % 9) // 4],)) for i, s in enumerate(sources)]
    splits = debian.sample(many, {"train": 9, "val": 3, "test": 6}, labels)
    counts = debian.label_counts(splits["train"])
    assert max(counts.values()) - min(counts.values()) <= 1


# --- The whole ------------------------------------------------------------------------------------


def test_build_is_the_same_to_the_byte(archive: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    build_small(archive, one)
    path = archive / f"{PREFIX}_main_i18n_Translation-de"
    path.write_text("\n\n".join(reversed(path.read_text().strip().split("\n\n"))) + "\n")  # another order
    build_small(archive, two)
    files = sorted(file.relative_to(one) for file in one.rglob("*.json"))
    assert len(files) == 12
    assert all((one / file).read_bytes() == (two / file).read_bytes() for file in files)


def test_splits_agree_across_languages_and_label_types(archive: Path, tmp_path: Path) -> None:
    build_small(archive, tmp_path)
    seen: dict[str, set[str]] = {}
    for file in tmp_path.glob("*/*/*.json"):
        for text in json.loads(file.read_text(encoding="utf-8"))["Text"]:
            source = text.split()[0]  # the small archive begins every text with the source's name
            seen.setdefault(source, set()).add(file.stem)
            assert debian.split_of(source) == file.stem
    assert len(seen) >= 90
    assert all(len(splits) == 1 for splits in seen.values())


def test_build_says_what_is_lacking_and_writes_nothing(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        build_small(archive, tmp_path / "out", train=5000)
    assert len(caught.value.lines) == 4
    assert caught.value.lines[0].startswith("english single, train: ")
    assert "of 5000 texts found" in caught.value.lines[0]
    assert not (tmp_path / "out").exists()


def test_rare_labels_are_named() -> None:
    chosen = [Example(str(i), "", ("a",)) for i in range(40)]
    lines = debian.shortfalls({"train": chosen}, {"train": 40}, ["a", "b"])
    assert lines == ["train: labels with fewer than 2 texts: b 0"]


def test_hashes_are_those_of_the_files(archive: Path, tmp_path: Path) -> None:
    build_small(archive, tmp_path)
    lines = (tmp_path / "lists.sha256").read_text().splitlines()
    assert [line.split("  ")[1] for line in lines] == [
        "oldie/main/binary-amd64/Packages",
        "oldie/main/i18n/Translation-de",
        "oldie/main/i18n/Translation-en",
    ]
    packages = (archive / f"{PREFIX}_main_binary-amd64_Packages").read_bytes()
    assert lines[0].split()[0] == hashlib.sha256(packages).hexdigest()


def test_other_lists_are_noticed(
    archive: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("WARNING", logger="polysharp")
    monkeypatch.setattr(debian.log, "propagate", True)
    build_small(archive, tmp_path)
    assert "not those recorded" not in caplog.text
    with (archive / f"{PREFIX}_main_i18n_Translation-de").open("a") as stream:
        stream.write("\nPackage: new\nDescription-md5: 0\nDescription-de: neu\n")
    build_small(archive, tmp_path)
    assert "not those recorded" in caplog.text


def script(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [warm.python(), "-m", "tools.example_data", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT / "workflow"), "PATH": "/usr/bin:/bin"},
    )


def test_command(archive: Path, tmp_path: Path) -> None:
    options = [
        "--lists",
        archive,
        "--output",
        tmp_path / "out",
        "--sizes",
        40,
        20,
        30,
        "--languages",
        "german",
    ]
    result = script(*options, "--label-types", "multi")
    assert result.returncode == 0, result.stderr
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["german", "lists.sha256"]
    content = read(tmp_path / "out", "german", "multi", "val")
    assert list(content) == ["Text", "Labels"]
    assert len(content["Text"]) == len(content["Labels"]) == 20


def test_command_ends_with_one_line_for_a_wrong_name(tmp_path: Path) -> None:
    result = script("--output", tmp_path / "out", "--languages", "Klingon")
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert "'Klingon' is not known" in result.stderr


# --- The embedded data ----------------------------------------------------------------------------

DATA_SETS = [(lang, kind) for lang in ("english", "french", "german") for kind in ("multi", "single")]


def test_embedded_data_sets_are_there_and_small() -> None:
    files = sorted(EMBEDDED.rglob("*.json"))
    assert {(f.parent.parent.name, f.parent.name) for f in files} == set(DATA_SETS)
    assert sum(f.stat().st_size for f in EMBEDDED.rglob("*") if f.is_file()) < 700_000


@pytest.mark.parametrize(("language", "label_type"), DATA_SETS)
def test_embedded_data_set(language: str, label_type: str) -> None:
    texts: list[str] = []
    for split, size in SIZES.items():
        content = read(EMBEDDED, language, label_type, split)
        assert len(content["Text"]) == len(content["Labels"]) == size
        texts += content["Text"]
        label_sets = content["Labels"] if label_type == "multi" else [[label] for label in content["Labels"]]
        counts = {
            label: sum(label in labels for labels in label_sets) for label in debian.LABEL_TYPES[label_type]
        }
        assert set().union(*label_sets) == set(counts)
        assert min(counts.values()) >= {"train": 8, "val": 5, "test": 6}[split]
        assert all(labels == sorted(set(labels)) and labels for labels in label_sets)
    assert all(debian.MIN_CHARACTERS <= len(t) <= debian.MAX_CHARACTERS + 1 for t in texts)
    words = [frozenset(text.casefold().split()) for text in texts]
    assert max(len(one & other) / len(one | other) for one, other in combinations(words, 2)) < 0.5


@pytest.mark.parametrize("language", ["english", "french", "german"])
def test_no_embedded_text_is_in_two_splits(language: str) -> None:
    splits = {
        split: {t for kind in ("single", "multi") for t in read(EMBEDDED, language, kind, split)["Text"]}
        for split in SIZES
    }
    for one, other in combinations(splits.values(), 2):
        assert not one & other


@pytest.mark.slow
def test_embedded_data_is_rebuilt_from_the_archive(tmp_path: Path) -> None:
    """Skipped where the lists cannot be had, or have changed since the data were built."""
    try:
        folder = debian.fetch_lists(tmp_path / "apt", ["german", "french"])
        lists: Lists = debian.find_lists(folder, ["german", "french"])
    except UserError as error:
        pytest.skip(f"no apt lists: {error}")
    if lists.digests() != (EMBEDDED / "lists.sha256").read_text():
        pytest.skip("the archive's lists are no longer those the data were built from")
    debian.build(lists, tmp_path / "out", ["english", "german", "french"], ["single", "multi"], SIZES)
    for file in EMBEDDED.rglob("*.json"):
        assert (tmp_path / "out" / file.relative_to(EMBEDDED)).read_bytes() == file.read_bytes(), file
