"""The scene of a report: what was predicted, what it was judged against, and where."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.direct.task import VoxelResponse
from surrogate3d.grid import Field, Grid, Quantity, Volume, quantity
from surrogate3d.grid.colours import STRUCTURES
from surrogate3d.inference.curves import CurveMap
from surrogate3d.physics.cell_line import CellLine
from surrogate3d.physics.mixing import MonoTable
from surrogate3d.pipeline.scene_layers import layer_of
from surrogate3d.pipeline.scene_voxels import curve_voxels
from surrogate3d.report.content import DirectPoints, ReportContent
from surrogate3d.viewer.scene import Isodose, Layer, Point, Scene, Structure

Floats = npt.NDArray[np.floating]

SURROGATE = "surrogate"

Line = tuple[str, str, Floats, Floats | None]
"""Name, kind, map, and map of the half width of its interval."""


def report_scene(
    content: ReportContent,
    field: Field,
    curves: CurveMap,
    line: CellLine,
    table: MonoTable,
    *,
    structures: Mapping[str, Floats] | None = None,
    responses: Sequence[VoxelResponse] = (),
    histograms: Sequence[Mapping[str, Any]] = (),
    profiles: Sequence[Mapping[str, Any]] = (),
    ct: Volume | None = None,
    more: Sequence[tuple[Volume, str, str]] = (),
) -> Scene:
    """What the viewer of a report shows.

    Args:
        content: maps, reference, methods and points of the report.
        field: the judged field, for its spectra.
        curves: the surrogate's survival curves.
        line: cell line.
        table: its mono-energetic table.
        structures: (i, j, k) fraction of each voxel that is inside, by name.
        responses: of the directly simulated voxels, for their survival curves.
        histograms: plain data of volume histograms.
        profiles: plain data of depth profiles.
        ct: on the grid of the maps.
        more: further volumes with title and group of their layers.
    """
    return Scene(
        title=content.title,
        grid=content.grid,
        focus=content.focus,
        layers=(*_layers(content, curves, ct), *(_further(*each) for each in more)),
        beam=None if field.several_directions else (field.beam_axis, field.beam_sign),
        structures=tuple(
            Structure(name, fraction, STRUCTURES[n % len(STRUCTURES)])
            for n, (name, fraction) in enumerate((structures or {}).items())
        ),
        points=() if content.points is None else tuple(_points(content.points, curves.doses, responses)),
        isodose=Isodose(content.dose.quantity.name, content.isodose_base_gy, content.dose.quantity.unit),
        histograms=tuple(histograms),
        profiles=tuple(profiles),
        voxels=curve_voxels(curves, field, (line.alpha_x, line.beta_x), table, content.conditions.fractions),
    )


def _layers(content: ReportContent, curves: CurveMap, ct: Volume | None) -> Iterator[Layer]:
    yield from (layer_of(volume.quantity, volume.values, name=name) for name, volume in content.maps.items())
    yield layer_of(quantity("out_of_domain"), curves.out_of_domain.astype(np.float32))
    RBE = content.maps["RBE"].quantity
    if content.reference is not None:
        known = np.where(content.known_reference, content.reference, np.nan).astype(np.float32)
        said = replace(RBE, definition=content.reference_origin)
        yield layer_of(said, known, name="reference", title="RBE, reference", group="reference")
    for name, values in content.errors_percent().items():
        told = Quantity("error", "error", "%", f"relative error of the RBE of {name}, against the reference")
        yield layer_of(
            told,
            values.astype(np.float32),
            name=f"error, {name}",
            title=f"Error of RBE, {name}",
            group="error",
            colours="balance",
            symmetric=True,
            window=_about_zero(content.errors_percent()),
        )
    if ct is not None:
        yield layer_of(ct.quantity, ct.values, window=(-160.0, 240.0))


def _further(volume: Volume, title: str, group: str) -> Layer:
    said: dict[str, Any] = {"name": title, "title": title, "group": group}
    if group == "error":
        said |= {"colours": "balance", "symmetric": True, "window": _about_zero({title: volume.values})}
    finite = np.where(np.isfinite(volume.values), volume.values, np.nan)  # what is infinite is named as a problem
    return layer_of(volume.quantity, finite, **said)


def _about_zero(errors: Mapping[str, Floats]) -> tuple[float, float]:
    """One window for the errors of all methods, so that their colours compare; any where there is no error."""
    known = [np.abs(each[np.isfinite(each)]) for each in errors.values()]
    largest = max((float(np.percentile(each, 99)) for each in known if each.size), default=0.0) or 1.0
    return -largest, largest


def _points(points: DirectPoints, doses: Floats, responses: Sequence[VoxelResponse]) -> Iterator[Point]:
    alike = (each for each in responses if len(each.doses) == len(doses) and np.allclose(each.doses, doses))
    by_voxel = {tuple(each.voxel): each for each in alike}
    for index, RBE, se, held_out in zip(points.index, points.RBE, points.standard_error, points.held_out, strict=True):
        voxel = (int(index[0]), int(index[1]), int(index[2]))
        found = by_voxel.get(voxel)
        yield Point(
            voxel,
            {"RBE": float(RBE), "RBE_se": float(se)},
            bool(held_out),
            None if found is None else tuple(found.effect),
            None if found is None else tuple(found.effect_se),
        )


def RBE_profiles(content: ReportContent) -> tuple[dict[str, Any], ...]:
    """Dose, LET_d and RBE of all methods on the line along the beam through the focus, for the viewer's charts."""
    shown: dict[str, list[Line]] = {
        name: [(volume.quantity.symbol, "dose", volume.values, None)] for name, volume in _inputs(content)
    }
    series: list[Line] = []
    width = content.maps["RBE_half_width"].values if "RBE_half_width" in content.maps else None
    series.append((SURROGATE, "judged", content.RBE, width))
    if content.reference is not None and not content.sparse_reference:
        series.append(("reference", "reference", np.where(content.known_reference, content.reference, np.nan), None))
    methods = {**content.methods, **content.published_models}
    series += [(name, "baseline", np.where(content.mask, each, np.nan), None) for name, each in methods.items()]
    return tuple(
        _profile(content, content.maps[name].quantity, lines) for name, lines in {"RBE": series, **shown}.items()
    )


def _inputs(content: ReportContent) -> Iterator[tuple[str, Volume]]:
    for name in (content.dose.quantity.name, "LET_d"):
        if name in content.maps:
            yield name, content.maps[name]


def _profile(content: ReportContent, meaning: Quantity, lines: Sequence[Line]) -> dict[str, Any]:
    axis, sign = content.beam_axis, content.beam_sign
    at = ", ".join(str(n) for other, n in enumerate(content.focus) if other != axis)
    return {
        "title": f"{meaning.symbol} along the beam, through ({at}) of the other axes",
        "quantity": meaning.name,
        "symbol": meaning.symbol,
        "unit": meaning.unit,
        "depth_mm": _depths(content.grid, axis),
        "series": [
            {
                "name": name,
                "kind": kind,
                "values": _along(values, content.focus, axis, sign),
                "half_width": None if width is None else _along(width, content.focus, axis, sign),
            }
            for name, kind, values, width in lines
        ],
    }


def _depths(grid: Grid, axis: int) -> list[float]:
    return [float(depth) for depth in grid.axis_mm(axis)]


def _along(values: Floats, voxel: tuple[int, int, int], axis: int, sign: int) -> list[float]:
    line: list[int | slice] = list(voxel)
    line[axis] = slice(None, None, sign)
    return [float(value) for value in values[tuple(line)]]
