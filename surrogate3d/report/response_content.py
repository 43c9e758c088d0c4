"""What a report on the response of lesions says, as plain data: no files, no plotting."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from surrogate3d.errors import GridMismatchError, ValueRangeError
from surrogate3d.grid.volume import Volume
from surrogate3d.report.content import BoolArray, FloatArray


@dataclass(frozen=True)
class Interval:
    """A number with the ends of its interval; NaN where it is not known."""

    value: float = math.nan
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class Approach:
    """One way to predict the response, on lesions that were held out.

    Attributes:
        name: for people.
        AUC: of responders against the others.
        accuracy: share of lesions told rightly.
        excess_ECE: expected calibration error less that of a perfect model at this number of lesions.
        AUC_below_network: AUC of the network less that of this approach, on the same lesions; NaN for the network.
    """

    name: str
    AUC: Interval
    accuracy: Interval = field(default_factory=Interval)
    excess_ECE: Interval = field(default_factory=Interval)
    AUC_below_network: Interval = field(default_factory=Interval)


@dataclass(frozen=True)
class MapMethod:
    """How well one kind of map finds the planted regions of held-out lesions.

    Attributes:
        name: for people.
        pointing: share of lesions whose largest value lies in the region.
        dice: of the lesion's voxels above the threshold.
        dice_anywhere: of all voxels of the cube above the threshold.
        auroc: of the lesion's voxels.
    """

    name: str
    pointing: Interval
    dice: Interval = field(default_factory=Interval)
    dice_anywhere: Interval = field(default_factory=Interval)
    auroc: Interval = field(default_factory=Interval)


@dataclass(frozen=True, eq=False)
class LesionPage:
    """What is shown of one lesion; all arrays are on the grid of its image.

    Attributes:
        name: of patient and lesion, unique in the report.
        responded: 1 or 0; NaN where it is not known.
        probability: of response.
        spread: standard deviation of the log odds between the members of the ensemble; NaN where it is not known.
        image: before treatment.
        mask: (i, j, k) the lesion.
        resistance: (i, j, k) what a voxel adds to the log odds of no response; NaN outside the cube.
        region: (i, j, k) the response-related region, in the lesion; may be empty.
        truth: (i, j, k) the planted region; None where nobody knows.
        delivered: by quantity (dose, D_RBE, LET_d), carried to the image's grid; NaN where it is not known.
        delivered_numbers: of `response.delivered.Delivered.to_json`; empty without a dose.
        boost: what is suggested, in words.
        boost_region: (i, j, k) the same as voxels of the lesion; None where none was written.

    Raises:
        GridMismatchError: something is not on the image's grid.
        ValueRangeError: no probability, an empty lesion, a map without any value there, or a region that leaves it.
    """

    name: str
    responded: float
    probability: float
    spread: float
    image: Volume
    mask: BoolArray
    resistance: FloatArray
    region: BoolArray
    truth: BoolArray | None = None
    delivered: Mapping[str, Volume] = field(default_factory=dict)
    delivered_numbers: Mapping[str, Any] = field(default_factory=dict)
    boost: str = ""
    boost_region: BoolArray | None = None

    def __post_init__(self) -> None:
        shape = self.image.grid.shape
        arrays: dict[str, FloatArray | BoolArray | None] = {
            "mask": self.mask,
            "resistance": self.resistance,
            "region": self.region,
            "truth": self.truth,
            "boost": self.boost_region,
        }
        for what, values in arrays.items():
            if values is not None and values.shape != shape:
                raise GridMismatchError(f"{self.name}: {what} has shape {values.shape}, the image {shape}")
        for what, volume in self.delivered.items():
            self.image.grid.require_same(volume.grid, f"{self.name}, {what}")
        if not 0 <= self.probability <= 1:
            raise ValueRangeError(f"{self.name}: a probability lies in 0 to 1, found {self.probability:g}")
        if not np.isfinite(self.resistance[self.mask]).any():
            raise ValueRangeError(f"{self.name}: the map has no value in the lesion; it belongs to another place")
        for what, voxels in (("region", self.region), ("boost", self.boost_region)):
            if voxels is not None and (voxels & ~self.mask).any():
                raise ValueRangeError(f"{self.name}: the {what} leaves the lesion; cut it to the lesion")

    @property
    def focus(self) -> tuple[int, int, int]:
        """Voxel of the lesion with the largest resistance."""
        inside = np.where(self.mask & np.isfinite(self.resistance), self.resistance, -np.inf)
        i, j, k = np.unravel_index(int(inside.argmax()), inside.shape)
        return int(i), int(j), int(k)

    @property
    def between(self) -> tuple[float, float]:
        """Probabilities one `spread` of the log odds below and above; NaN where the spread is not known."""
        with np.errstate(divide="ignore"):
            odds = float(np.log(self.probability) - np.log1p(-self.probability))
        low, high = (float(1 / (1 + np.exp(-(odds + side * self.spread)))) for side in (-1, 1))
        return low, high

    def volume_cm3(self, voxels: BoolArray) -> float:
        """Volume of some voxels of the image."""
        return float(voxels.sum()) * self.image.grid.voxel_volume_mm3 / 1000


@dataclass(frozen=True, eq=False)
class ResponseReport:
    """Everything that the report shows.

    Attributes:
        title: headline.
        facts: names with what is to be said, in reading order: cohort, model, folds, threshold, photon parameters.
        methods: the approaches, the network first; empty where nothing was judged.
        localisation: kinds of maps, that of the pictures first; empty where no planted region is known.
        lesions: in the order of the cohort.
        notes: further sentences: what was left out, and why.
        provenance: plain nested data.
        map_name: which map the pictures show, in words.
        intervals: what the intervals of the tables are, in words.

    Raises:
        ValueRangeError: two lesions of one name.
    """

    title: str
    facts: tuple[tuple[str, str], ...] = ()
    methods: tuple[Approach, ...] = ()
    localisation: tuple[MapMethod, ...] = ()
    lesions: tuple[LesionPage, ...] = ()
    notes: tuple[str, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    map_name: str = "HiResCAM, mean of the ensemble"
    intervals: str = "95 % intervals from a bootstrap of whole patients"

    def __post_init__(self) -> None:
        names = [each.name for each in self.lesions]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueRangeError(f"{twice[0]} is in the report twice; lesions need names of their own")
