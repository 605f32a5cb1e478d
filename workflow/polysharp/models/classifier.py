"""A transformer encoder with mean pooling and a linear head.

Importing this module registers the classifier with transformers' Auto classes, so that
``AutoModelForSequenceClassification.from_pretrained`` loads a published folder without remote code.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    AutoModelForTextEncoding,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.modeling_outputs import SequenceClassifierOutput

WITH_DECODER = ("t5", "mt5", "umt5")  # model types of which only the encoder is used


class PooledClassifierConfig(PretrainedConfig):
    """Configuration of :class:`PooledClassifier`: that of the encoder, and the labels."""

    model_type = "polysharp_pooled"
    sub_configs: ClassVar[dict[str, Any]] = {"encoder": AutoConfig}

    def __init__(self, encoder: PretrainedConfig | dict[str, Any] | None = None, **kwargs: Any) -> None:
        if isinstance(encoder, dict):
            encoder = AutoConfig.for_model(**encoder)
        self.encoder = encoder
        super().__init__(**kwargs)


class PooledClassifier(PreTrainedModel):
    """Encoder, mean over the tokens that are not padding, linear head."""

    config_class = PooledClassifierConfig
    base_model_prefix = "encoder"

    def __init__(self, config: PooledClassifierConfig) -> None:
        super().__init__(config)
        # Only transformers itself creates configurations without these, for internal use.
        assert config.encoder is not None and config.num_labels is not None
        self.encoder = auto_class(config.encoder).from_config(config.encoder)
        self.head = nn.Linear(config.encoder.hidden_size, config.num_labels)
        self.post_init()  # type: ignore[no-untyped-call]

    def forward(self, input_ids: Tensor, attention_mask: Tensor, **inputs: Any) -> SequenceClassifierOutput:
        """Return logits (texts, labels) for token ids and mask (texts, tokens)."""
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask, **inputs).last_hidden_state
        return SequenceClassifierOutput(logits=self.head(mean_pool(hidden, attention_mask)))


def auto_class(config: PretrainedConfig) -> Any:
    """Return the Auto class that makes an encoder from `config`; for T5 and the like, without the decoder."""
    return AutoModelForTextEncoding if config.model_type in WITH_DECODER else AutoModel


def mean_pool(hidden: Tensor, attention_mask: Tensor) -> Tensor:
    """Return the mean (texts, width) over the tokens of `hidden` (texts, tokens, width) that the mask keeps.

    The sum is in float32 at least, whatever the precision of the encoder.
    """
    hidden = hidden.to(torch.promote_types(hidden.dtype, torch.float32))
    mask = attention_mask.unsqueeze(-1).to(hidden)
    return (hidden * mask).sum(1) / mask.sum(1).clamp(min=1.0)


def from_encoder(encoder: PreTrainedModel, config: PooledClassifierConfig) -> PooledClassifier:
    """Return a classifier around an existing encoder, with a random head."""
    with torch.device("meta"):  # otherwise a second encoder would be initialised and thrown away
        model = PooledClassifier(config)
    model.encoder = encoder
    model.head = nn.Linear(model.head.in_features, model.head.out_features)
    nn.init.normal_(model.head.weight, std=0.02)  # as transformers initialises heads
    nn.init.zeros_(model.head.bias)
    return model


def set_head(model: PooledClassifier, weight: Tensor, bias: Tensor) -> None:
    """Put a probe's weights (labels, width) and biases (labels,) into the head."""
    with torch.no_grad():
        model.head.weight.copy_(weight)
        model.head.bias.copy_(bias)


AutoConfig.register("polysharp_pooled", PooledClassifierConfig)
AutoModelForSequenceClassification.register(PooledClassifierConfig, PooledClassifier)
