"""What the networks of a model say of the voxels of a tile: on the CPU by compiled kernels, elsewhere by torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from surrogate3d.inference.compute import Compute, Precision
from surrogate3d.inference.tiles import Box
from surrogate3d.model.bundle import Surrogate
from surrogate3d.model.channels import Whole, channels
from surrogate3d.model.context import fast_contexts, fastest_precision
from surrogate3d.model.denormals import without_denormals
from surrogate3d.model.fused import FusedField, FusedNetwork
from surrogate3d.model.network import smooth_all
from surrogate3d.physics.cell_line import CellLine

Floats = npt.NDArray[np.float64]

_PORTION = 16384  # voxels that torch answers at a time: bounds the memory of the neighbourhoods


@dataclass(frozen=True, eq=False)
class TileInputs:
    """A tile as the networks see it: turned, so that the beam runs along the last axis towards larger indices.

    Attributes:
        sums: (group, band, 2 + 2 * line, i, j, k) as of `model.groups.tile_inputs`; the channels are made from the
            first line.
        charge: (group,) charge numbers.
        primary: (group,) whether the group is the beam.
        peak: of the dose, as of `model.channels.Whole`.
        core: box in which voxels are asked for.
        voxels: (voxel, 3) indices of these.
        conditions: (condition, voxel) features; None for those of the calibration.
    """

    sums: npt.NDArray[np.float32]
    charge: npt.NDArray[np.int64]
    primary: npt.NDArray[np.bool_]
    peak: float
    core: Box
    voxels: npt.NDArray[np.int64]
    conditions: npt.NDArray[np.float32] | None = None

    def of_line(self, line: int) -> npt.NDArray[np.float32]:
        """(group, band, 3, i, j, k): dose, dose_alpha and dose_sqrt_beta of one of the lines."""
        n_lines = (self.sums.shape[2] - 2) // 2
        return np.ascontiguousarray(self.sums[:, :, [0, 2 + line, 2 + n_lines + line]])


@dataclass(frozen=True, eq=False)
class Told:
    """What the ensemble says of some voxels for one cell line.

    Attributes:
        effect: (voxel, dose) -ln S at the card's doses, mean of the networks.
        std: (voxel,) relative standard deviation of the effect, as predicted and between the networks.
        log_correction: (voxel, dose) of the head, mean of the networks.
    """

    effect: Floats
    std: Floats
    log_correction: Floats


class TileNetworks:
    """The networks of a model, made ready once."""

    def __init__(self, surrogate: Surrogate, compute: Compute) -> None:
        self.surrogate = surrogate
        self.device = torch.device(_device(compute))
        self._precision = resolved(compute.precision)
        self._doses = np.array(surrogate.card.doses, dtype=np.float32)
        if self.device.type == "cpu":
            self._fused = [FusedNetwork(network) for network in surrogate.networks]

    @without_denormals()
    @torch.no_grad()
    def told(self, tile: TileInputs, lines: Mapping[CellLine, int]) -> list[Told]:
        """Answers for cell lines, each with its place among the tile's sums."""
        answers = self._by_kernels(tile, lines) if self.device.type == "cpu" else self._by_torch(tile, lines)
        return [_ensemble(members) for members in answers]

    def _by_kernels(self, tile: TileInputs, lines: Mapping[CellLine, int]) -> list[list[_Member]]:
        asked = np.zeros(tile.sums.shape[3:], dtype=bool)
        asked[tuple(tile.voxels.T)] = True
        config = self.surrogate.networks[0].config
        fields = {line: FusedField(tile.of_line(place), config, asked) for line, place in lines.items()}
        found: dict[CellLine, list[_Member]] = {line: [] for line in lines}
        contexts = fast_contexts(
            self.surrogate.networks,
            torch.from_numpy(tile.sums),
            torch.tensor(self.surrogate.guide_alpha_x),
            torch.from_numpy(tile.charge),
            Whole(torch.from_numpy(tile.primary), tile.peak),
            tile.core,
            self._precision,
        )
        for network, context in zip(self._fused, contexts, strict=True):
            for line, field in fields.items():
                photon = (line.alpha_x, line.beta_x**0.5)
                told = network.answer(
                    field, context, tile.voxels, tile.primary, tile.charge, photon, self._doses, tile.conditions
                )
                found[line].append(_Member(told.effect, told.log_std, told.log_correction))
        return list(found.values())

    def _by_torch(self, tile: TileInputs, lines: Mapping[CellLine, int]) -> list[list[_Member]]:
        sums, charge, primary, voxels = (
            torch.from_numpy(each).to(self.device) for each in (tile.sums, tile.charge, tile.primary, tile.voxels)
        )
        alpha_x, doses = (
            torch.tensor(each, device=self.device) for each in (self.surrogate.guide_alpha_x, self.surrogate.card.doses)
        )
        seen = channels(sums, alpha_x, charge, Whole(primary, tile.peak))
        near = None if tile.conditions is None else torch.from_numpy(tile.conditions).to(self.device)
        found: dict[CellLine, list[_Member]] = {line: [] for line in lines}
        for network in self.surrogate.networks:
            own = network.to(self.device)
            context = own.context(seen)
            for line, place in lines.items():
                accumulators = torch.from_numpy(tile.of_line(place)).to(self.device)
                smoothed, photon = smooth_all(accumulators), torch.tensor([[line.alpha_x], [line.beta_x**0.5]])
                parts = []
                for at in torch.split(torch.arange(len(voxels), device=self.device), _PORTION):
                    denoised = own.denoise(context, accumulators, smoothed, voxels[at], charge, primary)
                    told = own.answer(denoised, photon.to(self.device), None if near is None else near[:, at])
                    parts.append((told.effect(doses)[0], told.log_std[0], told.log_correction[0]))
                effect, log_std, correction = (
                    torch.cat(part, dim=-1).cpu().numpy() for part in zip(*parts, strict=True)
                )
                found[line].append(_Member(effect, log_std, correction))
        return list(found.values())


@dataclass(frozen=True, eq=False)
class _Member:
    """One network: effect (dose, voxel), logarithm of its deviation (voxel,), logarithm of the correction."""

    effect: npt.NDArray[np.float32]
    log_std: npt.NDArray[np.float32]
    log_correction: npt.NDArray[np.float32]


def resolved(precision: Precision) -> Literal["float32", "bfloat16"]:
    """What auto means on this machine."""
    return fastest_precision() if precision == "auto" else precision


def decided(compute: Compute) -> dict[str, str]:
    """What changes the last digits of an answer on this machine."""
    return {"device": _device(compute), "precision": resolved(compute.precision)}


def _device(compute: Compute) -> str:
    if compute.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return compute.device


def _ensemble(members: Sequence[_Member]) -> Told:
    effects = np.stack([each.effect for each in members]).astype(float)
    effect = effects.mean(axis=0)
    variance = np.mean([np.exp(2 * each.log_std.astype(float)) for each in members], axis=0)
    if len(members) > 1:
        variance = variance + (effects / effect).var(axis=0, ddof=1).mean(axis=0)
    correction = np.mean([each.log_correction for each in members], axis=0, dtype=float)
    return Told(effect.T, np.sqrt(variance), correction.T)  # the values of one dose stay together in memory
