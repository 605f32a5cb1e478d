"""Which files a source means, and how the sample sheet says it."""

from pathlib import Path

import pytest

from polysharp.cli import prepare_data
from polysharp.config.sample_sheet import Dataset
from polysharp.config.sources import SHARES, Source, parse_splits, share_of, stem_of
from polysharp.config.study import load_study
from polysharp.core.errors import UserError
from polysharp.data.examples import read_examples
from tests.unit.test_examples import write

HEADER = ["language", "label_type", "source"]


def datasets(folder: Path, **columns: str) -> list[Dataset]:
    """Return what a sheet of one row says, with these columns; the first three are filled."""
    record = {"language": "german", "label_type": "single", "source": "data"} | columns
    sheet = "\t".join(record) + "\n" + "\t".join(record.values()) + "\n"
    (folder / "datasets.tsv").write_text(sheet, encoding="utf-8")
    return list(load_study({"datasets": "datasets.tsv"}, [folder])[1].datasets)


def source(folder: Path, **columns: str) -> Source:
    (dataset,) = datasets(folder, **columns)
    return dataset.source


def refusal(folder: Path, **columns: str) -> tuple[str, ...]:
    with pytest.raises(UserError) as caught:
        datasets(folder, **columns)
    start = f"{folder}/datasets.tsv, row 2: "
    assert all(line.startswith(start) for line in caught.value.lines)
    return tuple(line.removeprefix(start).replace(f"{folder}/", "") for line in caught.value.lines)


def files(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


# --- Files ----------------------------------------------------------------------------------------


def test_a_folder_of_splits_in_any_format(tmp_path: Path) -> None:
    files(
        tmp_path, "data/train.json", "data/val.csv.gz", "data/test.XLSX", "data/notes.txt", "data/.train.csv"
    )
    found = source(tmp_path)
    assert found == Source(str(tmp_path / "data"))
    assert {path.name: split for path, split in found.files().items()} == {
        "train.json": "train",
        "val.csv.gz": "validation",
        "test.XLSX": "test",
    }


def test_one_file_is_split_unless_a_column_says_how(tmp_path: Path) -> None:
    files(tmp_path, "texts.csv")
    assert source(tmp_path, source="texts.csv").splits == SHARES
    assert source(tmp_path, source="texts.csv", split_column="part").splits == ("train", "val", "test")
    assert source(tmp_path, source="texts.csv").files() == {tmp_path / "texts.csv": None}


def test_a_pattern_of_files(tmp_path: Path) -> None:
    files(tmp_path, "data/b/x.csv", "data/a/x.csv", "data/a/x.txt")
    found = source(tmp_path, source="data/*/*.csv")
    assert list(found.files()) == [tmp_path / "data/a/x.csv", tmp_path / "data/b/x.csv"]
    assert found.splits == SHARES


def test_all_files_of_a_folder_that_is_to_be_split(tmp_path: Path) -> None:
    files(tmp_path, "data/2021.csv", "data/2020.csv", "data/~$2020.xlsx")
    found = source(tmp_path, splits="60%,20%,20%")
    assert [path.name for path in found.files()] == ["2020.csv", "2021.csv"]
    assert found.shares == {"train": 0.6, "validation": 0.2, "test": 0.2}


def test_validation_drawn_from_training(tmp_path: Path) -> None:
    files(tmp_path, "data/train.csv", "data/test.csv")
    found = source(tmp_path, splits="train,10%,test")
    assert found.files() == {tmp_path / "data/train.csv": "train", tmp_path / "data/test.csv": "test"}
    assert found.shares == {"validation": 0.1}


def test_a_sheet_of_a_workbook(tmp_path: Path) -> None:
    files(tmp_path, "a.xlsx", "b#1.xlsx")
    assert source(tmp_path, source="a.xlsx#speeches 2020").sheet == "speeches 2020"
    assert source(tmp_path, source="b#1.xlsx").sheet is None


def test_everything_that_a_row_can_say(tmp_path: Path) -> None:
    files(tmp_path, "all.csv")
    said = source(
        tmp_path,
        label_type="multi",
        source="all.csv",
        text="speech",
        labels="economy, topic_*",
        group="speaker",
        language_column="lang",
        split_column="part",
        splits="a,b,c",
    )
    assert said == Source(
        str(tmp_path / "all.csv"),
        text="speech",
        labels=("economy", "topic_*"),
        group="speaker",
        language_column="lang",
        language_value="german",
        split_column="part",
        splits=("a", "b", "c"),
    )
    assert said.columns == ["speech", "economy", "topic_*", "speaker", "lang", "part"]
    assert source(tmp_path, source="all.csv", language_column="lang=deu").language_value == "deu"
    assert source(tmp_path, label_type="multi", source="all.csv", delimiter=";").delimiter == ";"


def test_two_text_columns_are_two_tasks(tmp_path: Path) -> None:
    path = write(tmp_path, {"Original": "eins", "Translation": "one", "Labels": "a"})
    texts = [
        read_examples(source(tmp_path, source=path.name, task=task, text=text), "single")[0][0].text
        for task, text in [("own", "Original"), ("translated", "Translation")]
    ]
    assert texts == ["eins", "one"]


# --- Mistakes -------------------------------------------------------------------------------------


def test_files_that_are_not_there(tmp_path: Path) -> None:
    files(tmp_path, "data/training.json", "data/test.json", "data/test.csv")
    assert refusal(tmp_path) == (
        "source: data: no file 'train' for train; there are test, training; did you mean 'training'?; "
        "if the texts are not split, set splits to 80%,10%,10%",
        "source: data: no file 'val' for validation; there are test, training; "
        "if the texts are not split, set splits to 80%,10%,10%",
        "source: data: test.csv and test.json for test; expected one file, or a pattern as source",
    )
    (line,) = refusal(tmp_path, source="dato")
    assert line.startswith("source: 'dato': no such folder or file in ") and "did you mean 'data'?" in line


def test_files_named_otherwise_are_offered(tmp_path: Path) -> None:
    files(tmp_path, "data/train.csv", "data/dev.csv", "data/test.csv")
    assert refusal(tmp_path) == (
        "source: data: no file 'val' for validation; there are dev, test, train; "
        "set splits to train,dev,test",
    )


def test_a_folder_without_a_file_that_can_be_read(tmp_path: Path) -> None:
    files(tmp_path, "data/train.doc")
    (line,) = refusal(tmp_path)
    assert line.startswith("source: data: no file of a known format; expected one of .json, .jsonl,")


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        ({"labels": "a,,b"}, "labels: 'a,,b': expected column names, as in 'economy,welfare'"),
        ({"delimiter": ";"}, "delimiter: ';': expected none, as label_type is 'single'; or use 'multi'"),
        (
            {"label_type": "multi", "delimiter": ";", "labels": "a,b"},
            "delimiter: ';': expected none, as labels names several columns",
        ),
        (
            {"splits": "train,val"},
            "splits: 'train,val': expected three names, as in 'train,val,test', or shares, "
            "as in '80%,10%,10%'",
        ),
        (
            {"source": "all.csv", "splits": "train,10%,test"},
            "splits: 'train,10%,test': all.csv is one file; expected shares, as in '80%,10%,10%', "
            "or split_column, the column that holds the split",
        ),
        ({"source": "{x}.csv"}, "source: '{x}.csv': expected no braces, which Snakemake reads as wildcards"),
        ({"source": "d*"}, "source: 'd/{y}.csv': expected no braces, which Snakemake reads as wildcards"),
    ],
)
def test_rows_that_cannot_be(columns: dict[str, str], line: str, tmp_path: Path) -> None:
    files(tmp_path, "data/train.json", "data/val.json", "data/test.json", "all.csv", "{x}.csv", "d/{y}.csv")
    if columns.get("source") == "d*":
        columns = {"source": "d/*"}
    assert refusal(tmp_path, **columns) == (line,)


def test_a_file_that_is_nearly_named_like_a_split_is_not_passed_over(tmp_path: Path) -> None:
    files(tmp_path, *(f"{folder}/{name}.csv" for folder in "ab" for name in ("train", "val", "test")))
    files(tmp_path, "c/Test.csv", "c/notes.csv", "c/train2.csv")
    assert refusal(tmp_path, source="*/*.csv", splits="train,val,test") == (
        "source: c/Test.csv: not used; did you mean 'test'?",
    )


@pytest.mark.parametrize(
    ("cell", "columns", "delimiter"),
    [
        (" ", {"label_type": "multi"}, " "),
        ("space", {"label_type": "multi"}, " "),
        ("tab", {"label_type": "multi"}, "\t"),
        ("; ", {"label_type": "multi"}, ";"),
        ("", {"label_type": "multi"}, None),
        (" ", {}, None),
        (" ", {"label_type": "multi", "labels": "x,y"}, None),
    ],
)
def test_a_blank_as_delimiter(
    cell: str, columns: dict[str, str], delimiter: str | None, tmp_path: Path
) -> None:
    files(tmp_path, "t.csv")
    found = source(tmp_path, source="t.csv", **columns, delimiter=cell, group="who")
    assert found.delimiter == delimiter
    arguments = [*found.as_arguments(), "--label-type=multi", "--output=x"]
    assert prepare_data.parser().parse_args(arguments).delimiter == delimiter


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("80%,10%", "expected three names"),
        ("train,test,test", "expected three names"),
        ("train,,test", "expected three names"),
        ("80%,10%,20%", "the shares add up to 110%; expected 100%"),
        ("100%,0%,0%", "expected shares above 0%"),
        ("80%,val,test", "expected a name for training"),
        ("train,60%,40%", "expected a name for training"),
    ],
)
def test_splits_that_cannot_be(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_splits(text)


def test_shares() -> None:
    assert [share_of(name) for name in ("10%", " 12.5 %", "10", "a%", "%", "")] == [0.1, 0.125] + [None] * 4
    assert parse_splits("33.3%, 33.3%,33.4%") == ("33.3%", "33.3%", "33.4%")


@pytest.mark.parametrize(
    ("name", "stem"),
    [("a.json", "a"), ("a.b.csv.gz", "a.b"), ("a.txt", "a.txt"), (".csv", ".csv"), ("a.GZ", "a")],
)
def test_stems(name: str, stem: str) -> None:
    assert stem_of(Path("folder") / name) == stem


def test_arguments_say_what_differs_from_the_defaults() -> None:
    assert Source("data").as_arguments() == ["--source=data"]
    said = Source("a b.csv", labels=("x", "y"), language_column="l", language_value="-v", splits=SHARES)
    assert said.as_arguments() == [
        "--source=a b.csv", "--labels=x,y", "--language-column=l", "--language-value=-v",
        "--splits=80%,10%,10%",
    ]  # fmt: skip
