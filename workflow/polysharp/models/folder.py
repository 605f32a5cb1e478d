"""The folder of a prepared model: which model it holds, and how to read it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from polysharp.core.errors import UserError
from polysharp.core.files import read_json
from polysharp.core.paths import IDENTITY

PUBLISHED = "polysharp_pooled"  # model type of published classifiers with mean pooling
READS_PADDING = "reads_padding"  # in polysharp.json, of a model whose output depends on padding
ROBERTA_KIN = (
    "roberta", "camembert", "xlm-roberta", "xlm-roberta-xl", "roberta-prelayernorm", "xmod",
    "mpnet", "longformer", "data2vec-text", "ibert", "luke", "esm", "lilt", "markuplm", "layoutlmv3",
)  # fmt: skip
GPT_KIN = ("gpt2", "openai-gpt", "ctrl", "codegen", "gptj", "gpt_bigcode")  # T5's n_positions is no limit
UNLIMITED = 1 << 30  # models with relative positions have no limit


def read_identity(folder: Path) -> dict[str, Any]:
    """Return which model the prepared `folder` holds.

    ``name`` as configured (of a local folder, its last part), ``revision`` (a hub commit, a package's
    version, or None), ``sha256`` of ``model.safetensors`` followed by ``tokenizer.json``,
    ``config_sha256`` of its configuration, and ``architecture`` (transformers' class). Raises
    :class:`UserError` when `folder` was not prepared.
    """
    if not (folder / IDENTITY).is_file():
        raise UserError(
            f"{folder}: not a prepared model (no {IDENTITY}); run `polysharp prepare-model` first"
        )
    identity: dict[str, Any] = read_json(folder / IDENTITY)
    return identity


def read_positions(folder: Path) -> int:
    """Return the maximum number of tokens for the model in the prepared `folder`, by its positions.

    Tokenizers do not always know it. RoBERTa and similar models start to count positions after the id of
    the padding token; GPT-2 and similar models use another key.
    """
    config = read_json(folder / "config.json")
    reserved = config["pad_token_id"] + 1 if config["model_type"] in ROBERTA_KIN else 0
    positions = config.get("n_positions" if config["model_type"] in GPT_KIN else "max_position_embeddings")
    return (positions or UNLIMITED) - reserved


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence transformers' reports and progress bars; polysharp checks and reports what matters."""
    from transformers.utils import logging as transformers_logging

    verbosity = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()
