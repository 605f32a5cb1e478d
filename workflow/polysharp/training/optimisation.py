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
    """Return the loss function of logits and indicators: a loss per text, or per text and label.

    With ``balanced`` class weights, rare labels of the training texts, whose indicators (texts, labels) are
    `truth`, weigh more. For single labels the weights are scikit-learn's: texts / (labels * texts with the
    label). For several labels, the positives are weighted by negatives / positives. Losses are not
    averaged, so that they can be added up over micro-batches and processes.
    """
    counts = torch.from_numpy(truth.sum(axis=0)).float()
    balanced = class_weights == "balanced"
    if label_type == "single":
        weights = torch.where(counts > 0, len(truth) / ((counts > 0).sum() * counts.clamp(min=1)), 0.0)
        return nn.CrossEntropyLoss(weight=weights if balanced else None, reduction="none")
    ratio = (len(truth) - counts) / counts.clamp(min=1)
    return nn.BCEWithLogitsLoss(pos_weight=ratio.clamp(min=1e-3) if balanced else None, reduction="none")


def make_optimizer(model: PreTrainedModel, settings: TrainingSettings) -> torch.optim.Optimizer:
    """Return AdamW: the head has its own learning rate; embeddings, norms and biases have no weight decay."""
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
    """Return a schedule of transformers for steps 1 to `steps`.

    Step 0 and the step after the last are left out: their learning rate is 0, so they would change nothing.
    """
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]  # torch requires this when a schedule starts after step 0
    warmup = round(settings.warmup * steps)
    schedule: torch.optim.lr_scheduler.LRScheduler
    if settings.schedule == "constant":
        schedule = get_constant_schedule_with_warmup(optimizer, warmup, last_epoch=0)
    else:
        cosine = settings.schedule == "cosine"
        make = get_cosine_schedule_with_warmup if cosine else get_linear_schedule_with_warmup
        schedule = make(optimizer, warmup, steps + 1, last_epoch=0)
    return schedule
