"""What readers make of TOPAS output: surrogate3d beside topas2numpy and pymchelper, in one run on the same files.

    pip install topas2numpy pymchelper
    python benchmarks/readers.py --repeats 5

Prints Markdown. Each reader is called as its documentation says, on the file where it lies with its parameter file, and
is asked for an array with one value for each voxel and bin. `reader_files.py` says what each file holds. A verdict is
"right", "refused" with the name of the error, or "wrong" with what was done instead. pymchelper reads Mean (and
Standard_Deviation) only, so it is judged by Mean, the others by Sum. Damaged files are right to refuse. Times are from
the path to the array, with the file in the page cache.
"""

import argparse
import logging
import os
import platform
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from reader_files import SHARED, ReaderFile, damaged_files, real_files, written_files

from surrogate3d.io.topas_grid import decide_row_order, read_values
from surrogate3d.io.topas_header import read_header
from surrogate3d.io.topas_ntuple import describe_ntuple

Array = npt.NDArray[np.float64]


class NotReadError(Exception):
    """A reader said without an error that it does not read a file; the text is how."""


@dataclass(frozen=True, eq=False)
class Answer:
    """(i, j, k) or (i, j, k, bin) values of one statistic; edges and unit where the reader gives them."""

    values: Array
    statistic: str
    unit: str | None
    edges: Array | None = None


def by_surrogate3d(path: Path) -> Answer:
    """The header, the row order where rows have no indices, and the values."""
    path = path.with_suffix(".binheader") if path.suffix == ".bin" else path
    header = read_header(path)
    order = decide_row_order(header, path.name, None, []) if header.binning and path.suffix == ".csv" else None
    edges = header.binning.edges if header.binning else None
    return Answer(read_values(path, header, order).column("Sum"), "Sum", header.unit, edges)


def by_topas2numpy(path: Path) -> Answer:
    """As in its README."""
    from topas2numpy import BinnedResult

    result = BinnedResult(str(path))
    return Answer(result.data["Sum"], "Sum", result.unit or "1")


def by_pymchelper(path: Path) -> Answer:
    """As its `get_topas_estimators` does for each file of a folder; `fromfile` takes it for one of SHIELD-HIT12A."""
    from pymchelper.estimator import Estimator
    from pymchelper.readers.topas import TopasReaderFactory

    reader, estimator = TopasReaderFactory(str(path)).get_reader(), Estimator()
    if reader is None:
        raise NotReadError("not a .csv")
    if not reader(str(path)).read(estimator):
        raise NotReadError("returns False")
    page = estimator.pages[0]
    data = page.data[..., 0]
    edges = np.linspace(page.diff_axis1.min_val, page.diff_axis1.max_val, data.shape[3] + 1)
    return Answer(data, "Mean", page.unit or "1", edges if data.shape[3] > 1 else None)


READERS: dict[str, Callable[[Path], Answer]] = {
    "surrogate3d": by_surrogate3d,
    "topas2numpy": by_topas2numpy,
    "pymchelper": by_pymchelper,
}


def verdict(read: Callable[[Path], Answer], file: ReaderFile) -> str:
    """What a reader made of a file."""
    try:
        answer = read(file.path)
    except Exception as error:  # any error is a refusal, and its name is part of the result
        reason = str(error) if isinstance(error, NotReadError) else type(error).__name__
        return f"right: refused ({reason})" if file.damage else f"refused ({reason})"
    if file.damage:
        return "wrong: read without a word"
    wrong = _numbers(answer, file)
    if answer.unit != file.unit:
        wrong.append(f"unit {answer.unit!r}")
    return f"wrong: {', '.join(wrong)}" if wrong else "right"


def _numbers(answer: Answer, file: ReaderFile) -> list[str]:
    """What is wrong with the values: of all explanations the first that gives exactly them."""
    found = answer.values if answer.values.ndim == 4 else answer.values[..., None]
    if file.truth["Sum"].size == 1 == found.size:
        found = found.reshape(1, 1, 1, 1)  # one value has no axes to mistake
    n = file.truth["Sum"].shape[3]
    inner = file.edges.size - 1 if file.edges is not None else 1
    parts: dict[str, Any] = {"": slice(0, n)}
    if n > 1:
        whole = file.truth[answer.statistic]
        share = 1 - np.nansum(whole[..., 1 : inner + 1]) / np.nansum(whole)
        names = "underflow and overflow" if n == inner + 2 else "underflow, overflow and no incident track"
        parts[f"{names} dropped ({100 * share:.2g} % of the sum)"] = slice(1, inner + 1)
        parts |= {f"column {b} alone for all {n} bins": slice(b, b + 1) for b in range(n)}
    for statistic in (answer.statistic, *(name for name in file.truth if name != answer.statistic)):
        for how, part in parts.items():
            truth = file.truth[statistic][..., part]
            for mask in ("", "-1 outside the structure as a value"):
                expected = np.where(np.isnan(truth), -1, truth) if mask else truth
                for order, placed in (("", expected), ("transposed", _transposed(expected, file))):
                    if found.shape == placed.shape and np.allclose(found, placed, rtol=1e-12, atol=0, equal_nan=True):
                        other = f"{statistic} for {answer.statistic}" if statistic != answer.statistic else ""
                        return [word for word in (order, how, other, mask, _edges(answer, file)) if word]
    return [f"other numbers, shape {answer.values.shape}"]


def _transposed(truth: Array, file: ReaderFile) -> Array:
    """The rows of the file put in the other order."""
    nx, ny, nz, n = truth.shape
    if file.origin.endswith(("3.9", "2.0")):  # Z fastest
        return truth.reshape(nz, ny, nx, n).transpose(2, 1, 0, 3)
    return truth.transpose(2, 1, 0, 3).reshape(nx, ny, nz, n)


def _edges(answer: Answer, file: ReaderFile) -> str:
    if answer.edges is None or file.edges is None:
        return ""
    same = answer.edges.shape == file.edges.shape and np.allclose(answer.edges, file.edges, rtol=1e-5)
    return "" if same else "other bin edges"


def timed(read: Callable[[Path], Answer], path: Path) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    read(path)
    return time.perf_counter() - start


def milliseconds(seconds: list[float]) -> str:
    """Median and range."""
    middle, low, high = (
        f"{1e3 * value:.{0 if value > 0.1 else 2}{'f' if value > 0.1 else 'g'}}"
        for value in (float(np.median(seconds)), min(seconds), max(seconds))
    )
    return f"{middle} ms ({low} to {high})"


def compare(files: list[ReaderFile], names: list[str], repeats: int) -> list[list[str]]:
    """A row for each file: what it is, what each reader makes of it, and how long that takes."""
    table = []
    for file in files:
        verdicts = {name: verdict(READERS[name], file) for name in names}
        read = [name for name in names if "refused" not in verdicts[name]]
        seconds: dict[str, list[float]] = {name: [] for name in read}
        for _ in range(repeats):  # in turn, so that a busy moment of the machine meets all of them
            for name in read:
                seconds[name].append(timed(READERS[name], file.path))
        what = f"{file.what}: {file.damage}" if file.damage else file.what
        cells = (f"{word}; {milliseconds(seconds[name])}" if name in read else word for name, word in verdicts.items())
        table.append([what, file.origin, *cells])
    return table


def phase_spaces(folder: Path, names: list[str]) -> list[list[str]]:
    """Records by each reader, beside those that are counted here: lines, or bytes over those of a record."""
    table = []
    for path in sorted(folder.glob("*.header")):
        data = path.with_suffix(".phsp")
        n = len(data.read_text().splitlines()) if "ascii" in path.name else 0
        record = {"binary-phasespace": 34, "binary-other-ntuple": 24, "limited-phasespace": 29}.get(path.stem)
        n = n or data.stat().st_size // (record or 1)
        table.append([path.name, str(n), *(_phase_space_by(name, path) for name in names)])
    return table


def _phase_space_by(name: str, path: Path) -> str:
    try:
        if name == "surrogate3d":
            return f"{describe_ntuple(path).n_particles} counted, not read"
        if name == "pymchelper":
            by_pymchelper(path)
            return "read"
        from topas2numpy import read_ntuple

        return f"{read_ntuple(str(path.with_suffix('.phsp'))).size} read"
    except Exception as error:  # as in `verdict`
        return f"refused ({error if isinstance(error, NotReadError) else type(error).__name__})"


def print_table(head: list[str], table: list[list[str]]) -> None:
    """As Markdown."""
    for row in (head, ["---"] * len(head), *table):
        print(f"| {' | '.join(row)} |")
    print()


def installed() -> list[str]:
    """The readers that can be compared; the others are named."""
    names = []
    for name in READERS:
        try:
            version(name)
            names.append(name)
        except PackageNotFoundError:
            print(f"{name} is not installed, so it is not compared; pip install {name}\n")
    return names


def main() -> None:
    """Write the files, ask each reader, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    names = installed()
    software = ", ".join(f"{name} {version(name)}" for name in (*names, "numpy"))
    print(f"{software}, Python {platform.python_version()}; {os.cpu_count()} CPU; n = {arguments.repeats} each.\n")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        files = [*real_files(home), *written_files(home / "written"), *damaged_files(home / "damaged")]
        table = compare(files, names, arguments.repeats)
        print_table(["file", "origin", *names], table)
        for column, name in enumerate(names, start=2):
            counts = Counter(row[column].partition(":")[0].partition(" (")[0].partition(";")[0] for row in table)
            print(f"* {name}: " + ", ".join(f"{n} {word}" for word, n in sorted(counts.items())))
        print()
        if SHARED.is_dir():
            print_table(["phase space", "records", *names], phase_spaces(home / "topas2", names))


if __name__ == "__main__":
    main()
