"""TOPAS parameters by type: what a run's chain of files says, with one value for the whole run.

The times of a run are those of OpenTOPAS sequence/TsSequenceManager.cc: `NumberOfSequentialTimes` runs, each at the
start of its share of the timeline. A value that a time feature changes between them is refused.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from surrogate3d.errors import FormatError, QuantityError, UnsupportedError
from surrogate3d.io.topas_assignments import Parameter, read_chain
from surrogate3d.io.topas_expressions import Moment
from surrogate3d.io.topas_terms import Dimensioned
from surrogate3d.io.topas_units import UNITS

Value = TypeVar("Value")

MOST_TIMES = 100_000
"""More runs of one sequence are a slip of the pen."""


@dataclass(frozen=True)
class Parameters:
    """The parameters of a run.

    Attributes:
        by_name: lower-case name to assignment, includes and built-in defaults resolved.
        files: the files that were read, top file first.
    """

    by_name: Mapping[str, Parameter]
    files: tuple[Path, ...]

    def __contains__(self, name: str) -> bool:
        return name.lower() in self.by_name

    def __iter__(self) -> Iterator[Parameter]:
        return iter(self.by_name.values())

    def string(self, name: str, default: str | None = None) -> str:
        """A string without its quotes."""
        found = self._find(name, default is not None)
        return str(default) if found is None else self._constant(found, Moment.string).strip()

    def boolean(self, name: str, default: bool) -> bool:
        """A boolean, written "True", "1", "t" or their opposites."""
        found = self._find(name, True)
        return default if found is None else self._constant(found, Moment.boolean)

    def integer(self, name: str, default: int | None = None) -> int:
        """An integer."""
        found = self._find(name, default is not None)
        return int(default or 0) if found is None else self._constant(found, Moment.integer)

    def integers_over_run(self, name: str) -> tuple[int, ...]:
        """An integer that may change with time: its value in each run of the sequence."""
        found = self._needed(name)
        return tuple(Moment(self.by_name, time).integer(found) for time in self.run_times_ns())

    def unitless(self, name: str, default: float | None = None) -> float:
        """A number without unit."""
        found = self._find(name, default is not None)
        return float(default or 0.0) if found is None else self._constant(found, Moment.unitless)

    def number(self, name: str, kind: str, default: float | None = None) -> float:
        """A dimensioned number in mm, rad, MeV, ns or MeV/mm/(g/cm3) (see `topas_units.UNITS`).

        Args:
            name: parameter, without type.
            kind: "length", "angle", "energy", "time" or "LET".
            default: what TOPAS takes when the parameter is not set; None when TOPAS demands it.

        Raises:
            FormatError: not set though TOPAS demands it, or a reference to nothing.
            QuantityError: a unit of another kind.
            UnsupportedError: an expression outside the grammar of TOPAS, or a value that changes during the run.
        """
        found = self._find(name, default is not None)
        if found is None:
            return float(default or 0.0)
        return _of_kind(kind, found, self._constant(found, Moment.double)).values[0]

    def numbers(self, name: str, kind: str) -> tuple[float, ...]:
        """The dimensioned numbers of a vector. Arguments and errors: as `number`."""
        found = self._needed(name)
        return _of_kind(kind, found, self._constant(found, Moment.double_vector)).values

    def counts(self, name: str) -> tuple[int, ...]:
        """The integers of a vector."""
        found = self._needed(name)
        values = self._constant(found, Moment.number_vector)
        if any(value != int(value) for value in values):
            raise FormatError(f"{found.where}: {found.name} must hold integers, found {found.text[:80]!r}")
        return tuple(int(value) for value in values)

    def strings(self, name: str) -> tuple[str, ...]:
        """The strings of a vector."""
        found = self._needed(name)
        return tuple(value.strip() for value in self._constant(found, Moment.string_vector))

    def run_times_ns(self) -> tuple[float, ...]:
        """Times of the runs of the sequence, ns.

        Raises:
            UnsupportedError: times that TOPAS draws at random.
            FormatError: no runs.
        """
        now = Moment(self.by_name, 0.0)
        at_random = self._needed("Tf/RandomizeTimeDistribution")
        if now.boolean(at_random):
            raise UnsupportedError(
                f"{at_random.where}: times are drawn at random, so what changes with time is unknown"
            )
        n = now.integer(self._needed("Tf/NumberOfSequentialTimes"))
        start, end = (self._time_ns(now, f"Tf/Timeline{what}") for what in ("Start", "End"))
        if not 1 <= n <= MOST_TIMES:
            raise FormatError(
                f"{self.files[0].name}: Tf/NumberOfSequentialTimes must be above 0 and at most {MOST_TIMES}, found {n}"
            )
        share = (end - start) / n  # divided first and in ns, as TOPAS does: the steps depend on the rounding
        return tuple(start + index * share for index in range(n))

    def _time_ns(self, now: Moment, name: str) -> float:
        found = self._needed(name)
        return _of_kind("time", found, now.double(found)).values[0]

    def _constant(self, found: Parameter, evaluate: Callable[[Moment, Parameter], Value]) -> Value:
        """The value, when it is the same at all times of the run."""
        first = Moment(self.by_name, 0.0)
        value = evaluate(first, found)
        if not first.features:
            return value
        values = [evaluate(Moment(self.by_name, time), found) for time in self.run_times_ns()]
        if any(other != values[0] for other in values):
            raise UnsupportedError(
                f"{found.where}: {found.name} changes during the run with time feature "
                f"{', '.join(sorted(first.features))}; one value for the whole run is needed, so score each part alone"
            )
        return values[0]

    def _needed(self, name: str) -> Parameter:
        found = self.by_name.get(name.lower())
        if found is None:
            raise FormatError(f"{self.files[0].name}: parameter {name} is needed and not set")
        return found

    def _find(self, name: str, optional: bool) -> Parameter | None:
        return self.by_name.get(name.lower()) if optional else self._needed(name)


def read_parameters(path: Path) -> Parameters:
    """Read a parameter file with everything that it includes.

    Included names are taken relative to the including file, and to the folder of the top file.

    Raises:
        FormatError: not readable as parameters, a parameter set twice in one file or differently by two includes or
            with another type, an included file that is missing or ambiguous, or files that include each other.
    """
    return Parameters(*read_chain(path))


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _of_kind(kind: str, found: Parameter, value: Dimensioned) -> Dimensioned:
    if value.kind != kind:
        known = ", ".join(unit for unit, (k, _) in UNITS.items() if k == kind)
        raise QuantityError(f"{found.where}: {found.name} needs a unit of {kind} ({known}), found {value.unit!r}")
    if not all(math.isfinite(number) for number in value.values):
        raise FormatError(f"{found.where}: {found.name} must be finite, found {found.text[:80]!r}")
    return value
