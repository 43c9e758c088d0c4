"""A small cohort folder for tests, written with nibabel from plain arrays: two patients, three lesions."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt

from surrogate3d.grid import Grid, Volume, quantity
from surrogate3d.io.images import write_image

SHAPE = (12, 10, 8)
GRID = Grid(SHAPE, (1.0, 1.0, 2.0), (-5.0, 3.0, 20.0))
DOSE_GRID = Grid((8, 7, 9), (2.0, 2.0, 2.0), (-6.0, 2.0, 19.0))
BOXES = {"m1": ((2, 2, 2), (6, 6, 6)), "m2": ((6, 5, 1), (10, 9, 5)), "n1": ((3, 3, 3), (7, 7, 7))}
PATIENTS = {"m1": "P1", "m2": "P1", "n1": "P2"}


def box(lower: tuple[int, int, int], upper: tuple[int, int, int], shape: Any = SHAPE) -> npt.NDArray[np.bool_]:
    """Voxels from `lower` up to, not including, `upper`."""
    voxels = np.zeros(shape, dtype=bool)
    voxels[tuple(slice(a, b) for a, b in zip(lower, upper, strict=True))] = True
    return voxels


def image(seed: int, grid: Grid = GRID, name: str = "image_signal") -> Volume:
    """Positive noise."""
    values = np.random.default_rng(seed).gamma(9.0, 10.0, grid.shape).astype(np.float32)
    return Volume(grid, values, quantity(name))


def write_mask(path: Path, voxels: npt.NDArray[Any], grid: Grid = GRID) -> Path:
    """Numbers of a mask as unsigned bytes, by nibabel's own writer."""
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ grid.affine
    header = nibabel.Nifti1Image(voxels.astype(np.uint8), affine)
    header.set_sform(affine, code=1)
    header.set_qform(affine, code=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(header, path)
    return path


def write_folder(folder: Path) -> list[dict[str, str]]:
    """Images, masks and doses of three lesions; rows of a table that `write_table` takes."""
    rows = []
    for n, (lesion, (lower, upper)) in enumerate(BOXES.items()):
        patient = PATIENTS[lesion]
        if not (folder / f"{patient}/t1.nii.gz").exists():
            write_image(image(n), folder / f"{patient}/t1.nii.gz")
            write_image(image(50 + n, DOSE_GRID, "dose_to_water"), folder / f"{patient}/dose.nii.gz")
        write_mask(folder / f"{patient}/{lesion}.nii.gz", box(lower, upper))
        row = {"patient": patient, "lesion": lesion, "image": f"{patient}/t1.nii.gz"}
        rows.append(row | {"mask": f"{patient}/{lesion}.nii.gz", "dose": f"{patient}/dose.nii.gz"})
    return rows


def write_table(folder: Path, rows: list[dict[str, str]], comments: Sequence[str] = ()) -> Path:
    """The table, with the columns that any row has, below comments."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    lines = [f"# {comment}" for comment in comments]
    lines += [",".join(columns), *(",".join(row.get(column, "") for column in columns) for row in rows)]
    (folder / "cohort.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder
