"""Layers of a scene from quantities and values, in memory or on disk: their group, colours and first window."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.grid import Quantity
from surrogate3d.inference.maps import Fractionation
from surrogate3d.viewer.scene import Layer, Sliceable
from surrogate3d.viewer.windows import known_values, window_of

MASKS = ("mask", "out_of_domain", "outside", "spectrum_fault")
UNCERTAINTIES = ("RBE_std", "RBE_half_width", "RBE_se", "dose_std")
INPUTS = ("dose_to_water", "dose_to_medium", "LET_d", "LET_t", "LET_d_spectra", "LET_t_spectra", "tracks")
IMAGES = ("HU", "density", "image_signal")
_CIVIDIS = ("LET_d", "LET_t", "LET_d_spectra", "LET_t_spectra", "RBE_std", "RBE_half_width", "RBE_se", "dose_std")


@dataclass(frozen=True, eq=False)
class Computed:
    """Values that are computed from others when they are looked at.

    Attributes:
        sources: (i, j, k) values, all of one shape.
        make: makes values of boxes of the sources.
    """

    sources: tuple[Sliceable, ...]
    make: Callable[..., npt.NDArray[Any]]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the sources."""
        return tuple(self.sources[0].shape)

    @property
    def chunks(self) -> tuple[int, ...]:
        """Of the first source that has chunks."""
        found = (getattr(source, "chunks", None) for source in self.sources)
        return next((tuple(chunks) for chunks in found if chunks), (1, 1, 1))

    def __getitem__(self, part: Any) -> npt.NDArray[np.float32]:
        return np.asarray(self.make(*(np.asarray(source[part]) for source in self.sources)), dtype=np.float32)


def layer_of(meaning: Quantity, values: Sliceable, **said: Any) -> Layer:
    """A layer of a quantity.

    Args:
        meaning: of the values.
        values: (i, j, k).
        said: attributes of the layer in place of those that follow from the quantity, such as `name` and `title`.
    """
    if isinstance(values, np.ndarray) and np.isinf(values).any():
        values = np.where(np.isinf(values), np.nan, values)  # no colour and no code stands for it
    known, name = known_values(values), meaning.name
    ends = (float(known.min()), float(known.max())) if known.size else None
    mask = name in MASKS
    found: dict[str, Any] = {
        "name": name,
        "title": _title(meaning),
        "symbol": meaning.symbol,
        "unit": meaning.unit,
        "definition": meaning.definition,
        "group": group_of(name),
        "colours": _colours(name),
        "window": (0.0, 1.0) if mask else window_of(known, from_zero=meaning.unit.startswith("Gy")),
        "range": ends,
    }
    return Layer(values=values, **found | said)


def stated(meaning: Quantity, line: str, how: Fractionation, by: str = "") -> Quantity:
    """A quantity with the cell line and the fractionation that its values stand under; `by` says how they were made."""
    symbol = f"RBE({how.fraction_dose_gy:g} Gy)" if meaning.name == "RBE_ref" else meaning.symbol
    under = f"{line}, {how.fractions} x {how.fraction_dose_gy:g} Gy"
    return replace(meaning, symbol=symbol, definition=f"{meaning.definition}; {under}{by}")


def group_of(name: str) -> str:
    """The group of a quantity's layer."""
    groups = {"mask": MASKS, "uncertainty": UNCERTAINTIES, "input": INPUTS, "image": IMAGES}
    return next((group for group, names in groups.items() if name in names), "predicted")


def _colours(name: str) -> str:
    if name in MASKS:
        return "mask"
    return "grey" if name in IMAGES else "cividis" if name in _CIVIDIS else "viridis"


def _title(meaning: Quantity) -> str:
    words: Mapping[str, str] = {
        "dose_to_water": "Dose to water",
        "dose_to_medium": "Dose to medium",
        "dose_std": "Standard error of the dose",
        "RBE_ref": "RBE at the fraction dose",
        "RBE": "RBE at its own dose",
        "D_RBE": "RBE-weighted dose",
        "survival": "Survival",
        "effect": "Effect",
        "RBE_std": "Standard deviation of RBE",
        "tracks": "Tracks",
        "explained": "Dose that the spectra explain",
        "explained_corrected": "Dose that they explain, by LET along steps",
        "spectrum_fault": "Fault of the spectrum",
        "mask": "Answered",
        "out_of_domain": "Out of domain",
        "RBE_half_width": "Interval of RBE (90 %)",
        "HU": "CT",
    }
    return words.get(meaning.name, meaning.symbol)
