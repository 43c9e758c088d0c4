"""Fields whose spectra may be larger than memory: read whole where they fit, else part by part when they are needed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from surrogate3d.grid import Field, Spectra
from surrogate3d.io.field_store import read_field

IN_MEMORY_BYTES = 1_000_000_000
"""Of fluence that is read at once: read once for all that is asked of it."""


def read_for_tiles(path: str | Path) -> Field:
    """Read a field for prediction: without its halves, and without its spectra where these are large.

    Raises:
        StoreError, QuantityError: as of `io.field_store.read_field`.
    """
    field = replace(read_field(path, lazy=True), halves=(), halves_dose=())
    return in_memory(field) if 4 * np.prod(field.spectra.fluence.shape) <= IN_MEMORY_BYTES else field


def in_memory(field: Field) -> Field:
    """The same field with its fluence in memory."""
    spectra = field.spectra
    fluence: object = spectra.fluence  # an array, or what reads like one
    if isinstance(fluence, np.ndarray):
        return field
    return replace(
        field, spectra=Spectra(spectra.axes, np.asarray(spectra.fluence), spectra.underflow, spectra.overflow)
    )
