"""Tiny encoders of real architectures, built on the spot: random weights, a real tokenizer."""

from collections import Counter
from collections.abc import Callable, Iterable
from math import log
from pathlib import Path
from typing import Any

SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
BERT_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
VOCABULARY_SIZE = 400
MAXIMUM_LENGTH = 128


def write_tiny_model(
    folder: Path,
    architecture: str,
    vocabulary_texts: Iterable[str],
    hidden_size: int = 32,
    layers: int = 2,
) -> Path:
    """Write a tiny encoder and its tokenizer to `folder` as a Hugging Face model folder.

    `architecture` is ``bert``, ``roberta``, ``camembert`` or ``xlm-roberta``. The tokenizer is of the
    kind that the architecture is published with (WordPiece, byte-level BPE, Unigram twice), made
    from `vocabulary_texts`; the weights are float32, random, always the same for the same arguments
    and saved without a pooler (as the published checkpoints of XLM-RoBERTa and of E5 are). Texts of
    up to 128 tokens fit; `hidden_size` is a multiple of 4 (the number of heads). Returns `folder`.
    """
    import torch
    from transformers import AutoConfig, AutoModel

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _TOKENIZERS[architecture](list(vocabulary_texts))
    # RoBERTa and its kin count positions from the padding token's number on.
    offset = 0 if architecture == "bert" else tokenizer.pad_token_id + 1
    config = AutoConfig.for_model(
        architecture,
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=4,
        intermediate_size=2 * hidden_size,
        max_position_embeddings=MAXIMUM_LENGTH + offset,
        type_vocab_size=2 if architecture == "bert" else 1,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModel.from_config(config)
    weights = {name: tensor for name, tensor in model.state_dict().items() if "pooler" not in name}
    model.save_pretrained(folder, state_dict=weights)
    tokenizer.save_pretrained(folder)
    return folder


def _wordpiece(texts: list[str]) -> Any:
    from tokenizers import normalizers, pre_tokenizers
    from transformers import BertTokenizer

    # Counting stands in for the WordPiece trainer, whose numbering differs from process to process.
    normalise, split = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
    words = Counter(
        word for text in texts for word, _ in split.pre_tokenize_str(normalise.normalize_str(text))
    )
    characters = sorted({character for word in words for character in word})
    pieces = [*BERT_SPECIAL, *characters, *("##" + character for character in characters)]
    pieces += _most_frequent(words, VOCABULARY_SIZE - len(pieces))
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    return BertTokenizer(vocab=vocabulary, model_max_length=MAXIMUM_LENGTH)


def _most_frequent(words: Counter[str], room: int) -> list[str]:
    """Return at most `room` words, the most frequent first, ties in alphabetical order."""
    return sorted(words, key=lambda word: (-words[word], word))[: max(room, 0)]


def _byte_level_bpe(texts: list[str]) -> Any:
    import json

    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import RobertaTokenizer

    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    trained.train_from_iterator(texts, trainer)
    merges: Any = [tuple(pair) for pair in json.loads(trained.to_str())["model"]["merges"]]
    return RobertaTokenizer(vocab=trained.get_vocab(), merges=merges, model_max_length=MAXIMUM_LENGTH)


def _unigram_pieces(texts: list[str], special: tuple[str, ...]) -> list[tuple[str, float]]:
    """Return special tokens, then frequent words, then every character, with log probabilities.

    Counting stands in for the Unigram trainer, whose sums depend on the order of its threads.
    """
    words = Counter("▁" + word for text in texts for word in text.split())
    characters = Counter(character for word in words.elements() for character in word)
    room = VOCABULARY_SIZE - len(special) - len(characters)
    counts = {word: words[word] for word in _most_frequent(words, room)}
    counts |= {character: count for character, count in sorted(characters.items()) if character not in counts}
    total = sum(counts.values())
    # A character costs more than any word, so that a known word is one piece.
    pieces = [
        (piece, log(count / total) - (0 if piece in words else log(total))) for piece, count in counts.items()
    ]
    return [(token, 0.0) for token in special] + pieces


def _xlm_roberta_unigram(texts: list[str]) -> Any:
    from transformers import XLMRobertaTokenizer

    pieces = _unigram_pieces(texts, SPECIAL)
    return XLMRobertaTokenizer(vocab=pieces, model_max_length=MAXIMUM_LENGTH)


def _camembert_unigram(texts: list[str]) -> Any:
    from transformers import CamembertTokenizer

    # The published vocabulary opens with these, which the class expects.
    special = ("<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED", "<s>", "</s>", "<mask>")
    pieces = _unigram_pieces(texts, special)
    return CamembertTokenizer(vocab=pieces, model_max_length=MAXIMUM_LENGTH)


_TOKENIZERS: dict[str, Callable[[list[str]], Any]] = {
    "bert": _wordpiece,
    "roberta": _byte_level_bpe,
    "camembert": _camembert_unigram,
    "xlm-roberta": _xlm_roberta_unigram,
}
