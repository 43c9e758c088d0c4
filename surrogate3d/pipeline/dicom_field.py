"""RT Dose files of a planning system as one `DoseField`: the reduced input, dose with LET beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import surrogate3d
from surrogate3d.errors import GeometryError, QuantityError, StoreError
from surrogate3d.grid import Beam, DoseField, LetDefinition, Prescription, Volume, VolumeSet, quantity
from surrogate3d.io.dicom_dose import DoseUnit, Medium, RtDose, read_rtdose
from surrogate3d.io.manifest import sha256_file

ABSOLUTE = Prescription(dose_scale=1.0, statement="absolute dose of the planning system")

_WHOLE = ("PLAN", "PLAN_OVERVIEW", "FRACTION", "")
"""Summation types that are the dose of a whole plan (PS3.3 C.8.8.3); FRACTION is that of a whole fraction group."""


@dataclass(frozen=True, kw_only=True)
class DoseAsked:
    """What RT Dose files leave open, said by the user.

    Attributes:
        medium: what a physical dose is absorbed in.
        as_quantity: what the values are, against what the file says.
        unit_given: dose unit, for files without one.
        constant_rbe: the factor by which the planning system multiplied the dose (DoseType EFFECTIVE), such as 1.1
            for protons; the dose is divided by it.
    """

    medium: Medium | None = None
    as_quantity: str | None = None
    unit_given: DoseUnit | None = None
    constant_rbe: float | None = None


def dose_field_from_rtdose(
    dose_paths: Path | Sequence[Path],
    let_image: Volume | None = None,
    *,
    let_definition: LetDefinition | None = None,
    asked: DoseAsked,
    primary: str | None = None,
) -> DoseField:
    """One plan's dose from RT Dose files, with the LET of a planning system beside it.

    Args:
        dose_paths: one dose of the whole plan, or the doses of its beams (DoseSummationType BEAM), which are added.
        let_image: LET_d or LET_t on the same grid.
        let_definition: which LET that is; needed with `let_image`.
        asked: what the files leave open; the medium is needed.
        primary: species of the beam's particles, such as "H".

    Returns:
        The field; its prescription is None when DoseUnits are RELATIVE.

    Raises:
        StoreError, FormatError, UnsupportedError: a file cannot be read.
        GeometryError, GridMismatchError: the files are not in one frame of reference, or not on one grid.
        QuantityError: it is not a physical dose; doses of beams and plans are mixed; a beam comes twice; LET without
            definition.
    """
    paths = [dose_paths] if isinstance(dose_paths, Path) else list(dose_paths)
    if not paths:
        raise StoreError("no RTDOSE given; give one of the plan, or those of its beams")
    read = [read_asked(path, asked) for path in paths]
    _require_one_plan(read)
    read.sort(key=lambda dose: dose.header.beam_numbers)
    parts = [dose_asked(dose, asked) for dose in read]
    volume = parts[0][0]
    _require_physical(volume, paths[0])
    doses = [part.values for part, _ in parts]
    total = volume if len(doses) == 1 else replace(volume, values=np.sum(doses, axis=0, dtype=np.float64))
    volumes = {volume.quantity.name: total, **_let(let_image)}
    if (let_image is None) != (let_definition is None):
        raise QuantityError("a LET needs its definition, and a definition its LET; give both or neither")
    relative = read[0].dose_units == "RELATIVE"
    return DoseField(
        grid=volume.grid,
        volumes=VolumeSet(volume.grid, volumes),
        primary=primary,
        beams=tuple(Beam(name=_beam_name(dose)) for dose in read) if _of_beams(read) else (),
        beams_dose=tuple(doses) if len(doses) > 1 else (),
        let_definitions={let_image.quantity.name: let_definition} if let_image and let_definition else {},
        prescription=None if relative else ABSOLUTE,
        provenance={
            "surrogate3d_version": surrogate3d.__version__,
            "source": "DICOM RT Dose",
            "files": [_provenance(d, p[1]) for d, p in zip(read, parts, strict=True)],
            "notes": _alone(read),
        },
    )


def read_asked(path: Path, asked: DoseAsked) -> RtDose:
    """`read_rtdose` with the user's answers.

    Raises:
        Surrogate3dError: as `read_rtdose`.
    """
    return read_rtdose(path, medium=asked.medium, as_quantity=asked.as_quantity, unit_given=asked.unit_given)


def dose_asked(dose: RtDose, asked: DoseAsked) -> tuple[Volume, tuple[str, ...]]:
    """The volume with its notes; an RBE-weighted dose over the constant that weighted it is physical dose.

    Raises:
        QuantityError: a constant RBE for what is not weighted, or by our own varying RBE; without a medium; or one
            outside 0.5 to 5.
    """
    volume, rbe = dose.volume, asked.constant_rbe
    if rbe is None:
        return volume, dose.notes
    if volume.quantity.name != "D_RBE" or asked.medium is None or not 0.5 <= rbe <= 5:
        raise QuantityError(
            f"{dose.header.path}: dividing by a constant RBE ({rbe:g}) needs DoseType EFFECTIVE, a factor between 0.5 "
            f"and 5 and the medium of the dose; found {volume.quantity.name} to {asked.medium}"
        )
    header = dose.header
    if header.series_description.startswith("surrogate3d D_RBE") and "model constant" not in header.comment:
        raise QuantityError(
            f"{header.path} was made here with an RBE that varies ({header.comment}), so no constant takes it out; "
            "give the physical dose that it was made from"
        )
    physical = Volume(volume.grid, volume.values / np.float32(rbe), quantity(f"dose_to_{asked.medium}"))
    return physical, (*dose.notes, f"divided by the constant RBE {rbe:g}, as given")


def _require_one_plan(doses: Sequence[RtDose]) -> None:
    """One dose of a whole plan, or distinct beams of one plan in one frame of reference and on one grid."""
    first = doses[0].header
    kinds = {dose.header.summation_type for dose in doses}
    if len(doses) > 1 and kinds != {"BEAM"}:
        raise QuantityError(
            f"several RTDOSE must all be doses of beams (BEAM), found {', '.join(sorted(kinds)) or 'none'}"
        )
    if not kinds <= {*_WHOLE, "BEAM"}:
        raise QuantityError(
            f"{first.path}: DoseSummationType {first.summation_type} is not the dose of one plan or its beams"
        )
    if len(doses) > 1 and "RELATIVE" in {dose.dose_units for dose in doses}:
        raise QuantityError(
            "doses of beams in RELATIVE units have no common scale, so they do not add; export them in GY"
        )
    for dose in doses[1:]:
        header = dose.header
        if header.frame_of_reference_uid != first.frame_of_reference_uid:
            raise GeometryError(f"{header.path} and {first.path} are in different frames of reference")
        said = [(h.plan_uids, d.dose_units, h.dose_type) for h, d in ((header, dose), (first, doses[0]))]
        if said[0] != said[1]:
            raise QuantityError(f"{header.path} and {first.path} differ in plan, unit or type of dose: {said}")
        first.grid.require_same(header.grid, f"{header.path} and {first.path}")
    numbers = [number for dose in doses for number in dose.header.beam_numbers or (None,)]
    if len(doses) > 1 and (len(set(numbers)) < len(numbers) or None in numbers):
        raise QuantityError(
            f"the doses of beams must each name other beams, found beams {numbers}: one would count twice"
        )


def _require_physical(volume: Volume, path: Path) -> None:
    if volume.quantity.name == "D_RBE":
        raise QuantityError(
            f"{path} is an RBE-weighted dose (DoseType EFFECTIVE), a field needs the physical dose; export that, or "
            "give the constant RBE that it was multiplied by (--constant-rbe 1.1)"
        )


def _of_beams(doses: Sequence[RtDose]) -> bool:
    return all(dose.header.summation_type == "BEAM" for dose in doses)


def _alone(doses: Sequence[RtDose]) -> list[str]:
    if len(doses) > 1 or not _of_beams(doses):
        return []
    return [f"{doses[0].header.path.name} is the dose of {_beam_name(doses[0])} only, not of the whole plan"]


def _beam_name(dose: RtDose) -> str:
    return "beam " + "+".join(str(number) for number in dose.header.beam_numbers)


def _let(image: Volume | None) -> dict[str, Volume]:
    if image is None:
        return {}
    if image.quantity.name not in ("LET_d", "LET_t"):
        raise QuantityError(f"expected LET_d or LET_t beside the dose, found {image.quantity.name}")
    return {image.quantity.name: image}


def _provenance(dose: RtDose, notes: Sequence[str]) -> dict[str, Any]:
    header = dose.header
    return {
        "name": header.path.name,
        "sha256": sha256_file(header.path),
        "sop_instance_uid": header.sop_instance_uid,
        "plan_uids": list(header.plan_uids),
        "beam_numbers": list(header.beam_numbers),
        "frame_of_reference_uid": header.frame_of_reference_uid,
        "summation_type": header.summation_type,
        "dose_type": header.dose_type,
        "made_by": header.manufacturer,
        "notes": list(notes),
    }
