"""All methods of response on the same folds of one cohort, judged side by side.

`surrogate3d response train` and `benchmarks/response.py` share this comparison. The network, radiomics and gradient
features see the same channels of the same lesions in the same folds, and are judged by `evaluation` from what they said
of patients that they had not seen. Where the planted region of every lesion is known, the oracle says what can be
reached, and maps of the network are judged by `localisation` (`held_out_maps` says how).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import UnknownNameError, ValueRangeError
from surrogate3d.grid import Cohort
from surrogate3d.response import classifiers
from surrogate3d.response.activation import METHODS as MAPS
from surrogate3d.response.config import ResponseConfig
from surrogate3d.response.cross_validation import cross_validate
from surrogate3d.response.evaluation import Difference, Judgement, difference, judge
from surrogate3d.response.feature_table import Table
from surrogate3d.response.folds import repeated_folds
from surrogate3d.response.generator import oracle_score
from surrogate3d.response.gradient_features import gradient_features
from surrogate3d.response.held_out_maps import HeldOutMaps, all_checks, held_out_maps, whole_repeat
from surrogate3d.response.localisation import Found, Localisation, localisation, localisation_differences, stacked
from surrogate3d.response.map_scale import MapScale
from surrogate3d.response.patches import patches
from surrogate3d.response.radiomics import radiomic_features
from surrogate3d.response.side_by_side import Progress, run_each
from surrogate3d.training.bootstrap import Estimate

Floats = npt.NDArray[np.float64]
Folds = npt.NDArray[np.int64]
Names = npt.NDArray[np.str_]
Steps = Callable[[str, int, int], None]

Extraction = Callable[[Cohort, tuple[str, ...]], Table]

FEATURES: Mapping[str, Extraction] = {
    "radiomics": radiomic_features,
    "gradient": gradient_features,
}
METHODS = ("network", *FEATURES)

PIXEL_WISE = "hirescam"
"""The kind of map that the others are compared with."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """What the methods said of lesions that they had not seen, and how good that was.

    Attributes:
        patient: (n,) of the lesions that were judged.
        lesion: (n,) names.
        response: (n,) 1 where the lesion responded, 0 where not.
        folds: (repeat, n) in which each lesion was held out, the same for all methods.
        logits: (repeat, n) calibrated log odds of no response, by method.
        judged: scores by method.
        differences: network less each other method; empty without the network.
        oracle_AUC: of a classifier that knows the planted regions; None where they are not known of every lesion.
        found: scores of each lesion by kind of map (`held_out_maps.SLOW` ones of the first repeat only); empty where
            planted regions are not known.
        localised: their means.
        map_differences: hirescam less each other kind of map in the same repeats, by the names of
            `localisation.SCORES`.
        map_scales: by kind of map, what was chosen on the lesions that were learnt from, of each fold of each repeat.
        checks: sanity checks by kind of map (`sanity.MapChecks.summary`), on held-out lesions of the first repeat.
        seconds: wall time by stage: each method, and "maps", whose time in all processes is divided by their number.
        notes: what was left out, in sentences.
    """

    patient: npt.NDArray[np.str_]
    lesion: npt.NDArray[np.str_]
    response: Floats
    folds: Folds
    logits: Mapping[str, Floats]
    judged: Mapping[str, Judgement]
    differences: Mapping[str, Difference]
    oracle_AUC: Estimate | None
    found: Mapping[str, Found]
    localised: Mapping[str, Localisation]
    map_differences: Mapping[str, Mapping[str, Estimate]]
    map_scales: Mapping[str, tuple[MapScale, ...]]
    checks: Mapping[str, Mapping[str, Any]]
    seconds: Mapping[str, float]
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain data of standard JSON: scores, and nothing of single lesions; what is not known is null."""
        one = next(iter(self.judged.values()))
        plain: dict[str, Any] = _plain(
            {
                "lesions": one.lesions,
                "patients": one.patients,
                "responders": one.responders,
                "repeats": len(self.folds),
                "folds": int(self.folds.max()) + 1,
                "methods": self.judged,
                "network_less": self.differences,
                "oracle_AUC": self.oracle_AUC,
                "maps": self.localised,
                f"{PIXEL_WISE}_less": self.map_differences,
                "map_scales": self.map_scales,
                "checks": self.checks,
                "seconds": self.seconds,
                "notes": self.notes,
            }
        )
        return plain


@dataclass(frozen=True, eq=False)
class _Task:
    """What all methods share."""

    cohort: Cohort
    response: Floats
    folds: Folds
    config: ResponseConfig
    seed: int
    processes: int
    progress: Steps | None

    def told(self, stage: str) -> Progress | None:
        return None if self.progress is None else partial(self.progress, stage)


def compare(
    cohort: Cohort,
    config: ResponseConfig,
    *,
    folds: int = 5,
    repeats: int = 10,
    seed: int = 0,
    processes: int = 2,
    methods: Sequence[str] = METHODS,
    maps: Sequence[str] = MAPS,
    progress: Steps | None = None,
) -> Comparison:
    """Train all methods on the same folds, and judge them.

    Args:
        cohort: lesions; those whose response is not known are left out, with a note.
        config: of the network; its channels and shrinkage are those of all methods.
        folds: of whole patients.
        repeats: how often patients are dealt into folds anew.
        seed: of everything random; results do not depend on the number of processes.
        processes: side by side; with more than one, a script needs its `if __name__ == "__main__"`.
        methods: of `METHODS`.
        maps: of `activation.METHODS`, of the network, if that is one of the methods.
        progress: told a stage, what of it is done, and the whole.

    Raises:
        UnknownNameError: no method, or one or a kind of map that is not known.
        ValueRangeError: one class only, too few patients, or what the methods refuse of single lesions.
        UnsupportedError: a package that a method needs is not installed.
        GeometryError, QuantityError, GridMismatchError: lesions that the network cannot see as `config` says.
    """
    _require(methods, METHODS, "method", least=1)
    _require(maps, MAPS, "map")
    known, left_out = with_response(cohort, config.shrinkage)
    notes = (f"left out, as their response is not known: {'; '.join(left_out)}",) if left_out else ()
    response = known.responded(config.shrinkage)
    dealt = repeated_folds(known.patients, response, folds, repeats, seed)
    task = _Task(known, response, dealt, config, seed, processes, progress)
    logits, seconds, judged_maps = dict[str, Floats](), dict[str, float](), tuple[tuple[HeldOutMaps, ...], ...]()
    for method in methods:
        start = time.perf_counter()
        if method == "network":
            logits[method], judged_maps = _network(task, tuple(maps))
        else:
            logits[method] = _features(task, method)
        seconds[method] = time.perf_counter() - start
    if judged_maps:
        seconds["maps"] = sum(each.seconds for repeat in judged_maps for each in repeat) / min(
            processes, folds * repeats
        )
        seconds["network"] -= seconds["maps"]
    return _judged(task, logits, judged_maps, seconds, notes)


def _judged(
    task: _Task,
    logits: Mapping[str, Floats],
    maps: Sequence[Sequence[HeldOutMaps]],
    seconds: Mapping[str, float],
    notes: tuple[str, ...],
) -> Comparison:
    patient, response, seed = task.cohort.patients, task.response, task.seed
    others = [name for name in logits if name != "network" and "network" in logits]
    kinds = list(maps[0][0].found) if maps else []
    found = {
        kind: stacked([whole_repeat(repeat, kind) for repeat in maps if kind in repeat[0].found]) for kind in kinds
    }
    return Comparison(
        patient=patient,
        lesion=np.array([each.lesion for each in task.cohort], dtype=np.str_),
        response=response,
        folds=task.folds,
        logits=logits,
        judged={name: judge(said, response, patient, seed) for name, said in logits.items()},
        differences={name: difference(logits["network"], logits[name], response, patient, seed) for name in others},
        oracle_AUC=_oracle_AUC(task),
        found=found,
        localised={kind: localisation(each, seed=seed) for kind, each in found.items()},
        map_differences={
            kind: localisation_differences(_in_repeats_of(each, found[PIXEL_WISE]), each, seed)
            for kind, each in found.items()
            if kind != PIXEL_WISE and PIXEL_WISE in found
        },
        map_scales={
            kind: tuple(fold.scales[kind] for repeat in maps for fold in repeat if kind in fold.scales)
            for kind in kinds
        },
        checks={kind: all_checks(maps[0], kind).summary() for kind in (maps[0][0].checks if maps else ())},
        seconds=seconds,
        notes=notes,
    )


def _in_repeats_of(other: Found, whole: Found) -> Found:
    """As many of the first repeats as the other has; slow kinds of maps are scored in the first only."""
    repeats = len(other.scores["dice"])
    return replace(whole, scores={name: each[:repeats] for name, each in whole.scores.items()})


def _network(task: _Task, maps: tuple[str, ...]) -> tuple[Floats, tuple[tuple[HeldOutMaps, ...], ...]]:
    """(repeat, n) calibrated log odds, and what was found about maps by repeat and fold."""
    config = task.config
    cubes = patches(task.cohort, config.channels, size=config.size, spacing_mm=config.spacing_mm)
    first = [frozenset(cubes.patient[task.folds[0] == fold].tolist()) for fold in np.unique(task.folds[0])]
    said = cross_validate(
        cubes,
        task.response,
        task.folds,
        config,
        task.seed,
        callback=partial(held_out_maps, cubes, config, maps, frozenset(first)) if maps else None,
        processes=task.processes,
        progress=task.told("network"),
    )
    return said.logits, said.results


def _features(task: _Task, method: str) -> Floats:
    """(repeat, n) calibrated log odds of support vector machines on features."""
    extracted = FEATURES[method]
    shared = (task.cohort, task.config.channels, extracted)
    rows = run_each(_of_lesion, range(len(task.cohort)), shared, task.processes, task.told(f"{method} features"))
    table = Table(rows[0].names, np.concatenate([each.values for each in rows]))
    seeds = np.random.SeedSequence([task.seed, METHODS.index(method)]).generate_state(len(task.folds)).tolist()
    fits = list(zip(task.folds[:, None], seeds, strict=True))
    said = run_each(_fitted, fits, (table, task.response, task.cohort.patients), task.processes, task.told(method))
    return np.concatenate(said)


def _of_lesion(shared: tuple[Cohort, tuple[str, ...], Extraction], row: int) -> Table:
    cohort, channels, extracted = shared
    return extracted(Cohort([cohort.lesions[row]]), channels)


def _fitted(shared: tuple[Table, Floats, Names], task: tuple[Folds, int]) -> Floats:
    """(1, n) of one repeat."""
    table, response, patient = shared
    folds, seed = task
    return classifiers.cross_validate(table, response, folds, patient, seed)


def _oracle_AUC(task: _Task) -> Estimate | None:
    known = all(each.truth is not None and {"D_RBE", "LET_d"} <= set(each.delivered) for each in task.cohort)
    return judge(oracle_score(task.cohort), task.response, task.cohort.patients, task.seed).AUC if known else None


def with_response(cohort: Cohort, shrinkage: float) -> tuple[Cohort, list[str]]:
    """Lesions whose response is known, and the names of the others.

    Raises:
        ValueRangeError: it is known of none.
    """
    known = np.isfinite(cohort.responded(shrinkage))
    if not known.any():
        raise ValueRangeError(
            f"none of {len(cohort)} lesions has a known response; give masks or volumes at follow-up, changes of "
            "volume, or outcomes"
        )
    kept = [each for each, there in zip(cohort, known, strict=True) if there]
    return Cohort(kept, cohort.notes), [each.name for each, there in zip(cohort, known, strict=True) if not there]


def _require(asked: Sequence[str], known: Sequence[str], what: str, least: int = 0) -> None:
    unknown = [name for name in asked if name not in known]
    if unknown or len(asked) < least or len(set(asked)) < len(asked):
        raise UnknownNameError(f"expected each {what} once, of {', '.join(known)}; found {', '.join(asked) or 'none'}")


def _plain(value: Any) -> Any:
    """Plain data of standard JSON from dataclasses, mappings and sequences."""
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
