"""Published curves, single ions and brute force for `direct_simulation_figures.py`."""

from __future__ import annotations

import re
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.direct.simulator import BACKENDS
from surrogate3d.direct.task import VoxelResponse, VoxelTask
from surrogate3d.grid import SpectrumAxes
from surrogate3d.physics.cell_line import cell_line
from surrogate3d.physics.gsm2 import lattice
from surrogate3d.physics.stopping_power import stopping_power
from surrogate3d.physics.track import penumbra_radius_um, specific_energy

Floats = npt.NDArray[np.float64]

ROOT = Path(__file__).parents[1]
LITERATURE = ROOT / "tests" / "fixtures" / "literature"
SEED = 2026
DOSES = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
TARGET = 0.01
SPECTRA = {
    "p mid SOBP": [("H", 70.0, 0.4, 1.0), ("H", 15.0, 0.6, 0.3)],
    "C mid SOBP": [("C", 90.0, 0.5, 1.0), ("B", 90.0, 0.3, 0.1), ("He", 100.0, 0.4, 0.4), ("H", 80.0, 0.6, 0.8)],
    "C distal": [("C", 15.0, 0.7, 1.0), ("He", 60.0, 0.4, 0.3), ("H", 60.0, 0.6, 0.5)],
}
"""Log-normal energy spectra: species, median MeV/u, width in ln E, relative fluence."""


def literature(name: str) -> Any:
    """Rows of a digitised figure."""
    rows = (LITERATURE / name).read_text(encoding="utf-8").splitlines()
    return np.genfromtxt([r for r in rows if not r.startswith("#")], delimiter=",", names=True, dtype=None)


def energy_at(Z: int, LET: float) -> float:
    """MeV/u at which an ion has this LET, on the falling side."""
    energies = np.geomspace(0.4, 500, 4000)
    return float(np.exp(np.interp(-LET, -stopping_power(Z, energies), np.log(energies))))


def ion(species: str, energy: float, line: str) -> VoxelTask:
    """A voxel with ions of one energy."""
    axes = SpectrumAxes((species,), energy * np.array([[1 / 1.0001, 1.0001]]))
    return VoxelTask(np.ones((1, 1)), axes, 1.0, (line,))


def mixed_field(parts: list[tuple[str, float, float, float]], line: str = "HSG") -> VoxelTask:
    """A voxel with one of `SPECTRA`."""
    axes = SpectrumAxes.logarithmic(("H", "He", "Li", "Be", "B", "C"))
    fluence = np.zeros(axes.energy_mev_u.shape)
    for species, median, width, share in parts:
        row = axes.species.index(species)
        shape = np.exp(-0.5 * (np.log(axes.energy_mev_u[row] / median) / width) ** 2)
        fluence[row] += share * shape / shape.sum()
    return VoxelTask(fluence, axes, 1.0, (line,))


def simulate(name: str, task: VoxelTask, target: float = TARGET, doses: tuple[float, ...] = DOSES) -> VoxelResponse:
    """The answer of a back end at other doses than its own."""
    backend: Any = replace(BACKENDS[name], doses=doses)  # type: ignore[type-var]
    if hasattr(backend, "max_nuclei"):
        backend = replace(backend, max_nuclei=100_000)
    return backend.simulate([task], SEED, target)[0]  # type: ignore[no-any-return]


def survival_curves(line: str, Z: int) -> list[tuple[float, Floats, Floats]]:
    """LET, doses and survival of the published curves of one line and ion."""
    rows = literature("inaniwa_2018_survival.csv")
    rows = rows[(rows["cell_line"] == line) & (rows["Z"] == Z)]
    each = {LET: rows[rows["LET_keV_um"] == LET] for LET in dict.fromkeys(rows["LET_keV_um"].tolist())}
    return [(LET, curve["dose_Gy"], curve["survival"]) for LET, curve in each.items()]


def D10_of(doses: Floats, S: Floats) -> float:
    """Dose of 10 % survival, read off a curve."""
    return float(np.interp(np.log(10), -np.log(S), doses))


def brute_force(energy: float, n: int, outside: bool = True) -> tuple[Floats, Floats]:
    """S(2 Gy), S(4 Gy) and their standard errors of HSG under carbon with the SMK.

    Plain numpy without table, raster or far field.
    Without `outside`, tracks that miss the nucleus are left out, which is wrong: their penumbrae reach into it.
    """
    p = cell_line("HSG").smk
    assert p is not None
    axes, LET = lattice(p.r_d, p.R_n), float(stopping_power(6, energy))
    reach = p.r_d + float(penumbra_radius_um(energy))
    source, rim = p.R_n + (reach if outside else 0.0), np.geomspace(1e-6, 0.1, 4000)
    grid = np.unique(np.clip(np.concatenate([np.linspace(0, reach, 60_001), p.r_d - rim, p.r_d + rim]), 0, reach))
    table, rng = specific_energy(grid, p.r_d, 6, energy, LET), np.random.default_rng(SEED)
    S = np.zeros((n, 2))
    for i in range(n):
        z = np.zeros(len(axes))
        for k in range(2):
            tracks = rng.poisson(2.0 / (0.1602176634 * LET) * np.pi * source**2)
            r, angle = source * np.sqrt(rng.random(tracks)), 2 * np.pi * rng.random(tracks)
            b = np.hypot(r * np.cos(angle) - axes[:, :1], r * np.sin(angle) - axes[:, 1:])
            z += np.interp(b, grid, table, right=0.0).sum(axis=1)
            S[i, k] = np.exp(-np.mean(p.alpha0 * z - p.beta0 * p.z0**2 * np.expm1(-((z / p.z0) ** 2))))
    return S.mean(axis=0), S.std(axis=0) / np.sqrt(n)


def with_radii(line: str, r_d: float, R_n: float, folder: Path) -> str:
    """Path of a copy of a cell line's file whose GSM2 nucleus has other radii, um; its rates follow from photons."""
    text = (files("surrogate3d.physics") / "data" / "cell_lines" / f"{line}.toml").read_text(encoding="utf-8")
    for name, value in (("r_d", r_d), ("R_n", R_n)):
        text = re.sub(rf"(\[gsm2\][^\[]*?\n{name} = )[\d.]+", rf"\g<1>{value:g}", text, count=1)
    path = folder / f"{line}_{r_d:g}_{R_n:g}.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)
