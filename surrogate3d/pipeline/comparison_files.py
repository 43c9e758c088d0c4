"""A comparison of maps that lie in files: what is judged, what it is held against, and what stands beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from surrogate3d.errors import ConfigError, GeometryError, QuantityError
from surrogate3d.grid import Grid
from surrogate3d.io.field_store import describe
from surrogate3d.io.manifest import MANIFEST_NAME
from surrogate3d.pipeline.any_map import ReferenceMap, read_any_map
from surrogate3d.pipeline.comparison_context import Beam, Context
from surrogate3d.pipeline.judged_structures import structures_on
from surrogate3d.pipeline.map_comparison import MapComparison, compare_maps
from surrogate3d.pipeline.reference_maps import on_grid, read_reference
from surrogate3d.validation.acceptance import read_limits
from surrogate3d.validation.gamma import GAMMA_CRITERIA

_AXES = ("x", "y", "z")


@dataclass(frozen=True, kw_only=True)
class ComparisonRequest:
    """What is compared with what.

    Attributes:
        judged: paths as of `any_map.read_any_map`, each after "NAME=" or called as its file.
        reference: path of the reference, likewise.
        quantity: that all of them hold.
        dose: physical dose beside them; of a field store with spectra, the beam is taken, too.
        medium: what that dose is absorbed in.
        let: dose-averaged LET beside them.
        structures: as of `judged_structures.structures_on`.
        limits: file of acceptance limits; None takes those that come with the package.
        beam: index axis that the beam travels along, such as "+z" or "-y".
        base: value that V95 is of, in the unit of the quantity.
        resample: whether maps on another grid than the first judged one are carried over to it.
        criteria: of gamma, % of the largest reference value and mm.
    """

    judged: Sequence[str]
    reference: Path
    quantity: str
    dose: Path | None = None
    medium: Literal["water", "medium"] = "water"
    let: Path | None = None
    structures: Path | None = None
    limits: Path | None = None
    beam: str | None = None
    base: float | None = None
    resample: bool = False
    criteria: Sequence[tuple[float, float]] = GAMMA_CRITERIA


@dataclass(frozen=True, eq=False)
class FileComparison:
    """A comparison, and what it was read from.

    Attributes:
        found: the comparison.
        judged: the judged maps by name.
        request: what was asked for.
    """

    found: MapComparison
    judged: Mapping[str, ReferenceMap]
    request: ComparisonRequest

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        paths = _named(self.request.judged)
        judged = {
            name: {"path": str(paths[name]), "origin": each.origin, "sha256": each.sha256}
            for name, each in self.judged.items()
        }
        plain = self.found.to_json()
        return {**plain, "judged": judged, "reference": {"path": str(self.request.reference), **plain["reference"]}}


def compare_files(request: ComparisonRequest) -> FileComparison:
    """Compare maps.

    Raises:
        ConfigError: two judged maps of one name, a beam that is no axis, or limits that cannot be read.
        GridMismatchError: maps on several grids, and `resample` is not set.
        GeometryError: maps or structures in several frames of reference.
        QuantityError: a map holds another quantity, or only some of them are in Gy and not in a simulation's scale.
        Surrogate3dError: a file cannot be read; as of `compare_maps`.
    """
    limits = read_limits(request.limits)
    base = request.base
    if base is not None and not 0 < base < float("inf"):
        raise ConfigError(f"the value that V95 is of must be positive and finite, found {base:g}")
    judged = _judged(request)
    grid = next(iter(judged.values())).volume.grid
    reference = read_reference(request.reference, request.quantity, grid, request.resample)
    notes = _require_one_scale(judged, reference)
    found = compare_maps(
        {name: each.volume.values for name, each in judged.items()},
        reference,
        _context(request, grid, _frame(judged, reference)),
        request.criteria,
        limits,
    )
    return FileComparison(replace(found, notes=(*found.notes, *notes)), judged, request)


def _named(texts: Sequence[str]) -> dict[str, Path]:
    """Paths of the judged maps by name."""
    found: dict[str, Path] = {}
    for text in texts:
        name, equals, path = text.partition("=")
        if not equals or Path(text).exists():
            name, path = Path(text).resolve().name.split(".")[0], text
        if not name or not path or name in found:
            raise ConfigError(f"judged maps need names of their own, found {text!r} a second time; give NAME=PATH")
        found[name] = Path(path)
    return found


def _judged(request: ComparisonRequest) -> dict[str, ReferenceMap]:
    """The judged maps, all on the grid of the first."""
    paths = _named(request.judged)
    if not paths:
        raise ConfigError("there is no map to judge; give one or more")
    found = {name: read_any_map(path, request.quantity) for name, path in paths.items()}
    grid = next(iter(found.values())).volume.grid
    return {name: on_grid(each, grid, paths[name].name, request.resample) for name, each in found.items()}


def _frame(judged: Mapping[str, ReferenceMap], reference: ReferenceMap) -> str:
    """The one frame of reference that the maps are in, as far as they say it."""
    frames = {each.frame: name for name, each in {**judged, "the reference": reference}.items() if each.frame}
    if len(frames) > 1:
        raise GeometryError(f"{' and '.join(frames.values())} are in different frames of reference; register them")
    return next(iter(frames), "")


def _context(request: ComparisonRequest, grid: Grid, frame: str) -> Context:
    fractions, problems = structures_on(request.structures, grid, frame=frame)
    beside = {
        name: None if path is None else read_reference(path, name, grid, request.resample).volume
        for name, path in ((f"dose_to_{request.medium}", request.dose), ("LET_d", request.let))
    }
    dose, LET = beside.values()
    beam = _beam(request, grid)
    return Context(dose=dose, LET=LET, beam=beam, structures=fractions, base=request.base, problems=problems)


def _beam(request: ComparisonRequest, grid: Grid) -> Beam | None:
    """As given, else that of a field store, on the axes of the grid."""
    if request.beam is not None:
        sign, axis = request.beam[:1], request.beam[1:]
        if sign not in ("+", "-") or axis not in _AXES:
            raise ConfigError(f"the beam runs along an index axis such as +z or -y, found {request.beam!r}")
        return _AXES.index(axis), 1 if sign == "+" else -1
    if request.dose is None or not (request.dose / MANIFEST_NAME).is_file():
        return None
    about = describe(request.dose)
    if about.get("beam_axis") is None:
        return None
    own = Grid.from_json(about["grid"])
    travel = about["beam_sign"] * np.asarray(own.direction, dtype=float)[:, about["beam_axis"]]
    along = np.asarray(grid.direction, dtype=float).T @ travel
    nearest = int(np.abs(along).argmax())
    return nearest, 1 if along[nearest] > 0 else -1


def _require_one_scale(judged: Mapping[str, ReferenceMap], reference: ReferenceMap) -> tuple[str, ...]:
    """Refuse a dose in Gy against one in the scale of a simulation."""
    scales = {name: each.absolute for name, each in {**judged, "the reference": reference}.items()}
    if len(set(scales.values())) > 1:
        loose = next(name for name, absolute in scales.items() if not absolute)
        raise QuantityError(
            f"{loose} is a dose in arbitrary scale, and others are in Gy; convert it with `surrogate3d convert "
            "--prescribe`, and compare the field store"
        )
    return () if reference.absolute else ("all doses are in arbitrary scale, taken to be the same one",)
