import numpy as np
import pytest

from surrogate3d.direct.task import VoxelTask
from surrogate3d.grid import SPECIES_Z, SpectrumAxes


@pytest.fixture(scope="session")
def mono():
    """A voxel with ions of one atomic number and energy."""
    symbols = {number: symbol for symbol, number in SPECIES_Z.items()}

    def make(Z, energy_mev_u, lines=("HSG",), dose_gy=1.0):
        edges = energy_mev_u * np.array([[1 / 1.0001, 1.0001]])  # geometric mean is the energy
        return VoxelTask(np.ones((1, 1)), SpectrumAxes((symbols[Z],), edges), dose_gy, lines)

    return make


@pytest.fixture(scope="session")
def mixed():
    """A voxel of a proton and carbon mixture; `softness` shifts it towards low energies and high LET."""
    axes = SpectrumAxes.logarithmic(("H", "He", "C"), n_bins=16, low_mev_u=1.0, high_mev_u=400.0)
    energy = axes.energy_mev_u

    def make(softness=0.0, lines=("HSG",), scale=1.0):
        centre = 100.0 * np.exp(-softness)
        share = np.array([[1.0], [0.2], [0.3]])
        fluence = share * np.exp(-0.5 * (np.log(energy / centre) / 0.5) ** 2)
        return VoxelTask(scale * fluence, axes, 2.0, lines)

    return make
