"""DICOM RT Structure Set (PS3.3 C.8.8.5, C.8.8.6): structures as contours in planes, in LPS mm."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import FormatError, UnknownNameError
from surrogate3d.io.dicom_dataset import RTSTRUCT, DicomFile, open_dicom

FloatArray = npt.NDArray[np.float64]

FARTHEST_MM = 1e5
"""No patient reaches further from the origin."""

CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
_OPEN = ("POINT", "OPEN_PLANAR", "OPEN_NONPLANAR")


@dataclass(frozen=True, eq=False)
class Contour:
    """One outline.

    Attributes:
        points_mm: (n, 3) points, LPS mm.
        geometric_type: "CLOSED_PLANAR", "POINT" and others.
    """

    points_mm: FloatArray
    geometric_type: str


@dataclass(frozen=True, eq=False)
class Structure:
    """A region of interest.

    Attributes:
        name: as the planning system shows it.
        number: ROI number, unique in the file.
        interpreted_type: "PTV", "ORGAN", "EXTERNAL" and others; empty when it is not said.
        frame_of_reference_uid: which patient coordinate system the contours are in; empty when it is not said.
        slab_mm: thickness of the slab of one contour, where the file says it.
        contours: all outlines, also those that enclose nothing.
    """

    name: str
    number: int
    interpreted_type: str
    frame_of_reference_uid: str
    slab_mm: float | None
    contours: tuple[Contour, ...]

    @property
    def closed(self) -> tuple[Contour, ...]:
        """The contours that enclose an area: closed, of three points or more."""
        return tuple(c for c in self.contours if c.geometric_type in CLOSED and len(c.points_mm) >= 3)

    @property
    def skipped(self) -> tuple[str, ...]:
        """Contours that enclose nothing, counted by reason."""
        reasons: dict[str, int] = {}
        for contour in self.contours:
            closed = contour.geometric_type in CLOSED
            if not closed or len(contour.points_mm) < 3:
                why = "closed contour(s) of fewer than 3 points" if closed else f"{contour.geometric_type} contour(s)"
                reasons[why] = reasons.get(why, 0) + 1
        return tuple(f"{count} {why} left out: they enclose nothing" for why, count in reasons.items())


def read_rtstruct(path: str | Path) -> list[Structure]:
    """Read all structures, in the order of the file.

    Raises:
        StoreError, FormatError: no such file, or it is damaged: contours of no structure, points that are not finite.
        UnsupportedError: it is no structure set.
    """
    file = open_dicom(path, (RTSTRUCT,))
    contours = {item.whole("ReferencedROINumber"): item for item in file.items("ROIContourSequence")}
    types = {
        item.whole("ReferencedROINumber"): item.text("RTROIInterpretedType")
        for item in file.items("RTROIObservationsSequence")
    }
    rois = file.items("StructureSetROISequence")
    numbers = [roi.whole("ROINumber") for roi in rois]
    if len(set(numbers)) < len(numbers) or set(contours) - set(numbers):
        raise FormatError(
            f"{path}: structures are numbered {numbers}, contours {sorted(contours)}: they do not fit; export it again"
        )
    return [
        _structure(roi, contours.get(number), types.get(number, "")) for roi, number in zip(rois, numbers, strict=True)
    ]


def structure_named(structures: list[Structure], name: str) -> Structure:
    """The one structure of a name; case and outer blanks do not matter unless names differ only in them.

    Raises:
        UnknownNameError: none or several have the name.
    """
    exact = [each for each in structures if each.name == name]
    found = exact or [each for each in structures if each.name.strip().casefold() == name.strip().casefold()]
    if len(found) != 1:
        known = ", ".join(each.name for each in structures)
        raise UnknownNameError(f"{len(found) or 'no'} structure(s) named {name!r}; there are: {known}")
    return found[0]


def _structure(roi: DicomFile, contours: DicomFile | None, interpreted_type: str) -> Structure:
    items = contours.items("ContourSequence") if contours else []
    slabs = {float(item.numbers("ContourSlabThickness", 1)[0]) for item in items if item.has("ContourSlabThickness")}
    name = roi.text("ROIName")
    return Structure(
        name=name,
        number=roi.whole("ROINumber"),
        interpreted_type=interpreted_type,
        frame_of_reference_uid=roi.text("ReferencedFrameOfReferenceUID"),
        slab_mm=slabs.pop() if len(slabs) == 1 else None,
        contours=tuple(_contour(item, name) for item in items),
    )


def _contour(item: DicomFile, name: str) -> Contour:
    """One outline; its points are decoded here, since element by element takes minutes for large structures."""
    element: Any = item.dataset.get_item("ContourData")
    raw = getattr(element, "value", None)
    if not isinstance(raw, bytes):
        numbers = item.numbers("ContourData")
    else:
        try:
            numbers = np.array(raw.split(b"\\"), dtype=float)
        except ValueError as error:
            raise FormatError(f"{item.path}: a contour of {name!r} is not a list of numbers: {error}") from error
    declared = item.whole("NumberOfContourPoints", numbers.size // 3)
    if numbers.size != 3 * declared or not numbers.size or not (np.abs(numbers) < FARTHEST_MM).all():
        raise FormatError(
            f"{item.path}: a contour of {name!r} should be {declared} points of three coordinates within "
            f"{FARTHEST_MM:g} mm, found {numbers.size} numbers; export it again"
        )
    kind = item.text("ContourGeometricType")
    if kind not in (*CLOSED, *_OPEN):
        raise FormatError(
            f"{item.path}: a contour of {name!r} is of type {kind!r}, expected one of {', '.join((*CLOSED, *_OPEN))}; "
            "whether it encloses an area is not known; export it again"
        )
    return Contour(numbers.reshape(-1, 3), kind)
