"""A small scene of which every number is known in closed form."""

import numpy as np

from surrogate3d.grid import Grid
from surrogate3d.viewer.scene import Isodose, Layer, Point, Scene, Structure
from surrogate3d.viewer.voxels import Bins, VoxelData

GRID = Grid((6, 5, 7), (2.0, 1.5, 3.0), (-5.0, 4.0, 10.0))
DOSES = np.array([0.5, 1.0, 2.0])
ALPHA, BETA = 0.3, 0.05


def place(grid=GRID):
    """(i, j, k) value 100 i + 10 j + k of every voxel."""
    i, j, k = np.indices(grid.shape)
    return (100 * i + 10 * j + k).astype(np.float32)


def layer(name="dose", values=None, **said):
    """A layer; `said` are attributes in place of the usual ones."""
    usual = {
        "name": name,
        "title": name,
        "symbol": "D",
        "unit": "Gy",
        "definition": "made up",
        "group": "input",
        "values": place() if values is None else values,
        "colours": "viridis",
        "window": (0.0, 500.0),
    }
    return Layer(**usual | said)


def voxels(grid=GRID):
    """Linear-quadratic curves that are steeper with every voxel of a mask; spectra of two species and three bins."""
    mask = np.zeros(grid.shape, dtype=bool)
    mask[1:4, 2:, ::2] = True
    n = int(mask.sum())
    steeper = 1 + np.arange(n)[:, None] / 10
    fluence = np.arange(2 * 3 * n, dtype=np.float32).reshape(2, 3, n)
    bins = Bins(("H", "C"), [[1.0, 10.0, 50.0, 200.0]] * 2, [[3, 2, 1]] * 2, [[0.5] * 3] * 2, [[0.1] * 3] * 2)
    effect = steeper * (ALPHA * DOSES + BETA * DOSES**2)
    return VoxelData(DOSES, mask, effect, np.linspace(0.01, 0.1, n), (0.2, 0.03), fluence, bins)


def scene(**said):
    """A scene with something of everything; `said` are attributes in place of the usual ones."""
    inside = np.zeros(GRID.shape, dtype=np.float32)
    inside[2:5, 1:4, 2:5] = 1.0
    inside[2, 1, 2] = 0.5
    error = place() / 100 - 2
    error[0] = np.nan
    signed = {"group": "error", "colours": "balance", "window": (-3.0, 3.0), "symmetric": True, "unit": "1"}
    usual = {
        "title": "made up",
        "grid": GRID,
        "focus": (3, 2, 4),
        "layers": (layer(), layer("error", error, **signed)),
        "beam": (2, -1),
        "structures": (Structure("PTV 1/2", inside, "#bf4a06"),),
        "points": (Point((2, 2, 2), {"RBE": 1.2, "RBE_se": float("nan")}, True),),
        "isodose": Isodose("dose", 500.0, "Gy"),
        "voxels": voxels(),
        "notes": ("nothing here is true",),
    }
    return Scene(**usual | said)
