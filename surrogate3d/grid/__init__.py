"""Geometry, quantities, volumes, spectra and fields in memory. numpy and scipy only."""

from surrogate3d.grid.field import Beam, DoseField, Field, LetDefinition, Prescription
from surrogate3d.grid.geometry import Grid
from surrogate3d.grid.lesion import DELIVERED, Cohort, Lesion
from surrogate3d.grid.quantity import QUANTITIES, Quantity, quantity
from surrogate3d.grid.spectrum import SPECIES_A, SPECIES_Z, Spectra, SpectrumAxes
from surrogate3d.grid.volume import Volume, VolumeSet, turned_to

__all__ = [
    "DELIVERED",
    "QUANTITIES",
    "SPECIES_A",
    "SPECIES_Z",
    "Beam",
    "Cohort",
    "DoseField",
    "Field",
    "Grid",
    "Lesion",
    "LetDefinition",
    "Prescription",
    "Quantity",
    "Spectra",
    "SpectrumAxes",
    "Volume",
    "VolumeSet",
    "quantity",
    "turned_to",
]
