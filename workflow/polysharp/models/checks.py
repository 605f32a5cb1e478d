"""Checks that a model can be used, before and after it is loaded."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polysharp.core.errors import UserError, first_line, nearest
from polysharp.core.files import read_json
from polysharp.core.paths import INNER, TOKENIZER, WEIGHTS
from polysharp.models.folder import PUBLISHED
from polysharp.models.unpickle import INDEX, PICKLE

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SAFETENSORS = (WEIGHTS, f"{WEIGHTS}.index.json")
PICKLES = (PICKLE, INDEX)
ADAPTER = "adapter_config.json"

# Each of these holds a vocabulary. Without one, transformers silently loads an empty tokenizer.
VOCABULARIES = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "sentencepiece.bpe.model",
    "spiece.model",
    "spm.model",
    "tokenizer.model",
)


# Digits and words in the scripts of most encoders: every vocabulary knows some of them.
SAMPLE = "a e i n o r s t 1 2 3 the и не που של في में है ที่ 的 一 の は 이 다"


def has_safetensors(folder: Path) -> bool:
    """Return whether a folder has weights as safetensors."""
    return any((folder / file).is_file() for file in SAFETENSORS)


def model_folder(folder: Path) -> Path:
    """Return the folder of the encoder, which may be inside a folder of sentence-transformers."""
    inner = folder / INNER
    return inner if (inner / "config.json").is_file() and not (folder / "config.json").is_file() else folder


def check_folder(name: str, folder: Path) -> str:
    """Return the weights file (or its index) in `folder`, after all checks that need no loading."""
    if not folder.is_dir():
        raise UserError(f"model {name}: no such folder")
    if (folder / ADAPTER).is_file():
        base = read_json(folder / ADAPTER).get("base_model_name_or_path")
        raise UserError(
            f"model {name}: the folder holds an unmerged adapter of {base}; merge it, and use the"
            " merged folder: PeftModel.from_pretrained(<the model>,"
            " <this folder>).merge_and_unload().save_pretrained(<the merged folder>); copy the tokenizer too"
        )
    if not (folder / "config.json").is_file():
        raise UserError(
            f"model {name}: the folder has no config.json, so it is not a Hugging Face model folder"
        )
    check_architecture(name, folder)
    weights = next((file for file in (*SAFETENSORS, *PICKLES) if (folder / file).is_file()), None)
    if weights is None:
        raise UserError(f"model {name}: the folder has no weights ({SAFETENSORS[0]} or {PICKLES[0]})")
    with (folder / weights).open("rb") as stream:
        if stream.read(20).startswith(b"version https://git"):
            raise UserError(f"model {name}: {weights} is only a pointer to the weights; run: git lfs pull")
    if not any((folder / file).is_file() for file in VOCABULARIES):
        raise UserError(
            f"model {name}: the folder has no tokenizer (tokenizer.json or a vocabulary);"
            " copy it from where the model was trained"
        )
    return weights


def check_architecture(name: str, folder: Path) -> None:
    """Refuse a configuration that needs code outside of transformers, or that is not an encoder's."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    from polysharp.models.classifier import WITH_DECODER

    try:
        config = read_json(folder / "config.json")
        if config["model_type"] == PUBLISHED:
            config = config["encoder"]
        model_type = config["model_type"]
    except (ValueError, KeyError, TypeError):
        raise UserError(f"model {name}: its config.json states no model_type") from None
    if model_type not in CONFIG_MAPPING_NAMES:
        if "auto_map" in config:
            raise UserError(
                f"model {name}: needs code from its own repository ({model_type}), which is never run;"
                " choose a model whose architecture is part of transformers"
            )
        raise UserError(
            f"model {name}: transformers has no architecture {model_type!r}"
            + nearest(model_type, CONFIG_MAPPING_NAMES)
        )
    if config.get("is_encoder_decoder") and model_type not in WITH_DECODER:
        raise UserError(f"model {name}: {model_type} has a decoder; choose a model that is only an encoder")


def load_tokenizer(name: str, folder: Path) -> Any:
    """Return the fast tokenizer in `folder`; without a padding token, it pads with the end-of-text token."""
    from transformers import AutoTokenizer, PreTrainedTokenizerFast
    from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES, tokenizer_class_from_name

    # Tokenizers written only in Python may ask for packages first, and could not be used even with them.
    declared = [
        read_json(folder / file).get("tokenizer_class")
        for file in ("tokenizer_config.json", "config.json")
        if (folder / file).is_file()
    ]
    model_type = read_json(folder / "config.json")["model_type"]
    kind = next(filter(None, declared), TOKENIZER_MAPPING_NAMES.get(model_type))
    known = tokenizer_class_from_name(kind) if kind else None
    usable = not isinstance(known, type) or issubclass(known, PreTrainedTokenizerFast)
    if usable:
        with as_user_error(name):
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        usable, kind = tokenizer.is_fast, type(tokenizer).__name__
    if not usable:
        raise UserError(
            f"model {name}: its tokenizer {kind} has no fast version (tokenizer.json), which polysharp"
            " needs; docs/models.md says which models have none"
        )
    tokenizer = _as_its_vocabulary_normalises(tokenizer, folder)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token  # the attention mask distinguishes the two
    return tokenizer


def _as_its_vocabulary_normalises(tokenizer: Any, folder: Path) -> Any:
    """Return a tokenizer with the normalisation of its vocabulary, if transformers has omitted it.

    Vocabularies of sentencepiece hold a map of characters, such as compatibility forms and non-breaking
    spaces. transformers 5 ignores it for DeBERTa and BigBird, so that more tokens are unknown.
    """
    from tokenizers import Tokenizer, normalizers
    from transformers import PreTrainedTokenizerFast
    from transformers.convert_slow_tokenizer import SentencePieceExtractor

    backend = tokenizer.backend_tokenizer
    vocabulary = str(getattr(tokenizer, "vocab_file", None) or "")
    if "Precompiled" in str(backend.normalizer):
        return tokenizer
    if (folder / TOKENIZER).is_file():
        normaliser = Tokenizer.from_file(str(folder / TOKENIZER)).normalizer
        if "Precompiled" not in str(normaliser):
            return tokenizer
        backend.normalizer = normaliser
    elif vocabulary.endswith(".model"):
        characters = SentencePieceExtractor(vocabulary).proto.normalizer_spec.precompiled_charsmap
        if not characters:
            return tokenizer
        own = [backend.normalizer] if backend.normalizer else []
        backend.normalizer = normalizers.Sequence([normalizers.Precompiled(characters), *own])
    else:
        return tokenizer
    # The tokenizer's own class would rebuild the normalisation whenever it is loaded.
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_input_names=tokenizer.model_input_names,
        model_max_length=tokenizer.model_max_length,
        padding_side=tokenizer.padding_side,
        **tokenizer.special_tokens_map,
    )


def check_tokenizer(name: str, folder: Path) -> "PreTrainedTokenizerBase":
    """Return the prepared tokenizer; refuse it if it is empty, does not fit the model, or cannot pad."""
    from transformers import AutoTokenizer

    with as_user_error(name):
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            folder, trust_remote_code=False, local_files_only=True
        )
    ids = tokenizer(SAMPLE, add_special_tokens=False)["input_ids"]
    if not set(ids) - set(tokenizer.all_special_ids):
        raise UserError(
            f"model {name}: its tokenizer knows no word of a sample in ten scripts; its files are incomplete"
        )
    pieces = max(tokenizer.get_vocab().values()) + 1
    rows = read_json(folder / "config.json")["vocab_size"]
    if pieces > rows:
        raise UserError(
            f"model {name}: its tokenizer has {pieces} tokens, but its embeddings {rows} rows;"
            " tokenizer and weights do not match"
        )
    if tokenizer.pad_token_id is None:
        raise UserError(f"model {name}: its tokenizer has no padding token, so texts cannot be batched")
    return tokenizer


@contextmanager
def as_user_error(name: str) -> Iterator[None]:
    """Turn errors of transformers about the files of a model into one line."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, ValueError, RuntimeError, EOFError, ImportError, KeyError) as error:
        reason = first_line(error)
    except SafetensorError as error:
        reason = f"its weights are damaged: {first_line(error)}"
    else:
        return
    raise UserError(f"model {name}: cannot be loaded: {reason}")
