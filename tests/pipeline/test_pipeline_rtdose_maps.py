"""Maps predicted straight to RT Dose are those that `dicom write` makes of finished maps."""

from dataclasses import replace

import pydicom
import pytest
from synthetic import LINE, make_field, make_surrogate, prescribed

from surrogate3d.errors import UnsupportedError
from surrogate3d.inference.maps import Fractionation
from surrogate3d.io.dicom_write import RtDoseOptions
from surrogate3d.io.field_store import field_id, read_field, write_field
from surrogate3d.pipeline.dicom_export import export_dose
from surrogate3d.pipeline.map_output import MapOutput
from surrogate3d.pipeline.prediction import write_prediction
from surrogate3d.pipeline.predictors import MapRequest, surrogate_predictor

DOSES = ("D_RBE", "BED", "EQD2")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """What predicts a field, by the names of the maps."""
    field, store = make_field(seed=5), tmp_path_factory.mktemp("rtdose") / "plan.field.zarr"
    write_field(prescribed(field, 6.0), store)
    surrogate = replace(make_surrogate(field, networks=()), bundle_id="0123456789ab")

    def of(names=None):
        return surrogate_predictor(
            read_field(store), field_id(store), surrogate, MapRequest(Fractionation(2.0, 3), names)
        )

    return of


def test_values_and_comment_are_those_of_dicom_write(tmp_path, made):
    write_prediction(made(), LINE, MapOutput(tmp_path / "maps", ("nifti", "rtdose")))
    for name in DOSES:
        export_dose(tmp_path / "maps", tmp_path / f"{name}.dcm", name, RtDoseOptions(nan_as=0.0))
        own, exported = (pydicom.dcmread(path) for path in (tmp_path / f"maps/{name}.dcm", tmp_path / f"{name}.dcm"))
        assert own.PixelData == exported.PixelData
        assert own.DoseGridScaling == exported.DoseGridScaling
        assert own.DoseComment == exported.DoseComment
        assert own.PlanOverviewSequence == exported.PlanOverviewSequence


@pytest.mark.parametrize("formats", [("rtdose",), ("rtdose", "nii")])
def test_complete_maps_are_left_and_say_the_same(tmp_path, made, formats):
    output = MapOutput(tmp_path / "maps", formats, resume=True)
    first = write_prediction(made(DOSES), LINE, output)
    again = write_prediction(made(DOSES), LINE, output)
    for name in DOSES:
        assert again["ranges"][name] == pytest.approx(first["ranges"][name], rel=1e-6)
    assert again["files"] == first["files"]


def test_rt_dose_alone_refuses_maps_that_are_no_dose(tmp_path, made):
    with pytest.raises(UnsupportedError, match=r"holds alpha, .*; ask for D_RBE, BED, EQD2 alone"):
        write_prediction(made(), LINE, MapOutput(tmp_path / "maps", ("rtdose",)))
    assert list(tmp_path.iterdir()) == []
