"""How a synthetic lesion shows in a contrast-enhanced image.

Resistant tissue is darker, as contrast medium reaches it less, and grainier than the tissue around it. Neither says
much by itself: lesions differ in how much they enhance, have bright rims and dark cores, and a distractor is bright or
coarsely blotched.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from surrogate3d.response.lesion_shape import Floats, Tissue, smooth_field
from surrogate3d.response.variants import Variant

ENHANCING, NECROTIC = 1.6, 0.75
"""Mean signal of enhancing and of necrotic tissue; normal brain has 1."""

GRAIN_MM, BLOTCH_MM = 0.9, 2.0
"""Smoothing of the fine texture of resistant tissue and of the coarse one of a distractor."""

DISTRACTION = 0.25
"""What a distractor adds: a brighter signal, or the standard deviation of its coarse texture."""


@dataclass(frozen=True)
class Look:
    """What varies between lesions and means nothing.

    Attributes:
        enhancing: mean signal of enhancing tissue.
        rim: how much brighter than the rest the rim is.
        rim_mm: its thickness, mm.
        bright_distractor: whether a distractor is bright; else it is blotched.
    """

    enhancing: float
    rim: float
    rim_mm: float
    bright_distractor: bool


@dataclass(frozen=True)
class Scanner:
    """How an image was taken.

    Attributes:
        gain: factor of all signals.
        bias: standard deviation of the smooth factor that varies over the image.
        blur_mm: standard deviation of the point spread, mm.
        noise: standard deviation of the noise, over the signal of normal brain.
    """

    gain: float
    bias: float
    blur_mm: float
    noise: float


def image_of(
    tissue: Tissue, look: Look, scanner: Scanner, variant: Variant, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """(i, j, k) signal of a lesion in normal brain."""
    shape = tissue.lesion.shape
    brain = 1 + 0.04 * smooth_field(shape, 5.0, rng)
    inside = look.enhancing + 0.10 * smooth_field(shape, 4.0, rng) + 0.06 * smooth_field(shape, 1.3, rng)
    inside += look.rim * np.clip(1 - (tissue.depth_mm - 1) / look.rim_mm, 0, 1)
    grain, blotches = smooth_field(shape, GRAIN_MM, rng), smooth_field(shape, BLOTCH_MM, rng)
    inside += tissue.resistant * (variant.grain * grain - variant.darkening)
    inside += tissue.distractor * DISTRACTION * (1.0 if look.bright_distractor else blotches)
    inside = np.where(tissue.necrotic, NECROTIC + 0.05 * smooth_field(shape, 1.5, rng), inside)
    return _taken(np.where(tissue.lesion, inside, brain), scanner, rng)


def _taken(signal: Floats, scanner: Scanner, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Blur, bias, gain and Rician noise (Gudbjartsson and Patz 1995, doi 10.1002/mrm.1910340618)."""
    shape = signal.shape
    seen = ndimage.gaussian_filter(signal, scanner.blur_mm, mode="nearest")
    seen = seen * np.exp(scanner.bias * smooth_field(shape, 12.0, rng))
    real, imaginary = scanner.noise * rng.standard_normal((2, *shape))
    return np.asarray(scanner.gain * np.hypot(seen + real, imaginary), dtype=np.float32)
