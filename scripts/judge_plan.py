"""All figures of one plan and one cell line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from judge_figures import (
    Row,
    against_rows,
    best_uniform,
    coverage_rows,
    domain_rows,
    error_rows,
    gamma_rows,
    residual_rows,
)
from judge_inputs import Mask, Plan, Truth, inputs, median_tracks, seen_voxels, standing
from judge_methods import (
    GROUPED,
    SURROGATE,
    TABLE,
    Interval,
    Maps,
    Quartic,
    answer,
    cheap_answers,
    maps_of_curves,
    own_interval,
)

from surrogate3d.errors import BundleError
from surrogate3d.inference.curves import CurveMap
from surrogate3d.inference.domain import require_fit
from surrogate3d.model.bundle import Surrogate
from surrogate3d.physics.cell_line import CellLine

IN_GAMMA = (TABLE, GROUPED, SURROGATE)


@dataclass(frozen=True, eq=False)
class Judge:
    """One plan and one cell line.

    Attributes:
        plan: with its input and reference.
        line: cell line.
        truths: of the same plan and line.
        quartic: in LET_d, for the run as it is (its LET_d was not thinned); None for none.
        interval: how a 90 % interval follows from the curves.
    """

    plan: Plan
    line: CellLine
    truths: Sequence[Truth]
    quartic: Quartic | None = None
    interval: Interval = own_interval

    def rows(self, models: Mapping[str, Surrogate], seeds: int) -> Iterator[Row]:
        """Every figure of every model, level and thinning seed; a refusal of the plan is a row, too."""
        refused = [(name, reason) for name, model in models.items() if (reason := self._refusal(model))]
        for name, reason in refused:
            for part in self.plan.parts:
                yield self._about(name, models[name], part) | {"figure": "refusal", "n": 0, "reason": reason}
        models = {name: model for name, model in models.items() if name not in dict(refused)}
        for level, seed, field in inputs(self.plan, seeds):
            cheap = cheap_answers(field, self.plan.dose_gy, self.line, self.quartic if level == "real" else None)
            for name, model in models.items():
                curves = answer(field, model, self.line)
                for part, voxels in self.plan.parts.items():
                    tracks = median_tracks(field, voxels & self.plan.judged)
                    about = self._about(name, model, part) | {"level": level, "thinning": seed, "tracks": tracks}
                    yield from self._of_input(cheap, curves, self._masks(model, part), about)
                    if level == "real":
                        yield from self._own_dose(curves, self._masks(model, part), about)
        for name, model in models.items():
            yield from self._residual(name, model)

    def _refusal(self, model: Surrogate) -> str:
        """Why the model does not take this plan; empty when it does."""
        try:
            require_fit(self.plan.low, model.card, self.line)
        except BundleError as error:
            return str(error)
        return ""

    def _about(self, name: str, model: Surrogate, part: str) -> Row:
        return {
            "plan": self.plan.name, "part": part, "line": self.line.name, "model": name,
            "standing": standing(self.plan.parts[part], seen_voxels(self.plan, model.card)),
            "knows_ion": self.plan.primary in model.card.primaries,
        }  # fmt: skip

    def _masks(self, model: Surrogate, part: str) -> dict[str, Mask]:
        """Regions without the voxels trained on; the cheap methods are judged on the same."""
        masks, seen = self.plan.masks(part), seen_voxels(self.plan, model.card)
        return masks if seen is None else {n: mask & ~seen for n, mask in masks.items() if (mask & ~seen).any()}

    def _of_input(
        self, cheap: Mapping[str, Maps], curves: CurveMap, masks: dict[str, Mask], about: Row
    ) -> Iterator[Row]:
        answers = {**cheap, SURROGATE: self._maps(curves)}
        names = self.plan.region_names
        half_width = curves.volume(self.interval(curves, names[curves.mask]))
        for truth in self.truths:
            errors = list(error_rows(answers, truth, masks, about))
            yield from errors
            yield from best_uniform(errors)
            yield from against_rows(
                answers, truth, masks["all"], self.plan.low.beam_axis, np.random.default_rng(3), about
            )
            yield from coverage_rows(answers[SURROGATE], half_width, truth, masks, names, about)
        yield from domain_rows(curves.out_of_domain | ~curves.mask, masks, about)
        yield from self._gamma(answers, masks, about | {"dose": "of the truth"})

    def _own_dose(self, curves: CurveMap, masks: dict[str, Mask], about: Row) -> Iterator[Row]:
        """Gamma with the noisy dose of the input, too: what a user has."""
        answers = cheap_answers(self.plan.low, self.plan.own_dose_gy, self.line, None)
        doses, effects, mask = curves.doses, curves.effect, curves.mask
        answers[SURROGATE] = maps_of_curves(doses, effects, mask, self.plan.own_dose_gy, self.line)
        yield from self._gamma(answers, masks, about | {"dose": "of the input"})

    def _gamma(self, answers: Mapping[str, Maps], masks: dict[str, Mask], about: Row) -> Iterator[Row]:
        compared = {name: answers[name] for name in IN_GAMMA}
        for truth in self.truths:
            if truth.name == "zr_table":  # the simulated one is of scattered voxels
                yield from gamma_rows(self.plan, compared, truth, masks, about)

    def _residual(self, name: str, model: Surrogate) -> Iterator[Row]:
        """Table and surrogate on the high run itself, against direct simulation."""
        simulated = [truth for truth in self.truths if truth.name != "zr_table"]
        if not simulated:
            return
        cheap = cheap_answers(self.plan.high, self.plan.dose_gy, self.line, None)
        answers = {TABLE: cheap[TABLE], GROUPED: cheap[GROUPED]}
        answers[SURROGATE] = self._maps(answer(self.plan.high, model, self.line))
        for part in self.plan.parts:
            about = self._about(name, model, part) | {"level": "high"}
            for truth in simulated:
                yield from residual_rows(answers, truth, self._masks(model, part)["all"], about)

    def _maps(self, curves: CurveMap) -> Maps:
        return maps_of_curves(curves.doses, curves.effect, curves.mask, self.plan.dose_gy, self.line)
