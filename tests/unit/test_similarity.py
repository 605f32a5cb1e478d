"""Texts that are nearly the same."""

import random
import unicodedata

from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz import fuzz

from polysharp.data.similarity import NEARLY, near_copies, normalised

WORDS = [
    "river",
    "stone",
    "market",
    "winter",
    "letter",
    "garden",
    "bridge",
    "silver",
    "morning",
    "candle",
    "window",
    "forest",
    "paper",
    "street",
]


def sentence(draw: random.Random, length: int = 25) -> str:
    return " ".join(draw.choices(WORDS, k=length)) + f" {draw.randrange(10**6)}"


def test_copies_with_small_changes_are_found_among_many_others() -> None:
    draw = random.Random(1)
    texts = [sentence(draw) for _ in range(400)]
    changed = [text.replace("river", "rivers", 1) + " end" for text in texts[:100]]
    pairs = near_copies([*texts, *changed])
    assert {pair for pair in pairs if pair[1] >= 400} >= {
        (n, 400 + n) for n in range(100) if n not in missed(pairs)
    }
    assert len(missed(pairs)) <= 5  # a pair may be missed, seldom
    assert [pair for pair in pairs if pair[1] < 400] == []


def missed(pairs: list[tuple[int, int]]) -> set[int]:
    return set(range(100)) - {one for one, other in pairs if other == 400 + one}


def test_languages_without_spaces() -> None:
    text = "国会は本日新しい予算案を賛成多数で可決し来年度の支出が大幅に増えることになった"
    assert near_copies([text, "全く違う内容の文章がここに書かれています", text.replace("本日", "昨日")]) == [
        (0, 2)
    ]


def test_short_and_empty_lists() -> None:
    assert near_copies([]) == [] == near_copies(["one"])
    assert near_copies(["a", "b", ""]) == []


@given(st.lists(st.text(max_size=60).map(normalised), unique=True, max_size=25))
def test_no_pair_is_wrong_and_the_order_does_not_matter(texts: list[str]) -> None:
    pairs = near_copies(texts)
    for one, other in pairs:
        assert one < other and fuzz.ratio(texts[one], texts[other]) >= NEARLY
    assert len({other for _, other in pairs}) == len(pairs)


@given(st.text())
def test_what_is_normalised_stays_so(text: str) -> None:
    once = normalised(text)
    assert normalised(once) == once or unicodedata.normalize("NFC", once) != once
