"""DICOM: RT Dose, RT Structure Set and CT series."""

from __future__ import annotations

import re
import struct
import tempfile
from pathlib import Path

import numpy as np
import pydicom
from pydicom.uid import RLELossless

from benchmarks.fuzz.case import GONE, Files, Reading, Seed, Target
from benchmarks.fuzz.corpus import FIXTURES, SHARED, made, single
from benchmarks.fuzz.dicom_elements import Element, elements_of
from benchmarks.fuzz.mutate import BYTES, FOLDER
from benchmarks.fuzz.mutate_formats import dicom_structure, dicom_value
from benchmarks.fuzz.places import corners
from surrogate3d.io.dicom_ct import read_ct_series
from surrogate3d.io.dicom_dose import read_rtdose
from surrogate3d.io.dicom_structures import read_rtstruct
from tests.dicom_objects import beam_dose, ct_slice, rtdose, rtstruct

_DOSE = {  # what an element may change, where nothing else in the file says it too
    "PixelData": "values",
    "DoseGridScaling": "values",
    "ImagePositionPatient": "corners",
    "ImageOrientationPatient": "corners",
    "PixelSpacing": "corners",
    "SliceThickness": "corners",
    "GridFrameOffsetVector": "corners",
    "DoseUnits": "units",
    "DoseType": "quantity",
    "DoseComment": "quantity",
    "SeriesDescription": "quantity",
    "DoseSummationType": "summation",
    "ReferencedRTPlanSequence": "beams",
    "FrameOfReferenceUID": "frame",
}
_CT = {
    "PixelData": "values",
    "RescaleSlope": "values",
    "RescaleIntercept": "values",
    "PixelPaddingValue": "values",
    "PixelPaddingRangeLimit": "values",
    "ImagePositionPatient": "corners values",  # the slices change places
    "SliceThickness": "corners",
    "SeriesInstanceUID": "series",
    "FrameOfReferenceUID": "frame",
}
_STRUCTURES = (
    (r"^ROIContourSequence\.(\d+)\.ContourSequence\.\d+\.(ContourData|ContourGeometricType)$", "contours {}"),
    (r"^ROIContourSequence\.(\d+)\.ContourSequence\.\d+\.ContourSlabThickness$", "slab {}"),
    (r"^StructureSetROISequence\.(\d+)\.ROIName$", "name {}"),
    (r"^StructureSetROISequence\.(\d+)\.ReferencedFrameOfReferenceUID$", "frame {}"),
    (r"^RTROIObservationsSequence\.(\d+)\.RTROIInterpretedType$", "type {}"),
    (r"^RTROIObservationsSequence\.(\d+)\.ReferencedROINumber$", "type *"),
)


def changed_elements(old: bytes, new: bytes) -> set[str]:
    """Paths of the elements that differ, came or went; none where one of the files is no longer a list of elements."""
    try:
        ours, theirs = (_contents(content) for content in (old, new))
    except (ValueError, struct.error):
        return set()
    return {path for path in set(ours) | set(theirs) if ours.get(path) != theirs.get(path)}


def _contents(content: bytes) -> dict[str, tuple[bytes, bytes]]:
    found: dict[str, tuple[bytes, bytes]] = {}
    for each in elements_of(content):
        if each.path in found:
            raise ValueError(f"{each.path} comes twice")
        found[each.path] = (each.vr, b"" if each.vr == b"SQ" else content[each.value : each.end])
    return found


def _by_keyword(table: dict[str, str], old: bytes, new: bytes) -> set[str]:
    return {name for path in changed_elements(old, new) for name in table.get(path.split(".")[0], "").split()}


def _dose_may_change(seed: Seed, name: str, old: bytes, new: bytes) -> set[str]:
    return _by_keyword(_DOSE, old, new)


def _ct_may_change(seed: Seed, name: str, old: bytes, new: bytes) -> set[str]:
    if new == GONE:
        return {"values", "shape", "corners", "n_slices"}  # nobody can know of a slice that is not there
    return _by_keyword(_CT, old, new)


def _structures_may_change(seed: Seed, name: str, old: bytes, new: bytes) -> set[str]:
    found = set()
    for path in changed_elements(old, new):
        for pattern, what in _STRUCTURES:
            if match := re.match(pattern, path):
                found.add(what.format(*match.groups()))
    return found


def _dose_seeds() -> list[Seed]:
    stored = np.random.default_rng(5).integers(0, 60000, (4, 3, 5))

    def rle(folder: Path) -> None:
        dataset = pydicom.dcmread(rtdose(folder / "a.dcm", stored.astype("<u2")))
        dataset.compress(RLELossless, generate_instance_uid=False)
        dataset.save_as(folder / "a.dcm", enforce_file_format=True)

    several = {
        "16 bits": made(lambda folder: rtdose(folder / "a.dcm", stored.astype("<u2"))),
        "32 bits": made(lambda folder: rtdose(folder / "a.dcm", stored.astype("<u4"))),
        "beam": made(lambda folder: beam_dose(folder / "a.dcm", stored.astype("<u2"), 1)),
        "effective": made(lambda folder: rtdose(folder / "a.dcm", stored.astype("<u2"), DoseType="EFFECTIVE")),
        "one frame": made(lambda folder: rtdose(folder / "a.dcm", stored[:1].astype("<u2"), SliceThickness="3")),
        "RLE": made(rle),
    }
    seeds = [Seed(name, files, options={"file": "a.dcm"}) for name, files in several.items()]
    return seeds + single("TOPAS", FIXTURES / "topas" / "fixture_DoseDicom.dcm", unit="GY")


def _read_dose(folder: Path, seed: Seed) -> Reading:
    found = read_rtdose(folder / seed.options["file"], medium="water", unit_given=seed.options.get("unit"))
    head = found.header
    return {
        "values": found.volume.values,
        "shape": head.grid.shape,
        "corners": corners(head.grid),
        "units": found.dose_units,
        "quantity": found.volume.quantity.name,
        "summation": head.summation_type,
        "beams": (head.plan_uids, head.beam_numbers),
        "frame": head.frame_of_reference_uid,
    }


def _literal_dose(seed: Seed, files: Files) -> Reading:
    if seed.name == "RLE":
        return {}
    content = files[seed.options["file"]]
    found = {each.path: content[each.value : each.end] for each in elements_of(content)}
    frames, rows, columns, bits = (
        _whole(found, name) for name in ("NumberOfFrames", "Rows", "Columns", "BitsAllocated")
    )
    stored = np.frombuffer(found["PixelData"], f"<u{bits // 8}")[: frames * rows * columns]
    values = stored.reshape(frames, rows, columns).transpose(2, 1, 0) * float(found["DoseGridScaling"])
    return {"values": values.astype(np.float32 if bits == 16 else np.float64)}


def _whole(found: dict[str, bytes], name: str) -> int:
    value = found.get(name, b"1")
    return int(value) if name == "NumberOfFrames" else struct.unpack("<H", value)[0]


def _structure_seeds() -> list[Seed]:
    ring = np.array([[0.0, 0, 0], [10, 0, 0], [10, 10, 0], [0, 10, 0]])
    shapes = {"target": [np.add(ring, (0, 0, 3 * n)) for n in range(4)], "organ": [ring * 2, ring * 2 + [0, 0, 3.0]]}
    files = made(lambda folder: rtstruct(folder / "a.dcm", shapes))
    return [Seed("written", files, options={"file": "a.dcm"}), *_real_structures()]


def _real_structures() -> list[Seed]:
    """The first structures of a clinical file, with a few contours each, written again with explicit lengths."""
    path = SHARED / "dicom" / "rtstruct.dcm"
    if not path.is_file():
        return []
    dataset = pydicom.dcmread(path)
    numbers = [roi.ROINumber for roi in dataset.StructureSetROISequence[:3]]
    for name, key in (
        ("StructureSetROISequence", "ROINumber"),
        ("ROIContourSequence", "ReferencedROINumber"),
        ("RTROIObservationsSequence", "ReferencedROINumber"),
    ):
        setattr(dataset, name, [item for item in dataset[name].value if item[key].value in numbers])
    for item in dataset.ROIContourSequence:
        if "ContourSequence" in item:
            item.ContourSequence = item.ContourSequence[:3]
    for element in dataset.iterall():
        if element.VR == "SQ":
            element.is_undefined_length = False
            for item in element.value:
                item.is_undefined_length_sequence_item = False
    with tempfile.TemporaryDirectory() as folder:
        dataset.save_as(Path(folder) / "a.dcm", enforce_file_format=True)
        content = (Path(folder) / "a.dcm").read_bytes()
    return [Seed("clinical", {"a.dcm": content}, options={"file": "a.dcm"})]


def _read_structures(folder: Path, seed: Seed) -> Reading:
    found: Reading = {}
    for n, each in enumerate(read_rtstruct(folder / seed.options["file"])):
        found[f"name {n}"], found[f"number {n}"], found[f"type {n}"] = each.name, each.number, each.interpreted_type
        found[f"frame {n}"], found[f"slab {n}"] = each.frame_of_reference_uid, each.slab_mm
        found[f"contours {n}"] = tuple((c.geometric_type, c.points_mm.tolist()) for c in each.contours)
    return found


def _literal_structures(seed: Seed, files: Files) -> Reading:
    content = files[seed.options["file"]]
    elements = elements_of(content)
    found: dict[int, list[tuple[str, list[list[float]]]]] = {}
    kinds = {each.path: content[each.value : each.end] for each in elements}
    for each in elements:
        if match := re.match(r"^ROIContourSequence\.(\d+)\.ContourSequence\.\d+\.ContourData$", each.path):
            kind = kinds.get(each.path.replace("ContourData", "ContourGeometricType"), b"").decode("latin-1")
            found.setdefault(int(match[1]), []).append((kind.rstrip("\0 "), _points(content, each)))
    return {f"contours {n}": tuple(rings) for n, rings in found.items()}


def _points(content: bytes, element: Element) -> list[list[float]]:
    numbers = [float(word) for word in content[element.value : element.end].split(b"\\")]
    return [numbers[n : n + 3] for n in range(0, len(numbers), 3)]


def _ct_seeds() -> list[Seed]:
    stored = np.random.default_rng(6).integers(0, 2000, (4, 4, 5)).astype("<u2")

    def series(folder: Path, **elements: object) -> None:
        for n, plane in enumerate(stored):
            ct_slice(folder / f"{n}.dcm", plane, (-10, 20, 30 + 3 * n), **elements)

    padded = {"PixelPaddingValue": 17, "RescaleType": "HU"}
    return [Seed("plain", made(series)), Seed("padded", made(lambda folder: series(folder, **padded)))]


def _read_ct(folder: Path, seed: Seed) -> Reading:
    found = read_ct_series(folder)
    return {
        "values": found.volume.values,
        "shape": found.volume.grid.shape,
        "corners": corners(found.volume.grid),
        "n_slices": found.n_slices,
        "series": found.series_uid,
        "frame": found.frame_of_reference_uid,
    }


_DICOM = (dicom_value,) * 8 + (dicom_structure,) * 4
TARGETS = (
    Target("rtdose", _dose_seeds, _read_dose, (*BYTES, *_DICOM, FOLDER[1]), _dose_may_change, _literal_dose, share=2),
    Target(
        "rtstruct",
        _structure_seeds,
        _read_structures,
        (*BYTES, *_DICOM, FOLDER[1]),
        _structures_may_change,
        _literal_structures,
    ),
    Target("ct", _ct_seeds, _read_ct, (*BYTES, *_DICOM, *FOLDER), _ct_may_change, close={"corners": 0.04}),
)
