"""How far predictions are from the truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import GridMismatchError, QuantityError, ValueRangeError

METRICS: dict[str, str] = {
    "n": "compared voxels: those with a prediction",
    "n_missing": "voxels of the truth without a prediction (NaN), left out of everything else",
    "R2": "coefficient of determination, 1 - sum (predicted - truth)^2 / sum (truth - mean truth)^2",
    "NRMSE_range": "root mean square of predicted - truth, over the range (max - min) of the truth",
    "bias": "mean of the relative error predicted / truth - 1, %",
    "rms": "root mean square of the relative error, %; as measured, the truth's own noise included",
    "p95": "95th percentile of the absolute relative error, %",
    "max": "largest absolute relative error, %",
    "floor": "root mean square of the truth's own relative noise, %; null when unknown",
    "rms_net": "rms with the floor subtracted in quadrature, %; 0 when below the floor, null when it is unknown",
}
"""Every key of `ErrorSummary` and of the tables made from it, with its definition."""


@dataclass(frozen=True)
class ErrorSummary:
    """Error statistics of one method on one set of voxels; `METRICS` defines every attribute.

    Everything that is not defined (no voxels, no spread of the truth, an unknown floor) is NaN.
    """

    n: int
    n_missing: int
    R2: float
    NRMSE_range: float
    bias: float
    rms: float
    p95: float
    max: float
    floor: float
    rms_net: float


def error_summary(
    predicted: npt.NDArray[np.floating],
    truth: npt.NDArray[np.floating],
    truth_se: npt.NDArray[np.floating] | None = None,
    noise_floor: float | None = None,
) -> ErrorSummary:
    """Summarise the errors of a prediction.

    Args:
        predicted: values, any shape; NaN where the method gives no answer.
        truth: values of the same shape, finite and not zero.
        truth_se: standard error of the truth, same shape and unit; gives the floor.
        noise_floor: the floor itself, %, instead of `truth_se`.

    Returns:
        The statistics.

    Raises:
        GridMismatchError: shapes differ.
        ValueRangeError: the truth is not finite or zero somewhere, or a standard error or floor is not >= 0.
        QuantityError: both `truth_se` and `noise_floor` are given.
    """
    if predicted.shape != truth.shape:
        raise GridMismatchError(f"predicted has shape {predicted.shape}, the truth {truth.shape}")
    if not np.isfinite(truth).all() or (truth == 0).any():
        raise ValueRangeError("relative errors need a truth that is finite and not zero; mask the voxels first")
    if np.isinf(predicted).any():
        raise ValueRangeError("a prediction is infinite; NaN is the mark of no answer")
    answered = ~np.isnan(predicted)
    floor = _floor(truth, truth_se, noise_floor, answered)
    x, y = np.asarray(predicted[answered], dtype=float), np.asarray(truth[answered], dtype=float)
    n_missing = int(answered.size - answered.sum())
    if not len(x):
        return ErrorSummary(0, n_missing, *[np.nan] * 8)
    relative = 100.0 * (x / y - 1.0)
    rms = root_mean_square(relative)
    return ErrorSummary(
        n=len(x),
        n_missing=n_missing,
        R2=1.0 - _ratio(np.square(x - y).sum(), np.square(y - y.mean()).sum()),
        NRMSE_range=_ratio(root_mean_square(x - y), y.max() - y.min()),
        bias=float(relative.mean()),
        rms=rms,
        p95=float(np.percentile(np.abs(relative), 95)),
        max=float(np.abs(relative).max()),
        floor=floor,
        rms_net=subtract_in_quadrature(rms, floor),
    )


def subtract_in_quadrature(rms: float, floor: float) -> float:
    """sqrt(rms^2 - floor^2); 0 when the floor is the larger, NaN when either is NaN."""
    return float(np.sqrt(np.maximum(rms**2 - floor**2, 0.0)))


def root_mean_square(values: npt.NDArray[np.floating]) -> float:
    """Square root of the mean square; NaN of nothing."""
    return float(np.sqrt(np.mean(np.square(values)))) if values.size else float("nan")


def _floor(
    truth: npt.NDArray[np.floating],
    truth_se: npt.NDArray[np.floating] | None,
    noise_floor: float | None,
    answered: npt.NDArray[np.bool_],
) -> float:
    if truth_se is not None and noise_floor is not None:
        raise QuantityError("give either truth_se or noise_floor, not both")
    if noise_floor is not None:
        if noise_floor < 0:
            raise ValueRangeError(f"the noise floor must not be negative, found {noise_floor} %")
        return float(noise_floor)
    if truth_se is None:
        return float("nan")
    if truth_se.shape != truth.shape:
        raise GridMismatchError(f"truth_se has shape {truth_se.shape}, the truth {truth.shape}")
    if not (truth_se >= 0).all():
        raise ValueRangeError("standard errors of the truth must be numbers that are not negative")
    return root_mean_square(100.0 * truth_se[answered] / truth[answered])


def _ratio(numerator: float, denominator: float) -> float:
    return float(numerator / denominator) if denominator > 0 else float("nan")
