"""Fine-tuning of pre-trained transformers with sharpness-aware minimisation."""

VERSION = "0.1.0"  # pyproject.toml reads it here
