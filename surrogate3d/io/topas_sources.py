"""The beam of a TOPAS run: where its sources shoot, how many histories they simulate, and from which seed.

Directions and counts follow OpenTOPAS primary/TsGeneratorBeam.cc, primary/TsSourceManager.cc and
sequence/TsSequenceManager.cc.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import GeometryError, UnsupportedError
from surrogate3d.io.given import Given
from surrogate3d.io.topas_parameters import Parameters
from surrogate3d.io.topas_patient import frame_of
from surrogate3d.io.topas_placement import orientation

Array = npt.NDArray[np.float64]

_BEAMS = ("beam", "emittance")
_PHASE_SPACES = ("phasespace", "phasespaceold")
ONE_BEAM = math.cos(math.radians(1.0))
"""Cosine between directions that are one beam."""


def sources(parameters: Parameters) -> list[str]:
    """Names of the sources that shoot: with histories in some run, or with a phase-space file, which brings its own."""
    count = "NumberOfHistoriesInRandomJob" if _at_random(parameters) else "NumberOfHistoriesInRun"
    names = []
    for parameter in parameters:
        name = parameter.name
        if not (name.lower().startswith("so/") and name.lower().endswith("/type")):
            continue
        source = name[len("So/") : -len("/Type")]
        if parameters.string(name).lower() in _PHASE_SPACES or _shoots(parameters, f"So/{source}/{count}"):
            names.append(source)
    return names


def beam_direction(parameters: Parameters, given: Given | None = None, component: str | None = None) -> Array:
    """(3,) unit vector of travel: +Z of the component of each source that shoots.

    Args:
        parameters: of the run.
        given: its beam direction, in the frame of the grid, comes before that of the sources.
        component: the scored one, in whose frame (`frame_of`) the direction is wanted; None for the world.

    Raises:
        GeometryError: no source with histories.
        UnsupportedError: a source whose direction no parameter says, one that moves, or sources over a degree apart.
    """
    if given and given.beam_direction is not None:
        vector = np.array(given.beam_direction, dtype=float)
        return np.asarray(vector / np.linalg.norm(vector))
    where = parameters.files[0].name
    directions = [_direction(parameters, source) for source in sources(parameters)]
    if not directions:
        raise GeometryError(f"{where}: no source has NumberOfHistoriesInRun above 0")
    if any(float(d @ directions[0]) < ONE_BEAM for d in directions):
        raise UnsupportedError(f"{where}: sources shoot in different directions; convert each beam alone")
    frame = np.eye(3) if component is None else frame_of(parameters, component)
    return np.asarray(frame.T @ directions[0])


def histories(parameters: Parameters, given: Given | None = None) -> int:
    """Simulated histories over all runs of the sequence (see `histories_of_runs`); those given come first."""
    if given and given.histories is not None:
        return given.histories
    return sum(histories_of_runs(parameters))


def histories_of_runs(parameters: Parameters) -> tuple[int, ...]:
    """Histories of each run of the sequence, each an event of Geant4: the most that any source has in that run.

    All sources take part in one event, so those of several sources do not add up; a scorer counts them the same way.

    Raises:
        UnsupportedError: their number is not in the parameters.
    """
    reason = _unknown_histories(parameters)
    if reason:
        raise UnsupportedError(
            f"{parameters.files[0].name}: {reason}, so the number of histories is not in the parameters; give it with "
            "--histories"
        )
    counts = [parameters.integers_over_run(f"So/{source}/NumberOfHistoriesInRun") for source in sources(parameters)]
    return tuple(max(of_run) for of_run in zip(*counts, strict=True))


def source_shares(parameters: Parameters) -> dict[str, float]:
    """Part of each source, by lower-case name, in the histories that all of them simulate; empty if it is not known."""
    if _at_random(parameters):
        return {}
    names = {source: f"So/{source}/NumberOfHistoriesInRun" for source in sources(parameters)}
    counts = {s.lower(): sum(parameters.integers_over_run(name)) for s, name in names.items() if name in parameters}
    return {source: count / sum(counts.values()) for source, count in counts.items()}


def seed(parameters: Parameters) -> int:
    """Random seed; TOPAS takes 1 when none is set."""
    return parameters.integer("Ts/Seed", 1)


def _direction(parameters: Parameters, source: str) -> Array:
    kind = parameters.string(f"So/{source}/Type")
    if kind.lower() not in _BEAMS:
        raise UnsupportedError(
            f"{parameters.files[0].name}: source {source} has Type {kind!r}, and no parameter says where it shoots "
            "(only Beam and Emittance go along Z of their component); give the beam's direction with --beam"
        )
    return orientation(parameters, parameters.string(f"So/{source}/Component"))[:, 2]


def _unknown_histories(parameters: Parameters) -> str:
    shooting = sources(parameters)
    if not shooting:
        return "no source has NumberOfHistoriesInRun above 0"
    for source in shooting:
        kind = parameters.string(f"So/{source}/Type")
        if kind.lower() in _PHASE_SPACES:
            return f"source {source} has Type {kind!r} and takes its histories from a file"
    if _at_random(parameters):
        return "Tf/RandomizeTimeDistribution draws the times of single histories"
    if parameters.boolean("Ts/RestoreResultsFromFile", False):
        return "Ts/RestoreResultsFromFile takes the results of another run"
    for parameter in parameters:
        if "/repeatsequenceuntil" in parameter.name.lower():
            return f"{parameter.name} repeats the run until it is precise enough"
    return ""


def _shoots(parameters: Parameters, count: str) -> bool:
    if count not in parameters:
        return False
    return parameters.integer(count) > 0 if _at_random(parameters) else any(parameters.integers_over_run(count))


def _at_random(parameters: Parameters) -> bool:
    return parameters.boolean("Tf/RandomizeTimeDistribution", False)
