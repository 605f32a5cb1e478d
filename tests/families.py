"""Tiny random encoders of many families, each in the layout in which its best-known checkpoint is published.

Which files there are, how weights are called and which heads stand beside them differs between families.
"""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

POSITIONS = 64  # tokens that models with absolute positions can tell apart
BERT_FILES, BPE_FILES = "vocab.txt", "vocab.json"


@dataclass(frozen=True)
class Family:
    """How a family is published.

    Attributes
    ----------
    like
        The checkpoint whose layout it is.
    head
        The class of the published weights, in transformers.
    vocabulary
        The file of the vocabulary, beside tokenizer.json.
    special
        Pieces at the beginning of the vocabulary.
    tokenizer_json, pickled
        Whether there is a tokenizer.json; whether weights are published as pytorch_model.bin alone.
    config
        What the configuration says beside sizes.
    tokenizer_config
        What tokenizer_config.json says, which some do not have.
    own_classifier
        Whether transformers has a classifier for it (``pooling: cls``).
    renamed, beside
        Parts of weights' names that are others in the published file; buffers that it holds, too.
    """

    like: str
    model_type: str
    head: str
    vocabulary: str
    special: Sequence[str] = ()
    tokenizer_json: bool = True
    pickled: bool = False
    config: dict[str, Any] = field(default_factory=dict)
    tokenizer_config: dict[str, Any] | None = None
    own_classifier: bool = True
    renamed: dict[str, str] = field(default_factory=dict)
    beside: Sequence[str] = ()


_BERT = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_ROBERTA = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
_SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": POSITIONS,
}
_OF_ROBERTA = {
    "max_position_embeddings": POSITIONS + 2,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
}
_OF_T5 = {
    "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 4,
    "n_positions": 16, "pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0,
}  # fmt: skip
_DEBERTA = ("deberta-v2", "DebertaV2ForMaskedLM", "spm.model", ("[PAD]", "[CLS]", "[SEP]", "[UNK]"))
_DEBERTA_FILES: dict[str, Any] = {
    "tokenizer_json": False,
    "pickled": True,
    "tokenizer_config": {"do_lower_case": False, "vocab_type": "spm"},
    "renamed": {"cls.predictions.transform": "lm_predictions.lm_head"},
    "beside": ["mask_predictions.dense.weight", "deberta.embeddings.position_embeddings.weight"],
}
_UNCASED = {"do_lower_case": True, "model_max_length": POSITIONS}

FAMILIES = {
    "bert": Family(
        "bert-base-uncased",
        "bert",
        "BertForPreTraining",
        BERT_FILES,
        _BERT,
        tokenizer_config=_UNCASED,
        renamed={"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"},
    ),
    "roberta": Family(
        "roberta-base",
        "roberta",
        "RobertaForMaskedLM",
        BPE_FILES,
        _ROBERTA,
        config=_OF_ROBERTA,
        beside=["roberta.embeddings.position_ids"],
    ),
    "xlm-roberta": Family(
        "xlm-roberta-base",
        "xlm-roberta",
        "XLMRobertaForMaskedLM",
        "sentencepiece.bpe.model",
        ("<unk>", "<s>", "</s>"),
        config=_OF_ROBERTA,
    ),
    "camembert": Family(
        "camembert-base",
        "camembert",
        "CamembertForMaskedLM",
        "sentencepiece.bpe.model",
        ("<unk>", "<s>", "</s>"),
        config={**_OF_ROBERTA, "bos_token_id": 5, "eos_token_id": 6},
    ),
    "distilbert": Family(
        "distilbert-base-uncased",
        "distilbert",
        "DistilBertForMaskedLM",
        BERT_FILES,
        _BERT,
        config={
            "dim": 32,
            "n_layers": 2,
            "n_heads": 4,
            "hidden_dim": 64,
            "max_position_embeddings": POSITIONS,
        },
        tokenizer_config=_UNCASED,
    ),
    "albert": Family(
        "albert-base-v2",
        "albert",
        "AlbertForPreTraining",
        "spiece.model",
        ("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"),
        config={"embedding_size": 16},
    ),
    "deberta-v2": Family(
        "microsoft/deberta-v2-xlarge",
        *_DEBERTA,
        config={
            "relative_attention": True,
            "position_biased_input": False,
            "pos_att_type": "p2c|c2p",
            "conv_kernel_size": 3,
            "conv_act": "gelu",
            "type_vocab_size": 0,
        },
        **_DEBERTA_FILES,
    ),
    "deberta-v3": Family(
        "microsoft/deberta-v3-base",
        *_DEBERTA,
        config={
            "relative_attention": True,
            "position_buckets": 16,
            "norm_rel_ebd": "layer_norm",
            "share_att_key": True,
            "pos_att_type": "p2c|c2p",
            "position_biased_input": False,
            "type_vocab_size": 0,
        },
        **_DEBERTA_FILES,
    ),
    "electra": Family(
        "google/electra-base-discriminator",
        "electra",
        "ElectraForPreTraining",
        BERT_FILES,
        _BERT,
        pickled=True,
        config={"embedding_size": 16},
        tokenizer_config=_UNCASED,
    ),
    "mpnet": Family(
        "microsoft/mpnet-base",
        "mpnet",
        "MPNetForMaskedLM",
        BERT_FILES,
        ("<s>", "<pad>", "</s>", "[UNK]", "<mask>"),
        pickled=True,
        config=_OF_ROBERTA,
        tokenizer_config={"do_lower_case": True},
    ),
    "modernbert": Family(
        "answerdotai/ModernBERT-base",
        "modernbert",
        "ModernBertForMaskedLM",
        "",
        ("[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"),
        config={
            "local_attention": 8,
            "pad_token_id": 3,
            "cls_token_id": 1,
            "sep_token_id": 2,
            "bos_token_id": 1,
            "eos_token_id": 2,
        },
    ),
    "xlnet": Family(
        "xlnet-base-cased",
        "xlnet",
        "XLNetLMHeadModel",
        "spiece.model",
        ("<unk>", "<s>", "</s>", "<cls>", "<sep>", "<pad>", "<mask>", "<eod>", "<eop>"),
        pickled=True,
        config={"d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 64, "pad_token_id": 5},
    ),
    "longformer": Family(
        "allenai/longformer-base-4096",
        "longformer",
        "LongformerForMaskedLM",
        BPE_FILES,
        _ROBERTA,
        tokenizer_json=False,
        pickled=True,
        config={**_OF_ROBERTA, "attention_window": [8, 8], "sep_token_id": 2},
    ),
    "big_bird": Family(
        "google/bigbird-roberta-base",
        "big_bird",
        "BigBirdForPreTraining",
        "spiece.model",
        ("<pad>", "</s>", "<s>", "<unk>", "[CLS]", "[SEP]", "[MASK]"),
        tokenizer_json=False,
        config={"attention_type": "block_sparse", "block_size": 4, "num_random_blocks": 1, "sep_token_id": 5},
    ),
    "mobilebert": Family(
        "google/mobilebert-uncased",
        "mobilebert",
        "MobileBertForPreTraining",
        BERT_FILES,
        _BERT,
        pickled=True,
        config={"embedding_size": 16, "intra_bottleneck_size": 16},
        tokenizer_config={"do_lower_case": True},
    ),
    "luke": Family(
        "studio-ousia/luke-base",
        "luke",
        "LukeForMaskedLM",
        BPE_FILES,
        _ROBERTA,
        tokenizer_json=False,
        pickled=True,
        config={**_OF_ROBERTA, "entity_vocab_size": 8, "entity_emb_size": 16, "type_vocab_size": 1},
        tokenizer_config={"tokenizer_class": "LukeTokenizer", "add_prefix_space": False},
    ),
    "t5": Family(
        "google-t5/t5-base",
        "t5",
        "T5ForConditionalGeneration",
        "spiece.model",
        ("<pad>", "</s>", "<unk>"),
        config=_OF_T5,
        tokenizer_config={"model_max_length": POSITIONS},
        own_classifier=False,
    ),
    "mt5": Family(
        "google/mt5-small",
        "mt5",
        "MT5ForConditionalGeneration",
        "spiece.model",
        ("<pad>", "</s>", "<unk>"),
        tokenizer_json=False,
        pickled=True,
        config={**_OF_T5, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
        tokenizer_config={"tokenizer_class": "T5Tokenizer", "extra_ids": 0},
        own_classifier=False,
    ),
    "gpt2": Family(
        "openai-community/gpt2",
        "gpt2",
        "GPT2LMHeadModel",
        BPE_FILES,
        config={"n_positions": POSITIONS, "n_ctx": POSITIONS, "n_embd": 32, "n_layer": 2, "n_head": 4},
        tokenizer_config={"model_max_length": POSITIONS},
        renamed={"transformer.": ""},
        beside=["h.0.attn.bias", "h.1.attn.bias"],
    ),
    "qwen2": Family(
        "Qwen/Qwen2-0.5B",
        "qwen2",
        "Qwen2ForCausalLM",
        BPE_FILES,
        config={"num_key_value_heads": 2, "tie_word_embeddings": True, "max_position_embeddings": 1024},
        tokenizer_config={
            "tokenizer_class": "Qwen2Tokenizer",
            "pad_token": "<|endoftext|>",
            "eos_token": "<|endoftext|>",
            "unk_token": None,
            "bos_token": None,
        },
    ),
}


def write_published(folder: Path, name: str, texts: Sequence[str]) -> Path:
    """Write the family `name` to `folder`, with a vocabulary made of `texts`, and return the folder."""
    import torch
    import transformers
    from safetensors.torch import load_file, save_file

    family = FAMILIES[name]
    folder.mkdir(parents=True)
    rows = _write_tokenizer(folder, family, list(texts))
    sizes = {} if family.model_type in ("t5", "mt5", "xlnet", "gpt2", "distilbert") else _SIZES
    config = transformers.AutoConfig.for_model(
        family.model_type, **{**sizes, **family.config, "vocab_size": rows}
    )
    config.architectures = [family.head]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = getattr(transformers, family.head)(config)
    if family.tokenizer_json and family.vocabulary:
        write_tokenizer_json(folder, config)
    model.save_pretrained(folder)
    weights = {**load_file(folder / "model.safetensors"), **dict.fromkeys(family.beside, torch.zeros(1, 8))}
    for ours, theirs in family.renamed.items():
        weights = {weight.replace(ours, theirs): tensor for weight, tensor in weights.items()}
    if family.pickled:
        (folder / "model.safetensors").unlink()
        torch.save(weights, folder / "pytorch_model.bin")
    else:
        weights = {weight: tensor.clone() for weight, tensor in weights.items()}  # of which none share memory
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def write_tokenizer_json(folder: Path, config: Any) -> None:
    """Write the tokenizer.json that transformers makes of the vocabulary in `folder`."""
    from transformers import AutoTokenizer

    config.save_pretrained(folder)
    AutoTokenizer.from_pretrained(folder).backend_tokenizer.save(str(folder / "tokenizer.json"))


def _write_tokenizer(folder: Path, family: Family, texts: list[str]) -> int:
    """Write the files of a tokenizer; return how many rows the embedding needs."""
    if family.tokenizer_config is not None:
        (folder / "tokenizer_config.json").write_text(json.dumps(family.tokenizer_config))
    write = {BERT_FILES: _write_wordpiece, BPE_FILES: _write_bpe, "": _write_tokenizer_json_alone}
    return write.get(family.vocabulary, _write_sentencepiece)(folder, family, texts) + 128  # as T5 adds 100


def _write_wordpiece(folder: Path, family: Family, texts: list[str]) -> int:
    words = sorted({word.lower() for text in texts for word in text.split()})
    letters = sorted({letter for word in words for letter in word})
    pieces = [*family.special, *letters, *(f"##{letter}" for letter in letters), *words]
    pieces = list(dict.fromkeys(pieces))
    (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in pieces), encoding="utf-8")
    return len(pieces)


def _write_bpe(folder: Path, family: Family, texts: list[str]) -> int:
    vocabulary, merges = _byte_level(texts, family.special)
    if family.model_type in ("gpt2", "qwen2"):
        vocabulary["<|endoftext|>"] = len(vocabulary)
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    if family.model_type == "luke":
        entities = {"[MASK]": 2, "[UNK]": 1, "[PAD]": 0, "[MASK2]": 3, "Japan": 4}
        (folder / "entity_vocab.json").write_text(json.dumps(entities))
        (folder / "added_tokens.json").write_text(
            json.dumps({"<ent>": len(vocabulary), "<ent2>": len(vocabulary) + 1})
        )
    return len(vocabulary)


def _byte_level(texts: list[str], special: Sequence[str]) -> tuple[dict[str, int], list[list[str]]]:
    """Return pieces and merges; counted pairs stand in for the trainer, whose order of ties differs."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=list(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    trained.train_from_iterator(texts, trainer)
    return trained.get_vocab(), json.loads(trained.to_str())["model"]["merges"]


def _write_tokenizer_json_alone(folder: Path, family: Family, texts: list[str]) -> int:
    """Write ModernBERT's: byte-level BPE in tokenizer.json, and nothing else."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

    vocabulary, merges = _byte_level(texts, family.special)
    tokenizer = Tokenizer(models.BPE(vocabulary, [tuple(pair) for pair in merges]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in family.special])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {f"{role}_token": f"[{role.upper()}]" for role in ("unk", "cls", "sep", "pad", "mask")}
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_input_names": ["input_ids", "attention_mask"],
    }
    (folder / "tokenizer_config.json").write_text(json.dumps({**config, **names}))
    (folder / "special_tokens_map.json").write_text(json.dumps(names))
    return len(vocabulary)


def _write_sentencepiece(folder: Path, family: Family, texts: list[str]) -> int:
    """Write a Unigram model of sentencepiece, with the family's special pieces where it has them."""
    import sentencepiece

    roles = {
        "pad": ("<pad>", "[PAD]"),
        "unk": ("<unk>", "[UNK]"),
        "bos": ("<s>", "[CLS]"),
        "eos": ("</s>", "[SEP]"),
    }
    options: dict[str, Any] = {}
    for role, names in roles.items():
        piece = next((piece for piece in names if piece in family.special), None)
        options[f"{role}_id"] = family.special.index(piece) if piece else -1
        if piece:
            options[f"{role}_piece"] = piece
    named = {value for key, value in options.items() if key.endswith("_piece")}
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=model,
        vocab_size=150,
        hard_vocab_limit=False,
        control_symbols=[piece for piece in family.special if piece not in named],
        num_threads=1,
        minloglevel=2,
        **options,
    )
    (folder / family.vocabulary).write_bytes(model.getvalue())
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    return int(processor.get_piece_size())
