"""What a comparison of maps is told beside the maps, and which voxels follow from it: where, and in which groups.

Compared is where at least 5 % of the largest dose is delivered, as nobody expects an RBE where there is none: of the
dose that is given, else of the reference itself where that is one, else wherever the reference has a value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import ConfigError, GridMismatchError, QuantityError, ValueRangeError
from surrogate3d.grid import Volume
from surrogate3d.grid.regions import REGIONS, regions
from surrogate3d.validation.problems import Problem
from surrogate3d.validation.strata import DOSE_EDGES_PERCENT, dose_strata, quantile_edges, strata

DOSE_LIKE = ("dose_to_water", "dose_to_medium", "D_RBE", "BED", "EQD2")
"""Quantities that gamma and distal depths are defined for."""

REFERENCE, INPUT = "reference", "input"
"""Methods of the histograms and profiles that are of no judged map."""

EVALUATED_PERCENT = DOSE_EDGES_PERCENT[0]
"""Of the largest dose: what the regions of a field take, too."""

HALF = 0.5

Floats = npt.NDArray[np.floating]
Masks = dict[str, npt.NDArray[np.bool_]]
Beam = tuple[int, int]

_MISTAKEN = {"Gy": {100.0: "cGy", 1000.0: "mGy"}, "Gy (RBE)": {100.0: "cGy", 1000.0: "mGy"}, "keV/um": {10.0: "MeV/cm"}}
_AS_LARGE = 1.25
"""Maps of one unit differ by less than this factor in the median; a mistaken unit makes it 10 or more."""


@dataclass(frozen=True, eq=False)
class Context:
    """What a comparison is told beside the maps; all of it on their grid.

    Attributes:
        dose: physical dose; decides where is compared, the strata of dose and the regions.
        LET: dose-averaged LET, for strata and histograms.
        beam: index axis and sign (+1 towards larger indices) of the beam; gives regions and depth profiles.
        structures: (i, j, k) fraction of each voxel that is inside, by name.
        base: value that V95 is of, in the unit of the quantity, such as the prescribed D_RBE.
        answered: (i, j, k) where the judged maps are asked for: nothing else is compared, and that a structure reaches
            further is a note and no problem. None asks everywhere.
        sigma: (i, j, k) Monte Carlo standard error of the reference, in its unit; NaN where it is not known.
        problems: what was wrong with structures and others before.
    """

    dose: Volume | None = None
    LET: Volume | None = None
    beam: Beam | None = None
    structures: Mapping[str, Floats] = field(default_factory=dict)
    base: float | None = None
    answered: npt.NDArray[np.bool_] | None = None
    sigma: Floats | None = None
    problems: tuple[Problem, ...] = ()

    @property
    def distinct(self) -> Context:
        """The same, with structures that are called as another group of voxels told apart from it."""
        taken = ("all", *REGIONS)
        named = {f"{name} (structure)" if name in taken else name: each for name, each in self.structures.items()}
        return replace(self, structures=named)

    def weights(self, reference: Volume) -> Floats | None:
        """(i, j, k) the dose, else a reference that is one, 0 where it is not known; None where there is no dose."""
        if self.dose is None and reference.quantity.name not in DOSE_LIKE:
            return None
        values = reference.values if self.dose is None else self.dose.values
        return np.where(np.isfinite(values), values, 0.0)


def require_comparable(judged: Mapping[str, Floats], reference: Volume, told: Context) -> None:
    """Refuse what cannot be compared at all.

    Raises:
        ConfigError: no map, or one of the name that the reference or the input has.
        GridMismatchError: something has another shape than the reference.
        ValueRangeError: a given dose is nowhere positive, or negative.
    """
    if not judged:
        raise ConfigError("there is no map to judge; give one or more")
    for name in (REFERENCE, INPUT):
        if name in judged:
            raise ConfigError(f"a judged map cannot be called {name!r}, which another has; choose another name")
    beside = [(name, each.values) for name, each in (("dose", told.dose), ("LET", told.LET)) if each is not None]
    beside += [] if told.sigma is None else [("sigma", told.sigma)]
    for name, values in (*judged.items(), *told.structures.items(), *beside):
        if values.shape != reference.grid.shape:
            raise GridMismatchError(f"{name!r} has shape {values.shape}, the reference {reference.grid.shape}")
    if told.dose is not None and not (np.nanmax(told.dose.values, initial=0) > 0 <= np.nanmin(told.dose.values)):
        raise ValueRangeError("the dose that tells where to compare must not be negative, and be positive somewhere")


def require_one_unit(judged: Mapping[str, Floats], reference: Volume, evaluated: npt.NDArray[np.bool_]) -> None:
    """Refuse maps that a factor of units parts, since images do not say their unit.

    Raises:
        QuantityError: a judged map is 10 (LET), 100 or 1000 (dose) times the reference in the median, or as much less.
    """
    for name, values in judged.items():
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(evaluated, values / reference.values, np.nan)
        ratio = ratio[np.isfinite(ratio) & (ratio > 0)]
        median = float(np.median(ratio)) if ratio.size else 1.0
        for factor, unit in _MISTAKEN.get(reference.quantity.unit, {}).items():
            for larger, apart in ((repr(name), median / factor), ("the reference", 1 / (median * factor))):
                if 1 / _AS_LARGE < apart < _AS_LARGE:
                    raise QuantityError(
                        f"{name!r} is {median:.4g} times the reference in the median: {larger} looks to be in {unit}, "
                        f"expected {reference.quantity.unit}; convert it"
                    )


def evaluated_voxels(reference: Volume, told: Context) -> tuple[npt.NDArray[np.bool_], tuple[str, ...]]:
    """Where is compared, and that in words.

    Returns:
        (i, j, k) mask, and notes.
    """
    asked = np.ones(reference.grid.shape, dtype=bool) if told.answered is None else told.answered
    dose = told.weights(reference)
    if dose is None:
        note = "no dose was given: compared is wherever the reference has a value, and not only where a dose is"
        return np.isfinite(reference.values) & asked, (note,)
    if not dose.max() > 0:
        return asked, ("the reference is nowhere positive: compared is in all voxels",)
    what, meaning = ("the reference", reference.quantity) if told.dose is None else ("the dose", told.dose.quantity)
    largest = f"{dose.max():.4g} {meaning.unit}"
    note = f"compared is where {what} has at least {EVALUATED_PERCENT:g} % of its largest value, {largest}"
    return ~next(iter(_dose_strata(dose, told, reference).values())) & asked, (note,)


def groups_of(
    evaluated: npt.NDArray[np.bool_], reference: Volume, told: Context
) -> tuple[dict[str, Masks], tuple[str, ...]]:
    """Compared voxels by kind of group and name, and notes on the groups that hold none of them.

    Strata of dose are parts of its largest value; those of LET hold a quarter of the compared voxels each. A structure
    without any voxel that is half inside stays, empty, so that it is named as a problem.
    """
    dose, found, notes = told.weights(reference), {"all": {"all": evaluated}}, []
    if dose is not None and dose.max() > 0:
        found["dose"] = dict(list(_dose_strata(dose, told, reference).items())[1:])  # the first is what is not compared
        if told.beam is not None:
            axis, sign = told.beam
            found["region"] = regions(dose, axis, sign, reference.grid.spacing_mm, EVALUATED_PERCENT / 100)
    if told.LET is not None and (edges := quantile_edges(told.LET.values, evaluated)):
        found["LET"] = strata(told.LET.values, edges, told.LET.quantity.symbol, told.LET.quantity.unit)
    halves = {name: np.asarray(fraction >= HALF) for name, fraction in told.structures.items()}
    if halves:
        found["structure"] = halves
    groups: dict[str, Masks] = {}
    for kind, masks in found.items():
        inside = {name: mask & evaluated for name, mask in masks.items()}
        empty = [name for name, mask in inside.items() if not mask.any() and masks[name].any()]
        never = [name for name, mask in masks.items() if not mask.any() and kind not in ("all", "structure")]
        notes += [f"{kind} {name!r} holds no compared voxel, so it has no errors" for name in (*empty, *never)]
        groups[kind] = {name: mask for name, mask in inside.items() if name not in (*empty, *never)}
    return groups, tuple(notes)


def _dose_strata(dose: Floats, told: Context, reference: Volume) -> Masks:
    symbol = reference.quantity.symbol if told.dose is None else "D"
    return dose_strata(dose, float(dose.max()), symbol=symbol)
