"""What a data set holds, and the overview of a study's findings."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from shutil import copytree

import pytest
from PIL import Image
from transformers import AutoTokenizer

from polysharp.config.sources import Source
from polysharp.core.files import read_json, write_json
from polysharp.core.paths import Paths
from polysharp.data.overview import write_overview
from polysharp.data.preparation import RefusedData, prepare_data, record_refusal
from polysharp.data.prepared import read_prepared
from polysharp.models.prepare import prepare_model
from polysharp.reporting.summary import summarise, write_summary
from tests.conftest import make_texts, write_source


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


@pytest.fixture(scope="module")
def model(tiny_model: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "xlm-roberta"
    prepare_model(str(tiny_model("xlm-roberta")), None, folder)
    return folder


@pytest.mark.parametrize("label_type", ["single", "multi"])
def test_sizes_labels_and_lengths(
    label_type: str, model: Path, prepared_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    data = read_prepared(prepared_folder(label_type))
    (finding,) = write_summary(summarise(data, model, "the cat: ", 9), {}, tmp_path)
    table = {(r["split"], r["measure"], r["name"]): int(r["value"]) for r in rows(tmp_path / "summary.tsv")}
    tokenizer = AutoTokenizer.from_pretrained(model)
    long = []
    for split in ("train", "validation", "test"):
        of_split = data.split(split)
        lengths = [len(tokenizer("the cat: " + text)["input_ids"]) for text in of_split["text"]]
        assert table[split, "texts", ""] == len(of_split)
        for name in data.labels:
            assert table[split, "label", name] == sum(name in labels for labels in of_split["labels"])
        assert table[split, "tokens", "p100"] == max(lengths)
        assert sum(length <= table[split, "tokens", "p50"] for length in lengths) >= len(lengths) / 2
        assert table[split, "cut_texts", ""] == sum(length > 9 for length in lengths)
        assert table[split, "cut_tokens", ""] == sum(max(0, length - 9) for length in lengths)
        for name, length in zip(of_split["id"], lengths, strict=True):
            if length > 9:
                long.append(f"{name.replace(':', ', row ')}: {length} tokens, of which 9 are read")
    assert (finding.check, finding.severity, finding.places) == ("cut_text", "warning", tuple(long))
    assert json.loads((tmp_path / "summary.json").read_text())["findings"] == [finding.as_dict()]


def test_texts_that_fit_are_no_finding(
    model: Path, prepared_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    data = read_prepared(prepared_folder("single"))
    assert write_summary(summarise(data, model, "", 64), {}, tmp_path) == []
    assert write_summary(summarise(data, model, "", 4), {"cut_text": "ignore"}, tmp_path) == []
    # What the model has positions for counts, whatever is asked for.
    assert summarise(data, model, "", 5000).max_length < 5000


AMHARIC = "ሰላም ለዓለም እንዴት ነህ ዛሬ"


@pytest.mark.parametrize("prefix", ["", "the cat and some bread with soup: "])
@pytest.mark.parametrize("architecture", ["bert", "roberta", "camembert", "xlm-roberta"])
def test_a_vocabulary_of_another_script_is_a_warning(
    architecture: str, prefix: str, tiny_model: Callable[[str], Path], tmp_path: Path
) -> None:
    texts = make_texts("single")
    texts["val"]["Text"] = [f"{AMHARIC} {number}" for number in range(len(texts["val"]["Text"]))]
    prepare_data(Source(str(write_source(tmp_path / "in", texts))), "single", {}, 0, tmp_path / "data")
    prepare_model(str(tiny_model(architecture)), None, tmp_path / "model")
    summary = summarise(read_prepared(tmp_path / "data"), tmp_path / "model", prefix, 512)
    (finding,) = write_summary(summary, {}, tmp_path / "out")
    assert (finding.check, finding.severity, finding.count) == ("unknown_pieces", "warning", 1)
    assert finding.places[0].startswith("validation: ") and "val.json, row " in finding.places[0]
    assert AMHARIC in finding.places[0]
    table = {(r["split"], r["measure"]): int(r["value"]) for r in rows(tmp_path / "out" / "summary.tsv")}
    assert table["train", "unknown_pieces"] == 0 < table["train", "pieces"]
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    of_text = tokenizer(texts["val"]["Text"], add_special_tokens=False)["input_ids"]
    assert table["validation", "pieces"] == pytest.approx(sum(map(len, of_text)), rel=0.05)
    if architecture != "roberta":
        unknown = sum(piece == tokenizer.unk_token_id for pieces in of_text for piece in pieces)
    else:  # bytes: the signs of an Ethiopic letter stand for three, and none is merged here
        unknown = sum(len(word.encode()) for text in texts["val"]["Text"] for word in text.split()[:-1])
    assert table["validation", "unknown_pieces"] == unknown
    assert unknown > 0.3 * table["validation", "pieces"]


def test_a_few_unknown_pieces_are_none(tiny_model: Callable[[str], Path], tmp_path: Path) -> None:
    texts = make_texts("single")
    texts["test"]["Text"][0] = f"the cat {AMHARIC}"
    prepare_data(Source(str(write_source(tmp_path / "in", texts))), "single", {}, 0, tmp_path / "data")
    prepare_model(str(tiny_model("bert")), None, tmp_path / "model")
    summary = summarise(read_prepared(tmp_path / "data"), tmp_path / "model", "", 512)
    assert summary.unknown["test"].sum() == 5
    assert write_summary(summary, {}, tmp_path / "out") == []


def test_a_model_that_depends_on_the_padding_is_a_warning(
    model: Path, prepared_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    other = Path(copytree(model, tmp_path / "model"))
    write_json(other / "polysharp.json", read_json(other / "polysharp.json") | {"reads_padding": True})
    summary = summarise(read_prepared(prepared_folder("single")), other, "", 64)
    (finding,) = write_summary(summary, {}, tmp_path / "out")
    assert (finding.check, finding.severity) == ("padding", "warning")


def test_the_same_bytes_and_a_picture_of_any_labels(model: Path, tmp_path: Path) -> None:
    texts = make_texts("single")
    names = {"food": "$x^2$ \\frac", "animals": "</script>", "music": "音楽"}
    for content in texts.values():
        content["Labels"] = [names[label] for label in content["Labels"]]
    prepare_data(Source(str(write_source(tmp_path / "in", texts))), "single", {}, 0, tmp_path / "data")
    data = read_prepared(tmp_path / "data")
    for folder in ("one", "two"):
        write_summary(summarise(data, model, "", 9), {}, tmp_path / folder)
    for name in ("summary.tsv", "summary.json", "summary.png"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    with Image.open(tmp_path / "one" / "summary.png") as image:
        assert image.width > 800 and image.height > 250


# --- The overview ---------------------------------------------------------------------------------


def path(language: str) -> str:
    return f"main/{language}/single"


def test_the_overview_has_what_was_found_everywhere(model: Path, tmp_path: Path) -> None:
    paths = Paths(tmp_path / "results", tmp_path / "work")
    for language in ("german", "english"):
        texts = make_texts("single")
        texts["train"]["Text"][3] = texts["train"]["Text"][4]
        texts["train"]["Labels"][3] = texts["train"]["Labels"][4]
        source = Source(str(write_source(tmp_path / language, texts)))
        prepare_data(source, "single", {}, 0, paths.data(path(language)))
    write_summary(
        summarise(read_prepared(paths.data(path("german"))), model, "", 6),
        {},
        paths.data(path("german")),
    )
    reason = "my/turkish/train.json, row 3: the text is empty"
    write_json(paths.work / "data" / path("turkish") / "failure.json", {"reason": reason})
    write_json(
        paths.work / "models/some/failure.json",
        {"reason": "model some: neither on the hub nor a local folder"},
    )
    needed = {path(language): ["models/other"] for language in ("german", "english", "turkish", "welsh")}
    needed[path("irish")] = ["models/some"]
    overview = write_overview(needed, paths)
    found = [(r["language"], r["severity"], r["check"]) for r in rows(paths.results / "check.tsv")]
    assert found == [
        ("german", "warning", "copy"),
        ("german", "warning", "cut_text"),
        ("english", "warning", "copy"),
        ("turkish", "error", "refused"),
        ("irish", "error", "refused"),
    ]
    assert str(overview) == ("5 data sets, 4 of them with findings; not checked yet: main/welsh/single")
    assert not (paths.results / "check.json").exists()
    lines = overview.lines()
    assert lines[0] == (
        "error (refused): data sets that cannot be read, or whose model is not available: 2 in 2 data sets; "
        f"first: main, turkish, single: {reason}; what to do: fix the listed mistakes"
    )
    assert lines[1].startswith(
        "warning (copy): duplicate texts with the same labels: 2 in 2 data sets; first: "
    )
    assert reason in rows(paths.results / "check.tsv")[3]["places"]


def test_an_overview_of_nothing_has_its_header(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "results", tmp_path / "work")
    assert write_overview({path("german"): []}, paths).lines() == []
    assert rows(paths.results / "check.tsv") == []
    assert (
        (paths.results / "check.tsv").read_text().startswith("task\tlanguage\tlabel_type\tseverity\tcheck\t")
    )


def test_what_was_found_in_data_that_were_refused_is_shown_by_check(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "results", tmp_path / "work")
    texts = make_texts("single")
    texts["train"]["Text"][3] = texts["train"]["Text"][4]
    texts["train"]["Labels"][3] = texts["train"]["Labels"][4]
    texts["train"]["Labels"][7] = ""
    folder = paths.data(path("german"))
    with pytest.raises(RefusedData) as refused:
        prepare_data(Source(str(write_source(tmp_path / "german", texts))), "single", {}, 0, folder)
    record_refusal(refused.value, folder)
    assert write_overview({path("german"): []}, paths).refused == [path("german")]
    found = [(r["severity"], r["check"], r["count"]) for r in rows(paths.results / "check.tsv")]
    assert found == [("error", "labels", "1"), ("warning", "copy", "1")]
    shutil.rmtree(folder)
    assert write_overview({path("german"): []}, paths).unchecked == [path("german")]


def test_when_everything_was_checked_it_says_so(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "results", tmp_path / "work")
    source = Source(str(write_source(tmp_path / "german", make_texts("single"))))
    prepare_data(source, "single", {}, 0, paths.data(path("german")))
    write_overview({path("german"): []}, paths)
    assert read_json(paths.results / "check.json") == {path("german"): []}
