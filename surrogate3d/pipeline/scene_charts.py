"""Histograms and depth profiles of a scene; of volumes on disk only the boxes and lines that they need are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import UnknownNameError
from surrogate3d.grid import Grid, Quantity
from surrogate3d.validation.histograms import volume_histogram
from surrogate3d.viewer.scene import Layer, Scene, Sliceable, Structure, Voxel

HISTOGRAMS = ("dose_to_water", "dose_to_medium", "D_RBE", "LET_d", "RBE")
PROFILES = ("dose_to_water", "dose_to_medium", "D_RBE", "RBE", "RBE_ref", "LET_d")


def histograms_of(
    layers: Sequence[Layer], structures: Sequence[Structure], grid: Grid, base: float | None, method: str
) -> tuple[tuple[dict[str, Any], ...], tuple[str, ...]]:
    """Histograms of all layers of `HISTOGRAMS` in all structures.

    Args:
        layers: of the scene.
        structures: of the scene.
        grid: of the scene.
        base: what V95 of doses is of, such as the prescribed dose; None leaves V95 out.
        method: whose maps these are, but for those of the group "input".

    Returns:
        Histograms as plain data, and what is wrong, in sentences.
    """
    found, wrong = list[dict[str, Any]](), list[str]()
    boxes = [(each, _box(each.fraction)) for each in structures]
    for layer in (layer for layer in layers if layer.name in HISTOGRAMS):
        meaning = Quantity(layer.name, layer.symbol, layer.unit, layer.definition)
        of = base if layer.unit.startswith("Gy") else None
        whose = "input" if layer.group == "input" else method
        for structure, box in boxes:
            values, fraction = np.asarray(layer.values[box]), np.asarray(structure.fraction[box])
            start, cm3 = (box[0].start, box[1].start, box[2].start), grid.voxel_volume_mm3 / 1000
            histogram, problems = volume_histogram(
                values, fraction, cm3, structure.name, meaning, whose, of, start=start
            )
            found += [] if histogram is None else [histogram.to_json()]
            wrong += [problem.sentence for problem in problems]
    return tuple(found), tuple(dict.fromkeys(wrong))


def _box(fraction: Sliceable) -> tuple[slice, slice, slice]:
    """The smallest box that holds a structure; one voxel if there is none."""
    inside = np.asarray(fraction[:, :, :]) > 0
    sides = []
    for axis in range(3):
        at = np.flatnonzero(inside.any(axis=tuple(other for other in range(3) if other != axis)))
        sides.append(slice(int(at[0]), int(at[-1]) + 1) if at.size else slice(0, 1))
    return sides[0], sides[1], sides[2]


def profiles_of(scene: Scene) -> tuple[dict[str, Any], ...]:
    """Values along the beam through the focus, each with the half width of its interval where that is known."""
    if scene.beam is None:
        return ()
    axis, sign = scene.beam
    depth = scene.grid.axis_mm(axis).tolist()
    found = []
    for layer in (layer for layer in scene.layers if layer.name in PROFILES):
        width = _half_width(scene, layer.name)
        series = {
            "name": layer.title,
            "kind": "dose" if layer.name.startswith("dose") else "judged",
            "values": _along(layer.values, scene.focus, axis, sign).tolist(),
            "half_width": None if width is None else _along(width.values, scene.focus, axis, sign).tolist(),
        }
        at = ", ".join(str(n) for other, n in enumerate(scene.focus) if other != axis)
        title = f"{layer.title} along the beam, through ({at}) of the other axes"
        said = {"title": title, "quantity": layer.name, "symbol": layer.symbol, "unit": layer.unit}
        found.append({**said, "depth_mm": depth, "series": [series]})
    return tuple(found)


def _half_width(scene: Scene, name: str) -> Layer | None:
    if name != "RBE_ref":
        return None
    try:
        return scene.layer("RBE_half_width")
    except UnknownNameError:
        return None


def _along(values: Sliceable, voxel: Voxel, axis: int, sign: int) -> npt.NDArray[np.float64]:
    """Values on the line through a voxel, from where the beam enters."""
    box: list[slice] = [slice(n, n + 1) for n in voxel]
    box[axis] = slice(None)
    line = np.asarray(values[tuple(box)], dtype=float).ravel()
    return line[::sign]
