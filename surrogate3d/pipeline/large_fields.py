"""Fields whose spectra may be larger than memory: read part by part when they are needed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from surrogate3d.grid import Field, Spectra
from surrogate3d.io.field_store import read_field

NEEDED = ("dose_to_water", "dose_to_medium", "tracks", "spectrum_fault")
"""Volumes that a prediction looks at; the others would only take room."""


def read_for_tiles(path: str | Path) -> Field:
    """Read a field for prediction: the volumes that it needs, no halves, and its spectra when they are asked for.

    That is faster than from memory, too, where memory is slow to get: what is decoded is summed while it is in a cache.

    Raises:
        StoreError, QuantityError: as of `io.field_store.read_field`.
    """
    return replace(read_field(path, lazy=True, volumes=NEEDED), halves=(), halves_dose=())


def in_memory(field: Field) -> Field:
    """The same field with its fluence in memory."""
    spectra = field.spectra
    fluence: object = spectra.fluence  # an array, or what reads like one
    if isinstance(fluence, np.ndarray):
        return field
    return replace(
        field, spectra=Spectra(spectra.axes, np.asarray(spectra.fluence), spectra.underflow, spectra.overflow)
    )
