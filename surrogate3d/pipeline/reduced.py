"""Dose and LET of planning systems to a field store without spectra: the reduced input, and labelled so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from surrogate3d.errors import PrescriptionError, QuantityError, ValueRangeError
from surrogate3d.grid import DoseField, LetDefinition, VolumeSet, quantity, turned_to
from surrogate3d.io.dicom_dose import read_dose_header
from surrogate3d.io.field_store import write_field
from surrogate3d.io.given import Given
from surrogate3d.io.images import image_notes, read_image
from surrogate3d.io.manifest import sha256_file
from surrogate3d.io.plan_grids import known_LET
from surrogate3d.io.plans import read_plan, recognise_plan
from surrogate3d.io.prescribe import PrescribeRequest, given_scale, prescribed
from surrogate3d.pipeline.conversion import info
from surrogate3d.pipeline.dicom_field import DoseAsked, dose_field_from_rtdose

REDUCED = "reduced input: dose and LET without spectra; published LET models predict from it, let-only for protons"


@dataclass(frozen=True)
class PlanFacts:
    """What the files of a planning system do not say.

    Attributes:
        primary: species of the beam's particles, such as "H".
        medium: whether the dose is to "water" or to the "medium" of each voxel.
        name: which plan, where a folder holds several.
        let: image of the LET beside an RT Dose.
        let_definition: what that LET is.
        constant_rbe: factor by which a planning system multiplied the dose.
    """

    primary: str | None = None
    medium: Literal["water", "medium"] | None = None
    name: str | None = None
    let: Path | None = None
    let_definition: LetDefinition | None = None
    constant_rbe: float | None = None


def is_reduced(paths: Sequence[Path]) -> bool:
    """Whether these are a planning system's: RT Dose files, or a folder of pyRadPlan or MCsquare."""
    if paths and all(path.is_file() and _is_dicom(path) for path in paths):
        return True
    return len(paths) == 1 and paths[0].is_dir() and recognise_plan(paths[0]) is not None


def read_reduced(paths: Sequence[Path], facts: PlanFacts, given: Given | None = None) -> DoseField:
    """Read dose and LET of a planning system.

    Args:
        paths: RT Dose files (one of the plan, or those of its beams), or one folder of pyRadPlan or MCsquare.
        facts: what they do not say.
        given: position of a grid without one.

    Raises:
        QuantityError: something that the files do not say was not given.
        Surrogate3dError: as `io.plans.read_plan` and `pipeline.dicom_field.dose_field_from_rtdose`.
    """
    given = given or Given()
    if given != Given(origin_mm=given.origin_mm, direction=given.direction):
        raise QuantityError("a planning system's dose has no row order, histories or scorers; leave these options out")
    if paths[0].is_dir():
        if facts.let or facts.let_definition or facts.constant_rbe:
            raise QuantityError("an LET image and a constant RBE go with RT Dose files; a plan's folder has its own")
        return read_plan(paths[0], primary=facts.primary, dose_medium=facts.medium, name=facts.name, given=given)
    return _read_rtdose(paths, facts, given)


def _read_rtdose(paths: Sequence[Path], facts: PlanFacts, given: Given) -> DoseField:
    if given.origin_mm is not None or facts.name is not None:
        raise QuantityError("RT Dose files say where they are and of which plan; leave --origin and --plan out")
    if facts.medium is None:
        raise QuantityError("DICOM does not say whether a dose is to water or to medium; give --medium water or medium")
    if (facts.let is None) != (facts.let_definition is None):
        raise QuantityError("an image does not say what its LET is; give --let and --let-definition, or neither")
    asked = DoseAsked(medium=facts.medium, constant_rbe=facts.constant_rbe)
    if facts.let is None or facts.let_definition is None:
        return dose_field_from_rtdose(paths, asked=asked, primary=facts.primary)
    name = "LET_d" if facts.let_definition.weighting == "dose" else "LET_t"
    dose_grid = read_dose_header(paths[0]).grid
    let = turned_to(read_image(facts.let, quantity(name)), dose_grid)
    dose_grid.require_same(let.grid, f"{facts.let} must be on the grid of the dose")
    field = dose_field_from_rtdose(paths, let, let_definition=facts.let_definition, asked=asked, primary=facts.primary)
    return _with_known_LET(field, name, facts.let)


def convert_reduced(
    paths: Sequence[Path],
    output: Path,
    facts: PlanFacts,
    *,
    dose_scale: float | None = None,
    prescribe: PrescribeRequest | None = None,
    given: Given | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write the field store of a planning system's dose and LET.

    Returns:
        `info` of the store, and under "conversion" the notes.

    Raises:
        PrescriptionError: the prescription cannot be applied, or a scale and a prescription are given.
        Surrogate3dError: as `read_reduced`.
    """
    field = read_reduced(paths, facts, given)
    notes = [REDUCED, *_notes(field)]
    field, doubts = rescaled(field, dose_scale, prescribe)
    write_field(field, output, overwrite=overwrite)
    files = [file for run in field.provenance.get("runs", []) for file in run.get("files", [])]
    conversion = {"files_read": files or field.provenance.get("files", []), "files_not_read": []}
    return {**info(output), "conversion": {**conversion, "notes": [*doubts, *notes]}}


def rescaled(
    field: DoseField, dose_scale: float | None, prescribe: PrescribeRequest | None
) -> tuple[DoseField, tuple[str, ...]]:
    """The field with another scale of its dose, and what speaks against it; unchanged when neither is given."""
    if dose_scale is not None and prescribe is not None:
        raise PrescriptionError("a dose scale and a prescription exclude each other; give one of them")
    doubts: tuple[str, ...] = ()
    if dose_scale is not None:
        prescription = given_scale(dose_scale)
    elif prescribe is not None:
        dose = np.asarray(field.dose, dtype=float)
        prescription, doubts = prescribed(prescribe, field.grid, [(0, dose)], field.dose_name)
    else:
        return field, doubts
    scale = prescription.dose_scale
    volumes = {
        name: replace(volume, values=volume.values * scale) if name.startswith("dose") else volume
        for name, volume in field.volumes.items()
    }
    return (
        replace(
            field,
            volumes=VolumeSet(field.grid, volumes),
            beams_dose=tuple(dose * scale for dose in field.beams_dose),
            prescription=prescription,
        ),
        doubts,
    )


def definition_of(text: str) -> LetDefinition:
    """A definition such as "weighting=dose; particles=protons; medium=water; restricted=no".

    Raises:
        QuantityError: a key is missing or unknown, or a value is none of its own.
    """
    pairs = dict(part.split("=", 1) for part in text.split(";") if "=" in part)
    words = {key.strip(): value.strip() for key, value in pairs.items()}
    needed = ("weighting", "particles", "medium", "restricted")
    if set(words) != set(needed) or words["restricted"] not in ("yes", "no"):
        raise QuantityError(
            f"a LET definition needs {'; '.join(f'{key}=...' for key in needed)} (restricted=yes or no), found {text!r}"
        )
    return LetDefinition(
        weighting=words["weighting"],
        particles=words["particles"],
        medium=words["medium"],
        restricted=words["restricted"] == "yes",
        max_scored_kev_um=None,
        source="given by the user",
    )


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as stream:
        stream.seek(128)
        return stream.read(4) == b"DICM" or path.suffix.lower() == ".dcm"


def _with_known_LET(field: DoseField, name: str, image: Path) -> DoseField:
    """LET is not defined where there is no dose, exports write 0 there; the image becomes one of the files."""
    given = field.volumes[name].values
    LET, notes = known_LET(field.dose, np.where(np.isnan(given), 0.0, given).astype(given.dtype), f"LET of {image}")
    if np.isnan(LET).all():
        raise ValueRangeError(f"LET of {image} is 0 wherever there is dose; export it again")
    notes = (*notes, *image_notes(image))
    files = [*field.provenance["files"], {"name": image.name, "sha256": sha256_file(image), "notes": list(notes)}]
    return replace(
        field,
        volumes=VolumeSet(field.grid, {**field.volumes, name: replace(field.volumes[name], values=LET)}),
        provenance={**field.provenance, "files": files},
    )


def _notes(field: DoseField) -> list[str]:
    provenance = field.provenance
    return [*provenance.get("notes", []), *(n for file in provenance.get("files", []) for n in file.get("notes", []))]
