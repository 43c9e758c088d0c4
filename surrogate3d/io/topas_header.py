"""Headers of TOPAS binned scorers: the '#' lines of a CSV file, or a whole `.binheader`.

Order and wording of the lines are those of OpenTOPAS scoring/TsVBinnedScorer.cc (PrintHeader), read up to v4.2.2.
Every binned scorer is parsed: boxes, cylinders, spheres and surfaces, energy and time bins. `require_box` asks more.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import FormatError, UnsupportedError
from surrogate3d.io.topas_units import unit_of

MOST_BINS = 2**31 - 1
"""TOPAS counts bins with a C int."""

ShapeKind = Literal["box", "cylinder", "sphere", "surface", "single"]

_NUMBER = r"([-+]?[\d.]+(?:[eE][-+]?\d+)?)"
_AXIS = re.compile(rf"^(X|Y|Z|R|Phi|Theta) in (\d+) bins? +of {_NUMBER} (\w+)$", re.ASCII)
_SCORER = re.compile(r"^Results for scorer:? (.+)$")
_BINNING = re.compile(
    rf"^Binned by (.+) in (\d+) bins of {_NUMBER} (MeV|ns) from {_NUMBER} \4 to {_NUMBER} \4$", re.ASCII
)
# Greedy: the unit itself may hold parentheses, as in "ProtonLET ( MeV/mm/(g/cm3) ) : Sum".
_QUANTITY = re.compile(r"^(\S+)(?: \( (.+) \))? :(.*)$")
_FILTER = re.compile(r"^Filtered by: (\S+) = (.*)$")
_BINNING_MODES = {
    "incident track energy": "IncidentTrack",
    "pre-step energy": "PreStep",
    "energy deosited in step": "DepositedInStep",  # sic, in every version
    "energy deposited in step": "DepositedInStep",
    "primary track energy": "PrimaryTrack",
    "time": "Time",
}
_SHAPES: dict[tuple[str, ...], ShapeKind] = {
    (): "single",
    ("X", "Y", "Z"): "box",
    ("R", "Phi", "Z"): "cylinder",
    ("R", "Phi", "Theta"): "sphere",
}


@dataclass(frozen=True)
class AxisBins:
    """One spatial axis as the header prints it (the width has six significant digits only)."""

    name: str
    n: int
    width: float
    unit: str


@dataclass(frozen=True)
class Binning:
    """Energy or time bins.

    Attributes:
        mode: "PreStep", "IncidentTrack", "DepositedInStep", "PrimaryTrack" or "Time".
        n: bins between `low` and `high`, without underflow, overflow and no-incident-track.
        width: as printed: MeV (or ns); for logarithmic bins the step of log10, though the header says MeV.
        low: lower limit, MeV (ns).
        high: upper limit, MeV (ns).
    """

    mode: str
    n: int
    width: float
    low: float
    high: float

    @property
    def n_columns(self) -> int:
        """Bins in the file: underflow and overflow, and for incident tracks the case of none."""
        return self.n + (3 if self.mode == "IncidentTrack" else 2)

    @property
    def is_logarithmic(self) -> bool:
        """Whether `width` is a step of log10: TOPAS does not announce EBinLog, but only one reading fits."""
        if self.low <= 0:
            return False
        linear, logarithmic = self.high - self.low, math.log10(self.high / self.low)
        return abs(self.width * self.n - logarithmic) < abs(self.width * self.n - linear)

    @property
    def edges(self) -> npt.NDArray[np.float64]:
        """(n + 1,) bin edges, total kinetic energy in MeV (or ns); lower edge inclusive, upper exclusive."""
        if self.is_logarithmic:
            return np.geomspace(self.low, self.high, self.n + 1)
        return np.linspace(self.low, self.high, self.n + 1)


@dataclass(frozen=True)
class ScorerHeader:
    """What a binned scorer says about itself. It knows neither origin, orientation nor number of histories.

    Attributes:
        version: as printed, e.g. "4.2.p1" or "2.0_expanded".
        parameter_file: the top parameter file as typed on the command line; may be a path.
        scorer: name of the scorer.
        filters: (parameter, value as printed) of each filter.
        component: scored component; the surface for surface scorers.
        on_surface: whether it is a surface.
        axes: X, Y, Z (or R, Phi, Z or R, Phi, Theta); empty when there is a single voxel.
        quantity: e.g. "DoseToWater".
        unit: e.g. "MeV/mm/(g/cm3)"; "1" when none is printed.
        columns: statistics in file order, e.g. ("Sum", "Standard_Deviation").
        binning: energy or time bins, if any.
        sparse: "Showing only rows that have ..." as printed, or None.
        single_index: rows start with one index i * NY * NZ + j * NZ + k.
        binary_file: name printed in a `.binheader`; stale after renaming.
        notes: warnings, as printed.
    """

    version: str
    parameter_file: str
    scorer: str
    filters: tuple[tuple[str, str], ...]
    component: str
    on_surface: bool
    axes: tuple[AxisBins, ...]
    quantity: str
    unit: str
    columns: tuple[str, ...]
    binning: Binning | None = None
    sparse: str | None = None
    single_index: bool = False
    binary_file: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along the three axes."""
        if not self.axes:
            return (1, 1, 1)
        i, j, k = (axis.n for axis in self.axes)
        return (i, j, k)

    @property
    def shape_kind(self) -> ShapeKind:
        """What the bins divide; "single" when there is one bin, of which the header does not say the shape."""
        return "surface" if self.on_surface else _SHAPES[tuple(axis.name for axis in self.axes)]

    @property
    def is_ratio(self) -> bool:
        """Whether Sum holds a ratio of two scorers (LET, RBE): its Mean and Standard_Deviation mean nothing."""
        return self.quantity.endswith("LET") or self.quantity.startswith("RBE_")

    @property
    def version_number(self) -> tuple[int, int, int] | None:
        """(major, minor, patch), or None when the string has another form."""
        found = re.match(r"^(\d+)\.(\d+)(?:\.p?(\d+))?(?:_\w+)?$", self.version)
        return (int(found[1]), int(found[2]), int(found[3] or 0)) if found else None

    @property
    def n_energy(self) -> int:
        """Energy or time columns per statistic; 1 without binning."""
        return self.binning.n_columns if self.binning else 1


_EMPTY = ScorerHeader("", "", "", (), "", False, (), "", "", ())


def is_topas_header(lines: list[str]) -> bool:
    """Whether a file that begins with these lines is the output of a binned scorer."""
    return bool(lines) and lines[0].startswith("# TOPAS Version:")


def parse_header(lines: list[str], where: str) -> ScorerHeader:
    """Read the header of a binned scorer.

    Args:
        lines: the leading lines of the file that start with "#".
        where: name of the file, for messages.

    Raises:
        FormatError: a line is unknown, or a line that every header has is missing.
        UnsupportedError: a volume histogram, or no statistics.
    """
    header = _EMPTY
    for number, line in enumerate(lines, start=1):
        text = line.removeprefix("#").strip()
        if not text.isprintable():
            raise FormatError(
                f"{where}, line {number}: {text[:60]!r} is not text as TOPAS writes it; copy the file again"
            )
        if text:
            header = _read_line(header, text, f"{where}, line {number}")
    _require_whole(header, where)
    return header


def _require_whole(header: ScorerHeader, where: str) -> None:
    for field in ("version", "scorer", "component", "quantity"):
        if not getattr(header, field):
            raise FormatError(f"{where}: TOPAS header without {field}; the file may be cut or edited")
    if "#" in header.scorer or "#" in header.component:
        raise FormatError(f"{where}: two lines of the header are joined: {header.scorer} or {header.component}")
    names = tuple(axis.name for axis in header.axes)
    if names not in _SHAPES:
        raise FormatError(
            f"{where}: expected three lines of spatial bins (X, Y, Z; R, Phi, Z; or R, Phi, Theta), found {len(names)}"
            f" ({', '.join(names)})"
        )
    if any(axis.n < 1 for axis in header.axes):
        raise FormatError(f"{where}: expected at least one bin on each axis, found {header.shape}")
    for axis in header.axes:
        kind = "angle" if axis.name in ("Phi", "Theta") else "length"
        if unit_of(axis.unit)[0] != kind or not (math.isfinite(axis.width) and axis.width > 0):
            raise FormatError(
                f"{where}: expected bins of {axis.name} of some {kind}, found {axis.width:g} {axis.unit}; the header "
                "was edited"
            )
    if math.prod(header.shape) * header.n_energy > MOST_BINS:
        raise FormatError(
            f"{where}: TOPAS has at most {MOST_BINS} bins (voxels times energies), found {header.shape} times "
            f"{header.n_energy}; the header was edited"
        )
    if not header.columns:
        raise UnsupportedError(f"{where}: no statistics columns (volume histogram only); report at least Sum")


def require_box(header: ScorerHeader, where: str) -> None:
    """Refuse what is no box of voxels X, Y, Z (or one single bin) in space, or changes with time.

    Raises:
        UnsupportedError: surface scorer, cylinder or sphere, or time bins.
    """
    if header.shape_kind == "surface":
        raise UnsupportedError(f"{where}: surface scorer on {header.component}; a voxel box is needed here")
    if header.shape_kind in ("cylinder", "sphere"):
        names = ", ".join(axis.name for axis in header.axes)
        raise UnsupportedError(f"{where}: bins in {names} ({header.shape_kind}); a voxel box X, Y, Z is needed here")
    if header.binning and header.binning.mode == "Time":
        raise UnsupportedError(f"{where}: time bins; values of all times are needed here, score without TimeBins")


def read_header(path: Path) -> ScorerHeader:
    """Read the header of a `.csv` or `.binheader` file.

    Raises:
        FormatError: as `parse_header`.
        UnsupportedError: as `parse_header`.
    """
    return parse_header(header_lines(path), path.name)


def header_lines(path: Path) -> list[str]:
    """The leading lines of a file that start with '#'."""
    lines = []
    with path.open(encoding="utf-8", errors="replace") as stream:
        for line in stream:
            if not line.startswith("#"):
                break
            lines.append(line.rstrip("\n"))
    return lines


def _set(field: str) -> Callable[[ScorerHeader, str], ScorerHeader]:
    return lambda header, value: replace(header, **{field: value})  # type: ignore[arg-type]  # field is a str one


_PREFIXES: dict[str, Callable[[ScorerHeader, str], ScorerHeader]] = {
    "TOPAS Version:": _set("version"),
    "Parameter File:": _set("parameter_file"),
    "Scored in component:": _set("component"),
    "Scored on surface:": lambda header, value: replace(header, component=value, on_surface=True),
    "Binary file:": _set("binary_file"),
    "Showing only rows that have": _set("sparse"),
    "Using single index": lambda header, _: replace(header, single_index=True),
    "First bin is underflow": lambda header, _: header,  # wrong for primary track energy: the mode decides
}


def _read_line(header: ScorerHeader, text: str, where: str) -> ScorerHeader:
    for prefix, read in _PREFIXES.items():
        if text.startswith(prefix):
            return read(header, text.removeprefix(prefix).strip())
    if found := _SCORER.match(text):
        return replace(header, scorer=found[1])
    if found := _FILTER.match(text):
        if found[1] in dict(header.filters):
            raise FormatError(f"{where}: a second filter {found[1]}; were lines doubled?")
        return replace(header, filters=(*header.filters, (found[1], found[2].strip())))
    if found := _AXIS.match(text):
        axis = AxisBins(found[1], int(found[2]), float(found[3]), found[4])
        return replace(header, axes=(*header.axes, axis))
    if found := _BINNING.match(text):
        return replace(header, binning=_binning(found, where))
    if text.startswith("Warning:"):
        return replace(header, notes=(*header.notes, text))
    if text.startswith("Results for Scorer:") or " Volume Histogram over " in text:
        raise UnsupportedError(
            f"{where}: a volume histogram (_VolHist), not values of voxels; read the scorer's own file"
        )
    if found := _QUANTITY.match(text):
        return _set_quantity(header, found, where)
    if header.notes and not header.axes and not header.quantity:
        return replace(header, notes=(*header.notes, text))  # warnings go on over several lines
    raise FormatError(f"{where}: unknown line in a TOPAS header: {text!r}")


def _set_quantity(header: ScorerHeader, found: re.Match[str], where: str) -> ScorerHeader:
    if header.quantity:
        raise FormatError(f"{where}: a second quantity {found[1]!r} after {header.quantity!r}; were files joined?")
    return replace(header, quantity=found[1], unit=found[2] or "1", columns=tuple(found[3].split()))


def _binning(found: re.Match[str], where: str) -> Binning:
    if found[1] not in _BINNING_MODES:
        raise FormatError(f"{where}: unknown binning {found[1]!r}; known: {', '.join(_BINNING_MODES)}")
    binning = Binning(_BINNING_MODES[found[1]], int(found[2]), float(found[3]), float(found[5]), float(found[6]))
    if binning.n < 1 or binning.high <= binning.low:
        raise FormatError(f"{where}: {binning.n} bins from {binning.low} to {binning.high} are not ascending")
    linear, logarithmic = binning.high - binning.low, math.log10(binning.high / binning.low) if binning.low > 0 else 0.0
    # Six significant digits are printed; a header that fits neither reading was edited.
    fits = [math.isclose(binning.width * binning.n, span, rel_tol=1e-4) for span in (linear, logarithmic)]
    if any(fits) and not all(fits):
        return binning
    verdict = "both linearly and" if all(fits) else "neither linearly nor"
    raise FormatError(
        f"{where}: {binning.n} bins of {binning.width} from {binning.low} to {binning.high} fit {verdict} in log10 "
        f"(expected a total width of {linear:.6g} or {logarithmic:.6g}, found {binning.width * binning.n:.6g})"
    )
