"""TOPAS scorers: single CSV files, and `.binheader` with `.bin`."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from benchmarks.fuzz.case import Files, Reading, Seed, Target
from benchmarks.fuzz.corpus import FIXTURES, SHARED, made, single
from benchmarks.fuzz.mutate import BYTES, FOLDER, TEXT
from benchmarks.fuzz.places import by_lines, rules, touched_lines
from surrogate3d.io.topas_grid import read_values
from surrogate3d.io.topas_header import read_header
from surrogate3d.io.topas_order import decide_row_order
from tests.io.topas_writer import CYLINDER, header, write_bin, write_csv

_REAL = FIXTURES / "topas"
_T2N = SHARED / "topas" / "topas2numpy"

# A header line may change what is stated there and nowhere else in the file. Counts of bins, columns and energies are
# stated a second time by the rows or the size of the `.bin`.
_HEADER = (
    (r"^# TOPAS Version", "version"),
    (r"^# Results for scorer", "scorer"),
    (r"^# Filtered by", "filters"),
    (r"^# Scored (in|on)", "component shape_kind"),
    (r"^# \w+ in \d+ bins? +of", "widths shape_kind"),
    (r"^# Binned by", "mode"),
    (r"^# \S+ (\( .* \) )?:", "quantity unit columns"),
    (r"^#", ""),
)
_CSV = by_lines(rules(*_HEADER, (r"", "values n_missing")))
_BINHEADER = by_lines(rules(*_HEADER, (r"", "")))
_LITERAL = re.compile(r"^[-+]?(\d+\.?\d*([eE][-+]?\d+)?|\.\d+([eE][-+]?\d+)?|nan|inf|infinity)$", re.IGNORECASE)


def read_scorer(folder: Path, seed: Seed) -> Reading:
    """Header and values of one scorer."""
    path = folder / seed.options["file"]
    head = read_header(path)
    order = decide_row_order(head, path.name, None, []) if head.binning and path.suffix == ".csv" else None
    scored = read_values(path, head, order)
    binning = head.binning
    return {
        "values": scored.values,
        "shape": head.shape,
        "shape_kind": head.shape_kind,
        "widths": tuple((axis.name, axis.width, axis.unit) for axis in head.axes),
        "columns": head.columns,
        "quantity": head.quantity,
        "unit": head.unit,
        "filters": head.filters,
        "component": head.component,
        "scorer": head.scorer,
        "mode": binning.mode if binning else "",
        "edges": binning.edges if binning else np.zeros(0),
        "n_missing": scored.n_missing,
    }


def literal_csv(seed: Seed, files: Files) -> Reading:
    """Values as the rows state them, one Python float after the other."""
    name = seed.options["file"]
    if any(re.search(r"TOPAS Version| bins? +of ", line) for line in touched_lines(seed.files[name], files[name])):
        return {}  # other rows belong to other voxels now, which these few lines do not follow
    text = files[name].decode("latin-1")
    lines = [line.rstrip("\r") for line in text.split("\n")]
    rows = [line.split(",") for line in lines if line.strip() and not line.startswith("#")]
    values = np.zeros(seed.options["stored"])
    shape, n_index = values.shape[:3], seed.options["n_index"]
    flat = values.reshape(int(np.prod(shape)), -1)
    for number, row in enumerate(rows):
        entries = [entry.strip(" \t") for entry in row]
        if not all(_LITERAL.match(entry) for entry in entries):
            return {"values": None}
        index = tuple(int(entry) for entry in entries[:n_index])
        voxel = number if n_index == 0 else index[0] if n_index == 1 else int(np.ravel_multi_index(index, shape))
        if n_index == 0:  # X fastest
            voxel = int(np.ravel_multi_index(np.unravel_index(number, shape, order="F"), shape))
        flat[voxel] = [float(entry) for entry in entries[n_index:]]
    return {"values": values}


def literal_bin(seed: Seed, files: Files) -> Reading:
    """Values as the bytes state them."""
    ni, nj, nk, ne, ns = seed.options["stored"]
    content = next((content for name, content in files.items() if name.endswith(".bin")), b"")
    if len(content) != 8 * ni * nj * nk * ne * ns:
        return {"values": None}
    return {"values": np.frombuffer(content, "<f8").reshape(nk, nj, ni, ne, ns).transpose(2, 1, 0, 3, 4).copy()}


def _csv_may_change(seed: Seed, name: str, old: bytes, new: bytes) -> set[str]:
    found = _CSV(old, new)
    if seed.options["n_index"] == 0 and "version" in found:
        found.add("values")  # the version alone tells the order of rows without indices
    # How many voxels there are, only the header of a sparse file tells.
    return found | ({"shape", "values", "n_missing"} if seed.name == "sparse" and "widths" in found else set())


def _bin_may_change(seed: Seed, name: str, old: bytes, new: bytes) -> set[str]:
    # The file alone cannot say which of its axes is which, nor where statistics end and energies begin.
    return {"values"} if name.endswith(".bin") else _BINHEADER(old, new)


def csv_seeds() -> list[Seed]:
    """Every form of CSV output, small."""
    rng = np.random.default_rng(1)
    shape = (3, 2, 4)
    binned = ("Binned by pre-step energy in 2 bins of 10 MeV from 0 MeV to 20 MeV", "First bin is underflow, ...")
    forms = {
        "plain": (header("A", "DoseToWater ( Gy )", shape, columns=("Sum", "Mean")), shape, 2, 3),
        "warned": (header("A", "DoseToWater ( Gy )", shape, warnings=("Warning: Some", "of them.")), shape, 1, 3),
        "cylinder": (header("A", "Fluence ( /mm2 )", shape, axes=CYLINDER), shape, 1, 3),
        "single": (header("A", "DoseToWater ( Gy )", (1, 1, 1)), (1, 1, 1), 1, 0),
        "binned": (header("A", "Fluence ( /mm2 )", shape, binning=binned), shape, 4, 0),
        "sparse": (
            header("A", "DoseToWater ( Gy )", shape, tail=("Showing only rows that have sum > 0 Gy",)),
            shape,
            1,
            3,
        ),
    }
    seeds = []
    for name, (head, form, columns, n_index) in forms.items():
        values = rng.random((*form, columns))
        files = made(lambda f, h=head, v=values, n=n_index: write_csv(f / "a.csv", h, v, index=n > 0))  # type: ignore[misc]
        if name == "sparse":
            lines = files["a.csv"].splitlines(keepends=True)
            files["a.csv"] = b"".join(lines[:15] + lines[20:])
        ne = 4 if name == "binned" else 1
        stored = (*form, ne, columns // ne)
        seeds.append(Seed(name, files, options={"file": "a.csv", "stored": stored, "n_index": n_index}))
    return seeds + _single_index(shape, rng) + _real_csv()


def _single_index(shape: tuple[int, int, int], rng: np.random.Generator) -> list[Seed]:
    tail = ("Using single index calculated as X * NY * NZ + Y * NZ + Z",)
    values = rng.random(int(np.prod(shape)))
    text = header("A", "DoseToWater ( Gy )", shape, tail=tail)
    text += "".join(f"{n}, {value!r}\n" for n, value in enumerate(values.tolist()))
    options = {"file": "a.csv", "stored": (*shape, 1, 1), "n_index": 1}
    return [Seed("single index", {"a.csv": text.encode()}, options=options)]


def _real_csv() -> list[Seed]:
    return [
        *single("real dose", _REAL / "fixture_DoseToMedium.csv", stored=(6, 5, 12, 1, 1), n_index=3),
        *single("real LET", _REAL / "fixture_ProtonLETd.csv", stored=(6, 5, 12, 1, 1), n_index=3),
        *single("real fluence", _REAL / "fixture_Fluence_H.csv", stored=(6, 5, 12, 66, 1), n_index=0),
        *single("TOPAS 2 dose", _T2N / "Dose.csv", stored=(1, 1, 300, 1, 1), n_index=3),
    ]


def bin_seeds() -> list[Seed]:
    """Binary output, plain and with energy bins."""
    rng = np.random.default_rng(2)
    shape = (3, 2, 4)
    binned = ("Binned by pre-step energy in 2 bins of 10 MeV from 0 MeV to 20 MeV", "First bin is underflow, ...")
    head = header("A", "Fluence ( /mm2 )", shape, binning=binned, tail=("Binary file: a.bin",))
    files = made(lambda folder: write_bin(folder / "a", head, rng.random((*shape, 4, 1))))
    real, t2n = _REAL / "fixture_DoseToWater.binheader", _T2N / "Dose.binheader"
    return [
        Seed("binned", files, options={"file": "a.binheader", "stored": (*shape, 4, 1)}),
        *single("real dose", real, real.with_suffix(".bin"), stored=(6, 5, 12, 1, 3)),
        *single("TOPAS 2 dose", t2n, t2n.with_suffix(".bin"), stored=(1, 1, 40, 1, 9)),
    ]


_CONTENT = FOLDER[1:4]  # the file that is named must be there
TARGETS = (
    Target("csv", csv_seeds, read_scorer, (*TEXT, *TEXT, *BYTES, *_CONTENT), _csv_may_change, literal_csv, share=3),
    Target("bin", bin_seeds, read_scorer, (*TEXT, *BYTES, *_CONTENT), _bin_may_change, literal_bin),
)
