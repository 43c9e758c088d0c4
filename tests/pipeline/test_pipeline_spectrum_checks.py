"""Spectrum against dose in a converted run, voxel by voxel with plain loops over the numbers in TOPAS's own files."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from surrogate3d.io.field_store import read_field
from surrogate3d.physics.explained import HIGHEST, LOWEST, SIGMAS, SPREAD, geant4_step_mm, step_corrected_LET
from surrogate3d.physics.stopping_power import stopping_power
from surrogate3d.pipeline.conversion import convert

FIXTURE = Path(__file__).parents[1] / "fixtures" / "topas"
GY_PER_KEV_UM_MM2 = 0.1602176634e-6  # 1 keV/um through 1/mm^2 of water
FACE_MM2 = 4.0 * 4.0
SCALE = 7.0


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    store = tmp_path_factory.mktemp("store") / "plan.field.zarr"
    convert([FIXTURE], store, dose_scale=SCALE)
    return read_field(store)


def voxels():
    """(voxel, fluence in bins, dose) of the fixture, unscaled: CSV rows with i fastest, .bin with k slowest."""
    table = np.loadtxt(FIXTURE / "fixture_Fluence_H.csv", delimiter=",", comments="#")
    dose = np.fromfile(FIXTURE / "fixture_DoseToWater.bin").reshape(12, 5, 6, 3)
    for k in range(12):
        for j in range(5):
            for i in range(6):
                yield (i, j, k), table[i + 6 * (j + 5 * k), 1:65], dose[k, j, i, 0]


def expected(LET, fluence, dose):
    """Explained share, LET_d and LET_t by plain sums."""
    keV, keV2, tracks = 0.0, 0.0, 0.0
    for value, weight in zip(LET, fluence, strict=True):
        keV, keV2, tracks = keV + weight * value, keV2 + weight * value**2, tracks + weight
    share = GY_PER_KEV_UM_MM2 * keV / dose if dose > 0 else np.nan
    return share, keV2 / keV if keV else np.nan, keV / tracks if tracks else np.nan


def test_every_voxel(converted):
    edges = np.geomspace(0.1, 500, 65)
    plain = [float(stopping_power(1, np.sqrt(low * high))) for low, high in pairwise(edges)]
    axes = converted.spectra.axes
    stepped = step_corrected_LET(axes, geant4_step_mm(axes, 4.0, "default"))[0]  # 4 mm voxels, DataFreePhysics
    found = {name: volume.values for name, volume in converted.volumes.items()}
    for voxel, fluence, dose in voxels():
        explained, _, _ = expected(plain, fluence, dose)
        corrected, LET_d, LET_t = expected(stepped, fluence, dose)
        tracks = fluence.sum() * FACE_MM2
        values = {
            "tracks": tracks,
            "explained": explained,
            "explained_corrected": corrected,
            "LET_d_spectra": LET_d,
            "LET_t_spectra": LET_t,
            "spectrum_fault": fault(corrected, tracks),
        }
        for name, value in values.items():
            assert found[name][voxel] == pytest.approx(value, rel=2e-6, nan_ok=True), (name, voxel)


def fault(corrected, tracks):
    if np.isnan(corrected):
        return 0
    if tracks == 0:
        return 1
    noise = SIGMAS * SPREAD / np.sqrt(tracks)
    return 2 if corrected < LOWEST - noise else 3 if corrected > HIGHEST + noise else 0
