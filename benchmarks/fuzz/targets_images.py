"""NIfTI, MetaImage and NRRD, and folders of planning systems."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import SimpleITK

from benchmarks.fuzz.case import GONE, Files, Reading, Seed, Target
from benchmarks.fuzz.corpus import made
from benchmarks.fuzz.mutate import BYTES, FOLDER, TEXT
from benchmarks.fuzz.mutate_formats import json_value, nifti_field
from benchmarks.fuzz.places import by_lines, by_offset, corners, rules
from benchmarks.fuzz.targets_run import field_reading
from surrogate3d.grid import Grid, Volume, quantity
from surrogate3d.io.images import read_image, write_image
from surrogate3d.io.plans import read_plan

SHAPE, SPACING, ORIGIN = (3, 4, 2), (2.0, 1.5, 3.0), (-10.0, 20.0, 30.5)
_TURN = ((0.8, -0.6, 0.0), (0.6, 0.8, 0.0), (0.0, 0.0, 1.0))
_NIFTI_REGIONS = (
    (70, 72, "values"),  # another type of as many bits
    (112, 120, "values"),
    (256, 280, "qform"),
    (280, 328, "sform"),
    (352, 10**6, "values"),
)
_META = by_lines(
    rules(
        (r"^(ElementSpacing|Offset|Position|Origin|TransformMatrix|Orientation|Rotation)", "corners"),
        (r"^(ElementByteOrderMSB|BinaryDataByteOrderMSB|ElementType)", "values"),
    )
)
_NRRD = by_lines(rules((r"^space( directions| origin)?:", "corners"), (r"^(endian|type):", "values")))


def image_seeds() -> list[Seed]:
    """Small volumes in every format that is read, turned in space."""
    values = np.random.default_rng(7).random(SHAPE).astype(np.float32)
    volume = Volume(Grid(SHAPE, SPACING, ORIGIN, _TURN), values, quantity("dose_to_water"))
    names = ("a.nii", "a.nii.gz", "a.mha", "a.nrrd")
    seeds = [
        Seed(name, made(lambda folder, n=name: write_image(volume, folder / n)), options={"file": name})  # type: ignore[misc]
        for name in names
    ]
    return [*seeds, _scaled_nifti(values), *_plain_itk(values)]


def _scaled_nifti(values: np.ndarray[Any, Any]) -> Seed:
    def write(folder: Path) -> None:
        image: Any = nibabel.Nifti1Image((values * 1000).astype(np.int16), np.diag([2.0, 1.5, 3.0, 1.0]))
        image.header.set_slope_inter(0.001, 0.5)
        image.header.set_xyzt_units("mm")
        image.set_qform(image.affine, code=1)
        nibabel.save(image, folder / "a.nii")

    return Seed("scaled.nii", made(write), options={"file": "a.nii"})


def _plain_itk(values: np.ndarray[Any, Any]) -> list[Seed]:
    def write(name: str) -> Callable[[Path], None]:
        def to(folder: Path) -> None:
            image = SimpleITK.GetImageFromArray(values.transpose(2, 1, 0))
            image.SetSpacing(SPACING)
            image.SetOrigin(ORIGIN)
            SimpleITK.WriteImage(image, str(folder / name), False)

        return to

    names = ("b.mha", "b.mhd", "b.nrrd")
    return [Seed(name, made(write(name)), options={"file": name}) for name in names]


def read_seed_image(folder: Path, seed: Seed) -> Reading:
    """The volume."""
    volume = read_image(folder / seed.options["file"], quantity("dose_to_water"))
    return {"values": volume.values, "shape": volume.grid.shape, "corners": corners(volume.grid)}


def image_may_change(seed: Seed, name: str, old: bytes, new: bytes) -> set[str]:
    """By format; compressed values carry a checksum, so damage to them may change nothing."""
    if name.endswith(".gz"):
        try:
            return image_may_change(seed, "inside.nii", gzip.decompress(old), gzip.decompress(new))
        except (OSError, EOFError, ValueError, gzip.zlib.error):  # type: ignore[attr-defined]
            return set()
    if name.endswith(".nii"):
        found = by_offset(old, new, _NIFTI_REGIONS)
        return {*found, "corners"} if {"qform", "sform"} <= found else found  # both say the same, so both must change
    if name.endswith(".raw"):
        return {"values"} if len(old) == len(new) else set()
    return _itk_may_change(name, old, new)


def _itk_may_change(name: str, old: bytes, new: bytes) -> set[str]:
    nrrd = name.endswith(".nrrd")
    end = old.find(b"\n\n") + 2 if nrrd else old.find(b"\n", old.find(b"ElementDataFile")) + 1
    packed = b"gzip" in old[:end] or b"CompressedData = True" in old[:end]
    if len(old) == len(new):
        values = {"values"} if not packed and old[end:] != new[end:] else set()
        return values | (_NRRD if nrrd else _META)(old[:end], new[:end])
    shifted = end + len(new) - len(old)  # lines of the header came or went
    values = {"values"} if not packed and old[:end] != new[:shifted] and old[end:] != new[shifted:] else set()
    return values | (_NRRD if nrrd else _META)(old[:end], new[:shifted])


def _pyradplan(folder: Path) -> None:
    rng = np.random.default_rng(8)
    dose, let = (rng.random(SHAPE).astype(np.float32) + 0.5 for _ in range(2))
    grid = Grid(SHAPE, SPACING, ORIGIN)
    write_image(Volume(grid, dose, quantity("dose_to_water")), folder / "p_dosegrid_physical_dose.mha")
    write_image(Volume(grid, let, quantity("LET_d")), folder / "p_dosegrid_let.mha")
    listed = [list(SHAPE), list(SPACING), 0.0, float(dose.max())]
    summary = {"gantry": [0.0, 90.0], "radiation_mode": "protons", "quantities": {"dosegrid_physical_dose": listed}}
    (folder / "p_summary.json").write_text(json.dumps(summary, indent=1))


def _mcsquare(folder: Path) -> None:
    rng = np.random.default_rng(9)
    for name in ("dose", "let", "ct"):
        image = SimpleITK.GetImageFromArray(rng.random(SHAPE[::-1]).astype(np.float32) + 0.5)
        image.SetSpacing(SPACING)
        image.SetOrigin(ORIGIN)
        SimpleITK.WriteImage(image, str(folder / f"{name}.mhd"), False)


def _read_plan(folder: Path, seed: Seed) -> Reading:
    return field_reading(read_plan(folder, primary=seed.options.get("primary"), dose_medium="water"))


def _plan_may_change(seed: Seed, name: str, old: bytes, new: bytes) -> set[str]:
    if name.endswith(".json"):
        return {"primary", "beam"}
    whose = {"dose": "dose_to_water LET_d", "let": "LET_d", "ct": "HU"}
    values = next((v for k, v in whose.items() if name.startswith(k) or f"_{k}." in name), "dose_to_water LET_d")
    allowed = image_may_change(seed, name, old, new)
    gone = {"LET_d", "HU", "unit *", "let_definitions"} if new == GONE else set()
    return {*(set(values.split()) if "values" in allowed else set()), *({"corners"} & allowed), *gone}


def plan_seeds() -> list[Seed]:
    """Small plans of both systems."""
    return [Seed("pyRadPlan", made(_pyradplan)), Seed("MCsquare", made(_mcsquare), options={"primary": "H"})]


def _literal_image(seed: Seed, files: Files) -> Reading:
    """Values of uncompressed float32 images, as the last bytes of the file state them."""
    if seed.name not in ("a.nii", "b.mha", "b.mhd", "b.nrrd"):
        return {}
    content = files.get("b.raw", b"") if seed.name == "b.mhd" else files[seed.options["file"]]
    n, header = int(np.prod(SHAPE)), files[seed.options["file"]][:400]
    if b"BinaryDataByteOrderMSB = False" not in header and seed.name == "b.mha":
        return {}
    data = content[352 : 352 + 4 * n] if seed.name == "a.nii" else content[-4 * n :]
    scaled = content[112:120] if seed.name == "a.nii" else b""
    if len(data) < 4 * n or scaled not in (b"", b"\0\0\xc0\x7f\0\0\xc0\x7f") or b"True" in header.split(b"MSB")[-1][:9]:
        return {}
    return {} if b"big" in header else {"values": np.frombuffer(data, "<f4").reshape(SHAPE, order="F").copy()}


_IMAGE = (*TEXT, *BYTES, *(nifti_field,) * 4, *FOLDER[1:4])
TARGETS = (
    Target(
        "image",
        image_seeds,
        read_seed_image,
        _IMAGE,
        image_may_change,
        _literal_image,
        close={"corners": 0.15},  # two statements of one place in a NIfTI file agree within a tenth of a voxel
        share=3,
    ),
    Target("plan", plan_seeds, _read_plan, (*TEXT, *BYTES, json_value, json_value, *FOLDER), _plan_may_change),
)
