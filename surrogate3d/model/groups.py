"""The network's input: accumulators of each particle group, turned so that the beam runs along the last axis.

A *group* is a species. Its accumulators are linear in the spectrum, so smoothing them is the same as smoothing the
spectrum first, and they are all that the Zaider-Rossi rule needs: every cell line costs two more numbers a voxel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import ValueRangeError
from surrogate3d.grid import Field, Grid, SpectrumAxes
from surrogate3d.physics.mixing import MonoTable, fluence_accumulators

Floats = npt.NDArray[np.floating]


def input_names(cell_lines: Sequence[str]) -> tuple[str, ...]:
    """Names of the second axis of `group_inputs`."""
    per_line = [f"{name}:{line}" for name in ("dose_alpha", "dose_sqrt_beta") for line in cell_lines]
    return ("dose", "tracks", *per_line)


def group_inputs(
    axes: SpectrumAxes, fluence: Floats, grid: Grid, beam_axis: int, beam_sign: int, tables: Sequence[MonoTable]
) -> npt.NDArray[np.float32]:
    """Accumulators of fluence spectra.

    Args:
        axes: species and energy bins.
        fluence: (species, bin, i, j, k) fluence summed over the simulated histories (not scaled to a dose), 1/mm^2:
            its magnitude tells the network how noisy it is.
        grid: voxel sizes.
        beam_axis: index axis along the beam.
        beam_sign: +1 when the beam travels towards larger indices, else -1.
        tables: mono-energetic table of each cell line.

    Returns:
        (group, 2 + 2 * line, i, j, k): dose (the largest total is 1), tracks, dose_alpha of each cell line, then
        dose_sqrt_beta of each; the beam runs along the last axis towards larger indices.

    Raises:
        ValueRangeError: there is no fluence at all.
        UnknownNameError: a species is not in a table.
    """
    sums = [fluence_accumulators(axes, fluence, table) for table in tables]  # (group, 3, i, j, k) each
    largest = float(sums[0][:, 0].sum(axis=0).max())
    if largest <= 0:
        raise ValueRangeError("the field has no fluence in any voxel; nothing can be predicted")
    tracks = fluence.sum(axis=1, dtype=np.float64) * grid.face_area_mm2(beam_axis)
    planes = [sums[0][:, 0] / largest, tracks]
    planes += [each[:, 1] / largest for each in sums] + [each[:, 2] / largest for each in sums]
    return np.ascontiguousarray(turn_downstream(np.stack(planes, axis=1), beam_axis, beam_sign), dtype=np.float32)


def field_inputs(field: Field, tables: Sequence[MonoTable]) -> npt.NDArray[np.float32]:
    """`group_inputs` of a field, its prescription taken out; of several beams, with the tracks that they brought."""
    fluence, beam = field.spectra.fluence / np.float32(field.dose_scale), (field.beam_axis, field.beam_sign)
    inputs = group_inputs(field.spectra.axes, fluence, field.grid, *beam, tables)
    if len(field.beams) > 1:
        counted = inputs[:, 1].sum(axis=0)
        tracks = turn_downstream(field.tracks, *beam).astype(np.float32)
        inputs[:, 1] *= np.divide(tracks, counted, out=np.zeros_like(counted), where=counted > 0)
    return inputs


Scalar = TypeVar("Scalar", bound=np.generic)


def turn_downstream(values: npt.NDArray[Scalar], beam_axis: int, beam_sign: int) -> npt.NDArray[Scalar]:
    """Turn (..., i, j, k) so that the beam runs along the last axis towards larger indices.

    The two other axes keep their order. `turn_back` is the inverse.
    """
    turned = np.moveaxis(values, values.ndim - 3 + beam_axis, -1)
    return turned if beam_sign > 0 else turned[..., ::-1]


def turn_back(values: npt.NDArray[Scalar], beam_axis: int, beam_sign: int) -> npt.NDArray[Scalar]:
    """The inverse of `turn_downstream`."""
    straight = values if beam_sign > 0 else values[..., ::-1]
    return np.moveaxis(straight, -1, values.ndim - 3 + beam_axis)
