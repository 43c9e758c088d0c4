"""A user's own download of PIDE to a store of experiments beside it, and what is in it and odd about it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from surrogate3d.errors import ValueRangeError
from surrogate3d.io.pide import Experiment, LqPair, Note, read_pide, write_experiments
from surrogate3d.io.pide_store import TERMS
from surrogate3d.physics.linear_quadratic import RBE10
from surrogate3d.physics.stopping_power import CHARGE_FIT, stopping_power

USUAL_RBE10 = (0.5, 8.0)
LARGEST_LET_RATIO = 1.5
"""LET of a monoenergetic ion over the stopping power of its energy, either way; 98 % of PIDE 3.4 are within 1.25."""


def import_pide(folder: Path, output: Path, overwrite: bool = False) -> dict[str, Any]:
    """Read a folder of PIDE 3.x, check it, and write its experiments to a local store.

    Args:
        folder: as GSI hands it out.
        output: the store, a JSON file.
        overwrite: replace an older one.

    Returns:
        The answer of `invitro import` (docs/cli-json.md).

    Raises:
        StoreError, UnsupportedError, FormatError: as for `io.pide.read_pide`; `output` exists.
        ValueRangeError: no experiment is possible.
    """
    found = read_pide(folder)
    if not found.experiments:
        first = f"; the first, ExpID {found.left_out[0][0]}: {found.left_out[0][1]}" if found.left_out else ""
        raise ValueRangeError(f"{folder}: none of {len(found.left_out)} experiments can be{first}")
    found = replace(found, notes=(*found.notes, *_physical_notes(found.experiments)))
    write_experiments(found, output, overwrite=overwrite)
    return {
        "output": output,
        "version": found.version,
        "source": found.source,
        **_summary(found.experiments),
        "left_out": [{"number": number, "reason": reason} for number, reason in found.left_out],
        "notes": [{"what": note.what, "numbers": note.numbers} for note in found.notes],
        "terms": TERMS,
    }


def measured_RBE10(one: Experiment) -> float:
    """RBE at 10 % survival of the two fits to points, or where one is missing of the two published pairs.

    Args:
        one: an experiment.

    Returns:
        RBE10; NaN where there are no two whole pairs, or where a curve does not fall to 10 %. An alpha without beta is
        an initial slope and no straight line: taken as one, it gives less than half the RBE10 of the points in 3.4.
    """
    pairs = ((one.ion_fit, one.photon_fit), (one.ion_paper, one.photon_paper))
    for ion, photon in pairs:
        if ion is not None and photon is not None:
            value = float(RBE10(*_numbers(ion), *_numbers(photon)))
            return value if 0 < value < math.inf else math.nan
    return math.nan


def _numbers(pair: LqPair) -> tuple[float, float]:
    """Alpha and beta; NaN is not known."""
    return (math.nan if pair.alpha is None else pair.alpha, math.nan if pair.beta is None else pair.beta)


def _physical_notes(experiments: Sequence[Experiment]) -> list[Note]:
    ratios = {one.number: measured_RBE10(one) for one in experiments}
    low, high = USUAL_RBE10
    odd = [number for number, ratio in ratios.items() if ratio < low or ratio > high]
    unknown = [number for number, ratio in ratios.items() if math.isnan(ratio)]
    far = [one.number for one in experiments if _LET_ratio(one) > LARGEST_LET_RATIO]
    notes = (
        Note("RBE10 is not known: a pair is missing, or a curve does not fall to 10 % survival", tuple(unknown)),
        Note(f"RBE10 below {low:g} or above {high:g}", tuple(odd)),
        Note(f"LET and stopping power of the energy differ by more than a factor {LARGEST_LET_RATIO:g}", tuple(far)),
    )
    return [note for note in notes if note.numbers]


def _LET_ratio(one: Experiment) -> float:
    """How far LET is from the stopping power, as a factor of at least 1; 1 where it cannot be told."""
    if one.spread_out or one.Z not in CHARGE_FIT or math.isnan(one.LET + one.energy_mev_u):
        return 1.0
    return math.exp(abs(math.log(one.LET / float(stopping_power(one.Z, one.energy_mev_u)))))


def _summary(experiments: Sequence[Experiment]) -> dict[str, Any]:
    ions = Counter(one.ion for one in experiments)
    return {
        "experiments": len(experiments),
        "publications": len({one.publication for one in experiments}),
        "cell_lines": len({one.cells for one in experiments}),
        "ions": dict(sorted(ions.items(), key=lambda item: (-item[1], item[0]))),
        "spread_out": sum(one.spread_out for one in experiments),
        "phases": dict(Counter(one.phase or "not known" for one in experiments).most_common()),
        "with_ion_points": sum(bool(one.ion_points) for one in experiments),
        "with_photon_points": sum(bool(one.photon_points) for one in experiments),
        "ion_points": sum(len(one.ion_points) for one in experiments),
        "with_pairs": {
            name: sum(getattr(one, name) is not None for one in experiments)
            for name in ("photon_paper", "photon_fit", "ion_paper", "ion_fit")
        },
        "LET_kev_um": _range(one.LET for one in experiments),
        "energy_mev_u": _range(one.energy_mev_u for one in experiments),
        "RBE10": _range(measured_RBE10(one) for one in experiments),
    }


def _range(values: Iterable[float]) -> dict[str, float | int]:
    known = np.array([value for value in values if not math.isnan(value)])
    if not known.size:
        return {"minimum": math.nan, "median": math.nan, "maximum": math.nan, "n": 0}
    low, middle, high = (float(value) for value in np.percentile(known, (0, 50, 100)))
    return {"minimum": low, "median": middle, "maximum": high, "n": int(known.size)}
