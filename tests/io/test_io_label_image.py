"""Label images, read back by nibabel and by ITK."""

import nibabel
import numpy as np
import pytest
import SimpleITK

from surrogate3d.errors import GridMismatchError, StoreError, UnsupportedError
from surrogate3d.grid import Grid
from surrogate3d.io.label_image import write_labels

GRID = Grid((5, 4, 3), (1.0, 1.5, 2.0), (-3.0, 7.0, 11.0), ((0.0, -1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)))
LABELS = np.random.default_rng(1).integers(0, 4, GRID.shape, dtype=np.uint8)


def test_nibabel_and_itk_find_the_labels_at_their_places(tmp_path):
    write_labels(LABELS, GRID, tmp_path / "a.nii.gz", "words")
    image = nibabel.load(tmp_path / "a.nii.gz")
    assert (image.get_data_dtype(), image.header.get_intent()[0]) == (np.uint8, "label")
    assert np.array_equal(np.asarray(image.dataobj), LABELS)
    itk = SimpleITK.ReadImage(str(tmp_path / "a.nii.gz"))
    for index in np.ndindex(GRID.shape):
        np.testing.assert_allclose(itk.TransformIndexToPhysicalPoint(index), GRID.position_mm(index), atol=1e-5)
        assert itk[index] == LABELS[index]


def test_the_same_labels_give_the_same_bytes_and_no_file_is_replaced_unasked(tmp_path):
    write_labels(LABELS, GRID, tmp_path / "a.nii.gz", "words")
    write_labels(LABELS, GRID, tmp_path / "b.nii.gz", "words")
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()
    with pytest.raises(StoreError, match="exists"):
        write_labels(LABELS, GRID, tmp_path / "a.nii.gz", "words")
    write_labels(LABELS, GRID, tmp_path / "a.nii.gz", "words", overwrite=True)


@pytest.mark.parametrize(
    ("name", "labels", "error"),
    [
        ("a.mha", LABELS, UnsupportedError),
        ("a.nii.gz", LABELS.astype(np.int16), UnsupportedError),
        ("a.nii.gz", LABELS[1:], GridMismatchError),
    ],
)
def test_other_suffixes_types_and_shapes_are_refused(tmp_path, name, labels, error):
    with pytest.raises(error):
        write_labels(labels, GRID, tmp_path / name, "words")
