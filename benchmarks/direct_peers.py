"""The microdosimetric kinetic model beside two other codes on the same tasks: results and processor time.

    python benchmarks/direct_peers.py

Ions of one energy in HSG cells with the parameters of Inaniwa et al. 2010 (alpha0 0.172 1/Gy, beta0 0.0615 1/Gy^2,
r_d 0.32 um, R_n 3.9 um). First the closed form with saturation: the back end `mkm`, pymkm (PyPI), and the nearest that
the INFN code Survival has (github.com/batuff/Survival), which takes the correction of Kase 2008 instead of saturation.
Then the Monte Carlo of tracks without saturation, alpha0 z + beta0 z^2 in each domain: the back end `smkm_mc` with an
infinite z0, and Survival. Each code has stopping powers of its own, which are shown; those of pymkm are MSTAR, to which
ours are fitted. pymkm takes part when it can be imported; Survival when `survival` is on the PATH and the variable DATA
names the folder of its tables, as its own setenv.sh has it.
"""

from __future__ import annotations

import contextlib
import csv
import importlib.util
import io
import os
import resource
import shutil
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np
from direct import hardware

from surrogate3d.direct.curve import dose_at
from surrogate3d.direct.smkm_mc import SmkMonteCarlo
from surrogate3d.direct.table_backends import Mkm
from surrogate3d.direct.task import DOSE_LADDER, VoxelTask
from surrogate3d.grid import SPECIES_A, SpectrumAxes
from surrogate3d.physics.let import bin_LET
from surrogate3d.physics.linear_quadratic import LN10

ALPHA0, BETA0, R_D, R_N = 0.172, 0.0615, 0.32, 3.9
CLOSED = [("H", 2.0), ("H", 10.0), ("H", 100.0), ("C", 10.0), ("C", 30.0), ("C", 100.0), ("C", 270.0)]
SAMPLED = [("H", 10.0), ("C", 30.0)]
TARGET = 0.03

UNSATURATED = f"""
name = "HSG without saturation"
species = "human"
tissue = "salivary gland tumour"
alpha_x = {ALPHA0}
beta_x = {BETA0}
source = "Inaniwa et al., Phys. Med. Biol. 2010;55:6721"
[gsm2]
r_d = 0.9
R_n = 4.5
r = 2.5
genome_gbp = 6.2
source = "not used here"
[smk]
alpha0 = {ALPHA0}
beta0 = {BETA0}
r_d = {R_D}
R_n = {R_N}
z0 = 1e6
source = "Inaniwa et al., Phys. Med. Biol. 2010;55:6721, without saturation"
"""


@dataclass(frozen=True)
class Found:
    """What a code says of one task: LET in keV/um, D10 in Gy or S at 2 Gy with its standard error, and seconds."""

    LET: float
    value: float
    seconds: float
    error: float = 0.0


Run = Callable[[str, float], Found]


def mono(species: str, energy_mev_u: float, line: str = "HSG") -> VoxelTask:
    """A voxel with ions of one energy."""
    axes = SpectrumAxes((species,), energy_mev_u * np.array([[1 / 1.0001, 1.0001]]))
    return VoxelTask(np.ones((1, 1)), axes, 1.0, (line,))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def ours_closed(species: str, energy_mev_u: float) -> Found:
    """D10 of the back end `mkm`; nothing of this energy is known beforehand."""
    start, task = time.process_time(), mono(species, energy_mev_u)
    (answer,) = Mkm().simulate([task])
    return Found(bin_LET(task.axes).item(), answer.D10, time.process_time() - start)


def pymkm_closed(species: str, energy_mev_u: float) -> Found:
    """D10 of pymkm, of the same doses and with the same interpolation."""
    if not hasattr(np, "trapz"):
        vars(np)["trapz"] = np.trapezoid  # pymkm 1.0.0 is older than numpy 2.4, which dropped the name
    modules = ("io.table_set", "mktable.core", "mktable.compute", "sftable.core", "sftable.compute")
    with _quiet():
        source, tables, _, curve_tables, _ = (import_module(f"pymkm.{name}") for name in modules)
    with _quiet():
        start = time.process_time()
        stopping_power = source.StoppingPowerTableSet.from_default_source("mstar_3_12")
        geometry = tables.MKTableParameters(domain_radius=R_D, nucleus_radius=R_N, beta0=BETA0)
        table, doses = tables.MKTable(geometry, stopping_power), np.array(DOSE_LADDER)
        wanted = curve_tables.SFTableParameters(table, alpha0=ALPHA0, beta0=BETA0, dose_grid=doses)
        curves = curve_tables.SFTable(wanted)
        curves.compute(ion=species, energy=energy_mev_u)
        spent = time.process_time() - start
    (curve,) = curves.table
    effects = -np.log(curve["data"]["survival_fraction"].to_numpy())
    return Found(0.1 * curve["params"]["let"], float(dose_at(LN10, doses, effects)), spent)


def survival(
    species: str, energy_mev_u: float, calculus: str, doses: tuple[float, ...]
) -> tuple[list[dict[str, str]], float]:
    """Rows of the table that Survival writes, and the processor time of its one thread."""
    settings = {
        "projectName": "run", "output": "meanValues", "model": "MKM", "calculusType": calculus, "precision": TARGET,
        "parallelismType": 1, "cellType": "HSG", "MKM_alpha0": ALPHA0, "MKM_beta0": BETA0, "MKM_rNucleus": R_N,
        "MKM_rDomain": R_D, "ion": species, "trackMode": "histogram", "energies": energy_mev_u * SPECIES_A[species],
    }  # fmt: skip
    words = [word for name, value in settings.items() for word in (f"-{name}", str(value))]
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["survival", *words, "-doses", *map(str, doses)], cwd=folder, check=True, capture_output=True)
        with (Path(folder) / "run_survival_MKM.csv").open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    return rows, resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before


def survival_closed(species: str, energy_mev_u: float) -> Found:
    """D10 of Survival's fast calculation."""
    rows, spent = survival(species, energy_mev_u, "rapidMKM_Kase2008", DOSE_LADDER)
    effects = -np.log([float(row["mean_survival"]) for row in rows])
    return Found(
        1000 * float(rows[0]["meanLET"]), float(dose_at(LN10, np.array(DOSE_LADDER), np.array(effects))), spent
    )


def survival_sampled(species: str, energy_mev_u: float) -> Found:
    """S(2 Gy) of Survival's Monte Carlo."""
    (row,), spent = survival(species, energy_mev_u, "MonteCarlo", (2.0,))
    error = float(row["mean_survivalUncertainty"])
    return Found(1000 * float(row["meanLET"]), float(row["mean_survival"]), spent, error)


def ours_sampled(species: str, energy_mev_u: float) -> Found:
    """S(2 Gy) of the kernel of `smkm_mc` with two doses; tables and compiled code are there already."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "line.toml"
        path.write_text(UNSATURATED, encoding="utf-8")
        task, simulator = mono(species, energy_mev_u, str(path)), SmkMonteCarlo(doses=(1.0, 2.0))
        simulator.simulate([task], 1, 0.5)
        start = time.process_time()
        (answer,) = simulator.simulate([task], 1, TARGET)
        spent = time.process_time() - start
    return Found(bin_LET(task.axes).item(), answer.survival[1], spent, answer.survival_se[1])


def closed_form(peers: Mapping[str, Run]) -> None:
    """Print D10 of all codes."""
    print("closed form: LET, D10, processor time of a survival curve")
    ours_closed("He", 7.0)  # what is made once
    for species, energy in CLOSED:
        first = ours_closed(species, energy)
        parts = [f"{species:2s} {energy:4.0f} MeV/u: mkm {first.LET:6.2f} keV/um {first.value:.3f} Gy"]
        parts[0] += f" {1e3 * first.seconds:4.1f} ms"
        for name, found in ((name, run(species, energy)) for name, run in peers.items()):
            off = 100 * (found.value / first.value - 1)
            value = f"{found.LET:6.2f} keV/um {found.value:.3f} Gy ({off:+.1f} %)"
            parts.append(f"{name} {value} {1e3 * found.seconds:4.0f} ms")
        print(" | ".join(parts))


def monte_carlo(peers: Mapping[str, Run]) -> None:
    """Print S(2 Gy) of all codes."""
    print(f"Monte Carlo: LET, S(2 Gy) to {100 * TARGET:g} %, processor time, and what 1 % would take")
    for species, energy in SAMPLED:
        parts = []
        for name, found in ((name, run(species, energy)) for name, run in peers.items()):
            for_1_percent = found.seconds * (found.error / found.value / 0.01) ** 2
            parts.append(
                f"{name} {found.LET:.2f} keV/um {found.value:.4f} +- {found.error:.4f} {found.seconds:.3f} s, "
                f"{for_1_percent:.3f} s"
            )
        print(f"{species:2s} {energy:4.0f} MeV/u: {' | '.join(parts)}")


def main() -> None:
    """Print both tables."""
    with_pymkm = importlib.util.find_spec("pymkm") is not None
    with_survival = shutil.which("survival") is not None and "DATA" in os.environ
    print(hardware())
    print(f"pymkm: {'takes part' if with_pymkm else 'not installed'}")
    print(f"Survival: {'takes part' if with_survival else 'not on the PATH, or its variable DATA is not set'}")
    closed = {"pymkm": pymkm_closed} if with_pymkm else {}
    closed_form(closed | ({"Survival": survival_closed} if with_survival else {}))
    monte_carlo({"smkm_mc": ours_sampled} | ({"Survival": survival_sampled} if with_survival else {}))


if __name__ == "__main__":
    main()
