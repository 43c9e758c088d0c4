"""Predict the maps of a field store and write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from surrogate3d.inference.maps import Fractionation
from surrogate3d.inference.regression import LetOnlyGiven
from surrogate3d.io.field_store import field_id, read_dose_field, read_field
from surrogate3d.io.images import write_maps
from surrogate3d.model.bundle import Surrogate
from surrogate3d.physics.cell_line import CellLine
from surrogate3d.pipeline.in_memory import predict
from surrogate3d.pipeline.map_summary import largest_dose_gy, refused, value_range
from surrogate3d.pipeline.predictors import (
    Predictor,
    metadata,
    predictor_by_name,
    published_predictor,
    surrogate_predictor,
)

__all__ = ["metadata", "predict", "predict_by_name", "predict_published_store", "predict_store", "written"]

PLAIN = {"interval": None, "cell_line_doubt": ""}
"""What is said where there are neither intervals nor doubts."""


def predict_by_name(
    path: Path,
    model: str | None,
    line: CellLine,
    fractionation: Fractionation,
    output: Path,
    formats: tuple[str, ...] = ("nifti",),
    names: tuple[str, ...] | None = None,
    overwrite: bool = False,
    given: LetOnlyGiven | None = None,
    oxygen: str | None = None,
) -> dict[str, Any]:
    """Predict the maps of a field store by the model of a name, and write them.

    Args:
        path: the field store.
        model: as of `predictors.predictor_by_name`, which says what is refused, too.
        line: cell line.
        fractionation: fraction dose and number.
        output: directory of the maps.
        formats: of the maps, as of `write_maps`.
        names: which maps; None makes all that the field allows.
        overwrite: replace older maps.
        given: what the files of a field without spectra do not say.
        oxygen: what the user says of oxygen (`conditions.read_oxygen`), for a model that was trained under it.

    Returns:
        Summary with the ranges of the maps, what was refused and why, and the files.
    """
    made = predictor_by_name(path, model, fractionation, names, given, oxygen)
    return written(made, line, fractionation, output, formats, overwrite)


def predict_store(
    path: Path,
    surrogate: Surrogate,
    line: CellLine,
    fractionation: Fractionation,
    output: Path,
    formats: tuple[str, ...] = ("nifti",),
    names: tuple[str, ...] | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """As `predict_by_name`, by a network in memory."""
    made = surrogate_predictor(read_field(path), field_id(path), surrogate, fractionation, names)
    return written(made, line, fractionation, output, formats, overwrite)


def predict_published_store(
    path: Path,
    model: str,
    line: CellLine,
    fractionation: Fractionation,
    output: Path,
    formats: tuple[str, ...] = ("nifti",),
    names: tuple[str, ...] | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """As `predict_by_name`, by a published LET model; spectra are not used.

    Returns:
        Summary as of `predict_by_name`, with the model, its inputs, the LET definition and warnings.
    """
    made = published_predictor(read_dose_field(path), field_id(path), model, fractionation, names)
    return written(made, line, fractionation, output, formats, overwrite)


def written(
    predictor: Predictor,
    line: CellLine,
    fractionation: Fractionation,
    output: Path,
    formats: tuple[str, ...],
    overwrite: bool,
) -> dict[str, Any]:
    """Predict for one cell line, write the maps, and sum up."""
    found, about = predictor.maps(line), {**PLAIN, **predictor.about(line), **predictor.chosen}
    files = write_maps(found.volumes, output, formats, about, overwrite=overwrite)
    return {
        **about,
        "files": [file.name for file in files],
        "output": output.name,
        "seconds": found.seconds,
        "voxels_answered": int(found.mask.sum()),
        "voxels_out_of_domain": found.out_of_domain,
        "strangest": found.strangest,
        "voxels_with_faulty_spectrum": predictor.faulty,
        "largest_dose_per_fraction_gy": largest_dose_gy(predictor.field, fractionation),
        "refused": refused(found.volumes, predictor.field),
        "ranges": {name: value_range(volume.values[found.mask]) for name, volume in found.volumes.items()},
    }
