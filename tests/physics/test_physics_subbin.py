"""Spectra in few bins put on many."""

import numpy as np
import pytest

from surrogate3d.errors import GridMismatchError, UnknownNameError, ValueRangeError
from surrogate3d.grid import SpectrumAxes
from surrogate3d.physics.explained import STEP_FUNCTIONS, StepFunction
from surrogate3d.physics.mixing import mono_table, zr_table
from surrogate3d.physics.stopping_power import csda_range_mm, stopping_power
from surrogate3d.physics.subbin import TEMPERATURE_MEV, between, booked_range, refined

FINE = SpectrumAxes.logarithmic(("H", "He"))
STEP_MM = 2.5


def coarse(number):
    return SpectrumAxes.logarithmic(("H", "He"), number)


def summed(fluence, number):
    """The 64 bins summed to fewer: the slow twin of scoring them."""
    return fluence.reshape(len(fluence), number, -1, *fluence.shape[2:]).sum(axis=2)


@pytest.fixture(scope="module")
def noisy():
    """(2, 64, 3, 4, 5) counts of a falling spectrum with empty bins."""
    rng = np.random.default_rng(3)
    mean = np.exp(-0.5 * ((np.arange(64) - 44) / 12) ** 2)[None, :, None, None, None]
    return rng.poisson(20 * mean * rng.uniform(0, 1, (2, 1, 3, 4, 5)), (2, 64, 3, 4, 5)).astype(np.float32)


def on_fine(fluence, number, **others):
    under = np.zeros((2, *fluence.shape[2:]), np.float32)
    return refined(coarse(number), summed(fluence, number), under, FINE, "H", STEP_MM, **others)


@pytest.mark.parametrize("number", [32, 16, 8, 4])
def test_every_scored_bin_keeps_its_fluence(noisy, number):
    assert summed(on_fine(noisy, number), number) == pytest.approx(summed(noisy, number), rel=1e-5, abs=1e-4)


@pytest.mark.parametrize("number", [32, 16, 8, 4])
def test_no_fluence_is_negative_and_empty_bins_stay_empty(noisy, number):
    made = on_fine(noisy, number)
    assert (made >= 0).all()
    empty = summed(noisy, number) == 0
    assert empty.any()
    assert (summed(made, number)[empty] == 0).all()


def test_bins_that_are_wanted_as_scored_come_back_as_they_were(noisy):
    under = np.zeros((2, 3, 4, 5), np.float32)
    assert refined(FINE, noisy, under, FINE, "H", STEP_MM) == pytest.approx(noisy, rel=1e-5, abs=1e-4)


def test_what_lies_outside_of_the_wanted_bins_is_left_out(noisy):
    above_one = SpectrumAxes(FINE.species, FINE.edges_mev_u[:, 17:])
    made = refined(FINE, noisy, np.zeros((2, 3, 4, 5), np.float32), above_one, "H", STEP_MM)
    assert made == pytest.approx(noisy[:, 17:], rel=1e-5, abs=1e-4)


def test_fluence_below_the_first_edge_is_a_bin_of_its_own(noisy):
    """17 bins as an underflow: their sum comes back below the edge, and no other bin has it."""
    above_one = SpectrumAxes(FINE.species, FINE.edges_mev_u[:, 17:])
    made = refined(above_one, noisy[:, 17:], noisy[:, :17].sum(axis=1), FINE, "H", STEP_MM)
    assert made[:, 17:] == pytest.approx(noisy[:, 17:], rel=1e-5, abs=1e-4)
    assert (made[:, :17].sum(axis=1) <= noisy[:, :17].sum(axis=1) * (1 + 1e-5)).all()


def test_a_slowing_down_spectrum_is_recovered_from_two_bins():
    """In residual range it is flat, so that any two bins tell it: Phi dE = dE / S, the textbook result without loss."""
    E = np.linspace(0.0, 200.0, 301)
    R = csda_range_mm(1, 1, E)
    halves = np.array([[R[90]], [R[-1] - R[90]]])
    found = between(R[[0, 90, -1]], halves, np.zeros((1, 1)), R)[:, 0]
    middle = 0.5 * (E[1:] + E[:-1])
    assert found == pytest.approx(np.diff(R), rel=1e-9)
    assert found[50:] == pytest.approx(np.diff(E)[50:] / stopping_power(1, middle[50:]), rel=1e-3)


def test_with_short_steps_the_coordinate_is_the_residual_range():
    """A step limit of 1 um leaves pre-step booking nothing to jump over; half a step is lost at the start."""
    E = np.array([1.0, 2.0, 3.0])
    assert booked_range("H", E, "H", 1e-3) == pytest.approx(csda_range_mm(1, 1, E), abs=1e-3)


def followed(E_mev, particles=4000, longest=STEP_MM):
    """Slow twin: protons from far above, one by one, each step booked whole at the range before it."""
    f, F = STEP_FUNCTIONS["default"][0]
    rng, below = np.random.default_rng(1), 0.0
    ends = csda_range_mm(1, 1, E_mev)
    for R in rng.uniform(40.0, 40.0 + longest, particles):
        to_face = rng.uniform(0, longest)
        while R > 1e-9:
            step = min(f * R + F * (1 - f) * (2 - F / R) if R > F else R, to_face, R)
            below += step * (ends >= R)
            R -= step
            to_face = longest if to_face - step < 1e-9 else to_face - step
    return below / particles


@pytest.mark.parametrize("energy", [2.0, 4.0, 10.0])
def test_booked_length_is_that_of_particles_followed_one_by_one(energy):
    assert float(booked_range("H", energy, "H", STEP_MM)) == pytest.approx(followed(energy), rel=0.04)


def test_a_particle_that_stops_in_one_step_books_nothing_on_the_way():
    """With a final range above the voxel, what starts far above is booked at faces alone, and evenly."""
    assert StepFunction(0.2, 0.1) == STEP_FUNCTIONS["default"][0]
    below = booked_range("H", np.array([0.5, 1.0]), "H", STEP_MM)
    assert (below < 0.2 * csda_range_mm(1, 1, np.array([0.5, 1.0]))).all()


def test_helium_of_a_proton_beam_is_emitted_with_the_stated_temperature():
    """Booked length between two energies over that of helium that comes from above: (1 + x) exp(-x)."""
    edges = np.array([1.99, 2.01])
    ours, above = (np.diff(booked_range("He", edges, beam, STEP_MM))[0] for beam in ("H", "He"))
    x = 4 * 2.0 / TEMPERATURE_MEV
    assert ours / above == pytest.approx((1 + x) * np.exp(-x), rel=0.02)


def test_a_narrow_peak_in_the_middle_of_a_bin_stays_in_the_bin():
    fluence = np.zeros((2, 64, 1, 1, 1), np.float32)
    fluence[:, 45] = 1.0
    made = on_fine(fluence, 16)
    assert made[:, 44:48].sum(axis=1) == pytest.approx(1.0, rel=1e-5)
    assert made[:, :44].sum() == made[:, 48:].sum() == 0


def test_alpha_of_a_smooth_spectrum_in_eight_bins_is_nearer_than_with_bins_at_their_middle():
    """Against all 64 bins; the spectrum is that of protons of 100 MeV and less, even in range."""
    below = np.minimum(FINE.edges_mev_u, 100.0)
    fluence = np.stack([np.diff(booked_range(s, below[n], "H", STEP_MM)) for n, s in enumerate(FINE.species)])
    fluence = fluence[:, :, None, None, None] * np.array([1.0, 1e-3])[:, None, None, None, None]
    table = mono_table("HSG")
    truth = zr_table(FINE, fluence, table)[0]
    ours = zr_table(FINE, on_fine(fluence, 8), table)[0] / truth - 1
    middle = zr_table(coarse(8), summed(fluence, 8), table)[0] / truth - 1
    assert abs(ours.item()) < 0.002 < 0.5 * abs(middle.item())


def test_species_and_shapes_must_fit(noisy):
    under = np.zeros((2, 3, 4, 5), np.float32)
    other = SpectrumAxes.logarithmic(("H",))
    with pytest.raises(GridMismatchError, match="wanted are bins"):
        refined(FINE, noisy, under, other, "H", STEP_MM)
    with pytest.raises(GridMismatchError, match="spectra must be"):
        refined(FINE, noisy[:, :32], under, FINE, "H", STEP_MM)
    with pytest.raises(GridMismatchError, match="below"):
        refined(FINE, noisy, under[:1], FINE, "H", STEP_MM)


def test_steps_without_meaning_are_refused():
    with pytest.raises(ValueRangeError, match="longest step"):
        booked_range("H", 1.0, "H", 0.0)
    with pytest.raises(UnknownNameError, match="step function"):
        booked_range("H", 1.0, "H", 1.0, "finest")
