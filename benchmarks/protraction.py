"""What delivery in time does to survival, and how fast it is simulated on this machine.

    python benchmarks/protraction.py

Prints one hardware line, the cost of a change (a lesion that comes or ends) in one domain and of a nucleus with tracks,
and -ln S of HSG cells at several lengths of delivery: simulated, and by alpha D + G beta D^2. For photons alpha and
beta are those of the low-dose limit; for ions alpha is the slope of infinitely slow delivery, and beta D^2 is what
acute delivery adds to it, so that the formula is right at both ends and the columns show how it does between them.
Last, what a voxel costs in `gsm2_mc` with the whole dose ladder at 1 % standard error, acutely and in half an hour, and
how `zr_table` answers the same: -ln S at 2 Gy and D10.
"""

from __future__ import annotations

import os
import platform
import time
from dataclasses import replace

import numba
import numpy as np

from surrogate3d.direct.conditions import ACUTE, Conditions
from surrogate3d.direct.gillespie import domain_survival, photon_effect_in_time
from surrogate3d.direct.gsm2_mc import Gsm2MonteCarlo
from surrogate3d.direct.table_backends import ZaiderRossiTable
from surrogate3d.direct.task import VoxelTask
from surrogate3d.direct.tracks_in_time import survival_in_time
from surrogate3d.grid import SpectrumAxes
from surrogate3d.physics.cell_line import cell_line
from surrogate3d.physics.let import bin_LET
from surrogate3d.physics.protraction import exposures, protraction_factor, repair_rate_of

HSG = cell_line("HSG").gsm2
HOURS = (0.0, 0.17, 0.5, 2.0, 8.0)
SLOW = 1e4
IONS = [("H", 100.0, 4.0, 4000), ("H", 2.0, 3.0, 40_000), ("C", 100.0, 3.0, 40_000), ("C", 10.0, 2.0, 100_000)]


def ion(species: str, energy_mev_u: float) -> VoxelTask:
    """A voxel with ions of one energy."""
    axes = SpectrumAxes((species,), energy_mev_u * np.array([[1 / 1.0001, 1.0001]]))
    return VoxelTask(np.ones((1, 1)), axes, 1.0, ("HSG",))


def hardware() -> str:
    """Cores, load and versions in one line."""
    return (
        f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {numba.get_num_threads()} thread"
        f"; python {platform.python_version()}, numba {numba.__version__}, numpy {np.__version__}"
    )


def domain_cost() -> None:
    """Print the cost of one change in a domain."""
    for m in (1.0, 10.0):
        domain_survival([m], exposures(0.0, 1.0), HSG, 100, 1)
        start = time.process_time()
        domain_survival([m], exposures(0.0, 1.0), HSG, 1_000_000, 1)
        spent = time.process_time() - start
        print(f"domain with {m:4.0f} lesions in 1 h: {1e3 * spent:6.0f} ns, {1e3 * spent / (2 * m):4.0f} ns a change")


def photons(dose: float) -> None:
    """Print -ln S of photons."""
    mu = repair_rate_of(HSG)
    alpha = HSG.kappa_x * (HSG.a / mu + HSG.lambda_ratio)
    beta = HSG.kappa_x**2 * HSG.b * HSG.r**2 / (2 * HSG.N * mu**2 * (mu + HSG.b))
    print(f"photons, {dose:g} Gy")
    for T in HOURS:
        when = exposures(0.0, T)
        effect, se = photon_effect_in_time([dose], when, HSG, 2_000_000, 1)
        factor = float(protraction_factor([dose], when, mu))
        linear_quadratic = alpha * dose + factor * beta * dose**2
        print(f"  {T:5.2f} h: simulated {effect:6.3f} +- {se:.3f}, with G = {factor:.3f} {linear_quadratic:6.3f}")


def ions(species: str, energy: float, dose: float, n: int) -> None:
    """Print -ln S of ions of one energy."""
    task, mu = ion(species, energy), repair_rate_of(HSG)
    found = {}
    start = time.process_time()
    for T in (*HOURS, SLOW):
        answer = survival_in_time(task, [dose], exposures(0.0, T), HSG, n, 1)
        found[T] = -np.log(answer.survival), answer.se / answer.survival
    spent = (time.process_time() - start) / (n * len(found))
    LET = float(bin_LET(task.axes).item())
    print(f"{species} {energy:g} MeV/u, {LET:.1f} keV/um, {dose:g} Gy; {1e6 * spent:.0f} us a nucleus")
    for T in HOURS:
        factor = float(protraction_factor([dose], exposures(0.0, T), mu))
        between = found[SLOW][0] + factor * (found[0.0][0] - found[SLOW][0])
        print(f"  {T:5.2f} h: simulated {found[T][0]:6.3f} +- {found[T][1]:.3f}, with G = {factor:.3f} {between:6.3f}")


def voxels() -> None:
    """Print the cost of voxels and how near the table comes."""
    half_an_hour = Conditions(start_h=(0.0,), duration_h=(0.5,), dose_share=(1.0,))
    for species, energy, _, _ in IONS:
        for name, conditions in (("acute", ACUTE), ("0.5 h", half_an_hour)):
            task = replace(ion(species, energy), conditions=conditions)
            start = time.process_time()
            (found,) = Gsm2MonteCarlo().simulate([task], 1, 0.01)
            spent = time.process_time() - start
            (table,) = ZaiderRossiTable().simulate([task])
            k = found.doses.index(2.0)
            print(
                f"{species} {energy:g} MeV/u, {name}: {spent:5.2f} s, {found.n_nuclei} nuclei; "
                f"{found.effect[k]:.3f} +- {found.effect_se[k]:.3f} ({table.effect[k]:.3f}), "
                f"{found.D10:.3f} +- {found.D10_se:.3f} Gy ({table.D10:.3f})"
            )


def main() -> None:
    """Print everything."""
    numba.set_num_threads(1)
    print(hardware())
    domain_cost()
    for dose in (3.0, 8.0):
        photons(dose)
    for species, energy, dose, n in IONS:
        ions(species, energy, dose, n)
    voxels()


if __name__ == "__main__":
    main()
