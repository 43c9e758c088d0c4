"""Predict the maps of a field store and write them: for one cell line, or for those of the patient's structures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from surrogate3d.errors import ConfigError
from surrogate3d.grid import VolumeSet
from surrogate3d.io.images import write_maps
from surrogate3d.physics.cell_line import CellLine
from surrogate3d.pipeline.cell_line_assignment import Assignment, Fractions, Overlap, fractions_of
from surrogate3d.pipeline.cell_line_maps import CELL_LINE, cell_line_maps
from surrogate3d.pipeline.dicom_files import grid_like
from surrogate3d.pipeline.map_summary import largest_dose_gy, refused, value_range
from surrogate3d.pipeline.predictors import Answer, MapRequest, Predictor, predictor_by_name

_PLAIN = {"interval": None, "cell_line_doubt": ""}
"""What is said where there are neither intervals nor doubts."""


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


@dataclass(frozen=True)
class MapOutput:
    """Where maps are written, and how.

    Attributes:
        folder: directory of the maps.
        formats: of the maps, as of `io.images.write_maps`.
        overwrite: replace older maps.
    """

    folder: Path
    formats: tuple[str, ...] = ("nifti",)
    overwrite: bool = False


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
    grid, frame = grid_like(path)
    fractions = fractions_of([name for name, _ in structures], cells.source, grid, frame)
    predictor = predictor_by_name(path, model, asked)
    found, by_structure = _by_structure(predictor, cells, fractions)
    about = {**predictor.about(cells.assignment.lines[0]), "cell_line": _several(cells.assignment.lines)}
    return _written(predictor, found, about | {"by_structure": by_structure}, output)


def write_prediction(predictor: Predictor, line: CellLine, output: MapOutput) -> dict[str, Any]:
    """Predict for one cell line, write the maps, and sum up as `predict_store` does."""
    return _written(predictor, predictor.maps(line), predictor.about(line), output)


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
    about = {**_PLAIN, **about}
    files = write_maps(found.volumes, output.folder, output.formats, about, overwrite=output.overwrite)
    return {
        **about,
        "files": [file.name for file in files],
        "output": output.folder.name,
        "seconds": found.seconds,
        "voxels_answered": int(found.mask.sum()),
        "voxels_out_of_domain": int(found.out_of_domain.sum()),
        "strangest": found.strangest,
        "voxels_with_faulty_spectrum": predictor.faulty,
        "largest_dose_per_fraction_gy": largest_dose_gy(predictor.field, predictor.fractionation),
        "refused": refused(found.volumes, predictor.field),
        "ranges": {name: value_range(volume.values[found.mask]) for name, volume in found.volumes.items()},
    }
