"""What `convert` is told about absolute dose."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from surrogate3d.grid import Grid
    from surrogate3d.io.prescribe import PrescribeRequest

Box = tuple[tuple[int, int, int], tuple[int, int, int]]


def dose_gy(text: str) -> float:
    """Read a prescribed dose such as "2 Gy" or "200 cGy"; the unit must be there.

    Raises:
        typer.BadParameter: it is not a dose.
    """
    found = re.fullmatch(r"\s*([0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)\s*(c?Gy)\s*", text)
    if not found:
        raise typer.BadParameter(f'expected a physical dose with its unit such as "2 Gy", found {text!r}')
    return float(found[1]) * (0.01 if found[2] == "cGy" else 1.0)


def box_of(text: str) -> Box:
    """Read a box of voxels such as 5:15,5:15,36:44, ends not included.

    Raises:
        typer.BadParameter: it is not a box.
    """
    ranges = re.fullmatch(r"(\d+):(\d+),(\d+):(\d+),(\d+):(\d+)", text.replace(" ", ""))
    if not ranges:
        raise typer.BadParameter(f"expected voxel indices i0:i1,j0:j1,k0:k1 such as 5:15,5:15,36:44, found {text!r}")
    i0, i1, j0, j1, k0, k1 = (int(number) for number in ranges.groups())
    return (i0, j0, k0), (i1, j1, k1)


def request(
    prescribe: str | None,
    at: str | None,
    box: str | None,
    mask: Path | None,
    grid: Callable[[], Grid],
) -> PrescribeRequest | None:
    """What the options of `convert` ask for; `grid` opens that of the plan, for a mask to be compared with.

    Raises:
        typer.BadParameter: options that do not go together, or cannot be read.
        Surrogate3dError: the mask cannot be read, or is not on the grid of the runs.
    """
    from surrogate3d.io.prescribe import PrescribeRequest

    if prescribe is None:
        if at or box or mask:
            raise typer.BadParameter(
                "--at, --box and --mask say where a dose is prescribed; give --prescribe with them"
            )
        return None
    if box and mask:
        raise typer.BadParameter("--box and --mask exclude each other; give one of them")
    region = box_of(box) if box else _mask_on_grid(mask, grid()) if mask else None
    return PrescribeRequest(dose_gy(prescribe), at or "max", region, mask.name if mask else None)


def _mask_on_grid(path: Path, grid: Grid) -> npt.NDArray[np.bool_]:
    """The voxels of a mask image that are not 0, once its grid is that of the plan."""
    import numpy as np

    from surrogate3d.errors import PrescriptionError
    from surrogate3d.grid import quantity, turned_to
    from surrogate3d.io.images import read_image

    image = turned_to(read_image(path, quantity("mask")), grid)
    grid.require_same(image.grid, f"the plan and the mask {path.name}")
    inside = image.values != 0
    labels = np.unique(image.values[inside])
    if labels.size != 1 or not np.isfinite(labels).all():
        raise PrescriptionError(
            f"{path}: expected a mask of 0 and one other value, found {labels.size} others (fractions of voxels? "
            "several labels?); write it without --partial, or extract one label"
        )
    return np.asarray(inside)
