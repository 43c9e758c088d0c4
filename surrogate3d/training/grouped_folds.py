"""Folds of a cross-validation that keep together what belongs together.

A random split puts relatives, such as experiments of one publication or voxels of one plan, on both sides and flatters
every method. So whole groups are left out.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import ValueRangeError


def grouped_folds(group: npt.NDArray[np.str_], n_folds: int, seed: int) -> npt.NDArray[np.int64]:
    """Deal whole groups into folds of like size: the largest first, each into the fold with the fewest rows.

    Args:
        group: (n,) name of each row's group.
        n_folds: at least 2.
        seed: decides the order of groups of one size.

    Returns:
        (n,) fold of each row, 0 to n_folds - 1.

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
