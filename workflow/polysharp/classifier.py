"""What published checkpoints import, so that transformers can load them: the classifier is in models."""

from polysharp.models.classifier import PooledClassifier, PooledClassifierConfig

__all__ = ["PooledClassifier", "PooledClassifierConfig"]
