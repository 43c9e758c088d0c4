"""The chosen voxels and those held out to judge the surrogate, as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import FormatError, QuantityError, ValueRangeError
from surrogate3d.sampling.acquisition import STRATEGIES
from surrogate3d.sampling.candidates import HELD_OUT, PlanFeatures, in_order
from surrogate3d.sampling.cost import affordable
from surrogate3d.sampling.sampler import Sampler, VoxelKey, key_of, points_of
from surrogate3d.sampling.similarity import FloatArray, distance_to_nearest

SCHEMA = "surrogate3d.selection/1"
ROLES = ("chosen", "worst", "random")
_ROWS_AT_ONCE = 65_536


@dataclass(frozen=True)
class SelectedVoxel:
    """One voxel to simulate.

    Attributes:
        field_id: name of the plan's field.
        voxel: (i, j, k).
        role: "chosen" for training; "worst" and "random" are held out for testing.
        inclusion_probability: known probability of being in the design, or None. For the held-out role "random" it is
            that of a simple random sample of all masked voxels that were not chosen.
    """

    field_id: str
    voxel: tuple[int, int, int]
    role: str
    inclusion_probability: float | None

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise QuantityError(f"role must be one of {', '.join(ROLES)}; found {self.role!r}")


@dataclass(frozen=True)
class Selection:
    """A design: which voxels are simulated, and how they were chosen.

    Attributes:
        voxels: chosen ones in the order of choice (any first n are the design of budget n), then worst, then random.
        cube_mm: edge of the coarse cubes, mm.
        threshold: similarity threshold: every candidate is at most this dissimilar to a chosen one.
        seed: seed of all lots.
        budget: chosen voxels that were asked for.
        n_candidates: coarse cubes with a masked voxel, or all masked voxels, see `Sampler`.
        strategy: of `acquisition.STRATEGIES`.
    """

    voxels: tuple[SelectedVoxel, ...]
    cube_mm: float
    threshold: float
    seed: int
    budget: int
    n_candidates: int
    strategy: str = "adaptive"

    @property
    def all_candidates_taken(self) -> bool:
        """Whether the budget was at least the number of candidates, so that similarity decided nothing."""
        return self.budget >= self.n_candidates

    @property
    def statement(self) -> str:
        """One sentence on the choice, for logs and reports."""
        chosen = len(self.of_role("chosen"))
        cubes = STRATEGIES[self.strategy].one_per_cube if self.strategy in STRATEGIES else False
        what = f"one per {self.cube_mm:g} mm cube" if cubes else "all masked voxels"
        how = "" if self.strategy == "adaptive" else f" by the strategy {self.strategy}"
        if self.all_candidates_taken:
            more = "; smaller cubes would offer more" if cubes else ""
            return f"all {chosen} candidates are taken{how} (budget {self.budget}, {what}){more}"
        return (
            f"{chosen} of {self.n_candidates} candidates ({what}) are taken{how}; every other one "
            f"is within a dissimilarity of {self.threshold:.3g} of a taken one"
        )

    def of_role(self, role: str) -> list[SelectedVoxel]:
        """The voxels of one role, in order."""
        return [voxel for voxel in self.voxels if voxel.role == role]

    def to_json(self) -> dict[str, Any]:
        """Plain data: columns per field; `order` is the place in `voxels`."""
        fields: dict[str, list[tuple[int, SelectedVoxel]]] = {}
        for order, voxel in enumerate(self.voxels):
            fields.setdefault(voxel.field_id, []).append((order, voxel))
        return {
            "schema": SCHEMA,
            "cube_mm": self.cube_mm,
            "threshold": self.threshold,
            "seed": self.seed,
            "budget": self.budget,
            "n_candidates": self.n_candidates,
            "all_candidates_taken": self.all_candidates_taken,
            "strategy": self.strategy,
            "plans": [
                {
                    "field_id": name,
                    "order": [order for order, _ in rows],
                    "voxels": [list(voxel.voxel) for _, voxel in rows],
                    "role": [voxel.role for _, voxel in rows],
                    "inclusion_probability": [voxel.inclusion_probability for _, voxel in rows],
                }
                for name, rows in sorted(fields.items())
            ],
        }

    @staticmethod
    def from_json(data: dict[str, Any]) -> Selection:
        """The inverse of `to_json`.

        Raises:
            FormatError: another schema, a missing key, or columns of different lengths.
        """
        if data.get("schema") != SCHEMA:
            raise FormatError(f"expected a selection of schema {SCHEMA!r}, found {data.get('schema')!r}")
        try:
            rows = sorted((row for plan in data["plans"] for row in _rows(plan)), key=lambda row: row[0])
            return Selection(
                tuple(SelectedVoxel(*row[1:]) for row in rows),
                float(data["cube_mm"]),
                float(data["threshold"]),
                int(data["seed"]),
                int(data["budget"]),
                int(data["n_candidates"]),
                str(data.get("strategy", "adaptive")),  # selections of older versions had no other
            )
        except KeyError as error:
            raise FormatError(f"the selection lacks the key {error}; it was not written whole") from error


def _rows(plan: dict[str, Any]) -> list[tuple[int, str, tuple[int, int, int], str, float | None]]:
    columns = [plan[name] for name in ("order", "voxels", "role", "inclusion_probability")]
    if len({len(column) for column in columns}) != 1:
        raise FormatError(f"the columns of field {plan['field_id']!r} differ in length")
    return [
        (int(order), str(plan["field_id"]), (int(i), int(j), int(k)), str(role), None if p is None else float(p))
        for order, (i, j, k), role, p in zip(*columns, strict=True)
    ]


def select(
    plans: Sequence[PlanFeatures],
    budget: int,
    cube_mm: float,
    seed: int,
    n_worst: int,
    n_random: int,
    strategy: str = "adaptive",
    bins: dict[str, int] | None = None,
    members: Mapping[str, FloatArray] | None = None,
    hours: float = np.inf,
    cost: Mapping[str, FloatArray] | None = None,
) -> Selection:
    """Choose the voxels worth a full simulation, and others to test the surrogate on.

    Args:
        plans: masked voxels by plan.
        budget: voxels to choose over all plans; when it exceeds the candidates, all are taken and `statement` says so.
        cube_mm: edge of the coarse cubes, mm.
        seed: seed of all lots.
        n_worst: held-out voxels that are least similar to the chosen ones.
        n_random: held-out voxels drawn at random from all that were not chosen.
        strategy: of `acquisition.STRATEGIES`.
        bins: see `Sampler`.
        members: see `Sampler`.
        hours: processor time of the chosen voxels in all, h; the order of choice is cut where it is spent.
        cost: (n_masked,) predicted hours of each voxel by field name, such as of `cost.cpu_hours`; needed with `hours`.

    Returns:
        The design. Deterministic; independent of the order of plans, and of how fields are called.

    Raises:
        ValueRangeError: the budget is below 1, a held-out number is negative, or the hours do not buy one voxel.
        QuantityError: `cube_mm` is not positive, two plans have one field name, or hours are given without costs.
        UnknownNameError: there is no such strategy.
    """
    if np.isfinite(hours):
        order = Sampler(plans, budget, cube_mm, seed, strategy, bins, members).ask(budget)
        budget = affordable(_costs(plans, order, cost or {}), hours)
        if not budget:
            raise ValueRangeError(f"{hours:g} hours do not buy the first voxel of the design; give more")
    sampler = Sampler(plans, budget, cube_mm, seed, strategy, bins, members)
    chosen = sampler.ask(budget)
    voxels = [SelectedVoxel(key.field_id, key.voxel, "chosen", sampler.inclusion_probability(key)) for key in chosen]
    voxels += held_out(plans, chosen, seed, n_worst, n_random)
    return Selection(tuple(voxels), float(cube_mm), sampler.threshold, seed, budget, sampler.n_candidates, strategy)


def _costs(plans: Sequence[PlanFeatures], keys: Sequence[VoxelKey], cost: Mapping[str, FloatArray]) -> FloatArray:
    """Cost of each key, in order."""
    by_key: dict[VoxelKey, float] = {}
    for plan in plans:
        if plan.field_id not in cost or cost[plan.field_id].shape != plan.dose.shape:
            raise QuantityError(f"{plan.field_id}: a budget of hours needs the predicted hours of every masked voxel")
        wanted = {key.voxel for key in keys if key.field_id == plan.field_id}
        rows = [row for row, voxel in enumerate(map(tuple, plan.voxels.tolist())) if voxel in wanted]
        by_key |= {key_of(plan, row): float(cost[plan.field_id][row]) for row in rows}
    return np.array([by_key[key] for key in keys])


def held_out(
    plans: Sequence[PlanFeatures], chosen: Sequence[VoxelKey], seed: int, n_worst: int, n_random: int
) -> list[SelectedVoxel]:
    """Voxels for testing, none of them chosen, none twice.

    The random ones are drawn first, from all voxels that are not chosen, so that their mean error estimates that of all
    of these without bias; the worst ones are the least similar of what remains (the "worst case" samples of
    Zhang et al. 2025, doi 10.1007/s10237-025-02034-6). Fewer are returned when the voxels run out.

    Args:
        plans: masked voxels by plan.
        chosen: voxels that are taken for training.
        seed: seed of the lot.
        n_worst: number of least similar voxels.
        n_random: number of random voxels.

    Returns:
        Worst voxels, least similar first, then random ones.

    Raises:
        ValueRangeError: a number is negative.
    """
    if n_worst < 0 or n_random < 0:
        raise ValueRangeError(f"numbers of held-out voxels must not be negative, found {n_worst} and {n_random}")
    ordered = in_order(plans)
    rows = [np.argsort(plan.flat_index) for plan in ordered]
    free, distance = _distances_to_chosen(ordered, rows, chosen)
    lot = np.concatenate([plan.lots(seed, HELD_OUT)[order] for plan, order in zip(ordered, rows, strict=True)])
    by_lot = free[np.argsort(lot[free], kind="stable")]
    drawn, rest = np.sort(by_lot[:n_random]), np.sort(by_lot[n_random:])
    worst = rest[np.argsort(-distance[rest], kind="stable")[:n_worst]]
    start = np.cumsum([0, *(len(order) for order in rows)])

    def voxel(n: int, role: str, probability: float | None) -> SelectedVoxel:
        p = int(np.searchsorted(start, n, side="right")) - 1
        key = key_of(ordered[p], int(rows[p][n - start[p]]))
        return SelectedVoxel(key.field_id, key.voxel, role, probability)

    probability = len(drawn) / len(free) if len(free) else None
    return [voxel(n, "worst", None) for n in worst] + [voxel(n, "random", probability) for n in drawn]


def _distances_to_chosen(
    plans: Sequence[PlanFeatures], rows: Sequence[npt.NDArray[np.int64]], chosen: Sequence[VoxelKey]
) -> tuple[npt.NDArray[np.int64], FloatArray]:
    """Places, among all rows of all plans, that are not chosen, and every place's distance to the nearest chosen."""
    taken, points = [], []
    for plan, order in zip(plans, rows, strict=True):
        voxels = [key.voxel for key in chosen if key.field_id == plan.field_id]
        flat = np.ravel_multi_index(tuple(np.array(voxels, dtype=np.int64).reshape(-1, 3).T), plan.grid.shape)
        taken.append(np.isin(plan.flat_index[order], flat))
        points.append(points_of(plan, order[taken[-1]]))
    centres = np.concatenate(points)
    pieces = [
        distance_to_nearest(points_of(plan, order[n : n + _ROWS_AT_ONCE]), centres)
        for plan, order in zip(plans, rows, strict=True)
        for n in range(0, len(order), _ROWS_AT_ONCE)
    ]
    return np.flatnonzero(~np.concatenate(taken)), np.concatenate(pieces)
