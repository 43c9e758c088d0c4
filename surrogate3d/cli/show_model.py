"""What `train` and `predict` show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.table import Table

from surrogate3d.cli.console import show, warn

if TYPE_CHECKING:
    from surrogate3d.model.bundle import ModelCard


def card(model: ModelCard) -> dict[str, Any]:
    """A model in numbers."""
    plans = model.training["plans"]
    return {
        "cell_lines": model.line_names,
        "plans": [{"low": p["low"], "high": p["high"], "voxels": len(p["voxels"])} for p in plans],
        "backend": model.training["backend"],
        "seed": model.training["seed"],
        "config": model.training["config"],
        "members": model.members,
        "final_loss": model.training["final_loss"],
        "calibration": model.calibration,
    }


def trained(data: Mapping[str, Any]) -> None:
    """Print what was trained."""
    table = Table("network", "error / that of grouped pooling")
    for number, loss in enumerate(data["final_loss"]):
        table.add_row(str(number), "not known" if loss is None else f"{loss:.3f}")  # no voxel to learn from yet
    voxels = sum(plan["voxels"] for plan in data["plans"])
    words = f"{len(data['plans'])} plans, {voxels} simulated voxels, {', '.join(data['cell_lines'])}"
    held = data["calibration"].get("voxels", {}).get("all")
    calibrated = f"intervals calibrated on {held} values" if held else "intervals not calibrated: too few voxels"
    show(table, f"{words}: {data['seconds']:.0f} s; {calibrated}")
    show(f"written: {data['output']} (bundle {data['bundle_id'][:12]})")


def warnings(found: Mapping[str, Any]) -> None:
    """Say what a user of the maps must know."""
    if found.get("cell_line_doubt"):
        warn(found["cell_line_doubt"])
    if found["refused"]:
        reason = next(iter(found["refused"].values()))
        warn(f"no maps of {', '.join(found['refused'])}: {reason}")
    strange, answered = found["voxels_out_of_domain"], found["voxels_answered"]
    if strange:
        share = 100 * strange / max(answered, 1)
        warn(
            f"{strange} of {answered} voxels ({share:.1f} %) are unlike the training, mostly in {found['strangest']}: "
            "there the deviation covers the distance to grouped pooling; see the map out_of_domain"
        )
    largest, named = found["largest_dose_per_fraction_gy"], found["fraction_dose_gy"]
    if largest is not None and not 0.8 < largest / named < 1.5:  # a sum of beams states no prescribed dose
        warn(f"the largest dose of a fraction is {largest:.3g} Gy, and {named:g} Gy per fraction were named")


def predicted(data: Mapping[str, Any]) -> None:
    """Print what was predicted, and why by that model where nobody named one."""
    if "chosen_because" in data:
        show(data["chosen_because"])
    table = Table("map", "minimum", "median", "maximum")
    for name, row in data["ranges"].items():
        table.add_row(name, *("-" if x is None else f"{x:.4g}" for x in row.values()))
    prescription = data["prescription"] or "none"
    show(
        table,
        f"{data['voxels_answered']} voxels in {data['seconds']:.2f} s; cell line {data['cell_line']['name']}; "
        f"{data['fractions']} x {data['fraction_dose_gy']:g} Gy; prescription: {prescription}",
        f"written: {data['output']} ({len(data['files'])} files)",
    )
