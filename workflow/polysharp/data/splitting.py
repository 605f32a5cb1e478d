"""Drawing splits: stratified by label, with a seed, and no text or group in two of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from polysharp.config.sources import Source
from polysharp.core.errors import UserError
from polysharp.core.labels import encode, label_order
from polysharp.core.terms import SPLITS
from polysharp.data.examples import Example


def make_splits(examples: Sequence[Example], source: Source, seed: int) -> list[Example]:
    """Return the examples with the splits that `source` gives as shares, in the same order.

    They are drawn from all texts, or from the training texts if `source` names that split. Texts of one
    group, and texts that are the same, stay together. Labels are stratified over the splits (Sechidis,
    Tsoumakas and Vlahavas 2011, On the Stratification of Multi-Label Data, ECML PKDD); texts of `single`
    are treated as texts with one label.

    Raises
    ------
    UserError
        When there are too few texts or groups to fill every split.
    """
    shares = source.shares
    if not shares:
        return list(examples)
    if "train" not in shares:
        shares = {"train": 1 - sum(shares.values()), **shares}
    pool = [index for index, example in enumerate(examples) if example.split in (None, "train")]
    drawn = _draw([examples[index] for index in pool], shares, seed)
    missing = [split for split in shares if split not in drawn]
    if missing:
        raise UserError(
            f"{source.path}: {len(pool)} texts are too few for splits {','.join(source.splits)}: "
            f"{' and '.join(missing)} would have none"
        )
    result = list(examples)
    for index, split in zip(pool, drawn, strict=True):
        result[index] = examples[index].in_split(split)
    return result


def _draw(examples: Sequence[Example], shares: Mapping[str, float], seed: int) -> list[str]:
    """Return the split of every example."""
    from iterstrat.ml_stratifiers import IterativeStratification  # slow to load, and rarely needed

    unit_of = _units(examples)
    random = np.random.RandomState(seed)  # the library's type of generator; its stream is stable
    order = random.permutation(unit_of.max() + 1)
    labels: list[list[str]] = [[] for _ in order]
    for unit, example in zip(unit_of, examples, strict=True):
        labels[unit] += example.labels
    indicators = encode([labels[unit] for unit in order], label_order(labels))
    names = [split for split in SPLITS if split in shares]
    folds = IterativeStratification(indicators, np.array([shares[name] for name in names]), random)
    fold_of = dict(zip(order, folds, strict=True))
    return [names[fold_of[unit]] for unit in unit_of]


def _units(examples: Sequence[Example]) -> NDArray[np.int32]:
    """Return the number of each example's unit: the examples that share a text or a group."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    keys = [[("text", e.key), *([("group", e.group)] if e.group else [])] for e in examples]
    nodes = {key: len(examples) + number for number, key in enumerate(dict.fromkeys(chain(*keys)))}
    edges = np.array([(row, nodes[key]) for row, of_row in enumerate(keys) for key in of_row])
    size = len(examples) + len(nodes)
    graph = coo_array((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(size, size))
    units = connected_components(graph, directed=False)[1][: len(examples)]
    return np.unique(units, return_inverse=True)[1].astype(np.int32)
