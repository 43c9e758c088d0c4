"""Colour tables of the viewer, as a page carries them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from surrogate3d.grid.colours import palette

MASK = "mask"
_FROM, _TO = (232, 232, 232), (196, 90, 0)  # light grey for 0 to a dark orange for 1, told apart by lightness alone

PALETTES = ("viridis", "cividis", "balance", "grey", MASK)
"""Names of colour tables; balance is diverging, mask is for 0 and 1."""


def palettes(names: Iterable[str]) -> dict[str, list[list[int]]]:
    """Tables by name, each of 256 colours [red, green, blue] of 0 to 255.

    Raises:
        UnknownNameError: there is no such table.
    """
    ramp = np.linspace(_FROM, _TO, 256).round().astype(int).tolist()
    return {name: ramp if name == MASK else palette(name).tolist() for name in names}
