import dataclasses
import json
import runpy
from pathlib import Path

import numpy as np
import pytest

from surrogate3d.errors import FormatError, GridMismatchError, QuantityError, UnknownNameError, ValueRangeError
from surrogate3d.grid.spectrum import SpectrumAxes
from surrogate3d.invitro.features import (
    BIOLOGY,
    FEATURES,
    GROUPS,
    RADIATION,
    SCALE_OF_GROUP,
    SCALES,
    biology_features,
    mono_features,
    radiation_features,
    spread_out_features,
    transformed,
)
from surrogate3d.invitro.lineal import lineal_at, lineal_features, lineal_table, table_from_json
from surrogate3d.invitro.radiation import energy_of_LET
from surrogate3d.invitro.spread_out import spread_out_spectrum
from surrogate3d.physics.cell_line import cell_line
from surrogate3d.physics.explained import geant4_step_mm
from surrogate3d.physics.let import LET_d, LET_t
from surrogate3d.physics.microdosimetry import site_moments
from surrogate3d.physics.nanodosimetry import damage_yields_of, nanodosimetry_of
from surrogate3d.physics.stopping_power import csda_range_mm, stopping_power

NAMES = [feature.name for feature in RADIATION]
K = 0.1602176634  # Gy um^2 per keV/um


def of(features, name):
    return features[NAMES.index(name)]


def shares(features, site="1um"):
    return features[[n for n, name in enumerate(NAMES) if name.startswith("d_y") and name.endswith(f"_{site}")]]


def mixed(seed=1, voxels=5, species=("H", "He", "C")):
    rng = np.random.default_rng(seed)
    axes = SpectrumAxes.logarithmic(species, 24, 0.1, 400.0)
    return axes, rng.gamma(0.3, 1.0, (len(species), 24, voxels))


def test_every_feature_has_a_name_of_its_own_and_belongs_to_a_group_of_one_scale():
    names = [feature.name for feature in FEATURES]
    assert len(set(names)) == len(names) == len(RADIATION) + len(BIOLOGY)
    assert {feature.scale for feature in FEATURES} == set(SCALES)
    assert tuple(SCALE_OF_GROUP) == GROUPS
    micro = [f"micro_{site}um" for site in ("0.1", "0.3", "1", "3", "10")]
    assert ("nano", *micro, "LET", "biology") == GROUPS
    assert all(SCALE_OF_GROUP[feature.group] == feature.scale for feature in FEATURES)


@pytest.mark.parametrize(("species", "energy"), [("H", 3.0), ("He", 60.0), ("C", 0.4), ("C", 290.0), ("Ne", 80.0)])
def test_a_spectrum_with_one_filled_bin_has_the_features_of_that_ion(species, energy):
    axes = SpectrumAxes((species,), np.array([[energy / 1.01, energy * 1.01, energy * 1.1]]))
    found = radiation_features(axes, np.array([[7.0, 0.0]])[..., None])[:, 0]
    np.testing.assert_allclose(found, mono_features(species, energy), rtol=1e-12)


def test_features_of_a_sum_of_spectra_are_means_by_dose():
    axes, one = mixed(1)
    other = mixed(2)[1]
    LET = stopping_power(axes.Z[:, None], axes.energy_mev_u)
    doses = [np.einsum("sb,sbv->v", LET, fluence) for fluence in (one, other)]
    first, second, both = (radiation_features(axes, fluence) for fluence in (one, other, one + other))
    for n, feature in enumerate(RADIATION):
        if feature.mean == "dose":
            expected = (doses[0] * first[n] + doses[1] * second[n]) / sum(doses)
        else:
            expected = sum(doses) / (doses[0] / first[n] + doses[1] / second[n])
        np.testing.assert_allclose(both[n], expected, rtol=1e-12, err_msg=feature.name)


def test_features_of_a_spectrum_are_those_of_its_ions_one_by_one():
    axes, fluence = mixed(3, voxels=1)
    dose = (stopping_power(axes.Z[:, None], axes.energy_mev_u) * fluence[..., 0]).ravel()
    single = np.array(
        [mono_features(s, e) for s, row in zip(axes.species, axes.energy_mev_u, strict=True) for e in row]
    )
    share = dose / dose.sum()
    harmonic = np.array([feature.mean == "harmonic" for feature in RADIATION])
    slow = share @ single
    slow[harmonic] = 1.0 / (share @ (1.0 / single[:, harmonic]))
    np.testing.assert_allclose(radiation_features(axes, fluence)[:, 0], slow, rtol=1e-11)


def test_the_unit_of_fluence_does_not_matter_and_single_precision_suffices():
    axes, fluence = mixed(4)
    expected = radiation_features(axes, fluence)
    np.testing.assert_allclose(radiation_features(axes, 1e6 * fluence), expected, rtol=1e-12)
    single = radiation_features(axes, fluence.astype(np.float32).reshape(3, 24, 5, 1, 1))
    assert single.dtype == np.float32
    assert single.shape == (len(RADIATION), 5, 1, 1)
    np.testing.assert_allclose(single[..., 0, 0], expected, rtol=2e-5, atol=1e-6)


def test_LET_and_nanometre_features_are_those_of_the_physics_room_along_the_steps_too():
    axes, fluence = mixed(5, species=("C",))
    for step in (None, geant4_step_mm(axes, 2.0)):
        found = radiation_features(axes, fluence, step_mm=step)
        clusters = nanodosimetry_of(axes, fluence, 2.0, step_mm=step)
        damage = damage_yields_of(axes, fluence, ["DSB", "complex_DSB"], step_mm=step)
        for name in ("M1", "F1", "F2", "F3"):
            np.testing.assert_allclose(of(found, f"{name}_2nm"), clusters[name], rtol=1e-10)
        np.testing.assert_allclose(of(found, "DSB_yield"), damage["DSB"], rtol=1e-10)
        np.testing.assert_allclose(of(found, "complex_DSB_yield"), damage["complex_DSB"], rtol=1e-10)
    found = radiation_features(axes, fluence)
    np.testing.assert_allclose(of(found, "LET_d"), LET_d(axes, fluence), rtol=1e-12)
    np.testing.assert_allclose(of(found, "LET_t"), LET_t(axes, fluence), rtol=1e-12)
    above = stopping_power(axes.Z[:, None], axes.energy_mev_u)[..., None] * fluence
    expected = np.where(above / fluence > 20.0, above, 0.0).sum((0, 1)) / above.sum((0, 1))
    np.testing.assert_allclose(of(found, "dose_above_20"), expected, rtol=1e-12)


@pytest.mark.parametrize(("species", "Z", "energy"), [("H", 1, 12.0), ("C", 6, 40.0)])
def test_y_D_and_y_star_are_the_moments_of_the_track_in_the_site(species, Z, energy):
    found = mono_features(species, energy)
    for site, label in ((0.3, "0.3um"), (10.0, "10um")):
        per_y = K / (np.pi * (0.5 * site) ** 2)
        moments = site_moments(0.5 * site, Z, energy, z0=150.0 * per_y)
        assert of(found, f"y_D_{label}") == pytest.approx(moments.z_D / per_y, rel=5e-3)
        assert of(found, f"y_star_{label}") == pytest.approx(moments.z_star / per_y, rel=5e-3)


def test_means_and_shares_of_lineal_energy_are_in_order_for_every_ion():
    axes, fluence = mixed(6, voxels=50)
    found = radiation_features(axes, fluence)
    for site in ("0.1um", "1um", "10um"):
        assert (of(found, f"y_F_{site}") <= of(found, f"y_D_{site}")).all()
        assert (of(found, f"y_star_{site}") <= of(found, f"y_D_{site}")).all()
        assert (of(found, f"y_F_{site}") >= 0.05).all()
        np.testing.assert_allclose(shares(found, site).sum(axis=0), 1.0, rtol=1e-12)
    assert (shares(found) >= 0).all()


def test_the_table_of_lineal_energy_is_close_to_the_tracks_between_its_energies():
    nodes, _ = lineal_table()
    energies = np.exp(0.5 * (nodes[1:] + nodes[:-1]))[5::30]
    for Z in (1, 6):
        slow = np.stack([lineal_features(Z, energy) for energy in energies], axis=-1)
        fast = lineal_at(Z, energies)
        np.testing.assert_allclose(fast[:, 0], slow[:, 0], rtol=0.015)
        np.testing.assert_allclose(fast[:, 1:3], slow[:, 1:3], rtol=0.003)
        np.testing.assert_allclose(fast[:, 3:], slow[:, 3:], atol=0.02)
    assert np.isnan(lineal_at(6, [0.09, 1100.0])).all()
    assert np.isfinite(lineal_at(6, [0.1, 1000.0])).all()


def test_the_shipped_table_is_what_its_script_makes():
    nodes, values = lineal_table()
    energy = float(np.exp(nodes[40]))
    slow = lineal_features(3, energy)
    slow[:, :3] = np.log(slow[:, :3])
    np.testing.assert_allclose(values[2, 40], slow, rtol=2e-5, atol=2e-5)
    script = runpy.run_path(str(Path(__file__).parents[2] / "scripts" / "make_lineal_table.py"))
    assert script["HEAVIEST_Z"] == len(values)


def test_a_table_of_other_sites_or_another_schema_is_refused():
    with pytest.raises(FormatError, match="lineal_table/1"):
        table_from_json({"schema": "surrogate3d.nano_table/1"})
    made_for_others = {"schema": "surrogate3d.lineal_table/1", "site_um": [5.0], "energy_mev_u": [1.0], "values": [[1]]}
    with pytest.raises(FormatError, match="make_lineal_table"):
        table_from_json(json.loads(json.dumps(made_for_others)))


def test_features_rise_with_LET_from_fast_protons_to_carbon():
    proton, carbon = mono_features("H", 150.0), mono_features("C", 15.0)
    for name in ("M1_2nm", "F2_2nm", "complex_DSB_yield", "y_D_1um", "y_star_1um", "LET_d"):
        assert of(carbon, name) > 10 * of(proton, name) or name == "complex_DSB_yield"
    assert of(carbon, "complex_DSB_yield") > 4 * of(proton, "complex_DSB_yield")


def test_of_equal_LET_the_slower_lighter_ion_has_the_larger_y_D():
    helium, carbon = energy_of_LET("He", 60.0), energy_of_LET("C", 60.0)
    assert of(mono_features("He", helium), "y_D_0.3um") > 1.05 * of(mono_features("C", carbon), "y_D_0.3um")


def test_an_unknown_energy_is_found_from_the_LET():
    assert energy_of_LET("C", float(stopping_power(6, 100.0))) == pytest.approx(100.0, rel=1e-4)
    known, unknown = mono_features("He", 20.0), mono_features("He", np.nan, float(stopping_power(2, 20.0)))
    np.testing.assert_allclose(unknown, known, rtol=2e-4, atol=2e-4)


def test_an_ion_beyond_neon_has_the_lineal_energy_of_its_stated_LET_but_no_clusters():
    iron = mono_features("Fe", 200.0, 250.0)
    assert of(iron, "LET_d") == 250.0
    assert np.isnan(iron[: NAMES.index("y_F_0.1um")]).all()
    assert np.isfinite(iron[NAMES.index("y_F_0.1um") :]).all()
    moments = site_moments(0.5, 26, 200.0, LET=250.0)
    assert of(iron, "y_D_1um") == pytest.approx(moments.z_D * np.pi * 0.25 / K, rel=5e-3)
    neon = mono_features("Ne", 100.0)
    assert np.isnan(of(neon, "F2_2nm"))
    assert np.isfinite(of(neon, "y_D_1um"))
    oxygen = mono_features("O", 100.0)
    assert np.isfinite(of(oxygen, "F2_2nm"))
    assert np.isnan(of(oxygen, "DSB_yield"))


def test_a_feature_that_is_not_known_for_a_twentieth_of_the_dose_is_not_known():
    axes = SpectrumAxes(("C", "Ne"), np.array([[90.0, 110.0], [90.0, 110.0]]))
    carbon, neon = stopping_power(6, axes.energy_mev_u[0, 0]), stopping_power(10, axes.energy_mev_u[0, 0])
    fluence = np.array([[[0.96, 0.94, 0.0]], [[0.04, 0.06, 0.0]]]) / np.array([carbon, neon])[:, None, None]
    found = radiation_features(axes, fluence)
    assert of(found, "F2_2nm")[0] == pytest.approx(of(mono_features("C", axes.energy_mev_u[0, 0]), "F2_2nm"))
    assert np.isnan(of(found, "F2_2nm")[1])
    assert np.isfinite(of(found, "y_D_1um")[:2]).all()
    assert np.isnan(found[:, 2]).all()


def test_energies_outside_the_tables_are_not_known():
    slow = mono_features("C", 0.05)
    assert np.isnan(slow[: NAMES.index("LET_d")]).all()
    assert of(slow, "LET_d") == pytest.approx(stopping_power(6, 0.05))
    fast = mono_features("C", 800.0)
    assert np.isnan(of(fast, "M1_2nm"))
    assert np.isfinite(of(fast, "y_D_1um"))


def test_a_spread_out_peak_has_the_stated_LET_and_is_broader_than_one_ion():
    for species, LET in (("H", 2.5), ("He", 20.0), ("C", 60.0)):
        spread, single = spread_out_features(species, np.nan, LET), mono_features(species, energy_of_LET(species, LET))
        assert of(spread, "LET_d") == pytest.approx(LET, rel=1e-6)
        assert of(spread, "LET_t") < 0.9 * LET
        assert of(spread, "y_D_1um") > of(single, "y_D_1um")


def test_the_spectrum_of_a_spread_out_peak_gives_a_flat_dose():
    axes, fluence = spread_out_spectrum("H", 5.0)
    ranges = csda_range_mm(1, 1, axes.edges_mev_u[0])
    tracks = fluence[0]
    # With R ~ E^1.77 an ion of residual range r gives a dose of (r - s)^(1/1.77 - 1) at a distance s further on; the
    # integral of that over each bin. Bins are 6 % wide in range, hence 5 %; equal weights would be off by 30 %.
    q = 1 / 1.77
    distal = ranges[1:][tracks > 0].max()
    doses = []
    for shift in distal * np.array([0.1, 0.3, 0.5]):
        reached = np.maximum(ranges - shift, 0.0) ** q / q
        doses.append((tracks * np.diff(reached) / np.diff(ranges)).sum())
    np.testing.assert_allclose(doses, doses[0], rtol=0.05)


def test_far_before_the_peak_the_spectrum_is_narrow():
    axes, fluence = spread_out_spectrum("C", 12.0)
    inside = axes.energy_mev_u[0][fluence[0] > 0]
    assert inside.min() > 200.0
    assert fluence.sum() == pytest.approx(1.0)


def test_spread_out_peaks_of_heavy_ions_have_a_stated_LET_only():
    argon = spread_out_features("Ar", 100.0, 300.0)
    assert of(argon, "LET_d") == 300.0
    assert np.isfinite(argon).sum() == 1


def test_a_spread_out_peak_without_LET_takes_that_of_its_energy():
    assert of(spread_out_features("H", 30.0), "LET_d") == pytest.approx(stopping_power(1, 30.0), rel=1e-6)


def test_what_contradicts_itself_or_says_too_little_is_refused():
    with pytest.raises(QuantityError, match="contradicts the stated energy"):
        mono_features("C", 100.0, 40.0)
    with pytest.raises(QuantityError, match="neither energy nor LET"):
        mono_features("C", np.nan)
    with pytest.raises(QuantityError, match="neither energy nor LET"):
        spread_out_features("C", np.nan)
    with pytest.raises(QuantityError, match="must be stated"):
        mono_features("Fe", 200.0)
    with pytest.raises(UnknownNameError, match="no element"):
        mono_features("proton", 100.0, 1.0)
    with pytest.raises(ValueRangeError, match="must be positive"):
        mono_features("H", -1.0)
    with pytest.raises(ValueRangeError, match="has an LET from"):
        mono_features("H", np.nan, 500.0)
    with pytest.raises(ValueRangeError, match="a spread-out peak of H"):
        spread_out_features("H", np.nan, 500.0)
    with pytest.raises(GridMismatchError, match="trailing axes"):
        radiation_features(mixed()[0], np.ones((3, 7, 2)))


def test_the_biology_of_a_cell_line_is_its_own():
    hsg = dict(zip([f.name for f in BIOLOGY], biology_features(cell_line("HSG")), strict=True))
    assert (hsg["alpha_x"], hsg["beta_x"]) == (0.313, 0.0615)
    assert hsg["alpha_beta_x"] == pytest.approx(0.313 / 0.0615)
    assert (hsg["is_tumour"], hsg["is_human"], hsg["cycle_asynchronous"], hsg["dna_content_gbp"]) == (1, 1, 1, 6.0)
    v79 = dict(zip([f.name for f in BIOLOGY], biology_features(cell_line("V79"), phase="G1/S"), strict=True))
    assert (v79["is_tumour"], v79["is_human"], v79["cycle_G1"], v79["cycle_S"]) == (0, 0, 0.5, 0.5)
    assert v79["dna_content_gbp"] == 5.6


def test_what_is_not_known_of_cells_is_nan():
    line = dataclasses.replace(cell_line("V79"), name="mine", species="zebra fish", beta_x=0.0)
    found = dict(zip([f.name for f in BIOLOGY], biology_features(line, phase=""), strict=True))
    assert found["beta_x"] == 0.0
    assert all(
        np.isnan(found[name]) for name in ("alpha_beta_x", "is_tumour", "is_human", "cycle_S", "dna_content_gbp")
    )
    with pytest.raises(UnknownNameError, match="phase"):
        biology_features(line, phase="G7")
    with pytest.raises(UnknownNameError, match="class of cells"):
        biology_features(line, cell_class="benign")


def test_logarithms_are_taken_of_what_says_so():
    row = np.concatenate([mono_features("C", 50.0), biology_features(cell_line("V79"))])
    found = transformed(row)
    for n, feature in enumerate(FEATURES):
        expected = np.log(row[n]) if feature.transform == "log" else row[n]
        assert found[n] == pytest.approx(expected), feature.name
    row[0] = 0.0
    assert np.isnan(transformed(row)[0])
    with pytest.raises(GridMismatchError, match="last axis"):
        transformed(row[:3])
