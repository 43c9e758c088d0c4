"""What the files of a TOPAS run and its user say of beam, place and histories: agreed on, or refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import FormatError, GeometryError, QuantityError, UnsupportedError
from surrogate3d.grid import Grid
from surrogate3d.grid.geometry import IDENTITY
from surrogate3d.io.given import Given
from surrogate3d.io.topas_families import is_cumulative
from surrogate3d.io.topas_folder import Folder, Part
from surrogate3d.io.topas_geometry import beam_direction, histories
from surrogate3d.io.topas_parameters import Parameters
from surrogate3d.io.topas_scored import ScoredValues
from surrogate3d.io.topas_sources import ONE_BEAM, histories_of_runs

Array = npt.NDArray[np.float64]

_ACTIVE = "Histories_with_Scorer_Active"


def agreed_beam_direction(parameters: Parameters | None, given: Given, component: str) -> Array:
    """(3,) unit vector of travel in the frame of the component's grid: by the parameters, else as given.

    Raises:
        GeometryError: neither says it.
        QuantityError: they say different things.
        UnsupportedError: a direction that no parameter says, and that was not given.
    """
    if given.beam_direction is None:
        if parameters is None:
            raise GeometryError("without a parameter file the beam's direction is not known; give --beam X,Y,Z")
        stated = beam_direction(parameters, None, component)
        return np.where(np.abs(stated) < 1e-12, 0.0, stated)  # without the noise of sin(180 deg)
    direction = np.array(given.beam_direction, dtype=float)
    direction /= np.linalg.norm(direction)
    if parameters is not None:
        with suppress(GeometryError, UnsupportedError):  # a parameter file may not say it
            stated = beam_direction(parameters, None, component)
            if float(stated @ direction) < ONE_BEAM:
                raise QuantityError(
                    f"{parameters.files[0].name}: the beam travels along {_words(stated)}, and {_words(direction)} was "
                    "given; leave out --beam"
                )
    return direction


def require_given_place(grid: Grid, given: Given) -> None:
    """Refuse a place that was given and is not that of the parameter file.

    Raises:
        GridMismatchError: it is another one.
    """
    if given.origin_mm is not None:
        asked = replace(grid, origin_mm=given.origin_mm, direction=given.direction or IDENTITY)
        grid.require_same(asked, "the parameter file against --origin and --direction (leave these out)")


def agreed_histories(run: str, folder: Folder, part: Part, scored: Mapping[str, ScoredValues], given: Given) -> int:
    """Histories of a run, or of one of its parts.

    Of a whole run or an execution: by the parameters, else as given, else as a scorer reports. Of one of several runs
    or time values: as it reports, else by the parameters.

    Raises:
        GeometryError: nothing says it.
        QuantityError: another number was given than the parameter file says.
        UnsupportedError: the parameter file does not say it, and nothing else does.
    """
    if part.kind in ("runs", "time_values"):
        return _histories_of_part(run, folder, part, scored)
    stated, reported = stated_histories(folder.parameters), _reported(scored)
    if part.kind == "single" and None not in (stated, given.histories) and stated != given.histories:
        raise QuantityError(
            f"{run}: the parameter file says {stated} histories, and {given.histories} were given; leave out "
            "--histories"
        )
    for found in (given.histories, stated, reported):
        if found is not None:
            return found
    if folder.parameters is not None:
        return histories(folder.parameters)  # which raises and tells why
    raise GeometryError(f"{run}: without a parameter file the number of histories is not known; give --histories N")


def stated_histories(parameters: Parameters | None) -> int | None:
    """Histories by the parameter file; None where it does not say them."""
    try:
        return None if parameters is None else histories(parameters)
    except UnsupportedError:
        return None


def require_whole(
    name: str, folder: Folder, of_parts: Sequence[int], doses: Sequence[ScoredValues], given: Given
) -> None:
    """Refuse parts of one execution that are not all of it, or of which each holds those before.

    Args:
        name: of the folder.
        folder: the run.
        of_parts: histories of each part.
        doses: dose of each part.
        given: what the user said; its histories are those of all parts that are there.

    Raises:
        FormatError: their histories do not add up to those of the run.
        UnsupportedError: nothing says whether they are cumulative, and they seem to be.
    """
    if folder.parts[0].kind not in ("runs", "time_values"):
        return
    total = sum(of_parts)
    expected = given.histories if given.histories is not None else stated_histories(folder.parameters)
    if expected is not None and total != expected:
        raise FormatError(
            f"{name}: expected {expected} histories, found {total} in {len(of_parts)} parts; some are missing, or each "
            f"holds those before; copy all of them, or give --histories {total} if that is what was simulated"
        )
    if folder.parameters is None and folder.parts[0].kind == "runs" and is_cumulative(doses):
        raise UnsupportedError(
            f"{name}: no dose falls from one run to the next, so each seems to hold those before it "
            "(OutputAfterRunShouldAccumulate); leave the last run alone in the folder, or copy the parameter file there"
        )


def _histories_of_part(run: str, folder: Folder, part: Part, scored: Mapping[str, ScoredValues]) -> int:
    reported, n = _reported(scored), len(folder.parts)
    if reported is not None:
        return reported
    of_runs = histories_of_runs(folder.parameters) if folder.parameters else ()
    if part.kind == "runs" and len(of_runs) == n:
        return of_runs[folder.parts.index(part)]
    raise UnsupportedError(
        f"{run}: how many of the histories fell on each of the {n} parts is not known; add Histories to a Report"
    )


def _reported(scored: Mapping[str, ScoredValues]) -> int | None:
    """Histories by the first scorer that reports them; that all voxels and scorers agree is seen when they are read."""
    for values in scored.values():
        if _ACTIVE in values.header.columns:
            reported = values.energy_slab(0, 1, _ACTIVE)
            reported = reported[np.isfinite(reported)]
            return int(reported.max()) if reported.size else None
    return None


def _words(direction: Array) -> str:
    return ", ".join(f"{c:.3g}" for c in direction)
