"""Train the model for plans without spectra, on plans that have them."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

import surrogate3d
from surrogate3d.direct.task import DOSE_LADDER, VoxelResponse
from surrogate3d.errors import QuantityError, UnknownNameError
from surrogate3d.grid import DoseField, Field
from surrogate3d.model.dose_channels import CHANNEL_SETS, ChannelSet
from surrogate3d.model.reduced_bundle import ReducedCard, ReducedModel, VariantCard
from surrogate3d.model.regression import RegressionNetwork
from surrogate3d.pipeline.let_only_errors import OBLIQUE, errors_without_spectra, quartic_in_LET, true_effect
from surrogate3d.pipeline.plan_pairs import TrainingLine
from surrogate3d.training.dose_examples import LabelledPlan, crossed, labelled_plan, rows
from surrogate3d.training.dose_geometry import varied
from surrogate3d.training.regression import FittedRegression, LetOnlyConfig, fit_let_only

Floats = npt.NDArray[np.float64]
Progress = Callable[[str], None]

JUDGED_LINES = 2
"""How many of the cell lines, the first ones, plans that are left out are judged for."""


@dataclass(frozen=True, eq=False)
class LetOnlyPlan:
    """One plan of the training set.

    Attributes:
        name: for the card.
        low: the run with few histories.
        high: the run with many; its spectra give the labels.
        ids: field ids of all runs.
        more: further runs, as realisations of other statistics.
        responses: simulated voxels of `high`, if any.
    """

    name: str
    low: Field
    high: Field
    ids: tuple[str, ...] = ()
    more: tuple[DoseField, ...] = ()
    responses: Sequence[VoxelResponse] = field(default_factory=tuple)

    def __post_init__(self) -> None:
        self.low.require_same_plan(self.high, f"low- and high-statistics run of the training plan {self.name}")


def train_let_only(
    plans: Sequence[LetOnlyPlan],
    lines: Sequence[TrainingLine],
    config: LetOnlyConfig,
    seed: int,
    progress: Progress | None = None,
    unseen: str | None = None,
) -> ReducedModel:
    """Train one network for each set of channels.

    Beside each, one is trained without each plan in turn: its error there, on the plan as it is and as an oblique beam
    would leave it, stands in the card and calibrates the predicted deviation.

    Args:
        plans: with runs of few and of many histories.
        lines: cell lines with their tables.
        config: how to train.
        seed: of everything random.
        progress: called with a sentence after every network.
        unseen: name of a cell line that networks which are trained without a plan do not see either, so that the error
            on an unseen line is known. The model itself is trained with it.

    Raises:
        QuantityError: the plans differ in ion, kind of dose or LET definition.
        UnknownNameError: `unseen` is none of the lines.
    """
    definitions, judging = _require_alike(plans), _Judging.of(plans, lines, unseen)
    tables = [(each.line.alpha_x, each.line.beta_x, each.table) for each in lines]
    labelled = [
        labelled_plan((plan.low, *plan.more, plan.high), plan.high, tables, plan.responses, DOSE_LADDER, n)
        for n, plan in enumerate(plans)
    ]
    sets = [each for each in CHANNEL_SETS if "LET_t" in definitions or not each.track_LET]
    networks: list[RegressionNetwork] = []
    cards: list[VariantCard] = []
    for n, channel_set in enumerate(sets):
        fitted = fit_variant(labelled, channel_set, config, seed + n)
        left_out = _left_out(judging, labelled, channel_set, config, seed + n)
        networks.append(fitted.network)
        cards.append(_variant_card(channel_set, fitted, left_out, config))
        if progress is not None:
            progress(f"{channel_set.name}: {fitted.steps} steps, held voxels {100 * fitted.held_rms:.2f} %")
    return ReducedModel(tuple(networks), _card(plans, lines, tuple(cards), config, seed))


def _card(
    plans: Sequence[LetOnlyPlan],
    lines: Sequence[TrainingLine],
    variants: tuple[VariantCard, ...],
    config: LetOnlyConfig,
    seed: int,
) -> ReducedCard:
    return ReducedCard(
        variants=variants,
        doses=DOSE_LADDER,
        cell_lines=tuple((each.line.name, each.line.alpha_x, each.line.beta_x) for each in lines),
        primaries=("H",),
        let_definitions=_require_alike(plans),
        dose_name=plans[0].low.dose_name,
        spacing_mm=tuple(dict.fromkeys(plan.low.grid.spacing_mm for plan in plans)),
        training=_history(plans, config, seed),
    )


def fit_variant(
    plans: Sequence[LabelledPlan], channel_set: ChannelSet, config: LetOnlyConfig, seed: int
) -> FittedRegression:
    """Train the network of one set of channels on other geometries too; without an axis, on crossing beams as well."""
    rng = np.random.default_rng(seed)
    copies = [varied(plan, rng) for _ in range(config.copies) for plan in plans]
    made_up = [] if channel_set.axis else [_crossed([*plans, *copies], rng) for _ in range(config.crossings)]
    examples = rows([*plans, *copies, *made_up], channel_set, DOSE_LADDER, config.lines_per_voxel, rng)
    return fit_let_only(examples, DOSE_LADDER, config, seed)


def _crossed(plans: Sequence[LabelledPlan], rng: np.random.Generator) -> LabelledPlan:
    first, second = (plans[int(rng.integers(len(plans)))] for _ in range(2))
    return crossed(first, second, rng)


@dataclass(frozen=True, eq=False)
class _Judging:
    """What networks are judged on that were trained without a plan.

    Attributes:
        plans: all.
        lines: all.
        unseen: which of them such networks do not see either; None for none.
        truths: effect at 2 Gy of each plan, for each of the first lines.
    """

    plans: Sequence[LetOnlyPlan]
    lines: Sequence[TrainingLine]
    unseen: int | None
    truths: list[list[Floats]]

    @staticmethod
    def of(plans: Sequence[LetOnlyPlan], lines: Sequence[TrainingLine], unseen: str | None) -> _Judging:
        names = [each.line.name for each in lines]
        if unseen is not None and unseen not in names:
            raise UnknownNameError(f"{unseen} is to be left out, but the lines of the training are {', '.join(names)}")
        truths = [[true_effect(plan.high, each.table) for each in lines[:JUDGED_LINES]] for plan in plans]
        return _Judging(plans, lines, None if unseen is None else names.index(unseen), truths)

    def errors(self, n: int, model: ReducedModel, channel_set: ChannelSet) -> list[dict[str, Any]]:
        """Of a model on plan `n`, beside those of the quartic in LET_d of the other plans."""
        plan, found = self.plans[n], []
        for m, each in enumerate(self.lines[:JUDGED_LINES]):
            known = [(other.low, self.truths[p][m]) for p, other in enumerate(self.plans) if p != n]
            quartic = quartic_in_LET(known, each.line)
            told = {"plan": plan.name, "cell_line": each.line.name, "line_seen": m != self.unseen}
            for slope in (0.0, OBLIQUE):
                errors = errors_without_spectra(
                    plan.low, plan.high, self.truths[n][m], model, each.line, channel_set, slope, quartic
                )
                found.append({**told, "slope": slope, **errors})
        return found


def _left_out(
    judging: _Judging, labelled: Sequence[LabelledPlan], channel_set: ChannelSet, config: LetOnlyConfig, seed: int
) -> list[dict[str, Any]]:
    """What training without each plan is worth on its run with fewest histories."""
    found = []
    for n in range(len(labelled) if len(labelled) > 1 else 0):
        rest = [plan for m, plan in enumerate(labelled) if m != n]
        if judging.unseen is not None:
            rest = [plan.without_line(judging.unseen) for plan in rest]
        fitted = fit_variant(rest, channel_set, config, seed)
        variant = _variant_card(channel_set, fitted, [], config, 1.0)
        plans = [plan for m, plan in enumerate(judging.plans) if m != n]
        model = ReducedModel((fitted.network,), _card(plans, judging.lines, (variant,), config, seed))
        found += judging.errors(n, model, channel_set)
    return found


def _variant_card(
    channel_set: ChannelSet,
    fitted: FittedRegression,
    left_out: list[dict[str, Any]],
    config: LetOnlyConfig,
    std_scale: float | None = None,
) -> VariantCard:
    ratios = [row["rms_over_predicted"] for row in left_out]
    if std_scale is None:
        std_scale = float(np.sqrt(np.mean(np.square(ratios)))) if ratios else max(1.0, fitted.held_ratio)
    return VariantCard(
        channel_set=channel_set,
        channels=channel_set.channels,
        channel_low=fitted.channel_low,
        channel_high=fitted.channel_high,
        width=config.width,
        prior=fitted.prior,
        std_scale=std_scale,
        left_out=left_out,
    )


def _require_alike(plans: Sequence[LetOnlyPlan]) -> dict[str, dict[str, Any]]:
    """Refuse plans that one model cannot serve; the LET definitions that they share."""
    runs = [run for plan in plans for run in (plan.low, plan.high, *plan.more)]
    if {run.primary for run in runs} != {"H"}:
        found = ", ".join(sorted({str(run.primary) for run in runs}))
        raise QuantityError(f"the model without spectra is for protons, and LET_d says little of ions; found {found}")
    if len({run.dose_name for run in runs}) > 1:
        raise QuantityError("the training runs differ in the kind of dose; use dose to water in all or in none")
    shared = {}
    for name in ("LET_d", "LET_t"):
        if not all(name in run.volumes for run in runs):
            continue
        words = [asdict(run.let_definitions[name]) | {"source": ""} for run in runs if name in run.let_definitions]
        if len(words) < len(runs) or any(each != words[0] for each in words):
            raise QuantityError(f"the training runs differ in the definition of {name}, or lack it; score it alike")
        shared[name] = words[0]
    if "LET_d" not in shared:
        raise QuantityError("a training run has no LET_d; score it in all")
    return shared


def _history(plans: Sequence[LetOnlyPlan], config: LetOnlyConfig, seed: int) -> dict[str, Any]:
    return {
        "plans": [
            {"name": plan.name, "fields": list(plan.ids), "histories": [plan.low.histories, plan.high.histories],
             "responses": len(plan.responses)}
            for plan in plans
        ],
        "truth": "zr_table on the high-statistics spectra, in every voxel above 5 % of the largest dose",
        "seed": seed,
        "config": asdict(config),
        "versions": {
            "surrogate3d": surrogate3d.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }  # fmt: skip
