"""LET of a field by definition: who counts, how it is averaged, and in what it differs from the scored one."""

import json
from dataclasses import replace

import numpy as np
import pytest
from synthetic import make_field

from surrogate3d.errors import QuantityError, StoreError, UnknownNameError
from surrogate3d.grid import Grid, Spectra, SpectrumAxes, Volume, VolumeSet, quantity
from surrogate3d.io.field_store import write_field
from surrogate3d.io.images import read_image
from surrogate3d.physics.stopping_power import stopping_power
from surrogate3d.pipeline.let_maps import let_of_field, let_store

GRID = Grid((1, 1, 2), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))


def two_species():
    """Voxel 0: one proton track at 10 MeV, three at 100; voxel 1: the same with two helium tracks at 10 MeV/u."""
    edges = np.array([5.0, 20.0, 500.0])
    axes = SpectrumAxes(("H", "He"), np.stack([edges, edges]))
    fluence = np.zeros((2, 2, 1, 1, 2), np.float32)
    fluence[0, 0], fluence[0, 1], fluence[1, 0, 0, 0, 1] = 1.0, 3.0, 2.0
    outside = np.zeros((2, 1, 1, 2), np.float32)
    dose = Volume(GRID, np.ones(GRID.shape), quantity("dose_to_water"))
    scored = Volume(GRID, np.full(GRID.shape, 2.0), quantity("LET_d"))
    volumes = VolumeSet(GRID, {"dose_to_water": dose, "LET_d": scored})
    return replace(make_field(), grid=GRID, volumes=volumes, spectra=Spectra(axes, fluence, outside, outside))


def test_averages_by_hand():
    low, high = stopping_power(1, 10.0), stopping_power(1, 100.0)
    field = two_species()
    by_dose, definition = let_of_field(field, "dose", species=("H",), along_steps=False)
    assert by_dose.values[0, 0] == pytest.approx((low**2 + 3 * high**2) / (low + 3 * high), rel=1e-6)
    assert definition.weighting == "dose"
    assert "H" in definition.particles
    by_track, _ = let_of_field(field, "track", species=("H",), along_steps=False)
    assert by_track.values[0, 0] == pytest.approx((low + 3 * high) / 4, rel=1e-6)


def test_who_counts():
    field = two_species()
    protons, _ = let_of_field(field, "dose", species=("H",), along_steps=False)
    everyone, definition = let_of_field(field, "dose", along_steps=False)
    assert protons.values[0, 0, 0] == pytest.approx(everyone.values[0, 0, 0])
    assert protons.values[0, 0, 0] == protons.values[0, 0, 1]
    assert everyone.values[0, 0, 1] > 2 * protons.values[0, 0, 1]  # helium has four times the LET of protons
    assert definition.particles.startswith("H, He")
    helium, _ = let_of_field(field, "dose", species=("He",), along_steps=False)
    assert np.isnan(helium.values[0, 0, 0])
    with pytest.raises(UnknownNameError, match="C"):
        let_of_field(field, "dose", species=("C",))


def test_along_a_step_and_without_fast_electrons():
    field = two_species()
    at_bins, _ = let_of_field(field, "track", species=("H",), along_steps=False)
    along, definition = let_of_field(field, "track", species=("H",))
    assert 1.0 < float((along.values / at_bins.values).max()) < 1.1  # particles slow down: LET rises along a step
    assert "along the simulation's steps" in definition.source
    restricted, words = let_of_field(field, "track", species=("H",), restricted_kev=10.0, along_steps=False)
    assert (restricted.values < at_bins.values).all()
    assert words.restricted


def test_a_store_and_its_scored_let(tmp_path):
    write_field(two_species(), tmp_path / "f.field.zarr")
    found = let_store(tmp_path / "f.field.zarr", tmp_path / "let", species=("H",), along_steps=False)
    low, high = stopping_power(1, 10.0), stopping_power(1, 100.0)
    expected = (low**2 + 3 * high**2) / (low + 3 * high) / 2.0 - 1
    assert found["against_scored"]["dose"]["difference"]["median"] == pytest.approx(expected, rel=1e-5)
    assert any(text.startswith("particles") for text in found["against_scored"]["dose"]["definitions_differ_in"])
    assert set(found["against_scored"]) == {"dose"}  # LET_t was not scored
    written = read_image(tmp_path / "let" / "LET_d_spectra.nii.gz", quantity("LET_d_spectra"))
    assert written.values[0, 0, 0] == pytest.approx((low**2 + 3 * high**2) / (low + 3 * high), rel=1e-6)
    about = json.loads((tmp_path / "let" / "maps.json").read_text())
    assert about["metadata"]["let_definitions"]["LET_d_spectra"]["medium"] == "water"
    with pytest.raises(StoreError, match="exists"):
        let_store(tmp_path / "f.field.zarr", tmp_path / "let")
    with pytest.raises(QuantityError, match="weighting"):
        let_of_field(two_species(), "mass")
