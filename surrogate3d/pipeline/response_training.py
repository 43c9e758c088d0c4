"""From a cohort folder to a model of response with its judgement: what `response train` does.

The judgement is of networks that had not seen the patients (`response.judgement`); the model that is kept learns from
all lesions then. The card of the model says both, and nothing that names a patient.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from surrogate3d.config import load_response_config
from surrogate3d.grid import Cohort
from surrogate3d.io.cohort import read_cohort
from surrogate3d.model.ensemble_bundle import require_replaceable
from surrogate3d.pipeline.response_cohorts import cohort_sha256, require_channels
from surrogate3d.pipeline.response_packages import FEATURES, GRADIENTS, NETWORK, require_packages
from surrogate3d.response.activation import METHODS as MAPS
from surrogate3d.response.bundle import INTENDED_USE, KIND, SCHEMA, save_response
from surrogate3d.response.config import ResponseConfig
from surrogate3d.response.judgement import METHODS, compare, with_response
from surrogate3d.response.map_scale import MapScale, best_scale, region_voxels
from surrogate3d.response.model import ResponseModel
from surrogate3d.response.patches import Patches, patches
from surrogate3d.response.training import train_response

Steps = Callable[[str, int, int], None]

DEFAULT_SCALE = MapScale("root mean square", 1.0, 0.33, math.nan)
"""What makes a region of a map where no planted region is known: voxels that, smoothed over their neighbours, stand out
by a third of the map's own root mean square in the lesion. That was best on a synthetic cohort of development (seed
103); nothing has shown that it makes a region of any meaning in patients."""

CHOSEN = "chosen on the planted regions of the lesions that the model learnt from"
STATED = "a stated rule, chosen on no planted region; not judged by anything"

SLOW = ("integrated-gradients",)
"""Kinds of maps that take a hundred passes of a network. They are neither judged here nor is a scale chosen for them,
which would take as long as the training; `benchmarks/response.py` judges them."""


@dataclass(frozen=True, kw_only=True)
class ResponseTraining:
    """How to train and judge.

    Attributes:
        config: settings of the networks.
        repeats: how often the patients are dealt into folds.
        folds: of whole patients.
        seed: of everything random.
        processes: side by side.
        compare: whether radiomics and gradient features are judged, too.
        judge: whether anything is judged.
        overwrite: replace an older model.
    """

    config: ResponseConfig = field(default_factory=ResponseConfig)
    repeats: int = 10
    folds: int = 5
    seed: int = 0
    processes: int = 2
    compare: bool = True
    judge: bool = True
    overwrite: bool = False


def read_config(path: Path | None, shrinkage: float | None = None) -> ResponseConfig:
    """Settings from a file, or the usual ones; a shrinkage that is given replaces theirs.

    Raises:
        ConfigError: as of `load_response_config`, or an impossible shrinkage.
    """
    config = ResponseConfig() if path is None else load_response_config(path)
    return config if shrinkage is None else replace(config, shrinkage=shrinkage)


def train_cohort(folder: Path, output: Path, how: ResponseTraining, progress: Steps | None = None) -> dict[str, Any]:
    """Judge the methods on a cohort, train a model on all of it, and write that.

    Args:
        folder: of the cohort (docs/cohorts.md).
        output: the bundle, a directory.
        how: settings.
        progress: told a stage, what of it is done, and the whole.

    Returns:
        The answer of `response train` (docs/cli-json.md).

    Raises:
        UnsupportedError: a package is not installed.
        StoreError: `output` is something else, or as of `read_cohort` and `save_response`.
        ValueRangeError: no response is known, one class only, or too few patients.
        QuantityError: lesions lack a channel.
        Surrogate3dError: what reading, patches and features refuse of single lesions.
    """
    start = time.perf_counter()
    require_packages((*NETWORK, *GRADIENTS, *(FEATURES if how.judge and how.compare else ())), "response train")
    require_replaceable(output, SCHEMA, KIND, how.overwrite)  # now, not after an hour of training
    config, told = how.config, progress or _silent
    cohort = read_cohort(folder, shrinkage=config.shrinkage, progress=partial(told, "reading"))
    known, left_out = with_response(cohort, config.shrinkage)
    require_channels(known, config.channels)
    judgement, seconds = _judgement(known, how, progress) if how.judge else (None, None)
    cubes = patches(known, config.channels, size=config.size, spacing_mm=config.spacing_mm)
    response = known.responded(config.shrinkage)
    model = train_response(cubes, response, config, how.seed, how.processes, partial(told, "final networks"))
    scales, chosen = map_scales(model, cubes, partial(told, "scale of the maps"))
    about = {
        "use": INTENDED_USE,
        "cohort": {"sha256": cohort_sha256(known), "left_out": len(left_out)},
        "judgement": judgement,
        "map_scales": {name: _scale_json(scale) for name, scale in scales.items()},
        "map_scales_are": chosen,
    }
    bundle_id = save_response(replace(model, training={**model.training, **about}), output, how.overwrite)
    return {
        "output": output,
        "bundle_id": bundle_id,
        **about,
        **{key: model.training[key] for key in ("lesions", "patients", "responded", "seed", "config")},
        "members": len(model.networks),
        "left_out": left_out,
        "notes": cohort.notes,
        "seconds_by_stage": seconds,
        "seconds": time.perf_counter() - start,
    }


def map_scales(
    model: ResponseModel, cubes: Patches, progress: Callable[[int, int], None]
) -> tuple[dict[str, MapScale], str]:
    """What makes regions of the maps of a model, by kind of map, and how that was found.

    Args:
        model: trained on these lesions.
        cubes: the lesions.
        progress: told kinds of maps done, and all.
    """
    quick, some = [name for name in MAPS if name not in SLOW], cubes.subset(_with_region(cubes))
    if not len(some):
        return dict.fromkeys(quick, DEFAULT_SCALE), STATED
    assert some.truth is not None
    scales = {}
    for done, name in enumerate(quick, 1):
        scales[name] = best_scale(model.maps(some, name), some.truth, some.inside)
        progress(done, len(quick))
    return scales, CHOSEN


def map_scale_of(model: ResponseModel, method: str) -> tuple[MapScale, str]:
    """What makes regions of maps of a model, as its card says, and how that was found."""
    stored: Mapping[str, Any] = model.training.get("map_scales", {})
    if method not in stored:
        return DEFAULT_SCALE, STATED
    dice = stored[method]["dice"]
    scale = MapScale(**{**stored[method], "dice": math.nan if dice is None else dice})
    return scale, str(model.training["map_scales_are"])


def _judgement(
    known: Cohort, how: ResponseTraining, progress: Steps | None
) -> tuple[dict[str, Any], Mapping[str, float]]:
    """Scores of all methods as plain data, without names of patients, and how long each stage took."""
    found = compare(
        known,
        how.config,
        folds=how.folds,
        repeats=how.repeats,
        seed=how.seed,
        processes=how.processes,
        methods=METHODS if how.compare else METHODS[:1],
        maps=[name for name in MAPS if name not in SLOW],
        progress=progress,
    )
    scores = {**found.to_json(), "notes": [found.judged["network"].note]}
    return {name: value for name, value in scores.items() if name != "seconds"}, found.seconds


def _with_region(cubes: Patches) -> np.ndarray[Any, np.dtype[np.intp]]:
    """Rows whose planted region is known and not empty."""
    if cubes.truth is None:
        return np.zeros(0, dtype=np.intp)
    rows = np.flatnonzero(np.isfinite(cubes.truth).all(axis=(1, 2, 3)))
    return rows[region_voxels(cubes.truth[rows], cubes.inside[rows]).any(axis=(1, 2, 3))]


def _scale_json(scale: MapScale) -> dict[str, Any]:
    return {**asdict(scale), "dice": scale.dice if math.isfinite(scale.dice) else None}


def _silent(stage: str, done: int, whole: int) -> None:
    """Progress that nobody looks at."""
