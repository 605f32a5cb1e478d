"""The TF-IDF baseline."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_union

from polysharp.config.settings import TfidfSettings
from polysharp.core.errors import UserError
from polysharp.core.labels import encode
from polysharp.core.terms import Metric
from polysharp.data.prepared import PreparedData, training_rows
from polysharp.results.outcome import Outcome
from polysharp.training.probe import fit_best

log = logging.getLogger("polysharp.training.tfidf")


def train_tfidf(data: PreparedData, settings: TfidfSettings, metric: Metric, seed: int) -> Outcome:
    """Fit a logistic regression on TF-IDF features of the training texts, with C chosen on validation.

    `seed` only determines which training texts are drawn, if the settings have a train_size.

    Raises
    ------
    UserError
        When no training text contains a word.
    """
    frames = {
        "train": training_rows(data, settings.train_size, seed),
        "validation": data.split("validation"),
        "test": data.split("test"),
    }
    features = dict(zip(frames, _features(*(f["text"].to_list() for f in frames.values())), strict=True))
    truth = {name: encode(frame["labels"].to_list(), data.labels) for name, frame in frames.items()}
    model, decision, chosen = fit_best(
        (features["train"], truth["train"]),
        (features["validation"], truth["validation"]),
        data.label_type,
        settings,
        metric,
    )
    log.info("tfidf: C %g, validation %s %.3f", chosen, metric, decision.value)
    logits = {name: model.logits(features[name]) for name in ("validation", "test")}
    history = [{"inverse_regularisation": chosen, f"validation_{metric}": decision.value}]
    return Outcome(logits, decision, None, history)


def _features(*splits: Sequence[str]) -> list[NDArray[np.float64]]:
    """Return sparse TF-IDF features of lists of texts; the first list, training, gives the vocabulary.

    The features are words, pairs of words, and character n-grams within words, which help in languages
    without spaces or with rich inflection.
    """
    union = make_union(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True),
    )
    try:
        return [union.fit_transform(splits[0]), *(union.transform(split) for split in splits[1:])]
    except ValueError as error:
        raise UserError(f"no words found in the training texts: {error}") from None
