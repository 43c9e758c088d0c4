"""Mono-energetic tables of any cell line, in seconds and without noise: what `zr_table` mixes and the networks pool.

`gsm2_fft` gives the survival of ions of one energy. It is exact in the first order of dose, and takes the domains of a
nucleus for independent of each other beyond: its -ln S is too large by gamma D^2, with one gamma up to 6 Gy (seen
against `gsm2_mc`, to 10 %). That is the second order, an integral over pairs of tracks, which `track_pairs` takes.
RBE at 2 Gy differs from that of the shipped tables of HSG and V79 by 0.08 % rms, which is their noise, and by 0.04 %
at most in the mean over any range of LET (`gsm2_fft` alone: 0.7 % too large at 90 keV/um). At the corners of alpha_x
0.05 to 0.6 1/Gy and alpha_x / beta_x 1.5 to 20 Gy, and for other nuclei, it is within 0.2 % of `gsm2_mc`, with noise of
0.1 %; only for 0.6 1/Gy and 1.5 Gy is it 0.2 to 0.4 % too large from 50 to 110 keV/um.

Lines that have a shipped table, and its parameters, get that one. The others are kept in the user's cache.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.direct.curve import FIT_DOSE_MAX, FIT_SURVIVAL_MIN, response
from surrogate3d.direct.gsm2_fft import Gsm2Fft
from surrogate3d.direct.mono_cache import USER_CACHE, MonoCache, digest
from surrogate3d.direct.task import VoxelResponse, VoxelTask
from surrogate3d.direct.track_pairs import gamma_of
from surrogate3d.errors import UnknownNameError
from surrogate3d.grid import SPECIES_Z, SpectrumAxes
from surrogate3d.physics.cell_line import CellLine, cell_line
from surrogate3d.physics.gsm2 import lesion_yield
from surrogate3d.physics.let import bin_LET
from surrogate3d.physics.mixing import MonoTable, mono_table, mono_tables

Floats = npt.NDArray[np.float64]
Progress = Callable[[int, int], None]

SPECIES = ("H", "He", "Li", "Be", "B", "C")
"""Ions of the shipped tables."""

VERSION = 1
"""Raised whenever numbers change."""


_FFT = Gsm2Fft()


def _tell(text: str) -> None:
    warnings.warn(text, stacklevel=2)


def shipped_table(line: CellLine) -> MonoTable | None:
    """The shipped table of a line; None where there is none of that name for the same parameters of GSM2."""
    if line.name not in mono_tables() or cell_line(line.name).gsm2 != line.gsm2:
        return None
    return mono_table(line.name)


def mono_table_of(
    line: CellLine,
    species: Sequence[str] = SPECIES,
    progress: Progress | None = None,
    *,
    cache: MonoCache | None = USER_CACHE,
    tell: Callable[[str], None] = _tell,
) -> MonoTable:
    """The mono-energetic table of one cell line; arguments as in `mono_tables_of`."""
    return mono_tables_of([line], species, progress, cache=cache, tell=tell)[0]


def mono_tables_of(
    lines: Sequence[CellLine],
    species: Sequence[str] = SPECIES,
    progress: Progress | None = None,
    *,
    cache: MonoCache | None = USER_CACHE,
    tell: Callable[[str], None] = _tell,
) -> list[MonoTable]:
    """The mono-energetic tables of several cell lines; those of equal nuclei share what is made of the tracks.

    A table depends on its line's GSM2 parameters and the species only, not on the other lines.

    Args:
        lines: each with its GSM2 parameters; the name is only written on the table.
        species: element symbols. A shipped table has all of its own species.
        progress: called with the number of energies done and the number of all; not where nothing is to be made.
        cache: where tables are kept; None to make them anew and keep nothing.
        tell: hears what is wrong with the cache.

    Returns:
        Tables in the order of `lines`.

    Raises:
        UnknownNameError: a species is not one that spectra can have.
    """
    for name in species:
        if name not in SPECIES_Z:
            raise UnknownNameError(f"no tracks of species {name!r}; known: {', '.join(SPECIES_Z)}")
    found: dict[CellLine, MonoTable] = {}
    for line in dict.fromkeys(lines):
        shipped = shipped_table(line) if set(species) <= set(SPECIES) else None
        table = shipped or (cache.load(table_key(line, species), line.name, tell) if cache else None)
        if table:
            found[line] = table
    made = _made([line for line in dict.fromkeys(lines) if line not in found], species, progress)
    if cache:
        for line, table in made.items():
            cache.save(table_key(line, species), table, tell)
    return [(found | made)[line] for line in lines]


def table_key(line: CellLine, species: Sequence[str]) -> dict[str, Any]:
    """All that decides a table, as plain data; the name of the line does not."""
    bins = {name: digest(_bins(name)) for name in species}
    return {"version": VERSION, "backend": _FFT.settings(), "gsm2": asdict(line.gsm2), "bins": bins}


def _bins(species: str) -> list[Any]:
    """Energies, LET and lesions of an ion: what would change if the physics below did."""
    axes = SpectrumAxes.logarithmic((species,))
    LET = bin_LET(axes)
    return [values.tolist() for values in (axes.edges_mev_u, LET, lesion_yield(axes.Z[:, None], LET))]


def _made(lines: Sequence[CellLine], species: Sequence[str], progress: Progress | None) -> dict[CellLine, MonoTable]:
    """Tables of lines, energy by energy, so that all lines share what is kept of the tracks of one."""
    if not lines:
        return {}
    tasks = {name: _tasks(name) for name in species}
    total, done = sum(map(len, tasks.values())), 0
    answers: dict[CellLine, dict[str, list[VoxelResponse]]] = {line: {name: [] for name in species} for line in lines}
    for name, energies in tasks.items():
        for task in energies:
            for line in lines:
                answers[line][name].append(_energy(task, line))
            done += 1
            if progress:
                progress(done, total)
    return {line: _table(line, answers[line]) for line in lines}


def _tasks(species: str) -> list[VoxelTask]:
    """One voxel for each energy of the standard bins."""
    axes = SpectrumAxes.logarithmic((species,))
    return [VoxelTask(row[None], axes, float("nan"), ()) for row in np.eye(axes.n_bins)]


def _energy(task: VoxelTask, line: CellLine) -> VoxelResponse:
    """Ions of one energy; the error is that of the integral over pairs."""
    square, independent = np.square(_FFT.doses), np.array(_FFT.answer(task, line, 0).effect)
    gamma = gamma_of(task, line.gsm2, _FFT.b_near)
    left_out = (gamma.sum() - gamma[:, None]) / (len(gamma) - 1)
    S, without = np.exp(gamma.mean() * square - independent), np.exp(left_out * square - independent)
    return response(task, line, _FFT.doses, S, without, 0, 0, "")


def _table(line: CellLine, answers: Mapping[str, Sequence[VoxelResponse]]) -> MonoTable:
    columns = {
        key: np.array([[getattr(answer, key) for answer in row] for row in answers.values()])
        for key in ("alpha", "alpha_se", "beta", "beta_se")
    }
    every = [answer for row in answers.values() for answer in row]
    source = {
        "made_by": f"surrogate3d.direct.mono/{VERSION}",
        "backend": f"{_FFT.name}/{_FFT.version} less the correlation of pairs of tracks",
        "method": "monoenergetic tracks, Kiefer-Chatterjee amorphous track structure, GSM2 response; deterministic",
        "fit": f"least squares of -ln S / D, weights D, beta >= 0, D <= {FIT_DOSE_MAX} Gy, S > {FIT_SURVIVAL_MIN}",
        "doses_gy": [dose for dose in _FFT.doses if dose <= FIT_DOSE_MAX],
        "errors": "of the integral over pairs of tracks; there is no other noise",
        "gsm2": asdict(line.gsm2),
        "largest_relative_se": {"RBE_2Gy": round(max(a.RBE_ref_se / a.RBE_ref for a in every), 5)},
    }
    energy = np.stack([SpectrumAxes.logarithmic((name,)).energy_mev_u[0] for name in answers])
    return MonoTable(line.name, tuple(answers), energy, **columns, source=source)
