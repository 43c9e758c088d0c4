"""Explained dose and its correction for steps, against walks written out step by step and real runs."""

import numpy as np
import pytest

from surrogate3d.errors import GridMismatchError, UnknownNameError, ValueRangeError
from surrogate3d.grid.spectrum import SpectrumAxes
from surrogate3d.io.convert import convert
from surrogate3d.physics.explained import (
    FAULTS,
    HIGHEST,
    LOWEST,
    SIGMAS,
    SPREAD,
    by_region,
    explained_corrected,
    explained_ratio,
    geant4_step_mm,
    spectrum_fault,
    step_corrected_LET,
)
from surrogate3d.physics.let import bin_LET
from surrogate3d.physics.stopping_power import csda_range_mm, stopping_power

ALL = SpectrumAxes.logarithmic(("H", "He", "C"))
H = SpectrumAxes.logarithmic(("H",))
VOXEL_MM = 2.5


def axes_at(species, energy_mev_u):
    """One narrow bin about an energy."""
    return SpectrumAxes((species,), energy_mev_u * np.array([[0.999, 1.001]]))


def test_the_ratio_is_the_dose_of_the_fluence_over_the_scored_one():
    # PSTAR: 26.05 MeV cm^2/g at 20 MeV; 1e7 per mm^2 are 1e9 per cm^2, and 1 MeV/g is 1.602e-10 Gy
    fluence, dose = np.full((1, 1, 2), 1e7), np.array([2.0, 4.0])
    scored = 1e9 * 26.05 * 1.602176634e-10

    assert explained_ratio(axes_at("H", 20.0), fluence, dose) == pytest.approx(scored / dose, rel=0.01)


def test_no_dose_has_no_ratio_and_a_slab_equals_its_part_of_the_whole():
    rng = np.random.default_rng(3)
    fluence, dose = rng.random((3, 64, 2, 3, 4), dtype=np.float32), rng.random((2, 3, 4))
    dose[1, 2, 3] = 0.0
    whole = explained_ratio(ALL, fluence, dose)

    assert np.isnan(whole[1, 2, 3])
    assert np.isfinite(whole).sum() == 23
    assert explained_ratio(ALL, fluence[..., 1], dose[..., 1]) == pytest.approx(whole[..., 1], rel=1e-6)


def test_foreign_shapes_are_refused():
    fluence = np.ones((1, 64, 2))
    with pytest.raises(GridMismatchError, match="the dose"):
        explained_ratio(H, fluence, np.ones(3))
    with pytest.raises(GridMismatchError, match="fluence must be"):
        explained_ratio(ALL, fluence, np.ones(2))
    with pytest.raises(GridMismatchError, match="must be"):
        explained_ratio(H, fluence, np.ones(2), LET=np.ones((1, 3)))


def test_a_tiny_step_has_the_LET_of_its_start():
    # the range of the slowest bins is 1 um: the step is a hundredth of it
    assert step_corrected_LET(ALL, 1e-5) == pytest.approx(bin_LET(ALL), rel=0.005)
    fast = ALL.energy_mev_u > 5
    assert step_corrected_LET(ALL, 1e-3)[fast] == pytest.approx(bin_LET(ALL)[fast], rel=0.002)


def test_a_particle_that_stops_within_its_step_leaves_all_its_energy_in_its_range():
    R = csda_range_mm(ALL.Z[:, None], np.array([[1], [4], [12]]), ALL.energy_mev_u)
    energy = np.array([[1], [4], [12]]) * ALL.energy_mev_u

    assert step_corrected_LET(ALL, 1e6) == pytest.approx(energy / R, rel=1e-4)


@pytest.mark.parametrize(("species", "Z", "A"), [("H", 1, 1), ("C", 6, 12)])
@pytest.mark.parametrize(("energy", "step_mm"), [(100.0, 2.5), (20.0, 2.0), (4.0, 0.05)])
def test_the_mean_over_a_step_is_that_of_a_walk_in_small_steps(species, Z, A, energy, step_mm):
    if species == "C":
        step_mm /= 3
    E, n = energy, 4000
    for _ in range(n):  # midpoint rule for dE/dx = -S(E)/A
        half = E - 0.5 * step_mm / n * float(stopping_power(Z, E)) / A
        E -= step_mm / n * float(stopping_power(Z, half)) / A

    assert step_corrected_LET(axes_at(species, energy), step_mm) == pytest.approx(A * (energy - E) / step_mm, rel=1e-3)


def test_steps_follow_the_step_function_and_end_at_the_voxel():
    # PSTAR: 10 MeV protons have a range of 1.230 mm: 0.2 R + 0.08 mm (2 - 0.1 mm / R)
    assert geant4_step_mm(axes_at("H", 10.0), VOXEL_MM) == pytest.approx(0.3995, rel=0.01)
    assert geant4_step_mm(axes_at("H", 10.0), VOXEL_MM, "option4") == pytest.approx(0.211, rel=0.01)
    assert geant4_step_mm(axes_at("H", 10.0), 0.3) == pytest.approx(0.3)
    assert geant4_step_mm(axes_at("H", 100.0), VOXEL_MM) == pytest.approx(VOXEL_MM)
    slow = axes_at("H", 1.0)  # 24.6 um: stops in one step
    assert geant4_step_mm(slow, VOXEL_MM) == pytest.approx(csda_range_mm(1, 1, 1.0))


def test_impossible_steps_and_unknown_step_functions_are_refused():
    with pytest.raises(UnknownNameError, match="option4"):
        geant4_step_mm(H, VOXEL_MM, "emstandard")
    with pytest.raises(ValueRangeError, match="positive"):
        geant4_step_mm(H, 0.0)
    for step in (0.0, -1.0, np.nan):
        with pytest.raises(ValueRangeError, match="positive"):
            step_corrected_LET(H, step)


def walked(voxels):
    """(bin,) path lengths in a voxel and energy lost there, of protons that stop evenly up to so many voxels behind."""
    energies = np.geomspace(1e-4, 200, 20_000)
    ranges = csda_range_mm(1, 1, energies)
    paths, lost = np.zeros(64), 0.0
    for behind in np.linspace(*voxels, 200, endpoint=False) + 0.0025:
        R, left = behind * VOXEL_MM, VOXEL_MM
        while R > 1e-9 and left > 1e-9:
            allowed = 0.2 * R + 0.08 * (2 - 0.1 / R) if R > 0.1 else R
            step = min(allowed, left)
            before = np.interp(R, ranges, energies)
            after = np.interp(R - step, ranges, energies) if step < R else 0.0
            if before >= 0.1:
                paths[np.searchsorted(H.edges_mev_u[0], before, side="right") - 1] += step
            lost += before - after
            R, left = R - step, left - step
    return paths, lost


@pytest.mark.parametrize(("voxels", "raw"), [((0, 1), 0.824), ((16, 30), 0.99)])
def test_booking_steps_at_their_start_loses_what_the_correction_gives_back(voxels, raw):
    # 0.824 is what a TOPAS run has in the voxels where its protons stop
    paths, lost = walked(voxels)
    fluence, dose = paths[None, :, None], np.array([lost * 0.1602176634e-6])

    assert explained_ratio(H, fluence, dose) == pytest.approx(raw, abs=0.01)
    corrected = explained_corrected(H, fluence, dose, geant4_step_mm(H, VOXEL_MM))
    assert corrected == pytest.approx(1.0, abs=0.01)


def test_faults_are_what_noise_cannot_do():
    n = 400.0
    noise = SIGMAS * SPREAD / np.sqrt(n)
    ratio = np.array([0.0, np.nan, 1.0, LOWEST - 0.9 * noise, LOWEST - 1.1 * noise, HIGHEST + 1.1 * noise, 0.0])
    tracks = np.array([0.0, 0.0, n, n, n, n, n])

    assert spectrum_fault(ratio, tracks).tolist() == [1, 0, 0, 0, 2, 3, 2]
    assert spectrum_fault(ratio, tracks).dtype == np.uint8
    assert set(FAULTS) == {0, 1, 2, 3}
    # one track proves nothing
    assert spectrum_fault(np.array([0.1, 2.0]), np.ones(2)).tolist() == [0, 0]


def test_faults_need_tracks_of_the_same_voxels():
    with pytest.raises(GridMismatchError, match="tracks"):
        spectrum_fault(np.ones(3), np.ones(4))


def test_regions_are_summarised_each():
    ratio = np.array([1.0, 2.0, 3.0, np.nan, 7.0])
    regions = {"front": np.array([1, 1, 1, 1, 0], bool), "nowhere": np.zeros(5, bool)}
    found = by_region(ratio, regions)

    assert found["front"] == pytest.approx({"median": 2.0, "p5": 1.1, "p95": 2.9, "n": 3})
    assert found["nowhere"]["n"] == 0
    assert np.isnan(found["nowhere"]["median"])
    with pytest.raises(GridMismatchError, match="front"):
        by_region(ratio[:3], regions)


def test_a_plan_that_took_no_part_is_explained_along_its_depth(topas_data):
    field, _ = convert([topas_data("proton_shallow_low")])
    axes, fluence, dose = field.spectra.axes, field.spectra.fluence, field.dose
    irradiated = dose >= 0.05 * dose.max()
    tracks = fluence.sum(axis=(0, 1)) * VOXEL_MM**2

    def along_depth(ratio):
        """Median of each depth with more than five irradiated voxels."""
        masks = [irradiated[..., k] for k in range(dose.shape[2])]
        return np.array([np.median(ratio[..., k][mask]) for k, mask in enumerate(masks) if mask.sum() > 5])

    raw = explained_ratio(axes, fluence, dose)
    corrected = explained_corrected(axes, fluence, dose, geant4_step_mm(axes, VOXEL_MM))
    assert np.std(along_depth(raw)) > 0.04  # measured: 0.049 before, 0.004 after
    assert np.std(along_depth(corrected)) < 0.01
    assert np.median(corrected[irradiated]) == pytest.approx(1.0, abs=0.01)
    for ratio in (raw, corrected):
        assert not spectrum_fault(ratio, tracks)[irradiated].any()
    # spectra and dose that do not belong together
    assert (spectrum_fault(2.0 * corrected, tracks)[irradiated & (tracks > 20)] == 3).all()
