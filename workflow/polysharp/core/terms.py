"""The words that everything shares: kinds of labels, metrics, kinds of methods, splits."""

from __future__ import annotations

from typing import Literal, get_args

LabelType = Literal["single", "multi"]
LABEL_TYPES: tuple[LabelType, ...] = get_args(LabelType)
Metric = Literal["macro_f1", "micro_f1", "weighted_f1", "accuracy"]
Kind = Literal["finetune", "probe", "tfidf", "outside"]
SPLITS = ("train", "validation", "test")
REPORTED = SPLITS[1:]  # the ones that scores are of
