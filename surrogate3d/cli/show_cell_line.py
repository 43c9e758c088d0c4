"""What `cell-line list`, `show`, `fit` and `table` show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from surrogate3d.cli.console import show


def listed(data: Mapping[str, Any]) -> None:
    """Print the shipped lines."""
    table = Table("name", "species", "alpha_x (1/Gy)", "beta_x (1/Gy^2)", "parameters of", "back ends")
    for line in data["cell_lines"]:
        pair = (f"{line[key]:g}" for key in ("alpha_x", "beta_x"))
        table.add_row(line["name"], line["species"], *pair, ", ".join(line["models"]), ", ".join(line["back_ends"]))
    show(table)


def shown(data: Mapping[str, Any]) -> None:
    """Print one line."""
    ratio = "infinite" if data["alpha_beta_x"] is None else f"{data['alpha_beta_x']:.4g} Gy"
    show(
        f"{data['name']}: {data['species']}; {data['tissue']}",
        f"photons: alpha_x {data['alpha_x']:g} 1/Gy, beta_x {data['beta_x']:g} 1/Gy^2, ratio {ratio}; {data['source']}",
    )
    for model, values in data["models"].items():
        numbers = ", ".join(f"{name} {value:g}" for name, value in values.items() if not isinstance(value, str))
        show(f"{model}: {numbers}; {values['source']}")
    show(f"back ends: {', '.join(name for name, usable in data['back_ends'].items() if usable)}")
    for name, why in data["unusable"].items():
        show(f"  not {name}: {why}")


def fitted(data: Mapping[str, Any]) -> None:
    """Print a calibration."""
    photon, given = data["photon"], data["input"]
    for name in ("alpha_x", "beta_x"):
        show(f"{name}: {_value(photon[name])}")
    show(f"photon fit: {_goodness(photon['goodness'])}; errors: {given['errors']}")
    table = Table("model", "calibrated", "why", "parameters with 95 % intervals")
    for model in data["models"]:
        numbers = "\n".join(f"{name} {_value(value)}" for name, value in model["parameters"].items())
        why = model["why"] + (f" ({_goodness(model['goodness'])})" if model["goodness"] else "")
        table.add_row(model["model"], _calibrated(model), why, numbers)
    show(table)
    if data["output"]:
        show(f"written: {data['output']}")


def tabulated(data: Mapping[str, Any]) -> None:
    """Print what is in a mono-energetic table."""
    line, alpha = data["cell_line"], data["alpha"]
    low, high = data["energy_mev_u"]
    energies = f"{data['energies']} energies from {low:.3g} to {high:.4g} MeV/u"
    show(
        f"{line['name']}: {', '.join(data['species'])} at {energies}",
        f"alpha {alpha['minimum']:.4g} to {alpha['maximum']:.4g} 1/Gy; photons: {line['alpha_x']:g} 1/Gy",
        "the shipped table" if data["shipped"] else f"made by {data['made_by']}, {data['seconds']:.1f} s",
        f"written: {data['output']}",
    )


def _calibrated(model: Mapping[str, Any]) -> str:
    """Models without parameters of their own have nothing to calibrate."""
    if not model["calibrated"]:
        return "no"
    return "yes" if model["parameters"] else "nothing to fit"


def _value(parameter: Mapping[str, Any]) -> str:
    low, high = parameter["low"], parameter["high"]
    if low is None and high is None:
        return f"{parameter['value']:.4g} {parameter['unit']} (given)"
    ends = " to ".join("no bound" if end is None else f"{end:.4g}" for end in (low, high))
    return f"{parameter['value']:.4g} {parameter['unit']} ({ends})"


def _goodness(found: Mapping[str, Any]) -> str:
    head = f"{found['n_points']} points, {found['ndf']} degrees of freedom"
    if found["chi2"] is None:
        return f"{head}, s.d. of ln S {found['common_sd']:.3g}"
    return f"{head}, chi2 {found['chi2']:.4g}, p {found['p_value']:.2g}"
