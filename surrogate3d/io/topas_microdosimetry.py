"""Lineal-energy spectra of the TOPAS microdosimetry extension (TsYScorer): one counter a run, not a voxel grid.

Three files with fixed names in the working directory: `ySpecfile.txt` (the spectrum with its deviations),
`ySpecfile_Particle.txt` (y d(y) by particle) and `ydy.txt` (y d(y) once more). Bins are 20 a decade from 0.1 to
10,000 keV/um; the printed y is the arithmetic mid of the bin. Definitions are those of ICRU report 36.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import FormatError

Array = npt.NDArray[np.float64]
Part = Literal["spectrum", "particles", "ydy"]

EDGES_KEV_UM: Array = 10.0 ** (-1 + np.arange(101) / 20)
"""(101,) bin edges of every file, keV/um."""

PARTICLE_FILE, YDY_FILE = "ySpecfile_Particle.txt", "ydy.txt"

_NUMBER = r"([-+]?(?:nan|inf|[\d.]+(?:e[-+]?\d+)?))"
_MEAN = re.compile(rf"^y([FD]) = {_NUMBER} \(std: {_NUMBER}\) keV/um$", re.IGNORECASE)
_SPECTRUM_HEAD = ["y", "(keV/um)", "f(y)(std)", "yf(y)(std)", "d(y)(std)", "yd(y)(std)"]
_TOTAL = "Total[yd(y)]"


@dataclass(frozen=True, eq=False)
class LinealEnergySpectrum:
    """What one counter scored. Densities are (100,) over the bins of `edges_kev_um`, as printed.

    Attributes:
        y_F: frequency-mean lineal energy, keV/um, as printed.
        y_F_std: its deviation.
        y_D: dose-mean lineal energy, keV/um, as printed.
        y_D_std: its deviation.
        f_y: frequency density, um/keV; its sum over the bins with their widths is 1.
        yf_y: y f(y).
        d_y: dose density y f(y) / y_F, um/keV.
        yd_y: y d(y); what is plotted over log y.
        f_y_std: deviation; likewise `yf_y_std`, `d_y_std` and `yd_y_std`.
        particles: y d(y) by particle name, with "Other", as printed; NaN stays NaN. Empty without that file.
        n_nan: NaN by particle name, where there are any.
        edges_kev_um: (101,) bin edges.
        files: that were read.
        notes: what a reader should know: identities that do not hold within the printed digits, and unusable columns.
    """

    y_F: float
    y_F_std: float
    y_D: float
    y_D_std: float
    f_y: Array
    f_y_std: Array
    yf_y: Array
    yf_y_std: Array
    d_y: Array
    d_y_std: Array
    yd_y: Array
    yd_y_std: Array
    particles: Mapping[str, Array] = field(default_factory=dict)
    n_nan: Mapping[str, int] = field(default_factory=dict)
    edges_kev_um: Array = field(default_factory=EDGES_KEV_UM.copy)
    files: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def y_kev_um(self) -> Array:
        """(100,) arithmetic mids of the bins, keV/um."""
        return np.asarray((self.edges_kev_um[1:] + self.edges_kev_um[:-1]) / 2)


def part_of(path: Path) -> Part | None:
    """Which of the three files this is, by its first line; None for any other file."""
    with path.open("rb") as stream:
        first = stream.readline(400).decode("utf-8", errors="replace").strip()
    if _MEAN.match(first):
        return "spectrum"
    if first.split()[:1] == ["y(keV/um)"] and first.endswith(_TOTAL):
        return "particles"
    words = first.split()
    return "ydy" if len(words) == 3 and words[1] == "keV/um" else None


def read_spectrum(path: Path) -> LinealEnergySpectrum:
    """Read `ySpecfile.txt`, and the particle table and `ydy.txt` where they are beside it.

    Raises:
        FormatError: another file, other bins, or a row that is cut.
    """
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    means = [_MEAN.match(line.strip()) for line in lines[:2]]
    if len(lines) < 3 or not (means[0] and means[1]) or (means[0][1], means[1][1]) != ("F", "D"):
        raise FormatError(f"{path.name}: expected 'yF = ... keV/um' and 'yD = ...' first, as TsYScorer writes them")
    if lines[2].split() != _SPECTRUM_HEAD:
        raise FormatError(
            f"{path.name}, line 3: expected columns {' '.join(_SPECTRUM_HEAD)}, found {lines[2].strip()!r}"
        )
    table = _table(path, lines, 3, 9)
    y_F, y_F_std, y_D, y_D_std = (float(found[n]) for found in means if found for n in (2, 3))
    f_y, f_y_std, yf_y, yf_y_std, d_y, d_y_std, yd_y, yd_y_std = table.T[1:]
    densities = (f_y, f_y_std, yf_y, yf_y_std, d_y, d_y_std, yd_y, yd_y_std)
    spectrum = LinealEnergySpectrum(y_F, y_F_std, y_D, y_D_std, *densities, files=(path,))
    spectrum = replace(spectrum, notes=_identities(spectrum))
    spectrum = _with_particles(spectrum, path.with_name(path.stem + "_Particle.txt"))
    return _with_ydy(spectrum, path.with_name(YDY_FILE))


def read_particles(path: Path) -> dict[str, Array]:
    """Read `ySpecfile_Particle.txt`.

    Returns:
        (100,) y d(y) by particle name, "Other" and the total "Total[yd(y)]" among them, as printed.

    Raises:
        FormatError: another file, other bins, or a row that is cut.
    """
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    head = lines[0].split() if lines else []
    if head[:1] != ["y(keV/um)"] or head[-1:] != [_TOTAL]:
        raise FormatError(f"{path.name}: expected columns y(keV/um) ... {_TOTAL}, as TsYScorer writes them")
    table = _table(path, lines, 1, len(head))
    return {name: table[:, n] for n, name in enumerate(head) if n}


def read_ydy(path: Path) -> Array:
    """Read `ydy.txt`: (100,) y d(y).

    Raises:
        FormatError: another file, other bins, or a row that is cut.
    """
    lines = path.read_text(encoding="utf-8", errors="replace").replace(" keV/um ", " ").splitlines()
    return np.asarray(_table(path, lines, 0, 2)[:, 1])


def _table(path: Path, lines: list[str], skip: int, n_columns: int) -> Array:
    """(100, n_columns) numbers; the first column must be the mids of the bins, to the printed digits."""
    rows = [line.split() for line in lines[skip:] if line.strip()]
    for number, row in enumerate(rows, start=skip + 1):
        if not "".join(row).isascii() or "_" in "".join(row):
            raise FormatError(f"{path.name}, line {number}: not a row of numbers, found {' '.join(row)[:60]!r}")
        if len(row) != n_columns:
            raise FormatError(f"{path.name}, line {number}: expected {n_columns} numbers, found {len(row)}; is it cut?")
    try:
        table = np.array(rows, dtype=float).reshape(len(rows), n_columns)
    except ValueError as error:
        raise FormatError(f"{path.name}: not a table of numbers ({error})") from error
    mids = (EDGES_KEV_UM[1:] + EDGES_KEV_UM[:-1]) / 2
    if len(table) != len(mids):
        raise FormatError(f"{path.name}: expected {len(mids)} bins from 0.1 to 10,000 keV/um, found {len(table)} rows")
    bad = np.abs(table[:, 0] - mids) > _digit(mids)
    if bad.any():
        n = int(np.flatnonzero(bad)[0])
        raise FormatError(
            f"{path.name}: bin {n} is expected at {mids[n]:.4e} keV/um (20 bins a decade from 0.1), "
            f"found {table[n, 0]:.4e}; other bins are not read"
        )
    return table


def _digit(values: npt.ArrayLike) -> Array:
    """Half a unit in the last of the five printed digits, with a margin for the conversion to binary."""
    size = np.abs(np.asarray(values, dtype=float))
    exponent = np.floor(np.log10(size, out=np.full(size.shape, -30.0), where=size > 0))
    return np.asarray(0.5001 * 10.0 ** (exponent - 4))


def _identities(s: LinealEnergySpectrum) -> tuple[str, ...]:
    """The relations of ICRU 36 that the printed numbers break by more than their last digit."""
    y, width, err = s.y_kev_um, np.diff(s.edges_kev_um), _digit
    notes = []
    for name, stated, found, tolerance in (
        ("sum of f(y) dy", 1.0, (s.f_y * width).sum(), (err(s.f_y) * width).sum()),
        ("y_F", s.y_F, (y * s.f_y * width).sum(), (y * err(s.f_y) * width).sum() + err(s.y_F)),
        ("sum of d(y) dy", 1.0, (s.d_y * width).sum(), (err(s.d_y) * width).sum()),
        ("y_D", s.y_D, (y * s.d_y * width).sum(), (y * err(s.d_y) * width).sum() + err(s.y_D)),
    ):
        if not abs(found - stated) <= tolerance:
            notes.append(
                f"{name} is {stated:.5g}, but the spectrum gives {found:.5g}; it is printed to {tolerance:.1g}"
            )
    for name, values, expected, tolerance in (
        ("y f(y)", s.yf_y, y * s.f_y, err(s.yf_y) + y * err(s.f_y)),
        ("d(y)", s.d_y, s.yf_y / s.y_F, err(s.d_y) + err(s.yf_y) / s.y_F + s.d_y * err(s.y_F) / s.y_F),
        ("y d(y)", s.yd_y, y * s.d_y, err(s.yd_y) + y * err(s.d_y)),
    ):
        n_bad = int((~(np.abs(values - expected) <= tolerance)).sum())
        if n_bad:
            notes.append(f"{name} does not follow from the other columns in {n_bad} of {len(values)} bins")
    return tuple(notes)


def _with_particles(s: LinealEnergySpectrum, path: Path) -> LinealEnergySpectrum:
    if not path.is_file():
        return s
    table = read_particles(path)
    total = table.pop(_TOTAL)
    notes = list(s.notes)
    if (np.abs(total - s.yd_y) > _digit(s.yd_y)).any():
        notes.append(f"{path.name}: its total is not y d(y) of {s.files[0].name}; they are of different runs")
    n_nan = {name: int(np.isnan(values).sum()) for name, values in table.items() if np.isnan(values).any()}
    notes += [f"{path.name}: {name} is NaN in {n} of {len(total)} bins" for name, n in n_nan.items()]
    # Real files hold 0 / 0 and, under "Other", what looks like memory that was never set: what cannot be is told.
    for name, values in table.items():
        n_bad = int(((values < 0) | (values > total + _digit(total))).sum())
        if n_bad:
            notes.append(f"{path.name}: {name} is negative or above the total in {n_bad} bins; do not use that column")
    n_off = _unbalanced(table, total)
    if n_off:
        notes.append(f"{path.name}: the particles do not add up to the total in {n_off} of {len(total)} bins")
    return replace(s, particles=table, n_nan=n_nan, files=(*s.files, path), notes=tuple(notes))


def _unbalanced(table: Mapping[str, Array], total: Array) -> int:
    """Bins where the particles do not add up to the total; a NaN where the total is 0 stands for 0 / 0."""
    summed = sum(np.where(total == 0, np.nan_to_num(values), values) for values in table.values())
    tolerance = sum(_digit(values) for values in table.values()) + _digit(total)
    return int((~(np.abs(summed - total) <= tolerance)).sum())


def _with_ydy(s: LinealEnergySpectrum, path: Path) -> LinealEnergySpectrum:
    if not path.is_file():
        return s
    same = (np.abs(read_ydy(path) - s.yd_y) <= _digit(s.yd_y)).all()
    notes = () if same else (f"{path.name} is not y d(y) of {s.files[0].name}; they are of different runs",)
    return replace(s, files=(*s.files, path), notes=(*s.notes, *notes))
