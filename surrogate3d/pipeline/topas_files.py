"""Any one file of TOPAS: what it is and what it holds, without converting a run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from surrogate3d.errors import FormatError, StoreError
from surrogate3d.io.given import RowOrder
from surrogate3d.io.topas_geometry import seed
from surrogate3d.io.topas_grid import ScoredValues, decide_row_order, outside_shares, read_values
from surrogate3d.io.topas_header import ScorerHeader, header_lines, is_topas_header, parse_header
from surrogate3d.io.topas_microdosimetry import part_of, read_particles, read_spectrum, read_ydy
from surrogate3d.io.topas_ntuple import describe_ntuple, is_ntuple
from surrogate3d.io.topas_parameters import read_parameters

_ASSIGNMENT = re.compile(rb"^\s*[a-z]{1,2}c?:[A-Za-z]+/.+=", re.MULTILINE)
_SUSPECT_MODE = "IncidentTrack"


def describe_files(paths: Sequence[Path], row_order: RowOrder | None = None) -> list[dict[str, Any]]:
    """Describe several files.

    Raises:
        Surrogate3dError: as `describe_file`, for the first that fails.
    """
    return [describe_file(path, row_order) for path in paths]


def describe_file(path: Path, row_order: RowOrder | None = None) -> dict[str, Any]:
    """Say what a file of TOPAS is.

    Args:
        path: any output; a `.bin` or `.phsp` is described by the header beside it.
        row_order: of a CSV without indices, where the user knows it.

    Returns:
        Plain data; "kind" is "scorer", "volume histogram", "phase space", "ntuple", "lineal energy spectrum", "lineal
        energy by particle", "lineal energy y d(y)", "parameters" or "DICOM", and "notes" what a reader should know.

    Raises:
        StoreError: there is no such file.
        FormatError: not a file of TOPAS, or a damaged one.
    """
    if not path.is_file():
        raise StoreError(f"no file at {path}; check the path")
    if path.suffix.lower() == ".bin":
        path = _header_of(path)
    if _is_dicom(path):
        note = "DICOM output has no statistics and integer values; score the same quantity as binary or csv too"
        return {"file": path.name, "kind": "DICOM", "notes": [note]}
    if is_ntuple(path):
        return _ntuple(path)
    if part_of(path) is not None:
        return _lineal_energy(path)
    lines = header_lines(path)
    if any("Results for Scorer:" in line or " Volume Histogram over " in line for line in lines):
        note = "a volume histogram (bin, lower limit, value), not values of voxels; read the scorer's own file"
        return {"file": path.name, "kind": "volume histogram", "notes": [note]}
    if not is_topas_header(lines) and _ASSIGNMENT.search(path.read_bytes()):
        return _parameter_file(path)
    if not is_topas_header(lines):
        raise FormatError(
            f"{path.name}: not a file of TOPAS: expected the header of a scorer, phase space or ntuple, a spectrum of "
            "the microdosimetry extension, or parameters"
        )
    return _scorer(path, parse_header(lines, path.name), row_order)


def _parameter_file(path: Path) -> dict[str, Any]:
    """What a run scores; without its outputs nothing is placed."""
    parameters = read_parameters(path)
    names = [p.name.split("/")[1] for p in parameters if re.fullmatch(r"sc/[^/]+/quantity", p.name.lower())]
    scorers = {
        name: {key: parameters.string(f"Sc/{name}/{key}", "") for key in ("Quantity", "Component")} for name in names
    }
    return {
        "file": path.name,
        "kind": "parameters",
        "files": [each.name for each in parameters.files],
        "scorers": scorers,
        "seed": seed(parameters),
        "notes": [],
    }


def _header_of(path: Path) -> Path:
    header = path.with_suffix(".binheader")
    if not header.is_file():
        raise FormatError(f"{path.name}: expected {header.name} beside it, found none; numbers alone say nothing")
    return header


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def _ntuple(path: Path) -> dict[str, Any]:
    found = describe_ntuple(path)
    data = {key: value for key, value in asdict(found).items() if key not in ("path", "data_file")}
    data["columns"] = [asdict(column) for column in found.columns]
    data["n_by_particle"] = dict(found.n_by_particle)
    data["energy_range_mev"] = {name: [low, high] for name, low, high in found.energy_range_mev}
    data["checked"] = found.data_file is not None
    return {"file": path.name, **data, "notes": list(found.notes)}


def _lineal_energy(path: Path) -> dict[str, Any]:
    part = part_of(path)
    if part == "particles":
        table = read_particles(path)
        n_nan = {name: int(np.isnan(values).sum()) for name, values in table.items() if np.isnan(values).any()}
        notes = ["y d(y) by particle; its spectrum is in ySpecfile.txt"]
        kind = "lineal energy by particle"
        return {"file": path.name, "kind": kind, "particles": list(table), "n_nan": n_nan, "notes": notes}
    if part == "ydy":
        n = int(np.count_nonzero(read_ydy(path)))
        notes = ["y d(y) alone; f(y), means and deviations are in ySpecfile.txt"]
        return {"file": path.name, "kind": "lineal energy y d(y)", "bins_with_events": n, "notes": notes}
    found = read_spectrum(path)
    filled = np.flatnonzero(found.f_y)
    edges = found.edges_kev_um
    return {
        "file": path.name,
        "kind": "lineal energy spectrum",
        "y_F": found.y_F,
        "y_F_std": found.y_F_std,
        "y_D": found.y_D,
        "y_D_std": found.y_D_std,
        "unit": "keV/um",
        "bins": len(found.f_y),
        "bins_with_events": len(filled),
        "range_kev_um": [float(edges[filled[0]]), float(edges[filled[-1] + 1])] if len(filled) else None,
        "particles": list(found.particles),
        "n_nan": dict(found.n_nan),
        "files": [each.name for each in found.files],
        "notes": ["one counter of one run, not a voxel grid", *found.notes],
    }


def _scorer(path: Path, header: ScorerHeader, row_order: RowOrder | None) -> dict[str, Any]:
    order, how = _row_order(path, header, row_order)
    # Any order will do for sums over all voxels.
    scored = read_values(path, header, order or "x_fastest")
    if scored.row_order is not None:
        how = f"{scored.row_order}, by its indices"
    binning = header.binning
    return {
        "file": path.name,
        "kind": "scorer",
        "topas_version": header.version,
        "parameter_file": header.parameter_file,
        "scorer": header.scorer,
        "quantity": header.quantity,
        "unit": header.unit,
        "is_ratio": header.is_ratio,
        "component": header.component,
        "shape_kind": header.shape_kind,
        "shape": list(header.shape),
        "axes": [asdict(axis) for axis in header.axes],
        "statistics": list(header.columns),
        "filters": [{"parameter": name, "value": value} for name, value in header.filters],
        "binning": None if binning is None else asdict(binning) | {"logarithmic": binning.is_logarithmic},
        "outside_bins": _shares(scored),
        "row_order": how,
        "sparse": header.sparse,
        "n_missing": scored.n_missing,
        "notes": [*header.notes, *_notes(header)],
    }


def _row_order(path: Path, header: ScorerHeader, given: RowOrder | None) -> tuple[RowOrder | None, str]:
    if path.suffix.lower() == ".binheader":
        return None, "x_fastest, as every .bin"
    if header.binning is None:
        return None, "by its indices"
    try:
        order = decide_row_order(header, path.name, given, [])
    except FormatError:
        return None, "not known: rows have no indices, and this TOPAS version does not tell; give --row-order"
    if order is None:
        return None, "of no consequence: the voxels are a line"
    return order, f"{order}, {'as given' if given else f'by TOPAS {header.version}'} (rows have no indices)"


def _shares(scored: ScoredValues) -> dict[str, float]:
    if scored.header.is_ratio or "Sum" not in scored.header.columns:
        return {}
    return outside_shares(scored)


def _notes(header: ScorerHeader) -> list[str]:
    notes = []
    if header.shape_kind in ("box", "single"):
        notes.append("position and orientation are not in the file; they are in the parameter file")
    if header.shape_kind in ("cylinder", "sphere"):
        notes.append("RMin, starting angles and position are not in the file; they are in the parameter file")
    if header.is_ratio:
        notes.append("a ratio: only Sum holds it, and 0 means that there is no denominator")
    if header.is_ratio and header.binning:
        notes.append("TOPAS does not divide a ratio in bins: these are numerators")
    if header.quantity == "ProtonLET":
        notes.append(
            "whether LET is dose- or track-averaged is not in the file; it is in the parameter file (WeightBy)"
        )
    if header.quantity.startswith("RBE_") and header.unit == "1":
        notes.append("RBE or surviving fraction: the file does not tell which")
    if header.binning and header.binning.mode == _SUSPECT_MODE:
        notes.append("binned by the energy on entering the whole component, not in the voxel")
    return notes
