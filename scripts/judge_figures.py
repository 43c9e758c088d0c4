"""The figures of `judge_reference.py`, as rows of plain data; every one says how many voxels it is of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt
from judge_inputs import Mask, Plan, Truth
from judge_methods import GROUPED, POOLED, QUANTITIES, SURROGATE, TABLE, UNIFORM, Maps

from surrogate3d.validation import error_summary
from surrogate3d.validation.coverage import coverage
from surrogate3d.validation.gamma import gamma, pass_rate
from surrogate3d.validation.metrics import rms_ratio, root_mean_square, scatter

Floats = npt.NDArray[np.float64]
Row = dict[str, Any]

GAMMA: dict[str, Any] = {
    "dose_percent_threshold": 1,
    "distance_mm_threshold": 1,
    "lower_percent_dose_cutoff": 10,
    "max_gamma": 2,
}


def error_rows(answers: Mapping[str, Maps], truth: Truth, masks: dict[str, Mask], about: Row) -> Iterator[Row]:
    """Every quantity by region."""
    for quantity in QUANTITIES:
        floors = truth.floors(masks, quantity)
        for method, maps in answers.items():
            for region, mask in masks.items():
                known = mask & np.isfinite(truth.maps[quantity])
                floor = floors[region] if np.isfinite(floors[region]) else None
                found = error_summary(maps[quantity][known], truth.maps[quantity][known], noise_floor=floor)
                yield {
                    "figure": "error", "truth": truth.name, "method": method, "quantity": quantity, "region": region,
                    **about, **asdict(found),
                }  # fmt: skip


def best_uniform(rows: list[Row]) -> list[Row]:
    """The rows of the uniform pooling (or none) of least rms of RBE over all voxels, under one name."""
    candidates = [r for r in rows if r["method"] in POOLED and (r["quantity"], r["region"]) == ("RBE", "all")]
    best = min(candidates, key=lambda row: row["rms"])["method"]
    return [row | {"method": UNIFORM, "which": best} for row in rows if row["method"] == best]


def against_rows(
    answers: Mapping[str, Maps], truth: Truth, mask: Mask, beam_axis: int, rng: np.random.Generator, about: Row
) -> Iterator[Row]:
    """Ratio of the surrogate's RMS of RBE to that of others on the same voxels; a block is a line along the beam."""
    true, own = truth.maps["RBE"], answers[SURROGATE]["RBE"]
    lines = np.arange(mask.size // mask.shape[beam_axis])
    across = [n for axis, n in enumerate(mask.shape) if axis != beam_axis]
    blocks = np.broadcast_to(np.expand_dims(lines.reshape(across), beam_axis), mask.shape)
    for other in (TABLE, GROUPED):
        known = mask & np.isfinite(true) & np.isfinite(own) & np.isfinite(answers[other]["RBE"])
        errors = [answers[m]["RBE"][known] / true[known] - 1 for m in (SURROGATE, other)]
        ratio, low, high = rms_ratio(errors[0], errors[1], blocks[known], rng)
        yield {
            "figure": "ratio", "truth": truth.name, "method": SURROGATE, "other": other, **about,
            "n": int(known.sum()), "ratio": ratio, "low": low, "high": high,
        }  # fmt: skip


def gamma_rows(
    plan: Plan, answers: Mapping[str, Maps], truth: Truth, masks: Mapping[str, Mask], about: Row
) -> Iterator[Row]:
    """D_RBE gamma of a plan; the whole plan is searched, the voxels of the part are counted."""
    grid = plan.high.grid
    axes = [spacing * np.arange(n) for spacing, n in zip(grid.spacing_mm, grid.shape, strict=True)]
    reference = np.where(plan.judged, truth.maps["D_RBE"], np.nan)
    for method, maps in answers.items():
        index = gamma(axes, reference, axes, maps["D_RBE"], **GAMMA)
        rate, n = pass_rate(index, masks["all"])
        yield {"figure": "gamma", "truth": truth.name, "method": method, **about, "n": n, "pass": rate}


def coverage_rows(
    predicted: Maps, half_width: Floats, truth: Truth, masks: dict[str, Mask], names: npt.NDArray[np.str_], about: Row
) -> Iterator[Row]:
    """How often the 90 % intervals of the effect of 2 Gy hold the truth, as found and without the truth's noise."""
    true, own = truth.maps["effect at 2 Gy"], predicted["effect at 2 Gy"]
    known = masks["all"] & np.isfinite(true) & np.isfinite(own)
    floors = truth.floors(masks, "effect at 2 Gy")
    noise = np.array([np.nan_to_num(floors[name] / 100) for name in names[known]])
    for found in coverage(own[known] / true[known] - 1, half_width[known], noise, names[known], 0.9):
        yield {
            "figure": "coverage", "truth": truth.name, "method": SURROGATE, **about, "region": found.region,
            "n": found.voxels, "promised": found.level, "observed": found.observed, "covered": found.covered,
            "low": found.low, "high": found.high,
        }  # fmt: skip


def domain_rows(outside: Mask, masks: Mapping[str, Mask], about: Row) -> Iterator[Row]:
    """Share of the voxels that are flagged, by region."""
    for region, mask in masks.items():
        yield {
            "figure": "domain", "method": SURROGATE, "region": region, **about, "n": int(mask.sum()),
            "flagged": 100 * float(outside[mask].mean()),
        }  # fmt: skip


def residual_rows(answers: Mapping[str, Maps], truth: Truth, mask: Mask, about: Row) -> Iterator[Row]:
    """Bias and scatter about the simulation on the very spectra that were simulated: what no denoising can remove."""
    known = mask & np.isfinite(truth.maps["RBE"])
    true = truth.maps["RBE"][known]
    own = 100 * root_mean_square(truth.relative_se["RBE"][known])
    for method, maps in answers.items():
        relative = 100 * (maps["RBE"][known] / true - 1)
        spread = scatter(maps["RBE"][known], true)
        yield {
            "figure": "residual", "truth": truth.name, "method": method, **about, "n": int(np.isfinite(relative).sum()),
            "bias": float(np.nanmean(relative)), "scatter": spread,
            "scatter_net": float(np.sqrt(max(spread**2 - own**2, 0.0))), "se": own,
        }  # fmt: skip
