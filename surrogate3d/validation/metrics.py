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
    "q05": "5th percentile of the signed relative error, %",
    "q50": "median of the signed relative error, %",
    "q95": "95th percentile of the signed relative error, %",
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
    q05: float
    q50: float
    q95: float
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
        return ErrorSummary(0, n_missing, *[np.nan] * 11)
    relative = 100.0 * (x / y - 1.0)
    rms = root_mean_square(relative)
    q05, q50, q95 = (float(value) for value in np.percentile(relative, (5, 50, 95)))
    return ErrorSummary(
        n=len(x),
        n_missing=n_missing,
        R2=1.0 - _ratio(np.square(x - y).sum(), np.square(y - y.mean()).sum()),
        NRMSE_range=_ratio(root_mean_square(x - y), y.max() - y.min()),
        bias=float(relative.mean()),
        rms=rms,
        q05=q05,
        q50=q50,
        q95=q95,
        p95=float(np.percentile(np.abs(relative), 95)),
        max=float(np.abs(relative).max()),
        floor=floor,
        rms_net=subtract_in_quadrature(rms, floor),
    )


def scatter(predicted: npt.NDArray[np.floating], truth: npt.NDArray[np.floating]) -> float:
    """Standard deviation of the relative error about its mean, %: what is left of the rms without the bias.

    Args:
        predicted: values; NaN where there is no answer.
        truth: values of the same shape, finite and not zero.

    Returns:
        In %, over the answered voxels; NaN of fewer than two.

    Raises:
        GridMismatchError: shapes differ.
    """
    if predicted.shape != truth.shape:
        raise GridMismatchError(f"predicted has shape {predicted.shape}, the truth {truth.shape}")
    relative = 100.0 * (predicted / truth - 1.0)[~np.isnan(predicted)]
    return float(relative.std(ddof=1)) if relative.size > 1 else float("nan")


def histories_ratio(rms_net: float, other_rms_net: float) -> float:
    """How many times more histories the other method would need for this one's error, if its own falls as 1 / sqrt(N).

    Args:
        rms_net: error of this method, %, the truth's noise taken out.
        other_rms_net: error of the other from the same histories, %.

    Returns:
        The ratio; NaN where an error is not known or this one's is within the floor.
    """
    return float((other_rms_net / rms_net) ** 2) if rms_net > 0 else float("nan")


def rms_ratio(
    errors: npt.NDArray[np.floating],
    others: npt.NDArray[np.floating],
    blocks: npt.NDArray[np.integer],
    rng: np.random.Generator,
    n_draws: int = 1000,
) -> tuple[float, float, float]:
    """Ratio of two methods' rms on the same voxels with its 95 % interval, from resampled blocks of voxels.

    Voxels that share noise belong in one block (those along the beam do), else the interval is too narrow.

    Args:
        errors: (voxel,) errors of the one method.
        others: (voxel,) errors of the other.
        blocks: (voxel,) number of the block of each voxel.
        rng: of the resampling.
        n_draws: resamplings.

    Returns:
        Ratio, its 2.5th and its 97.5th percentile; NaN of no voxels.

    Raises:
        GridMismatchError: shapes differ.
    """
    if not errors.shape == others.shape == blocks.shape:
        raise GridMismatchError(f"expected three equal shapes, found {errors.shape}, {others.shape} and {blocks.shape}")
    if not errors.size:
        return (float("nan"),) * 3
    _, block = np.unique(blocks, return_inverse=True)
    sums = np.stack([np.bincount(block, np.square(values)) for values in (errors, others)])
    draws = rng.multinomial(sums.shape[1], np.full(sums.shape[1], 1 / sums.shape[1]), size=n_draws)
    one, other = sums @ draws.T
    low, high = np.percentile(np.sqrt(one / other), (2.5, 97.5))
    return float(np.sqrt(sums[0].sum() / sums[1].sum())), float(low), float(high)


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
