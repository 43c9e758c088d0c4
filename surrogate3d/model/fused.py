"""The second half of the network, compiled for CPUs: from hidden states and accumulators to the effect of every voxel.

The twin of `KernelNetwork.denoise` and `answer` for one cell line, many times faster because nothing that belongs to a
voxel leaves the caches: sixteen neighbours along the beam are worked on at once (`fused_lanes`), from their logits
(`fused_pool`) to their answer (`fused_answer`). Equal to it but for the rounding of float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt
import torch

from surrogate3d.errors import ValueRangeError
from surrogate3d.model.channels import FILTERS
from surrogate3d.model.fused_blocks import cover
from surrogate3d.model.fused_lanes import LANES
from surrogate3d.model.fused_network import Case, Keys, Packed, answer_blocks, layers_of, pack_keys, rows_of, sizes_of
from surrogate3d.model.fused_pool import padded
from surrogate3d.model.fused_smooth import (
    DEPTH_REACH,
    LATERAL,
    LATERAL_REACH,
    WIDE_WIDTH,
    Lines,
    around,
    lines_of,
    pack_plane,
    smooth_plane,
    spans_of,
    taps,
)
from surrogate3d.model.groups import BANDS
from surrogate3d.model.network import Context, KernelNetwork, NetworkConfig

Floats32 = npt.NDArray[np.float32]

_PORTION = 64  # blocks that a thread takes at a time


class FusedAnswer(NamedTuple):
    """What a network says of some voxels.

    Attributes:
        effect: (dose, voxel) -ln S.
        log_std: (voxel,) logarithm of the predicted relative standard deviation of the effect.
        log_correction: (dose, voxel) logarithm of the correction of the effect.
    """

    effect: Floats32
    log_std: Floats32
    log_correction: Floats32


class FusedField:
    """Accumulators of a tile as the compiled code takes them; made once, for all networks of one configuration."""

    def __init__(
        self,
        accumulators: npt.ArrayLike,
        config: NetworkConfig,
        needed: npt.NDArray[np.bool_] | None = None,
        threads: int | None = None,
    ) -> None:
        """Pack and smooth them.

        Args:
            accumulators: (group, band, 3, i, j, k) float32 dose, dose_alpha and dose_sqrt_beta, numpy or torch; the
                beam runs along the last axis.
            config: of the networks.
            needed: (i, j, k) voxels that may be asked for; None for all.
            threads: that work; None for numba's number.

        Raises:
            ValueRangeError: the shapes are others.
        """
        values = np.ascontiguousarray(accumulators, dtype=np.float32)
        if values.ndim != 6 or values.shape[1:3] != (len(BANDS), 3):
            raise ValueRangeError(f"accumulators must be (group, {len(BANDS)}, 3, i, j, k), found {values.shape}")
        needed = np.ones(values.shape[3:], bool) if needed is None else needed
        if needed.shape != values.shape[3:]:
            raise ValueRangeError(f"expected needed voxels on the grid {values.shape[3:]}, found {needed.shape}")
        self.config, self.groups = config, len(values)
        self.lane: npt.NDArray[np.int32]
        blocks, self.lane = cover(needed)
        self.asked = spans_of(np.asarray(needed.any(axis=2)))
        lines = self.lines(12 * self.groups + 1)
        packed, smoothed = (np.zeros(lines.size, np.float32) for _ in range(2))
        filtered = _aligned(len(blocks.i) * len(FILTERS) * lines.planes * LANES)
        near, wide = _offsets(config, lines)
        filters = np.arange(len(FILTERS)) * LANES
        self.packed = Packed(lines, blocks, packed, smoothed, filtered, near, wide, filters, *_edges(config, lines))
        self._fill(values, threads)

    def lines(self, planes: int) -> Lines:
        """Lines of so many planes that hold the tile and what the places reach beyond it."""
        lateral, depth = _reach(self.config)
        return lines_of(self.lane.shape, lateral, max(depth, DEPTH_REACH), planes)

    def _fill(self, values: Floats32, threads: int | None) -> None:
        lines, kernels = self.packed.lines, taps()
        nj, planes = lines.nj, values.reshape(-1, *self.lane.shape)
        far = around(self.asked, lines.margin, nj)
        spans = np.stack([far if n == WIDE_WIDTH else self.asked for n in range(len(LATERAL))])
        wanted = around(around(self.asked, LATERAL_REACH, nj), lines.margin, nj)
        field = self.packed

        def fill(plane: int) -> None:
            pack_plane(plane, planes, lines, wanted, field.packed)
            smooth_plane(
                plane, field.packed, lines, field.blocks, kernels, spans, field.smoothed, field.filtered
            )  # fmt: skip

        _share_out(fill, range(lines.planes), threads)


class FusedNetwork:
    """Weights of a network as the compiled code takes them; made once."""

    def __init__(self, network: KernelNetwork) -> None:
        """Of a network in evaluation mode."""
        self.network = network
        self.layers = layers_of(network)

    def answer(
        self,
        field: FusedField,
        context: Context,
        voxels: npt.NDArray[np.integer],
        primary: npt.NDArray[np.bool_],
        charge: npt.NDArray[np.integer],
        photon: tuple[float, float],
        doses: npt.NDArray[np.floating],
        conditions: npt.NDArray[np.floating] | None = None,
        threads: int | None = None,
    ) -> FusedAnswer:
        """What `KernelNetwork.answer` says, for one cell line.

        Args:
            field: of the tile, made with the network's configuration.
            context: of the tile, by the network.
            voxels: (voxel, 3) indices, among those that the field was made for.
            primary: (group,) whether a group is the beam itself, in the whole field.
            charge: (group,) charge numbers.
            photon: alpha_x in 1/Gy and the square root of beta_x in 1/Gy.
            doses: (dose,) Gy.
            conditions: (condition, voxel), for a network that was made for any.
            threads: that work; None for numba's number.

        Raises:
            ValueRangeError: the field was made for other neighbourhoods, or not for these voxels; or the context,
                groups, doses or conditions are not those of the field and the network.
        """
        voxels = np.asarray(voxels)
        self._require(field, context, voxels, doses, conditions)
        if len(primary) != field.groups or len(charge) != field.groups:
            found = f"{len(primary)} and {len(charge)}"
            raise ValueRangeError(f"expected flags and charges of {field.groups} groups, found {found}")
        voxel = np.full(len(field.packed.blocks.i) * LANES, -1, np.int64)
        voxel[field.lane[tuple(voxels.T)]] = np.arange(len(voxels))
        sizes = sizes_of(self.network, field.groups)
        keys = _keys(field, _array(context.key), threads)
        case = _case(primary, charge, photon, doses, self.network.config.max_log_correction)
        out = FusedAnswer(*(np.empty((*lead, len(voxels)), np.float32) for lead in ((len(doses),), (), (len(doses),))))
        given = np.zeros((0, 0), np.float32) if conditions is None else np.ascontiguousarray(conditions, np.float32)
        state = _array(context.state.movedim(1, -1))
        rows, n = rows_of(sizes), len(field.packed.blocks.i)
        _share_out(
            lambda first: answer_blocks(
                first, min(n, first + _PORTION), field.packed, keys, state, sizes, rows, self.layers, case, voxel,
                given, out,
            ),
            range(0, n, _PORTION),
            threads,
        )  # fmt: skip
        return out

    def _require(
        self,
        field: FusedField,
        context: Context,
        voxels: npt.NDArray[np.integer],
        doses: npt.NDArray[np.floating],
        conditions: npt.NDArray[np.floating] | None,
    ) -> None:
        config, shape = self.network.config, field.lane.shape
        if (field.config.places, field.config.n_near) != (config.places, config.n_near):
            raise ValueRangeError("the field was packed for networks with other neighbourhoods; pack it for this one")
        state, key = (field.groups, config.width, *shape), (field.groups, *shape, config.likeness)
        if (tuple(context.state.shape), tuple(context.key.shape)) != (state, key):
            found = f"{tuple(context.state.shape)} and {tuple(context.key.shape)}"
            raise ValueRangeError(f"expected a context of the tile, {state} and {key}, found {found}")
        if len(doses) != config.n_doses:
            raise ValueRangeError(f"the network answers at {config.n_doses} doses, found {len(doses)}")
        given = None if conditions is None else conditions.shape
        expected = (len(config.conditions), len(voxels)) if config.conditions else None
        if given != expected:
            raise ValueRangeError(f"expected conditions of shape {expected}, found {given}")
        outside = ((voxels < 0) | (voxels >= shape)).any(axis=1)
        if outside.any():
            raise ValueRangeError(f"voxel {tuple(map(int, voxels[outside][0]))} is outside the tile of {shape} voxels")
        missing = field.lane[tuple(voxels.T)] < 0
        if missing.any():
            raise ValueRangeError(f"the field was not packed for voxel {tuple(map(int, voxels[missing][0]))}")


def _case(
    primary: npt.NDArray[np.bool_],
    charge: npt.NDArray[np.integer],
    photon: tuple[float, float],
    doses: npt.NDArray[np.floating],
    max_log: float,
) -> Case:
    kind = np.where(np.asarray(charge) > 0, np.minimum(charge, 3) - 1, -1).astype(np.int64)
    line = (*photon, math.log(photon[0] / 0.3), math.log(photon[1] / 0.2))  # as in `Denoised.features`
    flags = np.ascontiguousarray(primary, dtype=np.bool_)
    return Case(flags, kind, np.array(line, np.float32), np.array(doses, np.float32), np.float32(max_log))


def _keys(field: FusedField, key: Floats32, threads: int | None) -> Keys:
    lines = field.lines(key.shape[-1])
    packed = np.zeros((len(key), lines.size), np.float32)
    wanted = around(field.asked, lines.margin, lines.nj)

    def pack(row: int) -> None:
        for values, to in zip(key, packed, strict=True):
            pack_keys(row, values, lines, wanted, to)

    _share_out(pack, range(lines.ni), threads)
    return Keys(lines, packed, *_offsets(field.config, lines))


def _reach(config: NetworkConfig) -> tuple[int, int]:
    """Voxels that the places reach, across the beam and along it."""
    farthest = np.abs(config.places).max(axis=0)
    return int(farthest[:2].max()), int(farthest[2])


def _offsets(config: NetworkConfig, lines: Lines) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Of the near and of the wide places, in an array of lines."""
    at = np.array(config.places, np.int64).reshape(-1, 3)
    flat = (at[:, 0] * (lines.nj + 2 * lines.margin) + at[:, 1]) * lines.row + at[:, 2]
    return padded(flat[: config.n_near]), padded(flat[config.n_near :])


def _edges(config: NetworkConfig, lines: Lines) -> list[npt.NDArray[np.int64]]:
    """Of the near and of the wide places, those of the farthest j, where their run along the beam begins."""
    parts = [
        np.array(part, np.int64).reshape(-1, 3)
        for part in (config.places[: config.n_near], config.places[config.n_near :])
    ]
    ends = [
        part[(part[:, 1] == part[:, 1].max(initial=0)) & (part[:, 2] == part[:, 2].min(initial=0))] for part in parts
    ]
    return [(at[:, 0] * (lines.nj + 2 * lines.margin) + at[:, 1]) * lines.row + at[:, 2] for at in ends]


def _array(values: torch.Tensor) -> Floats32:
    """Of a tensor, without a copy where its memory is in order."""
    return np.ascontiguousarray(values.detach().numpy(), dtype=np.float32)


def _aligned(size: int) -> Floats32:
    """Numbers that begin at a line of the cache."""
    memory = np.empty(size + LANES, np.float32)
    first = (-memory.ctypes.data // 4) % LANES
    return memory[first : first + size]


def _share_out(work: Callable[[int], None], parts: range, threads: int | None) -> None:
    """Do all parts of the work; compiled code holds no lock, so that threads work at once."""
    count = min(threads or numba.get_num_threads(), len(parts))
    if count <= 1:
        for part in parts:
            work(part)
        return
    with ThreadPoolExecutor(count) as pool:
        for _ in pool.map(work, parts):
            pass
