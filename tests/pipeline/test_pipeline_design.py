"""From fields to chosen and simulated voxels."""

from dataclasses import replace

import numpy as np
import pytest
from synthetic import AXES, make_field, prescribed

from surrogate3d.direct.gsm2_fft import Gsm2Fft
from surrogate3d.errors import StoreError, UnknownNameError
from surrogate3d.grid import SpectrumAxes
from surrogate3d.io.field_store import write_field
from surrogate3d.physics.let import bin_dose
from surrogate3d.pipeline.design import (
    SimulationSettings,
    features,
    read_fields,
    sample,
    simulate,
    simulated,
    tasks,
    voxel_task,
)
from surrogate3d.sampling import SelectedVoxel

FIELD = make_field(seed=2, tracks=4000)
FAST = SimulationSettings(backend="gsm2_fft", seed=3)
VOXELS = [SelectedVoxel("F", v, "chosen", None) for v in ((4, 5, 2), (3, 4, 7), (5, 3, 4))]


def test_fields_are_known_by_their_id_in_order(tmp_path):
    ids = [write_field(make_field(seed=n), tmp_path / f"{n}.field.zarr") for n in (2, 1)]
    found = read_fields([tmp_path / "2.field.zarr", tmp_path / "1.field.zarr"])
    assert list(found) == ids
    np.testing.assert_array_equal(found[ids[1]].dose, make_field(seed=1).dose)


def test_features_are_dose_fractions_of_all_species_of_the_irradiated_voxels():
    """He is pooled, H hardly: the columns of a species that was not scored are zero, and every row sums to one."""
    within = np.zeros(FIELD.grid.shape, bool)
    within[2:7] = True
    found = features("F", FIELD, ["H", "He", "C"], 0.2, within)
    mask = (FIELD.dose >= 0.2 * FIELD.dose.max()) & within
    np.testing.assert_array_equal(found.voxels, np.argwhere(mask))
    np.testing.assert_array_equal(found.dose, FIELD.dose[mask])
    rows = found.dose_fractions.reshape(len(found.voxels), 3, AXES.n_bins)
    np.testing.assert_allclose(rows.sum(axis=(1, 2)), 1.0, rtol=1e-5)
    assert not rows[:, 2].any()
    # Pooling moves no dose from one species to another by much: shares of the field stay what they were.
    dose = bin_dose(AXES, FIELD.spectra.fluence)[:, :, mask].sum(axis=(1, 2))
    weights = FIELD.dose[mask]
    np.testing.assert_allclose(weights @ rows.sum(axis=2)[:, :2] / weights.sum(), dose / dose.sum(), rtol=0.2)


def test_species_of_any_field_have_their_column():
    carbon = make_field(seed=1, axes=SpectrumAxes(("H", "C"), AXES.edges_mev_u))
    selection = sample({"F": FIELD, "G": carbon}, budget=6, cube_mm=6.0, seed=1, n_worst=2, n_random=3)
    chosen = {voxel.field_id for voxel in selection.voxels}
    assert chosen == {"F", "G"}
    assert sum(voxel.role == "chosen" for voxel in selection.voxels) == 6


def test_the_choice_is_confined_to_where_it_is_asked_for():
    within = np.zeros(FIELD.grid.shape, bool)
    within[3:6, 3:6] = True
    selection = sample({"F": FIELD}, 5, 6.0, 1, 2, 3, within={"F": within})
    assert all(within[voxel.voxel] for voxel in selection.voxels)
    assert all(FIELD.dose[voxel.voxel] >= 0.05 * FIELD.dose.max() for voxel in selection.voxels)


def test_a_task_holds_the_spectrum_of_its_own_voxel():
    task = voxel_task(FIELD, (3, 4, 7), ("HSG", "V79"), "F")
    np.testing.assert_array_equal(task.fluence, FIELD.spectra.fluence[:, :, 3, 4, 7])
    assert task.dose_gy == FIELD.dose[3, 4, 7]
    assert (task.voxel, task.field_id, task.cell_lines) == ((3, 4, 7), "F", ("HSG", "V79"))
    assert task.explained == pytest.approx(0.95, rel=1e-5)


def test_a_prescription_changes_no_task():
    one, other = (voxel_task(f, (3, 4, 7), ("HSG",), "F") for f in (FIELD, prescribed(FIELD, 2.0)))
    np.testing.assert_allclose(one.fluence_per_gy, other.fluence_per_gy, rtol=1e-5)
    assert other.explained == pytest.approx(one.explained, rel=1e-5)


def test_a_voxel_of_a_field_that_was_not_given_is_refused():
    with pytest.raises(UnknownNameError, match="field G, which was not given; given: F"):
        tasks([replace(VOXELS[0], field_id="G")], {"F": FIELD}, ("HSG",))


def test_what_was_simulated_is_found_again_and_nothing_else(tmp_path):
    fields, told = {"F": FIELD}, []
    made = simulate(VOXELS, fields, tmp_path / "ledger", FAST, lambda done, of: told.append((done, of)))
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert [r.voxel for r in made] == [v.voxel for v in VOXELS]
    assert simulated(VOXELS, fields, tmp_path / "ledger", FAST) == made
    assert simulated(VOXELS[::-1], fields, tmp_path / "ledger", FAST) == made[::-1]
    direct = Gsm2Fft().simulate([voxel_task(FIELD, VOXELS[1].voxel, ("HSG",), "F")], FAST.seed)
    assert made[1].survival == direct[0].survival
    other = [*VOXELS, SelectedVoxel("F", (4, 4, 4), "chosen", None)]
    with pytest.raises(StoreError, match="3 of 4 responses for gsm2_fft"):
        simulated(other, fields, tmp_path / "ledger", FAST)


def test_an_unknown_back_end_is_refused(tmp_path):
    with pytest.raises(UnknownNameError, match="gsm3"):
        simulate(VOXELS, {"F": FIELD}, tmp_path / "ledger", replace(FAST, backend="gsm3"))
