"""A field on another grid: conserving resampling, and exact cropping."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import GeometryError, GridMismatchError, ValueRangeError
from surrogate3d.grid.field import DoseField, Field
from surrogate3d.grid.geometry import Grid
from surrogate3d.grid.overlap import Overlap, overlap
from surrogate3d.grid.quantity import quantity
from surrogate3d.grid.spectrum import Spectra
from surrogate3d.grid.summed import (
    Outside,
    Part,
    main_axis,
    require_physical,
    summed_dose,
    summed_spectra,
    summed_tracks,
    summed_volumes,
)
from surrogate3d.grid.volume import Volume, VolumeSet

Array = npt.NDArray[np.floating]
AnyField = TypeVar("AnyField", bound=DoseField)
Box = tuple[tuple[int, int, int], tuple[int, int, int]]

STD_REMARK = "dose_std is that of the mean of independent voxels; target voxels that share a source voxel are not"


def resample_field(field: AnyField, grid: Grid, outside: Outside = "refuse") -> AnyField:
    """Carry a field to another grid.

    Dose, fluence of every bin, halves and doses of beams are volume-weighted means, so that their integrals over the
    volume are kept; LET is weighted (LET_d by dose, LET_t by fluence). Exact where the grids' axes are parallel.
    Volumes that are made from dose and spectra (`summed.FROM_SPECTRA`) are to be made anew, and not in the result.

    Args:
        field: with spectra or without; its precision is kept.
        grid: where it shall lie.
        outside: what to do with voxels that reach outside the field's grid, where its dose is not known: "refuse";
            "nan" leaves them without a dose (fluence, which must be a number, is 0 there); "zero" takes it to be none.

    Returns:
        The field on `grid`, of the same type; the same values where the grids are the same. Whether the map was exact,
        the share of `grid` inside the field's (`coverage`) and what was left out stand in its provenance under
        "changes".

    Raises:
        GridMismatchError: voxels reach outside the field's grid and `outside` is "refuse", or all do.
        QuantityError: the field holds responses of cells, or a quantity that is not known to add.
    """
    require_physical(field, "the field")
    way = overlap(field.grid, grid)
    if way.identity:
        return field
    _require_covered(way, outside)
    changes, notes = _carried(field, Part(field, way, outside=outside))
    about = {"change": "resample", "from": field.grid.to_json(), "exact": way.exact, "outside": outside}
    inside = {"coverage": float(way.coverage.mean()), "remarks": notes}
    return replace(field, **changes, provenance=with_change(field, {**about, **inside}))


def _carried(field: DoseField, part: Part) -> tuple[dict[str, Any], list[str]]:
    """What changes in a field, and what is to be said about it."""
    volumes, left_out = summed_volumes([part])
    notes = [*left_out, *([STD_REMARK] if "dose_std" in volumes else [])]
    kept = {n: words for n, words in field.let_definitions.items() if n in volumes or n not in field.volumes}
    changes: dict[str, Any] = {
        "grid": part.overlap.target,
        "beams_dose": tuple(summed_dose([part], [dose]) for dose in field.beams_dose),
        "let_definitions": kept,
    }
    if isinstance(field, Field):
        changes |= _with_spectra(field, part)
        if "tracks" in field.volumes:
            volumes["tracks"] = Volume(part.overlap.target, summed_tracks([part]), quantity("tracks"))
    return {**changes, "volumes": VolumeSet(part.overlap.target, volumes)}, notes


def _with_spectra(field: Field, part: Part) -> dict[str, Any]:
    axis, sign = main_axis(field, part.overlap.target)
    return {
        "spectra": summed_spectra([part], [field.spectra]),
        "halves": tuple(summed_spectra([part], [half]) for half in field.halves),
        "halves_dose": tuple(summed_dose([part], [dose]) for dose in field.halves_dose),
        "beam_axis": axis,
        "beam_sign": sign,
    }


def _require_covered(way: Overlap, outside: Outside) -> None:
    missing = int((~way.covered).sum())
    if not way.coverage.any():
        raise GridMismatchError("the wanted grid and that of the field do not touch; check both positions (LPS, mm)")
    if outside == "refuse" and missing:
        raise GridMismatchError(
            f"{missing} of {way.target.n_voxels} voxels of the wanted grid reach outside the field's grid, where its "
            "dose is not known; take a smaller grid, or say that it is zero there or shall be NaN"
        )


def with_change(field: DoseField, change: dict[str, Any]) -> dict[str, Any]:
    """The provenance of a field that was changed once more."""
    return {**field.provenance, "changes": [*field.provenance.get("changes", []), change]}


def regridded(grid: Grid, spacing_mm: tuple[float, float, float]) -> Grid:
    """The largest grid of other voxels that lies inside a grid, in its middle.

    Raises:
        GeometryError: a voxel would be larger than the whole grid.
    """
    old, new = np.array(grid.spacing_mm), np.array(spacing_mm, dtype=float)
    if not np.isfinite(new).all() or (new <= 0).any():
        raise GeometryError(f"voxel spacing must be three positive lengths in mm, found {spacing_mm}")
    i, j, k = (int(n) for n in np.floor(np.array(grid.shape) * old / new + 1e-6))
    if min(i, j, k) < 1:
        extent = " x ".join(f"{n * s:g}" for n, s in zip(grid.shape, grid.spacing_mm, strict=True))
        raise GeometryError(f"voxels of {spacing_mm} mm do not fit into a grid of {extent} mm")
    first = (np.array(grid.shape) - 1) / 2 - (np.array((i, j, k)) - 1) / 2 * new / old
    x, y, z = grid.position_mm(first).tolist()
    return Grid((i, j, k), (float(new[0]), float(new[1]), float(new[2])), (x, y, z), grid.direction)


def crop_field(field: AnyField, box: Box) -> AnyField:
    """Cut a box out of a field, exactly.

    Args:
        field: with spectra or without.
        box: ((i0, j0, k0), (i1, j1, k1)), half-open.

    Raises:
        GeometryError: the box is empty or leaves the grid.
    """
    low, high = box
    if any(not 0 <= a < b <= n for a, b, n in zip(low, high, field.grid.shape, strict=True)):
        raise GeometryError(f"box {low}-{high} is empty or leaves the grid {field.grid.shape}; ends are not included")
    inside = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    i, j, k = (b - a for a, b in zip(low, high, strict=True))
    x, y, z = field.grid.position_mm(low).tolist()
    grid = replace(field.grid, shape=(i, j, k), origin_mm=(x, y, z))

    def cut(values: Array) -> Array:
        return np.ascontiguousarray(values[..., inside[0], inside[1], inside[2]])

    change = {"change": "crop", "from": field.grid.to_json(), "box": [list(low), list(high)]}
    return replace(field, **_cut(field, grid, cut), provenance=with_change(field, change))


def _cut(field: DoseField, grid: Grid, cut: Callable[[Array], Array]) -> dict[str, Any]:
    def spectra(each: Spectra) -> Spectra:
        return Spectra(each.axes, cut(each.fluence), cut(each.underflow), cut(each.overflow))

    volumes = {name: Volume(grid, cut(volume.values), volume.quantity) for name, volume in field.volumes.items()}
    changes: dict[str, Any] = {
        "grid": grid,
        "volumes": VolumeSet(grid, volumes),
        "beams_dose": tuple(cut(dose) for dose in field.beams_dose),
    }
    if isinstance(field, Field):
        changes |= {
            "spectra": spectra(field.spectra),
            "halves": tuple(spectra(half) for half in field.halves),
            "halves_dose": tuple(cut(dose) for dose in field.halves_dose),
        }
    return changes


def box_above(field: DoseField, fraction: float, margin_mm: float = 0.0) -> Box:
    """The smallest box with all voxels of at least a fraction of the largest dose, and a margin where the grid has it.

    Raises:
        ValueRangeError: the fraction is not in (0, 1], the margin is negative, or there is no dose.
    """
    if not 0 < fraction <= 1:
        raise ValueRangeError(f"the fraction of the largest dose must be above 0 and at most 1, found {fraction:g}")
    if not np.isfinite(margin_mm) or margin_mm < 0:
        raise ValueRangeError(f"the margin must be a length in mm and not negative, found {margin_mm:g}")
    dose = np.nan_to_num(field.dose, nan=0.0)
    if not dose.max() > 0:
        raise ValueRangeError("the field has no dose in any voxel; there is nothing to crop to")
    from scipy.ndimage import find_objects  # here, as it is slow to load

    (found,) = find_objects((dose >= fraction * dose.max()).astype(np.int8))
    margin = [int(np.ceil(margin_mm / s - 1e-9)) for s in field.grid.spacing_mm]
    i, j, k = (
        (max(0, part.start - m), min(n, part.stop + m))
        for part, m, n in zip(found, margin, field.grid.shape, strict=True)
    )
    return (i[0], j[0], k[0]), (i[1], j[1], k[1])
