"""Maps of many plans, for several cell lines and fractionations: here, or on a cluster with a plan a task.

Each plan is independent and idempotent: with `resume` one whose maps are complete is left as it is, and one that was
interrupted is gone on with. A plan that is refused does not keep the others from being predicted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from surrogate3d.direct.campaign import Engine, in_process
from surrogate3d.direct.campaign_dask import DaskEngine
from surrogate3d.errors import ConfigError, Surrogate3dError
from surrogate3d.inference.maps import Fractionation
from surrogate3d.physics.cell_line import CellLine
from surrogate3d.pipeline.cell_line_assignment import parse_assignment
from surrogate3d.pipeline.map_output import MapOutput
from surrogate3d.pipeline.prediction import write_prediction
from surrogate3d.pipeline.predictors import MapRequest, predictor_by_name
from surrogate3d.pipeline.tiled_prediction import TiledMaps, write_tiled

Told = Callable[[int, int], None]

SUFFIX = ".field.zarr"


@dataclass(frozen=True)
class Order:
    """What is wanted of every plan.

    Attributes:
        model: as of `predictors.predictor_by_name`.
        lines: cell lines.
        fractionations: each for every line.
        asked: which maps, and what is said of the plans; its own fractionation does not count.
    """

    model: str | None
    lines: tuple[CellLine, ...]
    fractionations: tuple[Fractionation, ...]
    asked: MapRequest

    @property
    def several(self) -> bool:
        """Whether a plan gets more than one set of maps."""
        return len(self.lines) * len(self.fractionations) > 1


def order_of(
    model: str | None,
    lines: Sequence[str],
    fractionations: Sequence[Fractionation],
    asked: MapRequest,
    survival_model: str | None = None,
    structures: Path | None = None,
) -> Order:
    """An order in the words of a user.

    Raises:
        ConfigError: a model of survival in vitro or lines by structure, which are predicted plan by plan.
        UnknownNameError, ValueRangeError: there is no such cell line.
    """
    assignments = [parse_assignment(line) for line in lines]
    rests = [each.rest for each in assignments if each.rest is not None and not each.structures]
    if survival_model is not None or structures is not None or len(rests) < len(assignments):
        raise ConfigError(
            "--survival-model and cell lines by structure are predicted for one plan and one fraction dose at a time, "
            "in this process; ask for them one by one"
        )
    return Order(model, tuple(rests), tuple(fractionations), asked)


def predict_plans(
    plans: Sequence[Path], order: Order, output: MapOutput, engine: Engine = in_process, told: Told | None = None
) -> dict[str, Any]:
    """Predict the maps of plans, and write them.

    Args:
        plans: field stores.
        order: what is wanted of each.
        output: where the maps go: into a folder for each plan, where there are several, and in it into one for each
            cell line and fractionation, where there are several.
        engine: this process, or a cluster whose workers see the same files.
        told: number of plans that are done, and of all.

    Returns:
        `predictions`, each what `prediction.predict_store` says, with `field` and `folder`; and `failed`, the plans
        that were refused, each with `field` and `reason`.

    Raises:
        ConfigError: two plans or two sets would go into the same folder, or nothing is asked.
    """
    jobs = [(plan, order, replace(output, folder=folder)) for plan, folder in _folders(plans, output.folder).items()]
    _set_folders(order, output.folder)
    predictions, failed = list[dict[str, Any]](), list[dict[str, str]]()
    for number, (plan, found, reason) in enumerate(_done(jobs, engine), start=1):
        predictions += found
        if reason:
            failed.append({"field": str(plan), "reason": reason})
        if told is not None:
            told(number, len(jobs))
    return {"predictions": predictions, "failed": failed}


Job = tuple[Path, Order, MapOutput]
Outcome = tuple[Path, list[dict[str, Any]], str]


def _done(jobs: Sequence[Job], engine: Engine) -> Iterator[Outcome]:
    if not isinstance(engine, DaskEngine):
        yield from map(_predict_plan, jobs)
        return
    yield from engine.each(_predict_plan, jobs)


def _predict_plan(job: Job) -> Outcome:
    """A plan's maps, or why there are none."""
    plan, order, output = job
    try:
        return plan, predict_plan(plan, order, output), ""
    except Surrogate3dError as error:
        return plan, [], str(error)


def predict_plan(plan: Path, order: Order, output: MapOutput) -> list[dict[str, Any]]:
    """Predict all sets of maps of one plan; see `predict_plans`."""
    sets = [
        TiledMaps(line, how, replace(output, folder=folder))
        for (line, how), folder in _set_folders(order, output.folder).items()
    ]
    predictor = predictor_by_name(plan, order.model, replace(order.asked, fractionation=order.fractionations[0]))
    if predictor.tiled is not None:
        found = write_tiled(predictor, sets)
    else:
        found = []
        for each in sets:
            own = predictor_by_name(plan, order.model, replace(order.asked, fractionation=each.fractionation))
            found.append(write_prediction(own, each.line, each.output))
    return [{"field": str(plan), "folder": str(s.output.folder), **f} for s, f in zip(sets, found, strict=True)]


def _folders(plans: Sequence[Path], folder: Path) -> dict[Path, Path]:
    """Where the maps of each plan go."""
    if not plans:
        raise ConfigError("no plan is given; name field stores")
    if len(plans) == 1:
        return {plans[0]: folder}
    found: dict[Path, Path] = {}
    for plan in plans:
        own = folder / plan.name.removesuffix(SUFFIX)
        taken = next((other for other, there in found.items() if there == own), None)
        if taken is not None:
            raise ConfigError(f"the maps of {taken} and {plan} would both go into {own}; predict them one by one")
        found[plan] = own
    return found


def _set_folders(order: Order, folder: Path) -> dict[tuple[CellLine, Fractionation], Path]:
    """Where the maps of each set of a plan go."""
    if not (order.lines and order.fractionations):
        raise ConfigError("no cell line or no fraction dose is given; name some")
    sets = [(line, how) for line in order.lines for how in order.fractionations]
    if len(sets) == 1:
        return {sets[0]: folder}
    names = [f"{line.name}-{how.fractions}x{how.fraction_dose_gy:g}Gy" for line, how in sets]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"{twice} is asked for twice, or two cell lines have one name; ask for each once")
    return {each: folder / name for each, name in zip(sets, names, strict=True)}
