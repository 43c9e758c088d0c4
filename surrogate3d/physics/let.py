"""Dose and LET of a fluence spectrum in water.

LET here is the unrestricted electronic stopping power of `stopping_power` at each bin's representative energy, over all
the species of the spectrum: nothing else is hidden in it (no electrons, no cut-off, no medium but water).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import GridMismatchError
from surrogate3d.grid.spectrum import SpectrumAxes
from surrogate3d.physics.constants import K_GY, MM2_PER_UM2
from surrogate3d.physics.stopping_power import stopping_power

FloatArray = npt.NDArray[np.float64]


def bin_LET(axes: SpectrumAxes) -> FloatArray:
    """(species, bin) stopping power at the representative energies, keV/um."""
    return stopping_power(axes.Z[:, None], axes.energy_mev_u)


def bin_dose(axes: SpectrumAxes, fluence: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Dose of each bin of a spectrum, D = K fluence LET (charged-particle equilibrium).

    Args:
        axes: species and energy bins.
        fluence: (species, bin, ...) fluence per bin, 1/mm^2.

    Returns:
        (species, bin, ...) dose to water, Gy, in the precision of `fluence`.

    Raises:
        GridMismatchError: the leading axes of `fluence` are not those of `axes`.
    """
    per_fluence = _dose_per_fluence(axes, fluence).astype(fluence.dtype)
    dose: npt.NDArray[np.floating] = per_fluence.reshape(per_fluence.shape + (1,) * (fluence.ndim - 2)) * fluence
    return dose


def dose_from_spectra(axes: SpectrumAxes, fluence: npt.NDArray[np.floating]) -> FloatArray:
    """Dose to water of the whole spectrum, Gy; arguments and errors as for `bin_dose`, result of the trailing shape."""
    return _total(_dose_per_fluence(axes, fluence), fluence)


def LET_d(axes: SpectrumAxes, fluence: npt.NDArray[np.floating]) -> FloatArray:
    """Dose-averaged LET, sum fluence LET^2 / sum fluence LET.

    Args:
        axes: species and energy bins.
        fluence: (species, bin, ...) fluence per bin, any one unit.

    Returns:
        (...) LET_d, keV/um; NaN where there is no fluence.

    Raises:
        GridMismatchError: the leading axes of `fluence` are not those of `axes`.
    """
    _require_bins(axes, fluence)
    LET = bin_LET(axes)
    return _ratio(_total(LET**2, fluence), _total(LET, fluence))


def LET_t(axes: SpectrumAxes, fluence: npt.NDArray[np.floating]) -> FloatArray:
    """Track-averaged LET, sum fluence LET / sum fluence; arguments, NaN and errors as for `LET_d`."""
    _require_bins(axes, fluence)
    LET = bin_LET(axes)
    return _ratio(_total(LET, fluence), _total(np.ones_like(LET), fluence))


def _dose_per_fluence(axes: SpectrumAxes, fluence: npt.NDArray[np.floating]) -> FloatArray:
    """(species, bin) Gy per 1/mm^2."""
    _require_bins(axes, fluence)
    return K_GY * MM2_PER_UM2 * bin_LET(axes)


def _total(weight: FloatArray, fluence: npt.NDArray[np.floating]) -> FloatArray:
    """Sum over species and bins without a temporary of the size of the spectrum."""
    return np.asarray(np.einsum("sb,sb...->...", weight, fluence), dtype=float)


def _ratio(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    out = np.full(numerator.shape, np.nan)
    np.divide(numerator, denominator, out=out, where=denominator > 0.0)
    return out


def _require_bins(axes: SpectrumAxes, fluence: npt.NDArray[np.floating]) -> None:
    expected = (len(axes.species), axes.n_bins)
    if fluence.shape[:2] != expected:
        raise GridMismatchError(f"fluence must be {expected} + trailing axes, found shape {fluence.shape}")
