"""Learning curves of all strategies, one panel a regime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from sampling_tables import Summary

from surrogate3d.io.atomic import atomic_file

# Okabe and Ito's colours, told apart by all forms of colour vision; each has its own marker and dashes too
STYLES: dict[str, dict[str, Any]] = {
    "random": {"color": "#000000", "marker": "o", "linestyle": "-"},
    "stratified": {"color": "#999999", "marker": "s", "linestyle": "--"},
    "adaptive": {"color": "#E69F00", "marker": "^", "linestyle": "-."},
    "both": {"color": "#CC79A7", "marker": "v", "linestyle": ":"},
    "k_centre": {"color": "#56B4E9", "marker": "D", "linestyle": "--"},
    "lcmd": {"color": "#0072B2", "marker": "P", "linestyle": "-"},
    "ensemble": {"color": "#009E73", "marker": "X", "linestyle": "-."},
    "lcmd_cubes": {"color": "#D55E00", "marker": "*", "linestyle": "-"},
}


def draw(summary: Summary, path: Path) -> None:
    """Error of the worst output against labels: mean over seeds, with the interval of random choice as a band."""
    figure, axes = plt.subplots(2, 2, figsize=(11, 8), squeeze=False, layout="constrained")
    for panel, (regime, ways) in zip(axes.flat, summary.items(), strict=False):
        _panel(panel, regime, ways)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=8, frameon=False)
    with atomic_file(path, overwrite=True) as drawn:
        figure.savefig(drawn, dpi=100, format="png")
    plt.close(figure)


def _panel(panel: Axes, regime: str, ways: dict[str, Any]) -> None:
    for name, way in ways.items():
        full = [n for n, b in enumerate(way["budgets"]) if abs(way["labels"][n] - b) < 0.5]
        x = [way["budgets"][n] for n in full]
        middle, low, high = ([1.0 - way["R2"][n][part] for n in full] for part in range(3))
        panel.plot(x, middle, label=name, markersize=5, linewidth=1.4, **STYLES[name])
        if name == "random":
            panel.fill_between(x, high, low, color="#000000", alpha=0.12, linewidth=0)
    for target in (0.90, 0.95):
        panel.axhline(1.0 - target, color="#777777", linewidth=0.8, linestyle=(0, (1, 2)))
        panel.annotate(f"R2 = {target:.2f}", (0.01, 1.0 - target), xycoords=("axes fraction", "data"), fontsize=8,
                       ha="left", va="bottom", color="#555555")  # fmt: skip
    panel.set(xscale="log", yscale="log", xlabel="labelled voxels", ylabel="1 - R2, worst output", ylim=(None, 2.0))
    panel.set_title(regime.replace("+", " + "), fontsize=10)
