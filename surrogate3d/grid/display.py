"""How volumes and fields show themselves in a notebook: tables and three slices as HTML, without a plotting library."""

from __future__ import annotations

import base64
import re
import struct
import zlib
from collections.abc import Iterable, Sequence
from html import escape

import numpy as np
import numpy.typing as npt

from surrogate3d.grid.colours import NO_VALUE, coloured
from surrogate3d.grid.geometry import Grid
from surrogate3d.grid.quantity import Quantity

LONGEST_PX = 220
"""The longer side of a slice on the screen; of larger slices every n-th voxel is shown."""

_AXES = "xyz"


def printed_unit(unit: str) -> str:
    """A unit of `Quantity` as it is printed: keV/um with its Greek letter, squares as superscripts."""
    unit = re.sub(r"\bum\b", "\N{MICRO SIGN}m", unit)
    return unit.replace("^2", "\N{SUPERSCRIPT TWO}").replace("cm3", "cm\N{SUPERSCRIPT THREE}")


def shape_text(shape: Sequence[float]) -> str:
    """Such as 20 x 20 x 64, with the sign of multiplication."""
    return " \N{MULTIPLICATION SIGN} ".join(f"{n:.6g}" for n in shape)


def png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """An image as PNG (ISO/IEC 15948), 8 bits a colour.

    Args:
        pixels: (row, column, 3) red, green, blue; the first row is the upper.
    """
    height, width, _ = pixels.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, 3 * width)], axis=1)  # filter 0
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows.tobytes(), 9)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    )


def facts_html(facts: Iterable[tuple[str, str]]) -> str:
    """A table of names and values, both escaped."""
    rows = (
        f'<tr><th style="text-align:left">{escape(name)}</th><td style="text-align:left">{escape(value)}</td></tr>'
        for name, value in facts
    )
    return f"<table>{''.join(rows)}</table>"


def volumes_html(rows: Iterable[tuple[str, Quantity, str]]) -> str:
    """A table of volumes.

    Args:
        rows: name, quantity, and what is said of the values, such as their range.
    """
    cells = [
        [f"<code>{escape(name)}</code>", symbol_html(meaning)]
        + [f'<span style="white-space:nowrap">{escape(printed_unit(meaning.unit))}</span>']
        + [escape(words) for words in (values, meaning.definition)]
        for name, meaning, values in rows
    ]
    body = "".join("<tr>" + "".join(f'<td style="text-align:left">{c}</td>' for c in row) + "</tr>" for row in cells)
    heads = ("name", "symbol", "unit", "values", "definition")
    head = "".join(f'<th style="text-align:left" scope="col">{name}</th>' for name in heads)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def symbol_html(quantity: Quantity) -> str:
    """A symbol with its subscripts: D_w becomes D<sub>w</sub>."""
    return re.sub(r"_(\w+)", r"<sub>\1</sub>", escape(quantity.symbol))


def values_text(values: npt.NDArray[np.floating]) -> str:
    """Range of the finite values, and how many there are not."""
    finite = values[np.isfinite(values)]
    span = f"{finite.min():.4g} to {finite.max():.4g}" if finite.size else "no finite value"
    missing = values.size - finite.size
    return f"{span}; {missing:,} of {values.size:,} voxels without a value" if missing else span


def grid_facts(grid: Grid) -> list[tuple[str, str]]:
    """Shape, spacing, origin and, where it is turned, the direction of a grid."""
    facts = [
        ("voxels", shape_text(grid.shape)),
        ("spacing", f"{shape_text(grid.spacing_mm)} mm"),
        ("first voxel's centre", ", ".join(f"{x:.6g}" for x in grid.origin_mm) + " mm (LPS)"),
    ]
    if not np.allclose(grid.direction, np.eye(3), atol=1e-6):
        facts.append(("direction (columns are i, j, k)", str([[round(c, 6) for c in row] for row in grid.direction])))
    return facts


def volume_html(grid: Grid, values: npt.NDArray[np.floating], quantity: Quantity) -> str:
    """What a volume is, and three slices through its middle."""
    unit = printed_unit(quantity.unit)
    facts = [("quantity", quantity.definition), ("unit", unit), ("values", values_text(values)), *grid_facts(grid)]
    heading = f"<strong>{symbol_html(quantity)}</strong> <code>{escape(quantity.name)}</code>"
    return f"<div>{heading}{facts_html(facts)}{slices_html(grid, values, quantity)}</div>"


def slices_html(grid: Grid, values: npt.NDArray[np.floating], quantity: Quantity) -> str:
    """Three slices through the middle of a volume on one scale, in mm; grey is no value."""
    finite = values[np.isfinite(values)]
    window = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    scale = LONGEST_PX / max(n * s for n, s in zip(grid.shape, grid.spacing_mm, strict=True))
    figures = "".join(_slice_html(grid, values, quantity, axis, window, scale) for axis in (2, 1, 0))
    ends = f"{window[0]:.4g} (dark) to {window[1]:.4g} {escape(printed_unit(quantity.unit))} (bright)"
    grey = f'<span style="background:rgb{NO_VALUE};padding:0 .6em;margin-left:.6em"></span> no value'
    return (
        f'<div style="display:flex;gap:1em;align-items:end;flex-wrap:wrap">{figures}</div><small>{ends}{grey}</small>'
    )


def _slice_html(
    grid: Grid,
    values: npt.NDArray[np.floating],
    quantity: Quantity,
    axis: int,
    window: tuple[float, float],
    scale: float,
) -> str:
    across, up = (a for a in range(3) if a != axis)
    middle = grid.shape[axis] // 2
    section = np.take(values, middle, axis=axis).T[::-1]  # up the page goes the later axis
    every = max(1, -(-max(section.shape) // (2 * LONGEST_PX)))
    picture = base64.b64encode(png(coloured(section[::every, ::every], window))).decode()
    width, height = (max(1, round(scale * grid.shape[a] * grid.spacing_mm[a])) for a in (across, up))
    words = f"{'ijk'[axis]} = {middle}: {_AXES[across]} to the right, {_AXES[up]} upwards"
    if every > 1:
        words += f"; one voxel of {every} along each axis"
    alt = escape(f"slice of {quantity.symbol}, {words}", quote=True)
    style = f"width:{width}px;height:{height}px;image-rendering:pixelated;max-width:none"
    image = f'<img alt="{alt}" style="{style}" src="data:image/png;base64,{picture}">'
    return f'<figure style="margin:0">{image}<figcaption><small>{escape(words)}</small></figcaption></figure>'
