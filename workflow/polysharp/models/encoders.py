"""Loading encoders from folders: no weights may be missing, and none left over."""

from __future__ import annotations

import re
from collections.abc import Set
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polysharp.core.errors import UserError, list_some

if TYPE_CHECKING:  # transformers takes seconds to import, and commands import this module
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

# Buffers that some files hold: they are not trained, but computed when a model is built.
_BUFFER = re.compile(r"(^|\.)(position_ids|token_type_ids|inv_freq|masked_bias|attn\.(attention\.)?bias)$")
_ADAPTER = re.compile(r"\.(base_layer|lora_\w+|modules_to_save|adapters?)\.")
SHORT = "a e i o"
NOTICEABLE = 1e-3  # of the largest state: float32 differs by 1e-5 with the shape of a batch


def load_encoder(
    name: str, folder: Path, config: PretrainedConfig | None = None
) -> tuple[PreTrainedModel, Set[str]]:
    """Return the encoder in `folder`, in float32, and the weights of its pooler that are random.

    Parameters
    ----------
    name
        Name of the model in messages.
    config
        Used instead of the one in `folder`.

    Raises
    ------
    UserError
        When weights of the encoder are missing, left over or not finite. Heads and poolers may be missing
        or left over.
    """
    import torch
    from transformers import AutoConfig

    from polysharp.models.classifier import PooledClassifier, PooledClassifierConfig, auto_class

    config = config or AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    published = isinstance(config, PooledClassifierConfig)
    loader: Any = PooledClassifier if published else auto_class(config)
    model, report = loader.from_pretrained(
        folder,
        config=config,
        dtype=torch.float32,
        use_safetensors=True,
        trust_remote_code=False,
        local_files_only=True,
        output_loading_info=True,
    )
    missing, unexpected = report["missing_keys"], report["unexpected_keys"]
    if published:
        model, prefix = model.encoder, "encoder."
        missing, unexpected = (
            {weight.removeprefix(prefix) for weight in weights if weight.startswith(prefix)}
            for weights in (missing, unexpected)
        )
    check_weights(name, model, missing, unexpected)
    broken = sorted(weight for weight, tensor in model.named_parameters() if not tensor.isfinite().all())
    if broken:
        raise UserError(
            f"model {name}: {len(broken)} weights are not finite (NaN or infinite):"
            f" {list_some(broken)}; its training or saving failed, choose another model"
        )
    return model, missing


def load_own_classifier(folder: Path, config: PretrainedConfig) -> PreTrainedModel:
    """Return transformers' own classifier around the encoder in `folder`, in float32, with a random head.

    Raises
    ------
    UserError
        When transformers has no classifier for this encoder, or weights of the encoder are missing.
    """
    import torch
    from transformers import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING, AutoModelForSequenceClassification

    from polysharp.models.classifier import WITH_DECODER

    if config.model_type in WITH_DECODER or type(config) not in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING:
        raise UserError(
            f"pooling: cls: transformers has no classifier for the encoder of {config.model_type};"
            " expected pooling: mean"
        )
    model, report = AutoModelForSequenceClassification.from_pretrained(
        folder, config=config, dtype=torch.float32, output_loading_info=True
    )
    prefix = f"{model.base_model_prefix}."
    missing = {weight.removeprefix(prefix) for weight in report["missing_keys"] if weight.startswith(prefix)}
    check_weights(str(folder), model.base_model, missing, set())
    classifier: PreTrainedModel = model
    return classifier


def check_weights(name: str, encoder: PreTrainedModel, missing: Set[str], unexpected: Set[str]) -> None:
    """Refuse an encoder if transformers reports missing or left-over weights.

    Missing weights would be random, and left-over weights are not used: the model would not be the one
    that was trained. Heads and poolers are not checked, because a new head is trained.
    """
    parts = {weight.split(".")[0] for weight in (*encoder.state_dict(), *dict(encoder.named_modules()))}
    parts |= {encoder.base_model_prefix}
    lacking = sorted(weight for weight in missing if not _is_pooler(weight))
    surplus = sorted(
        weight
        for weight in unexpected
        if weight.split(".")[0] in parts and not _is_pooler(weight) and not _BUFFER.search(weight)
    )
    if not lacking and not surplus:
        return
    found = []
    if lacking:
        found.append(
            f"{len(lacking)} of {len(encoder.state_dict())} weights of {type(encoder).__name__} are not in"
            f" its files ({list_some(lacking)})"
        )
    if surplus:
        found.append(f"{len(surplus)} weights in its files are not part of it ({list_some(surplus)})")
    layers = getattr(encoder.config, "num_hidden_layers", None)
    advice = f"config.json (num_hidden_layers: {layers}) and weights do not match"
    if any(map(_ADAPTER.search, surplus)):
        advice = "it was saved with an unmerged adapter; merge it (PEFT: merge_and_unload()), and save again"
    raise UserError(f"model {name}: {' and '.join(found)}; {advice}")


def _is_pooler(weight: str) -> bool:
    return "pooler" in weight.split(".")


def depends_on_padding(name: str, encoder: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> bool:
    """Return whether the output of an encoder for a text depends on padding.

    This is the case if tokens are mixed without regard to the attention mask: by a Fourier transform
    (FNet), or by pooling or convolution of neighbours (Funnel, MobileBERT). The texts in a batch are padded
    to the longest of them, so that the prediction for one text then depends on the others.

    Raises
    ------
    UserError
        When the model cannot read texts.
    """
    import torch

    ids = tokenizer(SHORT)["input_ids"]
    states = []
    for length in (len(ids), len(ids) + 1, 3 * len(ids)):
        # Only the mask shows what is padding, so any ids can be the longer neighbour.
        batch = tokenizer.pad({"input_ids": [ids, (ids * 3)[:length]]}, return_tensors="pt")
        try:
            with torch.no_grad():
                hidden: Any = encoder(
                    input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
                ).last_hidden_state
        except (
            ValueError,
            TypeError,
            AttributeError,
            RuntimeError,
            IndexError,
            NotImplementedError,
        ) as error:
            raise UserError(
                f"model {name}: {type(encoder).__name__} cannot read texts"
                f" ({type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''});"
                " choose a text encoder"
            ) from None
        states.append(hidden[0][batch["attention_mask"][0].bool()])
    alone, *beside = states
    limit = NOTICEABLE * float(alone.abs().max())
    return any(float((alone - other).abs().max()) > limit for other in beside)
