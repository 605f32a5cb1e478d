"""Splits that are made."""

from collections import Counter, defaultdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polysharp.config.sources import Source
from polysharp.core.errors import UserError
from polysharp.core.terms import SPLITS
from polysharp.data.examples import Example
from polysharp.data.similarity import normalised
from polysharp.data.splitting import make_splits

DRAWN = Source("texts.csv", splits=("80%", "10%", "10%"))


def example(
    row: int, *labels: str, text: str | None = None, split: str | None = None, group: str | None = None
) -> Example:
    return Example("t", "t", row, text or f"text {row}", labels, split, group)


def counts(examples: list[Example]) -> dict[str, Counter[str]]:
    result: dict[str, Counter[str]] = {split: Counter() for split in SPLITS}
    for one in examples:
        assert one.split is not None
        result[one.split].update(one.labels)
    return result


def test_shares_and_labels_are_kept() -> None:
    examples = [example(row, "abc"[(row % 10 > 5) + (row % 10 > 8)]) for row in range(1000)]
    made = make_splits(examples, DRAWN, 0)
    assert Counter(one.split for one in made) == {"train": 800, "validation": 100, "test": 100}
    assert counts(made) == {
        "train": {"a": 480, "b": 240, "c": 80},
        "validation": {"a": 60, "b": 30, "c": 10},
        "test": {"a": 60, "b": 30, "c": 10},
    }


def test_several_labels_are_stratified() -> None:
    examples = [
        example(row, *(name for name, every in zip("abc", (2, 3, 20), strict=True) if row % every == 0))
        for row in range(600)
    ]
    made = counts(make_splits(examples, DRAWN, 3))
    for name, total in {"a": 300, "b": 200, "c": 30}.items():
        for split, share in zip(SPLITS, (0.8, 0.1, 0.1), strict=True):
            assert abs(made[split][name] - share * total) <= 1


def test_the_seed_draws_and_nothing_else_does() -> None:
    examples = [example(row, "ab"[row % 2]) for row in range(100)]
    assert make_splits(examples, DRAWN, 1) == make_splits(examples, DRAWN, 1)
    assert make_splits(examples, DRAWN, 1) != make_splits(examples, DRAWN, 2)
    # The order of the file decides nothing about who is tested: the last are not the test texts.
    tested = [one.row for one in make_splits(examples, DRAWN, 1) if one.split == "test"]
    assert min(tested) < 50 < max(tested)


def test_validation_from_training_leaves_the_given_test() -> None:
    examples = [example(row, "ab"[row % 2], split="train" if row < 80 else "test") for row in range(100)]
    made = make_splits(examples, Source("data", splits=("train", "25%", "test")), 0)
    assert Counter(one.split for one in made) == {"train": 60, "validation": 20, "test": 20}
    assert [one for one in made if one.split == "test"] == examples[80:]


def test_given_splits_stay(tmp_path: Path) -> None:
    examples = [example(1, "a", split="train"), example(2, "a", split="test")]
    assert make_splits(examples, Source("data"), 0) == examples


def test_too_few_texts() -> None:
    with pytest.raises(
        UserError, match=r"texts.csv: 2 texts are too few for splits 80%,10%,10%: .* would have none"
    ):
        make_splits([example(1, "a"), example(2, "b")], DRAWN, 0)


TEXTS = st.sampled_from(["one", "One ", "ONE", "two", "three", "four", "five", "six", "seven"])
ROWS = st.tuples(TEXTS, st.sampled_from([None, "g", "h", "i"]), st.sets(st.sampled_from("abc")))


@given(st.lists(ROWS, min_size=30, max_size=60), st.integers(0, 50))
def test_no_text_and_no_group_stands_in_two_splits(
    rows: list[tuple[str, str | None, set[str]]], seed: int
) -> None:
    examples = [
        example(row, *sorted(labels), text=f"{text} {row % 4}", group=group)
        for row, (text, group, labels) in enumerate(rows)
    ]
    try:
        made = make_splits(examples, DRAWN, seed)
    except UserError:
        return
    of_text, of_group = defaultdict(set), defaultdict(set)
    for one in made:
        of_text[normalised(one.text)].add(one.split)
        if one.group:
            of_group[one.group].add(one.split)
    assert all(len(splits) == 1 for splits in [*of_text.values(), *of_group.values()])
    assert [(one.row, one.labels) for one in made] == [(one.row, one.labels) for one in examples]
