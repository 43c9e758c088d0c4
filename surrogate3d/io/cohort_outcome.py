"""What became of a lesion: its change of volume from masks or stated volumes, and whether all that is stated agrees."""

from __future__ import annotations

import math

from surrogate3d.errors import ValueRangeError
from surrogate3d.io.cohort_table import Entry

AGREEMENT = 0.02
"""Volumes may differ by this part of the larger one, and changes of volume by this much."""


def volume_change(entry: Entry, before_mm3: float, after_mm3: float, shrinkage: float) -> float:
    """Relative change of volume; NaN where there is no follow-up.

    Masks come before stated volumes, and those before a stated change.

    Args:
        entry: the row of the lesion.
        before_mm3: volume of its mask.
        after_mm3: volume of its mask at follow-up; NaN where there is none.
        shrinkage: part of its volume beyond which a lesion that shrank counts as a responder.

    Raises:
        ValueRangeError: two of these contradict each other: mask and stated volume, computed and stated change,
            change and stated outcome.
    """
    stated, stated_after = entry.numbers["volume_mm3"], entry.numbers["follow_up_volume_mm3"]
    _require_volume(entry, "volume_mm3", stated, before_mm3)
    _require_volume(entry, "follow_up_volume_mm3", stated_after, after_mm3)
    if math.isnan(after_mm3):
        # Both of one convention: planning systems differ in what they count of a voxel at the edge.
        before_mm3, after_mm3 = (before_mm3 if math.isnan(stated) else stated), stated_after
    computed, told = after_mm3 / before_mm3 - 1, entry.numbers["volume_change"]
    if abs(computed - told) > AGREEMENT:
        raise ValueRangeError(
            f"{entry.place}: volume_change is {told:g}, but {after_mm3:.5g} after {before_mm3:.5g} mm^3 are "
            f"{computed:+.4f}; correct one, or leave the column out"
        )
    change = told if math.isnan(computed) else computed
    _require_outcome(entry, change, shrinkage)
    return change


def _require_volume(entry: Entry, column: str, stated: float, measured: float) -> None:
    if abs(stated - measured) > AGREEMENT * max(stated, measured):
        raise ValueRangeError(
            f"{entry.place}: {column} is {stated:.5g}, but its mask has {measured:.5g} mm^3; more than "
            f"{100 * AGREEMENT:g} % apart is another lesion or another unit; correct one, or leave the column out"
        )


def _require_outcome(entry: Entry, change: float, shrinkage: float) -> None:
    if math.isnan(change) or math.isnan(entry.outcome) or (change < -shrinkage) == bool(entry.outcome):
        return
    raise ValueRangeError(
        f"{entry.place}: outcome is {entry.outcome:g}, but a volume change of {change:+.4f} is "
        f"{'a' if change < -shrinkage else 'no'} response at a shrinkage of {shrinkage:g}; correct one, or leave "
        "the outcome out"
    )
