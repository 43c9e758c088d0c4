from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from surrogate3d.errors import UnknownNameError
from surrogate3d.grid import Field, Grid, Spectra, SpectrumAxes, Volume, VolumeSet, quantity
from surrogate3d.physics.cell_line import cell_line
from surrogate3d.physics.let import LET_d, bin_dose
from surrogate3d.physics.linear_quadratic import RBE_at_dose, effect
from surrogate3d.physics.mixing import MonoTable, mix
from surrogate3d.physics.pooling import pool_grouped
from surrogate3d.physics.rbe import PUBLISHED_MODELS
from surrogate3d.validation import UNIFORM_METHODS, baseline_effects, derived_maps
from surrogate3d.validation.baselines import LET_MODELS, UNIFORM_SIGMAS_VOXELS, LQ_of_model
from surrogate3d.validation.table import KINDS

GRID = Grid((5, 4, 6), (2.0, 2.0, 2.0), (0.0, 0.0, 0.0))
CELL = cell_line("HSG")


def a_table(name="HSG", species=("H", "He")):
    energy = np.tile(np.geomspace(0.1, 500, 7), (len(species), 1))
    alpha = np.linspace(2.0, 0.3, 7) * np.arange(1, len(species) + 1)[:, None]
    beta = np.linspace(0.02, 0.08, 7) * np.ones((len(species), 1))
    zero = np.zeros_like(energy)
    return MonoTable(name, species, energy, alpha, zero, beta, zero, {})


def a_field(species=("H", "He"), LET=None):
    axes = SpectrumAxes.logarithmic(species, n_bins=9)
    rng = np.random.default_rng(2)
    fluence = rng.gamma(0.5, 1e4, (len(species), 9, *GRID.shape))
    outside = np.zeros((len(species), *GRID.shape))
    volumes = {"dose_to_water": Volume(GRID, bin_dose(axes, fluence).sum(axis=(0, 1)), quantity("dose_to_water"))}
    if LET is not None:
        volumes["LET_d"] = Volume(GRID, LET, quantity("LET_d"))
    spectra = Spectra(axes, fluence, outside, outside)
    return Field(grid=GRID, volumes=VolumeSet(GRID, volumes), spectra=spectra, beam_axis=2, beam_sign=1, histories=1000)


FIELD = a_field()
BASELINES = baseline_effects(FIELD, CELL, a_table())


def spectra_dose():
    return bin_dose(FIELD.spectra.axes, FIELD.spectra.fluence)


def test_names_and_kinds():
    assert list(BASELINES) == ["zr_table", *UNIFORM_METHODS, "zr_table, grouped pooling", *LET_MODELS]
    assert {b.kind for b in BASELINES.values()} <= set(KINDS)
    assert all(BASELINES[name].kind == "model_difference" for name in LET_MODELS)
    assert all(b.alpha.shape == b.beta.shape == GRID.shape for b in BASELINES.values())
    assert all(0 < b.seconds_per_voxel < 1 for b in BASELINES.values())


def test_table_equals_mixing_of_the_bins():
    alpha, beta = mix(spectra_dose(), *a_table().at(FIELD.spectra.axes))
    assert np.allclose(BASELINES["zr_table"].alpha, alpha, rtol=1e-12)
    assert np.allclose(BASELINES["zr_table"].beta, beta, rtol=1e-12)


@pytest.mark.parametrize(("name", "sigma"), [*zip(UNIFORM_METHODS, UNIFORM_SIGMAS_VOXELS, strict=True)])
def test_pooling_the_accumulators_equals_pooling_the_spectra(name, sigma):
    """The slow twin filters every bin, then mixes."""
    pooled = gaussian_filter(spectra_dose(), (0, 0, sigma, sigma, sigma), mode="constant", truncate=3.0)
    alpha, beta = mix(pooled, *a_table().at(FIELD.spectra.axes))
    assert np.allclose(BASELINES[name].alpha, alpha, rtol=1e-10)
    assert np.allclose(BASELINES[name].beta, beta, rtol=1e-10)


def test_grouped_pooling_equals_pooling_the_spectra():
    pooled = pool_grouped(spectra_dose(), FIELD.spectra.axes, FIELD.beam_axis)
    alpha, beta = mix(pooled, *a_table().at(FIELD.spectra.axes))
    assert np.allclose(BASELINES["zr_table, grouped pooling"].alpha, alpha, rtol=1e-10)
    assert np.allclose(BASELINES["zr_table, grouped pooling"].beta, beta, rtol=1e-10)


@pytest.mark.parametrize("name", LET_MODELS)
def test_alpha_and_beta_of_a_model_give_its_RBE_at_every_dose(name):
    model, LET = PUBLISHED_MODELS[LET_MODELS[name]], np.array([0.5, 2.0, 8.0, 15.0])
    alpha, beta = LQ_of_model(model, LET, CELL.alpha_x, CELL.beta_x)
    for dose in (0.1, 2.0, 6.0):
        RBE = RBE_at_dose(dose, effect(dose, alpha, beta), CELL.alpha_x, CELL.beta_x)
        assert np.allclose(RBE, model(dose, LET, CELL.alpha_x, CELL.beta_x), rtol=1e-10)


def test_constant_RBE_by_hand():
    alpha, beta = BASELINES["constant 1.1"][:2]
    assert np.allclose(alpha, 1.1 * CELL.alpha_x)
    assert np.allclose(beta, 1.21 * CELL.beta_x)


def test_models_use_the_scored_LET():
    LET = np.linspace(0.5, 12.0, GRID.n_voxels).reshape(GRID.shape)
    wedenberg = baseline_effects(a_field(LET=LET), CELL, a_table())["Wedenberg"]
    # alpha = alpha_x (1 + 0.434 LET_d / ab) = alpha_x + 0.434 beta_x LET_d; beta = beta_x
    assert np.allclose(wedenberg.alpha, CELL.alpha_x + 0.434 * CELL.beta_x * LET)
    assert np.allclose(wedenberg.beta, CELL.beta_x)


def test_without_scored_LET_that_of_the_protons_is_used():
    axes = FIELD.spectra.axes
    protons = LET_d(SpectrumAxes(("H",), axes.edges_mev_u[:1]), FIELD.spectra.fluence[:1])
    assert np.allclose(BASELINES["Wedenberg"].alpha, CELL.alpha_x + 0.434 * CELL.beta_x * protons)
    assert not set(LET_MODELS) & set(baseline_effects(a_field(("He",)), CELL, a_table(species=("He",))))


def test_voxels_without_fluence_have_no_answer():
    field = a_field()
    fluence = field.spectra.fluence.copy()
    fluence[:, :, 2, 2, 2] = 0.0
    spectra = Spectra(field.spectra.axes, fluence, field.spectra.underflow, field.spectra.overflow)
    baselines = baseline_effects(replace(field, spectra=spectra), CELL, a_table())
    for name in ("zr_table", *UNIFORM_METHODS, "zr_table, grouped pooling"):
        assert np.array_equal(np.argwhere(np.isnan(baselines[name].alpha)), [[2, 2, 2]]), name


def test_derived_maps_by_hand():
    maps = derived_maps(np.array([CELL.alpha_x]), np.array([CELL.beta_x]), 2.0, CELL)
    assert maps["RBE"] == pytest.approx([1.0])
    assert maps["effect"] == pytest.approx([2 * CELL.alpha_x + 4 * CELL.beta_x])
    assert maps["alpha"] == pytest.approx([CELL.alpha_x])


def test_refuses_a_table_of_other_cells():
    with pytest.raises(UnknownNameError, match="'V79'"):
        baseline_effects(FIELD, CELL, a_table("V79"))
