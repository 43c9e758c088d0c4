"""One scorer file of TOPAS to one image, placed in space and never guessed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import FormatError, GeometryError, QuantityError, UnsupportedError
from surrogate3d.grid import Grid, Volume
from surrogate3d.grid.geometry import IDENTITY
from surrogate3d.io.given import Cosines, Given, RowOrder
from surrogate3d.io.images import write_image
from surrogate3d.io.topas_curved import curved_bins, enclosing_grid, onto_box
from surrogate3d.io.topas_geometry import Placement, component_grid, curved_shape, given_grid
from surrogate3d.io.topas_grid import ScoredValues, decide_row_order, read_values
from surrogate3d.io.topas_header import Binning, ScorerHeader, read_header
from surrogate3d.io.topas_parameters import Parameters, read_parameters
from surrogate3d.io.topas_quantity import Meaning, quantity_of

Array = npt.NDArray[np.float64]

CONSERVED = 1e-3
"""Largest relative error of the integral of a cylinder or sphere on its box that is not remarked."""

_DENSITIES = ("Gy", "/mm2", "MeV/mm2")
_ADDITIVE = ("Sum", "Mean")
_UNDEFINED_AT_ZERO = ("LET", "LET_d", "LET_t", "RBE", "survival", "alpha", "beta")


@dataclass(frozen=True)
class ImageRequest:
    """What of a scorer becomes the image, and what its file does not say.

    Attributes:
        statistic: column of the file.
        bins: of a scorer with energy or time bins: "sum" (all, with underflow and overflow), "under", "over",
            "noincident", "N", or "N:M" (M not included); None without bins.
        parameters: parameter file of the run.
        origin_mm: without parameter file, centre of voxel (0, 0, 0), or of a cylinder or sphere, mm (LPS).
        direction: direction cosines, column `a` the unit vector of axis `a`.
        dicom_dir: folder of the CT of a TsDicomPatient.
        meaning: of an RBE scorer without unit.
        row_order: of a CSV without indices.
        spacing_mm: of the box for a cylinder or sphere.
        r_min_mm: inner radius of a cylinder or sphere, without parameter file.
        phi_start_deg: where its Phi begins.
        theta_start_deg: where the Theta of a sphere begins.
    """

    statistic: str = "Sum"
    bins: str | None = None
    parameters: Path | None = None
    origin_mm: tuple[float, float, float] | None = None
    direction: Cosines | None = None
    dicom_dir: Path | None = None
    meaning: Meaning | None = None
    row_order: RowOrder | None = None
    spacing_mm: float | None = None
    r_min_mm: float | None = None
    phi_start_deg: float | None = None
    theta_start_deg: float | None = None


def topas_image(path: Path, output: Path, request: ImageRequest, overwrite: bool = False) -> dict[str, Any]:
    """Write one statistic of one scorer as an image.

    NaN stands where TOPAS wrote -1 (outside the structure), and where a ratio such as LET has no denominator.

    Args:
        path: `.csv`, `.binheader`, or the `.bin` beside it.
        output: `.nii.gz`, `.nii`, `.mha` or `.nrrd`.
        request: what of it, and what the file does not say.
        overwrite: replace the image.

    Returns:
        Plain data: quantity, unit, grid, range and number of NaN, and notes.

    Raises:
        FormatError: the file is damaged, or lacks the statistic.
        GeometryError: where the values lie is not known, or contradicted.
        QuantityError: what the values mean is not known.
        UnsupportedError: a surface, or values that cannot be put onto a box.
        StoreError: the image exists, or the disk is full.
    """
    header_path = path.with_suffix(".binheader") if path.suffix.lower() == ".bin" else path
    header = read_header(header_path)
    if header.shape_kind == "surface":
        raise UnsupportedError(f"{path.name}: values on a surface ({header.component}) are no volume; no image is made")
    parameters = read_parameters(request.parameters) if request.parameters else None
    meaning = quantity_of(header, request.statistic, request.meaning, _weighting(header, parameters))
    scored = read_values(header_path, header, _row_order(header_path, header, request.row_order))
    values, bins = _selected(scored, request.statistic, request.bins)
    n_undefined = 0
    if meaning.name in _UNDEFINED_AT_ZERO:
        n_undefined = int((values == 0).sum())
        values = np.where(values == 0, np.nan, values)
    grid, values, notes = _placed(values, header, request, parameters)
    notes += _mismatch(header, n_undefined)
    write_image(Volume(grid, values, meaning), output, overwrite)
    if scored.n_missing:
        notes.append(f"{scored.n_missing} voxels left out by {header.sparse!r} are taken as 0")
    n_lost = int(((values != 0) & (values.astype(np.float32) == 0)).sum())
    if n_lost:
        notes.append(f"{n_lost} values are too small for the image's float32 and became 0")
    inside = values[np.isfinite(values)]
    return {
        "scorer": header.scorer,
        "quantity": meaning.name,
        "unit": meaning.unit,
        "definition": meaning.definition,
        "statistic": request.statistic,
        "bins": bins,
        "grid": grid.to_json(),
        "minimum": float(inside.min()) if inside.size else None,
        "maximum": float(inside.max()) if inside.size else None,
        "n_nan": int(np.isnan(values).sum()),
        "n_without_denominator": n_undefined,
        "notes": [*header.notes, *notes],
    }


def _mismatch(header: ScorerHeader, n_undefined: int) -> list[str]:
    """What TOPAS says about missing sub-scorers, where it is more than the zeros of the file show."""
    found = [re.search(r"set to 0 due to this mismatch: (\d+)", note) for note in header.notes]
    n = max((int(count[1]) for count in found if count), default=0)
    if not header.quantity.startswith("RBE_") or n <= n_undefined:
        return []
    return [
        f"TOPAS had no LET (or other part) in {n} voxels, but only {n_undefined} are 0 here: in the others it took 0 "
        "for the missing part, so mask them by the LET scorer"
    ]


def _weighting(header: ScorerHeader, parameters: Parameters | None) -> Literal["dose", "track"] | None:
    """Weighting of LET by the parameter file, where that has the scorer."""
    if header.quantity != "ProtonLET" or parameters is None or f"Sc/{header.scorer}/Quantity" not in parameters:
        return None
    said = parameters.string(f"Sc/{header.scorer}/WeightBy", "Dose").lower()
    if said not in ("dose", "track", "fluence"):
        raise QuantityError(
            f"{parameters.files[0].name}: WeightBy of {header.scorer} is {said!r}; expected Dose or Track"
        )
    return "dose" if said == "dose" else "track"


def _row_order(path: Path, header: ScorerHeader, given: RowOrder | None) -> RowOrder | None:
    if path.suffix.lower() == ".binheader" or header.binning is None:
        return None  # bytes and indices say where each value belongs
    return decide_row_order(header, path.name, given, [])


def _selected(scored: ScoredValues, statistic: str, bins: str | None) -> tuple[Array, str | None]:
    """(i, j, k) values, and the bins in words."""
    header, name = scored.header, scored.files[0].name
    if header.binning is None:
        if bins is not None:
            raise QuantityError(f"{name}: bins {bins!r} are asked for, but the scorer has none")
        return scored.column(statistic)[..., 0], None
    chosen, words = _columns(header.binning, bins, name)
    if chosen.stop - chosen.start > 1 and statistic not in _ADDITIVE:
        raise QuantityError(f"{name}: {statistic} of several bins does not add; choose one bin, or Sum or Mean")
    values = np.empty(header.shape)
    for k0, k1 in scored.slabs():
        values[:, :, k0:k1] = scored.energy_slab(k0, k1, statistic)[..., chosen].sum(axis=-1)
    return values, words


def _columns(binning: Binning, bins: str | None, name: str) -> tuple[slice, str]:
    """Columns of the file, of which the first is the underflow."""
    unit = "ns" if binning.mode == "Time" else "MeV"
    by_name = {"sum": slice(0, binning.n_columns), "under": slice(0, 1), "over": slice(binning.n + 1, binning.n + 2)}
    if binning.mode == "IncidentTrack":
        by_name["noincident"] = slice(binning.n + 2, binning.n + 3)
    if bins in by_name:
        return by_name[bins], {"sum": "all bins, with underflow and overflow"}.get(bins, bins)
    first, colon, last = (bins or "").partition(":")
    if not first.isdigit() or (colon and not last.isdigit()):
        raise QuantityError(
            f"{name}: has {binning.n} {binning.mode} bins; expected {', '.join(by_name)}, N or N:M, found {bins!r}"
        )
    begin, end = int(first), int(last) if colon else int(first) + 1
    if not 0 <= begin < end <= binning.n:
        raise QuantityError(f"{name}: bins {bins} are not within 0 to {binning.n}")
    low, high = binning.edges[begin], binning.edges[end]
    return slice(begin + 1, end + 1), f"{begin} to {end - 1}, {low:.6g} to {high:.6g} {unit}"


def _placed(
    values: Array, header: ScorerHeader, request: ImageRequest, parameters: Parameters | None
) -> tuple[Grid, Array, list[str]]:
    if parameters is not None and request.origin_mm is not None:
        raise GeometryError(f"{header.scorer}: its position is in the parameter file; do not give an origin too")
    if header.shape_kind in ("cylinder", "sphere"):
        return _on_a_box(values, header, request, parameters)
    curved = (request.spacing_mm, request.r_min_mm, request.phi_start_deg, request.theta_start_deg)
    if any(value is not None for value in curved):
        raise GeometryError(
            f"{header.scorer}: a {header.shape_kind} has its own voxels; radius, angles and spacing are "
            "for cylinders and spheres"
        )
    if parameters is not None:
        return component_grid(parameters, header, request.dicom_dir), values, []
    return given_grid(header, Given(origin_mm=request.origin_mm, direction=request.direction)), values, []


def _on_a_box(
    values: Array, header: ScorerHeader, request: ImageRequest, parameters: Parameters | None
) -> tuple[Grid, Array, list[str]]:
    if header.is_ratio or header.unit not in _DENSITIES or request.statistic not in _ADDITIVE:
        raise UnsupportedError(
            f"{header.scorer}: {request.statistic} of {header.quantity} in {header.unit} cannot be averaged over "
            f"voxels of another shape; only Sum and Mean in {', '.join(_DENSITIES)} can"
        )
    if request.spacing_mm is None:
        raise GeometryError(f"{header.scorer}: a {header.shape_kind} has no voxels of its own; give the spacing in mm")
    shape = curved_shape(parameters, header.component, request.dicom_dir) if parameters else None
    bins = curved_bins(
        header,
        shape,
        r_min_mm=request.r_min_mm,
        phi_start_deg=request.phi_start_deg,
        theta_start_deg=request.theta_start_deg,
    )
    if shape is None and request.origin_mm is None:
        raise GeometryError(
            f"{header.scorer}: without the parameter file its position is unknown; give the centre of the "
            f"{header.shape_kind} as origin"
        )
    cosines = np.asarray(request.direction or IDENTITY, dtype=float)
    placed = shape.placed if shape else Placement(np.asarray(request.origin_mm, dtype=float), cosines)
    grid = enclosing_grid(bins, placed, request.spacing_mm)
    if np.isnan(values).any():
        raise FormatError(f"{header.scorer}: masked bins (-1) cannot be shared out to voxels; score without the mask")
    on_box, coverage = onto_box(values, bins, grid, placed)
    notes = [
        f"{header.shape_kind} on a box: {int((coverage == 1).sum())} voxels are wholly inside; the others hold "
        "their share, 0 outside"
    ]
    scored = float((values * bins.volumes_mm3).sum())
    change = float(on_box.sum()) * grid.voxel_volume_mm3 / scored - 1 if scored else 0.0
    notes.append(
        f"the integral over the volume changed by {change:.1e}"
        + ("; take a smaller spacing" if abs(change) > CONSERVED else "")
    )
    return grid, on_box, notes
