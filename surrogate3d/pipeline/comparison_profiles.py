"""Profiles of judged maps and their reference along the beam, and how far distal depths are apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from surrogate3d.grid import Quantity, Volume
from surrogate3d.pipeline.comparison_context import REFERENCE
from surrogate3d.validation.depth import DepthProfile, depth_profile, distal_depths
from surrogate3d.validation.problems import Problem

Floats = npt.NDArray[np.floating]

LIMITED = ("line", "R80")
"""The profile and the distal depth that a limit on the range is about."""

_TITLES: dict[Literal["line", "mean"], str] = {
    "line": "on the line of most dose",
    "mean": "mean over the plane across the beam, weighted by dose, of the voxels that all maps have",
}


@dataclass(frozen=True)
class DistalDepth:
    """Where a judged and the reference profile have fallen, mm from the first plane; None where they have not.

    Attributes:
        method: whose map was judged.
        how: "line" or "mean".
        name: "R90", "R80" or "R50", of the largest value of each profile.
        judged_mm: of the judged profile.
        reference_mm: of the reference profile.
    """

    method: str
    how: str
    name: str
    judged_mm: float | None
    reference_mm: float | None

    @property
    def difference_mm(self) -> float | None:
        """Judged - reference."""
        if self.judged_mm is None or self.reference_mm is None:
            return None
        return self.judged_mm - self.reference_mm

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self) | {"difference_mm": self.difference_mm}


@dataclass(frozen=True)
class Profiles:
    """What was found along the beam.

    Attributes:
        series: plain data as the viewer's charts take it: title, quantity, depths, and a series for each map.
        depths: distal depths of quantities that are doses.
        problems: R80 on the line that is not known.
        notes: other distal depths that are not known.
    """

    series: tuple[dict[str, Any], ...]
    depths: tuple[DistalDepth, ...]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]


def profiles_along(
    judged: Mapping[str, Floats],
    reference: Volume,
    dose: Floats,
    beam: tuple[int, int],
    dose_quantity: Quantity | None,
    is_dose: bool,
) -> Profiles:
    """Profiles of all maps on the line of most dose, and as means over the plane across the beam.

    Means are of the voxels that all maps have a value in, so that the same voxels are compared. A quantity that is no
    dose is weighted by the dose of each voxel. A dose is weighted by that of the whole line of voxels along the beam:
    with its own dose as weight it would have no mean where the reference is 0.

    Args:
        judged: (i, j, k) maps by method, on the reference's grid.
        reference: the reference.
        dose: (i, j, k) finite, not negative and positive somewhere; chooses the line and weighs the means.
        beam: index axis and sign.
        dose_quantity: of the dose, where it is to be shown as a series of its own.
        is_dose: whether the quantity is a dose, which has distal depths.
    """
    maps = {name: np.where(np.isfinite(each), each, np.nan) for name, each in judged.items()}
    maps[REFERENCE] = np.where(np.isfinite(reference.values), reference.values, np.nan)
    common = np.logical_and.reduce([np.isfinite(each) for each in maps.values()])
    lines = np.broadcast_to(dose.sum(axis=beam[0], keepdims=True), dose.shape)
    kinds = {name: REFERENCE if name == REFERENCE else "judged" for name in maps}
    series: list[dict[str, Any]] = []
    depths: list[DistalDepth] = []
    for how, title in _TITLES.items():
        weights = dose if how == "line" else np.where(common, lines if is_dose else dose, 0.0)
        if not weights.any():
            continue
        found = {name: _profile(each, weights, beam, reference, how) for name, each in maps.items()}
        unit = reference.quantity.unit
        shown = [(name, kinds[name], unit, profile) for name, profile in found.items()]
        if dose_quantity is not None:
            profile = _profile(dose, weights, beam, reference, how)
            shown.append((dose_quantity.symbol, "dose", dose_quantity.unit, profile))
        series.append(_shown(title, reference.quantity, found[REFERENCE], shown))
        if is_dose:
            depths += [each for name in judged for each in _depths(name, found[name], found[REFERENCE])]
    problems, notes = _unknown(depths)
    return Profiles(tuple(series), tuple(depths), problems, notes)


def _profile(
    values: Floats, dose: Floats, beam: tuple[int, int], reference: Volume, how: Literal["line", "mean"]
) -> DepthProfile:
    return depth_profile(values, dose, beam[0], beam[1], reference.grid.spacing_mm, how)


def _shown(
    title: str, meaning: Quantity, first: DepthProfile, kinds: list[tuple[str, str, str, DepthProfile]]
) -> dict[str, Any]:
    return {
        "title": f"{meaning.symbol} {title}",
        "quantity": meaning.name,
        "symbol": meaning.symbol,
        "unit": meaning.unit,
        "depth_mm": first.depth_mm.tolist(),
        "series": [
            {"name": name, "kind": kind, "unit": unit, "values": profile.to_json()["values"], "half_width": None}
            for name, kind, unit, profile in kinds
        ],
    }


def _depths(method: str, own: DepthProfile, other: DepthProfile) -> list[DistalDepth]:
    reference = distal_depths(other)
    return [DistalDepth(method, own.how, name, depth, reference[name]) for name, depth in distal_depths(own).items()]


def _unknown(depths: Sequence[DistalDepth]) -> tuple[tuple[Problem, ...], tuple[str, ...]]:
    """The distal depths that are not known: R80 on the line, which limits are on, as problems, the others as notes."""
    problems, notes = [], []
    for each in depths:
        for whose, depth in (("the reference", each.reference_mm), (repr(each.method), each.judged_mm)):
            told = f"the profile of {whose} ({each.how}) does not fall to {each.name[1:]} %, or has no value there"
            if depth is None and (each.how, each.name) == LIMITED:
                problems.append(Problem("range_not_found", f"R80 of {whose}", f"{told}; its range is not judged"))
            elif depth is None:
                notes.append(f"{told}; its {each.name} is not known")
    return tuple(dict.fromkeys(problems)), tuple(dict.fromkeys(notes))
