"""A surrogate for cells short of oxygen: what it is told of the pressures, how it is trained, when it may be asked.

The network is told what the closed form of `physics.oxygen_mixing` does to alpha and sqrt(beta) (the OER of every ion),
and the yield of lesions at low LET, which tells the pressure. Its head corrects the closed form. The card says that
the model is for oxygen, with which constants, and between which pressures it was trained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import BundleError, QuantityError, ValueRangeError
from surrogate3d.grid import Field, Volume
from surrogate3d.inference.answerable import faulty, irradiated
from surrogate3d.inference.curves import CurveMap
from surrogate3d.model.bundle import ModelCard, Surrogate
from surrogate3d.model.head import CLOSED_FORM
from surrogate3d.physics.mixing import MonoTable, mono_table
from surrogate3d.physics.oxygen import AIR_MMHG, OxygenEffect, relative_yield
from surrogate3d.physics.oxygen_mixing import OxygenTables, oxygen_factors
from surrogate3d.pipeline.conditions import read_oxygen
from surrogate3d.pipeline.plan_pairs import PlanPair
from surrogate3d.pipeline.training import Progress, train
from surrogate3d.training.settings import TrainConfig

Floats = npt.NDArray[np.float64]
Oxygen = Volume | float
"""Pressures in mmHg: a map on the field's grid, or one number; see `pipeline.conditions.read_oxygen`."""

CONDITIONS = (*CLOSED_FORM, "log_oxygen_yield")
"""Names of what the network is told, in order."""

_CLOSED_FORM = "alpha / OER and beta / OER^2 of every ion, mixed"


def oxygen_conditions(field: Field, pO2: Oxygen, table: MonoTable, needed: npt.NDArray[np.bool_]) -> dict[str, Floats]:
    """What the network is told of the oxygen in a field.

    Args:
        field: with the spectra that the network will see.
        pO2: oxygen pressure, mmHg.
        table: mono-energetic table of the cell line from which the network's channels are made.
        needed: (i, j, k) voxels that must have a pressure; elsewhere an unknown one is taken for air.

    Returns:
        (i, j, k) features by the names of `CONDITIONS`; 0 where there is no fluence.

    Raises:
        GridMismatchError: the map has another grid.
        ValueRangeError: a voxel of `needed` has no pressure, or a pressure is negative or no pressure.
    """
    pressure = _pressures(field, pO2, needed)
    beam = None if field.several_directions else field.beam_axis
    tables = OxygenTables.scaled(table)
    factors = oxygen_factors(field.spectra.axes, field.spectra.fluence, tables, pressure, beam)
    values = (*(np.log(factor) for factor in factors), np.log(relative_yield(0.0, pressure)))
    return {name: np.nan_to_num(value, nan=0.0) for name, value in zip(CONDITIONS, values, strict=True)}


def train_under_oxygen(
    pairs: Sequence[PlanPair],
    cell_lines: Sequence[str],
    config: TrainConfig,
    seed: int,
    oxygen: Mapping[str, Oxygen],
    progress: Progress | None = None,
    state: Path | None = None,
) -> Surrogate:
    """Train on voxels that were simulated under oxygen pressures.

    Args:
        pairs: plans with labels, looked up in the ledger with the same pressures (`design.simulated`).
        cell_lines: names; the closed form is that of the first.
        config: how to train.
        seed: of everything random.
        oxygen: pressures in mmHg, by the high id of each plan.
        progress: called with steps done and all.
        state: as of `training.train`.

    Raises:
        QuantityError: a plan has no pressures, or its labels were simulated without.
        ValueRangeError: a simulated voxel has no pressure.
    """
    told, range_mmhg = {}, []
    for pair in pairs:
        at = _simulated(pair, oxygen)
        told[pair.high_id] = oxygen_conditions(pair.low, oxygen[pair.high_id], mono_table(cell_lines[0]), at)
        range_mmhg.append(_pressures(pair.high, oxygen[pair.high_id], at)[at])
    surrogate = train(pairs, cell_lines, config, seed, progress, conditions=told, state=state)
    known = np.concatenate(range_mmhg)
    about = {**_physics(), "pO2_mmHg": [float(known.min()), float(known.max())]}
    card = replace(surrogate.card, training={**surrogate.card.training, "oxygen": about})
    return replace(surrogate, card=card)


def train_by_oxygen(
    pairs: Sequence[PlanPair],
    cell_lines: Sequence[str],
    config: TrainConfig,
    seed: int,
    oxygen: str | None,
    progress: Progress | None = None,
    state: Path | None = None,
) -> Surrogate:
    """`train_under_oxygen` with what the user says of oxygen (`conditions.read_oxygen`); without, `training.train`."""
    if oxygen is None:
        return train(pairs, cell_lines, config, seed, progress, state=state)
    told = {pair.high_id: read_oxygen(oxygen, pair.high) for pair in pairs}
    return train_under_oxygen(pairs, cell_lines, config, seed, told, progress, state)


def model_conditions(surrogate: Surrogate, field: Field, pO2: Oxygen | None) -> dict[str, Floats] | None:
    """The conditions to predict a field with; None for a model of full oxygen.

    Args:
        surrogate: the model.
        field: to be predicted.
        pO2: oxygen pressure in mmHg, if the user gave any.

    Raises:
        BundleError: the model is for oxygen and none is given, or the other way round, or its constants are others.
        GridMismatchError: the map has another grid.
        ValueRangeError: a voxel that is asked for has no pressure.
    """
    about = trained_oxygen(surrogate.card)
    if about is None and pO2 is None:
        return None
    if about is None:
        raise BundleError(
            "the model was trained at full oxygen and cannot follow pressures; leave --oxygen out, or train one on "
            "voxels that were simulated with --oxygen"
        )
    if pO2 is None:
        raise BundleError("the model was trained under oxygen pressures; give those of the field with --oxygen")
    mine = _physics()
    if any(about.get(name) != value for name, value in mine.items()):
        raise BundleError(
            f"the model was trained with another oxygen effect than this version has, {mine}; use the version that "
            "made it, or train it again"
        )
    needed = irradiated(field) & (field.spectra.fluence.sum(axis=(0, 1)) > 0) & ~faulty(field)
    return oxygen_conditions(field, pO2, surrogate.guide, needed)


def flagged(curves: CurveMap, surrogate: Surrogate, field: Field, pO2: Oxygen | None) -> CurveMap:
    """The same curves, voxels with pressures beyond those of the training marked as out of the domain."""
    about = trained_oxygen(surrogate.card)
    if about is None or pO2 is None:
        return curves
    low, high = about["pO2_mmHg"]
    pressure = _pressures(field, pO2, curves.mask)
    beyond = curves.mask & ((pressure < 0.9 * low) | (pressure > 1.1 * high))
    if not beyond.any():
        return curves
    why = curves.strangest or f"oxygen beyond {low:.3g} to {high:.3g} mmHg"
    return replace(curves, out_of_domain=curves.out_of_domain | beyond, strangest=why)


def trained_oxygen(card: ModelCard) -> dict[str, Any] | None:
    """What the card says of oxygen; None for a model of full oxygen.

    Raises:
        BundleError: the network wants to be told of oxygen, and the card says nothing of it, or the other way round.
    """
    about = card.training.get("oxygen")
    if (about is not None) != (tuple(card.network.get("conditions", ())) == CONDITIONS):
        raise BundleError("the model's card and network disagree on oxygen; train the model again")
    return about


def _physics() -> dict[str, Any]:
    """What decides the meaning of a pressure."""
    return {"effect": asdict(OxygenEffect()), "reference_mmHg": AIR_MMHG, "closed_form": _CLOSED_FORM}


def _simulated(pair: PlanPair, oxygen: Mapping[str, Oxygen]) -> npt.NDArray[np.bool_]:
    """(i, j, k) the voxels of the labels."""
    if pair.high_id not in oxygen:
        raise QuantityError(f"no oxygen is given for the plan {pair.high_id[:12]}; every training plan needs its own")
    without = [response.backend for response in pair.responses if "oxygen" not in response.backend]
    if without:
        raise QuantityError(
            f"the plan {pair.high_id[:12]} has labels of {without[0]}, at full oxygen; simulate them with --oxygen"
        )
    at = np.zeros(pair.high.grid.shape, dtype=bool)
    at[tuple(np.array([response.voxel for response in pair.responses], dtype=int).reshape(-1, 3).T)] = True
    return at


def _pressures(field: Field, pO2: Oxygen, needed: npt.NDArray[np.bool_]) -> Floats:
    """(i, j, k) mmHg, air where nothing is known and nothing needed."""
    if isinstance(pO2, Volume):
        field.grid.require_same(pO2.grid, "oxygen map")
        values = np.asarray(pO2.values, dtype=float)
    else:
        values = np.full(field.grid.shape, float(pO2))
    missing = int((needed & ~np.isfinite(values)).sum())
    if missing:
        raise ValueRangeError(f"the oxygen map has no pressure in {missing} voxels that are asked for; fill it there")
    return np.where(np.isfinite(values), values, AIR_MMHG)
