"""Cut the demo's run folders from full OpenTOPAS runs, so that they are still what TOPAS would have left.

Every scored grid is cropped to a box of voxels, the parameter file's scoring component is moved and shrunk to match,
and binary values are rounded to 24-bit mantissas (relative 6e-8) so that they compress. Nothing else is changed.

    python scripts/cut_demo_data.py RUNS_FOLDER OUTPUT_FOLDER

RUNS_FOLDER holds one unpacked folder per run; OUTPUT_FOLDER receives one `<run>.tar.xz` per run of `BOXES`.
"""

from __future__ import annotations

import io
import lzma
import re
import sys
import tarfile
from pathlib import Path

import numpy as np

Box = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]

SLAB: Box = ((2, 18), (2, 18), (0, 56))
SHALLOW: Box = ((2, 20), (2, 18), (0, 28))
BOXES: dict[str, Box] = {
    "proton_slab_low": SLAB,
    "proton_slab_highA": SLAB,
    "proton_shallow_low": SHALLOW,
    "proton_shallow_high": SHALLOW,
    "proton_shallow_highB": SHALLOW,
}
COMPONENT = "Grid"


def cut_header(text: str, box: Box) -> str:
    """The header with the number of bins of the box."""
    for axis, (low, high) in zip("XYZ", box, strict=True):
        text = re.sub(rf"^# {axis} in \d+ bins", f"# {axis} in {high - low} bins", text, flags=re.MULTILINE)
    return text


def cut_binary(data: bytes, shape: tuple[int, int, int], box: Box) -> bytes:
    """Voxels of the box; `shape` is that of the full grid (X, Y, Z)."""
    nx, ny, nz = shape
    values = np.frombuffer(data, "<f8").reshape(nz, ny, nx, -1)
    (x0, x1), (y0, y1), (z0, z1) = box
    return values[z0:z1, y0:y1, x0:x1].astype("<f4").astype("<f8").tobytes()


def cut_csv(text: str, box: Box) -> str:
    """Rows of the box, with their new indices."""
    kept = []
    for line in text.splitlines():
        if line.startswith("#"):
            kept.append(line)
            continue
        *index, value = line.split(", ", 3)
        moved = [int(n) - low for n, (low, _) in zip(index, box, strict=True)]
        if all(0 <= n < high - low for n, (low, high) in zip(moved, box, strict=True)):
            kept.append(", ".join([*map(str, moved), value]))
    return cut_header("\n".join(kept) + "\n", box)


def cut_parameters(text: str, shape: tuple[int, int, int], box: Box) -> str:
    """The parameter file with the scoring component shrunk and moved to the box."""
    added = ["# Scoring grid cropped and values rounded to 24-bit mantissas by scripts/cut_demo_data.py"]
    for axis, n, (low, high) in zip("XYZ", shape, box, strict=True):
        match = re.search(rf"^d:Ge/{COMPONENT}/HL{axis} = ([\d.]+) mm$", text, flags=re.MULTILINE)
        if match is None:
            raise SystemExit(f"no Ge/{COMPONENT}/HL{axis} in mm")
        width = 2 * float(match[1]) / n
        text = text.replace(match[0], f"d:Ge/{COMPONENT}/HL{axis} = {width * (high - low) / 2:g} mm")
        text = text.replace(f"i:Ge/{COMPONENT}/{axis}Bins = {n}", f"i:Ge/{COMPONENT}/{axis}Bins = {high - low}")
        placed = re.search(rf"^d:Ge/{COMPONENT}/Trans{axis} = ([-\d.]+) mm\n", text, flags=re.MULTILINE)
        before = float(placed[1]) if placed else 0.0
        text = text.replace(placed[0], "") if placed else text
        added.append(f"d:Ge/{COMPONENT}/Trans{axis} = {before + (low + high - n) * width / 2:g} mm")
    return text + "\n".join(added) + "\n"


def full_shape(parameters: str) -> tuple[int, int, int]:
    """(X, Y, Z) bins of the scoring component."""
    x, y, z = (int(re.search(rf"Ge/{COMPONENT}/{a}Bins = (\d+)", parameters)[1]) for a in "XYZ")  # type: ignore[index]
    return x, y, z


def cut_run(run: Path, box: Box) -> dict[str, bytes]:
    """Content of every file of the cut run, by name."""
    parameters = (run / f"{run.name}.txt").read_text()
    shape = full_shape(parameters)
    files = {f"{run.name}.txt": cut_parameters(parameters, shape, box).encode()}
    for path in sorted(run.iterdir()):
        if path.suffix == ".bin":
            files[path.name] = cut_binary(path.read_bytes(), shape, box)
        elif path.suffix == ".binheader":
            files[path.name] = cut_header(path.read_text(), box).encode()
        elif path.suffix == ".csv":
            files[path.name] = cut_csv(path.read_text(), box).encode()
    return files


def pack(name: str, files: dict[str, bytes]) -> bytes:
    """A reproducible .tar.xz."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for file, content in sorted(files.items()):
            entry = tarfile.TarInfo(f"{name}/{file}")
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
    return lzma.compress(buffer.getvalue(), preset=9 | lzma.PRESET_EXTREME)


def main() -> None:
    """Cut all runs."""
    source, target = (Path(argument) for argument in sys.argv[1:3])
    target.mkdir(parents=True, exist_ok=True)
    for name, box in BOXES.items():
        packed = pack(name, cut_run(source / name, box))
        (target / f"{name}.tar.xz").write_bytes(packed)
        print(f"{name}: {len(packed) / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
