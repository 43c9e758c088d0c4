"""Training examples of the model without spectra: channels of a noisy run beside what the full spectra say.

The labels are dense: the table of each cell line on the high-statistics spectra, in every voxel above 5 % of the
largest dose. Simulated voxels, where there are any, take their place and count as much as all others together. LET_d
cannot be thinned, so every run of a plan, with few or many histories, is one realisation of its noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from surrogate3d.direct.task import VoxelResponse
from surrogate3d.errors import QuantityError
from surrogate3d.grid import DoseField, Field
from surrogate3d.model.dose_channels import ChannelSet, DoseLET, beam_axis, channels
from surrogate3d.model.groups import turn_downstream
from surrogate3d.physics.linear_quadratic import effect
from surrogate3d.physics.mixing import MonoTable, zr_table

Floats = npt.NDArray[np.float64]

EVALUATED_FRACTION = 0.05
"""Of the largest dose; voxels with less are neither trained on nor answered."""

BLOCK = 4
"""Edge, in voxels, of the cubes that are held back together: neighbours share noise and slope."""


@dataclass(frozen=True, eq=False)
class LabelledPlan:
    """One plan with what is known of it; maps are (..., i, j, k) with the beam along the last axis.

    Attributes:
        realisations: runs of the plan, the one with fewest histories first.
        dose: of the run with most, its largest value is 1.
        alpha: (line, i, j, k) 1/Gy, NaN where not known.
        sqrt_beta: (line, i, j, k) 1/Gy.
        photon: (line, 2) alpha_x (1/Gy) and beta_x (1/Gy^2).
        cube: (i, j, k) number of the cube that a voxel is held back with, different in every plan.
        direct: simulated voxels: voxel, line, effect and its standard error at each dose of the ladder.
    """

    realisations: tuple[DoseLET, ...]
    dose: Floats
    alpha: Floats
    sqrt_beta: Floats
    photon: Floats
    cube: npt.NDArray[np.int64]
    direct: tuple[tuple[tuple[int, int, int], int, Floats, Floats], ...] = ()

    @property
    def evaluated(self) -> npt.NDArray[np.bool_]:
        """(i, j, k) where labels are taken."""
        return np.asarray((self.dose >= EVALUATED_FRACTION) & np.isfinite(self.alpha).all(axis=0))

    def without_line(self, n: int) -> LabelledPlan:
        """The same without the labels of one of its cell lines."""
        direct = tuple((at, m - (m > n), value, se) for at, m, value, se in self.direct if m != n)
        alpha, sqrt_beta, photon = (np.delete(each, n, axis=0) for each in (self.alpha, self.sqrt_beta, self.photon))
        return replace(self, alpha=alpha, sqrt_beta=sqrt_beta, photon=photon, direct=direct)


def cubes(shape: tuple[int, ...], plan: int) -> npt.NDArray[np.int64]:
    """(i, j, k) numbers of cubes with edges of `BLOCK` voxels, others for every number of a plan."""
    at = np.moveaxis(np.indices(shape), 0, -1) // BLOCK
    return np.asarray(at @ (1, 1000, 1_000_000) + plan * 10**9, dtype=np.int64)


def labelled_plan(
    runs: Sequence[DoseField],
    high: Field,
    lines: Sequence[tuple[float, float, MonoTable]],
    responses: Sequence[VoxelResponse] = (),
    doses: Sequence[float] = (),
    number: int = 0,
) -> LabelledPlan:
    """A plan from its runs.

    Args:
        runs: realisations of the plan on the grid of `high`, with dose and LET.
        high: the run with most histories, whose spectra give the labels.
        lines: alpha_x, beta_x and mono-energetic table of each cell line.
        responses: simulated voxels of `high`, of lines that are among the tables.
        doses: the ladder, which the responses must have.
        number: of the plan, another for every plan of a training.

    Raises:
        GridMismatchError: a run is on another grid.
        QuantityError: a run has no LET_d, or another beam; or a response has other doses.
    """
    beam = beam_axis(high)
    for run in runs:
        high.grid.require_same(run.grid, "realisation of a training plan")
        if beam is None or beam_axis(run) != beam:
            raise QuantityError("a training plan needs one beam along one axis, the same in all its runs")
    axis, sign = beam or (2, 1)
    dose = turn_downstream(np.nan_to_num(high.dose).astype(float), axis, sign)
    found = [zr_table(high.spectra.axes, high.spectra.fluence, table) for _, _, table in lines]
    alpha, beta = (turn_downstream(np.stack(maps), axis, sign) for maps in zip(*found, strict=True))
    return LabelledPlan(
        tuple(DoseLET.of_field(run, beam) for run in runs),
        dose / dose.max(),
        alpha,
        np.sqrt(beta),
        np.array([(alpha_x, beta_x) for alpha_x, beta_x, _ in lines]),
        cubes(dose.shape, number),
        _direct(responses, doses, [table.cell_line for *_, table in lines], high, (axis, sign)),
    )


def _direct(
    responses: Sequence[VoxelResponse], doses: Sequence[float], names: Sequence[str], high: Field, beam: tuple[int, int]
) -> tuple[tuple[tuple[int, int, int], int, Floats, Floats], ...]:
    """Simulated voxels in the turned frame."""
    place = np.arange(high.grid.n_voxels).reshape(high.grid.shape)
    turned = turn_downstream(place, *beam)
    where = np.empty((turned.size, 3), dtype=int)
    where[turned.ravel()] = np.argwhere(turned >= 0)
    found = []
    for response in responses:
        if response.cell_line not in names or response.doses != tuple(doses):
            raise QuantityError(
                f"a response of {response.cell_line} at {len(response.doses)} doses is no label here: expected one of "
                f"{', '.join(names)} at the ladder of {len(doses)} doses"
            )
        i, j, k = (int(n) for n in where[place[response.voxel]])
        values = np.array(response.effect), np.array(response.effect_se)
        found.append(((i, j, k), names.index(response.cell_line), *values))
    return tuple(found)


@dataclass(frozen=True, eq=False)
class _Block:
    """A cube cut from one run of a plan, turned, and its weight in a sum."""

    plan: LabelledPlan
    run: DoseLET
    corner: tuple[int, ...]
    side: int
    order: tuple[int, ...]
    flips: tuple[int, ...]
    weight: float

    def of(self, values: Floats) -> Floats:
        """(..., side, side, side) of (..., i, j, k), weighted; 0 where not known."""
        i, j, k = (slice(start, start + self.side) for start in self.corner)
        block = self.weight * np.nan_to_num(values[..., i, j, k])
        lead = block.ndim - 3
        turned = block.transpose([*range(lead), *(lead + axis for axis in self.order)])
        return np.asarray(np.flip(turned, tuple(lead + axis for axis in self.flips)))


def crossed(first: LabelledPlan, second: LabelledPlan, rng: np.random.Generator) -> LabelledPlan:
    """A made-up plan of two beams from different directions: a cube of each, turned at random, added.

    Dose, dose LET, dose alpha and dose sqrt(beta) add, so the labels are as exact as those of the parts. No axis of it
    has a meaning: it is for networks without an axis.
    """
    side = min(*first.dose.shape, *second.dose.shape)
    share = float(rng.uniform(0.25, 0.75))
    blocks = [_block(plan, side, weight, rng) for plan, weight in ((first, share), (second, 1 - share))]
    names = ("dose", "dose_d", "dose_LET_d", "dose_t", "fluence_t")
    sums = [_added([b.of(getattr(b.run, name) / b.run.dose.max()) for b in blocks]) for name in names]
    dose = _added([b.of(b.plan.dose) for b in blocks])
    known = np.where(dose > 0, dose, np.nan)
    alpha = _added([b.of(b.plan.dose * b.plan.alpha) for b in blocks]) / known
    sqrt_beta = _added([b.of(b.plan.dose * b.plan.sqrt_beta) for b in blocks]) / known
    run = DoseLET(first.realisations[0].spacing_mm, *sums)
    cube = cubes(dose.shape, int(rng.integers(10**3, 10**9)))
    return LabelledPlan((run,), dose / dose.max(), alpha, sqrt_beta, first.photon, cube)


def _block(plan: LabelledPlan, side: int, weight: float, rng: np.random.Generator) -> _Block:
    order = tuple(int(axis) for axis in rng.permutation(3))
    flips = tuple(int(axis) for axis in np.flatnonzero(rng.random(3) < 0.5))
    corner = tuple(int(rng.integers(size - side + 1)) for size in plan.dose.shape)
    run = plan.realisations[int(rng.integers(len(plan.realisations)))]
    return _Block(plan, run, corner, side, order, flips, weight)


def _added(parts: Sequence[Floats]) -> Floats:
    return np.asarray(parts[0] + parts[1])


@dataclass(frozen=True, eq=False)
class Rows:
    """Examples as rows.

    Attributes:
        channels: (n, channel) of voxels.
        block: (n,) which cube of which plan a voxel is in; a copy of a voxel is in the cube of the original.
        voxel: (label,) row of `channels`.
        photon: (label, 2) alpha_x and beta_x.
        effect: (label, dose) -ln S.
        effect_se: (label, dose) standard error.
    """

    channels: npt.NDArray[np.float32]
    block: npt.NDArray[np.int64]
    voxel: npt.NDArray[np.int64]
    photon: Floats
    effect: npt.NDArray[np.float32]
    effect_se: npt.NDArray[np.float32]


def rows(
    plans: Sequence[LabelledPlan],
    channel_set: ChannelSet,
    doses: Sequence[float],
    lines_per_voxel: int,
    rng: np.random.Generator,
) -> Rows:
    """Rows of all realisations of all plans; every voxel is labelled for a few cell lines drawn at random."""
    D, n_lines = np.asarray(doses, dtype=float), len(plans[0].photon)
    per_voxel = min(lines_per_voxel, n_lines)
    parts: list[tuple[npt.NDArray[np.generic], ...]] = []
    offset = 0
    for plan in plans:
        for run in plan.realisations:
            mask = plan.evaluated & run.answerable
            at = np.argwhere(mask)
            seen = channels(run, channel_set)[:, mask].T
            voxel = np.repeat(np.arange(len(at)), per_voxel)
            line = rng.permuted(np.tile(np.arange(n_lines), (len(at), 1)), axis=1)[:, :per_voxel].ravel()
            alpha, sqrt_beta = (values[:, mask][line, voxel][:, None] for values in (plan.alpha, plan.sqrt_beta))
            value, error = effect(D, alpha, sqrt_beta**2), np.zeros((len(voxel), len(D)))
            voxel, line, value, error = _with_direct(plan, mask, voxel, line, value, error)
            parts.append((seen, plan.cube[mask], voxel + offset, plan.photon[line], value, error))
            offset += len(at)
    seen, block, voxel, photon, value, error = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Rows(
        seen.astype(np.float32), block.astype(np.int64), voxel.astype(np.int64), photon.astype(float),
        value.astype(np.float32), error.astype(np.float32),
    )  # fmt: skip


def _with_direct(
    plan: LabelledPlan,
    mask: npt.NDArray[np.bool_],
    voxel: npt.NDArray[np.int64],
    line: npt.NDArray[np.int64],
    value: Floats,
    error: Floats,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Floats, Floats]:
    """Labels with the simulated voxels in place of the table's, repeated until they are half of all."""
    row = np.full(mask.shape, -1)
    row[mask] = np.arange(int(mask.sum()))
    direct = [(int(row[at]), *rest) for at, *rest in plan.direct if row[at] >= 0]
    if not direct:
        return voxel, line, value, error
    rows_of, lines_of, effects, errors = (np.array(column) for column in zip(*direct, strict=True))
    keep = ~np.isin(voxel, rows_of)
    n = max(1, int(keep.sum()) // len(rows_of))
    again = np.tile(np.arange(len(rows_of)), n)
    return (
        np.concatenate([voxel[keep], rows_of[again]]),
        np.concatenate([line[keep], lines_of[again]]),
        np.concatenate([value[keep], effects[again]]),
        np.concatenate([error[keep], errors[again]]),
    )
