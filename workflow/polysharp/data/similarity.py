"""Texts that are the same or nearly the same."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import numpy as np
from rapidfuzz import fuzz
from rensa import RMinHash, RMinHashDigestMatrix, RMinHashLSH

NEARLY = 90  # rapidfuzz's ratio, 0 to 100, from which two texts are nearly the same
SHINGLE = 4  # characters, not words, as some languages are written without spaces
BANDS, ROWS = 16, 5  # texts with 70 % common shingles share a band with a probability of 95 %
MOST = 50  # texts with which each one is compared at most
AT_A_TIME = 10_000  # texts whose shingles are in memory at once
SEED = 1


def normalised(text: str) -> str:
    """Return a text without differences in case, white space and Unicode composition."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def near_copies(texts: Sequence[str]) -> list[tuple[int, int]]:
    """Return pairs (earlier, later) of texts that are nearly the same: for each later one, the first.

    Candidates are found by MinHash of their character 4-grams and locality-sensitive hashing (Broder
    1997; Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, chapter 3), which may miss pairs. Each
    candidate is then checked by its edit distance, so that no pair is wrong.

    Parameters
    ----------
    texts
        Normalised, and different from one another.
    """
    if len(texts) < 2:
        return []
    index = RMinHashLSH(0.7, BANDS * ROWS, BANDS)
    digests = {start: _digests(texts[start : start + AT_A_TIME]) for start in range(0, len(texts), AT_A_TIME)}
    for start, matrix in digests.items():
        index.insert_matrix(matrix, start)
    flags = [flag for matrix in digests.values() for flag in index.query_duplicate_flags_matrix(matrix)]
    meeting = [number for number, flag in enumerate(flags) if flag]
    pairs = []
    for later, candidates in _candidates([texts[number] for number in meeting]):
        for earlier in candidates:
            one, other = meeting[earlier], meeting[later]
            if fuzz.ratio(texts[one], texts[other], score_cutoff=NEARLY):
                pairs.append((one, other))
                break
    return pairs


def _candidates(texts: Sequence[str]) -> list[tuple[int, list[int]]]:
    """Return for every text the earlier ones with which it shares a band."""
    if not texts:
        return []
    digests = np.array(_digests(texts).to_rows(), dtype=np.uint32)
    met: dict[int, dict[int, None]] = {}
    for band in range(BANDS):
        buckets: dict[bytes, list[int]] = {}
        for number, row in enumerate(np.ascontiguousarray(digests[:, band * ROWS : (band + 1) * ROWS])):
            bucket = buckets.setdefault(row.tobytes(), [])
            if bucket:
                known = met.setdefault(number, {})
                known.update(dict.fromkeys(bucket[: MOST - len(known)]))
            bucket.append(number)
    return [(number, sorted(met[number])) for number in sorted(met)]


def _digests(texts: Sequence[str]) -> RMinHashDigestMatrix:
    """Return the MinHash digests of texts, from the hashes of all their shingles in one array."""
    gap = SHINGLE - 1
    joined = "".join(text + "\0" * gap for text in texts) + "\0" * gap
    codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    factors = np.random.RandomState(SEED).randint(1, 2**63 - 1, SHINGLE, dtype=np.int64).astype(np.uint64)
    hashes = np.zeros(len(codes) - gap, dtype=np.uint64)
    for place, factor in enumerate(factors | np.uint64(1)):
        hashes += codes[place : place + len(hashes)] * factor
    hashes ^= hashes >> np.uint64(29)
    offsets = np.cumsum([0, *(len(text) + gap for text in texts)], dtype=np.uint64)
    return RMinHash.digest_matrix_from_flat_token_hashes(hashes, offsets, BANDS * ROWS, SEED)
