"""Other files of TOPAS: headers of phase spaces and ntuples, and microdosimetric spectra."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np

from benchmarks.fuzz.case import Files, Reading, Seed, Target
from benchmarks.fuzz.corpus import SHARED, single
from benchmarks.fuzz.mutate import BYTES, FOLDER, TEXT
from benchmarks.fuzz.places import by_lines, rules
from surrogate3d.io.topas_microdosimetry import EDGES_KEV_UM, read_spectrum
from surrogate3d.io.topas_ntuple import describe_ntuple

_T2N = SHARED / "topas" / "topas2numpy"
_TEPC = SHARED / "topas" / "tepc_carbon_350"
_NTUPLE = ("ascii-phasespace", "binary-phasespace", "limited-phasespace", "binary-other-ntuple", "ascii-other-ntuple")
_WRITTEN = b"""Number of Original Histories: 10
Number of Original Histories that Reached Phase Space: 3
Number of Scored Entries: 3

Columns of data are as follows:
 1: Energy [MeV]
 2: Position X [cm]
"""
# The number of records and the length of each stand in the size of the .phsp too; all else stands in the header alone.
_HEADER = by_lines(
    rules(
        (r"Histories|Phase Space|^Number of [^SB]", "n_histories n_reached n_by_particle kind"),
        (r"(Minimum|Maximum) Kinetic", "energy_range_mev"),
        (r"Number of (Scored|Bytes)", "n_by_particle"),
        (r": |// ", "columns"),
        (r"^\$|^\d+$", "n_histories"),
    )
)


def _ntuple_seeds() -> list[Seed]:
    real = [
        seed
        for name in _NTUPLE
        for seed in single(name, _T2N / f"{name}.header", _T2N / f"{name}.phsp")
        if len(seed.files) == 2
    ]
    written = {"a.header": _WRITTEN, "a.phsp": b"1.5 2\n2.5 3\n1 0.5\n"}
    return [Seed("written", written, options={"file": "a.header"}), *real]


def _read_ntuple(folder: Path, seed: Seed) -> Reading:
    found = describe_ntuple(folder / seed.options["file"])
    left_out = ("path", "data_file", "notes")
    return {each.name: getattr(found, each.name) for each in fields(found) if each.name not in left_out}


def _ntuple_may_change(seed: Seed, name: str, old: bytes, new: bytes) -> set[str]:
    return _HEADER(old, new) if name.endswith(".header") else set()


def _spectrum_seeds() -> list[Seed]:
    files = [_TEPC / name for name in ("ySpecfile.txt", "ySpecfile_Particle.txt", "ydy.txt")]
    real = single("real", *files) if files[0].is_file() else []
    mids = (EDGES_KEV_UM[1:] + EDGES_KEV_UM[:-1]) / 2
    rng = np.random.default_rng(4)
    head = "yF = 9.4674e-01 (std: 2.0213e-01) keV/um\nyD = 3.1e+00 (std: 1.0e-01) keV/um\n"
    head += "y (keV/um)     f(y)(std)  yf(y)(std) d(y)(std) yd(y)(std)\n"
    rows = "".join(" ".join(f"{x:.4e}" for x in (mid, *rng.random(8))) + "\n" for mid in mids)
    return [Seed("written", {"ySpecfile.txt": (head + rows).encode()}, options={"file": "ySpecfile.txt"}), *real]


def _read_spectrum(folder: Path, seed: Seed) -> Reading:
    found = read_spectrum(folder / seed.options["file"])
    names = ("f_y", "f_y_std", "yf_y", "yf_y_std", "d_y", "d_y_std", "yd_y", "yd_y_std")
    reading: Reading = {"table": np.stack([getattr(found, name) for name in names], axis=1)}
    reading |= {"means": (found.y_F, found.y_F_std, found.y_D, found.y_D_std), "edges": found.edges_kev_um}
    return reading | {f"particle {name}": values for name, values in found.particles.items()}


def _spectrum_may_change(seed: Seed, name: str, old: bytes, new: bytes) -> set[str]:
    if name == "ySpecfile_Particle.txt":
        return {"particle*"}
    if name == "ydy.txt":
        return set()
    return by_lines(rules((r"^y[FDfd] = ", "means"), (r"^y ", ""), (r"", "table")))(old, new)


def _literal_spectrum(seed: Seed, files: Files) -> Reading:
    lines = files["ySpecfile.txt"].decode("latin-1").splitlines()[3:]
    try:
        return {"table": np.array([[float(word) for word in line.split()[1:]] for line in lines if line.strip()])}
    except ValueError:
        return {"table": None}


TARGETS = (
    Target("ntuple", _ntuple_seeds, _read_ntuple, (*TEXT, *BYTES, *FOLDER[1:4]), _ntuple_may_change),
    Target(
        "spectrum",
        _spectrum_seeds,
        _read_spectrum,
        (*TEXT, *BYTES, *FOLDER[1:4]),
        _spectrum_may_change,
        _literal_spectrum,
    ),
)
