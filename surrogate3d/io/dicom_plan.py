"""DICOM RT Plan and RT Ion Plan: fractions, prescription and beams, as far as they say something about a dose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from surrogate3d.io.dicom_dataset import RTPLANS, DicomFile, open_dicom

_PRESCRIBED = ("TargetPrescriptionDose", "DeliveryMaximumDose", "OrganAtRiskMaximumDose")


def read_rtplan(path: str | Path) -> dict[str, Any]:
    """What a plan says, as plain data: label, fraction groups with the doses of beams, dose references, beams.

    Doses are in Gy, as the planning system states them; for ions they are usually weighted by RBE.

    Raises:
        StoreError, FormatError: no such file, or it is damaged.
        UnsupportedError: it is no plan.
    """
    file = open_dicom(path, RTPLANS)
    beams = [*file.items("IonBeamSequence"), *file.items("BeamSequence")]
    return {
        "label": file.text("RTPlanLabel"),
        "sop_instance_uid": file.text("SOPInstanceUID"),
        "approval": file.text("ApprovalStatus"),
        "fraction_groups": [_group(group) for group in file.items("FractionGroupSequence")],
        "dose_references": [_reference(each) for each in file.items("DoseReferenceSequence")],
        "beams": [_beam(beam) for beam in beams],
    }


def _group(group: DicomFile) -> dict[str, Any]:
    return {
        "fractions": group.whole("NumberOfFractionsPlanned") if group.has("NumberOfFractionsPlanned") else None,
        "beam_doses_gy": {
            str(beam.whole("ReferencedBeamNumber")): _number(beam, "BeamDose")
            for beam in group.items("ReferencedBeamSequence")
        },
    }


def _reference(reference: DicomFile) -> dict[str, Any]:
    doses = {keyword: _number(reference, keyword) for keyword in _PRESCRIBED if reference.has(keyword)}
    return {
        "type": reference.text("DoseReferenceType"),
        "description": reference.text("DoseReferenceDescription"),
        "doses_gy": doses,
    }


def _beam(beam: DicomFile) -> dict[str, Any]:
    points = [*beam.items("IonControlPointSequence"), *beam.items("ControlPointSequence")]
    first = points[0] if points else None
    energies = [e for point in points if (e := _number(point, "NominalBeamEnergy")) is not None]
    return {
        "number": beam.whole("BeamNumber"),
        "name": beam.text("BeamName"),
        "radiation": beam.text("RadiationType"),
        "gantry_angle_deg": _number(first, "GantryAngle") if first else None,
        "couch_angle_deg": _number(first, "PatientSupportAngle") if first else None,
        "energy_mev_u": [min(energies), max(energies)] if energies else None,
    }


def _number(file: DicomFile, keyword: str) -> float | None:
    return float(file.numbers(keyword, 1)[0]) if file.has(keyword) else None
