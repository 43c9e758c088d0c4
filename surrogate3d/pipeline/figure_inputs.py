"""What figures of a plan are drawn from: a field store, maps, a reference and structures, all on one grid."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from surrogate3d.errors import ConfigError, PrescriptionError, QuantityError, StoreError
from surrogate3d.grid import DoseField, Field, Volume
from surrogate3d.io.field_store import field_id, read_dose_field
from surrogate3d.io.manifest import has_schema
from surrogate3d.io.map_writer import MAPS_NAME, MAPS_SCHEMA
from surrogate3d.pipeline.any_map import ReferenceMap
from surrogate3d.pipeline.judged_structures import structures_on
from surrogate3d.pipeline.reference_maps import read_reference
from surrogate3d.report.paper_maps import PlanView
from surrogate3d.validation.problems import Problem

MAPS = ("RBE", "RBE_ref", "D_RBE", "RBE_half_width", "alpha", "beta", "survival", "BED", "EQD2")
"""Of a folder of maps, what is drawn, in this order."""

FOCUS = 0.8
"""Planes cross the centroid of what gets this share of the dose of 100 %."""


LET_FROM = 0.05
"""Share of the largest dose from which LET is shown, as the surrogate answers: below, it is that of a few particles."""


@dataclass(frozen=True)
class FigureRequest:
    """What figures are asked for.

    Attributes:
        field: a field store.
        maps: a folder of maps of it, as of `predict`; None for none.
        reference: any map that `quantity` is compared with; None for none.
        quantity: which map the reference is of.
        structures: as of `pipeline.judged_structures`; None for none.
        structure_names: which of them; empty takes all.
        model: a bundle, or a shipped model's name, for survival curves with their intervals; None takes those of
            alpha and beta.
        training: a learning curve as CSV, or a folder of them; None for none.
        validation: the JSON object of `surrogate3d validate`; None for none.
        resample: whether a reference on another grid is carried over.
    """

    field: Path
    maps: Path | None = None
    reference: Path | None = None
    quantity: str | None = None
    structures: Path | None = None
    structure_names: tuple[str, ...] = ()
    model: str | None = None
    training: Path | None = None
    validation: Path | None = None
    resample: bool = False

    def __post_init__(self) -> None:
        if (self.reference is None) != (self.quantity is None):
            raise ConfigError("a reference and its quantity are given together: --reference PATH --quantity D_RBE")


@dataclass(frozen=True, eq=False)
class FigureInputs:
    """What was read.

    Attributes:
        request: what was asked for.
        field: the plan.
        field_id: of the store.
        view: what maps are drawn with.
        dose: in Gy, or in % of its maximum where the field has no prescription.
        LET: dose-averaged, NaN where the dose is below `LET_FROM`; None where the field has none.
        maps: by quantity name, on the field's grid.
        about: what the maps say about themselves; empty without maps.
        reference: on the field's grid; None when none was given.
        problems: of the structures.
    """

    request: FigureRequest
    field: DoseField
    field_id: str
    view: PlanView
    dose: Volume
    LET: Volume | None
    maps: Mapping[str, Volume]
    about: Mapping[str, Any]
    reference: ReferenceMap | None
    problems: tuple[Problem, ...]

    @property
    def line_words(self) -> str:
        """The cell line and the fraction dose that the maps are of, in words."""
        words = []
        if isinstance(line := self.about.get("cell_line"), Mapping):
            words.append(f"cell line {line['name']}")
        if dose := self.about.get("fraction_dose_gy"):
            number = int(self.about.get("fractions", 1))
            words.append(f"{number} fraction{'s' if number > 1 else ''} of {dose:g} Gy, D_ref = {dose:g} Gy")
        return ", ".join(words)


def read_inputs(request: FigureRequest) -> FigureInputs:
    """Read everything, and lay it on the field's grid.

    Raises:
        QuantityError: the maps are of another field, a judged map is missing, or there is no dose.
        PrescriptionError: a dose in arbitrary scale is to be compared.
        StoreError: there are no maps in the folder.
        Surrogate3dError: something cannot be read, or is on another grid.
    """
    field, identity = read_dose_field(request.field, lazy=True), field_id(request.field)
    about = {"maps": {}} if request.maps is None else _about(request.maps, identity)
    _require_judged(request, field, about["maps"])
    listed = [name for name in dict.fromkeys((*MAPS, request.quantity or "")) if name in about["maps"]]
    maps = {name: read_reference(Path(str(request.maps)), name, field.grid).volume for name in listed}
    reference = None
    if request.reference is not None and request.quantity is not None:
        reference = read_reference(request.reference, request.quantity, field.grid, request.resample)
    structures, problems = structures_on(request.structures, field.grid, request.structure_names or None)
    dose = _dose(field)
    axis, sign = _beam(field)
    base = field.prescription.dose_gy if field.prescription and field.prescription.dose_gy else _largest(dose)
    focus = _focus(dose, base)
    view = PlanView(field.grid, dose.values, base, focus, axis, sign, structures)
    return FigureInputs(
        request, field, identity, view, dose, _LET(field), maps, about.get("metadata", {}), reference, problems
    )


def _about(folder: Path, identity: str) -> dict[str, Any]:
    if not has_schema(folder / MAPS_NAME, MAPS_SCHEMA):
        raise StoreError(f"{folder} is no folder of maps (no {MAPS_NAME}); give what `surrogate3d predict -o` wrote")
    about: dict[str, Any] = json.loads((folder / MAPS_NAME).read_text(encoding="utf-8"))
    of = about.get("metadata", {}).get("field_id", identity)
    if of != identity:
        raise QuantityError(
            f"the maps in {folder} are of the field {str(of)[:12]}, the store is {identity[:12]}; give maps and the "
            "store that they were predicted from"
        )
    return about


def _require_judged(request: FigureRequest, field: DoseField, maps: Mapping[str, Any]) -> None:
    """Refuse a comparison without a judged map, or of a dose that is not in Gy."""
    name = request.quantity
    if name is None or name in maps:
        return
    own = (field.dose_name, "LET_d")
    if name not in own or name not in field.volumes:
        known = ", ".join([*maps, *(each for each in own if each in field.volumes)])
        raise QuantityError(f"there is no judged map of {name!r} to compare with the reference; there are {known}")
    if name == field.dose_name and field.prescription is None:
        raise PrescriptionError(
            f"{request.field}: its dose is in arbitrary scale, so it is not compared; convert with --prescribe"
        )


def _dose(field: DoseField) -> Volume:
    dose = field.volumes[field.dose_name]
    if field.prescription is not None:
        return dose
    largest = _largest(dose)
    return Volume(dose.grid, 100.0 * dose.values / largest, replace(dose.quantity, unit="% of maximum"))


def _largest(dose: Volume) -> float:
    largest = float(np.nanmax(dose.values)) if np.isfinite(dose.values).any() else 0.0
    if not largest > 0:
        raise QuantityError(f"{dose.quantity.name} is nowhere positive; there is nothing to draw")
    return largest


def _LET(field: DoseField) -> Volume | None:
    if "LET_d" not in field.volumes:
        return None
    LET, dose = field.volumes["LET_d"], np.nan_to_num(field.dose)
    definition = field.let_definitions.get("LET_d")
    words = f"dose-averaged LET of {definition.particles}; {definition.medium}" if definition else ""
    meaning = replace(LET.quantity, definition=words or LET.quantity.definition)
    return Volume(LET.grid, np.where(dose >= LET_FROM * dose.max(), LET.values, np.nan), meaning)


def _beam(field: DoseField) -> tuple[int | None, int]:
    """Axis and sign of the one direction of the beam; None where there is none."""
    if isinstance(field, Field) and not field.several_directions:
        return field.beam_axis, field.beam_sign
    directions = {beam.direction for beam in field.beams}
    if len(directions) != 1 or None in directions:
        return None, 1
    along = np.asarray(field.grid.direction, dtype=float).T @ np.asarray(directions.pop())
    axis = int(np.argmax(np.abs(along)))
    return axis, 1 if along[axis] > 0 else -1


def _focus(dose: Volume, base: float) -> tuple[int, int, int]:
    values = np.nan_to_num(dose.values)
    i, j, k = np.rint(np.argwhere(values >= FOCUS * min(base, float(values.max()))).mean(axis=0)).astype(int)
    return int(i), int(j), int(k)
