"""A page with the charts alone: a scene of plain data, and a source that answers from the same page."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

SCRIPTS = (
    "csv", "tables", "plot", "charts", "histogram_chart", "histogram_statistics", "profile_chart", "survival",
    "survival_chart", "spectrum_chart", "voxel_panel",
)  # fmt: skip

_START = """
const root = document.querySelector(".s3d");
const answers = JSON.parse(document.getElementById("answers").textContent);
const source = {
  scene: JSON.parse(document.getElementById("scene").textContent),
  asked: [],
  voxel: async (i, j, k) => { source.asked.push([i, j, k]); return answers[[i, j, k].join("-")] ?? null; },
  plane: async () => ({ values: Float32Array.from(answers.dose_plane), rows: answers.rows, cols: answers.cols }),
};
globalThis.source = source;
globalThis.mounted = S3D.charts.mount(root, source);
globalThis.panel = new S3D.VoxelPanel(root, source);
"""


def scene(**parts: Any) -> dict[str, Any]:
    """A scene without layers, charts and voxels, but for `parts`."""
    grid = {
        "shape": [4, 3, 6],
        "spacing_mm": [2.0, 2.0, 2.5],
        "origin_mm": [-3.0, 0.0, 10.0],
        "direction": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    }
    plain = {"layers": [], "structures": [], "points": [], "histograms": [], "profiles": [], "notes": []}
    return {"title": "Charts", "grid": grid, "focus": [1, 1, 2], "beam": {"axis": 2, "sign": 1}, "isodose": None,
            "voxels": None, **plain, **parts}  # fmt: skip


def histogram(structure: str, method: str, values: np.ndarray, quantity: str = "D_RBE") -> dict[str, Any]:
    """The cumulative histogram of voxels of equal weight, and its statistics by their definitions."""
    symbol, unit = {"D_RBE": ("D_RBE", "Gy (RBE)"), "LET_d": ("LET_d", "keV/um")}[quantity]
    ranked = np.sort(values)[::-1]
    levels = np.linspace(0, values.max(), 64)
    least_of_hottest = {f"D{p}": ranked[int(np.ceil(p / 100 * len(ranked))) - 1] for p in (2, 50, 98)}
    more = {"mean": values.mean(), "min": values.min(), "max": values.max(), "V95": 100 * (values >= 0.95 * 2).mean()}
    letter = "D" if unit.startswith("Gy") else "L"
    return {
        "structure": structure, "method": method, "quantity": quantity, "symbol": symbol, "unit": unit,
        "volume_cm3": 0.01 * len(values), "n_voxels": len(values), "n_missing": 0,
        "levels": levels.tolist(), "volume_percent": [100 * float((values >= x).mean()) for x in levels],
        "statistics": {key: float(value) for key, value in (least_of_hottest | more).items()},
        "labels": {f"D{p}": f"{letter}{p}%" for p in (2, 50, 98)} | {"V95": "V95%", "mean": "mean"},
    }  # fmt: skip


def write_page(
    folder: Path, manifest: dict[str, Any], answers: dict[str, Any] | None = None, body: str = "", start: bool = True
) -> Path:
    """Write the page; `answers` are those of `source.voxel` by "i-j-k", and the dose of a plane."""
    web = files("surrogate3d.viewer") / "web"
    style = (web / "charts.css").read_text(encoding="utf-8")
    program = "\n".join((web / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)
    page = folder / "charts.html"
    page.write_text(
        f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Charts</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">
<style>:root {{ color-scheme: light dark; }} body {{ font-family: sans-serif; margin: 1rem; }}
{style}</style></head><body><main><h1>Charts</h1><div class="s3d"></div>{body}</main>
<script type="application/json" id="scene">{json.dumps(manifest)}</script>
<script type="application/json" id="answers">{json.dumps(answers or {})}</script>
<script>{program}</script><script>{_START if start else ""}</script></body></html>""",
        encoding="utf-8",
    )
    return page
