"""Cohorts to a folder that `cohort.read_cohort` reads; its layout is in docs/cohorts.md."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import QuantityError, StoreError, ValueRangeError
from surrogate3d.grid import DELIVERED, Cohort, Grid, Lesion, Volume, quantity
from surrogate3d.io.atomic import atomic_directory
from surrogate3d.io.cohort_table import DOSES, OPTIONAL, REQUIRED, TABLE
from surrogate3d.io.nifti import write_nifti


def write_cohort(cohort: Cohort, folder: str | Path, *, notes: Sequence[str] = (), overwrite: bool = False) -> None:
    """Write a cohort, whole or not at all.

    Every lesion has a folder of NIfTI files; volumes that several lesions share are written once. Values are float32,
    masks unsigned bytes.

    Args:
        cohort: its notes become comment lines of the table.
        folder: new, or a cohort's folder to be replaced.
        notes: further comment lines.
        overwrite: replace the folder.

    Raises:
        StoreError: the folder exists and is not to be, or must not be, replaced; or the disk is full.
        ValueRangeError: a name that a table cannot hold.
        QuantityError: a delivered volume of another quantity than its name.
    """
    folder = Path(folder)
    if overwrite and folder.exists() and not (folder / TABLE).is_file():
        raise StoreError(f"{folder} exists and has no {TABLE}, so it is not replaced; choose another name")
    with atomic_directory(folder, overwrite, _expected_bytes(cohort)) as scratch:
        writer = _Writer(scratch)
        rows = [writer.row(n, lesion) for n, lesion in enumerate(cohort, start=1)]
        columns = [*REQUIRED, *(column for column in OPTIONAL if any(column in row for row in rows))]
        with (scratch / TABLE).open("w", encoding="utf-8", newline="") as stream:
            stream.writelines(f"# {' '.join(note.split())}\n" for note in dict.fromkeys((*cohort.notes, *notes)))
            table = csv.DictWriter(stream, columns, restval="", lineterminator="\n")
            table.writeheader()
            table.writerows(rows)


class _Writer:
    """Writes the files of one lesion after the other, and remembers which volumes it has written."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._written: dict[int, str] = {}

    def row(self, number: int, lesion: Lesion) -> dict[str, str]:
        """Write the files of a lesion; its row of the table."""
        folder = f"{number:04d}-{_plain(lesion.patient)}-{_plain(lesion.lesion)}"
        grid = lesion.image.grid
        row = {
            "patient": _name(lesion.patient, lesion),
            "lesion": _name(lesion.lesion, lesion),
            "image": self._volume(lesion.image, f"{folder}/image.nii.gz"),
            "mask": self._mask(lesion.mask, grid, f"{folder}/mask.nii.gz"),
        }
        if lesion.truth is not None:
            row["truth"] = self._mask(lesion.truth, grid, f"{folder}/truth.nii.gz")
        if medium := _dose_to(lesion):
            row["dose_to"] = medium
        for name, volume in lesion.delivered.items():
            row[name] = self._volume(volume, f"{folder}/{name}.nii.gz")
        if lesion.image_to_dose is not None:
            row["image_to_dose"] = f"{folder}/image_to_dose.txt"
            np.savetxt(self._root / row["image_to_dose"], lesion.image_to_dose, fmt="%.17g")
        numbers = {"volume_change": lesion.volume_change, "outcome": lesion.outcome, "days": lesion.days}
        return row | {name: f"{value:.17g}" for name, value in numbers.items() if not math.isnan(value)}

    def _volume(self, volume: Volume, path: str) -> str:
        known = self._written.setdefault(id(volume), path)
        if known == path:
            self._nifti(volume, path)
        return known

    def _mask(self, voxels: npt.NDArray[np.bool_], grid: Grid, path: str) -> str:
        self._nifti(Volume(grid, voxels.astype(np.float32), quantity("mask")), path, np.uint8)
        return path

    def _nifti(self, volume: Volume, path: str, dtype: npt.DTypeLike = np.float32) -> None:
        # Not `write_image`: the folder is atomic as a whole, and need not be so file by file.
        (self._root / path).parent.mkdir(exist_ok=True)
        write_nifti(volume, self._root / path, dtype)


def _dose_to(lesion: Lesion) -> str:
    """What the dose is to, where it is not water; every other volume is what it is called."""
    allowed = {name: [name] for name in DELIVERED} | {"dose": list(DOSES.values())}
    for name, volume in lesion.delivered.items():
        if volume.quantity.name not in allowed.get(name, []):
            raise QuantityError(
                f"{lesion.name}: delivered {name!r} holds {volume.quantity.name}; expected for {', '.join(allowed)}: "
                f"{', '.join(dict.fromkeys(each for names in allowed.values() for each in names))}"
            )
    dose = lesion.delivered.get("dose")
    return "medium" if dose is not None and dose.quantity.name == DOSES["medium"] else ""


def _name(text: str, lesion: Lesion) -> str:
    if not text or text != " ".join(text.split()) or text.startswith("#"):
        raise ValueRangeError(
            f"{lesion.name}: a name in a table is on one line, without outer or double blanks or '#' at its beginning, "
            f"found {text!r}"
        )
    return text


def _plain(text: str) -> str:
    """The part of a name that every file system takes."""
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")[:40]


def _expected_bytes(cohort: Cohort) -> int:
    volumes = {id(v): v.grid.n_voxels for lesion in cohort for v in (lesion.image, *lesion.delivered.values())}
    return 4 * sum(volumes.values())
