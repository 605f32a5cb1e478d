"""Fine-tuning of pre-trained transformers with sharpness-aware minimisation."""

VERSION = "0.1.0"  # as in pyproject.toml: rules find the library without installing it
