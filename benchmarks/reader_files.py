"""Files for `readers.py`, each with what it holds by an own slow parse or by the specification it was written from.

Real files are parsed here with plain loops, number by number, so that no reader under comparison is its own judge.
Files of forms that no real run at hand has are written from the specification by the writer of the tests.
"""

import math
import shutil
import struct
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).parents[1]
FIXTURE = ROOT / "tests" / "fixtures" / "topas"
SHARED = ROOT.parent / "shared" / "data" / "topas"
sys.path.insert(0, str(ROOT / "tests" / "io"))

from topas_writer import BOX, CYLINDER, header, rows, write_bin, write_csv  # noqa: E402  # the writer of the tests

Array = npt.NDArray[np.float64]
Shape = tuple[int, int, int]

SHAPE: Shape = (4, 3, 5)
LARGE: Shape = (60, 60, 60)
BOTH = ("Sum", "Mean")
INCIDENT = ("Binned by incident track energy in 4 bins of 25 MeV from 0 MeV to 100 MeV", "First bin is underflow")
PRE_STEP = ("Binned by pre-step energy in 4 bins of 25 MeV from 0 MeV to 100 MeV", "First bin is underflow")
LOGARITHMIC = ("Binned by incident track energy in 3 bins of 1 MeV from 0.1 MeV to 100 MeV", "First bin is underflow")
TIMES = ("Binned by time in 4 bins of 25 ns from 0 ns to 100 ns", "First bin is underflow, last bin is overflow.")
OUTSIDE = ('OnlyIncludeIfInRTStructure = 1 "PTV"',)
SPARSE = ("Showing only rows that have sum > 0.5 Gy",)
SINGLE_INDEX = ("Using single index calculated as X * NY * NZ + Y * NZ + Z",)


@dataclass(frozen=True, eq=False)
class ReaderFile:
    """A file, and what a reader should make of it.

    Attributes:
        what: in words.
        origin: "real" or "written".
        path: the file.
        truth: (i, j, k, bin) by statistic; bins with underflow first. Empty where the file must be refused.
        edges: of energy or time bins.
        unit: as TOPAS prints it; "1" for none.
        damage: why the file must be refused; "" for a sound one.
    """

    what: str
    origin: str
    path: Path
    truth: dict[str, Array] = field(default_factory=dict)
    edges: Array | None = None
    unit: str = "Gy"
    damage: str = ""


def slow_csv(path: Path, shape: Shape, columns: tuple[str, ...], n_bins: int = 1, order: str = "") -> dict[str, Array]:
    """(i, j, k, bin) by statistic: line by line; `order` is that of a file without indices."""
    found = {name: np.full((*shape, n_bins), np.nan) for name in columns}
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    for number, line in enumerate(lines):
        words = line.split(",")
        voxel = _voxel(number, shape, order) if order else tuple(int(word) for word in words[:3])
        values = words if order else words[3:]
        for place, word in enumerate(values):
            found[columns[place % len(columns)]][(*voxel, place // len(columns))] = float(word)
    return found


def slow_bin(path: Path, shape: Shape, columns: tuple[str, ...], n_bins: int = 1) -> dict[str, Array]:
    """(i, j, k, bin) by statistic: eight bytes at a time, Z outermost, statistic innermost."""
    found = {name: np.full((*shape, n_bins), np.nan) for name in columns}
    with path.open("rb") as stream:
        for k in range(shape[2]):
            for j in range(shape[1]):
                for i in range(shape[0]):
                    for b in range(n_bins):
                        for name in columns:
                            found[name][i, j, k, b] = struct.unpack("<d", stream.read(8))[0]
    return found


def _voxel(row: int, shape: Shape, order: str) -> tuple[int, ...]:
    nx, ny, nz = shape
    if order == "x_fastest":
        return (row % nx, row // nx % ny, row // (nx * ny))
    return (row // (ny * nz), row // nz % ny, row % nz)


def real_files(folder: Path) -> Iterator[ReaderFile]:
    """Real outputs, copied beside their parameter files; those outside the repository only where they are at hand."""
    shutil.copytree(FIXTURE, folder / "opentopas")
    at = folder / "opentopas"
    grid, log = (6, 5, 12), np.geomspace(0.1, 500, 65)
    for name, what, unit in (("DoseToMedium", "dose", "Gy"), ("ProtonLETd", "ProtonLET", "MeV/mm/(g/cm3)")):
        path = at / f"fixture_{name}.csv"
        yield ReaderFile(f"{what}, CSV with indices", "real 4.2.p1", path, slow_csv(path, grid, ("Sum",)), unit=unit)
    path = at / "fixture_Fluence_H.csv"
    truth = slow_csv(path, grid, ("Sum",), 66, "x_fastest")
    yield ReaderFile("64 log bins, CSV without indices", "real 4.2.p1", path, truth, log, unit="/mm2")
    path = at / "fixture_DoseToWater.bin"
    columns = ("Sum", "Standard_Deviation", "Histories_with_Scorer_Active")
    yield ReaderFile("dose, `.bin`, 3 statistics", "real 4.2.p1", path, slow_bin(path, grid, columns))
    if SHARED.is_dir():
        yield from _shared_files(folder)


def _shared_files(folder: Path) -> Iterator[ReaderFile]:
    old = Path(shutil.copytree(SHARED / "topas2numpy", folder / "topas2"))
    path = old / "Dose.csv"
    yield ReaderFile("dose on a line, CSV", "real 2.0", path, slow_csv(path, (1, 1, 300), ("Sum",)))
    path = old / "SurfaceTracks.csv"
    yield ReaderFile("surface, CSV, no unit", "real 2.0", path, slow_csv(path, (10, 10, 1), ("Sum",)), unit="1")
    path = old / "Dose.bin"
    nine = (*BOTH, "Histories_with_Scorer_Active", "Count_in_Bin", "Second_Moment", "Variance", "Standard_Deviation")
    yield ReaderFile("dose, `.bin`, 9 statistics", "real 2.0", path, slow_bin(path, (1, 1, 40), (*nine, "Min", "Max")))
    with tarfile.open(SHARED / "proton_rbe_v79.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    path = folder / "proton_rbe_v79" / "p_sobp_McNamara_RBE.csv"
    yield ReaderFile("RBE map, CSV, no unit", "real 4.2.p1", path, slow_csv(path, (16, 16, 64), ("Sum",)), unit="1")
    path = path.with_name("p_sobp_Fluence_proton.bin")
    truth = slow_bin(path, (16, 16, 64), ("Sum",), 66)
    yield ReaderFile("64 linear bins, `.bin`", "real 4.2.p1", path, truth, np.linspace(0, 140, 65), unit="/mm2")


def written_files(folder: Path) -> Iterator[ReaderFile]:
    """Sound files, written from the specification."""
    folder.mkdir()
    (folder / "run.txt").write_text("i:So/Beam/NumberOfHistoriesInRun = 1000\n")
    for version, order in (("3.9", "z_fastest"), ("4.2.p3", "x_fastest")):
        yield _written(folder, "CSV with indices", version, order)
        for name, binning in (("incident-track bins", INCIDENT), ("pre-step bins", PRE_STEP), ("time bins", TIMES)):
            yield _written(folder, f"{name}, CSV without indices", version, order, binning=binning)
    new = ("4.2.p3", "x_fastest")
    yield _written(folder, "log bins, CSV without indices", *new, binning=LOGARITHMIC)
    yield _written(folder, "cylinder (R, Phi, Z), CSV", "3.9", "z_fastest", axes=CYLINDER)
    yield _written(folder, "single voxel, CSV", *new, shape=(1, 1, 1))
    yield _written(folder, "-1 outside a structure, CSV", "3.9", "z_fastest", filters=OUTSIDE)
    yield _written(folder, "sparse CSV", "3.9", "z_fastest", tail=SPARSE)
    yield _written(folder, "single index, CSV", "3.9", "z_fastest", tail=SINGLE_INDEX)
    yield _written(folder, "NaN in one voxel, CSV", "3.9", "z_fastest", filters=("OnlyIncludeParticlesCharged = 1",))
    yield _written(folder, "216,000 voxels, CSV", *new, shape=LARGE)


def _written(
    folder: Path,
    what: str,
    version: str,
    order: str,
    *,
    shape: Shape = SHAPE,
    binning: tuple[str, ...] = (),
    axes: tuple[tuple[str, str], ...] = BOX,
    filters: tuple[str, ...] = (),
    tail: tuple[str, ...] = (),
) -> ReaderFile:
    """Sum and Mean of random values: pymchelper reads Mean, the others are asked for Sum."""
    n_bins = _columns(binning)
    sums = np.random.default_rng(len(what)).random((*shape, n_bins)) + 0.01
    if what.startswith("-1"):
        sums[0, 1, 2] = sums[3, 2, 4] = -1
    if what.startswith("NaN"):
        sums[2, 1, 3] = np.nan
    means = np.where(sums == -1, -1, sums / 1000)
    path = folder / f"{what.split(',')[0]} {version}.csv".replace(" ", "_")
    text = header(
        "Dose",
        "DoseToWater ( Gy )",
        shape,
        columns=BOTH,
        version=version,
        binning=binning,
        tail=tail,
        axes=axes,
        filters=filters,
    )
    table = np.stack([sums, means], axis=-1).reshape(*shape, 2 * n_bins)
    if tail or shape == (1, 1, 1):
        _write_special(path, text, table, order, tail)
    else:
        write_csv(path, text, table, order=order, index=not binning)
    if tail == SPARSE:
        means, sums = np.where(sums > 0.5, means, 0), np.where(sums > 0.5, sums, 0)
    truth = {"Sum": np.where(sums == -1, np.nan, sums), "Mean": np.where(sums == -1, np.nan, means)}
    return ReaderFile(what, f"written {version}", path, truth, _edges(binning))


def _write_special(path: Path, text: str, table: Array, order: str, tail: tuple[str, ...]) -> None:
    _, ny, nz, _ = table.shape
    lines = []
    for (i, j, k), numbers in rows(table, order):
        if tail == SPARSE and table[i, j, k, 0] <= 0.5:
            continue
        index = f"{i}, {j}, {k}, " if tail == SPARSE else f"{(i * ny + j) * nz + k}, " if tail else ""
        lines.append(index + numbers)
    path.write_text(text + "\n".join(lines) + "\n")


def _columns(binning: tuple[str, ...]) -> int:
    if not binning:
        return 1
    return int(binning[0].split(" in ")[1].split()[0]) + (3 if "incident" in binning[0] else 2)


def _edges(binning: tuple[str, ...]) -> Array | None:
    if not binning:
        return None
    words = binning[0].split(" in ")[1].split()
    n, low, high = int(words[0]), float(words[6]), float(words[9])
    if binning == LOGARITHMIC:
        return np.asarray([low * math.exp(n_th * math.log(high / low) / n) for n_th in range(n + 1)])
    return np.linspace(low, high, n + 1)


def damaged_files(folder: Path) -> Iterator[ReaderFile]:
    """Files that hold no answer, so that any number a reader makes of them is wrong."""
    folder.mkdir()
    values = np.random.default_rng(3).random((*SHAPE, 2)) + 0.01
    head = header("Dose", "DoseToWater ( Gy )", SHAPE, columns=BOTH, version="3.9")
    body = [f"{i}, {j}, {k}, {numbers}" for (i, j, k), numbers in rows(values, "z_fastest")]
    texts = {
        "cut within a row": "\n".join(body)[: -len(body[-1]) + 9],
        "cut between rows": "\n".join(body[:-9]) + "\n",
        "one row twice, one missing": "\n".join([*body[:7], body[6], *body[8:]]) + "\n",
        "a word for a number": "\n".join([*body[:7], body[7].rsplit(",", 1)[0] + ", ****", *body[8:]]) + "\n",
    }
    for damage, text in texts.items():
        path = folder / f"{damage.replace(' ', '_').replace(',', '')}.csv"
        path.write_text(head + text)
        yield ReaderFile("CSV", "written 3.9", path, damage=damage)
    for damage in ("truncated by one number", "big-endian"):
        stem = folder / damage.replace(" ", "_")
        write_bin(stem, head, values[:, :, :, None, :])
        content = np.fromfile(stem.with_suffix(".bin"), "<f8")
        (content.byteswap() if damage == "big-endian" else content[:-1]).tofile(stem.with_suffix(".bin"))
        yield ReaderFile("`.bin`", "written 3.9", stem.with_suffix(".bin"), damage=damage)
    path = folder / "unknown_order.csv"
    text = header("Dose", "DoseToWater ( Gy )", SHAPE, columns=BOTH, version="4.0", binning=INCIDENT)
    write_csv(path, text, np.random.default_rng(4).random((*SHAPE, 14)), order="x_fastest", index=False)
    yield ReaderFile("incident-track bins, CSV", "written 4.0", path, damage="version does not tell the row order")
