"""Maps of a whole field by a back end of direct simulation."""

import json
from dataclasses import replace

import nibabel
import numpy as np
import pytest
from synthetic import make_field, prescribed

from surrogate3d.direct.campaign import in_process
from surrogate3d.direct.ledger import Ledger
from surrogate3d.direct.simulator import simulator
from surrogate3d.errors import PrescriptionError, UnusableError
from surrogate3d.grid import Beam, Volume, VolumeSet, quantity
from surrogate3d.inference.maps import PRESCRIBED, Fractionation
from surrogate3d.io.field_store import write_field
from surrogate3d.physics.linear_quadratic import effect
from surrogate3d.physics.mixing import mono_table, zr_table
from surrogate3d.pipeline.conditions import OXYGEN
from surrogate3d.pipeline.direct_maps import ALWAYS, DirectSettings, direct_maps, direct_store
from surrogate3d.pipeline.spectrum_checks import checked


def explained(field):
    """The field with the dose that its spectra explain along the steps of a simulation, so that none is faulty."""
    ratio = checked(field).volumes["explained_corrected"].values
    dose = Volume(field.grid, (field.dose * ratio).astype(np.float32), quantity(field.dose_name))
    return replace(field, volumes=VolumeSet(field.grid, {field.dose_name: dose}))


FIELD = explained(make_field(seed=2, tracks=4000))
TWO_GY = Fractionation(2.0)
TABLE = DirectSettings(simulator("zr_table"), "HSG", min_dose_fraction=0.6)


def maps(field, settings, tmp_path, fractionation=TWO_GY):
    return direct_maps(field, "F", settings, fractionation, tmp_path, in_process)


def test_the_table_gives_its_own_maps_where_there_is_enough_dose(tmp_path):
    made = maps(FIELD, TABLE, tmp_path)
    alpha, beta = zr_table(FIELD.spectra.axes, FIELD.spectra.fluence, mono_table("HSG"))
    inside = FIELD.dose >= 0.6 * FIELD.dose.max()
    assert tuple(made.volumes) == (*ALWAYS, "outside")
    np.testing.assert_array_equal(np.isfinite(made.volumes["alpha"].values), inside)
    np.testing.assert_allclose(made.volumes["alpha"].values[inside], alpha[inside], rtol=1e-5)
    np.testing.assert_allclose(made.volumes["beta"].values[inside], beta[inside], rtol=1e-4)
    assert made.failures == []
    assert not np.nansum(made.volumes["outside"].values)
    assert len(made.responses) == inside.sum()


def test_a_prescribed_field_has_maps_at_its_own_dose(tmp_path):
    field = prescribed(FIELD, 2.0)
    made = maps(field, TABLE, tmp_path)
    alpha, beta = (np.asarray(made.volumes[name].values, float) for name in ("alpha", "beta"))
    np.testing.assert_allclose(made.volumes["effect"].values, effect(field.dose, alpha, beta), rtol=1e-4)
    assert set(PRESCRIBED) <= set(made.volumes)
    with pytest.raises(PrescriptionError):
        maps(field, TABLE, tmp_path, Fractionation(1.0))


def test_what_the_ledger_knows_is_not_simulated_again(tmp_path):
    first = maps(FIELD, TABLE, tmp_path)
    known = len(Ledger(tmp_path))
    again = maps(FIELD, TABLE, tmp_path)
    assert len(Ledger(tmp_path)) == known == len(first.responses)
    np.testing.assert_array_equal(again.volumes["RBE10"].values, first.volumes["RBE10"].values)


def test_voxels_outside_the_validity_of_a_model_are_flagged_in_a_map(tmp_path):
    spectra = FIELD.spectra
    fluence = spectra.fluence.copy()
    fluence[1, :, :4] = 0.0  # helium on one side only
    field = explained(replace(FIELD, spectra=replace(spectra, fluence=fluence)))
    made = maps(field, replace(TABLE, backend=simulator("mcnamara"), min_dose_fraction=0.2), tmp_path)
    flagged = made.volumes["outside"].values == 1
    assert 0 < flagged.sum() < len(made.responses)
    assert {tuple(v) for v in np.argwhere(flagged)} == {r.voxel for r in made.responses if r.outside}


def test_monte_carlo_brings_its_standard_error(tmp_path):
    settings = replace(TABLE, backend=simulator("gsm2_mc"), target_se=0.2, min_dose_fraction=0.95)
    made = maps(FIELD, settings, tmp_path)
    found = {r.voxel: r.RBE_ref_se for r in made.responses}
    for voxel, se in found.items():
        assert made.volumes["RBE_se"].values[voxel] == pytest.approx(se, rel=0.02)


def test_a_voxel_that_fails_leaves_a_gap_and_a_reason(tmp_path):
    oxygen = np.full(FIELD.grid.shape, 30.0, dtype=np.float32)
    hole = tuple(int(n) for n in np.unravel_index(np.argmax(FIELD.dose), FIELD.dose.shape))
    oxygen[hole] = np.nan
    settings = replace(TABLE, backend=simulator("gsm2_fft"), pO2=Volume(FIELD.grid, oxygen, OXYGEN))
    made = maps(FIELD, replace(settings, min_dose_fraction=0.95), tmp_path)
    (failure,) = made.failures
    assert failure.voxel == hole
    assert "oxygen pressure" in failure.reason
    assert np.isnan(made.volumes["alpha"].values[hole])


def test_conditions_that_a_back_end_cannot_follow_are_refused_once(tmp_path):
    with pytest.raises(UnusableError, match="zr_table does not know of oxygen; use gsm2_mc, gsm2_fft or osmk"):
        maps(FIELD, replace(TABLE, pO2=5.0), tmp_path)


def test_protracted_delivery_is_taken_from_the_beams(tmp_path):
    slow = replace(FIELD, beams=(Beam(name="one", start_s=0.0, duration_s=3600.0),))
    acute, protracted = maps(slow, TABLE, tmp_path), maps(slow, replace(TABLE, in_time=True), tmp_path)
    np.testing.assert_allclose(protracted.volumes["alpha"].values, acute.volumes["alpha"].values, rtol=1e-5)
    mu_T = 2.5 + 0.0161641  # r + a of HSG (reference numbers), for one hour
    G = 2 / mu_T**2 * (np.exp(-mu_T) - 1 + mu_T)
    np.testing.assert_allclose(
        protracted.volumes["beta"].values, G * np.asarray(acute.volumes["beta"].values), rtol=1e-4
    )


def test_maps_on_disk_say_what_they_stand_under(tmp_path):
    path = tmp_path / "plan.field.zarr"
    write_field(FIELD, path)
    found = direct_store(path, TABLE, TWO_GY, tmp_path / "maps", tmp_path / "ledger", in_process, oxygen=None)
    assert found["backend"]["name"] == "zr_table"
    assert found["voxels_failed"] == 0
    assert set(found["refused"]) == set(PRESCRIBED)
    image = np.asarray(nibabel.load(tmp_path / "maps" / "RBE10.nii.gz").dataobj)
    low, _, high = found["ranges"]["RBE10"].values()
    assert (np.nanmin(image), np.nanmax(image)) == pytest.approx((low, high), rel=1e-6)
    (sidecar,) = (tmp_path / "maps").glob("*.json")
    assert "zr_table" in json.dumps(json.loads(sidecar.read_text()))
