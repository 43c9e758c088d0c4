"""Make the reference values of the gamma index with PyMedPhys, which is no dependency of this project.

    python -m pip install pymedphys==0.41.0        # in an environment of its own, beside numpy, scipy and numba
    python scripts/make_gamma_golden.py tests/fixtures/gamma/pymedphys.npz HIGH LOW

HIGH and LOW are field stores of two runs of one plan (`proton_slab` for the shipped file); a block of them with target
and penumbra is the real case. The file holds doses, axes, settings and the gamma of PyMedPhys, so that the test needs
nothing else.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

CASES: dict[str, tuple[str, dict[str, float | bool]]] = {
    "random 3-D, 3 %/3 mm": ("random", {"dose_percent_threshold": 3, "distance_mm_threshold": 3}),
    "random 3-D, 2 %/2 mm, local, to 1.5": (
        "random",
        {"dose_percent_threshold": 2, "distance_mm_threshold": 2, "local_gamma": True, "max_gamma": 1.5},
    ),
    "random 3-D, all doses, coarse steps": (
        "random",
        {
            "dose_percent_threshold": 5, "distance_mm_threshold": 2, "lower_percent_dose_cutoff": 0,
            "interp_fraction": 4, "max_gamma": 2, "global_normalisation": 1.2,
        },
    ),
    "random 3-D, until it passes": (
        "random",
        {"dose_percent_threshold": 3, "distance_mm_threshold": 3, "skip_once_passed": True, "max_gamma": 2},
    ),
    "random 2-D": ("plane", {"dose_percent_threshold": 2, "distance_mm_threshold": 3}),
    "random 1-D": ("line", {"dose_percent_threshold": 1, "distance_mm_threshold": 2, "lower_percent_dose_cutoff": 10}),
    "run, 1 %/1 mm": (
        "run",
        {"dose_percent_threshold": 1, "distance_mm_threshold": 1, "lower_percent_dose_cutoff": 10, "max_gamma": 2},
    ),
    "run, 3 %/2 mm, local": (
        "run",
        {"dose_percent_threshold": 3, "distance_mm_threshold": 2, "lower_percent_dose_cutoff": 10, "local_gamma": True},
    ),
}  # fmt: skip
"""Which doses, and the settings other than the defaults."""

Grid = tuple[list[npt.NDArray[np.float64]], npt.NDArray[np.float64]]


def random_pair(n_axes: int, rng: np.random.Generator) -> tuple[Grid, Grid]:
    """A smooth bump and noise on uneven axes, and nearly the same on finer, shifted axes."""
    pair = []
    for n, start in ((11, -10.3), (16, -11.2)):
        axes = [start + np.cumsum(rng.uniform(1.0, 2.5, n + a)) for a in range(n_axes)]
        away = np.stack(np.meshgrid(*axes, indexing="ij"))
        bump = np.exp(-((away / 9.0) ** 2).sum(axis=0))
        pair.append((axes, bump * (1 + 0.02 * rng.standard_normal(bump.shape))))
    return pair[0], pair[1]


def real_pair(stores: list[str]) -> tuple[Grid, Grid]:
    """A block of two runs of one plan, scaled to the same sum, rounded to float32."""
    from surrogate3d.io.field_store import read_field

    pair = []
    for store in stores:
        field = read_field(Path(store))
        block = np.asarray(field.dose[6:14, 6:18, 26:46], dtype=float)
        axes = [
            origin + spacing * np.arange(n)
            for origin, spacing, n in zip(field.grid.origin_mm, field.grid.spacing_mm, block.shape, strict=True)
        ]
        pair.append((axes, (block / block.sum()).astype(np.float32).astype(float)))
    return pair[0], pair[1]


def main() -> None:
    """Compute and write."""
    import pymedphys  # type: ignore[import-not-found]

    rng = np.random.default_rng(7)
    pairs = {name: random_pair(n, rng) for name, n in (("random", 3), ("plane", 2), ("line", 1))}
    pairs["run"] = real_pair(sys.argv[2:4])
    values: dict[str, Any] = {}
    for name, grids in pairs.items():
        for role, (axes, dose) in zip(("reference", "evaluation"), grids, strict=True):
            values[f"{name}/{role}"] = dose
            values |= {f"{name}/{role}/{a}": axis for a, axis in enumerate(axes)}
    for title, (name, settings) in CASES.items():
        (axes_r, reference), (axes_e, evaluation) = pairs[name]
        # its default interpolation takes every step of an axis to be as wide as the first one
        algorithm = "pymedphys" if name == "run" else "scipy"
        values[f"gamma/{title}"] = pymedphys.gamma(
            tuple(axes_r), reference, tuple(axes_e), evaluation, interp_algo=algorithm, **settings
        )
    about = {"pymedphys": pymedphys.__version__, "cases": {title: list(case) for title, case in CASES.items()}}
    values["about"] = np.frombuffer(json.dumps(about).encode(), dtype=np.uint8)
    np.savez_compressed(sys.argv[1], **values)


if __name__ == "__main__":
    main()
