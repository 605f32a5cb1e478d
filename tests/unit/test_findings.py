"""What a data set has that its results would suffer from."""

import unicodedata
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polysharp.config.checks import CHECKS, CheckName
from polysharp.core.terms import SPLITS
from polysharp.data.examples import Example, Problem
from polysharp.data.findings import (
    collect_findings,
    label_findings,
    language_findings,
    remove_leaks,
    row_findings,
    text_findings,
)
from polysharp.data.languages import known_language
from polysharp.data.similarity import normalised


def example(split: str, row: int, text: str, *labels: str, group: str | None = None) -> Example:
    return Example(split, split, row, text, labels, split, group)


def examples_of(split: str, *texts: str) -> list[Example]:
    return [example(split, row, text, "a") for row, text in enumerate(texts, 1)]


# --- Copies across splits -------------------------------------------------------------------------


def test_copies_are_left_out_where_they_would_help() -> None:
    examples = [
        *examples_of("train", "Caf\u00e9  au lait", "only here", "in all", "to test"),
        *examples_of("validation", "cafe\u0301 au LAIT", "in all ", "fine"),
        *examples_of("test", "TO\ttest", "In All", "in all"),
    ]
    kept, seen = remove_leaks(examples)
    assert [one.id for one in kept[:3]] == ["train:2", "validation:1", "validation:3"]
    assert kept[3:] == examples[-3:]
    assert seen == [
        ("copy_in_another_split", "train, row 1 (train): the same text as validation, row 1 (validation)"),
        ("copy_in_another_split", "train, row 3 (train): the same text as test, row 2 (test)"),
        ("copy_in_another_split", "train, row 4 (train): the same text as test, row 1 (test)"),
        ("copy_in_another_split", "validation, row 2 (validation): the same text as test, row 2 (test)"),
    ]


SIMILAR = st.builds(
    lambda word, form, ends: ends[0] + unicodedata.normalize(form, word) + ends[1],
    st.sampled_from(["café", "CAFÉ", "Straße", "STRASSE", "a b", "a  B", "A\tb", "x", "ﬁn", "İ", "i̇"]),
    st.sampled_from(["NFC", "NFD"]),
    st.sampled_from([("", ""), (" ", ""), ("", "\n")]),
)


@given(st.lists(st.tuples(st.sampled_from(SPLITS), SIMILAR | st.text(min_size=1)), max_size=30))
def test_no_text_stands_in_two_splits(drawn: list[tuple[str, str]]) -> None:
    examples = [example(split, row, text, "a") for row, (split, text) in enumerate(drawn, 1)]
    kept, seen = remove_leaks(examples)
    splits: dict[str, set[str | None]] = {}
    for one in kept:
        splits.setdefault(normalised(one.text), set()).add(one.split)
    assert all(len(of_text) == 1 for of_text in splits.values())
    test = [one for one in examples if one.split == "test"]
    assert [one for one in kept if one.split == "test"] == test
    assert len(kept) + len(seen) == len(examples)
    assert {normalised(one.text) for one in kept} == {normalised(one.text) for one in examples}


# --- Texts and groups -----------------------------------------------------------------------------


def test_texts_that_stand_there_again() -> None:
    long = "the quick brown fox jumps over the lazy dog while the band plays on in the old town"
    examples = [
        example("train", 1, "one", "a"),
        example("train", 2, "One ", "a"),
        example("train", 3, "ONE", "b"),
        example("train", 4, long, "a"),
        example("train", 5, f"{long}!", "a"),
        example("validation", 1, "two", "a"),
        example("test", 1, long.replace("old", "new"), "a"),
        example("test", 2, "one", "a"),
    ]
    assert sorted(text_findings(examples)) == [
        ("contradiction", "train, row 3: 'b', but 'a' in train, row 1"),
        ("copy", "train, row 2: the same as train, row 1"),
        (
            "near_copy_of_test",
            "test, row 1: nearly the same as train, row 4 (train), train, row 5 (train)",
        ),
    ]
    assert list(text_findings([*examples[3:4], example("validation", 2, f"{long}?", "a")])) == [
        ("near_copy_of_validation", "validation, row 2: nearly the same as train, row 4 (train)")
    ]
    assert list(text_findings(examples[3:5])) == [
        ("near_copy", "train, row 5: nearly the same as train, row 4 (train)")
    ]


def test_a_copy_in_another_split_with_another_label_is_a_contradiction() -> None:
    examples = [
        example("train", 1, "one", "a"),
        example("test", 1, "One", "b"),
        example("test", 2, "two", "a"),
    ]
    kept, seen = remove_leaks(examples)
    assert kept == examples[1:]
    assert seen == [
        ("copy_in_another_split", "train, row 1 (train): the same text as test, row 1 (test)"),
        ("contradiction", "train, row 1: 'a', but 'b' in test, row 1"),
    ]


def test_groups_in_two_splits() -> None:
    examples = [
        example("train", 1, "x", "a", group="Merkel"),
        example("train", 2, "y", "a", group="Scholz"),
        example("test", 1, "z", "a", group="Merkel"),
    ]
    assert list(text_findings(examples)) == [
        ("group_in_two_splits", "'Merkel': train, row 1 (train) and test, row 1 (test)")
    ]


# --- Labels ---------------------------------------------------------------------------------------


def test_a_label_is_compared_with_the_most_frequent_of_its_spellings() -> None:
    labels = ["Economía", "economia", *["economía"] * 30, *["salud"] * 30]
    examples = [example("train", row, f"t{row}", label) for row, label in enumerate(labels)]
    seen = [place for check, place in label_findings(examples) if check == "similar_labels"]
    assert seen == [
        "'Economía' (train, row 0) and 'economía' (train, row 2)",
        "'economia' (train, row 1) and 'economía' (train, row 2)",
    ]


@pytest.mark.parametrize(
    ("label", "found"),
    [("health, economy", True), ("health/economy", True), ("health, schools", False), ("health,", False)],
)
def test_labels_that_name_several_others(label: str, found: bool) -> None:
    labels = [label, *["health"] * 9, *["economy"] * 9]
    examples = [example("train", row, f"t{row}", name) for row, name in enumerate(labels)]
    seen = [place for check, place in label_findings(examples) if check == "joined_label"]
    assert seen == ([f"train, row 0: label {label!r}"] if found else [])


def test_labels_that_cannot_be_learnt_or_judged() -> None:
    train = [
        example("train", row, f"t{row}", *(["alpha"] if row < 101 else ["b", "c"])) for row in range(104)
    ]
    examples = [
        *train,
        *(example("train", 200 + row, f"u{row}", "b") for row in range(3)),
        example("validation", 1, "v", "alpha", "b", "c"),
        example("test", 1, "w", "Alpha", "b"),
    ]
    assert sorted(label_findings(examples)) == [
        ("imbalance", "'c': 3, against 101"),
        ("rare_label", "'c': 3"),
        ("similar_labels", "'Alpha' (test, row 1) and 'alpha' (train, row 0)"),
        ("small_split", "test: 1"),
        ("small_split", "validation: 1"),
        ("untested_label", "'Alpha' in validation"),
        ("untested_label", "'alpha' in test"),
        ("untested_label", "'c' in test"),
        (
            "untrained_label",
            "test, row 1 (test): no training text has the label 'Alpha'; did you mean 'alpha'?",
        ),
    ]


def test_labels_that_look_like_one_another() -> None:
    names = [
        "Economy",
        "economy ",
        "Ökonomie",
        "okonomie",
        "social-policy",
        "social policy",
        "कि",
        "का",
        "C",
        "C++",
        "health",
        '"health"',
        "sport",
        "sp\u200bort",
        "❤",
        "❤\ufe0f",
    ]
    examples = [
        example(split, row, f"{split} {row}", name)
        for split in SPLITS
        for row, name in enumerate(name for name in names for _ in range(5))
    ]
    seen = [place.split(" (")[0] for check, place in label_findings(examples) if check == "similar_labels"]
    assert seen == [
        *("'economy '", "'health'", "'social-policy'", r"'sp\u200bort'", "'Ökonomie'", "'❤\ufe0f'")
    ]


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["-1", "0", "1"], False),
        (["−1", "1"], False),
        (["stance -1", "stance 1"], False),
        (["10-20", "1020"], False),
        (["1 0", "10"], False),
        (["10-20", "10 20"], True),
        (["covid-19", "Covid 19"], True),
        (["1", "1.0"], True),  # of files that pandas wrote, with and without gaps
        (["01", "1"], True),
        (["-1", "-1,0"], True),
        (["1.0", "1.5"], False),
        (["10", "1"], False),
        (["0", "00"], True),
        (["1.01", "1.1"], False),
    ],
)
def test_other_numbers_are_no_other_spelling(names: list[str], found: bool) -> None:
    examples = [example("train", row, f"text {row}", names[row % len(names)]) for row in range(30)]
    assert bool([place for check, place in label_findings(examples) if check == "similar_labels"]) == found


def test_a_rare_number_is_no_slip() -> None:
    for names, found in (
        (["100001", "100002"], 0),
        (["topic 101", "topic 102"], 0),
        (["topic 101", "topc 101"], 1),
    ):
        examples = [example("train", row, f"text {row}", names[row == 0]) for row in range(20)]
        assert len([place for check, place in label_findings(examples) if check == "similar_labels"]) == found


# --- Collecting -----------------------------------------------------------------------------------


def test_findings_are_counted_by_check_and_have_their_severity() -> None:
    problems = [
        Problem("text", "a, row 1", "no text"),
        Problem("labels", "a, row 2", "x"),
        Problem("text", "b, row 9", "no text"),
    ]
    seen = [*row_findings(problems), ("copy", "here")]
    severities: dict[CheckName, str] = {"labels": "ignore", "copy": "error"}
    found = collect_findings(seen, severities)  # type: ignore[arg-type]
    assert [(one.check, one.severity, one.count, one.places) for one in found] == [
        ("text", "error", 2, ("a, row 1: no text", "b, row 9: no text")),
        ("copy", "error", 1, ("here",)),
    ]
    assert found[0].as_dict()["remedy"] == CHECKS["text"].remedy


def test_every_check_says_what_to_do() -> None:
    assert all(check.title and check.remedy for check in CHECKS.values())
    assert [severity for severity, _ in groupby(check.severity for check in CHECKS.values())] == [
        "error",
        "warning",
    ]


# --- Languages ------------------------------------------------------------------------------------

GERMAN = "Der Bundestag hat gestern über das neue Gesetz beraten und es angenommen."
ENGLISH = "Yesterday the parliament debated the new law and passed it after a long discussion."


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("german", "GERMAN"),
        ("deu_latn", "GERMAN"),
        ("de", "GERMAN"),
        ("english-uk", "ENGLISH"),
        ("swh_latn", "SWAHILI"),
        ("amharic", None),
        ("elvish", None),
        ("main", None),
    ],
)
def test_languages_are_known_by_name_and_code(name: str, expected: str | None) -> None:
    language = known_language(name)
    assert (language.name if language else None) == expected


def test_texts_in_another_language_are_found_where_they_are_many() -> None:
    def found(others: int, stated: str) -> list[str]:
        texts = [f"{ENGLISH if row < others else GERMAN} {row}" for row in range(50)]
        return [place for _, place in language_findings(examples_of("train", *texts), stated)]

    assert len(found(5, "german")) == 5 and found(4, "german") == []
    assert "English: 'Yesterday the parliament debated the new…'" in found(5, "german")[0]
    assert len(found(5, "english")) == 45
    assert found(0, "german") == []
    assert found(5, "xyz9") == ["'xyz9'"]
    assert found(5, "germn") == ["'germn'; did you mean 'german'?"]


@pytest.mark.parametrize("name", ["amharic", "am", "amh", "nepali", "hausa", "amharic-eth", "low-german"])
def test_languages_that_are_not_covered_are_not_called_unknown(name: str) -> None:
    seen = [*language_findings(examples_of("train", ENGLISH), name)]
    assert seen == [("uncovered_language", repr(name))]


def test_an_unknown_language_is_compared_with_those_that_are_not_covered() -> None:
    seen = [*language_findings(examples_of("train", ENGLISH), "amhric")]
    assert seen == [("unknown_language", "'amhric'; did you mean 'amharic'?")]


def test_short_texts_say_nothing_about_their_language() -> None:
    assert [*language_findings(examples_of("train", *["Hello world, how are you?"] * 20), "german")] == []


# --- Slips and small splits -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("slip", "found"),
    [
        ("sceince/technology", True),
        ("science/tecnology", True),
        ("Science / Technology", True),
        ("geography", False),
        ("travle", True),
        ("trade", False),
    ],
)
def test_misspelt_labels_are_named_with_their_rows(slip: str, found: bool) -> None:
    names = ["science/technology", "travel"] * 10 + [slip]
    examples = [example("train", row, f"text {row}", name) for row, name in enumerate(names, 1)]
    seen = [place for check, place in label_findings(examples) if check == "similar_labels"]
    assert bool(seen) == found
    if found:
        assert f"{slip!r} ({examples[-1].place})" in seen[0]


def test_short_and_frequent_labels_may_be_alike() -> None:
    for names in (["left", "lefts"], ["policy", "police"]):
        examples = [example("train", row, f"text {row}", names[row % 2]) for row in range(20)]
        assert not [place for check, place in label_findings(examples) if check == "similar_labels"]


def test_splits_too_small_to_say_much() -> None:
    sizes = {"train": 50, "validation": 20, "test": 29}
    examples = [
        example(split, row, f"{split} {row}", "ab"[row % 2])
        for split, size in sizes.items()
        for row in range(size)
    ]
    assert [place for check, place in label_findings(examples) if check == "small_split"] == ["test: 29"]
