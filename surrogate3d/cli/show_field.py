"""What `convert` and `info` show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from surrogate3d.cli.console import show


def described(found: Mapping[str, Any]) -> dict[str, Any]:
    """The description of a store; its own schema makes room for the command's."""
    return {"store_schema" if key == "schema" else key: value for key, value in found.items()}


def information(data: Mapping[str, Any]) -> None:
    """Print what a store holds."""
    facts = Table.grid(padding=(0, 2))
    for name, text in _facts(data):
        facts.add_row(name, text)
    show(f"{data.get('field', data.get('output'))}", facts, "", _volumes(data))
    if data["axes"] is None:
        show("no spectra: reduced input (dose and LET only)")
        return
    show(_spectra(data), _explained(data), *consistency(data))


def conversion(data: Mapping[str, Any]) -> None:
    """Print what a conversion read, left out and noticed, and the store."""
    report = data["conversion"]
    information(data)
    show("", f"{len(report['files_read'])} files read")
    for file in report["files_not_read"]:
        show(f"not read: {file['run']}/{file['name']}: {file['reason']}")
    for note in report["notes"]:
        show(f"note: {note}")


def consistency(data: Mapping[str, Any]) -> list[str]:
    """How much of the scored dose the spectra explain, and what is wrong with them, in lines."""
    plain, corrected = data["consistency"], data["consistency_corrected"]
    every = data["statistics_of_voxels"]["every"]
    lines = [f"statistics are of every {every}th voxel along each axis"] if every > 1 else []
    lines += [
        f"consistency: the spectra explain {plain['median']:.3f} of the scored dose "
        f"(median; 5th to 95th percentile {plain['p5']:.3f} to {plain['p95']:.3f}, over the irradiated voxels); "
        f"{corrected['median']:.3f} ({corrected['p5']:.3f} to {corrected['p95']:.3f}) with the mean LET along the "
        "simulation's steps"
    ]
    for name, part in data["LET_difference"].items():
        lines.append(
            f"{name} from the spectra against the scored one: {100 * part['median']:+.1f} % "
            f"({100 * part['p5']:+.1f} to {100 * part['p95']:+.1f} %)"
        )
    for fault in data["spectrum_faults"]:
        if fault["voxels"]:
            words = f"in {fault['voxels']} irradiated voxels the spectrum cannot be right: {fault['reason']}"
            lines.append(f"warning: {words}")
    return lines


def _explained(data: Mapping[str, Any]) -> Table:
    table = Table("part of the field", "voxels", "explained", "5th to 95th", "steps corrected", "5th to 95th")
    plain, corrected = (data["explained_by_region"][name] for name in ("explained", "explained_corrected"))
    for region, part in plain.items():
        if part["n"]:
            table.add_row(region.replace("_", " "), str(part["n"]), *_spread(part), *_spread(corrected[region]))
    return table


def _spread(part: Mapping[str, Any]) -> tuple[str, str]:
    return f"{part['median']:.3f}", f"{part['p5']:.3f} to {part['p95']:.3f}"


def _facts(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    grid, provenance, prescription = data["grid"], data["provenance"], data["prescription"]
    made = f"surrogate3d {provenance.get('surrogate3d_version')}"
    if "topas_version" in provenance:
        made = f"TOPAS {provenance['topas_version']}, {made}"
    return [
        ("field id", data["field_id"][:12]),
        ("grid", f"{_times(grid['shape'])} voxels of {_times(grid['spacing_mm'])} mm"),
        ("first voxel", f"centre at ({', '.join(f'{x:g}' for x in grid['origin_mm'])}) mm (LPS)"),
        ("particles", data.get("primary") or "not known"),
        *(_statistics(data) if data["axes"] else ()),
        *((f"beam {beam['name']}", _beam(beam)) for beam in data.get("beams", []) if len(data["beams"]) > 1),
        ("prescription", prescription["statement"] if prescription else "none: dose is in arbitrary scale"),
        *((name, _let(words)) for name, words in data["let_definitions"].items()),
        ("made with", made),
        *((f"run {run['name']}", _run(run)) for run in provenance.get("runs", [])),
    ]


def _statistics(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    axis, tracks, halves = "ijk"[data["beam_axis"]], data["tracks_per_voxel"], data["n_halves"]
    return [
        ("beam", f"along {'+' if data['beam_sign'] > 0 else '-'}{axis}"),
        ("histories", f"{data['histories']:,}"),
        ("tracks per voxel", f"{tracks['median']:.0f} ({tracks['minimum']:.0f} to {tracks['maximum']:.0f})"),
        ("halves", f"{halves} independent" if halves else "none: the noise is not known"),
    ]


def _beam(beam: Mapping[str, Any]) -> str:
    direction = beam["direction"]
    words = "direction not known" if direction is None else f"along ({', '.join(f'{x:.3g}' for x in direction)})"
    time = "" if beam["start_s"] is None else f", from {beam['start_s']:g} s"
    return f"{words}, {beam['histories']:,} histories, weight {beam['weight']:g}{time}"


def _times(numbers: list[float]) -> str:
    return " x ".join(f"{number:g}" for number in numbers)


def _let(words: Mapping[str, Any]) -> str:
    limit = words["max_scored_kev_um"]
    return (
        f"{words['weighting']}-averaged; {words['particles']}; {words['medium']}; "
        f"{'restricted' if words['restricted'] else 'unrestricted'}; "
        f"{'no upper limit' if limit is None else f'steps above {limit:g} keV/um left out'}"
    )


def _run(run: Mapping[str, Any]) -> str:
    hashes = " ".join(str(file["sha256"])[:8] for file in run.get("files", []))
    return f"{run.get('histories', 0):,} histories, seed {run.get('seed')}, files {hashes}"


def _volumes(data: Mapping[str, Any]) -> Table:
    table = Table("volume", "unit", "minimum", "maximum", "NaN", title_justify="left")
    for name, volume in data["volumes"].items():
        ends = ("-" if volume[end] is None else f"{volume[end]:.4g}" for end in ("minimum", "maximum"))
        table.add_row(name, volume["unit"], *ends, str(volume["n_nan"]))
    return table


def _spectra(data: Mapping[str, Any]) -> Table:
    table = Table("species", "bins", "from [MeV/u]", "to [MeV/u]", "fluence below", "fluence above")
    for species, edges in zip(data["axes"]["species"], data["axes"]["edges_mev_u"], strict=True):
        outside = data["outside_bins"][species]
        shares = (f"{100 * outside[side]:.3g} %" for side in ("underflow", "overflow"))
        table.add_row(species, str(len(edges) - 1), f"{edges[0]:g}", f"{edges[-1]:g}", *shares)
    return table
