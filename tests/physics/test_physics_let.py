"""Dose and LET of spectra, against sums written out by hand."""

from dataclasses import replace

import numpy as np
import pytest

from surrogate3d.errors import GridMismatchError, QuantityError, UnknownNameError, UnsupportedError, ValueRangeError
from surrogate3d.grid.spectrum import SpectrumAxes
from surrogate3d.io.convert import convert
from surrogate3d.physics.explained import geant4_step_mm, step_corrected_LET
from surrogate3d.physics.let import (
    LET_d,
    LET_of,
    LET_t,
    bin_dose,
    bin_LET,
    definition_difference,
    definition_of,
    dose_from_spectra,
    dose_of_LET,
    largest_species,
    restricted_LET,
)
from surrogate3d.physics.stopping_power import stopping_power

AXES = SpectrumAxes(("H", "C"), np.array([[1.0, 4.0, 100.0], [10.0, 40.0, 250.0]]))


def test_bin_LET_is_taken_at_the_geometric_mean():
    expected = [[stopping_power(1, 2.0), stopping_power(1, 20.0)], [stopping_power(6, 20.0), stopping_power(6, 100.0)]]

    assert bin_LET(AXES) == pytest.approx(np.array(expected))


def test_dose_of_a_known_fluence():
    # 1 Gy = 1 J/kg: 1e7 protons per mm^2 of 20 MeV (PSTAR: 26.05 MeV cm^2/g electronic)
    fluence = np.zeros((2, 2))
    fluence[0, 1] = 1e7
    expected = 1e7 * 100 * 26.05 * 1.602176634e-10  # per cm^2, MeV cm^2/g, Gy per MeV/g

    assert dose_from_spectra(AXES, fluence) == pytest.approx(expected, rel=0.01)
    assert bin_dose(AXES, fluence)[0, 1] == pytest.approx(expected, rel=0.01)


def test_averages_are_the_weighted_sums():
    fluence = np.array([[3.0, 5.0], [0.5, 2.0]])
    L = np.array([stopping_power(1, 2.0), stopping_power(1, 20.0), stopping_power(6, 20.0), stopping_power(6, 100.0)])

    assert LET_t(AXES, fluence) == pytest.approx(np.average(L, weights=fluence.ravel()))
    assert LET_d(AXES, fluence) == pytest.approx(np.average(L, weights=fluence.ravel() * L))


def test_trailing_axes_are_kept_and_each_voxel_stands_alone():
    fluence = np.random.default_rng(7).random((2, 2, 3, 4, 5)).astype(np.float32)

    for function in (LET_d, LET_t, dose_from_spectra):
        whole = function(AXES, fluence)
        assert whole.shape == (3, 4, 5)
        assert whole[1, 2, 3] == pytest.approx(function(AXES, fluence[..., 1, 2, 3]), rel=1e-6)
    assert bin_dose(AXES, fluence).shape == fluence.shape
    assert bin_dose(AXES, fluence).dtype == np.float32
    assert bin_dose(AXES, fluence).sum(axis=(0, 1)) == pytest.approx(dose_from_spectra(AXES, fluence), rel=1e-6)


def test_LET_does_not_depend_on_the_scale_of_the_fluence():
    fluence = np.random.default_rng(8).random((2, 2, 6))

    assert LET_d(AXES, 1e9 * fluence) == pytest.approx(LET_d(AXES, fluence))
    assert (LET_d(AXES, fluence) >= LET_t(AXES, fluence)).all()


def test_no_fluence_gives_nan_LET_and_zero_dose():
    fluence = np.zeros((2, 2, 2))
    fluence[0, 0, 1] = 1.0

    assert np.isnan(LET_d(AXES, fluence)).tolist() == [True, False]
    assert np.isnan(LET_t(AXES, fluence)).tolist() == [True, False]
    assert dose_from_spectra(AXES, fluence)[0] == 0


@pytest.mark.parametrize("function", [LET_d, LET_t, bin_dose, dose_from_spectra])
def test_foreign_shapes_are_refused(function):
    with pytest.raises(GridMismatchError, match="fluence must be"):
        function(AXES, np.ones((2, 3, 4)))


def bethe(beta2, cut_mev, largest_mev):
    """Restricted energy loss by the Review of Particle Physics, up to its constant; no shells, no density effect."""
    inner = 2 * 0.51099895 * beta2 / (1 - beta2) * cut_mev / (75e-6) ** 2
    return (0.5 * np.log(inner) - 0.5 * beta2 * (1 + cut_mev / largest_mev)) / beta2


@pytest.mark.parametrize("cut_kev", [1.0, 10.0, 100.0])
@pytest.mark.parametrize("energy", [60.0, 150.0, 400.0])
def test_restricted_LET_is_that_of_the_closed_form(energy, cut_kev):
    axes = SpectrumAxes(("H",), energy * np.array([[0.999, 1.001]]))
    gamma = 1 + energy / 931.494
    beta2, r = 1 - 1 / gamma**2, 0.51099895 / 931.494
    largest = 2 * 0.51099895 * (gamma**2 - 1) / (1 + 2 * gamma * r + r**2)
    cut = min(cut_kev / 1e3, largest)
    expected = bethe(beta2, cut, largest) / bethe(beta2, largest, largest)

    assert restricted_LET(axes, cut_kev) / bin_LET(axes) == pytest.approx(expected, abs=0.004)
    # 0.307075 MeV cm^2/mol; the stopping powers of the engine are MSTAR's, within 1 % of it
    assert restricted_LET(axes, cut_kev) == pytest.approx(0.0307075 * 0.5551 * bethe(beta2, cut, largest), rel=0.012)


def test_what_is_cut_is_the_energy_of_the_delta_electrons():
    # slow twin: Rutherford electrons of a fully stripped ion, counted energy by energy
    energy, cut = 200.0, 5.0
    axes = SpectrumAxes(("C",), energy * np.array([[0.999, 1.001]]))
    gamma = 1 + energy / 931.494
    beta2, r = 1 - 1 / gamma**2, 0.51099895 / (12 * 931.494)
    largest = 1e3 * 2 * 0.51099895 * (gamma**2 - 1) / (1 + 2 * gamma * r + r**2)
    T = np.geomspace(cut, largest, 20_001)
    spectrum = 0.5 * 0.0307075 * 0.5551 * 36 / beta2 * (1 - beta2 * T / largest) / T**2  # 1/keV, per um
    taken = np.trapezoid(T * spectrum, T)

    assert bin_LET(axes) - restricted_LET(axes, cut) == pytest.approx(taken, rel=0.01)


def test_no_cut_touches_particles_that_cannot_reach_it():
    axes = SpectrumAxes.logarithmic(("H", "C"))
    slow = axes.energy_mev_u < 4  # their electrons get 8.8 keV at most
    restricted = restricted_LET(axes, 10.0)

    assert (restricted[slow] == bin_LET(axes)[slow]).all()
    assert (restricted <= bin_LET(axes)).all()
    assert (restricted_LET(axes, 0.1) > 0).all()
    with pytest.raises(ValueRangeError, match=r"at least 0\.1 keV"):
        restricted_LET(axes, 0.05)


def test_LET_of_the_whole_spectrum_is_the_plain_one():
    fluence = np.random.default_rng(9).random((2, 2, 5))

    assert LET_of(AXES, fluence, "dose") == pytest.approx(LET_d(AXES, fluence))
    assert LET_of(AXES, fluence, "track") == pytest.approx(LET_t(AXES, fluence))


def test_species_and_cuts_count_as_declared():
    fluence = np.array([[3.0, 5.0], [0.5, 2.0]])
    L = restricted_LET(AXES, 1.0)

    found = LET_of(AXES, fluence, "track", species=("H",), restricted_kev=1.0)
    assert found == pytest.approx(np.average(L[0], weights=fluence[0]))
    found = LET_of(AXES, fluence, "dose", restricted_kev=1.0)
    assert found == pytest.approx(np.average(L, weights=fluence * L))
    given = 2 * bin_LET(AXES)
    assert LET_of(AXES, fluence, "dose", species=("C",), LET=given) == pytest.approx(
        np.average(given[1], weights=fluence[1] * given[1])
    )
    assert np.isnan(LET_of(AXES, fluence * [[0], [1]], "dose", species=("H",)))


def test_definitions_that_cannot_be_derived_are_refused():
    fluence = np.ones((2, 2))
    with pytest.raises(UnsupportedError, match="only stopping powers of water"):
        LET_of(AXES, fluence, "dose", medium="bone")
    with pytest.raises(UnknownNameError, match="the field has H, C"):
        LET_of(AXES, fluence, "dose", species=("H", "He"))
    with pytest.raises(UnknownNameError, match="any species"):
        LET_of(AXES, fluence, "dose", species=())
    with pytest.raises(QuantityError, match="'dose' or 'track'"):
        LET_of(AXES, fluence, "fluence")
    with pytest.raises(GridMismatchError, match="must be"):
        LET_of(AXES, fluence, "dose", LET=np.ones((1, 2)))


def test_definitions_say_what_was_derived_and_in_what_two_differ():
    all_ions = definition_of(AXES, "dose")
    protons = definition_of(AXES, "dose", species=("H",), restricted_kev=10)

    assert all_ions.particles == "H, C, all isotopes, primary and secondary"
    assert all_ions.medium == "water"
    assert definition_difference(all_ions, replace(all_ions, source="a paper")) == []
    differences = definition_difference(all_ions, protons)
    assert [text.split(":")[0] for text in differences] == ["particles", "restricted"]
    theirs = replace(all_ions, weighting="track", medium="local", max_scored_kev_um=100.0)
    names = [text.split(":")[0] for text in definition_difference(all_ions, theirs)]
    assert names == ["weighting", "medium", "max_scored_kev_um"]
    assert "None against 100.0" in definition_difference(all_ions, theirs)[-1]


def test_dose_of_another_LET_scales_with_it():
    fluence = np.random.default_rng(4).random((2, 2, 3))

    assert dose_of_LET(AXES, fluence, bin_LET(AXES)) == pytest.approx(dose_from_spectra(AXES, fluence))
    assert dose_of_LET(AXES, fluence, 3 * bin_LET(AXES)) == pytest.approx(3 * dose_from_spectra(AXES, fluence))


def test_protons_have_the_LET_that_TOPAS_scored_once_their_steps_are_known(topas_data):
    field, _ = convert([topas_data("proton_slab_low")])
    dose, spectra = field.dose, field.spectra
    axes, fluence = SpectrumAxes(("H",), spectra.axes.edges_mev_u[:1]), spectra.fluence[:1]
    irradiated = dose >= 0.05 * dose.max()
    walked = step_corrected_LET(axes, geant4_step_mm(axes, 2.5))

    for weighting, raw in (("dose", 0.886), ("track", 0.975)):  # measured medians
        scored = field.volumes["LET_d" if weighting == "dose" else "LET_t"].values[irradiated]
        plain = (LET_of(axes, fluence, weighting)[irradiated]) / scored
        stepped = LET_of(axes, fluence, weighting, LET=walked)[irradiated] / scored
        assert np.median(plain) == pytest.approx(raw, abs=0.01)
        low, middle, high = np.percentile(stepped, [5, 50, 95])  # measured: 0.992, 1.008 (1.005 by track), 1.052
        assert low > 0.98
        assert middle == pytest.approx(1.0, abs=0.015)
        assert high < 1.07


def test_the_largest_species_is_that_of_most_dose_not_of_most_tracks():
    """Carbon of 20 MeV/u deposits about 35 times as much as protons of that energy."""
    fluence = np.zeros((2, 2, 3, 1, 2), np.float32)
    fluence[0, 1], fluence[1, 0] = 25.0, 1.0
    assert largest_species(AXES, fluence) == "C"
    fluence[1] = 0.1
    assert largest_species(AXES, fluence) == "H"
    assert largest_species(AXES, 1e-6 * fluence) == "H"
    assert largest_species(AXES, fluence[..., 0, 0, 0]) == "H"  # of a single voxel


def test_the_largest_species_is_of_the_whole_field():
    fluence = np.zeros((2, 2, 4))
    fluence[0, 0] = [9.0, 9.0, 9.0, 0.0]  # protons in three voxels, carbon in one
    fluence[1, 1, 3] = 1e3
    by_voxel = dose_from_spectra(AXES, fluence)
    assert largest_species(AXES, fluence) == ("C" if by_voxel[3] > by_voxel[:3].sum() else "H")
    assert by_voxel[3] > by_voxel[:3].sum()
