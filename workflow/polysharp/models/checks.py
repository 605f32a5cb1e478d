"""What makes a model unusable, found before or after it is loaded."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from polysharp.core.errors import UserError, first_line, nearest
from polysharp.core.files import read_json
from polysharp.core.paths import WEIGHTS
from polysharp.models.unpickle import INDEX, PICKLE

SAFETENSORS = (WEIGHTS, f"{WEIGHTS}.index.json")
PICKLES = (PICKLE, INDEX)


# Any of these holds a vocabulary. Without one, transformers loads an empty tokenizer and says nothing.
VOCABULARIES = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "sentencepiece.bpe.model",
    "spiece.model",
    "spm.model",
    "tokenizer.model",
)


# Digits and words in the scripts of most of the world's encoders: any vocabulary knows some of it.
SAMPLE = "a e i n o r s t 1 2 3 the и не που של في में है ที่ 的 一 の は 이 다"


def has_safetensors(folder: Path) -> bool:
    """Return whether a folder has weights without pickle."""
    return any((folder / file).is_file() for file in SAFETENSORS)


def check_folder(name: str, folder: Path) -> str:
    """Return the file that names the weights in `folder`, after checking what can be told without loading."""
    if not folder.is_dir():
        raise UserError(f"model {name}: no such folder")
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
    """Refuse a configuration that transformers cannot load by itself, or that is not an encoder's."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    try:
        config = read_json(folder / "config.json")
        model_type = config["model_type"]
    except (ValueError, KeyError, TypeError):
        raise UserError(f"model {name}: its config.json does not say which model_type it is") from None
    if model_type not in CONFIG_MAPPING_NAMES:
        if "auto_map" in config:
            raise UserError(
                f"model {name}: needs code from its own repository ({model_type}), which is never run;"
                " choose a model of an architecture that transformers has"
            )
        raise UserError(
            f"model {name}: transformers has no architecture {model_type!r}"
            + nearest(model_type, CONFIG_MAPPING_NAMES)
        )
    if config.get("is_encoder_decoder"):
        raise UserError(f"model {name}: {model_type} is an encoder with a decoder; choose an encoder alone")


def check_tokenizer(name: str, folder: Path) -> None:
    """Refuse a tokenizer that knows nothing, has more pieces than the model has rows, or cannot pad."""
    from transformers import AutoTokenizer

    with as_user_error(name):
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    ids = tokenizer(SAMPLE, add_special_tokens=False)["input_ids"]
    if not set(ids) - set(tokenizer.all_special_ids):
        raise UserError(
            f"model {name}: its tokenizer knows no word of a sample in ten scripts; files are missing"
        )
    pieces = max(tokenizer.get_vocab().values()) + 1
    rows = read_json(folder / "config.json")["vocab_size"]
    if pieces > rows:
        raise UserError(
            f"model {name}: its tokenizer has {pieces} pieces, its embeddings {rows} rows;"
            " tokenizer and weights do not belong together"
        )
    if tokenizer.pad_token_id is None:
        raise UserError(f"model {name}: its tokenizer has no padding token, so texts cannot be batched")


@contextmanager
def as_user_error(name: str) -> Iterator[None]:
    """Turn what transformers raises over the files of a model into one line."""
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
