"""Small scenes for the browser tests, written into pages by an encoder of their own.

The encoder follows the description of the format, not `surrogate3d.viewer.encode`: what the browser shows of its pages
is compared with the arrays that went in.
"""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt

from surrogate3d.viewer.assets import program, style

IDENTITY = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
MAPS = {"viridis": "viridis", "cividis": "cividis", "balance": "PuOr_r", "grey": "gray"}
SPECIES = ["H", "He"]
N_BINS = 16
DOSES = [0.5, 1.0, 2.0, 4.0, 8.0]
DOSE_PER_FLUENCE = np.geomspace(40, 0.5, N_BINS) * np.array([[1], [4]])  # (species, bin), as stopping power falls
FLUENCE = np.linspace(2, 30, N_BINS) * np.array([[1], [0.05]])
Floats = npt.NDArray[np.floating[Any]]


@dataclass
class Page:
    """A scene as a page holds it, with the arrays that it was made of.

    Attributes:
        manifest: what JavaScript gets.
        blocks: text of each data element by its id.
        values: by layer, (i, j, k).
        fractions: by structure, (i, j, k).
        effect: (voxel, dose) in the order of `index`.
        index: (voxel,) flat indices.
    """

    manifest: dict[str, Any]
    blocks: dict[str, str] = field(default_factory=dict)
    values: dict[str, Floats] = field(default_factory=dict)
    fractions: dict[str, Floats] = field(default_factory=dict)
    effect: Floats | None = None
    index: npt.NDArray[np.int64] | None = None

    def add_block(self, codes: npt.NDArray[np.integer], bits: int, **entry: Any) -> dict[str, Any]:
        name = f"s3d-data-{len(self.blocks)}"
        self.blocks[name] = block_text(codes, bits)
        return {"id": name, "bits": bits, **entry}

    def write(self, path: Path, body: str = "") -> Path:
        """The page as one file; `body` is put before the viewer."""
        path.write_text(html(self.manifest, self.blocks, body), encoding="utf-8")
        return path


def block_text(codes: npt.NDArray[np.integer], bits: int) -> str:
    """Differences modulo 2^bits of the flattened codes, lowest bytes first, zlib, base64."""
    flat = codes.ravel().astype(np.int64)
    differences = np.diff(flat, prepend=0) % 2**bits
    planes = [(differences >> (8 * n)) & 255 for n in range(bits // 8)]
    return base64.b64encode(zlib.compress(np.concatenate(planes).astype(np.uint8).tobytes(), 9)).decode()


def volume_entry(page: Page, values: Floats, bits: int = 16, stride: int = 1) -> tuple[dict[str, Any], float]:
    """A volume's block, boxed to what is not NaN; entry and largest rounding."""
    kept = values[::stride, ::stride, ::stride].astype(np.float64)
    where = np.argwhere(np.isfinite(kept))
    low, high = where.min(axis=0), where.max(axis=0) + 1
    inside = kept[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    lo, step = float(np.nanmin(inside)), float(np.nanmax(inside) - np.nanmin(inside)) / (2**bits - 2)
    codes = np.where(np.isfinite(inside), np.round((np.nan_to_num(inside) - lo) / step) + 1, 0).astype(np.int64)
    box = [[int(a), int(b)] for a, b in zip(low, high, strict=True)]
    return page.add_block(codes, bits, box=box, lo=lo, step=step, outside=None), step / 2


def fraction_entry(page: Page, fraction: Floats, stride: int = 1) -> dict[str, Any]:
    kept = fraction[::stride, ::stride, ::stride]
    box = [[0, n] for n in kept.shape]
    return page.add_block(np.round(kept * 254).astype(np.int64) + 1, 8, box=box, lo=0.0, step=1 / 254, outside=0.0)


def palettes() -> dict[str, list[list[int]]]:
    return {name: colours(name).tolist() for name in MAPS} | {"mask": colours("mask").tolist()}


def colours(name: str) -> npt.NDArray[np.int64]:
    """(256, 3) colours of 0 to 255."""
    if name == "mask":
        return np.linspace((232, 232, 232), (196, 90, 0), 256).round().astype(np.int64)
    return np.round(255 * matplotlib.colormaps[MAPS[name]](np.arange(256))[:, :3]).astype(np.int64)


def plan(shape: tuple[int, int, int], spacing: tuple[float, float, float], seed: int = 1) -> dict[str, Floats]:
    """Maps like those of a proton beam along +k: dose, LET_d, RBE, D_RBE, half width, error; NaN where dose is low."""
    rng = np.random.default_rng(seed)
    x, y, z = ((np.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, spacing, strict=True))
    depth = z - z[0]
    stop = 0.75 * depth[-1]
    lateral = 1 / (1 + np.exp((np.abs(x) - 0.3 * (x[-1] - x[0])) / 3))
    other = 1 / (1 + np.exp((np.abs(y) - 0.25 * (y[-1] - y[0])) / 3))
    along = (0.45 + 0.55 / (1 + np.exp(-(depth - 0.45 * stop) / 6))) / (1 + np.exp((depth - stop) / 2))
    dose = 2 * lateral[:, None, None] * other[None, :, None] * along
    dose *= 1 + 0.01 * rng.standard_normal(shape)
    let = np.broadcast_to(1.5 + 8 / (1 + np.exp(-(depth - stop) / 5)), shape).copy()
    rbe = 1 + 0.04 * let
    shown = dose > 0.02
    known = {"RBE": rbe, "D_RBE": dose * rbe, "half_width": 0.02 + 0.002 * let, "LET_d": let}
    error = 1.5 * np.sin(depth / 9) + rng.standard_normal(shape)
    maps = {name: np.where(shown, values, np.nan) for name, values in known.items()}
    return {"dose": dose} | maps | {"error": np.where(shown, error, np.nan), "answered": shown.astype(float)}


LAYERS = {
    "D_RBE": ("RBE-weighted dose", "D_RBE", "Gy (RBE)", "predicted", "viridis", (0.0, 3.0)),
    "RBE": ("Relative biological effectiveness", "RBE", "1", "predicted", "viridis", (1.0, 1.4)),
    "dose": ("Dose", "D", "Gy", "input", "viridis", (0.0, 2.2)),
    "LET_d": ("Dose-averaged LET", "LET_d", "keV/um", "input", "cividis", (0.0, 10.0)),
    "half_width": ("Half width of the 90 % interval", "u_90", "1", "uncertainty", "cividis", (0.0, 0.05)),
    "error": ("Error of RBE against direct simulation", "dRBE", "%", "error", "balance", (-5.0, 5.0)),
    "answered": ("Voxels with an answer", "", "1", "mask", "mask", (0.0, 1.0)),
}


def manifest_of(shape: tuple[int, int, int], spacing: tuple[float, float, float], **parts: Any) -> dict[str, Any]:
    grid = {"shape": list(shape), "spacing_mm": list(spacing), "origin_mm": [-10.0, 5.0, 0.0], "direction": IDENTITY}
    empty = {"structures": [], "points": [], "isodose": None, "histograms": [], "profiles": [], "voxels": None}
    head = {"schema": "surrogate3d.scene/1", "title": "Proton plan", "grid": grid, "focus": [n // 2 for n in shape]}
    tail = {"palettes": palettes(), "stride": 1, "notes": []}
    return head | {"beam": {"axis": 2, "sign": 1}, "layers": []} | empty | tail | parts


def layer(name: str, values: Floats, **changes: Any) -> dict[str, Any]:
    title, symbol, unit, group, colour_names, window = LAYERS[name]
    found = values[np.isfinite(values)]
    entry = {"name": name, "title": title, "symbol": symbol, "unit": unit, "group": group, "colours": colour_names}
    entry |= {
        "definition": f"{title} of each voxel.",
        "window": list(window),
        "symmetric": name == "error",
        "version": 0,
    }
    return entry | {"range": [float(found.min()), float(found.max())], "step": 0.0} | changes


def ball(shape: tuple[int, int, int], centre: tuple[float, ...], radius: float, spacing: tuple[float, ...]) -> Floats:
    index = np.indices(shape)
    away = [(index[a] - centre[a]) * spacing[a] for a in range(3)]
    return np.clip(radius - np.sqrt(sum(d**2 for d in away)) + 0.5, 0, 1).astype(np.float32)


def page_of(
    shape: tuple[int, int, int] = (20, 16, 48),
    spacing: tuple[float, float, float] = (2.5, 3.0, 2.5),
    names: tuple[str, ...] = tuple(LAYERS),
    bits: int = 16,
    stride: int = 1,
    curves: bool = True,
    **parts: Any,
) -> Page:
    """The usual scene: a plan's maps, two structures, isodoses, simulated voxels, survival curves and spectra.

    `curves` tells whether voxels have survival curves and spectra; `parts` replace parts of the manifest.
    """
    page = Page(manifest_of(shape, spacing, stride=stride))
    maps = plan(shape, spacing)
    for name in names:
        page.values[name] = maps[name]
        data, rounding = volume_entry(page, maps[name], bits, stride)
        page.manifest["layers"].append(layer(name, maps[name], data=data, step=rounding))
    if "dose" in names:
        page.manifest["isodose"] = {"layer": "dose", "base": 2.0, "unit": "Gy", "percents": [95, 80, 50, 20]}
    _add_structures(page, shape, spacing, stride)
    if curves:
        _add_voxels(page, maps["RBE"])
    _add_points(page, maps["RBE"])
    page.manifest |= parts
    return page


def _add_structures(page: Page, shape: tuple[int, int, int], spacing: tuple[float, float, float], stride: int) -> None:
    middle = tuple((n - 1) / 2 for n in shape)
    balls = {"Target": ((middle[0], middle[1], 0.62 * shape[2]), 12.0, "#c2410c")}
    balls["Cord"] = ((middle[0] + 3, middle[1] - 2, 0.35 * shape[2]), 8.0, "#1259a3")
    for name, (centre, radius, colour) in balls.items():
        page.fractions[name] = ball(shape, centre, radius, spacing)
        data = fraction_entry(page, page.fractions[name], stride)
        page.manifest["structures"].append({"name": name, "colour": colour, "data": data})


def _add_voxels(page: Page, rbe: Floats) -> None:
    """Effect 0.3 RBE D + 0.03 D^2 in every second voxel that has an answer; falling spectra."""
    index = np.flatnonzero(np.isfinite(rbe))[::2]
    doses = np.asarray(DOSES)
    page.index, page.effect = index, 0.3 * rbe.ravel()[index][:, None] * doses + 0.03 * doses**2
    logarithm = np.log(page.effect)
    lo, step = float(logarithm.min()), float(np.ptp(logarithm)) / 65534
    # Stored is the square root of a bin's dose over the voxel's largest, 255 being that.
    dose = FLUENCE * DOSE_PER_FLUENCE
    codes = np.round(255 * np.sqrt(dose / dose.max())).astype(np.int64)
    spectrum = np.broadcast_to(codes, (len(index), *codes.shape))
    edges = np.geomspace(0.5, 200, N_BINS + 1).tolist()
    bins = {"species": SPECIES, "edges_mev_u": [edges] * 2, "dose_per_fluence": DOSE_PER_FLUENCE.tolist()}
    bins |= {"alpha": (0.2 + 0.02 * DOSE_PER_FLUENCE).tolist(), "beta": [[0.03] * N_BINS] * 2}
    widths = np.full(len(index), 1)
    data = {
        "stride": 1,
        "index": page.add_block(index, 32),
        "effect": page.add_block(np.round((logarithm - lo) / step).astype(np.int64) + 1, 16, lo=lo, step=step),
        "half_width": page.add_block(widths, 16, lo=0.03, step=0.0),
        "spectrum": page.add_block(spectrum, 8),
    }
    page.manifest["voxels"] = {"doses": DOSES, "photon": {"alpha_x": 0.2, "beta_x": 0.03}, "bins": bins, "data": data}


def _add_points(page: Page, rbe: Floats) -> None:
    rng = np.random.default_rng(2)
    chosen = rng.choice(np.argwhere(np.isfinite(rbe)), size=24, replace=False)
    for n, voxel in enumerate(chosen):
        value = float(rbe[tuple(voxel)])
        effect = [0.3 * value * dose + 0.03 * dose**2 for dose in DOSES]
        point = {"voxel": voxel.tolist(), "values": {"RBE": value + 0.01, "RBE_se": 0.004}, "held_out": n % 3 == 0}
        page.manifest["points"].append(point | {"effect": effect, "effect_se": [0.02 * e for e in effect]})


def html(manifest: dict[str, Any], blocks: dict[str, str], body: str = "") -> str:
    """A page that holds its scene."""
    words = json.dumps(manifest, allow_nan=False).replace("<", "\\u003c")
    data = "\n".join(f'<script type="text/plain" id="{name}">{text}</script>' for name, text in blocks.items())
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>{manifest["title"]}</title>
<style>body {{ margin: 12px; background: Canvas; }}
{style()}</style></head>
<body>{body}<main><div class="s3d" data-s3d-root></div></main>
<script type="application/json" id="s3d-scene">{words}</script>
{data}
<script>{program()}</script></body></html>
"""
