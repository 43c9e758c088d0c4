"""The whole path on real OpenTOPAS runs that come with the package: train on one proton plan, judge on another.

The training plan is a 100-130 MeV field on a slab phantom with bone and lung boxes. The judged plan has other energies,
other inserts and a beam that is oblique by 15 degrees; nothing of it is used in training.
"""

from __future__ import annotations

import json
import math
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np

import surrogate3d
from surrogate3d.errors import StoreError
from surrogate3d.inference.maps import Fractionation
from surrogate3d.io.atomic import atomic_directory
from surrogate3d.io.field_store import field_id, read_field
from surrogate3d.io.prescribe import PrescribeRequest
from surrogate3d.model.bundle import load_bundle, save_bundle
from surrogate3d.physics.cell_line import cell_line
from surrogate3d.physics.mixing import mono_table
from surrogate3d.pipeline.conversion import convert
from surrogate3d.pipeline.design import SimulationSettings, sample, simulate
from surrogate3d.pipeline.map_output import MapOutput
from surrogate3d.pipeline.plan_pairs import PlanPair
from surrogate3d.pipeline.prediction import write_prediction
from surrogate3d.pipeline.predictors import MapRequest, surrogate_predictor
from surrogate3d.pipeline.reporting import write_validation_report
from surrogate3d.pipeline.training import train
from surrogate3d.pipeline.validation import Validation, ValidationSettings, headline, validate
from surrogate3d.training.settings import TrainConfig

Step = Callable[[str, int, int], None]

SCHEMA = "surrogate3d.demo/1"
MARKER = "summary.json"
RUNS = {
    "train-low": ("proton_slab_low",),
    "train-high": ("proton_slab_highA",),
    "plan-low": ("proton_shallow_low",),
    "plan-high": ("proton_shallow_high", "proton_shallow_highB"),
}
"""Field stores of the demo and the runs that they are converted from."""

TARGET_BOX = ((9, 4, 14), (13, 12, 19))
"""Half-open voxel box of the judged plan in which the median dose is prescribed."""


@dataclass(frozen=True)
class DemoSettings:
    """Size of the demo.

    Attributes:
        cell_line: name.
        budget: voxels of the training plan that are simulated directly.
        cube_mm: edge of the coarse cubes from which they are chosen, mm.
        target_se: relative standard error of the labels' survival.
        steps: training steps.
        validation_voxels: random voxels of the judged plan that are simulated directly.
        fraction_dose_gy: prescribed dose, and the local dose at which RBE is judged, Gy.
        seed: of everything random.
    """

    cell_line: str = "HSG"
    budget: int = 200
    cube_mm: float = 5.0
    target_se: float = 0.005
    steps: int = 400
    validation_voxels: int = 300
    fraction_dose_gy: float = 2.0
    seed: int = 0


def run_demo(output: Path, progress: Step | None = None, settings: DemoSettings | None = None) -> dict[str, Any]:
    """Run everything and write it to a folder.

    Args:
        output: receives `report.html`, `summary.json`, `maps/`, `model/`, `plan.field.zarr`. An older demo output is
            replaced; any other folder is refused.
        progress: called with the step's name, its work done and its whole work.
        settings: size; the default takes a few minutes on two cores.

    Returns:
        The summary, which is also `summary.json`.

    Raises:
        StoreError: `output` exists and is not a demo output, or the disk is full.
    """
    settings = settings or DemoSettings()
    if output.exists() and not (output / MARKER).is_file():
        raise StoreError(
            f"{output} exists and is not an output of the demo, so it is not replaced; choose another name"
        )
    with atomic_directory(output, overwrite=True) as scratch:
        summary = _run(scratch, progress or _silent, settings)
        (scratch / MARKER).write_text(json.dumps(_plain(summary), indent=1, allow_nan=False), encoding="utf-8")
    return {**summary, "report": str(output / "report.html")}


def unpack_runs(target: Path) -> dict[str, Path]:
    """Unpack the shipped OpenTOPAS runs; folders by run name."""
    names = [name for runs in RUNS.values() for name in runs]
    data = files("surrogate3d.pipeline") / "data" / "demo"
    for name in names:
        with as_file(data / f"{name}.tar.xz") as path, tarfile.open(path) as archive:
            archive.extractall(target, filter="data")
    return {name: target / name for name in names}


def _silent(step: str, done: int, total: int) -> None:
    """Report to nobody."""


@contextmanager
def _timed(seconds: dict[str, float], step: str, progress: Step) -> Iterator[Callable[[int, int], None]]:
    progress(step, 0, 1)
    start = time.perf_counter()
    yield partial(progress, step)
    seconds[step] = time.perf_counter() - start
    progress(step, 1, 1)


def _run(scratch: Path, progress: Step, settings: DemoSettings) -> dict[str, Any]:
    seconds: dict[str, float] = {}
    line, ledger = cell_line(settings.cell_line), scratch / "ledger"
    simulation = SimulationSettings("gsm2_mc", (line.name,), settings.seed, settings.target_se)
    stores = {name: scratch / f"{name}.field.zarr" for name in RUNS}
    with _timed(seconds, "convert", progress), tempfile.TemporaryDirectory() as folder:
        runs = unpack_runs(Path(folder))
        for name, sources in RUNS.items():
            prescribe = PrescribeRequest(settings.fraction_dose_gy, "p50", TARGET_BOX) if "plan" in name else None
            convert([runs[run] for run in sources], stores[name], prescribe=prescribe)
    fields = {name: read_field(path) for name, path in stores.items()}
    ids = {name: field_id(path) for name, path in stores.items()}
    with _timed(seconds, "sample", progress):
        training_fields = {ids["train-high"]: fields["train-high"]}
        selection = sample(training_fields, settings.budget, settings.cube_mm, settings.seed, 0, 0)
        (scratch / "selection.json").write_text(json.dumps(selection.to_json()), encoding="utf-8")
    with _timed(seconds, "simulate", progress) as tell:
        responses = simulate(selection.of_role("chosen"), training_fields, ledger, simulation, tell)
    with _timed(seconds, "train", progress) as tell:
        pair = PlanPair(ids["train-low"], fields["train-low"], ids["train-high"], fields["train-high"], responses)
        config = TrainConfig(steps=settings.steps, members=1)
        save_bundle(train([pair], (line.name,), config, settings.seed, tell), scratch / "model")
    surrogate = load_bundle(scratch / "model")
    with _timed(seconds, "predict", progress):
        asked = MapRequest(Fractionation(settings.fraction_dose_gy))
        predictor = surrogate_predictor(fields["plan-low"], ids["plan-low"], surrogate, asked)
        maps = write_prediction(predictor, line, MapOutput(scratch / "maps"))
    judge = ValidationSettings(settings.fraction_dose_gy, "gsm2_mc", settings.validation_voxels, settings.seed + 1)
    table = mono_table(line.name)
    low, high, name = fields["plan-low"], fields["plan-high"], ids["plan-high"]
    with _timed(seconds, "validate", progress) as tell:
        found = validate(low, high, name, surrogate, line, table, judge, ledger, tell)
        whole = validate(low, high, name, surrogate, line, table, _everywhere(judge), ledger)
    with _timed(seconds, "report", progress):
        about = _provenance(settings, ids, surrogate.bundle_id, low.provenance)
        title = "surrogate3d demo: an oblique proton field"
        write_validation_report(
            scratch / "report.html", low, high, found, surrogate, line, judge,
            provenance=about, timings_s=seconds, title=title,
        )  # fmt: skip
    return _summary(found, whole, maps, seconds, about, selection.statement)


def _everywhere(settings: ValidationSettings) -> ValidationSettings:
    """The same with the table on all voxels as truth: the figures of other papers and of docs/results.md."""
    return ValidationSettings(settings.fraction_dose_gy, "zr_table")


def _provenance(settings: DemoSettings, ids: dict[str, str], bundle_id: str, runs: dict[str, Any]) -> dict[str, Any]:
    return {
        "command": "surrogate3d demo",
        "surrogate3d": surrogate3d.__version__,
        "settings": asdict(settings),
        "fields": ids,
        "model": bundle_id,
        "judged input": runs,
    }


def _summary(
    found: Validation,
    whole: Validation,
    maps: dict[str, Any],
    seconds: dict[str, float],
    about: dict[str, Any],
    statement: str,
) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "headline": headline(found),
        "headline_truth": "gsm2_mc on high-statistics spectra of random voxels of a plan that was never trained on",
        "whole_volume": headline(whole),
        "whole_volume_truth": "zr_table on high-statistics spectra of all voxels",
        "selection": statement,
        "maps": maps["ranges"],
        "voxels_answered": maps["voxels_answered"],
        "voxels_out_of_domain": maps["voxels_out_of_domain"],
        "seconds": {**seconds, "total": sum(seconds.values())},
        "provenance": about,
        "report": "report.html",
    }


def _plain(value: Any) -> Any:
    """JSON without NaN: undefined numbers become null."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value
