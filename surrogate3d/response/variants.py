"""Kinds of synthetic cohorts: the default, harder ones, and one in which first-order intensities are enough."""

from __future__ import annotations

from dataclasses import dataclass, replace

from surrogate3d.errors import UnknownNameError


@dataclass(frozen=True)
class Variant:
    """What a cohort looks like and how much its planted subregions matter. Signals are over that of normal brain.

    Attributes:
        darkening: mean signal that resistant tissue lacks.
        grain: standard deviation of the fine texture of resistant tissue.
        distractor: largest share of the viable lesion that looks different and means nothing.
        enhancement: standard deviation over lesions of the mean signal of enhancing tissue.
        rim: least and largest additional signal of the rim.
        necrosis: probability of a necrotic core.
        resistant_share: least and largest share of the viable lesion that resists, where a part does.
        oxygen_mmHg: least and largest oxygen pressure of the resistant cells.
        noise: least and largest standard deviation of the scanner's noise.
        second_scanner: whether every second patient was seen by a scanner with more blur and bias.
        confounded: whether lesions with more resistant tissue have, on average, a brighter rim, which changes nothing.
    """

    darkening: float = 0.35
    grain: float = 0.30
    distractor: float = 0.45
    enhancement: float = 0.15
    rim: tuple[float, float] = (0.1, 0.7)
    necrosis: float = 0.6
    resistant_share: tuple[float, float] = (0.10, 0.55)
    oxygen_mmHg: tuple[float, float] = (0.2, 0.5)
    noise: tuple[float, float] = (0.03, 0.05)
    second_scanner: bool = False
    confounded: bool = False


DEFAULT = Variant()

VARIANTS: dict[str, Variant] = {
    "default": DEFAULT,
    "noise": replace(DEFAULT, noise=(0.10, 0.15)),
    "shift": replace(DEFAULT, second_scanner=True),
    "small-effect": replace(DEFAULT, resistant_share=(0.08, 0.42), oxygen_mmHg=(0.2, 0.6)),
    "confounded": replace(DEFAULT, confounded=True),
    "intensity": replace(
        DEFAULT, darkening=0.55, grain=0.0, distractor=0.0, enhancement=0.0, rim=(0.1, 0.3), necrosis=0.0
    ),
}
"""By name. In "intensity" the histogram of a lesion says how much of it resists, so radiomics should be enough."""


def variant_named(name: str) -> Variant:
    """A variant by its name.

    Raises:
        UnknownNameError: there is none of this name.
    """
    if name not in VARIANTS:
        raise UnknownNameError(f"unknown variant {name!r} of the synthetic cohort; known: {', '.join(VARIANTS)}")
    return VARIANTS[name]
