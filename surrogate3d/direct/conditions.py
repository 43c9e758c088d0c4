"""Under what conditions the cells of a voxel are irradiated: how much oxygen they have, and when the dose comes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from surrogate3d.errors import UnusableError, ValueRangeError
from surrogate3d.physics.protraction import Exposures, exposures


@dataclass(frozen=True)
class Conditions:
    """Conditions of one voxel; the defaults are those of a cell line's calibration: full oxygen, acute delivery.

    Attributes:
        pO2_mmHg: oxygen pressure at the cells, mmHg; None for that of the calibration.
        start_h: (exposure,) when each exposure begins, h; empty for acute delivery.
        duration_h: (exposure,) how long each takes, h; 0 is an instant.
        dose_share: (exposure,) share of the voxel's dose that each brings.

    Raises:
        ValueRangeError: a negative or NaN pressure; times that are not finite, negative durations, or shares that are
            negative or do not add up to 1.
    """

    pO2_mmHg: float | None = None
    start_h: tuple[float, ...] = ()
    duration_h: tuple[float, ...] = ()
    dose_share: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.pO2_mmHg is not None:
            object.__setattr__(self, "pO2_mmHg", float(self.pO2_mmHg))  # plain data, whatever a map held
        if self.pO2_mmHg is not None and not self.pO2_mmHg >= 0:
            raise ValueRangeError(f"an oxygen pressure is >= 0 mmHg, found {self.pO2_mmHg}")
        if len({len(self.start_h), len(self.duration_h), len(self.dose_share)}) > 1:
            raise ValueRangeError(f"exposures need a start, a duration and a share of the dose each, found {self}")
        if self.start_h:
            exposures(self.start_h, self.duration_h)
            if min(self.dose_share) < 0 or abs(sum(self.dose_share) - 1) > 1e-6:
                raise ValueRangeError(f"shares of the dose are >= 0 and add up to 1, found {self.dose_share}")

    @property
    def in_time(self) -> bool:
        """Whether delivery is not acute."""
        return bool(self.start_h)

    @property
    def when(self) -> Exposures:
        """The exposures; an instant when delivery is acute."""
        return exposures(np.array(self.start_h or (0.0,)), np.array(self.duration_h or (0.0,)))

    def settings(self) -> dict[str, Any]:
        """What decides a response, as plain data; empty for the conditions of the calibration."""
        default = asdict(ACUTE)
        return {name: value for name, value in asdict(self).items() if value != default[name]}

    @property
    def label(self) -> str:
        """What a response's `backend` says of them; empty for the conditions of the calibration."""
        words = [word for word, there in (("oxygen", self.pO2_mmHg is not None), ("in time", self.in_time)) if there]
        return f" ({', '.join(words)})" if words else ""


ACUTE = Conditions()
"""Those of a cell line's calibration."""


def require_known(
    where: str, conditions: Conditions, backend: str, *, oxygen: bool = False, time: bool = False
) -> None:
    """Refuse conditions that a back end cannot follow.

    Args:
        where: which voxel.
        conditions: of it.
        backend: name of the back end.
        oxygen: whether it follows oxygen pressures.
        time: whether it follows delivery in time.

    Raises:
        UnusableError: it cannot.
    """
    if conditions.pO2_mmHg is not None and not oxygen:
        raise UnusableError(f"{where}: {backend} does not know of oxygen; use gsm2_mc, gsm2_fft or osmk")
    if conditions.in_time and not time:
        others = "gsm2_mc, zr_table, mkm, lem1 or a LET model"
        raise UnusableError(f"{where}: {backend} is for acute delivery; for times use {others}")
