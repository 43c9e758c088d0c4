"""Segmentations as other programs read them: names, colours, places and voxels."""

import hashlib
import os

import nrrd
import numpy as np
import pytest
import SimpleITK

from surrogate3d.errors import GridMismatchError, QuantityError, StoreError, UnsupportedError
from surrogate3d.grid import Grid
from surrogate3d.io.segmentation import Place, Segment, write_segmentation

GRID = Grid((7, 5, 40), (1.5, 2.0, 2.5), (-30.0, 7.0, 101.0), ((0.8, 0.0, 0.6), (0.6, 0.0, -0.8), (0.0, 1.0, 0.0)))


def box(*ends, grid=GRID):
    mask = np.zeros(grid.shape, dtype=bool)
    mask[tuple(slice(first, last) for first, last in ends)] = True
    return mask


TARGET = Segment("Target volume", box((1, 4), (0, 5), (10, 20)), "#bf4a06")
ORGAN = Segment("Rückenmark", box((5, 6), (2, 3), (0, 40)), "#00776a")
AROUND = Segment("Body", box((0, 7), (0, 5), (0, 40)), "#1259a3")


def read(path):
    """Segments by the specification: layer along the first axis of four, else the only one."""
    values, header = nrrd.read(str(path))
    values = values if values.ndim == 4 else values[None]
    found, number = {}, 0
    while f"Segment{number}_ID" in header:
        about = {key.partition("_")[2]: header[key] for key in header if key.startswith(f"Segment{number}_")}
        found[about["Name"]] = values[int(about["Layer"])] == int(about["LabelValue"]), about
        number += 1
    return found, header


def test_segments_that_do_not_overlap_are_one_image_of_labels(tmp_path):
    assert write_segmentation([TARGET, ORGAN], GRID, tmp_path / "a.seg.nrrd") == (Place(0, 1), Place(0, 2))
    found, header = read(tmp_path / "a.seg.nrrd")
    assert (header["dimension"], header["kinds"]) == (3, ["domain"] * 3)
    for segment, (mask, about) in zip((TARGET, ORGAN), found.values(), strict=True):
        np.testing.assert_array_equal(mask, segment.mask)
        colour = np.rint(255 * np.array(about["Color"].split(), dtype=float)).astype(int)
        assert "#" + bytes(colour.tolist()).hex() == segment.colour
    assert next(iter(found)) == "Target volume"
    assert found["Target volume"][1]["Extent"] == "1 3 0 4 10 19"
    image = SimpleITK.ReadImage(str(tmp_path / "a.seg.nrrd"))
    assert image.GetMetaData("Segment1_Name") == "Rückenmark"
    assert image.GetMetaData("Segmentation_MasterRepresentation") == "Binary labelmap"
    np.testing.assert_allclose(image.TransformIndexToPhysicalPoint((6, 3, 30)), GRID.position_mm((6, 3, 30)))
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(image).T == 1, TARGET.mask)


def test_segments_that_overlap_lie_in_as_few_layers_as_needed(tmp_path):
    places = write_segmentation([TARGET, AROUND, ORGAN], GRID, tmp_path / "a.seg.nrrd")
    assert places == (Place(0, 1), Place(1, 1), Place(0, 2))
    found, header = read(tmp_path / "a.seg.nrrd")
    assert header["kinds"] == ["list", "domain", "domain", "domain"]
    assert header["sizes"].tolist() == [2, 7, 5, 40]
    assert np.isnan(header["space directions"][0]).all()
    np.testing.assert_allclose(header["space directions"][1:], (np.array(GRID.direction) * GRID.spacing_mm).T)
    np.testing.assert_allclose(header["space origin"], GRID.origin_mm)
    for segment, (mask, _) in zip((TARGET, AROUND, ORGAN), found.values(), strict=True):
        np.testing.assert_array_equal(mask, segment.mask)
    identifiers = [about["ID"] for _, about in found.values()]
    assert len(set(identifiers)) == 3


def test_slicerio_reads_the_same(tmp_path):
    slicerio = pytest.importorskip("slicerio", reason="the reader of 3D Slicer's own developers is not installed")
    for number, segments in enumerate(([TARGET, ORGAN], [TARGET, AROUND, ORGAN])):
        path = tmp_path / f"{number}.seg.nrrd"
        write_segmentation(segments, GRID, path)
        found = slicerio.read_segmentation(str(path))
        voxels = found["voxels"] if found["voxels"].ndim == 4 else found["voxels"][None]
        np.testing.assert_allclose(found["ijkToLPS"], GRID.affine)
        assert found["containedRepresentationNames"] == ["Binary labelmap"]
        for segment, about in zip(segments, found["segments"], strict=True):
            np.testing.assert_array_equal(voxels[about["layer"]] == about["labelValue"], segment.mask)
            np.testing.assert_allclose(
                about["color"], [byte / 255 for byte in bytes.fromhex(segment.colour[1:])], atol=1e-5
            )


def test_the_same_segments_are_the_same_bytes(tmp_path):
    digests = set()
    for name in ("a.seg.nrrd", "b.seg.nrrd"):
        write_segmentation([TARGET, AROUND], GRID, tmp_path / name)
        digests.add(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
    assert len(digests) == 1


def test_more_segments_than_a_byte_counts_take_another_layer(tmp_path):
    grid = Grid((300, 1, 1), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    segments = [Segment(f"S{n}", box((n, n + 1), (0, 1), (0, 1), grid=grid), "#000000") for n in range(300)]
    places = write_segmentation(segments, grid, tmp_path / "a.seg.nrrd")
    assert places[254:256] == (Place(0, 255), Place(1, 1))
    found, _ = read(tmp_path / "a.seg.nrrd")
    assert all(np.array_equal(found[segment.name][0], segment.mask) for segment in segments)


@pytest.mark.parametrize(
    ("segments", "grid", "name", "error", "words"),
    [
        ([], GRID, "a.seg.nrrd", QuantityError, "expected at least one segment"),
        ([Segment("Lens", box((0, 0), (0, 0), (0, 0)), "#000000")], GRID, "a.seg.nrrd", QuantityError, "'Lens' has no"),
        ([TARGET, TARGET], GRID, "a.seg.nrrd", QuantityError, "two segments are called 'Target volume'"),
        (
            [Segment("Lens", np.ones((2, 2, 2), bool), "#000000")],
            GRID,
            "a.seg.nrrd",
            GridMismatchError,
            "'Lens' has sh",
        ),
        ([TARGET], GRID, "a.nrrd", UnsupportedError, "are written to"),
        ([TARGET], Grid((1, 1, 1), (1.0,) * 3, (0.0,) * 3), "a.seg.nrrd", UnsupportedError, "of one voxel"),
    ],
)
def test_what_is_no_segmentation_is_refused(tmp_path, segments, grid, name, error, words):
    with pytest.raises(error, match=words):
        write_segmentation(segments, grid, tmp_path / name)
    assert os.listdir(tmp_path) == []


def test_nothing_is_replaced_unasked(tmp_path):
    write_segmentation([TARGET], GRID, tmp_path / "a.seg.nrrd")
    with pytest.raises(StoreError, match="exists already"):
        write_segmentation([ORGAN], GRID, tmp_path / "a.seg.nrrd")
    write_segmentation([ORGAN], GRID, tmp_path / "a.seg.nrrd", overwrite=True)
    assert list(read(tmp_path / "a.seg.nrrd")[0]) != ["Target volume"]
