"""The reduced path: predict plans that have dose and LET, but no spectra."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

from surrogate3d.errors import UnsupportedError
from surrogate3d.grid import DoseField, Field
from surrogate3d.inference.maps import Fractionation, derive_maps, wanted
from surrogate3d.inference.regression import (
    LET_differences,
    LetOnlyGiven,
    channel_set_of,
    outside_line_range,
    predict_curves_without_spectra,
)
from surrogate3d.model.reduced_bundle import ReducedModel
from surrogate3d.physics.cell_line import CellLine
from surrogate3d.pipeline.map_summary import PredictedMaps

INPUTS = "dose, {} (reduced input, no spectra)"


def predict_let_only(
    field: DoseField,
    model: ReducedModel,
    line: CellLine,
    fractionation: Fractionation,
    names: tuple[str, ...] | None = None,
    given: LetOnlyGiven | None = None,
) -> PredictedMaps:
    """Predict the maps of a field in memory from dose and LET alone.

    Args:
        field: with or without spectra; they are not looked at.
        model: the model.
        line: any cell line with a quadratic term.
        fractionation: fraction dose and number.
        names: which maps; None makes all that the field allows.
        given: what the files do not say.

    Raises:
        UnsupportedError, QuantityError, BundleError, ValueRangeError: as of `predict_curves_without_spectra`.
        PrescriptionError, UnknownNameError: as of `inference.maps.derive_maps`.
    """
    names = wanted(field, fractionation, names)
    start = time.perf_counter()
    curves = predict_curves_without_spectra(field, model, line, given)
    volumes = derive_maps(curves, field, line, fractionation, names)
    return PredictedMaps(volumes, curves, time.perf_counter() - start)


def let_only_metadata(
    field: DoseField, model: ReducedModel, line: CellLine, given: LetOnlyGiven | None = None
) -> dict[str, Any]:
    """What every map of the model without spectra stands under, besides field, cell line and fractionation."""
    given, channel_set = given or LetOnlyGiven(), channel_set_of(field, model.card)
    _, card = model.variant(channel_set)
    definition = field.let_definitions.get("LET_d")
    return {
        "bundle_id": model.bundle_id,
        "unexplained_dose": None,
        "inputs": INPUTS.format("LET_d and LET_t" if channel_set.track_LET else "LET_d"),
        "network": channel_set.name,
        "primary": field.primary or given.primary,
        "primary_given": field.primary is None,
        "let_definition": asdict(definition) if definition else None,
        "expected_error": [
            {key: row[key] for key in ("plan", "cell_line", "line_seen", "slope")} | row["regions"]["all"]
            for row in card.left_out
        ],
        "warnings": let_only_warnings(field, model, line),
    }


def let_only_warnings(field: DoseField, model: ReducedModel, line: CellLine) -> list[str]:
    """What must be known about the answer to a field."""
    found = [f"{difference}; accepted by the user" for difference in LET_differences(field, model.card)]
    if field.dose_name != model.card.dose_name:
        found.append(f"the field has {field.dose_name}, the model was trained with {model.card.dose_name}")
    if outside_line_range(model.card, line):
        (a, b), (c, d) = model.card.alpha_x_range, model.card.alpha_beta_range
        found.append(
            f"cell line {line.name} (alpha_x {line.alpha_x:g} 1/Gy, alpha_x / beta_x {line.alpha_beta_x:g} Gy) lies "
            f"outside the training, {a:.3g} to {b:.3g} 1/Gy and {c:.3g} to {d:.3g} Gy"
        )
    if not channel_set_of(field, model.card).axis:
        found.append("the beam has no one known axis: the network without an axis answered, with a larger error")
    return found


def why_let_only(field: DoseField, model: ReducedModel, given: LetOnlyGiven | None = None) -> str:
    """One sentence: why this model answers for a field, for a choice that is made for the user.

    Raises:
        UnsupportedError: it does not: the field has spectra, which say more.
    """
    if isinstance(field, Field):
        raise UnsupportedError("the field has spectra, which say more than LET; use a model of spectra")
    channel_set = channel_set_of(field, model.card)
    has = "dose, LET_d and LET_t" if channel_set.track_LET else "dose and LET_d"
    ion = field.primary or (given.primary if given else None)
    axis = "a beam along one axis" if channel_set.axis else "no one known axis of the beam"
    return f"the store has {has} of a beam of {ion} and no spectra, with {axis}: network {channel_set.name}"
