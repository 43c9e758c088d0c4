"""Folds of a cross-validation that keep together what belongs together.

Experiments of one publication share a photon curve, a dosimetry and a plating; those of one cell line share a biology.
A random split puts them on both sides and flatters every method. So whole groups are left out.
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import UnknownNameError, ValueRangeError
from surrogate3d.invitro.dataset import InVitroData

Names = npt.NDArray[np.str_]

SPLITS = ("random", "publication", "cell line")
"""What is left out as a whole: single experiments, publications, or cell lines."""


def groups(data: InVitroData, split: str) -> Names:
    """The group of each experiment.

    Cell lines are compared by letters and digits alone ("U-87" and "U87" are one); sublines stay lines of their own.

    Args:
        data: experiments.
        split: one of `SPLITS`.

    Returns:
        (n,) names.

    Raises:
        UnknownNameError: no such split.
    """
    if split == "random":
        return data.number.astype(np.str_)
    if split == "publication":
        return data.publication
    if split == "cell line":
        return np.array([spelling_free(name) for name in data.cells], dtype=np.str_)
    raise UnknownNameError(f"unknown split {split!r}; known: {', '.join(SPLITS)}")


def spelling_free(name: str) -> str:
    """Letters and digits of a cell line's name, in lower case."""
    return re.sub(r"[^a-z0-9]", "", name.casefold()) or name


def grouped_folds(group: Names, n_folds: int, seed: int) -> npt.NDArray[np.int64]:
    """Deal whole groups into folds of like size: the largest first, each into the fold with the fewest experiments.

    Args:
        group: (n,) name of each experiment's group.
        n_folds: at least 2.
        seed: decides the order of groups of one size.

    Returns:
        (n,) fold of each experiment, 0 to n_folds - 1.

    Raises:
        ValueRangeError: fewer than two folds, or fewer groups than folds.
    """
    names, which, sizes = np.unique(group, return_inverse=True, return_counts=True)
    if not 2 <= n_folds <= len(names):
        raise ValueRangeError(f"{len(names)} groups can be dealt into 2 to {len(names)} folds, asked for {n_folds}")
    shuffled = np.random.default_rng(seed).permutation(len(names))
    fold_of_group, filled = np.zeros(len(names), dtype=np.int64), np.zeros(n_folds)
    for one in shuffled[np.argsort(-sizes[shuffled], kind="stable")]:
        fold_of_group[one] = int(filled.argmin())
        filled[fold_of_group[one]] += sizes[one]
    return np.asarray(fold_of_group[which])
