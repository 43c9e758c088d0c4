"""What `invitro import`, `invitro train` and `predict --survival-model` show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from surrogate3d.cli import show_model
from surrogate3d.cli.console import show, warn

_SHOWN = 8  # ExpIDs of a note; --json gives all


def imported(data: Mapping[str, Any]) -> None:
    """Print what was read, left out and noted."""
    n, pairs = data["experiments"], data["with_pairs"]
    show(
        f"PIDE {data['version']}: {n} experiments of {data['publications']} publications, "
        f"{data['cell_lines']} cell lines; {n - data['spread_out']} monoenergetic, {data['spread_out']} spread out",
        f"ions: {', '.join(f'{ion} {count}' for ion, count in data['ions'].items())}",
        f"cell cycle: {', '.join(f'{phase} {count}' for phase, count in data['phases'].items())}",
        f"survival points: {data['with_ion_points']} of ions ({data['ion_points']} points), "
        f"{data['with_photon_points']} with photon points",
        f"LQ pairs: published, photons {pairs['photon_paper']}, ions {pairs['ion_paper']}; "
        f"fitted, photons {pairs['photon_fit']}, ions {pairs['ion_fit']}",
        f"LET {_range(data['LET_kev_um'])} keV/um; energy {_range(data['energy_mev_u'])} MeV/u; "
        f"RBE10 {_range(data['RBE10'])}, known for {data['RBE10']['n']}",
    )
    for one in data["left_out"]:
        show(f"left out: ExpID {one['number']}: {one['reason']}")
    _notes(data["notes"])
    show(f"written: {data['output']}", data["terms"])


def trained(data: Mapping[str, Any]) -> None:
    """Print what was learnt from."""
    ions = ", ".join(f"{ion} {count}" for ion, count in data["species"].items())
    show(
        f"PIDE {data['version']}: {data['experiments']} experiments of {data['publications']} publications ({ions}), "
        f"{len(data['left_out'])} left out; {data['members']} networks in {data['seconds']:.0f} s"
    )
    show(_intervals(data["intervals"]), f"written: {data['output']} (bundle {data['bundle_id'][:12]})")


def _intervals(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "intervals not calibrated: too few publications"
    levels = ", ".join(f"{100 * level:g} %" for level in found["levels"])
    return f"intervals of {levels} calibrated on {found['publications']} publications that were left out"


def warnings(found: Mapping[str, Any]) -> None:
    """Say what a user of the maps of an in-vitro model must know."""
    strange, answered = found["voxels_out_of_domain"], found["voxels_answered"]
    if strange:
        warn(
            f"{strange} of {answered} voxels ({100 * strange / answered:.1f} %) are unlike all experiments of the "
            f"training, mostly in {found['strangest']}; see the map out_of_domain"
        )
    show_model.warnings({**found, "voxels_out_of_domain": 0})  # what it says of them is of another model


def predicted(data: Mapping[str, Any]) -> None:
    """Print what was predicted, and by what."""
    show_model.predicted(data)
    about = data["survival_model"]
    show(
        f"in vitro: {about['experiments']} experiments of {about['publications']} publications, {about['cells']} cell "
        f"lines, ions {', '.join(about['species'])} (bundle {data['bundle_id'][:12]}); {data['averaging']}"
    )


def _notes(notes: list[Mapping[str, Any]]) -> None:
    """What is odd but kept."""
    if not notes:
        return
    table = Table("odd, but kept", "experiments", "ExpID")
    for note in notes:
        numbers = note["numbers"]
        more = ", ..." if len(numbers) > _SHOWN else ""
        table.add_row(note["what"], str(len(numbers) or ""), ", ".join(map(str, numbers[:_SHOWN])) + more)
    show(table)


def _range(values: Mapping[str, Any]) -> str:
    if not values["n"]:
        return "not known"
    return f"{values['minimum']:.3g} to {values['maximum']:.4g} (median {values['median']:.3g})"
