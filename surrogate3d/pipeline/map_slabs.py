"""Maps of a field, slab by slab along k: each as soon as its tiles are answered, so that none is held whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import numpy.typing as npt

from surrogate3d.grid import Field
from surrogate3d.inference.maps import (
    EVERYWHERE,
    PRESCRIBED,
    Fractionation,
    VoxelCurves,
    derive_values,
    require_on_ladder,
    require_own_on_ladder,
)
from surrogate3d.inference.spectrum_distance import SpectrumFeatures
from surrogate3d.inference.tile_predictor import TileAnswer, TilePredictor
from surrogate3d.inference.tiles import Box, Tile
from surrogate3d.physics.cell_line import CellLine

Single = npt.NDArray[np.float32]

_EMPTY_PLANES = 32  # at a time, where nothing is answered


@dataclass(frozen=True)
class MapsWanted:
    """One set of maps of a field.

    Attributes:
        line: cell line.
        fractionation: fraction dose and number.
        names: of the maps, as `inference.maps.wanted` allows them.
    """

    line: CellLine
    fractionation: Fractionation
    names: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Slab:
    """Some planes of a field, complete.

    Attributes:
        k0: the first plane.
        mask: (i, j, n) voxels that are answered.
        out_of_domain: (i, j, n) those of which the training says nothing.
        maps: of each set that is wanted, (i, j, n) by name.
        strange: features of some voxels that are out of the domain.
    """

    k0: int
    mask: npt.NDArray[np.bool_]
    out_of_domain: npt.NDArray[np.bool_]
    maps: tuple[dict[str, Single], ...]
    strange: tuple[SpectrumFeatures, ...] = ()

    @property
    def end(self) -> int:
        """The plane behind the last."""
        return self.k0 + int(self.mask.shape[2])

    def after(self, plane: int) -> Slab:
        """What of it begins at a plane."""
        cut = max(0, plane - self.k0)
        maps = tuple({name: values[..., cut:] for name, values in each.items()} for each in self.maps)
        return Slab(self.k0 + cut, self.mask[..., cut:], self.out_of_domain[..., cut:], maps, self.strange)


def slabs(predictor: TilePredictor, wanted: Sequence[MapsWanted], start: int = 0) -> Iterator[Slab]:
    """Predict the maps of a field.

    Args:
        predictor: of the field, for all lines that are wanted.
        wanted: sets of maps; those of one line and other fractions cost little.
        start: plane from which slabs are wanted.

    Yields:
        Slabs that follow each other from `start` to the last plane.
    """
    field, done = predictor.field, start
    for each in wanted:
        _require_on_ladder(predictor, each)
    for planes, tiles in _by_planes([tile for tile in predictor.tiles if tile.core[2].stop > start]):
        yield from _empty(field, wanted, done, planes.start)
        slab = _slab(predictor, wanted, planes, tuple(predictor.answers(tiles))).after(done)
        yield slab
        done = slab.end
    yield from _empty(field, wanted, done, field.grid.shape[2])


def _require_on_ladder(predictor: TilePredictor, wanted: MapsWanted) -> None:
    """Refuse doses that were never simulated before a tile is answered: an error then speaks of all voxels."""
    how = wanted.fractionation
    require_on_ladder(how.fraction_dose_gy, predictor.doses)
    if any(name in PRESCRIBED for name in wanted.names):
        require_own_on_ladder(predictor.field.dose[predictor.mask], how.fractions, predictor.doses)


def _by_planes(tiles: Sequence[Tile]) -> Iterator[tuple[slice, list[Tile]]]:
    for (first, last), group in groupby(tiles, key=lambda tile: (tile.core[2].start, tile.core[2].stop)):
        yield slice(first, last), list(group)


def _slab(
    predictor: TilePredictor, wanted: Sequence[MapsWanted], planes: slice, answers: tuple[TileAnswer, ...]
) -> Slab:
    mask = predictor.mask[..., planes]
    outside = np.zeros(mask.shape, dtype=bool)
    maps = tuple({name: np.full(mask.shape, np.nan, np.float32) for name in each.names} for each in wanted)
    for answer in answers:
        at = tuple((answer.voxels - [0, 0, planes.start]).T)
        outside[at] = answer.outside
        for each, found in zip(wanted, maps, strict=True):
            for name, values in _values(predictor, answer, each).items():
                found[name][at] = values
    everywhere = {"mask": mask, "out_of_domain": outside}
    for found in maps:
        found.update({name: everywhere[name].astype(np.float32) for name in EVERYWHERE if name in found})
    strange = tuple(answer.strange for answer in answers if answer.strange is not None)
    return Slab(planes.start, mask, outside, maps, strange)


def _values(predictor: TilePredictor, answer: TileAnswer, wanted: MapsWanted) -> Mapping[str, Single]:
    curve = answer.lines[wanted.line]
    dose = None
    if any(name in PRESCRIBED for name in wanted.names):
        dose = predictor.field.dose[tuple(answer.voxels.T)]
    curves = VoxelCurves(predictor.doses, curve.effect, curve.relative_std, curve.interval, dose)
    names = [name for name in wanted.names if name not in EVERYWHERE]
    return derive_values(curves, wanted.line, wanted.fractionation, names)


def _empty(field: Field, wanted: Sequence[MapsWanted], first: int, last: int) -> Iterator[Slab]:
    """Planes in which nothing is answered."""
    for k in range(first, last, _EMPTY_PLANES):
        shape = (*field.grid.shape[:2], min(_EMPTY_PLANES, last - k))
        nothing = np.zeros(shape, dtype=bool)
        maps = tuple(
            {name: np.full(shape, 0.0 if name in EVERYWHERE else np.nan, np.float32) for name in each.names}
            for each in wanted
        )
        yield Slab(k, nothing, nothing, maps)


def maps_of_box(predictor: TilePredictor, wanted: MapsWanted, box: Box) -> dict[str, Single]:
    """(i, j, k) values of all maps in a box, from no more of the field than they depend on."""
    _require_on_ladder(predictor, wanted)
    asked = np.zeros(predictor.mask.shape, dtype=bool)
    asked[box] = predictor.mask[box]
    mask = asked[box]
    found = {name: np.full(mask.shape, np.nan, np.float32) for name in wanted.names}
    outside = np.zeros(mask.shape, dtype=bool)
    for answer in predictor.answers(predictor.tiles_of(asked)):
        own = np.all([(at >= s.start) & (at < s.stop) for at, s in zip(answer.voxels.T, box, strict=True)], axis=0)
        at = tuple((answer.voxels[own] - [s.start for s in box]).T)
        outside[at] = answer.outside[own]
        for name, values in _values(predictor, answer, wanted).items():
            found[name][at] = values[own]
    everywhere = {"mask": mask, "out_of_domain": outside}
    return found | {name: everywhere[name].astype(np.float32) for name in EVERYWHERE if name in found}


def whole_maps(predictor: TilePredictor, wanted: MapsWanted) -> Slab:
    """All planes at once."""
    parts = list(slabs(predictor, [wanted]))
    mask, outside = (np.concatenate([getattr(p, name) for p in parts], axis=2) for name in ("mask", "out_of_domain"))
    maps = {name: np.concatenate([part.maps[0][name] for part in parts], axis=2) for name in wanted.names}
    return Slab(0, mask, outside, (maps,), tuple(each for part in parts for each in part.strange))
