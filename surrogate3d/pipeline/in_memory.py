"""Predict the maps of a field in memory, by a network on its spectra."""

from __future__ import annotations

import time
from typing import Any

from surrogate3d.direct.mono import mono_table_of
from surrogate3d.grid import Field, Volume
from surrogate3d.inference.curves import predict_curves
from surrogate3d.inference.domain import line_outside, require_described_fit
from surrogate3d.inference.maps import Fractionation, derive_maps, wanted
from surrogate3d.model.bundle import Surrogate
from surrogate3d.physics.cell_line import CellLine
from surrogate3d.physics.mixing import MonoTable
from surrogate3d.pipeline.map_summary import PredictedMaps
from surrogate3d.pipeline.oxygen_surrogate import flagged, model_conditions


def predict(
    field: Field,
    surrogate: Surrogate,
    line: CellLine,
    fractionation: Fractionation,
    names: tuple[str, ...] | None = None,
    oxygen: Volume | float | None = None,
) -> PredictedMaps:
    """Predict the maps of a field; arguments as in `inference.maps.derive_maps`.

    The cell line may be any with parameters of GSM2; what is needed of a new one is made (`direct.mono`). A model that
    was trained under oxygen pressures needs those of the field in mmHg, and no other takes any.
    """
    names = wanted(field, fractionation, names)
    require_described_fit(field, surrogate.card, line)
    table = table_for(surrogate, line)
    start = time.perf_counter()
    around = model_conditions(surrogate, field, oxygen)
    curves = flagged(predict_curves(field, surrogate, line, table=table, conditions=around), surrogate, field, oxygen)
    volumes = derive_maps(curves, field, line, fractionation, names)
    return PredictedMaps(volumes, curves, time.perf_counter() - start)


def metadata(surrogate: Surrogate, line: CellLine) -> dict[str, Any]:
    """What every map of a network on spectra stands under, besides field, cell line and fractionation."""
    lines = [(str(known), float(a), float(b)) for known, a, b in surrogate.card.training.get("lines", [])]
    return {
        "bundle_id": surrogate.bundle_id,
        "interval": "RBE_half_width is half of an interval that is to cover 90 %",
        "cell_line_doubt": line_outside(lines or surrogate.card.cell_lines, line),
        "unexplained_dose": "dose that the spectra do not explain is taken to act like the dose that they do explain",
    }


def table_for(surrogate: Surrogate, line: CellLine) -> MonoTable:
    """Mono-energetic table of a cell line: the model's own, else one that is made, and kept in the user's cache.

    Raises:
        BundleError: the model was trained with another photon reference of that name.
        UnknownNameError: the line has no parameters of GSM2.
    """
    if line.name in surrogate.card.line_names:
        return surrogate.table_of(line)
    return mono_table_of(line, surrogate.guide.species)
