"""Runs to stores, and the numbers that are read first."""

from dataclasses import replace

import numpy as np
import pytest
from synthetic import EXPLAINED, make_field, prescribed

from surrogate3d.errors import StoreError
from surrogate3d.grid import Grid, Spectra, SpectrumAxes, Volume, VolumeSet, quantity
from surrogate3d.io.convert import convert as read_and_merge
from surrogate3d.io.field_store import field_id, read_field, write_field
from surrogate3d.physics.stopping_power import stopping_power
from surrogate3d.pipeline.conversion import consistency, convert, info, tracks
from surrogate3d.pipeline.spectrum_checks import checked


def four_voxels():
    """One bin of 100 MeV protons, fluence 1e9, 2e9, 3e9 and 1e7 per mm^2, dose chosen by hand."""
    axes = SpectrumAxes(("H",), np.array([[80.0, 125.0]]))  # geometric mean 100
    grid = Grid((1, 1, 4), (1.0, 2.0, 3.0), (0.0, 0.0, 0.0))
    fluence = np.array([1e9, 2e9, 3e9, 1e7]).reshape(1, 1, 1, 1, 4)
    outside = np.zeros((1, 1, 1, 4))
    # D = K Phi S, K = 0.1602176634 Gy um^2 per keV/um; of it the spectra explain 0.9, 1 and 0.8.
    dose = 0.1602176634 * 1e-6 * fluence[0, 0] * float(stopping_power(1, 100.0)) / [0.9, 1.0, 0.8, 1.0]
    dose[0, 0, 3] = 0.02 * dose.max()
    volumes = VolumeSet(grid, {"dose_to_water": Volume(grid, dose, quantity("dose_to_water"))})
    return replace(make_field(), grid=grid, volumes=volumes, spectra=Spectra(axes, fluence, outside, outside))


def test_consistency_by_hand():
    found = consistency(checked(four_voxels()).volumes)
    # 0.8, 0.9, 1.0 are left; the last voxel has too little dose. Percentiles interpolate linearly.
    assert found["median"] == pytest.approx(0.9, rel=1e-3)
    assert found["p5"] == pytest.approx(0.81, rel=1e-3)
    assert found["p95"] == pytest.approx(0.99, rel=1e-3)


def test_tracks_by_hand():
    found = tracks(checked(four_voxels()).volumes)  # the face across axis 2 has 2 mm^2
    assert found == pytest.approx({"median": 4e9, "minimum": 2e9, "maximum": 6e9})


def test_neither_depends_on_the_prescription():
    field = make_field(seed=1)
    scaled = prescribed(field, 2.0)
    for numbers in (consistency, tracks):
        assert numbers(checked(scaled).volumes) == pytest.approx(numbers(checked(field).volumes), rel=1e-5)
    assert consistency(checked(field).volumes)["median"] == pytest.approx(EXPLAINED, rel=1e-5)


def test_voxels_without_a_number_are_left_out():
    field = four_voxels()
    dose = field.dose.copy()
    dose[0, 0, 2] = np.nan
    holed = replace(
        field, volumes=VolumeSet(field.grid, {"dose_to_water": Volume(field.grid, dose, quantity("dose_to_water"))})
    )
    assert consistency(checked(holed).volumes)["median"] == pytest.approx(0.95, rel=1e-3)
    assert tracks(checked(holed).volumes)["maximum"] == pytest.approx(4e9)


def test_info_is_that_of_the_field(tmp_path):
    field = make_field(seed=1)
    write_field(field, tmp_path / "plan.field.zarr")
    about = info(tmp_path / "plan.field.zarr")
    assert about["consistency"] == pytest.approx(consistency(checked(field).volumes))
    assert about["tracks_per_voxel"] == pytest.approx(tracks(checked(field).volumes))
    assert about["histories"] == field.histories == 4000


def test_a_real_run_becomes_a_store(tmp_path, topas_data):
    run, store = topas_data("proton_shallow_low"), tmp_path / "plan.field.zarr"
    about = convert([run], store, dose_scale=2.0)
    field, _ = read_and_merge([run], dose_scale=2.0)
    found = read_field(store)
    np.testing.assert_array_equal(found.spectra.fluence, field.spectra.fluence)
    np.testing.assert_array_equal(found.dose, field.dose)
    assert 0.9 < about["consistency"]["median"] < 1.0  # 4-6 % of an OpenTOPAS plan is not in its spectra
    assert about["conversion"]
    before = field_id(store)
    with pytest.raises(StoreError, match="exists"):
        convert([run], store)
    assert field_id(store) == before
    assert convert([run], store, overwrite=True)["histories"] == field.histories
