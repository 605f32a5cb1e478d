"""What the report says first: what was compared, found and not decided, and a picture of the scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import TypeVar

from polysharp.core.terms import PUBLISHED, counted, metric_in_words
from polysharp.evaluation.averages import MEAN
from polysharp.reporting.numbers import probability, short, signed
from polysharp.reporting.panels import Key, Row, rows_by_dataset

MAX_NAMES = 8  # of languages or methods in a sentence
MAX_CLAIMS = 4  # comparisons in a sentence
MAX_ROWS = 12  # data sets in the picture; of more the averages over languages are drawn
LABEL_TYPES = {"single": "one label per text (single)", "multi": "any number of labels per text (multi)"}
Group = TypeVar("Group")
NEVER_BETTER = (
    "no epoch of any seed was better on validation than the state before training, so that state was kept. "
    "How the trained states score on test is not known"
)
MARGIN = 3.0  # of the picture, in percent of its width, for what is drawn around its first and last point


# --- In words -------------------------------------------------------------------------------------


def sentences(tables: Mapping[str, list[Row]]) -> list[tuple[str, str]]:
    """Return the paragraphs of the first screen, each with its heading.

    Parameters
    ----------
    tables
        The rows of comparison.tsv, averages.tsv and runs.tsv, by name.
    """
    comparison, means = _with_tests(tables["comparison"]), _means(_with_tests(tables["averages"]))
    return [
        ("Compared", _compared(comparison, tables["runs"])),
        ("Found", " ".join(_found(comparison, means))),
        ("Undecided", " ".join(_undecided(comparison, means))),
    ]


def comparisons_in_words(tables: Mapping[str, list[Row]]) -> list[str]:
    """Return a sentence about every comparison with the reference, as a paper may print it."""
    scopes = _scopes(_with_tests(tables["comparison"]), _means(_with_tests(tables["averages"])))
    return [_in_a_sentence(row) for _, rows in scopes for row in rows if row["difference"]]


def _with_tests(rows: Sequence[Row]) -> list[Row]:
    """Return the rows of a table with the number of tests for which its p-values are adjusted."""
    tests = str(sum(bool(row["p_adjusted"]) for row in rows))
    return [row | {"tests": tests} for row in rows]


def _compared(comparison: Sequence[Row], runs: Sequence[Row]) -> str:
    published = list(dict.fromkeys(row["method"] for row in comparison if row["status"] == PUBLISHED))
    comparison = [row for row in comparison if row["status"] != PUBLISHED]
    methods = list(dict.fromkeys(row["method"] for row in comparison))
    datasets = list(rows_by_dataset(comparison))
    tasks = []
    for task in dict.fromkeys(task for task, _, _ in datasets):
        languages = list(dict.fromkeys(language for t, language, _ in datasets if t == task))
        label_types = list(dict.fromkeys(label_type for t, _, label_type in datasets if t == task))
        tasks.append(
            f"{task} in {_names(languages, 'language')}; {_and([LABEL_TYPES[name] for name in label_types])}"
        )
    texts = sorted({int(row["n_test"]) for row in comparison if row["n_test"]})
    size = f"{texts[0]}{f' to {texts[-1]}' if len(texts) > 1 else ''}" if texts else "no"
    seeds: dict[str, list[str]] = {}  # by how many each method has
    for method in methods:
        most = max(int(row["n_expected"]) for row in comparison if row["method"] == method)
        seeds.setdefault(counted(most, "seed"), []).append(method)
    with_seeds = "; ".join(f"{number} of {_names(names, 'method')}" for number, names in seeds.items())
    models = list(dict.fromkeys(row["model"] for row in runs if row["model"]))
    beside = (
        f" Beside them, as published and not computed here: {_names(published, 'method')}."
        if published
        else ""
    )
    of_models = f" Pre-trained: {_names(models, 'model')}." if models else ""
    return (
        f"{_names(methods, 'method')} on {counted(len(datasets), 'data set')} ({'; '.join(tasks)}), "
        f"by {metric_in_words(comparison[0]['metric'])} on {size} test texts each "
        f"({with_seeds}).{of_models}{beside}"
    )


def _found(comparison: Sequence[Row], means: Sequence[Row]) -> Iterator[str]:
    best = _grouped((row for row in comparison if row["standing"] == "best"), _method)
    for method, rows in best.items():
        where = _names([_where(row, comparison) for row in rows], "data set")
        yield f"{method} is better than every other method on {where}."
    claims = [
        claim
        for start, rows in _scopes(comparison, means)
        for claim in _clauses(start, rows, lambda row: row["verdict"] in ("better", "worse"))
    ]
    yield from claims
    single = [row for row in comparison if row["difference"] and _has_mean(row, means)]
    if different := sum(row["verdict"] in ("better", "worse") for row in single):
        compared = f"{different} of {counted(len(single), 'comparison')} with {single[0]['reference']}"
        yield f"On single data sets, {compared} show a difference."
    if not best and not claims and not different:
        yield "No method is distinguishably better or worse than another."


def _undecided(comparison: Sequence[Row], means: Sequence[Row]) -> Iterator[str]:
    def tied(row: Row) -> bool:
        return row["verdict"] == "tie" and not _same_as_reference(row)

    ties = [clause for start, rows in _scopes(comparison, means) for clause in _clauses(start, rows, tied)]
    yield from ties
    untrained = [*_untrained(comparison)]
    yield from untrained
    datasets = rows_by_dataset(comparison)
    undecided = sum(any(row["standing"] == "tie" for row in rows) for rows in datasets.values())
    unjudged = sum(
        any(row["status"] not in ("complete", PUBLISHED) for row in rows) for rows in datasets.values()
    )
    if undecided and len(datasets) > 1:
        of = f"{undecided} of {counted(len(datasets), 'data set')}"
        yield f"On {of} no method is better than every other one."
    if unjudged:
        yield f"{counted(unjudged, 'data set')} cannot be judged yet, because cells are missing."
    if undecided or ties:
        yield "A tie means that this study cannot distinguish the methods, not that they are equal."
    elif not unjudged and not untrained:
        yield "Nothing."


def _untrained(comparison: Sequence[Row]) -> Iterator[str]:
    """Yield for every method on which data sets its training changed nothing, in all seeds or in some."""
    rows = [row for row in comparison if int(row["untrained"] or 0)]
    same = _grouped(filter(_same_as_reference, rows), _method)
    places = {
        method: _names([_where(row, comparison) for row in of_method], "data set")
        for method, of_method in same.items()
    }
    for where in dict.fromkeys(places.values()):
        methods = [method for method, place in places.items() if place == where]
        are = "is the same classifier" if len(methods) == 1 else "are the same classifier"
        yield f"{_and(methods)} {are} as {same[methods[0]][0]['reference']} on {where}: {NEVER_BETTER}."
    others = _grouped((row for row in rows if not _same_as_reference(row)), _method)
    for method, kept in others.items():
        in_seeds = [f"{_in_seeds(row)} on {_where(row, comparison)}" for row in kept]
        if len(kept) > MAX_CLAIMS:
            cells = sum(int(row["n_seeds"]) for row in comparison if row["method"] == method)
            in_seeds = [f"{sum(int(row['untrained']) for row in kept)} of {cells} cells"]
        yield (
            f"{method} kept the state before training in {_and(in_seeds)}, because no epoch was better on "
            "validation."
        )


def _same_as_reference(row: Row) -> bool:
    """Whether training changed nothing in any seed, and the state before it scores as the reference does."""
    return bool(row.get("difference")) and _untrained_in_all(row) and float(row["difference"]) == 0


def _untrained_in_all(row: Row) -> bool:
    return row.get("untrained", "") == row["n_seeds"]


def _in_seeds(row: Row) -> str:
    seeds = counted(int(row["n_seeds"]), "seed")
    return f"all {seeds}" if _untrained_in_all(row) else f"{row['untrained']} of {seeds}"


def _scopes(comparison: Sequence[Row], means: Sequence[Row]) -> list[tuple[str, Sequence[Row]]]:
    """Return the averages, and the data sets of tasks without averages, each with the start of a sentence."""
    alone = [row for row in comparison if not _has_mean(row, means)]
    return [("On average over the languages, ", means), ("", alone)]


def _has_mean(row: Row, means: Sequence[Row]) -> bool:
    """Whether the languages of a data set's task and label type are averaged; one language is not."""
    return any((mean["task"], mean["label_type"]) == (row["task"], row["label_type"]) for mean in means)


def _clauses(start: str, rows: Sequence[Row], chosen: Callable[[Row], bool]) -> list[str]:
    """Return the chosen comparisons with the reference as one sentence; no sentence if none is chosen."""
    compared = (row for row in rows if row["difference"] and chosen(row))
    clauses = []
    for (method, verdict), group in _grouped(compared, lambda row: (row["method"], row["verdict"])).items():
        reference = group[0]["reference"]
        parts = [_with_difference(row, rows) for row in group[:MAX_CLAIMS]]
        more = f" and {len(group) - MAX_CLAIMS} more" if len(group) > MAX_CLAIMS else ""
        claim = f"and {reference} are tied" if verdict == "tie" else f"is {verdict} than {reference}"
        clauses.append(f"{method} {claim} on {_and(parts)}{more}")
    return [f"{start}{'; '.join(clauses)}."] if clauses else []


def _with_difference(row: Row, rows: Sequence[Row]) -> str:
    """Return what a comparison is of, the scores of the method and the reference, and their difference."""
    peers = [peer for peer in rows if _key(peer) == _key(row) and peer["method"] == row["reference"]]
    scores = f"{short(row['test_mean'])} against {short(peers[0]['test_mean'])}"
    return f"{_where(row, rows)} ({scores}; {_difference(row)})"


def _difference(row: Row) -> str:
    low, high = (signed(row[f"difference_ci_{end}"]) for end in ("low", "high"))
    interval = f"95 % interval {low} to {high}" if low else "no interval: the same score in every resample"
    chance = "no test: one classifier"
    if row["p_adjusted"]:
        several = f", {probability(row['p_adjusted'])} adjusted for {row['tests']} comparisons"
        chance = f"p {probability(row['p_value'])}{several if row['tests'] != '1' else ''}"
    return f"{signed(row['difference'])}, {interval}, {chance}"


def _in_a_sentence(row: Row) -> str:
    relation = {
        "better": "is better than",
        "worse": "is worse than",
        "tie": "is not distinguishable from",
    }[row["verdict"]]
    where = " ".join(filter(None, _key(row)))
    if _same_as_reference(row):
        same = f"{row['method']} is the same classifier as {row['reference']}"
        return f"{where}: {same}: {NEVER_BETTER}."
    of = "languages" in row and f"mean of {counted(int(row['languages']), 'language')}"
    return (
        f"{where}{f', {of}' if of else ''}: {row['method']} {relation} {row['reference']} "
        f"({_difference(row)})."
    )


def _where(row: Row, rows: Sequence[Row]) -> str:
    """Return what a score is of, without the task or the label type that all rows have."""
    named = [row.get("language")]
    for name, place in (("task", 0), ("label_type", 2)):
        if len({other[name] for other in rows}) > 1:
            named.insert(place, row[name])
    return " ".join(filter(None, named)) or row["label_type"]


def _grouped(rows: Iterable[Row], key: Callable[[Row], Group]) -> dict[Group, list[Row]]:
    """Return the rows by a key, in the order in which they come."""
    groups: dict[Group, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def _method(row: Row) -> str:
    return row["method"]


def _key(row: Row) -> Key:
    return row["task"], row.get("language", ""), row["label_type"]


def _means(averages: Iterable[Row]) -> list[Row]:
    return [row for row in averages if row["average"] == MEAN]


def _names(names: Sequence[str], what: str) -> str:
    return _and(names) if len(names) <= MAX_NAMES else counted(len(names), what)


def _and(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


# --- The picture ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Point:
    """A score with its interval; places are in percent of the width of the picture."""

    method: str
    style: int  # number of the method, which has its marker and its colour
    place: float
    low: float | None
    high: float | None
    hollow: bool
    said: str


@dataclass(frozen=True)
class Picture:
    """Scores on test: a row per data set or average, a point per method, one axis for all."""

    of_averages: bool
    ticks: list[tuple[float, str]]  # place and number
    rows: list[tuple[str, str, list[Point]]]  # anchor, name, points

    @property
    def styles(self) -> dict[str, int]:
        """Return the number of every method."""
        return {point.method: point.style for _, _, points in self.rows for point in points}


def draw(tables: Mapping[str, list[Row]]) -> Picture | None:
    """Return the picture of a study; None where nothing has a score."""
    comparison, means = tables["comparison"], _means(tables["averages"])
    of_averages = bool(means) and len(rows_by_dataset(comparison)) > MAX_ROWS
    groups = _grouped(means if of_averages else comparison, _key)
    scored = [row for rows in groups.values() for row in rows if row["test_mean"]]
    if not scored:
        return None
    ends = [
        float(row[name])
        for row in scored
        for name in ("test_mean", "test_ci_low", "test_ci_high")
        if row[name]
    ]
    step = 0.1 if max(ends) - min(ends) > 0.3 else 0.05
    first, last = floor(min(ends) / step), ceil(max(ends) / step)
    low, high = first * step, max(last, first + 1) * step

    def place(value: str) -> float:
        return round(MARGIN + (100 - 2 * MARGIN) * (float(value) - low) / (high - low), 2)

    styles = {
        method: number for number, method in enumerate(dict.fromkeys(row["method"] for row in comparison))
    }
    with_task = len({row["task"] for row in comparison}) > 1
    rows = []
    for key, group in groups.items():
        points = [
            Point(
                method=row["method"],
                style=styles[row["method"]],
                place=place(row["test_mean"]),
                low=place(row["test_ci_low"]) if row["test_ci_low"] else None,
                high=place(row["test_ci_high"]) if row["test_ci_low"] else None,
                hollow=row.get("status", "complete") != "complete" or bool(row["source"]),
                said=f"{row['method']} {short(row['test_mean'])}{' (published)' if row['source'] else ''}",
            )
            for row in group
            if row["test_mean"]
        ]
        name = " ".join(filter(None, key if with_task or of_averages else key[1:]))
        rows.append(("" if of_averages else "/".join(key), name, points))
    ticks = [
        (place(str(n * step)), f"{n * step:.2f}".rstrip("0").rstrip(".").lstrip("0") or "0")
        for n in range(first, last + 1)
    ]
    return Picture(of_averages, ticks, rows)
