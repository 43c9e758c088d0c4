"""Survival from lineal energies that a counter scored, ion by ion: MKM in the form for counters, and GSM2.

A site of radius r that a single event leaves with lineal energy y (energy over the mean chord 4 r / 3) has the specific
energy z = K y / (pi r^2): 0.204 y / d^2 for a sphere of water (ICRU Report 36), the same number as for the disc of
`physics.track`. Events of one kind of ion are counted per unit fluence; kinds add with their fluences.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import ValueRangeError
from surrogate3d.physics.constants import K_GY
from surrogate3d.physics.gsm2 import Gsm2Parameters, response_table
from surrogate3d.physics.mkm import MkmParameters, mkm

Floats = npt.NDArray[np.float64]

N_GRID = 8192
"""Points of the grid of lesions."""


def event_specific_energy(y_kev_um: npt.ArrayLike, radius_um: float) -> Floats:
    """Specific energy of events, Gy, from their lineal energy, keV/um, in a site of this radius."""
    return np.asarray(y_kev_um, dtype=float) * (K_GY / (math.pi * radius_um**2))


def event_rates(y_kev_um: Floats, events_um2: Floats, fluence: Floats, radius_um: float) -> Floats:
    """Events in one site per Gy of the counter's own dose.

    Args:
        y_kev_um: (bin,) lineal energy, keV/um.
        events_um2: (..., ion, bin) events per unit fluence of each kind of ion, um^2.
        fluence: (ion,) fluence of each kind, any one unit.
        radius_um: of the counter.

    Returns:
        (..., ion, bin) rates, 1/Gy; with `event_specific_energy` as weights they add up to 1.

    Raises:
        ValueRangeError: no events at all.
    """
    weighted = fluence[:, None] * events_um2
    dose = (weighted @ event_specific_energy(y_kev_um, radius_um)).sum(axis=-1)
    if not (dose > 0).all():
        raise ValueRangeError("no event was counted, so the counter has no dose; give more histories")
    return np.asarray(weighted / dose[..., None, None])


def saturated_y(y_kev_um: Floats, rates: Floats, y0_kev_um: float) -> Floats:
    """y* = y0^2 sum (1 - exp(-(y/y0)^2)) f / sum y f, keV/um. Source: Kase et al., Radiat. Res. 2006;166:629.

    Args:
        y_kev_um: (bin,).
        rates: (..., bin) events, any one unit.
        y0_kev_um: saturation parameter.
    """
    saturated = -np.expm1(-((y_kev_um / y0_kev_um) ** 2))
    return np.asarray(y0_kev_um**2 * (rates @ saturated) / (rates @ y_kev_um))


def counter_mkm(y_kev_um: Floats, rates: Floats, parameters: MkmParameters) -> tuple[Floats, Floats]:
    """MKM for counters: alpha = alpha0 + beta0 K / (pi r_d^2) y*, beta = beta0, with y0 = z0 pi r_d^2 / K.

    Source: Kase et al., Radiat. Res. 2006;166:629, with the saturation of the parameter set, so that a counter of the
    domain's size gives the alpha of `physics.mkm`.

    Args:
        y_kev_um: (bin,).
        rates: (..., bin) events of all ions together, any one unit.
        parameters: an MKM set.

    Returns:
        alpha (...), 1/Gy, and beta (...), 1/Gy^2.
    """
    per_y = float(event_specific_energy(1.0, parameters.r_d))
    return mkm(saturated_y(y_kev_um, rates, parameters.z0 / per_y) * per_y, parameters)


def counter_gsm2(z: Floats, yields: Floats, rates: Floats, doses: Floats, parameters: Gsm2Parameters) -> Floats:
    """-ln S by GSM2 when every domain axis gets its events independently, as in `direct.gsm2_fft`.

    The lesions of an axis are a compound Poisson sum of q = yield x z; their distribution at a dose comes by FFT
    (Kellerer 1985), and S = E[response of one axis]^n_lateral.

    Args:
        z: (bin,) specific energy of an event, Gy.
        yields: (ion,) lesions per Gy per Gbp of each kind of ion.
        rates: (replica, ion, bin) events per Gy.
        doses: (dose,) Gy, ascending.
        parameters: the cell line.

    Returns:
        (replica, dose).
    """
    flat = rates.reshape(len(rates), -1)
    met = flat.any(axis=0)
    q, flat = (yields[:, None] * z).ravel()[met], flat[:, met]
    step = _grid_end(q, flat, float(doses[-1])) / N_GRID
    left = np.floor(q / step).astype(int)
    part = q / step - left
    log_s = _axis_response(np.asarray(step * np.arange(N_GRID)), parameters)
    effects = np.empty((len(flat), len(doses)))
    for n, rate in enumerate(flat):  # each event is split between two points so that its mean is kept
        hits = np.bincount(left, rate * (1 - part), N_GRID) + np.bincount(left + 1, rate * part, N_GRID)
        spectrum = np.fft.rfft(hits)
        density = np.fft.irfft(np.exp(doses[:, None] * (spectrum - spectrum[0])), N_GRID)
        effects[n] = -parameters.n_lateral * np.log(density @ np.exp(log_s))
    return effects


def _grid_end(q: Floats, rates: Floats, dose: float) -> float:
    """Lesions that an axis does not exceed: mean + 10 standard deviations + two largest events, over all replicas."""
    mean, spread = dose * (rates @ q), np.sqrt(dose * (rates @ q**2))
    return float((mean + 10 * spread).max() + 2 * q.max())


def _axis_response(q: Floats, parameters: Gsm2Parameters) -> Floats:
    """Logarithm of the survival of one axis with q lesions per Gbp of the whole nucleus."""
    m = q * (parameters.genome_gbp / parameters.N)
    sqrt_m, log_G = _table(parameters, 2.0 ** math.ceil(math.log2(max(float(m.max()), 400.0))))
    return np.asarray(parameters.n_layers * (np.interp(np.sqrt(m), sqrt_m, log_G) - parameters.lambda_ratio * m))


@lru_cache(maxsize=16)
def _table(parameters: Gsm2Parameters, m_max: float) -> tuple[Floats, Floats]:
    return response_table(parameters, m_max)
