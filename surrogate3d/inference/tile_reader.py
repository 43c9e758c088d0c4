"""The sums of a field's spectra that tiles are made of: what a tile costs to read, and nothing more.

Where the whole field is one tile its spectra are read once, for the survey and for the tile together. Where there are
more tiles the survey is a reading of its own, some planes at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from surrogate3d.grid import Field
from surrogate3d.inference.spectrum_sums import REACH, node_weights
from surrogate3d.inference.survey import Survey, survey, survey_of, survey_weights
from surrogate3d.inference.tiles import Box, Tile, grown
from surrogate3d.inference.turned import Turn
from surrogate3d.model.groups import input_weights
from surrogate3d.physics.linear_sums import SumRequest, joint_sums
from surrogate3d.physics.mixing import MonoTable

Single = npt.NDArray[np.float32]


@dataclass(eq=False)
class TileSums:
    """Sums over the bins of a tile's spectra.

    Attributes:
        inputs: (species, row, i, j, k) of the tile's box, by `model.groups.input_weights`.
        nodes: (species, 2 x node, i, j, k) of `near`, by `spectrum_sums.node_weights`.
        near: the core and what tells whether it is in the domain, a part of the box.
    """

    inputs: Single
    nodes: Single
    near: Box

    def clear(self) -> None:
        """Give the room back."""
        nothing = np.empty((0,) * 5, np.float32)
        self.inputs, self.nodes = nothing, nothing


class TileReader:
    """A field to be read for tiles.

    Attributes:
        survey: sums over the whole field.
    """

    def __init__(self, field: Field, tables: Sequence[MonoTable], tiles: Sequence[Tile]) -> None:
        """Make the survey.

        Args:
            field: in memory, or read from disk part by part.
            tables: mono-energetic tables, as of `model.groups.input_weights`.
            tiles: that will be asked for, as far as is known before the spectra are.
        """
        self._field, self._reach = field, Turn(field.beam_axis, field.beam_sign).reach(*REACH)
        self._weights = input_weights(field, tables), node_weights(field.spectra.axes)
        self._ready: tuple[Tile, TileSums] | None = None
        self.survey: Survey = self._together(tiles[0]) if len(tiles) == 1 else survey(field)

    def sums(self, tile: Tile) -> TileSums:
        """Read a tile, if that was not done with the survey."""
        ready, self._ready = self._ready, None
        if ready is not None and ready[0] == tile:
            return ready[1]
        near = self._near(tile)
        inputs, nodes = joint_sums(self._field.spectra.fluence, self._requests(tile, near))
        return TileSums(inputs, nodes, near)

    def _together(self, tile: Tile) -> Survey:
        near = self._near(tile)
        everything = SumRequest(survey_weights(self._field.spectra.axes))
        requests = [everything, *self._requests(tile, near)]
        sums, inputs, nodes = joint_sums(self._field.spectra.fluence, requests)
        self._ready = tile, TileSums(inputs, nodes, near)
        fluence, dose = sums.sum(axis=0)
        return survey_of(self._field, fluence, dose, sums[:, 1].sum(axis=(1, 2, 3), dtype=float))

    def _requests(self, tile: Tile, near: Box) -> list[SumRequest]:
        inputs, nodes = self._weights
        return [SumRequest(inputs, tile.box), SumRequest(nodes, near)]

    def _near(self, tile: Tile) -> Box:
        return grown(tile.core, self._reach, self._field.grid.shape)
