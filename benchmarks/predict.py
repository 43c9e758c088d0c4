"""How fast maps are predicted, beside what this machine could do, the floor of reading and writing, and the table.

    python benchmarks/predict.py STORE... [--folder DIR] [--parts ceilings stages ...] [--largest VOXELS]

STORE is a field store of a simulated proton plan whose beam runs along k (a second one of carbon for the largest run);
it is mirrored across the beam to plans of any size (`predict_plans`), which are kept in the folder. Parts:

* ceilings: matrix rate in float32 and bfloat16, memory copy, a file written and read (in the page cache);
* stages: of 92,416 and 1,048,576 voxels: reading, survey and sums, networks, domain, maps, writing; the whole; the
  floor (reading that store and writing those maps without computing); `zr_table` from the same store to maps;
* network: the networks alone, with their floating-point operations beside the machine's matrix rate;
* precision: float32 against bfloat16, time and error;
* scaling: 10^4 to the largest number of voxels, each in a process of its own: time and largest memory;
* gain: time of a voxel by `gsm2_mc` at 1 % standard error over that of the surrogate, and of the table;
* start: `--help`, and the imports of `predict`.

Times are medians of 5 after a first run, in one process whose memory is kept (`model.freed_memory`).
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch
from predict_plans import mirrored_store

from surrogate3d.direct.gsm2_mc import Gsm2MonteCarlo
from surrogate3d.direct.task import VoxelTask
from surrogate3d.grid import VolumeSet, quantity
from surrogate3d.inference.compute import Compute
from surrogate3d.inference.curves import predict_curves
from surrogate3d.inference.tile_networks import TileNetworks
from surrogate3d.inference.tile_predictor import TilePredictor
from surrogate3d.io.field_store import read_field
from surrogate3d.io.images import read_map
from surrogate3d.io.map_writer import MapWriter
from surrogate3d.model.context import fastest_precision
from surrogate3d.model.freed_memory import keep_freed_memory
from surrogate3d.physics.cell_line import cell_line
from surrogate3d.physics.linear_quadratic import RBE_at_dose
from surrogate3d.physics.mixing import mono_table, zr_table
from surrogate3d.pipeline.large_fields import in_memory, read_for_tiles
from surrogate3d.pipeline.surrogate import Surrogate

LINE = cell_line("HSG")
REPEATS = 5
SIZES = {"92,416": (38, 38), "1,048,576": (128, 128)}
"""Voxels across the beam; plans are 64 deep."""


def main() -> None:
    """Parse, measure, print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stores", nargs="+", type=Path)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "surrogate3d-predict")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--largest", type=int, default=4_000_000)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    keep_freed_memory()
    if asked.one:
        print(json.dumps(one_run(Path(asked.one))))
        return
    asked.folder.mkdir(parents=True, exist_ok=True)
    print(f"{processor()}, {torch.get_num_threads()} threads, torch {torch.__version__}, numba {numba.__version__}\n")
    for part in asked.parts:
        print(f"## {part}\n")
        PARTS[part](asked)
        print()


def processor() -> str:
    """Its name, as the system says it."""
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    names = [line.split(":")[1].strip() for line in text.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor()


def seconds(do: Callable[[], object], repeats: int = REPEATS) -> float:
    """Median wall time after a first run."""
    do()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        do()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def matrix_rate(dtype: torch.dtype, n: int = 2048) -> float:
    """Floating-point operations a second of a product of matrices, the best of many: a ceiling."""
    a = torch.ones(n, n, dtype=dtype)
    return 2 * n**3 / min(seconds(lambda: a @ a, 1) for _ in range(12))


def ceilings(asked: argparse.Namespace) -> None:
    """What the machine could do."""
    values, target = np.ones(64_000_000, np.float32), np.empty(64_000_000, np.float32)
    copy = 2 * values.nbytes / seconds(lambda: np.copyto(target, values))
    file = asked.folder / "file"
    write = values.nbytes / seconds(lambda: values.tofile(file), 3)
    read = values.nbytes / seconds(lambda: np.fromfile(file, np.float32), 3)
    file.unlink()
    print("| ceiling | measured |\n|---|---|")
    for dtype in (torch.float32, torch.bfloat16):
        print(f"| matrix product, {str(dtype).removeprefix('torch.')} | {matrix_rate(dtype) / 1e9:.0f} GFLOP/s |")
    for name, rate in (("memory copy", copy), ("file written, page cache", write), ("file read, page cache", read)):
        print(f"| {name} | {rate / 1e9:.1f} GB/s |")


def stages(asked: argparse.Namespace) -> None:
    """Where the time goes."""
    print("| voxels (answered) | stage | s | of the floor |\n|---|---|---|---|")
    for name, shape in SIZES.items():
        store = plan(asked, shape)
        rows, answered = stage_times(store, asked.folder)
        floor = rows["floor: reading the store and writing the maps"]
        for stage, value in rows.items():
            print(f"| {name} ({answered:,}) | {stage} | {value:.3f} | {value / floor:.2f} |")


def stage_times(store: Path, folder: Path) -> tuple[dict[str, float], int]:
    """Seconds by stage, and the number of voxels that are answered."""
    surrogate, out = Surrogate.load("proton"), folder / "maps"
    asked = {LINE: surrogate.bundle.table_of(LINE)}

    def whole() -> dict[str, Any]:
        return surrogate.predict(store, LINE).write(out, overwrite=True)

    def read() -> TilePredictor:
        return TilePredictor(read_for_tiles(store), surrogate.bundle, asked, compute=surrogate.compute)

    def answer() -> None:
        predictor = read()
        for _ in predictor.answers(predictor.tiles):
            pass

    total, said = seconds(whole), whole()
    maps = {name: read_map(out, name, "nifti") for name in said["ranges"]}
    read_s, answer_s = seconds(read), seconds(answer)
    write_s = seconds(lambda: write(maps, store, out))
    rows = {
        "floor: reading the store and writing the maps": seconds(lambda: (read_all(store), write(maps, store, out))),
        "opening, survey and sums of the spectra": read_s,
        "networks and domain": answer_s - read_s,
        "writing 8 maps as .nii.gz": write_s,
        "maps from curves, and the rest": total - answer_s - write_s,
        "whole: store to maps": total,
        "zr_table: store to maps of alpha, beta, RBE": seconds(lambda: table_maps(store, out)),
    }
    return rows, said["voxels_answered"]


def read_all(store: Path) -> np.ndarray[Any, Any]:
    """The fluence, decoded whole."""
    return np.asarray(in_memory(read_for_tiles(store)).spectra.fluence)


def write(maps: dict[str, Any], store: Path, out: Path) -> None:
    """The maps as the prediction writes them."""
    grid = read_for_tiles(store).grid
    with MapWriter(out, grid, {name: quantity(name) for name in maps}, overwrite=True) as writer:
        writer.put(0, maps)
        writer.finish()


def table_maps(store: Path, out: Path) -> VolumeSet | None:
    """The strongest cheap baseline on the same input: no pooling, no deviation, no domain."""
    field = in_memory(read_for_tiles(store))
    alpha, beta = zr_table(field.spectra.axes, field.spectra.fluence, mono_table("HSG"))
    RBE = RBE_at_dose(2.0, 2 * alpha + 4 * beta, LINE.alpha_x, LINE.beta_x)
    maps = {"alpha": alpha, "beta": beta, "RBE_ref": RBE}
    write({name: values.astype(np.float32) for name, values in maps.items()}, store, out)
    return None


def network(asked: argparse.Namespace) -> None:
    """The networks alone."""
    surrogate = Surrogate.load("proton")
    field = in_memory(read_for_tiles(plan(asked, SIZES["1,048,576"])))
    tables = {LINE: surrogate.bundle.table_of(LINE)}
    predictor = TilePredictor(field, surrogate.bundle, tables, compute=Compute(memory_bytes=4_000_000_000))
    (tile,) = predictor.tiles
    seen = predictor.inputs_of(tile)
    box, voxels = int(np.prod(seen.sums.shape[3:])), len(seen.voxels)
    config = surrogate.bundle.networks[0].config
    groups, members = len(seen.sums), len(surrogate.bundle.networks)
    per_box, per_voxel = operations(config, groups)
    work = members * (per_box * box + per_voxel * voxels)
    print(f"{voxels:,} voxels in a box of {box:,}; {members} networks, {groups} species: {work / 1e9:.0f} GFLOP\n")
    print("| convolutions in | s | million voxels answered a second and network | GFLOP/s | of the matrix rate |")
    print("|---|---|---|---|---|")
    for precision, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        networks = TileNetworks(surrogate.bundle, Compute(device="cpu", precision=precision))  # type: ignore[arg-type]
        taken = seconds(lambda networks=networks: networks.told(seen, {LINE: 0}))  # type: ignore[misc]
        rate = matrix_rate(dtype)
        print(
            f"| {precision} | {taken:.2f} | {members * voxels / taken / 1e6:.2f} | {work / taken / 1e9:.0f} "
            f"| {work / taken / rate:.2f} |"
        )


def operations(config: Any, groups: int) -> tuple[float, float]:
    """Of one network: of a voxel of the box (channels' layer, convolutions, keys), and of one that is answered."""
    width, channels, bands = config.width, 29, 4
    weights = len(config.places) + 8
    box = groups * 2 * (channels * width + 2 * config.blocks * 27 * width**2 + (width + channels) * config.likeness)
    logits = width * bands * (weights + config.likeness)
    likeness = len(config.places) * config.likeness * (bands + 1)
    pooling = bands * weights * 4
    return box, groups * 2 * (logits + likeness + pooling + 25 * 32 + 32 * 4) + 2 * (16 * 24 + 32 * 24 + 2 * 24 * 24)


def precision(asked: argparse.Namespace) -> None:
    """What rounding costs and gives, on the stores themselves."""
    print(f"Chosen here: {fastest_precision()}\n")
    print(
        "| plan | s, float32 | s, bfloat16 | largest difference of the effect | of RBE(2 Gy) |\n|---|---|---|---|---|"
    )
    for store in asked.stores:
        field = read_field(store)
        name = "proton" if len(field.spectra.axes.species) == 2 else "ion"
        bundle = Surrogate.load(name).bundle
        hows = [Compute(device="cpu", precision="float32"), Compute(device="cpu", precision="bfloat16")]
        times = [seconds(partial(predict_curves, field, bundle, LINE, compute=how)) for how in hows]
        found = [predict_curves(field, bundle, LINE, compute=how).effect for how in hows]
        at = bundle.card.doses.index(2.0)
        RBE = [RBE_at_dose(2.0, effect[:, at], LINE.alpha_x, LINE.beta_x) for effect in found]
        apart = np.abs(found[1] / found[0] - 1).max(), np.abs(RBE[1] - RBE[0]).max()
        print(f"| {store.name} | {times[0]:.2f} | {times[1]:.2f} | {apart[0]:.1e} | {apart[1]:.1e} |")


def scaling(asked: argparse.Namespace) -> None:
    """Time and memory over the number of voxels, each in a new process: first run and a second one."""
    print("| plan | voxels | answered | tiles | s, first | s, second | million voxels a second | largest memory, GB |")
    print("|---|---|---|---|---|---|---|---|")
    for source in asked.stores:
        for side in (12, 38, 128, 256, 396):
            if side * side * 64 > asked.largest:
                continue
            store = mirrored_store(source, (side, side), asked.folder / f"{source.stem}-{side}.field.zarr")
            text = subprocess.run(
                [sys.executable, __file__, str(source), "--one", str(store)], capture_output=True, text=True, check=True
            ).stdout
            row = json.loads(text)
            rate = row["voxels"] / row["second"] / 1e6
            print(
                f"| {source.stem} | {row['voxels']:,} | {row['answered']:,} | {row['tiles']} | {row['first']:.2f} "
                f"| {row['second']:.2f} | {rate:.2f} | {row['memory_gb']:.2f} |",
                flush=True,
            )


LARGE = 5_000_000
"""Voxels from which a second run tells nothing more."""


def store_voxels(store: Path) -> int:
    """Of the grid."""
    return read_for_tiles(store).grid.n_voxels


def one_run(store: Path) -> dict[str, Any]:
    """Store to maps, twice."""
    species = len(read_for_tiles(store).spectra.axes.species)
    times, said, surrogate = [], dict[str, Any](), Surrogate.load("proton" if species == 2 else "ion")
    with tempfile.TemporaryDirectory(dir=store.parent) as folder:
        for number in range(1 if species > 2 and store_voxels(store) > LARGE else 2):
            start = time.perf_counter()
            said = surrogate.predict(store, LINE).write(Path(folder) / str(number))
            times.append(time.perf_counter() - start)
    tables = {LINE: surrogate.bundle.table_of(LINE)}
    tiles = TilePredictor(read_for_tiles(store), surrogate.bundle, tables, compute=surrogate.compute).tiles
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    voxels = read_for_tiles(store).grid.n_voxels
    return {
        "voxels": voxels, "answered": said["voxels_answered"], "tiles": len(tiles), "first": times[0],
        "second": times[-1], "memory_gb": memory,
    }  # fmt: skip


def gain(asked: argparse.Namespace) -> None:
    """What a voxel costs by direct simulation, over what it costs here."""
    field = read_field(asked.stores[0])
    surrogate = Surrogate.load("proton")
    answered = np.argwhere(predict_curves(field, surrogate.bundle, LINE).mask)
    chosen = answered[np.random.default_rng(1).choice(len(answered), 12, replace=False)]
    tasks = [
        VoxelTask(field.spectra.fluence[(..., *at)].astype(float), field.spectra.axes, float("nan"), (LINE.name,))
        for at in chosen
    ]
    backend = Gsm2MonteCarlo()
    direct = seconds(lambda: backend.simulate(tasks, 1, 0.01), 1) / len(tasks)
    store = plan(asked, SIZES["1,048,576"])
    rows, n = stage_times(store, asked.folder)
    here, table = (rows[name] / n for name in ("whole: store to maps", "zr_table: store to maps of alpha, beta, RBE"))
    print("| | s a voxel that is answered | gain |\n|---|---|---|")
    print(f"| gsm2_mc, 1 % standard error, {len(tasks)} voxels, {numba.get_num_threads()} threads | {direct:.3g} | 1 |")
    print(f"| surrogate, store to maps | {here:.3g} | {direct / here:.3g} |")
    print(f"| zr_table, store to maps (all voxels) | {table:.3g} | {direct / table:.3g} |")


FIRST_VOXEL = """
import os, sys
from surrogate3d.cli import main
from surrogate3d.inference.tile_networks import TileNetworks
TileNetworks.told = lambda *_: os._exit(0)
main()
"""
"""The command, which ends where the networks are asked for the first time."""


def start(asked: argparse.Namespace) -> None:
    """From the shell."""
    command = [str(Path(sys.executable).with_name("surrogate3d"))]
    words = ["predict", str(plan(asked, (12, 12))), "--cell-line", "HSG", "--fraction-dose", "2"]
    words += ["-o", str(asked.folder / "start"), "--overwrite"]
    first = "import sys, surrogate3d.pipeline.surrogate as s; s.Surrogate.load('proton')"
    rows = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "import torch": [sys.executable, "-c", "import torch"],
        "surrogate3d --help": [*command, "--help"],
        "imports of predict, and the model": [sys.executable, "-c", first],
        "surrogate3d predict, before the first voxel": [sys.executable, "-c", FIRST_VOXEL, *words],
        "surrogate3d predict, to the maps of 9,216 voxels": [*command, *words],
    }  # fmt: skip
    print("| command | s |\n|---|---|")
    for name, words in rows.items():
        taken = seconds(lambda words=words: subprocess.run(words, capture_output=True, check=True))  # type: ignore[misc]
        print(f"| {name} | {taken:.2f} |")


def plan(asked: argparse.Namespace, shape: tuple[int, int]) -> Path:
    """The first store, mirrored."""
    source = asked.stores[0]
    return mirrored_store(source, shape, asked.folder / f"{source.stem}-{shape[0]}.field.zarr")


PARTS: dict[str, Callable[[argparse.Namespace], None]] = {
    "ceilings": ceilings,
    "stages": stages,
    "network": network,
    "precision": precision,
    "scaling": scaling,
    "gain": gain,
    "start": start,
}

if __name__ == "__main__":
    main()
