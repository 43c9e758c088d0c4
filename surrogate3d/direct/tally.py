"""Survival of simulated nuclei, summed with a control variate that most of the noise has in common."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

N_BATCHES = 16
"""Batches of nuclei for the jackknife."""


class SurvivalTally:
    """Survival of one cell line so far, with the energy of the nuclei as control variate.

    A nucleus that happens to get more energy than the dose prescribes dies more often than it should, and its mean q is
    known exactly. S is therefore corrected along its regression on q, in the form S exp(-slope (q - <q>)) that stays
    positive; at low LET this removes most of the variance.
    """

    def __init__(self, expected_q: Floats) -> None:
        shape = (N_BATCHES, len(expected_q))
        self.expected_q = expected_q
        self.S, self.q = np.zeros(shape), np.zeros(shape)
        self.SS, self.Sq, self.qq = (np.zeros(len(expected_q)) for _ in range(3))
        self.n = 0

    def add(self, survival: Floats, mean_q: Floats) -> None:
        """Add (nucleus, dose) values; nuclei go to the batches in turn."""
        x = mean_q - self.expected_q
        split = (-1, *self.S.shape)
        self.S += survival.reshape(split).sum(axis=0)
        self.q += x.reshape(split).sum(axis=0)
        self.SS += (survival**2).sum(axis=0)
        self.Sq += (survival * x).sum(axis=0)
        self.qq += (x**2).sum(axis=0)
        self.n += len(survival)

    def estimate(self) -> tuple[Floats, Floats, Floats]:
        """Survival (dose), the same without each batch (batch, dose), and its relative standard error (dose)."""
        n, part = self.n, self.n - self.n / N_BATCHES
        S = np.maximum(self.S.sum(axis=0) / n, np.finfo(float).tiny)
        q = self.q.sum(axis=0) / n
        var_S, cov, var_q = self.SS / n - S**2, self.Sq / n - S * q, self.qq / n - q**2
        known = var_q > 1e-12 * self.qq / n  # else no nucleus was hit, and what varies is rounding
        slope = np.where(known, cov / np.where(known, var_q, 1.0), 0.0)
        residual = np.maximum(var_S - slope * cov, 0.0)
        S_out = np.maximum((self.S.sum(axis=0) - self.S) / part, np.finfo(float).tiny)
        q_out = (self.q.sum(axis=0) - self.q) / part
        left_out = S_out * np.exp(-slope / S * q_out)
        return S * np.exp(-slope / S * q), left_out, np.sqrt(residual / (n - 1)) / S
