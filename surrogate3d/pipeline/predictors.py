"""What can predict a field: a network on its spectra, one on dose and LET, or a published LET model.

All of them answer alike, so that maps are written, and put together by structure, in one place for all.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import UnknownNameError, UnsupportedError
from surrogate3d.grid import DoseField, Field, Volume, VolumeSet
from surrogate3d.inference.curves import faulty, irradiated
from surrogate3d.inference.domain import line_outside
from surrogate3d.inference.maps import Fractionation
from surrogate3d.inference.published import PUBLICATIONS, answered, predict_published, reduced_metadata
from surrogate3d.inference.regression import LetOnlyGiven
from surrogate3d.io.field_store import field_id, read_dose_field, read_field
from surrogate3d.model.bundle import Surrogate, load_bundle
from surrogate3d.model.reduced_bundle import ReducedModel, is_reduced_bundle, load_reduced_bundle
from surrogate3d.physics.cell_line import CellLine
from surrogate3d.pipeline.conditions import oxygen_note, read_oxygen
from surrogate3d.pipeline.in_memory import predict
from surrogate3d.pipeline.let_only import let_only_metadata, predict_let_only
from surrogate3d.pipeline.map_summary import PredictedMaps, common
from surrogate3d.pipeline.models import choose, resolve, shipped

Names = tuple[str, ...] | None


@dataclass(frozen=True, eq=False)
class Answer:
    """The maps of a field for one cell line.

    Attributes:
        volumes: by quantity name.
        mask: (i, j, k) voxels that are answered.
        out_of_domain: number of voxels of which the training says nothing.
        strangest: what puts most of them there.
        seconds: wall time from the field in memory to the maps.
    """

    volumes: VolumeSet
    mask: npt.NDArray[np.bool_]
    out_of_domain: int
    strangest: str
    seconds: float


@dataclass(frozen=True, eq=False)
class Predictor:
    """One way of predicting one field.

    Attributes:
        field: what is predicted.
        maps: of the whole field, for one cell line.
        about: what all maps for one line stand under.
        needed: (i, j, k) voxels that must have a cell line.
        faulty: irradiated voxels whose spectrum cannot explain their dose.
        chosen: which model was taken and why, where nobody named one.
    """

    field: DoseField
    maps: Callable[[CellLine], Answer]
    about: Callable[[CellLine], dict[str, Any]]
    needed: npt.NDArray[np.bool_]
    faulty: int = 0
    chosen: dict[str, str] = dataclasses.field(default_factory=dict)


def predictor_by_name(
    path: Path,
    model: str | None,
    how: Fractionation,
    names: Names = None,
    given: LetOnlyGiven | None = None,
    oxygen: str | None = None,
) -> Predictor:
    """The predictor of a field store by the name of a model.

    Args:
        path: the field store.
        model: name of a shipped model, else a path, else name of a published LET model (`PUBLICATIONS`); None takes
            the shipped one for what the store holds (`models.choose`).
        how: fraction dose and number.
        names: which maps; None makes all that the field allows.
        given: what the files of a field without spectra do not say.
        oxygen: what the user says of oxygen (`conditions.read_oxygen`), for a model that was trained under it.

    Raises:
        UnknownNameError: there is no such model.
        UnsupportedError: no shipped model is for such a field.
        QuantityError: the store has no spectra, and the model needs them.
    """
    if model is None:
        choice = choose(read_dose_field(path), given.primary if given else None)
        found = predictor_by_name(path, choice.name, how, names, given, oxygen)
        chosen = {"chosen": choice.name, "chosen_because": choice.why}
        return Predictor(found.field, found.maps, found.about, found.needed, found.faulty, chosen)
    if model not in shipped() and not Path(model).exists():
        if model not in PUBLICATIONS:
            raise UnknownNameError(
                f"no model bundle at {model}, nor a model of that name; shipped: {', '.join(shipped()) or 'none'}; "
                f"published, of LET_d: {', '.join(PUBLICATIONS)}; check the path or make a bundle with "
                "`surrogate3d train`"
            )
        _refuse_oxygen(model, oxygen)
        return published_predictor(read_dose_field(path), field_id(path), model, how, names)
    bundle = resolve(model)
    if is_reduced_bundle(bundle):
        _refuse_oxygen(model, oxygen)
        reduced = load_reduced_bundle(bundle)
        return let_only_predictor(read_dose_field(path), field_id(path), reduced, how, names, given)
    field = read_field(path)
    pressure = None if oxygen is None else read_oxygen(oxygen, field)
    return surrogate_predictor(field, field_id(path), load_bundle(bundle), how, names, pressure)


def _refuse_oxygen(model: str, oxygen: str | None) -> None:
    if oxygen is not None:
        raise UnsupportedError(
            f"the model {model} knows nothing of oxygen; leave --oxygen out, or take one trained under it, see "
            "docs/oxygen.md"
        )


def surrogate_predictor(
    field: Field,
    name: str,
    surrogate: Surrogate,
    how: Fractionation,
    names: Names = None,
    oxygen: Volume | float | None = None,
) -> Predictor:
    """A network on spectra; arguments as of `predictor_by_name`, `name` is the field's id."""
    bad = faulty(field) & irradiated(field)
    told = {} if oxygen is None else {"oxygen": oxygen_note(oxygen)}
    return Predictor(
        field,
        lambda line: _answer(predict(field, surrogate, line, how, names, oxygen)),
        lambda line: metadata(field, name, surrogate, line, how) | told,
        irradiated(field) & ~bad,
        int(bad.sum()),
    )


def let_only_predictor(
    field: DoseField,
    name: str,
    model: ReducedModel,
    how: Fractionation,
    names: Names = None,
    given: LetOnlyGiven | None = None,
) -> Predictor:
    """A network on dose and LET; arguments as of `predictor_by_name`, `name` is the field's id."""
    return Predictor(
        field,
        lambda line: _answer(predict_let_only(field, model, line, how, names, given)),
        lambda line: {**common(field, name, line, how), **let_only_metadata(field, model, line, given)},
        np.asarray(field.dose >= 0.05 * np.nanmax(field.dose)),
    )


def published_predictor(field: DoseField, name: str, model: str, how: Fractionation, names: Names = None) -> Predictor:
    """A published model of LET_d; arguments as of `predictor_by_name`, `name` is the field's id."""
    mask, empty = answered(field, model), {"bundle_id": None, "unexplained_dose": None}

    def maps(line: CellLine) -> Answer:
        start = time.perf_counter()
        volumes = predict_published(field, model, line, how, names)
        return Answer(volumes, mask, 0, "", time.perf_counter() - start)

    def about(line: CellLine) -> dict[str, Any]:
        return {**common(field, name, line, how), **reduced_metadata(field, model, line), **empty}

    return Predictor(field, maps, about, mask)


def _answer(found: PredictedMaps) -> Answer:
    curves = found.curves
    return Answer(found.volumes, curves.mask, int(curves.out_of_domain.sum()), curves.strangest, found.seconds)


def metadata(field: Field, name: str, surrogate: Surrogate, line: CellLine, how: Fractionation) -> dict[str, Any]:
    """What every map of a network on spectra stands under, for sidecars and summaries."""
    lines = [(str(known), float(a), float(b)) for known, a, b in surrogate.card.training.get("lines", [])]
    return {
        **common(field, name, line, how),
        "bundle_id": surrogate.bundle_id,
        "interval": "RBE_half_width is half of an interval that is to cover 90 %",
        "cell_line_doubt": line_outside(lines or surrogate.card.cell_lines, line),
        "unexplained_dose": "dose that the spectra do not explain is taken to act like the dose that they do explain",
    }
