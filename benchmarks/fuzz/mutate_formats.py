"""Damage that knows the format: other legal or illegal values in DICOM elements, JSON, NIfTI headers, gzip and zip."""

from __future__ import annotations

import gzip
import json
import struct
from typing import Any

import numpy as np

from benchmarks.fuzz.case import Files
from benchmarks.fuzz.dicom_elements import elements_of, with_value

Rng = np.random.Generator

_WHOLE = (0, 1, 2, 3, 5, 8, 12, 16, 32, 64, 255, 1000, 32768, 65535)
_TEXTS = tuple(
    b"0|-1|1|1e400|nan|inf|1e-300|abc||1,5|0.001|-0.001|1000000|99999999999|2\\2|1\\2\\3|0\\0|1e308\\1|-2\\1.5".split(
        b"|"
    )
)
_SYNTAXES = (
    b"1.2.840.10008.1.2",
    b"1.2.840.10008.1.2.2",
    b"1.2.840.10008.1.2.1.99",
    b"1.2.840.10008.1.2.4.70",
    b"1.2.840.10008.1.2.4.90",
    b"1.2.840.10008.1.2.5",
    b"1.2.3",
)
_OWN = {
    "TransferSyntaxUID": _SYNTAXES,
    "SOPClassUID": (b"1.2.840.10008.5.1.4.1.1.2", b"1.2.840.10008.5.1.4.1.1.481.2", b"1.2.840.10008.5.1.4.1.1.481.3"),
    "ImageOrientationPatient": (
        b"1\\0\\0\\0\\-1\\0",
        b"0\\1\\0\\1\\0\\0",
        b"1\\0\\0\\1\\0\\0",
        b"0\\0\\0\\0\\0\\0",
        b"2\\0\\0\\0\\2\\0",
        b"0.8\\0.6\\0\\-0.6\\0.8\\0",
    ),
    "GridFrameOffsetVector": (b"0\\3\\6", b"0\\-3\\-6\\-9", b"0\\3\\6\\10", b"0\\0\\0\\0", b"30\\33\\36\\39"),
    "DoseType": (b"PHYSICAL", b"EFFECTIVE", b"ERROR", b"FOO"),
    "DoseUnits": (b"GY", b"RELATIVE", b"CGY"),
    "PhotometricInterpretation": (b"MONOCHROME1", b"MONOCHROME2", b"RGB", b"PALETTE COLOR"),
    "RescaleType": (b"HU", b"OD"),
    "ContourGeometricType": (b"CLOSED_PLANAR", b"OPEN_PLANAR", b"POINT", b"CLOSEDPLANAR_XOR"),
}
_STRUCT = {b"US": "<H", b"SS": "<h", b"UL": "<I", b"SL": "<i"}


def dicom_value(files: Files, name: str, rng: Rng) -> str:
    """Another value in one element: of its own kind where there are such, else a number or text."""
    content = files[name]
    top = [element for element in elements_of(content) if "." not in element.path and element.vr != b"SQ"]
    own = [element for element in top if element.path in _OWN or element.vr in _STRUCT or element.vr == b"DS"]
    among = own if own and rng.random() < 0.8 else top
    element = among[int(rng.integers(len(among)))]
    if element.vr in _STRUCT:
        value = struct.pack(_STRUCT[element.vr], int(rng.choice(_WHOLE)) % 32768)
    elif element.path in _OWN and rng.random() < 0.8:
        value = _OWN[element.path][int(rng.integers(len(_OWN[element.path])))]
    else:
        value = _TEXTS[int(rng.integers(len(_TEXTS)))]
    files[name] = with_value(content, element, value)
    return f"{element.path} becomes {value[:40]!r}"


def dicom_structure(files: Files, name: str, rng: Rng) -> str:
    """An element goes, comes twice, changes its VR, or has a length that is not its own."""
    content = files[name]
    elements = elements_of(content)
    element = elements[int(rng.integers(len(elements)))]
    way = int(rng.integers(5))
    whole = content[element.start : element.end]
    if way == 0:
        files[name] = content[: element.start] + content[element.end :]
        return f"{element.path} goes"
    if way == 1:
        files[name] = content[: element.end] + whole + content[element.end :]
        return f"{element.path} comes twice"
    if way == 2:
        vr = (b"UN", b"LO", b"US", b"DS", b"SQ", b"OW", b"zz")[int(rng.integers(7))]
        files[name] = content[: element.start + 4] + vr + content[element.start + 6 :]
        return f"{element.path} becomes of VR {vr.decode()}"
    if way == 3:
        files[name] = content[: element.start] + rng.bytes(4) + content[element.start + 4 :]
        return f"{element.path} gets another tag"
    at = element.value - 2
    files[name] = content[:at] + struct.pack("<H", int(rng.choice([0, 1, 2, 4, 6, 8, 100, 65535]))) + content[at + 2 :]
    return f"{element.path} gets another length"


def json_value(files: Files, name: str, rng: Rng) -> str:
    """Another value somewhere in a JSON file; of another file of JSON when this is none."""
    candidates = [name] if name.endswith(".json") else sorted(file for file in files if file.endswith(".json"))
    name = candidates[int(rng.integers(len(candidates)))]
    tree = json.loads(files[name])
    places = list(_places(tree))
    holder, key = places[int(rng.integers(len(places)))]
    way = int(rng.integers(10))
    if way == 0:
        del holder[key]
        new: Any = "nothing"
    elif way == 1 and isinstance(holder, list):
        holder.reverse()
        new = "(list reversed)"
    elif way == 2 and isinstance(holder, list):
        holder.append(holder[key])
        new = "(item added)"
    else:
        new = holder[key] = _other_json(holder[key], rng)
    files[name] = json.dumps(tree, indent=1).encode()
    return f"{name}: {key!r} becomes {str(new)[:60]}"


def _places(tree: Any) -> Any:
    for key in list(tree) if isinstance(tree, dict) else range(len(tree)):
        yield tree, key
        if isinstance(tree[key], dict | list):
            yield from _places(tree[key])


def _other_json(old: Any, rng: Rng) -> Any:
    if isinstance(old, bool):
        choices: tuple[Any, ...] = (not old, None, "x", 3)
    elif isinstance(old, int | float):
        choices = (
            0,
            -old,
            old + 1,
            old * 2,
            10**12,
            2**70,
            1e300,
            -1,
            0.5,
            float("nan"),
            float("inf"),
            None,
            "x",
            [old],
        )
    elif isinstance(old, str):
        choices = ("", old[:-1], old.upper(), "float64", "int32", "zstd", "x", "../x", None, 1, "float32", "gzip")
    else:
        choices = (None, {}, [], "x", 1, [[]], {"a": 1})
    return choices[int(rng.integers(len(choices)))]


_NIFTI = {  # offset and form of the fields of a NIfTI-1 header
    "sizeof_hdr": (0, "<i"),
    "dim0": (40, "<h"),
    "dim1": (42, "<h"),
    "dim2": (44, "<h"),
    "dim3": (46, "<h"),
    "dim4": (48, "<h"),
    "datatype": (70, "<h"),
    "bitpix": (72, "<h"),
    "pixdim0": (76, "<f"),
    "pixdim1": (80, "<f"),
    "vox_offset": (108, "<f"),
    "scl_slope": (112, "<f"),
    "scl_inter": (116, "<f"),
    "xyzt_units": (123, "<B"),
    "qform_code": (252, "<h"),
    "sform_code": (254, "<h"),
    "quatern_b": (256, "<f"),
    "qoffset_x": (268, "<f"),
    "srow_x0": (280, "<f"),
    "srow_x3": (292, "<f"),
    "srow_y1": (300, "<f"),
}


def nifti_field(files: Files, name: str, rng: Rng) -> str:
    """Another value in a field of a NIfTI-1 header; of a compressed file the header is changed inside."""
    packed = name.endswith(".gz")
    content = bytearray(gzip.decompress(files[name]) if packed else files[name])
    field = sorted(_NIFTI)[int(rng.integers(len(_NIFTI)))]
    offset, form = _NIFTI[field]
    if form == "<f":
        value: float = float(rng.choice([0, -1, 1, 2, np.nan, np.inf, 1e30, 352, 353, 360, 1e-30]))
    else:
        value = int(rng.choice([0, 1, 2, 3, 4, 5, 8, 10, 16, 64, 127, 255, 256, 512, 768, 1024, 32767]))
        value %= 256 if form == "<B" else 32768
    struct.pack_into(form, content, offset, value)
    files[name] = gzip.compress(bytes(content), 1, mtime=0) if packed else bytes(content)
    return f"{field} becomes {value}"
