"""What is left out as a whole in a cross-validation (`training.grouped_folds` deals it into folds).

Experiments of one publication share a photon curve, a dosimetry and a plating; those of one cell line share a biology.
A random split puts them on both sides and flatters every method.
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import UnknownNameError
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
