"""What `topas info` and `topas image` show."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from surrogate3d.cli.console import show

Facts = list[tuple[str, str]]


def files(data: Mapping[str, Any]) -> None:
    """Print what each file is."""
    for found in data["files"]:
        facts = _FACTS[found["kind"]](found) if found["kind"] in _FACTS else []
        _print(f"{found['file']}: {found['kind']}", facts, found["notes"])


def image(data: Mapping[str, Any]) -> None:
    """Print what an image holds and where it lies."""
    grid = data["grid"]
    facts = [
        ("quantity", f"{data['quantity']} ({data['unit']}): {data['definition']}"),
        ("of", f"{data['scorer']}, {data['statistic']}" + (f", bins {data['bins']}" if data["bins"] else "")),
        ("grid", f"{_times(grid['shape'])} voxels of {_times(grid['spacing_mm'])} mm"),
        ("first voxel", f"centre at ({', '.join(f'{x:g}' for x in grid['origin_mm'])}) mm (LPS)"),
        ("range", "no value" if data["minimum"] is None else f"{data['minimum']:.6g} to {data['maximum']:.6g}"),
        ("NaN", f"{data['n_nan']} voxels, of which {data['n_without_denominator']} without denominator"),
    ]
    _print(str(data["output"]), facts, data["notes"])


def _print(title: str, facts: Facts, notes: list[str]) -> None:
    table = Table.grid(padding=(0, 2))
    for name, text in facts:
        table.add_row(Text(f"  {name}"), Text(text))
    show(title, table, *(f"  note: {note}" for note in notes), "")


def _times(numbers: list[float]) -> str:
    return " x ".join(f"{number:g}" for number in numbers)


def _scorer(found: Mapping[str, Any]) -> Facts:
    facts = [
        ("made with", f"TOPAS {found['topas_version']}, {found['parameter_file']}"),
        ("scorer", f"{found['scorer']} on {found['component']} ({found['shape_kind']})"),
        ("quantity", f"{found['quantity']} in {found['unit']}"),
        ("bins", "; ".join(f"{a['name']} {a['n']} of {a['width']:g} {a['unit']}" for a in found["axes"]) or "one"),
        ("statistics", ", ".join(found["statistics"])),
        ("row order", found["row_order"]),
    ]
    facts += [("filter", f"{f['parameter']} = {f['value']}") for f in found["filters"]]
    if found["binning"]:
        facts.append(("binned by", _binning(found["binning"])))
    if found["outside_bins"]:
        shares = ", ".join(f"{name.replace('_', ' ')} {share:.3g}" for name, share in found["outside_bins"].items())
        facts.append(("outside bins", f"{shares} of the sum"))
    if found["sparse"]:
        facts.append(("sparse", f"{found['n_missing']} voxels left out; rows have {found['sparse']}"))
    return facts


def _binning(binning: Mapping[str, Any]) -> str:
    kind, unit = "logarithmic" if binning["logarithmic"] else "linear", "ns" if binning["mode"] == "Time" else "MeV"
    return f"{binning['mode']}: {binning['n']} {kind} bins from {binning['low']:g} to {binning['high']:g} {unit}"


def _ntuple(found: Mapping[str, Any]) -> Facts:
    facts = [("encoding", found["encoding"])]
    for name, key in (("histories", "n_histories"), ("records", "n_particles"), ("bytes a record", "record_bytes")):
        if found[key] is not None:
            facts.append((name, f"{found[key]:,}"))
    if found["columns"]:
        facts.append(("columns", "; ".join(_column(column) for column in found["columns"])))
    for name, n in found["n_by_particle"].items():
        energies = found["energy_range_mev"].get(name)
        facts.append((name, f"{n:,}" + (f", {energies[0]:g} to {energies[1]:g} MeV" if energies else "")))
    return facts


def _column(column: Mapping[str, Any]) -> str:
    return str(column["name"]) if column["unit"] in ("", "1") else f"{column['name']} ({column['unit']})"


def _lineal_energy(found: Mapping[str, Any]) -> Facts:
    facts = [
        ("y_F", f"{found['y_F']:g} +- {found['y_F_std']:g} keV/um"),
        ("y_D", f"{found['y_D']:g} +- {found['y_D_std']:g} keV/um"),
        ("bins with events", f"{found['bins_with_events']} of {found['bins']}"),
    ]
    if found["range_kev_um"]:
        low, high = found["range_kev_um"]
        facts.append(("from", f"{low:.4g} to {high:.4g} keV/um"))
    return [*facts, *_particles(found)]


def _parameters(found: Mapping[str, Any]) -> Facts:
    scored = [(f"scorer {name}", f"{s['Quantity']} on {s['Component']}") for name, s in found["scorers"].items()]
    return [("files", ", ".join(found["files"])), ("seed", str(found["seed"])), *scored]


def _particles(found: Mapping[str, Any]) -> Facts:
    return [("particles", ", ".join(found["particles"]))] if found["particles"] else []


_FACTS: dict[str, Callable[[Mapping[str, Any]], Facts]] = {
    "scorer": _scorer,
    "phase space": _ntuple,
    "ntuple": _ntuple,
    "lineal energy spectrum": _lineal_energy,
    "lineal energy by particle": _particles,
    "parameters": _parameters,
    "lineal energy y d(y)": lambda found: [("bins with events", str(found["bins_with_events"]))],
}
