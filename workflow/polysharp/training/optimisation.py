"""Loss, optimizer and learning rates of fine-tuning."""

from __future__ import annotations

import torch
from torch import nn
from transformers import (
    PreTrainedModel,
    get_constant_schedule_with_warmup,
    get_cosine_schedule_with_warmup,
    get_linear_schedule_with_warmup,
)

from polysharp.config.settings import TrainingSettings
from polysharp.core.labels import Indicators
from polysharp.core.terms import LabelType
from polysharp.training.used_rows import UsedRows


def make_loss(truth: Indicators, label_type: LabelType, class_weights: str) -> nn.Module:
    """Return the loss of every text, or of every text and label, of logits against indicators.

    Labels are weighted by their rarity in the training texts' indicators (texts, labels), the
    weights are scikit-learn's 'balanced' ones: texts / (labels * texts with the label) for single
    labels, negatives / positives for the positives of several. The losses are not averaged, as the
    parts of a batch can be added up then, in micro-batches and in several processes.
    """
    counts = torch.from_numpy(truth.sum(axis=0)).float()
    balanced = class_weights == "balanced"
    if label_type == "single":
        weights = torch.where(counts > 0, len(truth) / ((counts > 0).sum() * counts.clamp(min=1)), 0.0)
        return nn.CrossEntropyLoss(weight=weights if balanced else None, reduction="none")
    ratio = (len(truth) - counts) / counts.clamp(min=1)
    return nn.BCEWithLogitsLoss(pos_weight=ratio.clamp(min=1e-3) if balanced else None, reduction="none")


def make_optimizer(model: PreTrainedModel, settings: TrainingSettings) -> torch.optim.Optimizer:
    """Return AdamW; the head learns faster, and neither embeddings, norms nor biases decay."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    embeddings = {
        id(parameter)
        for module in model.modules()
        if isinstance(module, nn.Embedding | UsedRows)
        for parameter in module.parameters()
    }
    inside = {id(parameter) for parameter in model.base_model.parameters()}
    for parameter in model.parameters():
        decays = parameter.ndim > 1 and id(parameter) not in embeddings
        groups.setdefault((id(parameter) in inside, decays), []).append(parameter)
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "lr": settings.learning_rate if encoder else settings.head_learning_rate,
                "weight_decay": settings.weight_decay if decays else 0.0,
            }
            for (encoder, decays), parameters in groups.items()
        ],
        fused=True,  # one pass over the weights, and no copies of them
    )


def make_schedule(
    optimizer: torch.optim.Optimizer, settings: TrainingSettings, steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    """Return the learning rates of steps 1 to `steps` of transformers' schedules.

    Step 0 is left out: its rate is 0, it would change nothing; so would the one after the last.
    """
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]  # what torch asks for when a schedule starts after step 0
    warmup = round(settings.warmup * steps)
    schedule: torch.optim.lr_scheduler.LRScheduler
    if settings.schedule == "constant":
        schedule = get_constant_schedule_with_warmup(optimizer, warmup, last_epoch=0)
    else:
        cosine = settings.schedule == "cosine"
        make = get_cosine_schedule_with_warmup if cosine else get_linear_schedule_with_warmup
        schedule = make(optimizer, warmup, steps + 1, last_epoch=0)
    return schedule
