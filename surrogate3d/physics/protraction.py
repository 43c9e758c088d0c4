"""Protracted and split delivery in the linear-quadratic model: the dose-protraction factor G of Lea and Catcheside.

The quadratic term comes from pairs of lesions, and a pair counts only if the first is still there when the second
comes. With one repair rate mu, effect = alpha D + G beta D^2, and

    G D^2 = 2 Int dt Int_{t' < t} dt' D'(t) D'(t') exp(-mu (t - t'))

(Lea and Catcheside, J. Genet. 1942;44:216; Sachs, Hahnfeld and Brenner, Int. J. Radiat. Biol. 1997;72:351). Here the
dose rate is constant within exposures, which may have any dose, gap and overlap, and the integral is in closed form.

Where it holds. It is exact for the linear-quadratic model with one repair rate. In GSM2 it is the limit of few lesions
per domain, with mu = r + a, the rate at which a lone lesion ends. It fails where domains hold many lesions and survival
bends away from linear-quadratic: for HSG and photons -ln S is 0.4 % too high at 3 Gy and 1.9 % at 8 Gy, and less so the
slower the delivery. For ions alpha must be the slope of infinitely slow delivery and beta D^2 what acute delivery adds
to it: a fitted pair need not be that where pairs of lesions come from one track. `direct.gillespie` and
`direct.tracks_in_time` simulate the lesions themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import QuantityError, ValueRangeError
from surrogate3d.grid.field import Beam
from surrogate3d.physics.gsm2 import Gsm2Parameters
from surrogate3d.physics.linear_quadratic import lea_catcheside

Floats = npt.NDArray[np.float64]

SECONDS_PER_HOUR = 3600.0


class Exposures(NamedTuple):
    """When dose is delivered.

    Attributes:
        start_h: (exposure,) beginning, h.
        duration_h: (exposure,) length, h; 0 is an instant.
    """

    start_h: Floats
    duration_h: Floats


def exposures(start_h: npt.ArrayLike, duration_h: npt.ArrayLike) -> Exposures:
    """Check and make `Exposures`; a single duration serves all.

    Raises:
        ValueRangeError: no exposure, a time that is not finite, or a negative duration.
    """
    start, duration = np.broadcast_arrays(np.atleast_1d(start_h).astype(float), np.asarray(duration_h, dtype=float))
    if start.ndim != 1 or not start.size or not (np.isfinite(start) & np.isfinite(duration) & (duration >= 0)).all():
        raise ValueRangeError(
            f"exposures need finite starts and durations >= 0 in h, one each; found {start.tolist()} and "
            f"{duration.tolist()}"
        )
    return Exposures(start, duration)


def exposures_of(beams: Sequence[Beam]) -> Exposures:
    """The exposures of treatment fields, which state their times in seconds.

    Raises:
        QuantityError: a beam does not say when it begins or how long it takes.
        ValueRangeError: there is no beam.
    """
    for beam in beams:
        if beam.start_s is None or beam.duration_s is None:
            raise QuantityError(
                f"beam {beam.name}: protraction needs start_s and duration_s, found {beam.start_s} and "
                f"{beam.duration_s}; state the times of delivery"
            )
    times = np.array([(beam.start_s, beam.duration_s) for beam in beams], dtype=float).reshape(-1, 2)
    return exposures(*(times.T / SECONDS_PER_HOUR))


def disjoint(when: Exposures) -> tuple[Exposures, Floats]:
    """Cut exposures at each other's beginnings and ends, so that no two overlap in part.

    Returns:
        Exposures in order of time, and (piece, exposure) share of each exposure's dose in each piece.
    """
    ends = when.start_h + when.duration_h
    lasting, instant = when.duration_h > 0, when.duration_h == 0
    edges = np.unique(np.concatenate([when.start_h, ends]))
    left, right = edges[:-1], edges[1:]
    within = lasting & (when.start_h <= left[:, None]) & (ends >= right[:, None])
    share = np.where(within, (right - left)[:, None] / np.where(lasting, when.duration_h, 1.0), 0.0)
    at = instant & (when.start_h == edges[:, None])
    start = np.concatenate([edges, left])
    duration = np.concatenate([np.zeros(len(edges)), right - left])
    shares = np.concatenate([at.astype(float), share])
    order = np.lexsort((duration > 0, start))  # an instant precedes what begins with it
    used = order[shares[order].any(axis=1)]
    return Exposures(start[used], duration[used]), shares[used]


def pair_dose_squared(doses: npt.ArrayLike, when: Exposures, repair_rate: float) -> Floats:
    """G D^2, which multiplies beta.

    Args:
        doses: (exposure, ...) Gy, for as many places as there are further axes.
        when: the exposures.
        repair_rate: mu, 1/h; 0 is no repair, which gives D^2.

    Returns:
        G D^2 in Gy^2, (...).

    Raises:
        ValueRangeError: a dose or the rate is negative or not finite, or there is not one dose for each exposure.
    """
    D = np.asarray(doses, dtype=float)
    if D.ndim < 1 or len(D) != len(when.start_h) or not (np.isfinite(D) & (D >= 0)).all():
        raise ValueRangeError(f"expected doses >= 0 in Gy for {len(when.start_h)} exposures, found shape {D.shape}")
    if not (np.isfinite(repair_rate) and repair_rate >= 0):
        raise ValueRangeError(f"the repair rate must be finite and >= 0 in 1/h, found {repair_rate}")
    pieces, shares = disjoint(when)
    piece_doses = np.tensordot(shares, D, axes=1)
    total, unrepaired, now = np.zeros(D.shape[1:]), np.zeros(D.shape[1:]), pieces.start_h[0]
    for start, duration, d in zip(*pieces, piece_doses, strict=True):
        x = repair_rate * duration
        mean_decay = -np.expm1(-x) / x if x > 0 else 1.0
        unrepaired = unrepaired * np.exp(-repair_rate * (start - now))
        total = total + d * d * lea_catcheside(repair_rate, duration) + 2 * d * mean_decay * unrepaired
        unrepaired = unrepaired * np.exp(-x) + d * mean_decay
        now = start + duration
    return np.asarray(total)


def protraction_factor(doses: npt.ArrayLike, when: Exposures, repair_rate: float) -> Floats:
    """The dose-protraction factor G, between 0 and 1; NaN where there is no dose.

    Arguments and errors as for `pair_dose_squared`.
    """
    total = np.asarray(doses, dtype=float).sum(axis=0)
    square = pair_dose_squared(doses, when, repair_rate)
    with np.errstate(invalid="ignore"):
        return np.asarray(square / np.where(total > 0, total * total, np.nan))


def protracted_effect(
    doses: npt.ArrayLike, when: Exposures, alpha: npt.ArrayLike, beta: npt.ArrayLike, repair_rate: float
) -> Floats:
    """-ln S of a delivery in time, alpha D + beta G D^2.

    All exposures have the same alpha and beta. Where beams differ in radiation quality they do not.

    Args:
        doses: (exposure, ...) Gy.
        when: the exposures.
        alpha: 1/Gy, (...).
        beta: 1/Gy^2, (...).
        repair_rate: mu, 1/h.

    Raises:
        ValueRangeError: as for `pair_dose_squared`.
    """
    linear = np.asarray(alpha, dtype=float) * np.asarray(doses, dtype=float).sum(axis=0)
    return np.asarray(linear + np.asarray(beta, dtype=float) * pair_dose_squared(doses, when, repair_rate))


def mixed_effect(
    doses: npt.ArrayLike, when: Exposures, alpha: npt.ArrayLike, beta: npt.ArrayLike, repair_rate: float
) -> Floats:
    """-ln S of exposures of different radiation quality, sum alpha_i D_i + G-weighted pairs of sqrt(beta_i) D_i.

    The rule of Zaider and Rossi (Radiat. Res. 1980;83:732) with repair between and during the exposures.

    Args:
        doses: (exposure, ...) Gy.
        when: the exposures.
        alpha: (exposure, ...) 1/Gy.
        beta: (exposure, ...) 1/Gy^2, not negative.
        repair_rate: mu, 1/h.

    Raises:
        ValueRangeError: as for `pair_dose_squared`, or a beta is negative.
    """
    D, b = np.asarray(doses, dtype=float), np.asarray(beta, dtype=float)
    if not (b >= 0).all():
        raise ValueRangeError(f"mixing needs beta >= 0 in 1/Gy^2, found {float(np.min(b)):g}")
    linear = (np.asarray(alpha, dtype=float) * D).sum(axis=0)
    return np.asarray(linear + pair_dose_squared(np.sqrt(b) * D, when, repair_rate))


def repair_rate_of(parameters: Gsm2Parameters) -> float:
    """Repair rate mu of the low-LET limit of GSM2, r + a in 1/h: the rate at which a lone lesion ends."""
    return parameters.r + parameters.a
