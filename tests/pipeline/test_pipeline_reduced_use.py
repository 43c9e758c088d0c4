"""What is done with stores without spectra: prediction, cropping, adding, masks."""

from dataclasses import replace

import numpy as np
import pytest
from dicom_objects import rtdose, rtstruct
from reduced_store import DOSE, LET, SAID, STORED, WATER, with_let
from synthetic import make_field, prescribed

from surrogate3d.errors import (
    GeometryError,
    PrescriptionError,
    QuantityError,
    UnsupportedError,
)
from surrogate3d.grid import DoseField, quantity
from surrogate3d.inference.maps import Fractionation
from surrogate3d.io.field_store import read_dose_field, write_field
from surrogate3d.io.images import read_image
from surrogate3d.io.prescribe import PrescribeRequest
from surrogate3d.physics.cell_line import cell_line
from surrogate3d.physics.rbe import PUBLISHED_MODELS
from surrogate3d.pipeline.cell_line_assignment import parse_assignment
from surrogate3d.pipeline.conversion import info
from surrogate3d.pipeline.dicom_files import masks
from surrogate3d.pipeline.fields import combine_stores, crop_store, resample_store
from surrogate3d.pipeline.map_output import MapOutput
from surrogate3d.pipeline.prediction import Structures, predict_store
from surrogate3d.pipeline.predictors import MapRequest
from surrogate3d.pipeline.reduced import PlanFacts, convert_reduced, definition_of

ASKED, V79_ALONE = MapRequest(Fractionation(2.0)), Structures(parse_assignment("V79"))


@pytest.fixture
def dose(tmp_path):
    return rtdose(tmp_path / "dose.dcm", STORED)


@pytest.fixture
def store(tmp_path):
    return tmp_path / "plan.field.zarr"


def test_a_published_model_predicts_from_the_store_and_a_bundle_does_not(dose, store, tmp_path):
    convert_reduced([dose], store, with_let(dose), prescribe=PrescribeRequest(2.0))
    line, scale = cell_line("V79"), 2.0 / DOSE.max()
    found = predict_store(store, "wedenberg", V79_ALONE, ASKED, MapOutput(tmp_path / "maps", ("mha",)))
    assert found["voxels_answered"] == 48
    D_RBE = read_image(tmp_path / "maps" / "D_RBE.mha", quantity("D_RBE")).values
    inside, D = DOSE > 0, scale * DOSE
    RBE = PUBLISHED_MODELS["wedenberg"](D[inside], LET[inside].astype(float), line.alpha_x, line.beta_x)
    np.testing.assert_allclose(D_RBE[inside], RBE * D[inside], rtol=1e-5)
    assert np.isnan(D_RBE[~inside]).all()
    with pytest.raises(QuantityError, match="without spectra"):
        predict_store(store, "proton", V79_ALONE, ASKED, MapOutput(tmp_path / "none"))


@pytest.mark.parametrize(
    ("said", "error", "message"),
    [
        (SAID.replace("=dose", "=track"), QuantityError, "needs LET_d"),
        (SAID.replace("protons", "all particles"), QuantityError, "LET is of all particles"),
        (SAID.replace("=no", "=yes"), QuantityError, "LET is restricted"),
    ],
)
def test_a_let_that_a_model_was_not_fitted_to_is_refused(dose, store, tmp_path, said, error, message):
    convert_reduced([dose], store, replace(with_let(dose), let_definition=definition_of(said)))
    with pytest.raises(error, match=message):
        predict_store(store, "wedenberg", V79_ALONE, ASKED, MapOutput(tmp_path / "maps"))


def test_a_beam_of_unknown_particles_is_not_predicted(dose, store, tmp_path):
    convert_reduced([dose], store, PlanFacts(medium="water"))
    with pytest.raises(UnsupportedError, match="does not say which particles"):
        predict_store(store, "constant", V79_ALONE, ASKED, MapOutput(tmp_path / "maps"))


def test_reduced_stores_are_cropped_resampled_and_added(dose, store, tmp_path):
    convert_reduced([dose], store, with_let(dose))
    found = crop_store(store, tmp_path / "box.field.zarr", box=((1, 0, 1), (3, 3, 5)))
    assert found["dose_integral_gy_mm3"] == pytest.approx(9 * DOSE[1:3, :, 1:].sum(), rel=1e-6)
    coarse = resample_store(tmp_path / "box.field.zarr", tmp_path / "c.field.zarr", spacing_mm=(3.0, 6.0, 12.0))
    assert coarse["grid"]["shape"] == [1, 1, 1]
    weight = DOSE[1:3, :, 1:]
    mean = (weight * LET[1:3, :, 1:]).sum() / weight.sum()
    assert coarse["LET_d_kev_um"] == pytest.approx([mean, mean], rel=1e-5)
    half = rtdose(tmp_path / "half.dcm", STORED // 2)
    convert_reduced([half], tmp_path / "half.field.zarr", with_let(half, 2 * LET))
    found = combine_stores([store, tmp_path / "half.field.zarr"], tmp_path / "sum.field.zarr", times=[(0, 60), (90, 5)])
    whole, low = read_dose_field(tmp_path / "sum.field.zarr"), 0.001 * (STORED // 2).transpose(2, 1, 0)
    np.testing.assert_allclose(whole.dose, DOSE + low, rtol=1e-6)
    expected = (DOSE * LET + low * 2 * LET)[:, :, 1:] / (DOSE + low)[:, :, 1:]
    np.testing.assert_allclose(whole.volumes["LET_d"].values[:, :, 1:], expected, rtol=1e-5)
    assert [(beam.name, beam.start_s, beam.duration_s) for beam in whole.beams] == [("plan", 0, 60), ("half", 90, 5)]
    assert found["remarks"] == []


def test_one_dose_is_not_added_twice_whatever_its_scale(dose, store, tmp_path):
    convert_reduced([dose], store, WATER)
    convert_reduced([dose], tmp_path / "twice.field.zarr", with_let(dose), dose_scale=2.0)
    with pytest.raises(QuantityError, match="hold the same histories"):
        combine_stores([store, tmp_path / "twice.field.zarr"], tmp_path / "sum.field.zarr")


def test_a_reduced_and_a_full_field_add_to_a_reduced_one(tmp_path):
    """No spectra of the sum, and no LET: that of one field is not that of the plan."""
    full = prescribed(make_field(), 2.0)
    stored = np.full(full.grid.shape[::-1], 1000, np.uint16)
    path = rtdose(
        tmp_path / "d.dcm",
        stored,
        ImagePositionPatient=[0.0, 0.0, 0.0],
        PixelSpacing=[2.0, 2.0],
        GridFrameOffsetVector=[2.5 * n for n in range(len(stored))],
    )
    convert_reduced([path], tmp_path / "tps.field.zarr", WATER)
    write_field(full, tmp_path / "full.field.zarr")
    output = tmp_path / "sum.field.zarr"
    found = combine_stores([tmp_path / "full.field.zarr", tmp_path / "tps.field.zarr"], output)
    assert not found["spectra"]
    assert "only 1 of 2 fields have spectra, so the sum has none" in found["remarks"]
    assert type(read_dose_field(output)) is DoseField
    np.testing.assert_allclose(read_dose_field(output).dose, full.dose + 1.0, rtol=1e-6)
    assert info(output)["axes"] is None
    convert_reduced([path], tmp_path / "loose.field.zarr", WATER, dose_scale=2.0)
    write_field(make_field(), tmp_path / "loose_full.field.zarr")
    with pytest.raises(PrescriptionError, match="prescribe all of them, or none"):
        combine_stores(
            [tmp_path / "loose_full.field.zarr", path.with_name("loose.field.zarr")], tmp_path / "x.field.zarr"
        )


def test_masks_lie_on_the_store_of_an_rtdose_in_its_frame_of_reference(dose, store, tmp_path):
    """The store remembers the frame of reference of its RT Dose, as a TOPAS run cannot."""
    convert_reduced([dose], store, WATER)
    rings = [np.array([[-11, 19, z], [-7.75, 19, z], [-7.75, 25, z], [-11, 25, z]], float) for z in (33, 36, 39)]
    structures = rtstruct(tmp_path / "s.dcm", {"PTV": rings})
    made = masks(structures, tmp_path / "masks", like=store)["masks"][0]
    inside = read_image(made["file"], quantity("mask")).values > 0
    assert np.argwhere(inside).min(axis=0).tolist() == [0, 0, 1]
    assert np.argwhere(inside).max(axis=0).tolist() == [1, 2, 3]
    found = convert_reduced([dose], store, WATER, prescribe=PrescribeRequest(3.0, "p50", inside), overwrite=True)
    assert np.median(read_dose_field(store).dose[inside]) == pytest.approx(3.0, rel=1e-6)
    assert "a mask of 18 voxels" in found["prescription"]["statement"]
    other = rtdose(tmp_path / "other.dcm", STORED, FrameOfReferenceUID="1.9")
    convert_reduced([other], store, WATER, overwrite=True)
    with pytest.raises(GeometryError, match="different frames of reference"):
        masks(structures, tmp_path / "no", like=store, names=["PTV"])
