"""Range of the values of a map, gathered piece by piece."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from surrogate3d.grid import Quantity


class MapRange(NamedTuple):
    """What is known of the values so far.

    Attributes:
        minimum: of the finite values; None where there are none.
        maximum: of the finite values; None where there are none.
        n_nan: how many are NaN.
        n_infinite: how many are infinite.
        whole: all finite values are whole numbers.
    """

    minimum: float | None = None
    maximum: float | None = None
    n_nan: int = 0
    n_infinite: int = 0
    whole: bool = True

    @staticmethod
    def of(values: npt.NDArray[np.floating]) -> MapRange:
        """Of some values."""
        n_nan = int(np.count_nonzero(np.isnan(values)))
        if n_nan == values.size:
            return MapRange(n_nan=n_nan)
        # fmin and fmax pass over NaN, several times faster than a selection of the finite values.
        low, high, n_infinite = np.fmin.reduce(values, axis=None), np.fmax.reduce(values, axis=None), 0
        if np.isinf(low) or np.isinf(high):
            n_infinite = int(np.count_nonzero(np.isinf(values)))
            finite = values[np.isfinite(values)]
            if not finite.size:
                return MapRange(n_nan=n_nan, n_infinite=n_infinite)
            low, high = finite.min(), finite.max()
        return MapRange(float(low), float(high), n_nan, n_infinite, _whole(values))

    @staticmethod
    def joint(parts: Iterable[MapRange]) -> MapRange:
        """Of the values of all parts."""
        known = tuple(parts)
        return MapRange(
            min((part.minimum for part in known if part.minimum is not None), default=None),
            max((part.maximum for part in known if part.maximum is not None), default=None),
            sum(part.n_nan for part in known),
            sum(part.n_infinite for part in known),
            all(part.whole for part in known),
        )

    def summary(self, quantity: Quantity) -> dict[str, Any]:
        """As it stands in `maps.json`, like `field_store.summarise`."""
        return {
            "symbol": quantity.symbol,
            "unit": quantity.unit,
            "definition": quantity.definition,
            "minimum": self.minimum,
            "maximum": self.maximum,
            "n_nan": self.n_nan,
        }


def _whole(values: npt.NDArray[np.floating]) -> bool:
    """Whether all finite values are whole; most maps show in their first plane that they are not."""
    return all(bool(((plane == np.rint(plane)) | ~np.isfinite(plane)).all()) for plane in values)
