"""Features of a frozen encoder, and the probe on them: a baseline, and the start of a head."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import BatchEncoding, PreTrainedModel

from polysharp.config.settings import ProbeSettings
from polysharp.core.terms import LabelType, Metric
from polysharp.evaluation.decisions import Decision
from polysharp.models.classifier import mean_pool
from polysharp.results.outcome import Outcome
from polysharp.training.batches import Split, TextTokenizer, infer
from polysharp.training.hardware import enough_memory
from polysharp.training.probe import LinearModel, fit_probe

log = logging.getLogger("polysharp.training.features")


@enough_memory()
def probe_encoder(
    encoder: PreTrainedModel,
    splits: dict[str, Split],
    tokenizer: TextTokenizer,
    label_type: LabelType,
    settings: ProbeSettings,
    metric: Metric,
    device: torch.device,
) -> Outcome:
    """Fit the probe on the frozen, mean-pooled encoder: the baseline."""
    encoder.to(device)  # type: ignore[arg-type]  # as torch's modules do
    features = {name: pooled_features(encoder, split, tokenizer, device) for name, split in splits.items()}
    probe, decision, chosen = probe_features(features, splits, label_type, settings, metric)
    log.info("probe: C %g, validation %s %.3f", chosen, metric, decision.value)
    logits = {name: probe.logits(features[name]) for name in ("validation", "test")}
    history = [{"inverse_regularisation": chosen, f"validation_{metric}": decision.value}]
    return Outcome(logits, decision, None, history)


def probe_features(
    features: dict[str, NDArray[np.float64]],
    splits: dict[str, Split],
    label_type: LabelType,
    settings: ProbeSettings,
    metric: Metric,
) -> tuple[LinearModel, Decision, float]:
    """Return the probe on features (texts, width) by split, its decision on validation, and its C."""
    train = features["train"], splits["train"].truth
    validation = features["validation"], splits["validation"].truth
    return fit_probe(train, validation, label_type, settings, metric)


def pooled_features(
    model: PreTrainedModel, split: Split, tokenizer: TextTokenizer, device: torch.device
) -> NDArray[np.float64]:
    """Return mean-pooled features (texts, width), in float32 like everything that is evaluated."""

    def pooled(batch: BatchEncoding[Any]) -> Tensor:
        return mean_pool(model(**batch).last_hidden_state, batch["attention_mask"])

    return infer(pooled, split, tokenizer, device)
