"""The chosen voxels and those held out to judge the surrogate, as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from surrogate3d.errors import FormatError, QuantityError, ValueRangeError
from surrogate3d.sampling.candidates import PlanFeatures
from surrogate3d.sampling.sampler import Sampler, VoxelKey, key_of, points_of
from surrogate3d.sampling.similarity import distance_to_nearest

SCHEMA = "surrogate3d.selection/1"
ROLES = ("chosen", "worst", "random")


@dataclass(frozen=True)
class SelectedVoxel:
    """One voxel to simulate.

    Attributes:
        field_id: name of the plan's field.
        voxel: (i, j, k).
        role: "chosen" for training; "worst" and "random" are held out for testing.
        inclusion_probability: known probability of being in the design, or None. For "random" it is that of a simple
            random sample of all masked voxels that were not chosen.
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
        n_candidates: coarse cubes with a masked voxel.
    """

    voxels: tuple[SelectedVoxel, ...]
    cube_mm: float
    threshold: float
    seed: int
    budget: int
    n_candidates: int

    @property
    def all_candidates_taken(self) -> bool:
        """Whether the budget was at least the number of candidates, so that similarity decided nothing."""
        return self.budget >= self.n_candidates

    @property
    def statement(self) -> str:
        """One sentence on the choice, for logs and reports."""
        chosen = len(self.of_role("chosen"))
        if self.all_candidates_taken:
            return (
                f"all {chosen} candidates are taken (budget {self.budget}, one per {self.cube_mm:g} mm cube); "
                "smaller cubes would offer more"
            )
        return (
            f"{chosen} of {self.n_candidates} candidates (one per {self.cube_mm:g} mm cube) are taken; every other one "
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
    plans: Sequence[PlanFeatures], budget: int, cube_mm: float, seed: int, n_worst: int, n_random: int
) -> Selection:
    """Choose the voxels worth a full simulation, and others to test the surrogate on.

    Args:
        plans: masked voxels by plan.
        budget: voxels to choose over all plans; when it exceeds the candidates, all are taken and `statement` says so.
        cube_mm: edge of the coarse cubes, mm.
        seed: seed of all lots.
        n_worst: held-out voxels that are least similar to the chosen ones.
        n_random: held-out voxels drawn at random from all that were not chosen.

    Returns:
        The design. Deterministic; independent of the order of plans.

    Raises:
        ValueRangeError: the budget is below 1, or a held-out number is negative.
        QuantityError: `cube_mm` is not positive, or two plans have one field name.
    """
    sampler = Sampler(plans, budget, cube_mm, seed)
    chosen = sampler.ask(budget)
    voxels = [SelectedVoxel(key.field_id, key.voxel, "chosen", sampler.inclusion_probability(key)) for key in chosen]
    voxels += held_out(plans, chosen, seed, n_worst, n_random)
    return Selection(tuple(voxels), float(cube_mm), sampler.threshold, seed, budget, sampler.n_candidates)


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
    ordered = sorted(plans, key=lambda plan: plan.field_id)
    taken = set(chosen)
    keys, distance = _distances_to_chosen(ordered, taken)
    free = np.array([n for n, key in enumerate(keys) if key not in taken], dtype=int)
    lot = np.random.default_rng([seed, len(ROLES)]).permutation(len(free))
    drawn, rest = free[np.sort(lot[:n_random])], free[np.sort(lot[n_random:])]
    worst = rest[np.argsort(-distance[rest], kind="stable")[:n_worst]]
    probability = len(drawn) / len(free) if len(free) else None
    return [SelectedVoxel(keys[n].field_id, keys[n].voxel, "worst", None) for n in worst] + [
        SelectedVoxel(keys[n].field_id, keys[n].voxel, "random", probability) for n in drawn
    ]


def _distances_to_chosen(
    plans: Sequence[PlanFeatures], taken: set[VoxelKey]
) -> tuple[list[VoxelKey], np.ndarray[tuple[int], np.dtype[np.float64]]]:
    """Keys of all masked voxels in the order of plans and places, and their distance to the nearest taken one."""
    rows = [np.argsort(plan.flat_index) for plan in plans]
    keys = [[key_of(plan, row) for row in order] for plan, order in zip(plans, rows, strict=True)]
    points = [points_of(plan, order) for plan, order in zip(plans, rows, strict=True)]
    is_taken = [np.array([key in taken for key in part], dtype=bool) for part in keys]
    chosen = np.concatenate([p[mask] for p, mask in zip(points, is_taken, strict=True)])
    return [key for part in keys for key in part], np.concatenate([distance_to_nearest(p, chosen) for p in points])
