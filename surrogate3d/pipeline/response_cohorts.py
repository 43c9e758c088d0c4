"""What training, prediction and report ask of a cohort of lesions: its channels, and what identifies it."""

from __future__ import annotations

import hashlib
import json

import numpy as np

from surrogate3d.errors import QuantityError
from surrogate3d.grid import Cohort, Lesion, Volume
from surrogate3d.response.config import IMAGE

SHOWN = 3
"""Lesions that a refusal names."""


def require_channels(cohort: Cohort, channels: tuple[str, ...]) -> None:
    """Refuse a cohort in which a lesion lacks what a network is to see.

    Args:
        cohort: lesions.
        channels: of `ResponseConfig`.

    Raises:
        QuantityError: which lesions lack which channel.
    """
    for name in channels:
        without = [each.name for each in cohort if name != IMAGE and name not in each.delivered]
        if without:
            more = f" and {len(without) - SHOWN} more" if len(without) > SHOWN else ""
            raise QuantityError(
                f"the model sees {', '.join(channels)}, but there is no {name} of {'; '.join(without[:SHOWN])}{more}; "
                "give it in the cohort's table, take these lesions out, or train with other channels"
            )


def lesion_sha256(lesion: Lesion) -> str:
    """SHA-256 of all that is known of a lesion, whatever files it came from."""
    digest = hashlib.sha256()
    numbers = (lesion.patient, lesion.lesion, repr(lesion.volume_change), repr(lesion.outcome))
    transform = None if lesion.image_to_dose is None else lesion.image_to_dose.tolist()
    digest.update(json.dumps([*numbers, transform]).encode())
    _add(digest, "image", lesion.image)
    for flags in (lesion.mask, np.zeros(0, dtype=bool) if lesion.truth is None else lesion.truth):
        digest.update(np.packbits(flags).tobytes())
    for name, volume in sorted(lesion.delivered.items()):
        _add(digest, name, volume)
    return digest.hexdigest()


def cohort_sha256(cohort: Cohort) -> str:
    """SHA-256 of all lesions in their order."""
    return hashlib.sha256("".join(lesion_sha256(each) for each in cohort).encode()).hexdigest()


def _add(digest: hashlib._Hash, name: str, volume: Volume) -> None:
    digest.update(json.dumps([name, volume.grid.to_json()]).encode())
    digest.update(np.ascontiguousarray(volume.values, dtype="<f4").tobytes())
