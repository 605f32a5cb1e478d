"""Model folders as people have them: incomplete weights, other layouts, tokenizers that cannot work."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

from polysharp.config.settings import ModelSettings
from polysharp.core.errors import UserError
from polysharp.core.files import read_json, write_json
from polysharp.data.prepared import PreparedData
from polysharp.models import prepare
from polysharp.models.classifier import PooledClassifierConfig, from_encoder
from polysharp.models.folder import read_identity, read_positions
from polysharp.models.prepare import prepare_model
from polysharp.training.inputs import PretrainedModel
from tests.tiny_models import write_tiny_model
from tests.unit.conftest import TEXTS

HEADS = [AutoModelForMaskedLM, AutoModelForSequenceClassification]


def change_weights(folder: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> None:
    weights = {
        name: tensor.clone() for name, tensor in change(load_file(folder / "model.safetensors")).items()
    }
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def change_config(folder: Path, **changes: Any) -> None:
    write_json(folder / "config.json", read_json(folder / "config.json") | changes)


def refusal(folder: Path, tmp_path: Path) -> str:
    """Return the one line that refuses the model, after checking that nothing was left behind."""
    with pytest.raises(UserError) as caught:
        prepare_model(str(folder), None, tmp_path / "out" / "prepared")
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "out").iterdir())
    return str(caught.value)


def prepared(folder: Path, tmp_path: Path) -> Path:
    prepare_model(str(folder), None, tmp_path / "prepared")
    return tmp_path / "prepared"


def states(model: torch.nn.Module, folder: Path) -> Tensor:
    with torch.no_grad():
        batch = AutoTokenizer.from_pretrained(folder)(TEXTS, padding=True, return_tensors="pt")
        return model.eval()(batch["input_ids"], batch["attention_mask"]).last_hidden_state


# --- Weights that are missing or left over --------------------------------------------------------


def with_lora(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return weights as `save_pretrained` of a model with unmerged LoRA on the queries writes them."""
    changed = {}
    for name, tensor in weights.items():
        changed[name.replace("query.", "query.base_layer.")] = tensor
        if name.endswith("query.weight"):
            changed[name.replace("weight", "lora_A.default.weight")] = tensor[:4]
            changed[name.replace("weight", "lora_B.default.weight")] = tensor[:, :4]
    return changed


def test_unmerged_lora(source: Path, tmp_path: Path) -> None:
    change_weights(source, with_lora)
    said = refusal(source, tmp_path)
    assert (
        "4 of 39 weights of BertModel are not in its files (encoder.layer.0.attention.self.query.bias" in said
    )
    assert "8 weights in its files are not part of it" in said
    assert "encoder.layer.1.attention.self.query.base_layer.weight" in said
    assert said.endswith("an unmerged adapter; merge it (PEFT: merge_and_unload()), and save again")


def test_unmerged_lora_below_the_name_of_the_model(source: Path, tmp_path: Path) -> None:
    AutoModelForMaskedLM.from_pretrained(source).save_pretrained(source)
    change_weights(source, with_lora)
    said = refusal(source, tmp_path)
    assert "bert.encoder.layer.1.attention.self.query.lora_A.default.weight" in said and "merge it" in said


@pytest.mark.parametrize("head", [None, *HEADS])
@pytest.mark.parametrize(
    ("layers", "found"),
    [
        (1, "16 weights in its files are not part of it"),
        (3, "16 of 55 weights of BertModel are not in its files (encoder.layer.2.attention.output"),
    ],
)
def test_another_number_of_layers(layers: int, found: str, head: Any, source: Path, tmp_path: Path) -> None:
    if head:
        head.from_pretrained(source).save_pretrained(source)
    change_config(source, num_hidden_layers=layers)
    said = refusal(source, tmp_path)
    assert found in said and f"config.json (num_hidden_layers: {layers}) and weights do not" in said


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (
            lambda w: {k: v for k, v in w.items() if "1.output.dense.bias" not in k},
            "(encoder.layer.1.output.dense.bias)",
        ),
        (
            lambda w: {f"module.{k}": v for k, v in w.items()},
            "37 of 39 weights of BertModel are not in its files",
        ),
        (
            lambda w: w | {"encoder.layer.0.output.adapters.mine.weight": torch.zeros(2)},
            "(encoder.layer.0.output.adapters.mine.weight); it was saved with an unmerged adapter",
        ),
        (lambda w: w | {"embeddings.gate": torch.zeros(2)}, "(embeddings.gate)"),
    ],
    ids=["one missing", "DataParallel", "adapter", "one left over"],
)
def test_incomplete_weights_are_named(
    change: Callable[[dict[str, Tensor]], dict[str, Tensor]], found: str, source: Path, tmp_path: Path
) -> None:
    change_weights(source, change)
    assert found in refusal(source, tmp_path)


def test_weights_that_are_no_numbers(source: Path, tmp_path: Path) -> None:
    """As of a training in float16 that went beyond what float16 holds."""
    name = "embeddings.word_embeddings.weight"
    for wrong in (float("nan"), float("inf")):
        change_weights(source, lambda weights, wrong=wrong: weights | {name: weights[name] * wrong})
        assert f"1 weights are not finite (NaN or infinite): {name}" in refusal(source, tmp_path)


@pytest.mark.parametrize("head", HEADS)
def test_heads_poolers_and_position_ids_may_be_there(
    head: Any, tiny: Path, source: Path, tmp_path: Path
) -> None:
    head.from_pretrained(tiny).save_pretrained(source)
    more = {
        "bert.embeddings.position_ids": torch.arange(128)[None],
        "bert.pooler.dense.weight": torch.zeros(32, 32),
        "bert.pooler.dense.bias": torch.zeros(32),
        "cls.seq_relationship.weight": torch.zeros(2, 32),
        "my_head.0.weight": torch.zeros(3, 32),
    }
    change_weights(source, lambda weights: weights | more)
    folder = prepared(source, tmp_path)
    assert torch.equal(
        states(AutoModel.from_pretrained(folder), folder), states(AutoModel.from_pretrained(tiny), tiny)
    )


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_what_an_earlier_version_prepared_incomplete_is_not_trained(
    pooling: str, source: Path, small_data: Callable[[str], PreparedData]
) -> None:
    change_weights(
        source, lambda weights: {k: v for k, v in weights.items() if "1.output.dense.bias" not in k}
    )
    with pytest.raises(UserError, match=re.escape("(encoder.layer.1.output.dense.bias)")):
        model = PretrainedModel(source, ModelSettings(name="tiny", pooling=pooling))
        model.classifier(small_data("single"), None)


# --- Padding ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ["fnet", "funnel", "convbert", "mobilebert", "bert", "xlm-roberta"])
def test_dependence_on_the_padding_is_measured(
    architecture: str,
    source: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(prepare.log, "propagate", True)
    sizes: dict[str, Any] = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
    }
    if architecture == "funnel":
        sizes = {
            "d_model": 32,
            "d_head": 8,
            "d_inner": 64,
            "n_head": 4,
            "block_sizes": [1, 1],
            "num_decoder_layers": 1,
        }
    if architecture == "mobilebert":
        sizes |= {"embedding_size": 16, "intra_bottleneck_size": 16}
    if architecture == "convbert":
        sizes |= {"embedding_size": 32}
    rows = read_json(source / "config.json")["vocab_size"]
    config = AutoConfig.for_model(
        architecture, vocab_size=rows, pad_token_id=0, max_position_embeddings=64, **sizes
    )
    if architecture == "funnel":
        config.architectures = ["FunnelModel"]
    torch.manual_seed(0)
    model = AutoModel.from_config(config)
    torch.nn.init.normal_(model.get_input_embeddings().weight)  # padding included, as in published ones
    model.save_pretrained(source)
    depends = architecture not in ("bert", "xlm-roberta")
    assert read_identity(prepared(source, tmp_path)).get("reads_padding", False) == depends
    assert ("depends on padding" in caplog.text) == depends


# --- Other layouts -----------------------------------------------------------------------------------


def test_an_adapter_alone(source: Path, tmp_path: Path) -> None:
    for file in ("config.json", "model.safetensors"):
        (source / file).rename(
            source / file.replace("model", "adapter_model").replace("config", "adapter_config")
        )
    write_json(source / "adapter_config.json", {"base_model_name_or_path": "org/base", "peft_type": "LORA"})
    said = refusal(source, tmp_path)
    assert "holds an unmerged adapter of org/base" in said and "merge_and_unload()" in said


def test_an_adapter_beside_weights(source: Path, tmp_path: Path) -> None:
    write_json(source / "adapter_config.json", {"base_model_name_or_path": "org/base", "peft_type": "LORA"})
    assert "holds an unmerged adapter" in refusal(source, tmp_path)


def test_the_inner_folder_of_sentence_transformers(tiny: Path, tmp_path: Path) -> None:
    source = tmp_path / "sentences"
    copytree(tiny, source / "0_Transformer")
    write_json(source / "modules.json", [{"idx": 0, "path": "0_Transformer"}])
    folder = prepared(source, tmp_path)
    assert read_identity(folder)["name"] == "sentences"
    assert torch.equal(
        states(AutoModel.from_pretrained(folder), folder), states(AutoModel.from_pretrained(tiny), tiny)
    )


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_a_published_classifier_is_a_base_model_again(
    pooling: str, tiny: Path, source: Path, tmp_path: Path
) -> None:
    labels = {"id2label": {0: "a", 1: "b"}, "label2id": {"a": 0, "b": 1}}
    encoder = AutoModel.from_pretrained(tiny)
    if pooling == "mean":
        model = from_encoder(encoder, PooledClassifierConfig(encoder=encoder.config, **labels))
    else:
        model = AutoModelForSequenceClassification.from_pretrained(tiny, **labels)
    model.config.polysharp = {"thresholds": None, "text_prefix": "", "max_length": 24}
    model.save_pretrained(source)
    folder = prepared(source, tmp_path)
    assert read_identity(folder)["architecture"] == "BertModel"
    assert torch.equal(states(AutoModel.from_pretrained(folder), folder), states(encoder, tiny))
    assert "polysharp" not in read_json(folder / "config.json")


def test_a_published_classifier_whose_encoder_is_incomplete(tiny: Path, source: Path, tmp_path: Path) -> None:
    encoder = AutoModel.from_pretrained(tiny)
    from_encoder(encoder, PooledClassifierConfig(encoder=encoder.config, num_labels=2)).save_pretrained(
        source
    )
    change_weights(
        source, lambda weights: {k: v for k, v in weights.items() if "1.output.dense.bias" not in k}
    )
    assert "(encoder.layer.1.output.dense.bias)" in refusal(source, tmp_path)


def test_an_encoder_of_images(source: Path, tmp_path: Path) -> None:
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 64}
    rows = read_json(source / "config.json")["vocab_size"]
    AutoModel.from_config(AutoConfig.for_model("vit", **sizes, image_size=32)).save_pretrained(source)
    change_config(source, vocab_size=rows)
    assert "ViTModel cannot read texts" in refusal(source, tmp_path)


@pytest.mark.parametrize("architecture", ["roberta", "bert"])
def test_a_padding_token_that_the_configuration_does_not_name(architecture: str, tmp_path: Path) -> None:
    source = write_tiny_model(tmp_path / "source", architecture, TEXTS)
    expected = states(AutoModel.from_pretrained(source), source)
    positions = read_positions(source)
    change_config(source, pad_token_id=None)
    folder = prepared(source, tmp_path)
    assert read_positions(folder) == positions
    torch.testing.assert_close(states(AutoModel.from_pretrained(folder), folder), expected)


def test_the_padding_of_the_tokenizer_is_that_of_the_configuration(source: Path, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(source)
    change_config(source, pad_token_id=tokenizer.unk_token_id)
    assert read_json(prepared(source, tmp_path) / "config.json")["pad_token_id"] == tokenizer.pad_token_id


# --- Tokenizers that cannot work ------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PhobertTokenizer", "BertweetTokenizer", "BertJapaneseTokenizer"])
@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_a_tokenizer_that_exists_in_python_alone(kind: str, file: str, source: Path, tmp_path: Path) -> None:
    content = json.loads((source / "tokenizer_config.json").read_text())
    content.pop("tokenizer_class")
    write_json(source / "tokenizer_config.json", content)
    write_json(source / file, read_json(source / file) | {"tokenizer_class": kind})
    said = refusal(source, tmp_path)
    assert f"its tokenizer {kind} has no fast version" in said and "docs/models.md" in said


@pytest.mark.parametrize("model_type", ["xlm", "flaubert", "canine"])
def test_families_without_a_fast_tokenizer(model_type: str, source: Path, tmp_path: Path) -> None:
    AutoConfig.for_model(model_type).save_pretrained(source)
    (source / "tokenizer_config.json").unlink()
    (source / "vocab.json").write_text("{}")
    (source / "merges.txt").write_text("")
    assert "has no fast version" in refusal(source, tmp_path)
