"""`combine`, `resample` and `crop`: from field stores to a field store."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from surrogate3d.cli.console import answer, show, warn, working
from surrogate3d.cli.options import Json, Overwrite, words
from surrogate3d.cli.prescription import box_of

Output = Annotated[Path, typer.Option("-o", "--output", metavar="FIELD", help="The store: NAME.field.zarr.")]
One = Annotated[Path, typer.Argument(metavar="FIELD", help="A field store (*.field.zarr).")]
Like = Annotated[
    Path | None, typer.Option(metavar="PATH", help="On whose grid: a field store, an image, an RTDOSE or a CT folder.")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    example = "Example: surrogate3d combine left.field.zarr right.field.zarr --weights 1,1 --times 0:60,120:60 "
    app.command(epilog=example + "-o plan.field.zarr")(combine)
    app.command(epilog="Example: surrogate3d resample plan.field.zarr --spacing 2,2,2 -o fine.field.zarr")(resample)
    app.command(epilog="Example: surrogate3d crop plan.field.zarr --above 0.05 --margin-mm 10 -o small.field.zarr")(
        crop
    )


def combine(
    fields: Annotated[list[Path], typer.Argument(metavar="FIELD...", help="Field stores, one for each beam.")],
    output: Output,
    weights: Annotated[
        str | None, typer.Option(metavar="W,W", help="Factor on the dose of each; 1 if all are prescribed.")
    ] = None,
    names: Annotated[str | None, typer.Option(metavar="A,B", help="Names of the beams; else of the stores.")] = None,
    times: Annotated[
        str | None, typer.Option(metavar="T:D,T:D", help="Start and duration of the delivery of each, in s.")
    ] = None,
    like: Like = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Add the fields of one plan: dose in Gy and fluence in 1/mm^2 add, LET in keV/um is averaged by dose or fluence.

    RBE maps do not add: combine first, then predict.
    """
    from surrogate3d.pipeline.fields import combine_stores as run

    factors = [_number(word) for word in words(weights)] if weights else None
    delivered = [_time(word) for word in words(times)] if times else None
    beams = words(names) if names else None
    with working("combining"):
        found = run(fields, output, weights=factors, names=beams, times=delivered, like=like, overwrite=overwrite)
    answer("combine", {"output": output, **found}, as_json, _show_combined)
    _warn(found)


def resample(
    field: One,
    output: Output,
    spacing: Annotated[str | None, typer.Option(metavar="X,Y,Z", help="Voxel size in mm along i, j, k.")] = None,
    like: Like = None,
    outside: Annotated[
        Literal["refuse", "nan", "zero"],
        typer.Option(help="What the dose is where the field was not scored: not known (nan) or none (zero)."),
    ] = "refuse",
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Carry a field to another grid; integrals of dose and fluence are kept, LET is averaged by dose or fluence."""
    from surrogate3d.pipeline.fields import resample_store as run

    size = _spacing(spacing) if spacing else None
    with working("resampling"):
        found = run(field, output, spacing_mm=size, like=like, outside=outside, overwrite=overwrite)
    answer("resample", {"output": output, **found}, as_json, _show_changed)
    _warn(found)


def crop(
    field: One,
    output: Output,
    box: Annotated[
        str | None, typer.Option(metavar="BOX", help="In voxels i0:i1,j0:j1,k0:k1, ends not included.")
    ] = None,
    above: Annotated[
        float | None, typer.Option(metavar="FRACTION", help="Or all voxels with this fraction of the largest dose.")
    ] = None,
    margin_mm: Annotated[float, typer.Option(metavar="MM", help="Margin around these voxels.")] = 0.0,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Cut a box out of a field, exactly."""
    from surrogate3d.pipeline.fields import crop_store as run

    chosen = box_of(box) if box else None
    with working("cropping"):
        found = run(field, output, box=chosen, above=above, margin_mm=margin_mm, overwrite=overwrite)
    answer("crop", {"output": output, **found}, as_json, _show_changed)


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise typer.BadParameter(f"expected a number, found {word!r}") from None


def _time(word: str) -> tuple[float, float]:
    start, colon, duration = word.partition(":")
    if not colon:
        raise typer.BadParameter(f"expected start:duration in s such as 120:60, found {word!r}")
    return _number(start), _number(duration)


def _spacing(text: str) -> tuple[float, float, float]:
    found = [_number(word) for word in words(text)]
    if len(found) != 3:
        raise typer.BadParameter(f"expected three lengths in mm such as 2,2,2, found {text!r}")
    return found[0], found[1], found[2]


def _show_combined(data: Mapping[str, Any]) -> None:
    for part in data["parts"]:
        lost = f"{100 * part['lost']:.3g} % of its dose lost, {100 * part['border']:.3g} % at its border"
        show(f"{part['name']} x {part['weight']:g}: {_kept(part)}; {lost}")
    _show_result(data)


def _show_changed(data: Mapping[str, Any]) -> None:
    show(f"{data['from']['name']}: {_size(data['from']['grid'])}; {_kept(data['from'])}")
    _show_result(data)


def _show_result(data: Mapping[str, Any]) -> None:
    show(f"{data['output']}: {_size(data['grid'])}; {_kept(data)}")
    for remark in data["remarks"]:
        show(f"note: {remark}")


def _size(grid: Mapping[str, Any]) -> str:
    shape, spacing = (" x ".join(f"{n:g}" for n in grid[key]) for key in ("shape", "spacing_mm"))
    return f"{shape} voxels of {spacing} mm"


def _kept(part: Mapping[str, Any]) -> str:
    LET = part["LET_d_kev_um"]
    bounds = f", LET_d {LET[0]:.3g} to {LET[1]:.3g} keV/um" if LET else ""
    return f"dose integral {part['dose_integral_gy_mm3']:.6g} Gy mm^3{bounds}"


def _warn(found: Mapping[str, Any]) -> None:
    if found["several_directions"]:
        warn("beams come from several directions; the network knows single beams, so the table answers everywhere")
