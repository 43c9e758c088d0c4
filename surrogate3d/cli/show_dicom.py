"""What the `dicom` commands show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from surrogate3d.cli.console import show


def information(data: Mapping[str, Any]) -> None:
    """Print what DICOM files are."""
    for file in data["files"]:
        title = f"{file['file']}: {file['modality']} {file['description']}".strip()
        show(title, f"  read as {file['read_as']}")
        if "grid" in file:
            show(*(f"  {fact}" for fact in _dose(file)))
        if "structures" in file:
            show(_structures(file["structures"]))
            show(*(f"note: {each['name']}: {note}" for each in file["structures"] for note in each["notes"]))
        if "fraction_groups" in file:
            show(*(f"  {fact}" for fact in _plan(file)))


def masks(data: Mapping[str, Any]) -> None:
    """Print which masks were written, with volumes to compare with the planning system's."""
    table = Table("structure", "type", "structure / cm3", "on the grid / cm3", "binary / cm3", title_justify="left")
    for mask in data["masks"]:
        volumes = (f"{mask[name]:.4g}" for name in ("volume_cm3", "on_grid_cm3", "binary_cm3"))
        table.add_row(mask["name"], mask["type"], *volumes)
    show(f"{data['output']}", table)
    show(*(f"skipped: {each['name']}: {each['reason']}" for each in data["skipped"]))
    show(*(f"note: {mask['name']}: {note}" for mask in data["masks"] for note in mask["notes"]))


def image(data: Mapping[str, Any]) -> None:
    """Print what an image holds."""
    unit = "" if data["unit"] == "1" else f" {data['unit']}"
    show(f"{data['output']}: {data['quantity']}, {_grid(data['grid'])}, largest value {data['maximum']:.5g}{unit}")
    show(*(f"note: {note}" for note in data["notes"]))


def _grid(grid: Mapping[str, Any]) -> str:
    shape, spacing = (" x ".join(f"{n:g}" for n in grid[key]) for key in ("shape", "spacing_mm"))
    return f"{shape} voxels of {spacing} mm"


def _dose(file: Mapping[str, Any]) -> list[str]:
    beams = ", ".join(str(number) for number in file["beam_numbers"])
    return [
        f"{_grid(file['grid'])}, first voxel at ({', '.join(f'{x:g}' for x in file['grid']['origin_mm'])}) mm (LPS)",
        f"DoseType {file['dose_type'] or 'absent'}, DoseUnits {file['units'] or 'absent'}, "
        f"summed over {file['summation_type'] or 'nothing said'}{' ' + beams if beams else ''}",
        f"largest value {file['maximum']:.5g} {file['units'] or ''}".rstrip(),
        *([f"comment: {file['comment']}"] if file["comment"] else []),
    ]


def _structures(structures: list[Mapping[str, Any]]) -> Table:
    table = Table("structure", "number", "type", "contours", "volume / cm3", title_justify="left")
    for each in structures:
        volume = "-" if each["volume_cm3"] is None else f"{each['volume_cm3']:.4g}"
        table.add_row(each["name"], str(each["number"]), each["type"], str(each["contours"]), volume)
    return table


def _plan(file: Mapping[str, Any]) -> list[str]:
    groups = [
        f"{group['fractions']} fraction(s), beam doses "
        + ", ".join(f"{n}: {'-' if dose is None else f'{dose:g} Gy'}" for n, dose in group["beam_doses_gy"].items())
        for group in file["fraction_groups"]
    ]
    references = [
        f"{each['type']} {each['description']}: " + ", ".join(f"{k} {v} Gy" for k, v in each["doses_gy"].items())
        for each in file["dose_references"]
    ]
    beams = [
        f"beam {beam['number']} {beam['name']}: {beam['radiation']}, gantry {beam['gantry_angle_deg']} deg, couch "
        f"{beam['couch_angle_deg']} deg, {beam['energy_mev_u'] or 'no'} MeV/u"
        for beam in file["beams"]
    ]
    return [f"plan {file['label']} ({file['approval'] or 'approval not said'})", *groups, *references, *beams]
