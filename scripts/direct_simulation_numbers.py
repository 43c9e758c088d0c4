"""Numbers of docs/direct-simulation.md that have no picture, printed by `direct_simulation_figures.py`."""

from __future__ import annotations

import itertools
import os
import tempfile
import time
from pathlib import Path

import numba
import numpy as np
from direct_simulation_cases import (
    SEED,
    SPECTRA,
    D10_of,
    brute_force,
    energy_at,
    ion,
    mixed_field,
    simulate,
    survival_curves,
    with_radii,
)

from surrogate3d.direct.gsm2_mc import Gsm2MonteCarlo
from surrogate3d.direct.simulator import BACKENDS
from surrogate3d.grid import SPECIES_Z


def slow_carbon() -> None:
    """Brute force against the kernel, where a prototype gave other numbers; and what smoothing distant tracks costs."""
    for energy, n in ((12.0, 6000), (4.0, 20_000)):
        for outside in (True, False):
            S, se = brute_force(energy, n, outside)
            which = "all tracks" if outside else "tracks through the nucleus alone"
            print(f"C {energy:g} MeV/u, {which}, n {n}: S(2), S(4) {S[0]:.5f} {S[1]:.3e} +- {se[0]:.5f} {se[1]:.0e}")
        found = simulate("smkm_mc", ion("C", energy, "HSG"), 1e-9, (2.0, 4.0))
        print(f"    smkm_mc, n {found.n_nuclei}: {found.survival} +- {found.survival_se}")
    for b_near in (1.0, 5.0):
        backend = Gsm2MonteCarlo(doses=(2.0, 4.0), max_nuclei=40_000, b_near=b_near)
        found = backend.simulate([ion("C", 50.0, "HSG")], SEED, 1e-9)[0]
        S2, S2_se = found.survival[0], found.survival_se[0]
        print(f"gsm2_mc, C 50 MeV/u, b_near {b_near:g} um: S(2 Gy) {S2:.5f} +- {S2_se:.5f}")


def radii_of_V79() -> None:
    """D10 of V79 over that of the published survival curves, for several radii of domain and nucleus."""
    known = [(s, LET, D10_of(D, S)) for s in ("He", "C") for LET, D, S in survival_curves("V79", SPECIES_Z[s])]
    with tempfile.TemporaryDirectory() as folder:
        for r_d, R_n in itertools.product((0.9, 0.8, 0.7, 0.6, 0.5), (4.5, 5.0, 6.0)):
            line = with_radii("V79", r_d, R_n, Path(folder))
            tasks = [ion(s, energy_at(SPECIES_Z[s], LET), line) for s, LET, _ in known]
            ratio = np.array([simulate("gsm2_fft", t).D10 / d for t, (_, _, d) in zip(tasks, known, strict=True)])
            rms = np.sqrt(np.mean(np.log(ratio) ** 2))
            print(f"V79, r_d {r_d}, R_n {R_n}: rms of ln D10 {rms:.3f}, D10 over published {np.round(ratio, 2)}")


def cost(repeat: int = 7) -> None:
    """Least processor time of one voxel, one cell line, one thread, by back end and error."""
    numba.set_num_threads(1)
    print(f"load {os.getloadavg()[0]:.1f}")
    exact = [(name, 1.0) for name in ("gsm2_fft", "zr_table", "smk")]
    for name, parts in SPECTRA.items():
        task, cells = mixed_field(parts), []
        for backend, target in [("gsm2_mc", 0.03), ("gsm2_mc", 0.01), ("gsm2_mc", 0.003), ("smkm_mc", 0.01), *exact]:
            BACKENDS[backend].simulate([task], 1, 0.2)
            times = []
            for _ in range(repeat):
                start = time.process_time()
                answer = BACKENDS[backend].simulate([task], 1, target)[0]
                times.append(time.process_time() - start)
            cells.append(f"{backend} {100 * target:g} %: {1000 * min(times):.1f} ms ({answer.n_nuclei})")
        print(f"{name}: " + "; ".join(cells))
    print(f"load at the end {os.getloadavg()[0]:.1f}")


NUMBERS = (slow_carbon, radii_of_V79, cost)
