"""Predict the maps of a field store and write them: for one cell line, or for those of the patient's structures."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from surrogate3d.errors import ConfigError
from surrogate3d.grid import VolumeSet
from surrogate3d.physics.cell_line import CellLine
from surrogate3d.pipeline.cell_line_assignment import Assignment, Fractions, Overlap, fractions_of
from surrogate3d.pipeline.cell_line_maps import CELL_LINE, cell_line_maps
from surrogate3d.pipeline.map_output import MapOutput, MapSet, write_slabs
from surrogate3d.pipeline.map_slabs import Slab
from surrogate3d.pipeline.predictors import Answer, MapRequest, Predictor, predictor_by_name
from surrogate3d.pipeline.tiled_prediction import PLAIN, TiledMaps, summed_up, write_tiled


@dataclass(frozen=True)
class Structures:
    """Cell lines of structures, and where the structures are.

    Attributes:
        assignment: which structure has which line; it may be one line for all voxels.
        source: an RT Structure Set or a folder of masks; None where all structures are mask images.
        overlap: what happens to voxels of two structures of different lines.
    """

    assignment: Assignment
    source: Path | None = None
    overlap: Overlap = "refuse"


def predict_store(
    path: Path, model: str | None, cells: Structures, asked: MapRequest, output: MapOutput
) -> dict[str, Any]:
    """Predict the maps of a field store by the model of a name, and write them.

    Args:
        path: the field store.
        model: as of `predictors.predictor_by_name`, which says what is refused, too.
        cells: which cell line is where. With lines by structure the maps also get `cell_line`, the number of each
            voxel's line.
        asked: which maps, and what is said of the plan.
        output: where the maps go.

    Returns:
        Summary with the ranges of the maps, what was refused and why, and the files; with lines by structure also
        `by_structure`, what `cell_line_maps` says.

    Raises:
        ConfigError: a source of structures is given, and none is named.
        Surrogate3dError: as `cell_line_assignment.fractions_of` and `line_numbers`, and as the prediction.
    """
    structures, rest = cells.assignment.structures, cells.assignment.rest
    if not structures and rest is not None:
        if cells.source is not None:
            raise ConfigError(
                f"{cells.source} is given, and no structure has a cell line; name them: Tumour=HSG,Brainstem=V79,*=HSG"
            )
        return write_prediction(predictor_by_name(path, model, asked), rest, output)
    from surrogate3d.pipeline.dicom_files import grid_like  # here, as without structures no DICOM is read

    grid, frame = grid_like(path)
    fractions = fractions_of([name for name, _ in structures], cells.source, grid, frame)
    predictor = predictor_by_name(path, model, asked)
    found, by_structure = _by_structure(predictor, cells, fractions)
    about = {**predictor.about(cells.assignment.lines[0]), "cell_line": _several(cells.assignment.lines)}
    return _written(predictor, found, about | {"by_structure": by_structure}, output)


def write_prediction(predictor: Predictor, line: CellLine, output: MapOutput) -> dict[str, Any]:
    """Predict for one cell line, write the maps, and sum up as `predict_store` does."""
    if predictor.tiled is None:
        return _written(predictor, predictor.maps(line), predictor.about(line), output)
    (found,) = write_tiled(predictor, [TiledMaps(line, predictor.fractionation, output)])
    return found


def _by_structure(
    predictor: Predictor, cells: Structures, fractions: dict[str, Fractions]
) -> tuple[Answer, dict[str, Any]]:
    """Every voxel from the answer for its own line, and what `cell_line_maps` says of it."""
    answers: dict[CellLine, Answer] = {}

    def maps(line: CellLine) -> VolumeSet:
        answers[line] = predictor.maps(line)
        return answers[line].volumes

    field = predictor.field
    made = cell_line_maps(field.grid, cells.assignment, fractions, maps, predictor.needed, cells.overlap)
    numbers = made.volumes[CELL_LINE.name].values
    mask, outside = (np.zeros(field.grid.shape, dtype=bool) for _ in range(2))
    for number, line in enumerate(cells.assignment.lines, start=1):
        if line in answers:
            own = numbers == number
            mask[own], outside[own] = answers[line].mask[own], answers[line].out_of_domain[own]
    strangest = next((answer.strangest for answer in answers.values() if answer.strangest), "")
    seconds = sum(answer.seconds for answer in answers.values())
    return Answer(made.volumes, mask, outside, strangest, seconds), made.about


def _several(lines: tuple[CellLine, ...]) -> dict[str, Any]:
    """What stands where the one cell line of other maps does."""
    names = ", ".join(line.name for line in lines)
    return {"name": f"{names} by structure", "alpha_x": None, "beta_x": None, "source": "see by_structure"}


def _written(predictor: Predictor, found: Answer, about: dict[str, Any], output: MapOutput) -> dict[str, Any]:
    """Write the maps with what they stand under, and sum up."""
    values = hashlib.sha256()  # structures and oxygen are in no other way a part of what the maps stand under
    for volume in found.volumes.values():
        values.update(np.ascontiguousarray(volume.values).data)
    maps = MapSet(tuple(found.volumes), {**PLAIN, **about}, output, {"values": values.hexdigest()})
    whole = Slab(0, found.mask, found.out_of_domain, ({n: v.values for n, v in found.volumes.items()},))
    (tally,) = write_slabs(predictor.field.grid, lambda _: iter([whole]), [maps])
    return summed_up(predictor, maps, replace(tally, seconds=found.seconds), found.strangest)
