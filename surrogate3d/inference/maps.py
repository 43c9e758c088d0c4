"""From survival curves to the maps that people use; everything here is derived by `physics`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from surrogate3d.direct.curve import BLOCK, Curves, dose_at, effect_at, fit_alpha_beta
from surrogate3d.errors import ConfigError, PrescriptionError, UnknownNameError, ValueRangeError
from surrogate3d.grid import DoseField, Volume, VolumeSet, quantity
from surrogate3d.physics.cell_line import CellLine
from surrogate3d.physics.linear_quadratic import BED, EQD2, LN10, RBE_at_dose, isoeffective_dose

if TYPE_CHECKING:
    from surrogate3d.inference.curves import CurveMap  # which loads the networks

Floats = npt.NDArray[np.float64]

ALWAYS = ("alpha", "beta", "RBE10", "RBE_ref", "RBE_std", "RBE_half_width", "mask", "out_of_domain")
"""Maps that need no absolute dose."""

PRESCRIBED = ("RBE", "D_RBE", "BED", "EQD2", "survival", "effect")
"""Maps at the voxel's own dose: they need a prescription."""

EVERYWHERE = ("mask", "out_of_domain")
"""Maps of every voxel: 0 where the surrogate does not answer, and all others NaN."""

_FITTED = ("alpha", "beta")
_AT_FRACTION_DOSE = ("RBE_ref", "RBE_std", "RBE_half_width")


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


def fractionations_of(doses_gy: Sequence[float], numbers: Sequence[int]) -> tuple[Fractionation, ...]:
    """Fractionations of fraction doses, each with its number of fractions, or all with the one that is given.

    Raises:
        ConfigError: there are neither as many numbers as doses nor one.
        ValueRangeError: a dose or a number is none.
    """
    if len(numbers) not in (1, len(doses_gy)):
        raise ConfigError(f"{len(doses_gy)} fraction doses and {len(numbers)} numbers of fractions; give one for each")
    each = [*numbers] * (len(doses_gy) if len(numbers) == 1 else 1)
    return tuple(Fractionation(dose, number) for dose, number in zip(doses_gy, each, strict=True))


class VoxelCurves(NamedTuple):
    """Survival curves of some voxels; attributes as of `curves.CurveMap`.

    Attributes:
        doses: (dose,) ladder, Gy.
        effect: (voxel, dose) -ln S.
        relative_std: (voxel,) predicted relative standard deviation of the effect.
        interval: (voxel,) relative half width of the interval of 90 % about the effect.
        dose: (voxel,) the voxel's own, of all fractions together, Gy; only the maps of `PRESCRIBED` need it.
    """

    doses: Floats
    effect: npt.NDArray[np.floating]
    relative_std: npt.NDArray[np.floating]
    interval: npt.NDArray[np.floating]
    dose: npt.NDArray[np.floating] | None = None

    def block(self, part: slice) -> VoxelCurves:
        """Some of the voxels in float64, the values of one dose of the ladder together."""
        effect = np.asfortranarray(self.effect[part], dtype=float)
        dose = None if self.dose is None else np.asarray(self.dose[part], dtype=float)
        return VoxelCurves(self.doses, effect, self.relative_std[part], self.interval[part], dose)


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
    dose = field.dose[curves.mask] if any(name in PRESCRIBED for name in names) else None
    given = VoxelCurves(curves.doses, curves.effect, curves.relative_std, curves.interval, dose)
    values = derive_values(given, line, fractionation, [name for name in names if name not in EVERYWHERE])
    maps = {name: on_grid(each, curves.mask) for name, each in values.items()}
    maps |= {"mask": curves.mask.astype(np.float32), "out_of_domain": curves.out_of_domain.astype(np.float32)}
    return VolumeSet(field.grid, {name: Volume(field.grid, maps[name], quantity(name)) for name in names})


def on_grid(values: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """(voxel,) values of the voxels of a mask, in the order of `np.argwhere`, on its grid; NaN elsewhere."""
    grid = np.full(mask.shape, np.nan, dtype=np.float32)
    grid[mask] = values
    return grid


def derive_values(
    curves: VoxelCurves, line: CellLine, fractionation: Fractionation, names: Iterable[str]
) -> dict[str, npt.NDArray[np.float32]]:
    """What `derive_maps` makes, of any voxels: those of a tile, or of a whole field.

    Args:
        curves: of the voxels.
        line: photon reference.
        fractionation: fraction dose and number.
        names: which maps of `ALWAYS` and `PRESCRIBED`, but for those of `EVERYWHERE`, which curves do not tell.

    Returns:
        (voxel,) float32 by name. A voxel's values do not depend on the voxels it comes with.

    Raises:
        PrescriptionError: a map of `PRESCRIBED` is asked for, and there is no dose.
        UnknownNameError: a name is none of these maps.
        ValueRangeError: the fraction dose, or a voxel's own dose per fraction, is beyond the simulated doses.
    """
    names, n = tuple(names), len(curves.effect)
    _require_known(names, tuple(name for name in ALWAYS + PRESCRIBED if name not in EVERYWHERE))
    require_on_ladder(fractionation.fraction_dose_gy, curves.doses)
    if any(name in PRESCRIBED for name in names):
        require_own_on_ladder(curves.dose, fractionation.fractions, curves.doses)
    values = {name: np.empty(n, dtype=np.float32) for name in names}
    for start in range(0, n, BLOCK):
        part = slice(start, start + BLOCK)
        found = _of_block(curves.block(part), line, fractionation, names)
        for name in names:
            values[name][part] = found[name]
    return values


def wanted(field: DoseField, fractionation: Fractionation, names: tuple[str, ...] | None) -> tuple[str, ...]:
    """The maps that will be made; refuses what cannot be, before anything is computed. See `derive_maps`."""
    if names is None:
        names = ALWAYS if field.prescription is None else ALWAYS + PRESCRIBED
    _require_known(names, ALWAYS + PRESCRIBED)
    if any(name in PRESCRIBED for name in names):
        fractionation.require_prescription(field)
    return names


def _require_known(names: tuple[str, ...], known: tuple[str, ...]) -> None:
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UnknownNameError(f"unknown map {unknown[0]!r}; known: {', '.join(known)}")


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


def require_own_on_ladder(dose: npt.NDArray[np.floating] | None, fractions: int, doses: Floats) -> None:
    """Refuse voxels whose own dose is beyond what was ever simulated.

    Args:
        dose: (voxel,) of all fractions together, Gy; None where it is not known.
        fractions: their number.
        doses: (dose,) ladder, Gy.

    Raises:
        PrescriptionError: there is no dose.
        ValueRangeError: a voxel's dose per fraction is above the last of the simulated doses.
    """
    if dose is None:
        raise PrescriptionError(f"maps of {', '.join(PRESCRIBED)} need the dose of each voxel, and none was given")
    largest = float(dose.max(initial=0.0)) / fractions
    if largest > doses[-1]:
        over = int((dose.astype(float) / fractions > doses[-1]).sum())
        raise ValueRangeError(
            f"{over} voxels receive up to {largest:.3g} Gy per fraction, survival was simulated up to "
            f"{doses[-1]:g} Gy; check where the dose is prescribed, or give more --fractions"
        )


def _of_block(
    curves: VoxelCurves, line: CellLine, fractionation: Fractionation, names: tuple[str, ...]
) -> dict[str, Floats]:
    """At least the maps of these names, and no group of maps of which none is asked for."""
    found: dict[str, Floats] = {}
    if any(name in _FITTED for name in names):
        found |= zip(_FITTED, fit_alpha_beta(curves.doses, curves.effect), strict=True)
    if "RBE10" in names:
        photon = isoeffective_dose(LN10, line.alpha_x, line.beta_x)
        found["RBE10"] = photon / dose_at(LN10, curves.doses, curves.effect)
    if any(name in _AT_FRACTION_DOSE for name in names):
        found |= _at_fraction_dose(curves, line, fractionation.fraction_dose_gy)
    if any(name in PRESCRIBED for name in names) and curves.dose is not None:
        found |= _at_own_dose(curves, curves.dose / fractionation.fractions, line, fractionation.fractions)
    return found


def _at_fraction_dose(curves: VoxelCurves, line: CellLine, fraction_dose_gy: float) -> dict[str, Floats]:
    effect = effect_at(fraction_dose_gy, curves.doses, curves.effect)
    RBE = RBE_at_dose(fraction_dose_gy, effect, line.alpha_x, line.beta_x)
    change = RBE * photon_sensitivity(RBE * fraction_dose_gy, line)
    return {"RBE_ref": RBE, "RBE_std": change * curves.relative_std, "RBE_half_width": change * curves.interval}


def photon_sensitivity(photon_dose: Floats, line: CellLine) -> Floats:
    """Slope d ln D / d ln E of the photon curve: relative error of RBE over relative error of the effect."""
    linear, quadratic = line.alpha_x * photon_dose, line.beta_x * photon_dose**2
    return np.asarray((linear + quadratic) / (linear + 2 * quadratic))


def _at_own_dose(curves: VoxelCurves, per_fraction: Floats, line: CellLine, fractions: int) -> dict[str, Floats]:
    effect = effect_at_each(per_fraction, curves.doses, curves.effect)
    RBE = RBE_at_dose(per_fraction, effect, line.alpha_x, line.beta_x)
    photon, ratio = RBE * per_fraction, line.alpha_beta_x
    return {
        "RBE": RBE,
        "D_RBE": photon * fractions,
        "BED": BED(photon * fractions, photon, ratio),
        "EQD2": EQD2(photon * fractions, photon, ratio),
        "effect": fractions * effect,
        "survival": np.exp(-fractions * effect),
    }


def effect_at_each(dose: Floats, doses: Floats, effects: Curves) -> Floats:
    """-ln S of each voxel at its own dose: -ln S / D is linear between the ladder's doses, and below the first of them.

    Args:
        dose: (voxel,) Gy.
        doses: (dose,) ladder, Gy.
        effects: (voxel, dose).
    """
    right = np.clip((doses[:, None] < dose).sum(axis=0), 1, len(doses) - 1)
    left, rows = right - 1, np.arange(len(dose))
    t = (dose - doses[left]) / (doses[right] - doses[left])
    slope = (1 - t) * effects[rows, left] / doses[left] + t * effects[rows, right] / doses[right]
    return np.asarray(dose * slope)
