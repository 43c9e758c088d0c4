"""The answers of a model for a field, tile by tile: what holds for all tiles is found once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from surrogate3d.errors import BundleError, QuantityError, ValueRangeError
from surrogate3d.grid import Field
from surrogate3d.grid.regions import region_names
from surrogate3d.inference.answerable import MIN_DOSE_FRACTION, faulty, irradiated
from surrogate3d.inference.compute import Compute
from surrogate3d.inference.deviation import interval_of, whole_answer
from surrogate3d.inference.domain import require_counts, require_described_fit, unknown_because
from surrogate3d.inference.spectrum_distance import SpectrumFeatures, features_of_sums
from surrogate3d.inference.spectrum_domain import SpectrumDomain
from surrogate3d.inference.spectrum_sums import REACH as DOMAIN_REACH
from surrogate3d.inference.steady_regions import steady_masks
from surrogate3d.inference.table_answers import REACH as TABLE_REACH
from surrogate3d.inference.table_answers import alone, grouped
from surrogate3d.inference.tile_networks import TileInputs, TileNetworks, Told
from surrogate3d.inference.tile_reader import TileReader, TileSums
from surrogate3d.inference.tiles import Tile, grown, halved, tiles
from surrogate3d.inference.turned import Turn
from surrogate3d.model.bundle import ModelCard, Surrogate
from surrogate3d.model.channels import NEAR, smooth
from surrogate3d.model.context import network_reach, places_reach
from surrogate3d.model.groups import tile_inputs
from surrogate3d.physics.cell_line import CellLine
from surrogate3d.physics.mixing import MonoTable

Floats = npt.NDArray[np.float64]
Single = npt.NDArray[np.float32]

_SAMPLE = 500
"""Voxels of a tile from which is told what puts a field out of the domain."""


@dataclass(frozen=True, eq=False)
class LineAnswer:
    """What is said of some voxels for one cell line; attributes as of `curves.CurveMap`."""

    effect: Floats
    relative_std: Floats
    log_correction: Floats
    half_width: Floats | None

    @property
    def interval(self) -> Floats:
        """(voxel,) `half_width`; of a Gaussian where nothing was calibrated."""
        return interval_of(self.relative_std, self.half_width)


@dataclass(frozen=True, eq=False)
class TileAnswer:
    """What is said of the voxels of a tile's core.

    Attributes:
        voxels: (voxel, 3) indices in the field, in the order of `np.argwhere`.
        score: (voxel,) of the domain.
        outside: (voxel,) whether the training says nothing.
        strange: features of some voxels that are outside.
        lines: by cell line.
    """

    voxels: npt.NDArray[np.int64]
    score: Floats
    outside: npt.NDArray[np.bool_]
    strange: SpectrumFeatures | None
    lines: Mapping[CellLine, LineAnswer]


class _Judged(NamedTuple):
    """Attributes as of `TileAnswer`."""

    voxels: npt.NDArray[np.int64]
    score: Floats
    outside: npt.NDArray[np.bool_]
    strange: SpectrumFeatures | None


class TilePredictor:
    """A model made ready for a field.

    Attributes:
        mask: (i, j, k) voxels that are answered: enough dose, and a spectrum that can explain it.
        tiles: in order of k.
        survey: sums over the field's spectra.
        unknown: why the networks know nothing of such a field; "" where they do.
    """

    def __init__(
        self,
        field: Field,
        surrogate: Surrogate,
        tables: Mapping[CellLine, MonoTable],
        min_dose_fraction: float = MIN_DOSE_FRACTION,
        conditions: Mapping[str, Floats] | None = None,
        compute: Compute | None = None,
    ) -> None:
        """Read the field once, and refuse what the model was not made for.

        Args:
            field: with the low-statistics spectra, in memory or read from disk part by part.
            surrogate: the model.
            tables: mono-energetic table of each cell line that is asked for.
            min_dose_fraction: voxels with less of the field's largest dose are left out.
            conditions: (i, j, k) features of the conditions by name, for a model that was trained with them.
            compute: on what, and within what memory.

        Raises:
            BundleError, QuantityError, ValueRangeError: as of `curves.predict_curves`.
        """
        compute = compute or Compute()
        self.field, self._surrogate, self._species = field, surrogate, field.spectra.axes.species
        self._turn = Turn(field.beam_axis, field.beam_sign)
        lateral, depth = np.max([network_reach(surrogate.networks[0].config), DOMAIN_REACH, (TABLE_REACH,) * 2], axis=0)
        self._reach = self._turn.reach(int(lateral), int(depth))
        places, config = places_reach(surrogate.networks[0].config), surrogate.networks[0].config
        near = self._turn.reach(places[0] + 2 * config.blocks, places[1] + 2 * config.blocks)
        self._rooms = [compute.room(len(self._species), near, alone, field.grid.n_voxels) for alone in (True, False)]
        self._tables, self._places = _unique(surrogate, tables)
        for line, table in tables.items():
            require_described_fit(field, surrogate.card, line)
            if table.cell_line != line.name:
                raise QuantityError(f"expected the table of the cell line {line.name}, found that of {table.cell_line}")
        asked = irradiated(field, min_dose_fraction) & ~faulty(field)
        self._reader = TileReader(field, self._tables, self.tiles_of(asked))
        self.survey = self._reader.survey
        require_counts(field, self.survey.tracks)
        self.mask = asked & self.survey.filled
        if not self.mask.any():
            raise ValueRangeError("no voxel of the field has enough dose and a spectrum; there is nothing to predict")
        self.tiles = tuple(tile for tile in self.tiles_of(asked) if self.mask[tile.core].any())
        self._networks = TileNetworks(surrogate, compute)
        self._conditions = _conditions(surrogate.card, conditions, field.several_directions)
        self._domain = SpectrumDomain.from_arrays(surrogate.domain)
        self.unknown = unknown_because(field, surrogate.card.primaries, self._species[self.survey.primary])
        self._regions = steady_masks(field, self.survey.tracks)
        self._largest = float(self.survey.dose.max())
        self._peak = float(smooth(torch.from_numpy(self.survey.dose / np.float32(self._largest)), NEAR).amax())

    def tiles_of(self, mask: npt.NDArray[np.bool_]) -> tuple[Tile, ...]:
        """Tiles that answer all voxels of a mask, and perhaps more."""
        one, several = (tiles(mask, self._reach, room) for room in self._rooms)
        return one if len(one) < 2 else several

    @property
    def doses(self) -> Floats:
        """(dose,) ladder of the curves, Gy."""
        return np.array(self._surrogate.card.doses)

    def inputs_of(self, tile: Tile) -> TileInputs:
        """What the networks see of a tile."""
        return self._seen(tile, self._reader.sums(tile).inputs)

    def answers(self, tiles: Sequence[Tile]) -> Iterator[TileAnswer]:
        """Answer tiles in their order; the spectra of the next one are read while one is answered."""
        with ThreadPoolExecutor(1) as reader:
            coming = [reader.submit(self._reader.sums, tile) for tile in tiles[:1]]
            for number, tile in enumerate(tiles):
                sums = coming.pop().result()
                coming = [reader.submit(self._reader.sums, following) for following in tiles[number + 1 : number + 2]]
                try:
                    yield self._answered(tile, sums)
                except (MemoryError, torch.OutOfMemoryError):
                    halves = self._halves(tile)
                    if halves == [tile]:
                        raise
                    yield from self.answers(halves)

    def _answered(self, tile: Tile, sums: TileSums) -> TileAnswer:
        """The voxels of a tile's core that are in the mask; the room of the sums is given back to the networks."""
        judged, seen = self._judged(tile, sums), self._seen(tile, sums.inputs)
        sums.clear()
        return self._answer(judged, seen)

    def _halves(self, tile: Tile) -> list[Tile]:
        """The tile cut across its longest side, as far as there is something to answer."""
        halves = [Tile(core, grown(core, self._reach, self.mask.shape)) for core in halved(tile.core)]
        return [half for half in halves if self.mask[half.core].any()]

    def _answer(self, judged: _Judged, seen: TileInputs) -> TileAnswer:
        """What the networks say of the voxels."""
        at = tuple(judged.voxels.T)
        names = region_names({name: mask[at] for name, mask in self._regions.items()}) if self._regions else ""
        regions = np.broadcast_to(np.asarray(names), len(judged.voxels))
        calibration, lines = self._surrogate.card.calibration, {}
        for (line, place), told in zip(self._places.items(), self._networks.told(seen, self._places), strict=True):
            told, least = self._with_table(told, seen.of_line(place), seen.voxels, judged.outside)
            std, width = whole_answer(calibration, told.std, self.survey.tracks[at], regions, least)
            lines[line] = LineAnswer(told.effect, std, told.log_correction, width)
        return TileAnswer(judged.voxels, judged.score, judged.outside, judged.strange, lines)

    def strangest(self, sample: Sequence[SpectrumFeatures]) -> str:
        """What puts most voxels out of the domain, told from what answers say is strange; "" if there are none."""
        if self.unknown:
            return self.unknown
        return f"the spectrum of {self._domain.strangest_of(sample)}" if sample else ""

    def _seen(self, tile: Tile, sums: Single) -> TileInputs:
        """The tile in the frame of the beam."""
        shape, Z, voxels = sums.shape[2:], self.field.spectra.axes.Z, self._voxels(tile)
        near = None
        if self._conditions is not None:
            near = np.stack([values[tuple(voxels.T)] for values in self._conditions]).astype(np.float32)
        return TileInputs(
            sums=tile_inputs(self.field, sums, self.survey.tracks[tile.box], self._largest),
            charge=Z,
            primary=np.arange(len(Z)) == self.survey.primary,
            peak=self._peak,
            core=self._turn.box(tile.inner, shape),
            voxels=self._turn.voxels(voxels - [side.start for side in tile.box], shape),
            conditions=near,
        )

    def _voxels(self, tile: Tile) -> npt.NDArray[np.int64]:
        """(voxel, 3) indices in the field of those that are answered."""
        return np.asarray(np.argwhere(self.mask[tile.core]) + [side.start for side in tile.core])

    def _judged(self, tile: Tile, sums: TileSums) -> _Judged:
        """The voxels that are answered, and whether they are in the domain."""
        voxels, track = self._voxels(tile), self.survey.per_track
        known = np.zeros(sums.nodes.shape[2:], dtype=bool)
        known[tuple((voxels - [side.start for side in sums.near]).T)] = True
        features = features_of_sums(
            self._species,
            sums.nodes,
            track if isinstance(track, float) else track[sums.near],
            self.survey.primary,
            self.field.beam_axis,
            known,
        )
        score = self._domain.score_of(features)
        outside = np.full(len(score), True) if self.unknown else ~(score <= self._domain.threshold)
        at = np.flatnonzero(outside)
        if self.unknown or not len(at):
            return _Judged(voxels, score, outside, None)
        at = at[:: -(-len(at) // _SAMPLE)]
        sample = SpectrumFeatures(features.species, features.points[at], features.noise[at])
        return _Judged(voxels, score, outside, sample)

    def _with_table(
        self,
        told: Told,
        accumulators: Single,
        voxels: npt.NDArray[np.int64],
        outside: npt.NDArray[np.bool_],
    ) -> tuple[Told, Floats]:
        """Outside the domain: what separates the answer from the table's, which is the answer itself if all is unknown.

        Else kernels, which can only mix what is there, follow slanted fronts better than the table does.
        """
        least = np.zeros(len(told.std))
        if self._conditions is not None or not outside.any():
            return told, least
        species, doses = self._species, np.array(self._surrogate.card.doses)
        if self.field.several_directions:
            pooled = alone(accumulators, voxels[outside], doses)
        else:
            pooled = grouped(accumulators, species, species[self.survey.primary], voxels[outside], doses)
        least[outside] = np.abs(told.effect[outside] / pooled - 1).max(axis=1)
        if not self.unknown:
            return told, least
        effect, correction = told.effect.copy(), told.log_correction.copy()
        effect[outside], correction[outside] = pooled, 0.0
        return Told(effect, told.std, correction), least


def _unique(
    surrogate: Surrogate, tables: Mapping[CellLine, MonoTable]
) -> tuple[tuple[MonoTable, ...], dict[CellLine, int]]:
    """Tables whose sums a tile needs, that of the channels first, and the place of each line among them."""
    needed, places = [surrogate.guide], {}
    for line, table in tables.items():
        if table is not surrogate.guide:
            needed.append(table)
        places[line] = 0 if table is surrogate.guide else len(needed) - 1
    return tuple(needed), places


def _conditions(card: ModelCard, given: Mapping[str, Floats] | None, crossing: bool) -> tuple[Floats, ...] | None:
    """(i, j, k) features in the order of the card; None for a model of the calibration's conditions."""
    names = tuple(card.network.get("conditions", ()))
    if set(names) != set(given or {}):
        raise BundleError(
            f"the model was trained with the conditions {', '.join(names) or 'of the calibration'}, given are "
            f"{', '.join(given or {}) or 'those of the calibration'}; give the same"
        )
    if not given or not names:
        return None
    if crossing:
        raise BundleError("a model of conditions knows single beams, and the field has beams from several directions")
    return tuple(given[name] for name in names)
