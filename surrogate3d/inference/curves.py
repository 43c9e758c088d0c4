"""Predict the survival curve of every voxel of a field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.grid import Field
from surrogate3d.inference.answerable import MIN_DOSE_FRACTION
from surrogate3d.inference.compute import Compute
from surrogate3d.inference.deviation import interval_of
from surrogate3d.inference.tile_predictor import TileAnswer, TilePredictor
from surrogate3d.model.bundle import Surrogate
from surrogate3d.physics.cell_line import CellLine
from surrogate3d.physics.mixing import MonoTable

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class CurveMap:
    """Survival curves of the voxels where the surrogate answers.

    Attributes:
        mask: (i, j, k) where it answers: enough dose, and a spectrum that can explain it.
        doses: (dose,) ladder, Gy.
        effect: (voxel, dose) -ln S, in the order of `np.argwhere(mask)`.
        relative_std: (voxel,) predicted relative standard deviation of the effect.
        out_of_domain: (i, j, k) where the training says nothing. The answer is that of grouped pooling for a beam of
            another ion, and that of the table on the voxel alone where beams cross.
        strangest: what puts most of these voxels out of the domain; "" if there are none.
        domain_score: (voxel,) distance of the spectrum to those of the training over what is allowed.
        log_correction: (voxel, dose) logarithm of what the head makes of the mixing rule's effect; 0 out of the domain.
        half_width: (voxel,) relative half width of the interval of 90 % about the effect.
    """

    mask: npt.NDArray[np.bool_]
    doses: Floats
    effect: Floats
    relative_std: Floats
    out_of_domain: npt.NDArray[np.bool_]
    strangest: str = ""
    domain_score: Floats | None = None
    log_correction: Floats | None = None
    half_width: Floats | None = None

    @property
    def interval(self) -> Floats:
        """(voxel,) `half_width`; of a Gaussian where nothing was calibrated."""
        return interval_of(self.relative_std, self.half_width)

    def volume(self, values: Floats) -> Floats:
        """(voxel,) values on the grid, NaN where the surrogate does not answer."""
        grid = np.full(self.mask.shape, np.nan)
        grid[self.mask] = values
        return grid


def predict_curves(
    field: Field,
    surrogate: Surrogate,
    line: CellLine,
    min_dose_fraction: float = MIN_DOSE_FRACTION,
    table: MonoTable | None = None,
    conditions: Mapping[str, Floats] | None = None,
    compute: Compute | None = None,
) -> CurveMap:
    """Survival curves of a whole field.

    Dose that the spectra do not explain (electrons, heavier ions, recoils: 4-6 % in OpenTOPAS plans) is taken to act
    like the dose that they do explain: the curve is per Gy of scored dose, its shape from the spectrum.
    Where the voxel is out of the model's domain its deviation is at least what separates it from the table on
    species-grouped pooling. That is the answer itself where the network knows nothing of the beam: all voxels of a beam
    of another ion. Where beams come from several directions there is no axis to pool along: the answer is that of the
    table on the voxel alone.

    Args:
        field: with the low-statistics spectra.
        surrogate: the model.
        line: cell line, any that has a table.
        min_dose_fraction: voxels with less of the field's largest dose are left out.
        table: mono-energetic table of the cell line; not needed for those that the model was trained with.
        conditions: (i, j, k) features of the conditions by name, for a model that was trained with them.
        compute: on what, and within what memory; answers do not depend on how the field is cut into tiles.

    Raises:
        BundleError: the field does not fit the model, or the conditions do not.
        QuantityError: the table is of another cell line.
        UnknownNameError: the model was not trained for the cell line, and there is no table.
        ValueRangeError: no voxel has enough dose.
    """
    own = table or surrogate.table_of(line)
    predictor = TilePredictor(field, surrogate, {line: own}, min_dose_fraction, conditions, compute)
    return joined(predictor, list(predictor.answers(predictor.tiles)), line)


def joined(predictor: TilePredictor, answers: Sequence[TileAnswer], line: CellLine) -> CurveMap:
    """The answers of all tiles for one cell line as one map."""
    mask, parts = predictor.mask, [answer.lines[line] for answer in answers]
    place = np.full(mask.shape, -1)
    place[mask] = np.arange(int(mask.sum()))
    order = np.concatenate([place[tuple(answer.voxels.T)] for answer in answers])

    def together(pieces: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
        values = np.concatenate(pieces)
        whole = np.empty_like(values)
        whole[order] = values
        return whole

    widths = [part.half_width for part in parts if part.half_width is not None]
    outside = np.zeros(mask.shape, dtype=bool)
    outside[mask] = together([answer.outside for answer in answers])
    return CurveMap(
        mask=mask,
        doses=predictor.doses,
        effect=together([part.effect for part in parts]),
        relative_std=together([part.relative_std for part in parts]),
        out_of_domain=outside,
        strangest=predictor.strangest([each.strange for each in answers if each.strange is not None]),
        domain_score=together([answer.score for answer in answers]),
        log_correction=together([part.log_correction for part in parts]),
        half_width=together(widths) if widths else None,
    )
