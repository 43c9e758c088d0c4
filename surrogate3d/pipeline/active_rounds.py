"""The rounds of a closed loop: choose voxels, simulate them, train on all, judge on those held out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from surrogate3d.direct.curve import effect_at
from surrogate3d.direct.ledger import Ledger
from surrogate3d.direct.ledger_records import VoxelFailure
from surrogate3d.direct.task import REFERENCE_DOSE, VoxelResponse
from surrogate3d.errors import ConfigError, StoreError, ValueRangeError
from surrogate3d.grid import SPECIES_Z, Field
from surrogate3d.inference.curves import predict_curves
from surrogate3d.model.bundle import Surrogate, load_bundle
from surrogate3d.physics.cell_line import cell_line
from surrogate3d.pipeline.active_judgement import SETS, Key, judge
from surrogate3d.pipeline.active_state import State
from surrogate3d.pipeline.design import SimulationSettings, campaign, features
from surrogate3d.pipeline.plan_pairs import PlanPair
from surrogate3d.pipeline.training import train
from surrogate3d.sampling import PlanFeatures, Sampler, SelectedVoxel, Selection, VoxelKey, select, strategy
from surrogate3d.training.settings import TrainConfig

Report = Callable[[Mapping[str, Any]], None]
Steps = Callable[[str, int, int], None]
Responses = dict[Key, VoxelResponse]


@dataclass(frozen=True)
class ActiveSettings:
    """How the loop runs. The first three say when it ends; they may change when it is taken up again.

    Attributes:
        target_nrmse: the loop ends when every bound is at most this; see `active_judgement`.
        budget: voxels to simulate for training, at most; the held-out ones come on top.
        cpu_hours: no round begins after so much CPU time, of simulation and training together; None for no limit.
        batch: voxels that a round adds.
        n_worst: held-out voxels that are least similar to a design of the whole budget, over all plans.
        n_random: held-out voxels drawn at random, over all plans.
        cube_mm: edge of the coarse cubes, mm.
        min_dose_fraction: voxels with less of their field's largest dose are neither chosen nor held out.
        fraction_dose_gy: dose at which -ln S is judged, Gy.
        seed: of choice and training.
        acquisition: how voxels are chosen, of `sampling.STRATEGIES`. `ensemble` takes those on which the networks of
            the round before disagree most; its first round is `adaptive`, and voxels out of the model's domain, where
            all networks give way to the same table, are never its first choice.

    Raises:
        ConfigError: a number that has no meaning.
        UnknownNameError: there is no such acquisition.
    """

    target_nrmse: float = 0.01
    budget: int = 500
    cpu_hours: float | None = None
    batch: int = 50
    n_worst: int = 100
    n_random: int = 100
    cube_mm: float = 10.0
    min_dose_fraction: float = 0.05
    fraction_dose_gy: float = REFERENCE_DOSE
    seed: int = 0
    acquisition: str = "lcmd"

    def __post_init__(self) -> None:
        strategy(self.acquisition)
        if not 0 < self.target_nrmse < 1 or min(self.budget, self.batch) < 1 or self.seed < 0:
            raise ConfigError("the loop needs a target NRMSE in (0, 1), a budget and a batch >= 1, and a seed >= 0")
        if min(self.n_worst, self.n_random) < 1 or (self.cpu_hours is not None and self.cpu_hours <= 0):
            raise ConfigError("the loop needs at least one held-out voxel of each set, and CPU hours above 0")


class Plans(NamedTuple):
    """The runs, by field id of the better one of each pair.

    Attributes:
        low: few histories, with their field ids.
        high: many histories.
        checked: the same, with the checks of their spectra.
    """

    low: dict[str, tuple[str, Field]]
    high: dict[str, Field]
    checked: dict[str, Field]


class ActiveLoop:
    """One loop with all that it needs; arguments as of `active.run_active`."""

    def __init__(
        self,
        plans: Plans,
        state: State,
        simulation: SimulationSettings,
        config: TrainConfig,
        settings: ActiveSettings,
        steps: Steps,
    ) -> None:
        self._plans, self._state, self._simulation = plans, state, simulation
        self._config, self._settings, self._steps = config, settings, steps
        self._lines = [cell_line(name) for name in simulation.cell_lines]
        species = sorted({s for f in plans.high.values() for s in f.spectra.axes.species}, key=SPECIES_Z.__getitem__)
        self._features = [
            features(name, field, species, settings.min_dose_fraction, None) for name, field in plans.checked.items()
        ]
        self._failed: list[VoxelFailure] = []

    def run(self, report: Report) -> tuple[str, list[VoxelFailure]]:
        """Do all rounds that are not done yet; why the loop ended, and which voxels failed in this run."""
        held = self._state.selection("held_out", self._hold_out)
        if held is None:
            raise ValueRangeError("there are no voxels to hold out")
        truth = self._simulate(held.voxels, "held-out voxels")
        for done in self._state.rounds:
            report(done)
        chosen = self._chosen_before()
        labels = self._simulate(chosen, f"voxels of round {len(self._state.rounds)}") if chosen else {}
        while not (reason := self._reason(labels)):
            number = len(self._state.rounds) + 1
            told = _answered(chosen, labels, self._simulation.cell_lines)
            selection = self._state.selection(_name(number), partial(self._choose, held, told))
            if selection is None:
                reason = "candidates"
                break
            chosen = selection.of_role("chosen")
            labels = self._simulate(chosen, f"voxels of round {number}")
            self._state.add_round(self._train_and_judge(number, held.voxels, truth, labels))
            report(self._state.rounds[-1])
        return reason, self._failed

    def _chosen_before(self) -> list[SelectedVoxel]:
        """Voxels of the last round that was finished."""
        if not self._state.rounds:
            return []
        last = self._state.selection(_name(len(self._state.rounds)), lambda: None)
        if last is None:
            raise StoreError(f"{self._state.folder} lacks the selection of its last round; begin in another folder")
        return last.of_role("chosen")

    def _reason(self, labels: Responses) -> str:
        """Why no further round begins; empty if one does."""
        rounds, settings = self._state.rounds, self._settings
        if not rounds:
            return ""
        if rounds[-1]["bound"] is not None and rounds[-1]["bound"] <= settings.target_nrmse:
            return "target"
        if _n_voxels(labels) >= settings.budget:
            return "budget"
        hours = self._state.core_seconds / 3600
        return "cpu_hours" if settings.cpu_hours is not None and hours >= settings.cpu_hours else ""

    def _hold_out(self) -> Selection:
        """Held-out voxels: random ones, and those least similar to a design of the whole budget."""
        s = self._settings
        design = select(self._features, s.budget, s.cube_mm, s.seed, s.n_worst, s.n_random, "adaptive")
        voxels = tuple(voxel for role in SETS for voxel in design.of_role(role))
        counts = {role: sum(voxel.role == role for voxel in voxels) for role in SETS}
        if counts != {"worst": s.n_worst, "random": s.n_random}:
            raise ValueRangeError(
                f"expected {s.n_worst} worst-case and {s.n_random} random voxels to hold out, found {counts['worst']} "
                f"and {counts['random']} beside a design of {s.budget}; ask for fewer"
            )
        return replace(design, voxels=voxels)

    def _choose(self, held: Selection, told: Sequence[SelectedVoxel]) -> Selection | None:
        """The selection of the next round: what has been answered, and a batch of others; None if there are no others.

        The first round takes one voxel of every plan before all else: a plan without a label cannot be trained on.
        """
        s, barred = self._settings, {VoxelKey(voxel.field_id, voxel.voxel) for voxel in held.voxels}
        pool = [_without(plan, barred) for plan in self._features]
        way = s.acquisition if told or s.acquisition != "ensemble" else "adaptive"
        members = self._members(pool) if way == "ensemble" else None
        sampler = Sampler(pool, s.budget, s.cube_mm, s.seed, way, members=members)
        lost = {VoxelKey(f.field_id, f.voxel) for f in Ledger(self._state.ledger).failures().values()} - barred
        sampler.tell([VoxelKey(voxel.field_id, voxel.voxel) for voxel in told], lost)
        new: list[VoxelKey] = []
        if not told and len(pool) > 1:
            new = [key for plan in pool for key in Sampler([plan], 1, s.cube_mm, s.seed).ask(1)][: s.batch]
            sampler.tell(new)
        new += sampler.ask(min(s.batch, s.budget - len(told)) - len(new))
        if not new:
            return None
        added = [SelectedVoxel(key.field_id, key.voxel, "chosen", sampler.inclusion_probability(key)) for key in new]
        return replace(
            held,
            voxels=(*told, *added, *held.voxels),
            threshold=sampler.threshold,
            budget=len(told) + len(added),
            n_candidates=sampler.n_candidates,
            strategy=way,
        )

    def _members(self, pool: Sequence[PlanFeatures]) -> dict[str, npt.NDArray[np.float64]]:
        """(member, row) -ln S at the fraction dose that each network of the last round predicts, by field id.

        Where there is no answer all are 0: nothing to disagree about.
        """
        surrogate, found = load_bundle(self._state.bundle(len(self._state.rounds))), {}
        for plan in pool:
            low, at = self._plans.low[plan.field_id][1], tuple(plan.voxels.T)
            rows = []
            for each in single_networks(surrogate):
                curves = predict_curves(low, each, self._lines[0])
                effect = effect_at(self._settings.fraction_dose_gy, curves.doses, curves.effect)
                rows.append(np.nan_to_num(curves.volume(effect)[at]))
            found[plan.field_id] = np.stack(rows)
        return found

    def _simulate(self, voxels: Sequence[SelectedVoxel], stage: str) -> Responses:
        """Responses of voxels, from the ledger where it has them; what failed is left out and noted."""
        spending = _Spending(self._state, stage, self._steps)
        done = campaign(voxels, self._plans.checked, self._state.ledger, self._simulation, spending)
        spending.end(done.core_seconds)
        self._failed = [*self._failed, *(f for f in done.failures if f not in self._failed)]
        return {(r.field_id, r.voxel, r.cell_line): r for r in done.responses}

    def _train_and_judge(
        self, number: int, held: Sequence[SelectedVoxel], truth: Responses, labels: Responses
    ) -> dict[str, Any]:
        """The round, as it is kept."""
        start, stage = time.process_time(), f"training of round {number}"
        before = self._state.cost(stage)
        surrogate, bundle_id = self._state.model(number, lambda: self._train(number, labels, held))
        curves = {
            (name, line.name): predict_curves(field, surrogate, line)
            for name, (_, field) in self._plans.low.items()
            for line in self._lines
        }
        errors = judge(held, truth, curves, self._lines, self._settings.fraction_dose_gy, number)
        self._state.spent(stage, before + time.process_time() - start)
        worst = max(errors, key=lambda error: (error.bound, error.nrmse_net))
        return {
            "round": number,
            "labels": _n_voxels(labels),
            "error": worst.to_json()["nrmse_net"],
            "bound": worst.to_json()["bound"],
            "worst": {"role": worst.role, "cell_line": worst.cell_line, "quantity": worst.quantity},
            "errors": [error.to_json() for error in errors],
            "bundle_id": bundle_id,
            "core_seconds": self._state.core_seconds,
        }

    def _train(self, number: int, labels: Responses, held: Sequence[SelectedVoxel]) -> Surrogate:
        """The model of a round; nothing is learnt from a held-out voxel, neither from its label nor its spectrum.

        The kernels do not depend on labels, so all rounds share one folder of checkpoints: after the first round the
        training goes on from trained kernels, to the same weights as one that begins anew.
        """
        pairs = [
            PlanPair(
                low_id, low, name, high, [r for r in labels.values() if r.field_id == name], _learnt(name, high, held)
            )
            for (name, high), (low_id, low) in zip(self._plans.high.items(), self._plans.low.values(), strict=True)
        ]
        report = partial(self._steps, f"training of round {number}")
        names, seed = self._simulation.cell_lines, self._settings.seed
        return train(pairs, names, self._config, seed, report, state=self._state.training)


def _learnt(name: str, field: Field, held: Sequence[SelectedVoxel]) -> npt.NDArray[np.bool_]:
    """(i, j, k) voxels that may be learnt from."""
    mask = np.ones(field.grid.shape, dtype=bool)
    for voxel in held:
        if voxel.field_id == name:
            mask[voxel.voxel] = False
    return mask


def single_networks(surrogate: Surrogate) -> list[Surrogate]:
    """An ensemble as surrogates of one network each."""
    return [replace(surrogate, networks=(n,), card=replace(surrogate.card, members=1)) for n in surrogate.networks]


class _Spending:
    """Progress of a campaign that keeps account of what it costs, also if it is killed (`CostedProgress`)."""

    def __init__(self, state: State, stage: str, steps: Steps) -> None:
        self._state, self._stage, self._steps = state, stage, steps
        self._before = state.cost(stage)

    def __call__(self, done: int, total: int) -> None:
        self._steps(self._stage, done, total)

    def cost(self, core_seconds: float, free: int) -> None:
        """CPU time of this run so far, s."""
        self._state.spent(self._stage, self._before + core_seconds, whole=False)

    def end(self, core_seconds: float) -> None:
        """CPU time of the whole run, s."""
        self._state.spent(self._stage, self._before + core_seconds)


def _name(number: int) -> str:
    return f"round_{number:03d}.selection"


def _n_voxels(responses: Responses) -> int:
    return len({(field, voxel) for field, voxel, _ in responses})


def _answered(chosen: Sequence[SelectedVoxel], labels: Responses, cell_lines: Sequence[str]) -> list[SelectedVoxel]:
    """Chosen voxels that did not fail, in order."""
    return [v for v in chosen if all((v.field_id, v.voxel, line) in labels for line in cell_lines)]


def _without(plan: PlanFeatures, barred: set[VoxelKey]) -> PlanFeatures:
    """A plan without some of its voxels."""
    i, j, k = plan.voxels.T.tolist()
    keep = np.array([VoxelKey(plan.field_id, v) not in barred for v in zip(i, j, k, strict=True)], dtype=bool)
    traits = {name: values[keep] for name, values in plan.traits.items()}
    return replace(
        plan, dose_fractions=plan.dose_fractions[keep], dose=plan.dose[keep], voxels=plan.voxels[keep], traits=traits
    )
