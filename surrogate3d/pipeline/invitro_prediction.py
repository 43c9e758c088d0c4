"""Predict the maps of a field store by a model of in-vitro survival, and write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from surrogate3d.errors import ConfigError, UnsupportedError
from surrogate3d.grid import Field
from surrogate3d.inference.answerable import faulty, irradiated
from surrogate3d.invitro.model import InVitroModel
from surrogate3d.io.field_store import field_id, read_field
from surrogate3d.physics.cell_line import CellLine
from surrogate3d.pipeline.invitro_maps import is_calibrated, line_doubt, predict_in_vitro
from surrogate3d.pipeline.invitro_spectra import averaging
from surrogate3d.pipeline.invitro_training import load_model
from surrogate3d.pipeline.map_output import MapOutput
from surrogate3d.pipeline.map_summary import common
from surrogate3d.pipeline.prediction import Structures, write_prediction
from surrogate3d.pipeline.predictors import Answer, MapRequest, Predictor

UNEXPLAINED = "dose that the spectra do not explain is taken to act like the dose that they do explain"


def predict_in_vitro_store(
    path: Path, survival_model: str, model: str | None, cells: Structures, asked: MapRequest, output: MapOutput
) -> dict[str, Any]:
    """Predict the maps of a field store by a model of in-vitro survival, and write them.

    Args:
        path: the field store, with spectra.
        survival_model: as of `invitro_training.load_model`.
        model: a mechanistic model; must be None.
        cells: one cell line.
        asked: which maps, and what is said of the plan.
        output: where the maps go.

    Returns:
        As `prediction.predict_store`, with `survival_model`, `averaging` and `importance`.

    Raises:
        ConfigError: a mechanistic model is named, too, or cell lines by structure.
        UnsupportedError: oxygen is named.
        Surrogate3dError: as of reading, of the prediction and of writing.
    """
    if model is not None:
        raise ConfigError(f"--survival-model and --model {model} are two predictions; ask for one at a time")
    if cells.assignment.structures or cells.assignment.rest is None or cells.source is not None:
        raise ConfigError("--survival-model predicts one cell line at a time; name one, without structures")
    if asked.oxygen is not None:
        raise UnsupportedError("an in-vitro model knows nothing of oxygen; leave --oxygen out")
    trained = load_model(survival_model)
    predictor = in_vitro_predictor(read_field(path), field_id(path), trained, asked)
    return write_prediction(predictor, cells.assignment.rest, output)


def in_vitro_predictor(field: Field, name: str, model: InVitroModel, asked: MapRequest) -> Predictor:
    """A model of in-vitro survival on spectra; `name` is the field's id."""
    how, bad = asked.fractionation, faulty(field) & irradiated(field)

    def maps(line: CellLine) -> Answer:
        found = predict_in_vitro(field, model, line, how, asked.names)
        curves = found.curves
        return Answer(found.volumes, curves.mask, curves.out_of_domain, curves.strangest, found.seconds)

    return Predictor(
        field,
        how,
        maps,
        lambda line: {**common(field, name, line, how), **in_vitro_metadata(field, model, line)},
        irradiated(field) & ~bad,
        int(bad.sum()),
    )


def in_vitro_metadata(field: Field, model: InVitroModel, line: CellLine) -> dict[str, Any]:
    """What every map of such a model stands under, besides field, cell line and fractionation."""
    kept = ("experiments", "publications", "cells", "species", "seed")
    calibrated = "by publications that were left out" if is_calibrated(model) else "of a Gaussian, not calibrated"
    return {
        "bundle_id": model.bundle_id,
        "survival_model": {**{key: model.training[key] for key in kept}, "pide": model.training.get("pide")},
        "interval": "RBE_half_width is half of an interval that is to cover 90 % of what other laboratories measure at "
        f"the fraction dose ({calibrated}; the wider of those of survival and of RBE10); the noise of the spectra is "
        "not in it",
        "cell_line_doubt": line_doubt(model, line),
        "unexplained_dose": UNEXPLAINED,
        "averaging": averaging(field),
        "importance": "shares of the scales in the masks of the model, biology apart: what it attended to, no cause",
    }
