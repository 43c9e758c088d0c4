"""Errors in units of the reference's Monte Carlo standard error.

An exact map differs from a reference of normal noise by a standard normal number of sigmas: rms 1, median of the
absolute value 0.6745, and 68.3, 95.4, 99.7 % within 1, 2, 3. Less is found where judged and reference share noise, more
where the judged map errs or the sigma is too small. Wilson's interval takes the voxels as independent; neighbours share
noise, and where most of a region is judged the true interval is wider.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import GridMismatchError, ValueRangeError
from surrogate3d.training.bootstrap import wilson
from surrogate3d.validation.metrics import root_mean_square

SIGMAS = (1, 2, 3)

EXPECTED_SHARE: dict[int, float] = {k: math.erf(k / math.sqrt(2)) for k in SIGMAS}
"""Share of a standard normal number within k, by k."""

EXPECTED_RMS = 1.0
EXPECTED_MEDIAN_ABS = 0.6744897501960817
"""Median of the absolute value of a standard normal number: the 75th percentile of the normal distribution."""


@dataclass(frozen=True)
class SigmaErrors:
    """Errors of one method on one set of voxels, in sigmas. What is not defined (no voxels) is NaN.

    Attributes:
        n: voxels with an error and a sigma.
        n_missing: voxels without a finite error, left out.
        n_without_sigma: voxels with an error, but a sigma that is 0 or not finite; left out, as nothing can be divided.
        rms: root mean square.
        median_abs: median of the absolute value.
        share_within: by number of sigmas: share of the voxels, and the ends of Wilson's 95 % interval.
        expected_share: share that an exact map would have, by number of sigmas.
    """

    n: int
    n_missing: int
    n_without_sigma: int
    rms: float
    median_abs: float
    share_within: Mapping[int, tuple[float, float, float]]
    expected_share: Mapping[int, float]

    def to_json(self) -> dict[str, Any]:
        """Plain data; undefined numbers are null."""
        return {
            "n": self.n,
            "n_missing": self.n_missing,
            "n_without_sigma": self.n_without_sigma,
            "rms": _defined(self.rms),
            "median_abs": _defined(self.median_abs),
            "share_within": [
                {
                    "sigmas": k,
                    "share": _defined(share),
                    "low": _defined(low),
                    "high": _defined(high),
                    "expected": self.expected_share[k],
                }
                for k, (share, low, high) in self.share_within.items()
            ],
        }


def sigma_errors(error: npt.NDArray[np.floating], sigma: npt.NDArray[np.floating]) -> SigmaErrors:
    """Errors in units of sigma.

    Args:
        error: judged - reference, any shape; NaN where there is none.
        sigma: standard error of the reference, same shape and unit (both relative is as good); 0, NaN or infinite
            where it is not known.

    Returns:
        What was found.

    Raises:
        GridMismatchError: the shapes differ.
        ValueRangeError: a standard error is negative.
    """
    if error.shape != sigma.shape:
        raise GridMismatchError(f"errors have shape {error.shape}, their standard errors {sigma.shape}")
    if (sigma < 0).any():
        raise ValueRangeError("a standard error is negative; NaN is the mark of one that is not known")
    known = np.isfinite(error)
    usable = known & np.isfinite(sigma) & (sigma > 0)
    scores = np.abs(error[usable].astype(np.float64) / sigma[usable].astype(np.float64))
    n = len(scores)
    return SigmaErrors(
        n=n,
        n_missing=int(known.size - known.sum()),
        n_without_sigma=int(known.sum()) - n,
        rms=root_mean_square(scores),
        median_abs=float(np.median(scores)) if n else float("nan"),
        share_within={k: _share(scores, k) for k in SIGMAS},
        expected_share=dict(EXPECTED_SHARE),
    )


def _share(scores: npt.NDArray[np.float64], sigmas: int) -> tuple[float, float, float]:
    if not len(scores):
        return (float("nan"),) * 3
    share = float(np.mean(scores <= sigmas))
    return share, *wilson(share, len(scores))


def _defined(value: float) -> float | None:
    return value if np.isfinite(value) else None
