"""What a method of a comparison is: something that is fitted to experiments and then answers with survival curves.

A fitted method sees the features, the photon pair and the ion, and nothing that was measured with the ion.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from surrogate3d.invitro.dataset import InVitroData
from surrogate3d.physics import linear_quadratic

Floats = npt.NDArray[np.float64]
Names = npt.NDArray[np.str_]

LEVEL = 0.9
"""What the intervals of a comparison promise."""


@dataclass(frozen=True, eq=False)
class Curves:
    """Answers; NaN where a method has none.

    Attributes:
        alpha: (n,) 1/Gy.
        beta: (n,) 1/Gy^2.
        RBE10: (n,).
        RBE10_interval: ends (n,) of the interval of level `LEVEL`; None if the method gives none.
        log_survival_interval: ends (n, point) of the interval of ln S at doses (n, point) in Gy; None likewise.
    """

    alpha: Floats
    beta: Floats
    RBE10: Floats
    RBE10_interval: tuple[Floats, Floats] | None = None
    log_survival_interval: Callable[[Floats], tuple[Floats, Floats]] | None = None


class Model(Protocol):
    """A fitted method."""

    def predict(self, features: Floats, photon: Floats, species: Names) -> Curves:
        """Curves of rows: features (n, feature), photon (n, 2) alpha_x and beta_x, species (n,) element symbols."""
        ...


class Method(Protocol):
    """A method before it has seen data."""

    def fit(self, data: InVitroData, seed: int) -> Model:
        """Learn from experiments; a method without free parameters learns nothing."""
        ...


@runtime_checkable
class FoldMethod(Protocol):
    """A method that fits all folds of a cross-validation at once."""

    def fit_folds(self, data: InVitroData, learnt: npt.NDArray[np.bool_], seed: int) -> list[Model]:
        """One model for each row of `learnt` (fold, n), which says what it may see."""
        ...


def curves_of(alpha: Floats, beta: Floats, photon: Floats) -> Curves:
    """Curves with the RBE10 of their own alpha and beta."""
    return Curves(alpha, beta, linear_quadratic.RBE10(alpha, beta, *photon.T))
