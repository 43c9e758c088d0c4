"""What can predict a field: a network on its spectra, one on dose and LET, or a published LET model.

All of them answer alike, so that maps are written, and put together by structure, in one place for all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import UnknownNameError, UnsupportedError
from surrogate3d.grid import DoseField, Field, Volume, VolumeSet, quantity
from surrogate3d.inference.answerable import faulty, irradiated
from surrogate3d.inference.compute import Compute
from surrogate3d.inference.maps import Fractionation, wanted
from surrogate3d.inference.published import PUBLICATIONS, answered, predict_published, reduced_metadata
from surrogate3d.inference.regression import LetOnlyGiven
from surrogate3d.inference.tile_networks import decided
from surrogate3d.inference.tile_predictor import TilePredictor
from surrogate3d.io.field_store import field_id, read_dose_field
from surrogate3d.model.bundle import Surrogate, load_bundle
from surrogate3d.model.reduced_bundle import ReducedModel, is_reduced_bundle, load_reduced_bundle
from surrogate3d.physics.cell_line import CellLine
from surrogate3d.pipeline.coarse_spectra import fits_bins, in_bins_of
from surrogate3d.pipeline.conditions import oxygen_note, read_oxygen
from surrogate3d.pipeline.in_memory import metadata, predict, table_for
from surrogate3d.pipeline.large_fields import in_memory, read_for_tiles
from surrogate3d.pipeline.let_only import let_only_metadata, predict_let_only
from surrogate3d.pipeline.map_slabs import MapsWanted, whole_maps
from surrogate3d.pipeline.map_summary import PredictedMaps, common
from surrogate3d.pipeline.models import choose, resolve, shipped
from surrogate3d.pipeline.oxygen_surrogate import trained_oxygen


@dataclass(frozen=True)
class MapRequest:
    """What is asked of a plan, whatever answers.

    Attributes:
        fractionation: fraction dose and number.
        names: which maps; None makes all that the field allows.
        given: what the files of a field without spectra do not say.
        oxygen: what the user says of oxygen (`conditions.read_oxygen`), for a model that was trained under it.
        compute: on what networks run, and within what memory.
    """

    fractionation: Fractionation
    names: tuple[str, ...] | None = None
    given: LetOnlyGiven | None = None
    oxygen: str | None = None
    compute: Compute | None = None


@dataclass(frozen=True, eq=False)
class Answer:
    """The maps of a field for one cell line, or for several by structure.

    Attributes:
        volumes: by quantity name.
        mask: (i, j, k) voxels that are answered.
        out_of_domain: (i, j, k) voxels of which the training says nothing.
        strangest: what puts most of them there.
        seconds: wall time from the field in memory to the maps.
    """

    volumes: VolumeSet
    mask: npt.NDArray[np.bool_]
    out_of_domain: npt.NDArray[np.bool_]
    strangest: str
    seconds: float


@dataclass(frozen=True, eq=False)
class Predictor:
    """One way of predicting one field.

    Attributes:
        field: what is predicted.
        fractionation: fraction dose and number.
        maps: of the whole field, for one cell line.
        about: what all maps for one line stand under.
        needed: (i, j, k) voxels that must have a cell line.
        faulty: irradiated voxels whose spectrum cannot explain their dose.
        names: maps that are asked for; None for all that the field allows.
        tiled: the same for several cell lines at once and tile by tile, where that is possible.
        inputs: what decides the values for a cell line, besides what the maps stand under.
    """

    field: DoseField
    fractionation: Fractionation
    maps: Callable[[CellLine], Answer]
    about: Callable[[CellLine], dict[str, Any]]
    needed: npt.NDArray[np.bool_]
    faulty: int = 0
    names: tuple[str, ...] | None = None
    tiled: Callable[[Sequence[CellLine]], TilePredictor] | None = None
    inputs: Callable[[CellLine], dict[str, Any]] | None = None


def predictor_by_name(path: Path, model: str | None, asked: MapRequest) -> Predictor:
    """The predictor of a field store by the name of a model.

    Args:
        path: the field store.
        model: name of a shipped model, else a path, else name of a published LET model (`PUBLICATIONS`); None takes
            the shipped one for what the store holds (`models.choose`).
        asked: which maps, and what is said of the plan.

    Raises:
        UnknownNameError: there is no such model.
        UnsupportedError: no shipped model is for such a field, or the model knows nothing of oxygen.
        QuantityError: the store has no spectra, and the model needs them.
    """
    if model is None:
        choice = choose(read_dose_field(path), asked.given.primary if asked.given else None)
        chosen = {"chosen": choice.name, "chosen_because": choice.why}
        found = predictor_by_name(path, choice.name, asked)
        return replace(found, about=lambda line: {**found.about(line), **chosen})
    if model not in shipped() and not Path(model).exists():
        if model not in PUBLICATIONS:
            raise UnknownNameError(
                f"no model bundle at {model}, nor a model of that name; shipped: {', '.join(shipped()) or 'none'}; "
                f"published, of LET_d: {', '.join(PUBLICATIONS)}; check the path or make a bundle with "
                "`surrogate3d train`"
            )
        return published_predictor(read_dose_field(path), field_id(path), model, asked)
    bundle = resolve(model)
    if is_reduced_bundle(bundle):
        return let_only_predictor(read_dose_field(path), field_id(path), load_reduced_bundle(bundle), asked)
    return surrogate_predictor(read_for_tiles(path), field_id(path), load_bundle(bundle), asked)


def surrogate_predictor(field: Field, name: str, surrogate: Surrogate, asked: MapRequest) -> Predictor:
    """A network on spectra; `name` is the field's id."""
    how, bad = asked.fractionation, faulty(field) & irradiated(field)
    oxygen = None if asked.oxygen is None else read_oxygen(asked.oxygen, field)
    whole = oxygen is not None or bool(trained_oxygen(surrogate.card))  # what it is told of oxygen looks at all spectra
    if not fits_bins(surrogate.card, field):
        field = in_memory(field)
    field, surrogate, bins = in_bins_of(field, surrogate)
    told = bins | ({} if oxygen is None else {"oxygen": oxygen_note(oxygen)})
    compute = asked.compute or Compute()

    def tiled(lines: Sequence[CellLine]) -> TilePredictor:
        return TilePredictor(field, surrogate, {line: table_for(surrogate, line) for line in lines}, compute=compute)

    def maps(line: CellLine) -> Answer:
        if whole:
            return _answer(predict(in_memory(field), surrogate, line, how, asked.names, oxygen))
        return _answer_in_tiles(tiled((line,)), MapsWanted(line, how, wanted(field, how, asked.names)))

    def inputs(line: CellLine) -> dict[str, Any]:
        return {"table": table_for(surrogate, line).to_json(), "compute": decided(compute)}

    return Predictor(
        field,
        how,
        maps,
        lambda line: {**common(field, name, line, how), **metadata(surrogate, line), **told},
        irradiated(field) & ~bad,
        int(bad.sum()),
        asked.names,
        None if whole else tiled,
        inputs,
    )


def let_only_predictor(field: DoseField, name: str, model: ReducedModel, asked: MapRequest) -> Predictor:
    """A network on dose and LET; `name` is the field's id."""
    _refuse_oxygen("let-only", asked)
    how, given = asked.fractionation, asked.given
    return Predictor(
        field,
        how,
        lambda line: _answer(predict_let_only(field, model, line, how, asked.names, given)),
        lambda line: {**common(field, name, line, how), **let_only_metadata(field, model, line, given)},
        np.asarray(field.dose >= 0.05 * np.nanmax(field.dose)),
    )


def published_predictor(field: DoseField, name: str, model: str, asked: MapRequest) -> Predictor:
    """A published model of LET_d, which does not look at spectra; `name` is the field's id."""
    _refuse_oxygen(model, asked)
    how, mask = asked.fractionation, answered(field, model)
    empty = {"bundle_id": None, "unexplained_dose": None}

    def maps(line: CellLine) -> Answer:
        start = time.perf_counter()
        volumes = predict_published(field, model, line, how, asked.names)
        return Answer(volumes, mask, np.zeros_like(mask), "", time.perf_counter() - start)

    def about(line: CellLine) -> dict[str, Any]:
        return {**common(field, name, line, how), **reduced_metadata(field, model, line), **empty}

    return Predictor(field, how, maps, about, mask)


def _refuse_oxygen(model: str, asked: MapRequest) -> None:
    if asked.oxygen is not None:
        raise UnsupportedError(
            f"the model {model} knows nothing of oxygen; leave --oxygen out, or take one trained under it, see "
            "docs/oxygen.md"
        )


def _answer_in_tiles(predictor: TilePredictor, asked: MapsWanted) -> Answer:
    start = time.perf_counter()
    found = whole_maps(predictor, asked)
    grid = predictor.field.grid
    volumes = VolumeSet(grid, {name: Volume(grid, values, quantity(name)) for name, values in found.maps[0].items()})
    seconds = time.perf_counter() - start
    return Answer(volumes, found.mask, found.out_of_domain, predictor.strangest(found.strange), seconds)


def _answer(found: PredictedMaps) -> Answer:
    curves = found.curves
    return Answer(found.volumes, curves.mask, curves.out_of_domain, curves.strangest, found.seconds)
