"""The picture of docs/performance.md from what `predict.py --parts scaling` printed.

python benchmarks/predict_figure.py TABLE.md -o docs/figures/performance-scaling.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt  # the backend is set first

COLOURS = ("#0072b2", "#d55e00", "#009e73")


def main() -> None:
    """Parse and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    asked = parser.parse_args()
    figure, (time, memory) = plt.subplots(1, 2, figsize=(8.6, 3.6), layout="constrained")
    for colour, (plan, rows) in zip(COLOURS, read(asked.table.read_text()).items(), strict=False):
        voxels, seconds, gigabytes = zip(*rows, strict=True)
        time.loglog(voxels, seconds, "o-", color=colour, label=plan)
        memory.semilogx(voxels, gigabytes, "o-", color=colour, label=plan)
    time.set(xlabel="voxels of the field", ylabel="store to maps / s")
    memory.set(xlabel="voxels of the field", ylabel="largest memory of the process / GB", ylim=(0, None))
    memory.axhline(3, color="0.5", linestyle=":", linewidth=1)
    time.legend(frameon=False)
    for axes in (time, memory):
        axes.grid(alpha=0.3)
    figure.savefig(asked.output, dpi=120, metadata={"Software": None})


def read(text: str) -> dict[str, list[tuple[float, float, float]]]:
    """By plan: voxels, seconds of the second run, GB."""
    found: dict[str, list[tuple[float, float, float]]] = {}
    for line in text.splitlines():
        cells = [cell.strip().replace(",", "") for cell in line.strip("| \n").split("|")]
        if len(cells) == 8 and cells[1].isdigit():
            plan = cells[0].removesuffix(".field")
            found.setdefault(plan, []).append((float(cells[1]), float(cells[5]), float(cells[7])))
    return found


if __name__ == "__main__":
    main()
