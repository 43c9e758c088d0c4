"""Maps of a patient whose structures have different cell lines: every voxel from the prediction for its own line.

It works for every kind of prediction: all lines of the assignment are predicted for the whole field, and put together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import QuantityError
from surrogate3d.grid import Grid, Volume, VolumeSet, quantity
from surrogate3d.physics.cell_line import CellLine
from surrogate3d.pipeline.cell_line_assignment import REST, Assignment, Fractions, Overlap, line_numbers

CELL_LINE = quantity("cell_line")

PHOTON_REFERENCE = (
    "RBE, RBE_ref, RBE10, D_RBE, BED and EQD2 of a voxel are against photons on the voxel's own cell line, by its "
    "alpha_x and beta_x; where lines meet, they jump, and D_RBE of two lines is no dose to one tissue"
)

_FLAGS = ("mask", "out_of_domain")
"""Maps that are 0, not NaN, where there is no answer."""


@dataclass(frozen=True, eq=False)
class CellLineMaps:
    """Maps with a line for each voxel.

    Attributes:
        volumes: those of the predictions, put together, and `cell_line`, the number of each voxel's line.
        about: the assignment as plain data, for sidecars.
    """

    volumes: VolumeSet
    about: dict[str, Any]


def cell_line_maps(
    grid: Grid,
    assignment: Assignment,
    fractions: Mapping[str, Fractions],
    predict_for: Callable[[CellLine], VolumeSet],
    needed: npt.NDArray[np.bool_] | None = None,
    overlap: Overlap = "refuse",
) -> CellLineMaps:
    """Predict for all lines of an assignment, and take every voxel from its own.

    Args:
        grid: of the field.
        assignment: from `cell_line_assignment.parse_assignment`.
        fractions: of its structures, from `cell_line_assignment.fractions_of`.
        predict_for: the maps of the whole field for one line; called once for each line that has voxels.
        needed: (i, j, k) voxels that must have a line, such as those with enough dose; all if not given.
        overlap: as in `cell_line_assignment.line_numbers`.

    Raises:
        ConfigError: structures overlap, or voxels have no line; before anything is predicted.
        QuantityError: the predictions do not have the same maps.
        GridMismatchError: they, or the structures, are not on the grid.
    """
    numbers = line_numbers(assignment, fractions, grid, needed, overlap)
    predicted = {
        number: predict_for(line) for number, line in enumerate(assignment.lines, start=1) if (numbers == number).any()
    }
    volumes = together(grid, numbers, predicted)
    marked = VolumeSet(grid, {**volumes, CELL_LINE.name: Volume(grid, numbers.astype(np.float32), CELL_LINE)})
    return CellLineMaps(marked, about(assignment, numbers, grid, overlap))


def together(grid: Grid, numbers: npt.NDArray[np.integer[Any]], predicted: Mapping[int, VolumeSet]) -> VolumeSet:
    """One set of maps from several.

    Args:
        grid: of all of them.
        numbers: (i, j, k) which set a voxel is taken from; of none where there is no set of that number.
        predicted: sets with the same maps.

    Raises:
        QuantityError, GridMismatchError: the sets do not have the same maps, or are not on the grid.
    """
    names = {number: tuple(volumes) for number, volumes in predicted.items()}
    first = next(iter(names.values()), ())
    for number, own in names.items():
        if set(own) != set(first):
            differ = ", ".join(sorted(set(own) ^ set(first)))
            raise QuantityError(f"maps of cell lines 1 and {number} cannot be put together: only one has {differ}")
        grid.require_same(predicted[number].grid, f"the field and the maps of cell line {number}")
    return VolumeSet(grid, {name: _together(name, grid, numbers, predicted) for name in first})


def _together(
    name: str, grid: Grid, numbers: npt.NDArray[np.integer[Any]], predicted: Mapping[int, VolumeSet]
) -> Volume:
    values = np.full(grid.shape, 0.0 if name in _FLAGS else np.nan, dtype=np.float32)
    for number, volumes in predicted.items():
        own = numbers == number
        values[own] = volumes[name].values[own]
    return Volume(grid, values, next(iter(predicted.values()))[name].quantity)


def about(
    assignment: Assignment, numbers: npt.NDArray[np.integer[Any]], grid: Grid, overlap: Overlap
) -> dict[str, Any]:
    """The assignment as plain data: lines with their numbers and voxels, structures in order, what RBE refers to."""
    place = {line: k for k, line in enumerate(assignment.lines, start=1)}
    pairs = [*assignment.structures, *([(REST, assignment.rest)] if assignment.rest else [])]
    return {
        "cell_lines": [
            {
                "number": number,
                "name": line.name,
                "alpha_x": line.alpha_x,
                "beta_x": line.beta_x,
                "source": line.source,
                "voxels": int((numbers == number).sum()),
                "volume_cm3": float((numbers == number).sum() * grid.voxel_volume_mm3 / 1000),
            }
            for line, number in place.items()
        ],
        "assignment": [{"structure": name, "cell_line": line.name, "number": place[line]} for name, line in pairs],
        "overlap": overlap,
        "voxels_without_cell_line": int((numbers == 0).sum()),
        "photon_reference": PHOTON_REFERENCE,
    }
