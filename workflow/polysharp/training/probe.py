"""Logistic regression on fixed features: the baselines, and the start of the classifier's head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from polysharp.config.settings import ProbeSettings, TfidfSettings
from polysharp.core.labels import Indicators
from polysharp.core.terms import LabelType, Metric
from polysharp.evaluation.decisions import Decision, judge

NEVER_PREDICTED = -20.0  # bias of a label without training texts (single): its probability is practically 0

NEGLIGIBLE = 1e-6  # relative to the largest spread of a feature; features below this are rounding noise


@dataclass(frozen=True)
class LinearModel:
    """Logits ``features @ weight.T + bias``; weight (labels, width), bias (labels,)."""

    weight: NDArray[np.float64]
    bias: NDArray[np.float64]

    def logits(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return logits (texts, labels) of features (texts, width), dense or sparse."""
        return features @ self.weight.T + self.bias


def fit(
    features: NDArray[np.float64],
    truth: Indicators,
    label_type: LabelType,
    class_weights: str,
    inverse_regularisation: float,
) -> LinearModel:
    """Fit a logistic regression: multinomial (single), or one per label (multi).

    Labels that cannot be fitted get weights of 0. These are labels without training texts (single), whose
    bias is so low that they are never predicted, and labels that all texts have or none (multi), whose bias
    is the logarithm of their smoothed odds.
    """
    weight = np.zeros((truth.shape[1], features.shape[1]))
    regression = LogisticRegression(
        C=inverse_regularisation,
        class_weight="balanced" if class_weights == "balanced" else None,
        max_iter=1000,
    )
    if label_type == "single":
        bias = np.full(truth.shape[1], NEVER_PREDICTED)
        present = np.flatnonzero(truth.any(axis=0))
        regression.fit(features, truth.argmax(axis=1))
        if len(present) == 2:  # scikit-learn has one row for two labels: each gets half of it
            weight[present] = np.concatenate([-regression.coef_, regression.coef_]) / 2
            bias[present] = np.concatenate([-regression.intercept_, regression.intercept_]) / 2
        else:
            weight[present], bias[present] = regression.coef_, regression.intercept_
        return LinearModel(weight, bias)
    positives = truth.sum(axis=0)
    bias = np.log((positives + 0.5) / (len(truth) - positives + 0.5))
    for label in np.flatnonzero((positives > 0) & (positives < len(truth))):
        regression.fit(features, truth[:, label])
        weight[label], bias[label] = regression.coef_[0], regression.intercept_[0]
    return LinearModel(weight, bias)


def fit_best(
    train: tuple[NDArray[np.float64], Indicators],
    validation: tuple[NDArray[np.float64], Indicators],
    label_type: LabelType,
    settings: TfidfSettings,
    metric: Metric,
) -> tuple[LinearModel, Decision, float]:
    """Return the candidate that is best on validation: the model, its decision, and its C.

    Of equally good candidates, the most regularised one is taken.
    """
    best: tuple[LinearModel, Decision, float] | None = None
    for candidate in sorted(settings.inverse_regularisation):
        model = fit(*train, label_type, settings.class_weights, candidate)
        decision = judge(model.logits(validation[0]), validation[1], label_type, metric)
        if best is None or decision.value > best[1].value:
            best = model, decision, candidate
    assert best is not None  # the settings hold at least one candidate
    return best


def fit_probe(
    train: tuple[NDArray[np.float64], Indicators],
    validation: tuple[NDArray[np.float64], Indicators],
    label_type: LabelType,
    settings: ProbeSettings,
    metric: Metric,
) -> tuple[LinearModel, Decision, float]:
    """Apply :func:`fit_best` to standardised features; the returned model takes the original features.

    The standardisation is folded into weights and biases, so that a linear layer can hold the probe.
    """
    mean, spread = train[0].mean(axis=0), train[0].std(axis=0)
    # all-MiniLM-L6-v2 has features of about 1e-33. Scaled up, they would give weights of 1e30, which do not
    # matter to the probe, but ruin gradients.
    spread[spread <= NEGLIGIBLE * spread.max()] = max(float(spread.max()), NEGLIGIBLE)
    model, decision, chosen = fit_best(
        ((train[0] - mean) / spread, train[1]),
        ((validation[0] - mean) / spread, validation[1]),
        label_type,
        settings,
        metric,
    )
    weight = model.weight / spread
    return LinearModel(weight, model.bias - weight @ mean), decision, chosen
