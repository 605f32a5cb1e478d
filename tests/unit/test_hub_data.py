"""Data sets of a hub on loopback, fetched by one real process."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from polysharp.config.slugs import hub_slug
from polysharp.config.sources import HubSource, Source, parse_hub
from polysharp.core.errors import UserError
from polysharp.data.examples import read_examples
from tests.hub import COMMIT, Hub, serving

CARD = """---
configs:
- config_name: english
  data_files:
  - split: train
    path: data/eng/train.csv
  - split: test
    path: data/eng/test*.csv
- config_name: german
  data_dir: data/deu
dataset_info:
- config_name: english
  features:
  - name: text
    dtype: string
  - name: label
    dtype:
      class_label:
        names:
          '0': left
          '1': right
---
# Speeches
"""
TABLES = {
    "data/eng/train.csv": b"text,label\nhello,0\nworld,1\n=1+1,-1\n",
    "data/eng/test_1.csv": b"text,label\nfoo,1\n",
    "data/deu/train.jsonl": '{"text": "grüß", "topics": ["a", "b"], "when": 3}\n'.encode() * 2,
    "data/deu/test.jsonl": b'{"text": "gott", "topics": [], "when": 4}\n',
    "huge.pkl": b"never read",
}
FETCH = """
import json, sys
from pathlib import Path
from polysharp.core.errors import UserError
from polysharp.data.hub_data import fetch_data
from polysharp.config.sources import parse_hub
said = {}
for number, source in enumerate(sys.argv[2:]):
    try:
        fetch_data(parse_hub(source), Path(sys.argv[1]) / str(number))
    except UserError as error:
        said[source] = str(error)
print(json.dumps(said))
"""
GOOD = ["hub:group/speeches#english", f"hub:group/speeches@{COMMIT}#german", "hub:group/tables"]
GOOD += ["hub:group/script@refs/convert/parquet#english"]
BAD = {
    "hub:group/speeches": "has the configurations english, german; choose one",
    "hub:group/speeches#englisch": "no configuration 'englisch'; it has english, german; did you mean 'en",
    "hub:group/tables#english": "no configuration 'english'; it has data",
    "hub:group/script": "its own script is never run",
    "hub:group/pickled": "no readable files of texts",
    "hub:group/damaged": "cannot be read: ",
    "hub:group/card": "its README.md cannot be read",
    "hub:group/absent": "neither on the hub nor",
    "hub:group/speeches@v7#english": "no revision 'v7'",
}


def parquet(folder: Path, texts: list[str], labels: list[int]) -> bytes:
    """Return a table as the library datasets writes it, with a column of something else."""
    import datasets

    features = datasets.Features(
        text=datasets.Value("string"),
        label=datasets.List(datasets.ClassLabel(names=["a", "b"])),
        box={"x": datasets.Value("int32")},
    )
    content = {"text": texts, "label": [[number] for number in labels], "box": [{"x": 1}] * len(texts)}
    datasets.Dataset.from_dict(content, features=features).to_parquet(folder / "table.parquet")
    return (folder / "table.parquet").read_bytes()


@pytest.fixture(scope="module")
def fetched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str], str]:
    """Fetch all of them; return the folder of the good ones, what was said of the others, and the log."""
    folder = tmp_path_factory.mktemp("hub")
    hub = Hub(folder)
    one, two = parquet(folder, ["x", "y"], [1, 0]), parquet(folder, ["z"], [1])
    repositories: dict[str, dict[str, Any]] = {
        "speeches": {"README.md": CARD.encode(), **TABLES},
        "tables": {"data/train-00000-of-00001.parquet": one, "data/test-00000-of-00001.parquet": two},
        "script": {"script.py": b"raise SystemExit", "README.md": b"# Nothing"},
        "pickled": {"train.pkl": b"cos\nsystem\n(S'true'\ntR."},
        "damaged": {"train.parquet": one[:-7] + b"noise!!"},
        "card": {"README.md": b"---\nconfigs: 3\n---\n", "train.csv": b"text,label\na,b\n"},
    }
    for name, files in repositories.items():
        hub.add(f"group/{name}", files, "datasets")
    tables = {"english/train/0000.parquet": one, "german/train/0000.parquet": two}
    hub.add("group/script", tables, "datasets", "refs/convert/parquet")
    hub.faults["data/eng/train.csv"] += ["drop", "damage"]
    with serving(hub):
        done = subprocess.run(
            [sys.executable, "-c", FETCH, folder / "out", *GOOD, *BAD],
            env=os.environ | hub.environment | {"HF_DATASETS_CACHE": str(folder / "datasets-cache")},
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stderr
    return folder / "out", json.loads(done.stdout.splitlines()[-1]), done.stderr


def test_good_ones_are_all_there(fetched: tuple[Path, dict[str, str], str]) -> None:
    folder, said, _ = fetched
    assert set(said) == set(BAD)
    assert sorted(path.name for path in folder.iterdir()) == ["0", "1", "2", "3"]
    holds = [sorted(path.name for path in (folder / str(number)).iterdir()) for number in range(4)]
    both = ["fetched.json", "test.parquet", "train.parquet"]
    assert holds == [both, both, both, ["fetched.json", "train.parquet"]]
    told = json.loads((folder / "0/fetched.json").read_text())
    assert (told["name"], told["revision"], told["configuration"]) == ("group/speeches", COMMIT, "english")
    assert told["splits"]["train"]["texts"] == 3


@pytest.mark.parametrize("source", BAD)
def test_refusals(source: str, fetched: tuple[Path, dict[str, str], str]) -> None:
    said = fetched[1][source]
    assert BAD[source] in said and "\n" not in said
    assert said.startswith(f"data set {parse_hub(source).name}: ")


def test_numbers_become_names_of_labels(fetched: tuple[Path, dict[str, str], str]) -> None:
    folder, _, _ = fetched
    english = pl.read_parquet(folder / "0/train.parquet")
    assert english.rows() == [("hello", "left"), ("world", "right"), ("=1+1", None)]
    german = pl.read_parquet(folder / "1/train.parquet")
    assert german["text"].to_list() == ["grüß"] * 2 and german["topics"].to_list() == [["a", "b"]] * 2
    tables = pl.read_parquet(folder / "2/train.parquet")
    assert tables.rows() == [("x", ["b"]), ("y", ["a"])]  # without the column of boxes
    assert pl.read_parquet(folder / "3/train.parquet").rows() == tables.rows()


def test_rows_of_the_hub_are_said_as_those_of_its_splits(fetched: tuple[Path, dict[str, str], str]) -> None:
    folder, _, _ = fetched
    source = Source(str(folder / "0"), text="text", labels=("label",), splits=("train", "10%", "test"))
    examples, problems = read_examples(source, "single")
    assert [f"{example.name}:{example.row}" for example in examples] == [
        "train.parquet:1",
        "train.parquet:2",
        "test.parquet:1",
    ]
    assert [(problem.place, problem.text) for problem in problems] == [
        (f"{folder}/0/train.parquet, row 3", "the label is missing; expected a string or a whole number")
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hub:org/name", HubSource("org/name")),
        ("hub:org/name@main", HubSource("org/name", "main")),
        ("hub:org/name#english", HubSource("org/name", None, "english")),
        ("hub:o/n@refs/convert/parquet#a b", HubSource("o/n", "refs/convert/parquet", "a b")),
    ],
)
def test_how_they_are_named(text: str, expected: HubSource) -> None:
    assert parse_hub(text) == expected and str(expected) == text
    assert hub_slug(expected) != hub_slug(HubSource("org/name", "other"))


@pytest.mark.parametrize("text", ["hub:", "hub:a b", "hub:a@", "hub:a#", "hub:@main"])
def test_how_they_are_not_named(text: str) -> None:
    with pytest.raises(UserError, match="expected hub:org/name"):
        parse_hub(text)
