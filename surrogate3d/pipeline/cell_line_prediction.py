"""Predict the maps of a field whose structures have different cell lines, and write them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from surrogate3d.errors import ConfigError
from surrogate3d.grid import VolumeSet
from surrogate3d.inference.maps import Fractionation
from surrogate3d.inference.regression import LetOnlyGiven
from surrogate3d.io.images import write_maps
from surrogate3d.physics.cell_line import CellLine
from surrogate3d.pipeline.cell_line_assignment import Assignment, Overlap, fractions_of
from surrogate3d.pipeline.cell_line_maps import CellLineMaps, cell_line_maps
from surrogate3d.pipeline.dicom_files import grid_like
from surrogate3d.pipeline.map_summary import largest_dose_gy, refused, value_range
from surrogate3d.pipeline.prediction import PLAIN, predict_by_name
from surrogate3d.pipeline.predictors import Answer, Predictor, predictor_by_name


@dataclass(frozen=True)
class Structures:
    """Cell lines of structures, and where the structures are.

    Attributes:
        assignment: which structure has which line.
        source: an RT Structure Set or a folder of masks; None where all structures are mask images.
        overlap: what happens to voxels of two structures of different lines.
    """

    assignment: Assignment
    source: Path | None = None
    overlap: Overlap = "refuse"


def predict_any(
    path: Path,
    model: str | None,
    structures: Structures,
    fractionation: Fractionation,
    output: Path,
    formats: tuple[str, ...] = ("nifti",),
    names: tuple[str, ...] | None = None,
    overwrite: bool = False,
    given: LetOnlyGiven | None = None,
    oxygen: str | None = None,
) -> dict[str, Any]:
    """By structure where structures are named, else for the one line of all voxels; arguments as there.

    Raises:
        ConfigError: a source of structures is given, and none is named.
    """
    rest = structures.assignment.rest
    if structures.assignment.structures or rest is None:
        return predict_by_structure(
            path, model, structures, fractionation, output, formats, names, overwrite, given, oxygen
        )
    if structures.source is not None:
        raise ConfigError(
            f"{structures.source} is given, and no structure has a cell line; name them: Tumour=HSG,Brainstem=V79,*=HSG"
        )
    return predict_by_name(path, model, rest, fractionation, output, formats, names, overwrite, given, oxygen)


def predict_by_structure(
    path: Path,
    model: str | None,
    structures: Structures,
    fractionation: Fractionation,
    output: Path,
    formats: tuple[str, ...] = ("nifti",),
    names: tuple[str, ...] | None = None,
    overwrite: bool = False,
    given: LetOnlyGiven | None = None,
    oxygen: str | None = None,
) -> dict[str, Any]:
    """Predict the maps of a field store with the cell lines of its structures, and write them.

    Args:
        path: the field store.
        model: as of `prediction.predict_by_name`.
        structures: which cell line is where.
        fractionation: fraction dose and number.
        output: directory of the maps, which also get `cell_line`, the number of each voxel's line.
        formats: of the maps, as of `write_maps`.
        names: which maps; None makes all that the field allows.
        overwrite: replace older maps.
        given: as of `prediction.predict_by_name`.
        oxygen: as of `prediction.predict_by_name`.

    Returns:
        Summary as of `prediction.predict_by_name`, with `by_structure`, what `cell_line_maps` says.

    Raises:
        Surrogate3dError: as `cell_line_assignment.fractions_of` and `line_numbers`, and as the prediction.
    """
    grid, frame = grid_like(path)
    asked = structures.assignment
    fractions = fractions_of([name for name, _ in asked.structures], structures.source, grid, frame)
    predictor, answers = predictor_by_name(path, model, fractionation, names, given, oxygen), list[Answer]()

    def maps(line: CellLine) -> VolumeSet:
        answers.append(predictor.maps(line))
        return answers[-1].volumes

    made = cell_line_maps(grid, asked, fractions, maps, predictor.needed, structures.overlap)
    about = {**PLAIN, **predictor.about(asked.lines[0]), **predictor.chosen}
    about |= {"cell_line": _several(asked.lines), "by_structure": made.about}
    files = write_maps(made.volumes, output, formats, about, overwrite=overwrite)
    return {
        **about,
        "files": [file.name for file in files],
        "output": output.name,
        "seconds": sum(answer.seconds for answer in answers),
        **_counts(predictor, made, answers),
        "largest_dose_per_fraction_gy": largest_dose_gy(predictor.field, fractionation),
        "refused": refused(made.volumes, predictor.field),
        "ranges": {name: value_range(volume.values[predictor.needed]) for name, volume in made.volumes.items()},
    }


def _several(lines: tuple[CellLine, ...]) -> dict[str, Any]:
    """What stands where the one cell line of other maps does."""
    names = ", ".join(line.name for line in lines)
    return {"name": f"{names} by structure", "alpha_x": None, "beta_x": None, "source": "see by_structure"}


def _counts(predictor: Predictor, made: CellLineMaps, answers: list[Answer]) -> dict[str, Any]:
    mask, strange = (made.volumes[name].values if name in made.volumes else None for name in ("mask", "out_of_domain"))
    return {
        "voxels_answered": int(predictor.needed.sum()) if mask is None else int((mask > 0).sum()),
        "voxels_out_of_domain": 0 if strange is None else int((strange > 0).sum()),
        "strangest": next((answer.strangest for answer in answers if answer.strangest), ""),
        "voxels_with_faulty_spectrum": predictor.faulty,
    }
