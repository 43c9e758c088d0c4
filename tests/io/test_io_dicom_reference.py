"""Whose dose it is: what is taken over from a patient's files, and which files are refused."""

import numpy as np
import pydicom
import pytest
from dicom_patient import plan_item, write_file
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, RTDoseStorage, RTPlanStorage, RTStructureSetStorage
from scipy.spatial.transform import Rotation

from surrogate3d.errors import FormatError, GeometryError, QuantityError, StoreError
from surrogate3d.grid import Grid, Volume, quantity
from surrogate3d.io.dicom_reference import read_reference
from surrogate3d.io.dicom_write import RtDoseOptions, write_rtdose

SHAPE, SPACING, ORIGIN = (5, 4, 3), (2.0, 2.5, 1.2), (-101.25, 20.3, 7.0)
OBLIQUE = Rotation.from_euler("zyx", [10, -20, 7], degrees=True).as_matrix()


def make_volume(direction=OBLIQUE, origin=ORIGIN):
    rows = tuple((float(a), float(b), float(c)) for a, b, c in direction)
    return Volume(Grid(SHAPE, SPACING, origin, rows), np.full(SHAPE, 2.0), quantity("D_RBE"))


def test_names_in_another_character_set_arrive(tmp_path):
    ct = write_file(tmp_path / "ct.dcm", CTImageStorage, SpecificCharacterSet="ISO_IR 100", PatientName="Müller^Zoë")
    write_rtdose(make_volume(), tmp_path / "a.dcm", RtDoseOptions(reference=read_reference(ct)))
    file = pydicom.dcmread(tmp_path / "a.dcm")
    assert str(file.PatientName) == "Müller^Zoë"
    assert file.SpecificCharacterSet == "ISO_IR 192"


def test_a_plan_beside_a_ct_slice_is_named_in_the_study_of_the_slice(tmp_path):
    ct = write_file(tmp_path / "ct.dcm", CTImageStorage, StudyInstanceUID="1.2.77")
    whose = read_reference(ct, write_file(tmp_path / "plan.dcm", RTPlanStorage))
    assert whose.attributes.StudyInstanceUID == "1.2.77"
    assert (whose.plan.class_uid, whose.plan.instance_uid) == (RTPlanStorage, "1.2.3.4")
    assert whose.box_mm is None
    assert read_reference(None) is None


def test_a_volume_far_from_the_reference_dose_is_refused(tmp_path):
    volume = make_volume()
    write_rtdose(volume, tmp_path / "near.dcm")
    whose = read_reference(tmp_path / "near.dcm")
    corners = volume.grid.position_mm(np.stack(np.meshgrid((0, 4), (0, 3), (0, 2)), axis=-1).reshape(-1, 3))
    np.testing.assert_allclose(whose.box_mm, [corners.min(axis=0), corners.max(axis=0)], atol=1e-9)
    write_rtdose(make_volume(np.eye(3)), tmp_path / "a.dcm", RtDoseOptions(reference=whose))
    with pytest.raises(GeometryError, match="not in the patient's coordinates"):
        write_rtdose(make_volume(origin=(0.0, 0.0, 0.0)), tmp_path / "b.dcm", RtDoseOptions(reference=whose))


def test_a_reference_of_one_beam_is_said_to_become_a_plan(tmp_path):
    beam = {"ReferencedRTPlanSequence": [plan_item("1.5")], "DoseSummationType": "BEAM"}
    whose = read_reference(write_file(tmp_path / "dose.dcm", RTDoseStorage, **beam))
    about = write_rtdose(make_volume(), tmp_path / "a.dcm", RtDoseOptions(reference=whose))
    assert about["dose_summation_type"] == "PLAN"
    assert "dose of a BEAM" in about["notes"][0]


def test_a_structure_set_may_say_its_frame_of_reference_in_the_sequence_only(tmp_path):
    items = [Dataset(), Dataset()]
    items[0].FrameOfReferenceUID, items[1].FrameOfReferenceUID = "1.9.1", "1.9.2"
    of_one = {"FrameOfReferenceUID": "", "ReferencedFrameOfReferenceSequence": items[:1]}
    found = read_reference(write_file(tmp_path / "one.dcm", RTStructureSetStorage, **of_one))
    assert found.attributes.FrameOfReferenceUID == "1.9.1"
    of_two = of_one | {"ReferencedFrameOfReferenceSequence": items}
    with pytest.raises(GeometryError, match="names 2 frames of reference"):
        read_reference(write_file(tmp_path / "two.dcm", RTStructureSetStorage, **of_two))
    with pytest.raises(GeometryError, match="names 0 frames of reference"):
        read_reference(write_file(tmp_path / "none.dcm", CTImageStorage, FrameOfReferenceUID=""))


def test_references_that_contradict_each_other_are_refused(tmp_path):
    plan = write_file(tmp_path / "plan.dcm", RTPlanStorage)
    with pytest.raises(QuantityError, match="different PatientID, 'P2' and 'P1'"):
        read_reference(write_file(tmp_path / "ct.dcm", CTImageStorage, PatientID="P2"), plan)
    with pytest.raises(GeometryError, match="different FrameOfReferenceUID"):
        read_reference(write_file(tmp_path / "ct.dcm", CTImageStorage, FrameOfReferenceUID="1.8"), plan)


def test_a_plan_that_is_none_or_one_of_several_is_refused(tmp_path):
    with pytest.raises(QuantityError, match="is not an RT Plan or RT Ion Plan but CT Image Storage"):
        read_reference(None, write_file(tmp_path / "ct.dcm", CTImageStorage))
    several = {"ReferencedRTPlanSequence": [plan_item("1.5"), plan_item("1.6")], "DoseSummationType": "MULTI_PLAN"}
    with pytest.raises(QuantityError, match="dose of 2 plans"):
        read_reference(write_file(tmp_path / "dose.dcm", RTDoseStorage, **several))


def test_files_that_cannot_be_a_reference_are_refused(tmp_path):
    with pytest.raises(StoreError, match="no DICOM file"):
        read_reference(tmp_path)
    (tmp_path / "text.dcm").write_text("no DICOM at all")
    with pytest.raises(FormatError, match="cannot be read as DICOM"):
        read_reference(tmp_path / "text.dcm")
    with pytest.raises(FormatError, match="no Study Instance UID"):
        read_reference(write_file(tmp_path / "ct.dcm", CTImageStorage, StudyInstanceUID=""))
    with pytest.warns(UserWarning, match="exceeds the maximum length"):
        long = write_file(tmp_path / "ct.dcm", CTImageStorage, PatientID="P" * 70)
    with pytest.raises(FormatError, match="PatientID is not valid DICOM"):
        read_reference(long)
    no_place = write_file(tmp_path / "dose.dcm", RTDoseStorage, GridFrameOffsetVector=[0, 1])
    with pytest.raises(FormatError, match=r"attribute is missing or invalid.*ImageOrientationPatient"):
        read_reference(no_place)
