"""Dose and LET of spectra, against sums written out by hand."""

import numpy as np
import pytest

from surrogate3d.errors import GridMismatchError
from surrogate3d.grid.spectrum import SpectrumAxes
from surrogate3d.physics.let import LET_d, LET_t, bin_dose, bin_LET, dose_from_spectra
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
