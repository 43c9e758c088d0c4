"""Maps of one field for several cell lines and fractionations from one prediction, written while tiles are answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from surrogate3d.errors import UnsupportedError
from surrogate3d.inference.maps import Fractionation, wanted
from surrogate3d.physics.cell_line import CellLine
from surrogate3d.pipeline.map_output import MapOutput, MapSet, Progress, Tally, write_slabs
from surrogate3d.pipeline.map_slabs import MapsWanted, slabs
from surrogate3d.pipeline.map_summary import largest_dose_gy, refused
from surrogate3d.pipeline.predictors import Predictor

PLAIN = {"interval": None, "cell_line_doubt": ""}
"""What is said where there are neither intervals nor doubts."""


@dataclass(frozen=True)
class TiledMaps:
    """One set of maps of a field.

    Attributes:
        line: cell line of all voxels.
        fractionation: fraction dose and number.
        output: where the maps go.
    """

    line: CellLine
    fractionation: Fractionation
    output: MapOutput


def write_tiled(
    predictor: Predictor, sets: Sequence[TiledMaps], progress: Progress | None = None
) -> list[dict[str, Any]]:
    """Predict sets of maps together, and write them.

    Returns:
        What `prediction.predict_store` says, for each set.

    Raises:
        UnsupportedError: this kind of prediction is not made in tiles.
        Surrogate3dError: as of the prediction and of writing.
    """
    if predictor.tiled is None:
        raise UnsupportedError("only networks on spectra, without oxygen, predict several sets at once; ask one by one")
    field = predictor.field
    asked = [MapsWanted(s.line, s.fractionation, wanted(field, s.fractionation, predictor.names)) for s in sets]
    tiles = predictor.tiled(tuple(dict.fromkeys(each.line for each in sets)))
    written = [_map_set(predictor, each, of.names) for each, of in zip(sets, asked, strict=True)]
    tallies = write_slabs(field.grid, lambda start: slabs(tiles, asked, start), written, progress)
    return [
        summed_up(predictor, maps, tally, tiles.strangest(tally.strange), each.fractionation)
        for maps, tally, each in zip(written, tallies, sets, strict=True)
    ]


def _map_set(predictor: Predictor, each: TiledMaps, names: tuple[str, ...]) -> MapSet:
    how = each.fractionation
    about = {**PLAIN, **predictor.about(each.line)}
    about |= {"fraction_dose_gy": how.fraction_dose_gy, "fractions": how.fractions}
    inputs = {} if predictor.inputs is None else predictor.inputs(each.line)
    return MapSet(names, about, each.output, inputs)


def summed_up(
    predictor: Predictor, maps: MapSet, tally: Tally, strangest: str, fractionation: Fractionation | None = None
) -> dict[str, Any]:
    """What is said of a set of maps that was written."""
    return {
        **maps.about,
        "files": tally.files,
        "output": maps.output.folder.name,
        "seconds": tally.seconds,
        "voxels_answered": tally.answered,
        "voxels_out_of_domain": tally.out_of_domain,
        "strangest": strangest,
        "voxels_with_faulty_spectrum": predictor.faulty,
        "largest_dose_per_fraction_gy": largest_dose_gy(predictor.field, fractionation or predictor.fractionation),
        "refused": refused(maps.names, predictor.field),
        "ranges": tally.ranges,
    }
