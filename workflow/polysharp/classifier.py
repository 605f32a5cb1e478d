"""Imported by published checkpoints, so that transformers can load them. The code is in polysharp.models."""

from polysharp.models.classifier import PooledClassifier, PooledClassifierConfig

__all__ = ["PooledClassifier", "PooledClassifierConfig"]
