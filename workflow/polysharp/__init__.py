"""Fine-tuning of pre-trained transformers with sharpness-aware minimisation."""
