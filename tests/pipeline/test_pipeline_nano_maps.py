"""Nanodosimetric maps of a field: values, definitions in the sidecar, what is left out, and where they rise."""

import json
from dataclasses import replace

import numpy as np
import pytest
from synthetic import make_field

from surrogate3d.errors import StoreError, ValueRangeError
from surrogate3d.grid import Grid, Spectra, SpectrumAxes, Volume, VolumeSet, quantity
from surrogate3d.io.field_store import write_field
from surrogate3d.io.images import read_image
from surrogate3d.physics.gsm2 import lesion_yield
from surrogate3d.physics.nano_table import nano_table
from surrogate3d.physics.stopping_power import stopping_power
from surrogate3d.pipeline.nano_maps import nano_of_field, nano_store

GRID = Grid((1, 1, 3), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))


def small_field(species=("H", "He")):
    """Voxel 0: protons of 10 MeV; voxel 1: the second species of 10 MeV/u too; voxel 2: nothing."""
    edges = np.array([5.0, 20.0, 500.0])
    axes = SpectrumAxes(species, np.stack([edges, edges]))
    fluence = np.zeros((2, 2, 1, 1, 3), np.float32)
    fluence[0, 0, 0, 0, :2], fluence[1, 0, 0, 0, 1] = 1.0, 2.0
    outside = np.zeros((2, 1, 1, 3), np.float32)
    dose = Volume(GRID, np.ones(GRID.shape), quantity("dose_to_water"))
    volumes = VolumeSet(GRID, {"dose_to_water": dose})
    return replace(
        make_field(), grid=GRID, volumes=volumes, spectra=Spectra(axes, fluence, outside, outside), let_definitions={}
    )


def test_values_by_hand():
    volumes, definition = nano_of_field(small_field(), 5.0, along_steps=False)
    H, He = (nano_table().at(s, 10.0, 5.0, "crossing") for s in ("H", "He"))
    weights = np.array([stopping_power(1, 10.0), 2.0 * stopping_power(2, 10.0)])
    for name in ("M1", "F1", "F2", "F3"):
        values = volumes[name].values[0, 0]
        assert values[0] == pytest.approx(float(H[name]), rel=1e-6)
        assert values[1] == pytest.approx(float(weights @ [H[name], He[name]] / weights.sum()), rel=1e-6)
        assert np.isnan(values[2])
    expected = lesion_yield(1, stopping_power(1, 10.0), "complex_DSB")
    assert volumes["complex_DSB_yield"].values[0, 0, 0] == pytest.approx(float(expected), rel=1e-6)
    assert definition["site_nm"] == 5.0
    assert definition["convention"] == "crossing"
    assert "dose-weighted" in definition["averaging"]
    assert definition["left_out"] == {}


def test_along_steps_clusters_are_larger():
    field = small_field()
    at_bins, along = (nano_of_field(field, 2.0, along_steps=a)[0]["F2"].values[0, 0, 0] for a in (False, True))
    assert 1.0 < along / at_bins < 1.3  # protons of 10 MeV slow down along 1 mm


def test_damage_that_is_not_known_for_an_ion_is_left_out_and_named():
    volumes, definition = nano_of_field(small_field(("H", "O")), 2.0)
    assert "DSB_site_yield" in volumes
    assert "DSB_yield" not in volumes
    assert definition["left_out"] == {"DSB_yield": "not known for O", "complex_DSB_yield": "not known for O"}


def test_a_store_of_maps_says_what_they_are(tmp_path):
    write_field(small_field(), tmp_path / "f.field.zarr")
    found = nano_store(tmp_path / "f.field.zarr", tmp_path / "nano", 2.0, convention="central", along_steps=False)
    expected = nano_table().at("H", 10.0, 2.0, "central")["F2"]
    written = read_image(tmp_path / "nano" / "F2.nii.gz", quantity("F2"))
    assert written.values[0, 0, 0] == pytest.approx(float(expected), rel=1e-6)
    about = json.loads((tmp_path / "nano" / "maps.json").read_text())["metadata"]
    assert about["definition"]["convention_meaning"] == "ions pass through the centre of the sphere"
    assert about["definition"]["site"].startswith("sphere of 2 nm")
    assert about["definition"]["table"]["made_by"] == "scripts/make_nano_tables.py"
    assert about["irradiated"]["M1"]["p5"] <= found["irradiated"]["M1"]["p95"]
    assert "maps.json" in found["files"]
    with pytest.raises(StoreError, match="exists"):
        nano_store(tmp_path / "f.field.zarr", tmp_path / "nano", 2.0)
    with pytest.raises(ValueRangeError, match="diameters known"):
        nano_store(tmp_path / "f.field.zarr", tmp_path / "other", 1.0)


def test_clusters_grow_as_a_beam_slows_down():
    volumes, _ = nano_of_field(make_field(), 2.0)
    for name in ("M1", "F1", "F2", "F3", "DSB_site_yield", "complex_DSB_yield"):
        along = np.nanmean(volumes[name].values, axis=(0, 1))
        assert along[-1] > along[len(along) // 2] > along[0]
