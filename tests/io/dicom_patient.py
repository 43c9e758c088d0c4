"""Small files of one patient, as other systems give them."""

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RTPlanStorage


def write_file(path, sop_class, **attributes):
    """A file without pixels; `attributes` are added to those that every file has, or replace them."""
    file = Dataset()
    file.SOPClassUID, file.SOPInstanceUID = sop_class, "1.2.3.4"
    file.PatientName, file.PatientID, file.StudyInstanceUID, file.FrameOfReferenceUID = "Doe^Jane", "P1", "1.2.3", "1.9"
    for name, value in attributes.items():
        setattr(file, name, value)
    file.file_meta = FileMetaDataset()
    file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    pydicom.dcmwrite(path, file, enforce_file_format=True)
    return path


def plan_item(instance):
    """Item of a Referenced RT Plan Sequence."""
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = RTPlanStorage, instance
    return item
