"""A folder for 3D Slicer and planning systems: maps as NRRD, doses as RT Dose, regions and structures as segments.

Every file stands in `index.json` with its SHA-256 and what it is, and in words in `README.txt`. The folder appears
whole or not at all, and the same inputs make the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import GridMismatchError, QuantityError, StoreError
from surrogate3d.grid import DoseField, Grid, Volume
from surrogate3d.io.atomic import atomic_directory
from surrogate3d.io.dicom_reference import DicomReference
from surrogate3d.io.field_store import field_id, read_dose_field
from surrogate3d.io.manifest import has_schema
from surrogate3d.io.map_writer import MAPS_NAME, MapWriter
from surrogate3d.io.segmentation import write_segmentation
from surrogate3d.pipeline.any_map import maps_json, read_any_map
from surrogate3d.pipeline.handover_index import INDEX_NAME, LABELS, MAPS, PLAN, SCHEMA, index_of, readme_of
from surrogate3d.pipeline.handover_segments import parts_of
from surrogate3d.pipeline.map_summary import comment

FORMATS = ("nrrd", "rtdose")
_OF_PLAN = ("dose_to_water", "dose_to_medium", "LET_d", "LET_t")


@dataclass(frozen=True, kw_only=True)
class HandoverOptions:
    """What plan and maps do not say.

    Attributes:
        structures: as of `judged_structures.structures_on`; None for none.
        reference: patient, study, frame of reference and plan of the RT Dose; None is an anonymous patient.
        nan_as: what voxels without an answer are in NRRD: 0.0, or None for NaN. In RT Dose they are always 0.
    """

    structures: Path | None = None
    reference: DicomReference | None = None
    nan_as: float | None = None


@dataclass(frozen=True, eq=False)
class _Maps:
    """Maps of a folder on the grid of a plan, and what they stand under."""

    volumes: Mapping[str, Volume]
    metadata: dict[str, Any] = field(default_factory=dict)


def hand_over(
    plan: Path, maps: Path, output: Path, options: HandoverOptions | None = None, overwrite: bool = False
) -> dict[str, Any]:
    """Write the folder.

    Args:
        plan: field store of the plan.
        maps: folder of maps that were made of it, with D_RBE.
        output: the folder: `maps/`, `plan/` (its dose and LET), `labels.seg.nrrd`, `index.json`, `README.txt`.
        options: structures, patient, and what voxels without an answer become.
        overwrite: replace an older folder of this kind.

    Returns:
        What `index.json` says.

    Raises:
        StoreError: plan or maps are not there, or `output` is and is not to be, or must not be, replaced.
        GridMismatchError: the maps are on another grid than the plan.
        QuantityError: there is no D_RBE, or the maps were made of another field.
        Surrogate3dError: a file is damaged, or the structures cannot be read.
    """
    given = options or HandoverOptions()
    if overwrite and output.exists() and not has_schema(output / INDEX_NAME, SCHEMA):
        raise StoreError(f"{output} exists and is not a handed-over folder, so it is not replaced; choose another name")
    treatment, identifier = read_dose_field(plan, lazy=True), field_id(plan)
    found = _read(maps, treatment, identifier)
    parts = parts_of(treatment, found.volumes, given.structures, _frame(given.reference))
    about = {"field_id": identifier, "plan": plan.name, "outside": "NaN" if given.nan_as is None else "0"}
    with atomic_directory(output, overwrite, 8 * treatment.grid.n_voxels * len(found.volumes)) as folder:
        _write_volumes(folder, treatment, found, identifier, given)
        places = write_segmentation([part.segment for part in parts.parts], treatment.grid, folder / LABELS)
        index = index_of(folder, treatment.grid, {**about, "parameters": found.metadata}, parts, places)
        (folder / "README.txt").write_text(readme_of(index), encoding="utf-8")
        text = json.dumps(index, indent=1, allow_nan=False) + "\n"
        (folder / INDEX_NAME).write_text(text, encoding="utf-8")
    return index


def _read(folder: Path, plan: DoseField, identifier: str) -> _Maps:
    if not (folder / MAPS_NAME).is_file():
        raise StoreError(f"{folder} is no folder of maps ({MAPS_NAME}); make one with `surrogate3d predict`")
    about = maps_json(folder)
    try:
        plan.grid.require_same(Grid.from_json(about["grid"]), f"{folder} and the plan")
    except GridMismatchError as error:
        raise GridMismatchError(f"{error}; give the plan that the maps were made of") from error
    made_of = about["metadata"].get("field_id", identifier)
    if made_of != identifier:
        raise QuantityError(
            f"{folder} was made of the field {made_of[:12]}, the plan is {identifier[:12]}; give that plan, or make "
            "the maps again"
        )
    if "D_RBE" not in about["maps"]:
        why = "" if plan.prescription else "; the plan has no prescription: convert again with --prescribe"
        raise QuantityError(f"{folder} has no D_RBE, only {', '.join(about['maps'])}; predict it as well{why}")
    volumes = {name: replace(read_any_map(folder, name).volume, grid=plan.grid) for name in about["maps"]}
    return _Maps(volumes, about["metadata"])


def _write_volumes(folder: Path, plan: DoseField, maps: _Maps, identifier: str, given: HandoverOptions) -> None:
    """Maps and what they were made of, in one study and one frame of reference."""
    prescription = plan.prescription
    prescribed = [f"{prescription.dose_gy:g} Gy prescribed"] if prescription and prescription.dose_gy else []
    of_plan = {"field_id": identifier, "prescription": prescription.statement if prescription else None}
    scored = {name: plan.volumes[name] for name in _OF_PLAN if name in plan.volumes}
    said = json.dumps([identifier, maps.metadata, given.nan_as], sort_keys=True)
    seed = hashlib.sha256(said.encode()).hexdigest()
    for where, part, words in (
        (MAPS, maps, comment(maps.metadata)),
        (PLAN, _Maps(scored, of_plan), (*prescribed, f"field {identifier[:8]}")),
    ):
        quantities = {name: volume.quantity for name, volume in part.volumes.items()}
        values = {name: np.array(volume.values, dtype=np.float32) for name, volume in part.volumes.items()}
        if given.nan_as is not None:
            words = (*_filled(values, given.nan_as), *words)
        with MapWriter(
            folder / where,
            plan.grid,
            quantities,
            FORMATS,
            part.metadata,
            fingerprint=seed,
            comment=words,
            reference=given.reference,
        ) as writer:
            writer.put(0, values)
            writer.finish()


def _filled(values: Mapping[str, npt.NDArray[np.float32]], nan_as: float) -> tuple[str, ...]:
    """Replace NaN; returns the words that RT Dose has for it."""
    most = 0
    for each in values.values():
        missing = np.isnan(each)
        each[missing] = nan_as
        most = max(most, int(missing.sum()))
    return (f"outside={nan_as:g} ({most} voxels)",) if most else ()


def _frame(reference: DicomReference | None) -> str:
    return str(reference.attributes.FrameOfReferenceUID) if reference else ""
