"""What the trainings of one data set and method share: model, texts, probe."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from transformers import AutoConfig, PretrainedConfig, PreTrainedModel

from polysharp.config.settings import ModelSettings, TrainingSettings
from polysharp.core.files import replacing_folder
from polysharp.core.terms import Metric
from polysharp.data.prepared import PreparedData
from polysharp.models.classifier import PooledClassifier, PooledClassifierConfig, from_encoder
from polysharp.models.encoders import load_encoder, load_own_classifier
from polysharp.models.folder import quiet_transformers
from polysharp.training.batches import Split, TextTokenizer, tokenize_splits
from polysharp.training.features import pooled_features, probe_features
from polysharp.training.probe import LinearModel

log = logging.getLogger("polysharp.training.inputs")
_DROPOUTS = (
    "hidden_dropout_prob", "attention_probs_dropout_prob",  # BERT, RoBERTa and their kin
    "dropout", "attention_dropout", "mlp_dropout", "embedding_dropout",  # others
    "dropout_rate", "resid_pdrop", "embd_pdrop", "attn_pdrop",  # T5, GPT-2
    "hidden_dropout", "activation_dropout",  # Funnel
)  # fmt: skip


class PretrainedModel:
    """A prepared model as trainings read it.

    Parameters
    ----------
    folder
        Folder of the prepared model.
    settings
        How the model reads texts.
    keep
        Whether to keep the encoder, as a process with several trainings does: it is then loaded once, and
        takes the memory of another copy of the weights.
    """

    def __init__(self, folder: Path, settings: ModelSettings, keep: bool = False) -> None:
        """Load the tokenizer; the weights are loaded when they are needed."""
        self.folder, self.settings, self._keep = folder, settings, keep
        self.tokenizer = TextTokenizer(folder, settings)
        self._encoders: dict[float | None, PreTrainedModel] = {}

    def encoder(self, dropout: float | None = None) -> PreTrainedModel:
        """Return an encoder of one's own, with a dropout probability; None is the one it has."""
        if dropout not in self._encoders:
            # Weights that are not in the folder, such as a pooler's, must be the same for every seed, and a
            # training must not depend on whether it is the first one in its process.
            with quiet_transformers(), torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                encoder, _ = load_encoder(str(self.folder), self.folder, self._configuration(dropout))
            if not self._keep:
                return encoder
            self._encoders[dropout] = encoder
        return copy.deepcopy(self._encoders[dropout])

    def classifier(self, data: PreparedData, dropout: float | None) -> PreTrainedModel:
        """Return a classifier with the pre-trained weights: ours for mean pooling, transformers' for ``cls``.

        Missing weights are initialised at random.
        """
        names = dict(enumerate(data.labels))
        description = {
            "num_labels": len(data.labels),
            "id2label": names,
            "label2id": {name: index for index, name in names.items()},
            "problem_type": f"{data.label_type}_label_classification",
        }
        model: PreTrainedModel
        if self.settings.pooling == "cls":
            config = self._configuration(dropout)
            config.update(description)
            with quiet_transformers():
                model = load_own_classifier(self.folder, config)
        else:
            encoder = self.encoder(dropout)
            model = from_encoder(encoder, PooledClassifierConfig(encoder=encoder.config, **description))
        if not torch.cuda.is_available():
            # On a CPU, the backward pass of torch's fused attention is slower than that of the plain one.
            model.set_attn_implementation("eager")
        return model

    def _configuration(self, dropout: float | None) -> PretrainedConfig:
        config: PretrainedConfig = AutoConfig.from_pretrained(self.folder)
        for name in _DROPOUTS:
            if dropout is not None and getattr(config, name, None) is not None:
                setattr(config, name, dropout)
        return config


class SharedTrainingInputs:
    """What the trainings of one data set and method share across seeds: texts and probe."""

    def __init__(
        self,
        pretrained: PretrainedModel,
        data: PreparedData,
        settings: TrainingSettings,
        metric: Metric,
        device: Accelerator,
    ) -> None:
        self.pretrained, self.data, self.settings = pretrained, data, settings
        self.metric, self.device = metric, device
        self.tokenizer = pretrained.tokenizer
        self._splits: dict[int | None, dict[str, Split]] = {}
        self._probes: dict[int | None, Probe] = {}

    def splits(self, seed: int) -> dict[str, Split]:
        """Return the texts of a seed, tokenized."""
        key = self._drawn_by(seed)
        if key not in self._splits:
            self._splits[key] = tokenize_splits(self.data, self.tokenizer, self.settings.train_size, seed)
        return self._splits[key]

    def model(self) -> PreTrainedModel:
        """Return the classifier with the pre-trained weights; missing weights are initialised at random."""
        return self.pretrained.classifier(self.data, self.settings.dropout)

    @torch.no_grad()
    def probe(self, model: PooledClassifier, seed: int) -> Probe:
        """Return the probe on the features of `model`, whose encoder is still the pre-trained one."""
        key = self._drawn_by(seed)
        if key not in self._probes:
            splits = self.splits(seed)
            model.eval()  # type: ignore[no-untyped-call]
            features = {
                name: pooled_features(model.encoder, splits[name], self.tokenizer, self.device.device)
                for name in ("train", "validation")
            }
            probe, decision, chosen = probe_features(
                features, splits, self.data.label_type, self.settings, self.metric
            )
            log.info("probe: C %g, validation %s %.3f", chosen, self.metric, decision.value)
            self._probes[key] = Probe(probe, features["validation"])
        return self._probes[key]

    def _drawn_by(self, seed: int) -> int | None:
        """Return the seed if it determines which texts are trained on, else None."""
        return seed if self.settings.train_size else None


@dataclass(frozen=True)
class Probe:
    """A probe, and the validation features (texts, width) that it was chosen on."""

    weights: LinearModel
    validation: NDArray[np.float64]


def save_classifier(
    model: PreTrainedModel, tokenizer: TextTokenizer, thresholds: Sequence[float] | None, folder: Path
) -> None:
    """Write model, tokenizer and thresholds into a folder that transformers can load."""
    model.config.polysharp = {
        "thresholds": thresholds,
        "text_prefix": tokenizer.prefix,
        "max_length": tokenizer.max_length,
    }
    with replacing_folder(folder) as staging, quiet_transformers():
        model.save_pretrained(staging)
        tokenizer.pretrained.save_pretrained(staging)
