"""Colour maps for slices, legible with any colour vision: 256 colours each, without a plotting library.

viridis is by S. van der Walt, N. Smith and E. Firing (2015, CC0); cividis by J. R. Nunez, C. R. Anderton and
R. S. Renslow (PLoS ONE 13, e0199239, 2018, doi:10.1371/journal.pone.0199239). A few anchors with straight lines between
them meet the published tables within 2 of 255. `balance` is this project's: blue, white, orange, with equal lightness
(CIE L*) at equal distance from its middle, so that the hue alone tells the sign and the lightness the size.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import UnknownNameError

NO_VALUE = (207, 205, 198)
"""Red, green, blue of a voxel without a value."""

ISODOSE = ("#d1130f", "#e8a400", "#0b7d3e", "#1259a3", "#6a6a6a")
"""Colours of isodoses, from the highest down; lines differ by dashes too."""

STRUCTURES = ("#bf4a06", "#00776a", "#7c4aa5", "#8c6900", "#ab2f5d", "#3f7d20", "#49607a", "#1259a3")
"""Colours of structures, in their order; used again from the first where there are more."""

_ANCHORS = {  # index and colour, two hexadecimal digits each: iirrggbb
    "viridis": "00440154 17482172 28453681 403a528b 6f26808e 8a1e998a 9620a585 a42cb17d b649c16d ca74d054 ebcae01e"
    " f2dce218 f9eee51b fffde724",
    "cividis": "0000224d 14003070 17003170 1d14366f 2b2b3f6d 474a536b 6f6e6f72 85817f78 a5a09775 c8c4b468 e0dec957"
    " f3f3da42 fcfde333 fffde737",
    "balance": "001b53a2 102566bb 20357ad0 304b8fe1 4065a4ed 5084baf5 60a6cef9 70cce2f9 7ff3f3f3 80f3f3f3 8ff4dbc6"
    " 9ff0c19b afeaa774 bfe08d52 cfd37532 dfc15e13 efad4900 ff953600",
    "grey": "00000000 ffffffff",
}

PALETTES = tuple(_ANCHORS)


@cache
def palette(name: str) -> npt.NDArray[np.uint8]:
    """A colour map, dark to light; `balance` from blue (negative) over white to orange (positive).

    Args:
        name: one of `PALETTES`.

    Returns:
        (256, 3) red, green, blue of sRGB. Read only, as it is shared.

    Raises:
        UnknownNameError: no such colour map.
    """
    if name not in _ANCHORS:
        raise UnknownNameError(f"unknown colour map {name!r}; known: {', '.join(PALETTES)}")
    anchors = np.array([list(bytes.fromhex(anchor)) for anchor in _ANCHORS[name].split()])
    channels = [np.interp(np.arange(256), anchors[:, 0], anchors[:, channel]) for channel in (1, 2, 3)]
    table: npt.NDArray[np.uint8] = np.rint(np.stack(channels, axis=1)).astype(np.uint8)
    table.setflags(write=False)
    return table


def coloured(
    values: npt.NDArray[np.floating], window: tuple[float, float], name: str = "viridis"
) -> npt.NDArray[np.uint8]:
    """Values as colours; beyond the window the end colours, NaN as `NO_VALUE`.

    Args:
        values: any shape.
        window: value of the first and of the last colour; equal ends give the middle colour.
        name: one of `PALETTES`.

    Returns:
        (..., 3) red, green, blue.

    Raises:
        UnknownNameError: no such colour map.
    """
    low, high = window
    share = (np.asarray(values, dtype=float) - low) / (high - low) if high > low else np.full(values.shape, 0.5)
    known = ~np.isnan(values)
    index = np.clip(np.where(known, share, 0.0) * 255 + 0.5, 0, 255).astype(np.uint8)
    return np.asarray(np.where(known[..., None], palette(name)[index], np.array(NO_VALUE, dtype=np.uint8)))
