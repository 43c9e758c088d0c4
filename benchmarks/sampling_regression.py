"""The two regressions with which strategies are compared: the engine's small network, and a kernel in closed form.

Neither has a table or a mixing rule. The kernel costs hundredths of a second, so that thousands of fits are affordable;
a strategy that helps only one of them would help by accident.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve
from scipy.spatial.distance import cdist

from surrogate3d.training.label_efficiency import RegressionConfig, fit_regression

Floats = npt.NDArray[np.float64]

NETWORK = RegressionConfig(members=3, steps=200)
"""Half the steps and three of five members of the default, at a fifth of its time."""

LENGTHS = (6.0, 12.0, 24.0)
"""In whitened features, between which the likelihood chooses; so of the noise, as share of the kernel's variance."""
NOISES = (1e-3, 1e-2, 5e-2)

JUDGING = 300
"""Labels at most, evenly spread over the order of choice, on which the likelihood is computed."""

COMMITTEE, SHARE = 5, 0.8
"""Kernel regressions on random parts of the labels, whose disagreement is asked for."""

_SLOPE, _CONSTANT = 0.02, 0.1
_COMPONENTS, _RIDGE = 24, 0.05


class Regression(Protocol):
    """What is fitted: answers (n, output) to features (n, m)."""

    def predict(self, features: npt.NDArray[np.floating]) -> Floats:
        """(n, output)."""

    def members(self, features: npt.NDArray[np.floating]) -> Floats:
        """(member, n, output)."""


@dataclass(frozen=True, eq=False)
class Kernel:
    """Gaussian-process mean with a Matern-3/2, a linear and a constant kernel, on whitened features.

    Attributes:
        mean: (m,) of the features on offer.
        projection: (m, component) to whitened components.
        x: (labels, component).
        y: (labels, output).
        seed: of the committee.
    """

    mean: Floats
    projection: Floats
    x: Floats
    y: Floats
    seed: int

    def predict(self, features: npt.NDArray[np.floating]) -> Floats:
        """(n, output) of all labels."""
        return self._answer(features, np.arange(len(self.x)))

    def members(self, features: npt.NDArray[np.floating]) -> Floats:
        """(member, n, output) of random parts of the labels."""
        rng, n = np.random.default_rng(self.seed), len(self.x)
        return np.stack([self._answer(features, rng.permutation(n)[: round(SHARE * n)]) for _ in range(COMMITTEE)])

    def _answer(self, features: npt.NDArray[np.floating], rows: npt.NDArray[np.int64]) -> Floats:
        x, y = self.x[rows], self.y[rows]
        centre, spread = y.mean(axis=0), np.maximum(y.std(axis=0), 1e-12)
        scaled = (y - centre) / spread
        few = np.linspace(0, len(x) - 1, min(len(x), JUDGING)).astype(int)
        _, length, noise = max(_likelihoods(x[few], scaled[few]))
        weights = cho_solve(cho_factor(_kernel(x, x, length) + noise * np.eye(len(x)), lower=True), scaled)
        return np.asarray(_kernel((features - self.mean) @ self.projection, x, length) @ weights * spread + centre)


def _likelihoods(x: Floats, y: Floats) -> Iterator[tuple[float, float, float]]:
    """Log marginal likelihood with the best amplitude of each output, for every length and noise."""
    for length in LENGTHS:
        matrix = _kernel(x, x, length)
        for noise in NOISES:
            factor = cho_factor(matrix + noise * np.eye(len(x)), lower=True)
            misfit = len(x) * np.log((y * cho_solve(factor, y)).mean(axis=0)).sum() / 2
            yield float(-misfit - y.shape[1] * np.log(np.diag(factor[0])).sum()), length, noise


def _kernel(a: Floats, b: Floats, length: float) -> Floats:
    r = cdist(a, b) * (np.sqrt(3.0) / length)
    return np.asarray((1 + r) * np.exp(-r) + _SLOPE * a @ b.T + _CONSTANT)


def fit(features: Floats, labels: Floats, seed: int, offered: Floats, regression: str) -> Regression:
    """Fit "network" or "kernel" to labelled voxels; `offered` are the features of all voxels, for the whitening."""
    if regression == "network":
        return fit_regression(features, labels, seed, NETWORK, offered)
    mean, projection = _whitening(offered)
    return Kernel(mean, projection, (features - mean) @ projection, labels, seed)


def _whitening(offered: Floats) -> tuple[Floats, Floats]:
    """Mean, and projection on the leading principal components of the standardised features."""
    mean, std = offered.mean(axis=0), np.maximum(offered.std(axis=0), 1e-6)
    standard = (offered - mean) / std
    square, directions = np.linalg.eigh(standard.T @ standard / len(offered))
    scale, directions = np.sqrt(np.maximum(square[::-1], 0.0)), directions[:, ::-1].T
    n = int(min(_COMPONENTS, (scale > 1e-6 * scale[0]).sum()))
    return mean, (directions[:n] / (scale[:n, None] + _RIDGE)).T / std[:, None]
