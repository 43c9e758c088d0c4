"""From survival curves to the maps that people use; everything here is derived by `physics`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from surrogate3d.direct.curve import analyse, effect_at
from surrogate3d.errors import PrescriptionError, UnknownNameError, ValueRangeError
from surrogate3d.grid import DoseField, Volume, VolumeSet, quantity
from surrogate3d.inference.curves import CurveMap
from surrogate3d.physics.cell_line import CellLine
from surrogate3d.physics.linear_quadratic import BED, EQD2, RBE_at_dose

Floats = npt.NDArray[np.float64]

ALWAYS = ("alpha", "beta", "RBE10", "RBE_ref", "RBE_std", "RBE_half_width", "mask", "out_of_domain")
"""Maps that need no absolute dose."""

PRESCRIBED = ("RBE", "D_RBE", "BED", "EQD2", "survival", "effect")
"""Maps at the voxel's own dose: they need a prescription."""


@dataclass(frozen=True)
class Fractionation:
    """How the treatment is delivered.

    Attributes:
        fraction_dose_gy: dose at which `RBE_ref` is taken everywhere, and dose of one fraction at the prescription.
        fractions: number of equal fractions; the field's dose is that of all of them together.
    """

    fraction_dose_gy: float
    fractions: int = 1

    def __post_init__(self) -> None:
        if not self.fraction_dose_gy > 0 or self.fractions < 1:
            raise ValueRangeError(
                f"fraction dose must be positive and fractions at least 1, found {self.fraction_dose_gy} Gy "
                f"and {self.fractions}"
            )

    def require_prescription(self, field: DoseField) -> None:
        """Refuse maps at the voxel's own dose when the dose is not absolute or contradicts the fractionation.

        Raises:
            PrescriptionError: there is no prescription, or it does not equal fractions x fraction dose.
        """
        if field.prescription is None:
            raise PrescriptionError(
                "the field's dose is in arbitrary scale, so RBE at its own dose, D_RBE and survival are refused; "
                'convert again with --prescribe "2 Gy" --at p50 --box ... or with --dose-scale'
            )
        prescribed = field.prescription.dose_gy
        total = self.fractions * self.fraction_dose_gy
        if prescribed is not None and abs(prescribed / total - 1) > 1e-6:
            raise PrescriptionError(
                f"the field is prescribed {prescribed:g} Gy, but {self.fractions} x {self.fraction_dose_gy:g} Gy is "
                f"{total:g} Gy; give --fractions and --fraction-dose that agree, or convert with another prescription"
            )


def derive_maps(
    curves: CurveMap,
    field: DoseField,
    line: CellLine,
    fractionation: Fractionation,
    names: tuple[str, ...] | None = None,
) -> VolumeSet:
    """Maps of alpha, beta, RBE, D_RBE, BED, EQD2, survival with their uncertainty.

    Args:
        curves: predicted survival curves.
        field: for dose and prescription.
        line: photon reference.
        fractionation: fraction dose and number.
        names: which maps; None makes all that the field allows: those of `PRESCRIBED` only with a prescription.

    Returns:
        Volumes by name, float32, NaN where the surrogate does not answer.

    Raises:
        PrescriptionError: a map of `PRESCRIBED` is asked for, or the field is prescribed, and the doses do not fit.
        UnknownNameError: a name is not a map.
        ValueRangeError: the fraction dose, or a voxel's own dose per fraction, is beyond the simulated doses.
    """
    names = wanted(field, fractionation, names)
    require_on_ladder(fractionation.fraction_dose_gy, curves.doses)
    values = _independent(curves, line, fractionation.fraction_dose_gy)
    if any(name in PRESCRIBED for name in names):
        values |= _at_own_dose(curves, field, line, fractionation.fractions)
    volumes = {n: Volume(field.grid, values[n].astype(np.float32), quantity(n)) for n in names}
    return VolumeSet(field.grid, volumes)


def wanted(field: DoseField, fractionation: Fractionation, names: tuple[str, ...] | None) -> tuple[str, ...]:
    """The maps that will be made; refuses what cannot be, before anything is computed. See `derive_maps`."""
    if names is None:
        names = ALWAYS if field.prescription is None else ALWAYS + PRESCRIBED
    unknown = [name for name in names if name not in ALWAYS + PRESCRIBED]
    if unknown:
        raise UnknownNameError(f"unknown map {unknown[0]!r}; known: {', '.join(ALWAYS + PRESCRIBED)}")
    if any(name in PRESCRIBED for name in names):
        fractionation.require_prescription(field)
    return names


def require_on_ladder(dose_gy: float, doses: Floats) -> None:
    """Refuse a dose at which nothing was ever simulated.

    Raises:
        ValueRangeError: the dose is below the first or above the last of the simulated doses.
    """
    if not doses[0] <= dose_gy <= doses[-1]:
        raise ValueRangeError(
            f"survival was simulated from {doses[0]:g} to {doses[-1]:g} Gy per fraction, not at {dose_gy:g} Gy; "
            "give a fraction dose in that range"
        )


def _independent(curves: CurveMap, line: CellLine, fraction_dose_gy: float) -> dict[str, Floats]:
    found = analyse(curves.doses, np.exp(-curves.effect), line)
    at_reference = effect_at(fraction_dose_gy, curves.doses, curves.effect)
    maps = {name: curves.volume(found[name]) for name in ("alpha", "beta", "RBE10")}
    RBE = RBE_at_dose(fraction_dose_gy, at_reference, line.alpha_x, line.beta_x)
    maps["RBE_ref"] = curves.volume(RBE)
    slope = photon_sensitivity(RBE * fraction_dose_gy, line)
    maps["RBE_std"] = curves.volume(RBE * slope * curves.relative_std)
    maps["RBE_half_width"] = curves.volume(RBE * slope * curves.interval)
    maps["mask"] = curves.mask.astype(float)
    maps["out_of_domain"] = curves.out_of_domain.astype(float)
    return maps


def photon_sensitivity(photon_dose: Floats, line: CellLine) -> Floats:
    """Slope d ln D / d ln E of the photon curve: relative error of RBE over relative error of the effect."""
    linear, quadratic = line.alpha_x * photon_dose, line.beta_x * photon_dose**2
    return np.asarray((linear + quadratic) / (linear + 2 * quadratic))


def _at_own_dose(curves: CurveMap, field: DoseField, line: CellLine, fractions: int) -> dict[str, Floats]:
    per_fraction = np.asarray(field.dose[curves.mask], dtype=float) / fractions
    if per_fraction.max() > curves.doses[-1]:
        over = int((per_fraction > curves.doses[-1]).sum())
        raise ValueRangeError(
            f"{over} voxels receive up to {per_fraction.max():.3g} Gy per fraction, survival was simulated up to "
            f"{curves.doses[-1]:g} Gy; check where the dose is prescribed, or give more --fractions"
        )
    effect = effect_at_each(per_fraction, curves.doses, curves.effect)
    RBE = RBE_at_dose(per_fraction, effect, line.alpha_x, line.beta_x)
    photon, ratio = RBE * per_fraction, line.alpha_beta_x
    return {
        "RBE": curves.volume(RBE),
        "D_RBE": curves.volume(photon * fractions),
        "BED": curves.volume(BED(photon * fractions, photon, ratio)),
        "EQD2": curves.volume(EQD2(photon * fractions, photon, ratio)),
        "effect": curves.volume(fractions * effect),
        "survival": curves.volume(np.exp(-fractions * effect)),
    }


def effect_at_each(dose: Floats, doses: Floats, effects: Floats) -> Floats:
    """-ln S of each voxel at its own dose: -ln S / D is linear between the ladder's doses, and below the first of them.

    Args:
        dose: (voxel,) Gy.
        doses: (dose,) ladder, Gy.
        effects: (voxel, dose).
    """
    slopes = effects / doses
    right = np.clip(np.searchsorted(doses, dose), 1, len(doses) - 1)
    rows = np.arange(len(dose))
    t = (dose - doses[right - 1]) / (doses[right] - doses[right - 1])
    return np.asarray(dose * ((1 - t) * slopes[rows, right - 1] + t * slopes[rows, right]))
