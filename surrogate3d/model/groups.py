"""The network's input: accumulators of each particle group, turned so that the beam runs along the last axis.

A *group* is a species, split into *bands* of energy per nucleon: a few slow particles carry most of the noise and are
pooled over other neighbourhoods than the fast ones that tell the depth. Accumulators are linear in the spectrum, so
smoothing them is the same as smoothing the spectrum first, and they are all that the Zaider-Rossi rule needs: every
cell line costs two more numbers a band and voxel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import ValueRangeError
from surrogate3d.grid import Field, Grid, SpectrumAxes
from surrogate3d.physics.mixing import MonoTable, band_accumulators, band_weights

Floats = npt.NDArray[np.floating]

BAND_EDGES_MEV_U = (3.0, 10.0, 30.0)
"""Energies per nucleon at which a group's spectrum is split."""

BANDS = ("below_3", "3_to_10", "10_to_30", "above_30")
"""Names of the bands, MeV/u."""


def input_names(cell_lines: Sequence[str]) -> tuple[str, ...]:
    """Names of the third axis of `group_inputs`."""
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
        (group, band, 2 + 2 * line, i, j, k): dose (the largest total is 1), tracks, dose_alpha of each cell line, then
        dose_sqrt_beta of each; the beam runs along the last axis towards larger indices.

    Raises:
        ValueRangeError: there is no fluence at all.
        UnknownNameError: a species is not in a table.
    """
    sums = band_accumulators(axes, fluence, tables, BAND_EDGES_MEV_U)  # (group, band, 2 + 2 * line, i, j, k)
    largest = float(sums[:, :, 0].sum(axis=(0, 1)).max())
    if largest <= 0:
        raise ValueRangeError("the field has no fluence in any voxel; nothing can be predicted")
    sums /= largest
    sums[:, :, 1] *= largest * grid.face_area_mm2(beam_axis)
    return np.ascontiguousarray(turn_downstream(sums, beam_axis, beam_sign), dtype=np.float32)


def field_inputs(field: Field, tables: Sequence[MonoTable]) -> npt.NDArray[np.float32]:
    """`group_inputs` of a field, its prescription taken out; of several beams, with the tracks that they brought."""
    fluence, beam = field.spectra.fluence / np.float32(field.dose_scale), (field.beam_axis, field.beam_sign)
    inputs = group_inputs(field.spectra.axes, fluence, field.grid, *beam, tables)
    if len(field.beams) > 1:
        counted = inputs[:, :, 1].sum(axis=(0, 1))
        tracks = turn_downstream(field.tracks, *beam).astype(np.float32)
        inputs[:, :, 1] *= np.divide(tracks, counted, out=np.zeros_like(counted), where=counted > 0)
    return inputs


def input_weights(field: Field, tables: Sequence[MonoTable]) -> npt.NDArray[np.float64]:
    """Weights of the linear sums (`physics.linear_sums`) that `tile_inputs` takes.

    Args:
        field: for its axes, scale and voxels.
        tables: mono-energetic table of each cell line.

    Returns:
        (species, row, bin), row being (band, 2 + 2 * line) in one axis.
    """
    weights = band_weights(field.spectra.axes, tables, BAND_EDGES_MEV_U)
    rows = weights.reshape(len(weights), len(BANDS), -1, weights.shape[-1])
    per_track = field.grid.face_area_mm2(field.beam_axis) / field.dose_scale
    names = input_names([table.cell_line for table in tables])
    scale = np.array([per_track if name == "tracks" else 1.0 for name in names])
    return np.asarray((rows * scale[:, None]).reshape(weights.shape))


def tile_inputs(field: Field, sums: npt.NDArray[np.float32], tracks: Floats, largest: float) -> npt.NDArray[np.float32]:
    """`field_inputs` of a box of a field, in single precision, from the linear sums of its spectra.

    Args:
        field: for its beams.
        sums: (species, row, i, j, k) by `input_weights`; they are changed.
        tracks: (i, j, k) of the box (`Field.tracks`); looked at where several beams meet.
        largest: total dose that becomes 1, Gy in the field's scale: the largest of the whole field.
    """
    inputs = sums.reshape(len(sums), len(BANDS), -1, *sums.shape[2:])
    inputs[:, :, 0] /= np.float32(largest)
    inputs[:, :, 2:] /= np.float32(largest)
    if len(field.beams) > 1:
        counted = inputs[:, :, 1].sum(axis=(0, 1))
        inputs[:, :, 1] *= np.divide(tracks, counted, out=np.zeros_like(counted), where=counted > 0)
    return np.ascontiguousarray(turn_downstream(inputs, field.beam_axis, field.beam_sign))


def species_sums(inputs: Floats, line: int = 0) -> npt.NDArray[np.float64]:
    """(group, 3, i, j, k) dose, dose_alpha and dose_sqrt_beta of a cell line: what pooling by species works on."""
    n_lines = (inputs.shape[2] - 2) // 2
    return np.asarray(inputs[:, :, [0, 2 + line, 2 + n_lines + line]].sum(axis=1, dtype=np.float64))


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
