"""What is handed over as segments: regions of the dose, structures, and where there is an answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from surrogate3d.grid import DoseField, Field, Volume
from surrogate3d.grid.colours import ISODOSE, STRUCTURES
from surrogate3d.grid.regions import REGIONS, regions
from surrogate3d.io.segmentation import Segment
from surrogate3d.pipeline.judged_structures import structures_on
from surrogate3d.validation.problems import Problem

HALF = 0.5
"""Least fraction of a voxel inside a structure for the voxel to belong to its segment."""

_MASKS = {
    "mask": ("answered", "#8a8a8a", "voxels with an answer; all others are 0 in RT Dose"),
    "out_of_domain": ("out of domain", ISODOSE[0], "voxels of which the training of the model says nothing"),
}
_REGIONS = ("#8ab6d6", "#e8a400", "#d98bb3", "#9fc08a", "#b9b3a8")
_MEANINGS = {
    "entrance": "in front of the target, at least 80 % of the level of its plane",
    "target": "between the first and the last voxel of each line along the beam with 90 % of the level of the field",
    "distal_edge": "behind the target, where the dose falls along the beam",
    "penumbra": "at least 20 % of the level of its plane, and what falls sideways behind the target",
    "other": "the rest above 5 % of the largest dose",
}


@dataclass(frozen=True, eq=False)
class Part:
    """A segment, and what it means.

    Attributes:
        kind: "structure", "region" or "mask".
        segment: as it is written.
        meaning: in words.
    """

    kind: str
    segment: Segment
    meaning: str


@dataclass(frozen=True, eq=False)
class Parts:
    """All segments.

    Attributes:
        parts: those that have voxels.
        problems: of structures, as of `judged_structures`.
        notes: what else a reader should know.
    """

    parts: tuple[Part, ...]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]


def parts_of(plan: DoseField, maps: Mapping[str, Volume], structures: Path | None, frame: str = "") -> Parts:
    """Segments of a plan and its maps.

    Args:
        plan: whose dose has the regions.
        maps: `mask` and `out_of_domain` are used where they are there.
        structures: as of `judged_structures.structures_on`.
        frame: UID of the frame of reference of the grid; empty where it is not known.

    Raises:
        Surrogate3dError: the structures cannot be read, or are not on the grid.
    """
    laid, problems = structures_on(structures, plan.grid, None, frame)
    volumes = list(_structures(laid))
    thin = tuple(_thin(part.segment.name) for part in volumes if not part.segment.mask.any())
    others = [*_regions(plan), *_masks(maps)]
    empty = tuple(f"no segment {p.segment.name!r}: it has no voxels" for p in others if not p.segment.mask.any())
    kept = tuple(part for part in (*volumes, *others) if part.segment.mask.any())
    return Parts(kept, (*problems, *thin), (*_about_regions(plan), *empty))


def _structures(laid: Mapping[str, npt.NDArray[np.float32]]) -> Iterator[Part]:
    for number, (name, fraction) in enumerate(laid.items()):
        segment = Segment(name, np.asarray(fraction >= HALF), STRUCTURES[number % len(STRUCTURES)])
        yield Part("structure", segment, "at least half of each voxel is inside")


def _thin(name: str) -> Problem:
    told = f"structure {name!r} fills no voxel by half; it has no segment"
    return Problem("empty_structure", f"structure {name!r}", told)


def _regions(plan: DoseField) -> Iterator[Part]:
    if isinstance(plan, Field) and not plan.several_directions:
        dose = np.nan_to_num(plan.dose)
        masks = regions(dose, plan.beam_axis, plan.beam_sign, plan.grid.spacing_mm)
        for number, name in enumerate(REGIONS):
            yield Part("region", Segment(f"region {name}", masks[name], _REGIONS[number]), _MEANINGS[name])


def _about_regions(plan: DoseField) -> tuple[str, ...]:
    if not isinstance(plan, Field):
        return ("no regions: the field has no spectra, and so no axis of the beam",)
    return ("no regions: beams of several directions have no common axis",) if plan.several_directions else ()


def _masks(maps: Mapping[str, Volume]) -> Iterator[Part]:
    for name, (title, colour, meaning) in _MASKS.items():
        if name in maps:
            yield Part("mask", Segment(title, np.asarray(maps[name].values > 0), colour), meaning)
