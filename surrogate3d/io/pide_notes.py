"""What is odd in the experiments but kept: said once, with the ExpIDs."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace

from surrogate3d.io.pide_curves import Curve
from surrogate3d.io.pide_experiment import Experiment, LqPair, Note, Points, spelling
from surrogate3d.io.pide_table import TableRow

FEW_POINTS = 3
USUAL_GBP = {"human": 6.0, "rodent": 5.6}
"""DNA content, as the Information sheet of PIDE says."""


def _pairs(one: Experiment, radiation: str) -> list[LqPair]:
    pairs = (one.photon_paper, one.photon_fit) if radiation == "photon" else (one.ion_paper, one.ion_fit)
    return [pair for pair in pairs if pair is not None]


def _negative(radiation: str, name: str) -> Callable[[Experiment], bool]:
    return lambda one: any((getattr(pair, name) or 0.0) < 0 for pair in _pairs(one, radiation))


def _doses(points: Points) -> list[float]:
    return [dose for dose, _ in points]


_ODD: tuple[tuple[str, Callable[[Experiment], bool]], ...] = (
    ("no photon alpha, neither published nor fitted", lambda one: not _pairs(one, "photon")),
    ("no ion alpha, neither published nor fitted", lambda one: not _pairs(one, "ion")),
    ("photon alpha below 0", _negative("photon", "alpha")),
    ("photon beta below 0: its curve of ln S bends upwards", _negative("photon", "beta")),
    ("ion alpha below 0", _negative("ion", "alpha")),
    ("ion beta below 0: its curve of ln S bends upwards", _negative("ion", "beta")),
    ("fitted photon alpha is 0: PIDE took the purely quadratic fit", lambda one: _alpha(one.photon_fit) == 0.0),
    ("fitted ion alpha is 0: PIDE took the purely quadratic fit", lambda one: _alpha(one.ion_fit) == 0.0),
    ("published photon alpha without beta", lambda one: _without_beta(one.photon_paper)),
    ("published ion alpha without beta", lambda one: _without_beta(one.ion_paper)),
    ("photon points, but no fit to them", lambda one: bool(one.photon_points) and one.photon_fit is None),
    ("ion points, but no fit to them", lambda one: bool(one.ion_points) and one.ion_fit is None),
    ("a photon fit, but no points", lambda one: not one.photon_points and one.photon_fit is not None),
    ("an ion fit, but no points", lambda one: not one.ion_points and one.ion_fit is not None),
    (f"fewer than {FEW_POINTS} ion points", lambda one: 0 < len(one.ion_points) < FEW_POINTS),
    ("photon doses below 0, read from a figure", lambda one: min(_doses(one.photon_points), default=0.0) < 0),
    ("ion doses below 0, read from a figure", lambda one: min(_doses(one.ion_points), default=0.0) < 0),
    ("photon doses do not ascend", lambda one: _doses(one.photon_points) != sorted(_doses(one.photon_points))),
    ("ion doses do not ascend", lambda one: _doses(one.ion_points) != sorted(_doses(one.ion_points))),
    ("photon survival above 1", lambda one: any(survival > 1 for _, survival in one.photon_points)),
    ("ion survival above 1", lambda one: any(survival > 1 for _, survival in one.ion_points)),
    ("photon radiation is not known", lambda one: not one.photon_radiation),
    ("phase of the cell cycle is not known", lambda one: not one.phase),
    ("LET is not known", lambda one: math.isnan(one.LET)),
    ("energy is not known", lambda one: math.isnan(one.energy_mev_u)),
    (
        "DNA content is not 6 (human) or 5.6 (rodent) 10^9 base pairs",
        lambda one: one.dna_content_gbp != USUAL_GBP[one.cell_origin],
    ),
)


def notes_on(experiments: Sequence[Experiment], rows: Iterable[TableRow]) -> list[Note]:
    """All that is odd.

    Args:
        experiments: those that are kept.
        rows: their rows in the table.
    """
    found = [Note(what, _numbers(one for one in experiments if odd(one))) for what, odd in _ODD]
    pairs = zip(experiments, rows, strict=True)
    charged = (one for one, row in pairs if row.number("Charge") != one.Z)
    found.append(Note("Charge is not that of the nucleus: the ion's symbol was taken", _numbers(charged)))
    found += _of_names(experiments) + _of_repetition(experiments)
    return [note for note in found if note.numbers]


def notes_on_curves(ion: Iterable[Curve], photon: Iterable[Curve], rows: Sequence[TableRow]) -> list[Note]:
    """Curves without an experiment, and experiments without a line for their curve."""
    ids = {row.integer("ExpID") for row in rows}
    references = {(row.integer("Publication"), row.integer("PhotonExp")): row.integer("ExpID") for row in rows}
    of_ions = {curve.head["ExpID"] for curve in ion}
    of_photons = {(curve.head["Publication"], curve.head["PhotonExp"]) for curve in photon}
    unused = sorted(of_photons - set(references))
    found = [
        Note("a line of ion points without an experiment: not used", tuple(sorted(of_ions - ids))),
        Note("no line in the file of ion points: taken as without points", tuple(sorted(ids - of_ions))),
        Note(
            "no line in the file of photon points: taken as without points",
            tuple(
                sorted(
                    row.integer("ExpID")
                    for row in rows
                    if (row.integer("Publication"), row.integer("PhotonExp")) not in of_photons
                )
            ),
        ),
    ]
    listed = ", ".join(f"{number} of publication {publication}" for publication, number in unused)
    extra = [Note(f"photon curves without an experiment, not used: {listed}")] if unused else []
    return [note for note in found if note.numbers] + extra


def _of_names(experiments: Sequence[Experiment]) -> list[Note]:
    """Variants of a name, and one name with several descriptions."""
    found = []
    for same in _groups(experiments, lambda one: spelling(one.cells)):
        names = sorted({one.cells for one in same})
        found += [Note(f"cell lines spelt {' and '.join(names)}: kept apart", _numbers(same))] if names[1:] else []
    for same in _groups(experiments, lambda one: one.cells):
        kinds = sorted({f"{one.cell_origin} {one.cell_class}" for one in same})
        what = f"cell line {same[0].cells} is listed as {' and as '.join(kinds)}"
        found += [Note(what, _numbers(same))] if kinds[1:] else []
    return found


def _of_repetition(experiments: Sequence[Experiment]) -> list[Note]:
    """The same data under several numbers or publications."""
    found = []
    for same in _groups(experiments, lambda one: one.photon_points or None):
        names = sorted({one.publication for one in same})
        what = f"{' and '.join(names)} have one photon curve in common"
        found += [Note(what, _numbers(same))] if names[1:] else []
    twice = _groups(experiments, lambda one: one.ion_points or None)
    found += [Note("the same ion points under several numbers", _numbers(same)) for same in twice]
    twice = _groups(experiments, lambda one: repr(replace(one, number=0)))
    found += [Note("experiments that differ in their number only", _numbers(same)) for same in twice]
    return found


def _groups(experiments: Iterable[Experiment], key: Callable[[Experiment], Hashable]) -> list[list[Experiment]]:
    """Experiments that have a key in common, where there are several; those with the key None are skipped."""
    groups = defaultdict[Hashable, list[Experiment]](list)
    for one in experiments:
        if (value := key(one)) is not None:
            groups[value].append(one)
    return [same for same in groups.values() if len(same) > 1]


def _numbers(experiments: Iterable[Experiment]) -> tuple[int, ...]:
    return tuple(sorted(one.number for one in experiments))


def _alpha(pair: LqPair | None) -> float | None:
    return None if pair is None else pair.alpha


def _without_beta(pair: LqPair | None) -> bool:
    return pair is not None and pair.beta is None
