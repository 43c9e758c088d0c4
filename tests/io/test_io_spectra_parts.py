"""Spectra that stay on disk give the same numbers as those in memory, and the same refusals when they are read."""

import json
import os
import threading

import numpy as np
import pytest
from numcodecs import Blosc

from surrogate3d.errors import GridMismatchError, StoreError, UnsupportedError, ValueRangeError
from surrogate3d.grid import Field, Grid, Spectra, SpectrumAxes, Volume, VolumeSet, quantity
from surrogate3d.io import stored_array, zarr_group
from surrogate3d.io.field_store import read_dose_field, read_field, write_field
from surrogate3d.io.manifest import write_manifest
from surrogate3d.io.stored_array import StoredArray, StoreFiles
from surrogate3d.physics.linear_sums import linear_sums

GRID = Grid((9, 5, 11), (1.0, 2.0, 2.5), (0.0, 0.0, 0.0))
CODEC = Blosc(cname="lz4", clevel=9, shuffle=Blosc.NOSHUFFLE)
AXES = SpectrumAxes(("H", "C"), np.stack([np.linspace(0, 250, 7), np.geomspace(0.1, 430, 7)]))


def make_spectra(rng):
    parts = [rng.poisson(0.8, (2, *lead, *GRID.shape)) * rng.random((2, *lead, *GRID.shape)) for lead in ((6,), (), ())]
    fluence, below, above = (part.astype(np.float32) for part in parts)
    fluence[1, :, 3:] = 0  # carbon in the first planes only: whole chunks of nothing
    return Spectra(AXES, fluence, below, above)


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """A field and its store, in chunks of at most four voxels along each edge."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    monkeypatch.setattr(zarr_group, "CHUNK_VOXELS", 4)
    rng = np.random.default_rng(11)
    dose = rng.random(GRID.shape)
    LET_d = np.full(GRID.shape, np.nan, np.float32)  # zarr writes no chunk of it
    values = {"dose_to_water": dose, "LET_d": LET_d}
    field = Field(
        grid=GRID,
        volumes=VolumeSet(GRID, {name: Volume(GRID, array, quantity(name)) for name, array in values.items()}),
        spectra=make_spectra(rng),
        beam_axis=2,
        beam_sign=1,
        histories=10,
        halves=(make_spectra(rng), make_spectra(rng)),
        halves_dose=(dose, dose),
    )
    write_field(field, tmp_path / "plan.field.zarr")
    return field, tmp_path / "plan.field.zarr"


def chunk_file(path, species=0, part="fluence"):
    chunks = [entry for entry in (path / "spectra" / part / "c" / str(species)).rglob("*") if entry.is_file()]
    return sorted(chunks)[0]


def parts_of(spectra, box=None, threads=None):
    found = []
    spectra.visit(lambda part: found.append(part._replace(values=part.values.copy())), box, threads)
    return found


def change(file, edit):
    """Change a chunk, and keep the manifest right."""
    values = np.frombuffer(bytearray(CODEC.decode(file.read_bytes())), np.float32)
    edit(values)
    file.write_bytes(CODEC.encode(values))
    root = next(parent for parent in file.parents if parent.suffix == ".zarr")
    (root / "manifest.json").unlink()
    write_manifest(root)


def test_a_lazy_field_is_the_field(stored):
    field, path = stored
    lazy = read_field(path, lazy=True)
    assert np.isnan(lazy.volumes["LET_d"].values).all()
    np.testing.assert_array_equal(lazy.dose, field.dose)
    for mine, theirs in zip((lazy.spectra, *lazy.halves), (field.spectra, *field.halves), strict=True):
        assert mine.shape == GRID.shape
        for name in ("fluence", "underflow", "overflow"):
            found, expected = getattr(mine, name), getattr(theirs, name)
            assert (found.shape, found.ndim, found.dtype) == (expected.shape, expected.ndim, np.float32)
            assert (found.nbytes, len(found)) == (expected.nbytes, 2)
            np.testing.assert_array_equal(np.asarray(found), expected)
            np.testing.assert_array_equal(np.asarray(found, dtype=float), expected)


@pytest.mark.parametrize(
    "part",
    [
        (slice(None), slice(None), 3, 4, 10),
        (0, slice(None), slice(2, 9), slice(1, 3), slice(5, 5)),
        (slice(1, 2), -1, slice(3, 5), ..., slice(4, 8)),
        (..., slice(8, None)),
        (slice(None), slice(None, None, 2), slice(None, None, -1), slice(7, 1, -3), slice(-4, -1)),
        (np.int64(1), slice(None), slice(0, 4), slice(0, 4), slice(4, 8)),
        (1, 2, 0, 4, 3),
        0,
        ...,
        slice(1, None),
    ],
)
def test_slices_are_those_of_an_array(stored, part):
    field, path = stored
    found = read_field(path, lazy=True).spectra.fluence[part]
    np.testing.assert_array_equal(found, field.spectra.fluence[part])
    assert found.dtype == np.float32


@pytest.mark.parametrize("part", [[0, 1], np.array([1]), (0, 0, 0, 0, 0, 0), (None, 0), "H", (np.array([0]), ...)])
def test_other_selections_are_refused(stored, part):
    with pytest.raises(UnsupportedError, match=r"read by integers and slices of 5 axes, found .*numpy\.asarray"):
        read_field(stored[1], lazy=True).spectra.fluence[part]


def test_an_index_outside_is_refused_and_a_view_cannot_be_had(stored):
    fluence = read_field(stored[1], lazy=True).spectra.fluence
    with pytest.raises(IndexError, match="index 9 is out of bounds for an axis of 9"):
        fluence[0, 0, 9]
    with pytest.raises(ValueError, match="without a copy"):
        np.asarray(fluence, copy=False)


@pytest.mark.parametrize("threads", [None, 1, 3])
@pytest.mark.parametrize(
    "box", [None, (slice(2, 9), slice(1, 2), slice(3, 8)), (slice(0, 0), slice(None), slice(None))]
)
def test_parts_make_up_the_box_and_leave_out_nothing_but_zeros(stored, box, threads):
    field, path = stored
    expected = field.spectra.fluence[(slice(None), slice(None), *(box or ()))]
    found = np.zeros_like(expected)
    for species, place, values in parts_of(read_field(path, lazy=True).spectra.fluence, box, threads):
        assert values.any() or box
        found[(species, slice(None), *place)] += values
    np.testing.assert_array_equal(found, expected)


def test_parts_of_what_is_outside_the_bins_have_no_axis_of_bins(stored):
    field, path = stored
    found = np.zeros((2, *GRID.shape))
    for species, place, values in parts_of(read_field(path, lazy=True).spectra.underflow):
        found[(species, *place)] += values
    np.testing.assert_array_equal(found, field.spectra.underflow)


def test_chunks_of_zeros_are_not_decoded(stored, monkeypatch):
    _, path = stored
    decoded = []
    decode = StoredArray._decode

    def spy(array, content, buffer, chunk):
        decoded.append(chunk.index)
        decode(array, content, buffer, chunk)

    monkeypatch.setattr(StoredArray, "_decode", spy)
    fluence = read_field(path, lazy=True).spectra.fluence
    decoded.clear()
    assert len(parts_of(fluence)) == len(decoded)
    # Hydrogen is in all 3 x 2 x 3 chunks, carbon in the planes i < 3: in a third of them. Padded ones are known, too.
    assert len(decoded) == 18 + 6
    assert {index[2] for index in decoded if index[0] == 1} == {0}


def test_sums_from_disk_are_those_in_memory(stored):
    field, path = stored
    weights = np.random.default_rng(2).random((2, 4, 6))
    box = (slice(1, 8), slice(0, 5), slice(2, 11))
    expected = np.einsum("srb,sbijk->srijk", weights, field.spectra.fluence.astype(float))
    fluence = read_field(path, lazy=True).spectra.fluence
    np.testing.assert_allclose(linear_sums(fluence, weights), expected, rtol=1e-6)
    np.testing.assert_allclose(linear_sums(fluence, weights, box, 2), expected[:, :, *box], rtol=1e-6)
    with pytest.raises(GridMismatchError, match="inside the grid"):
        linear_sums(fluence, weights, (slice(0, 10), slice(None), slice(None)))


def test_a_changed_chunk_is_found_when_it_is_read_and_not_before(stored):
    _, path = stored
    chunk = chunk_file(path)
    content = bytearray(chunk.read_bytes())
    content[40] ^= 1
    chunk.write_bytes(content)
    fluence = read_field(path, lazy=True).spectra.fluence
    assert fluence[0, :, 8].shape == (6, 5, 11)
    message = f"{chunk.relative_to(path).as_posix()} differs from its SHA-256"
    for read in (lambda: fluence[0, :, 0], lambda: parts_of(fluence), lambda: np.asarray(fluence)):
        with pytest.raises(StoreError, match=message):
            read()
    with pytest.raises(StoreError, match=message):
        read_field(path)


@pytest.mark.parametrize("name", ["dose_to_water/c/0/0/0", "zarr.json", "spectra/fluence/zarr.json"])
def test_what_is_not_spectra_is_compared_at_once(stored, name):
    _, path = stored
    content = bytearray((path / name).read_bytes())
    content[-1] ^= 1
    (path / name).write_bytes(content)
    with pytest.raises(StoreError, match=f"{name} differs from its SHA-256"):
        read_field(path, lazy=True)


def test_a_file_is_hashed_once(stored, monkeypatch):
    hashed = []
    monkeypatch.setattr(stored_array, "sha256", lambda content, h=stored_array.sha256: hashed.append(1) or h(content))
    fluence = read_field(stored[1], lazy=True).spectra.fluence
    before = len(hashed)
    fluence[0, :, :3, :3, :4]
    assert len(hashed) == before + 1
    fluence[0, :, :3, :3, :4]
    assert len(hashed) == before + 1
    hashed.clear()
    read_field(stored[1], verify=False, lazy=True).spectra.fluence[...]
    assert not hashed


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, -1e-30])
@pytest.mark.parametrize("part", ["fluence", "overflow"])
def test_a_fluence_that_cannot_be_is_refused_with_store_species_and_voxel(stored, bad, part):
    _, path = stored
    # In the first chunk: voxel (1, 2, 3), and bin 3 where there are bins.
    at = (
        np.ravel_multi_index((3, 1, 2, 3), (6, 3, 3, 4))
        if part == "fluence"
        else np.ravel_multi_index((1, 2, 3), (9, 5, 4))
    )
    change(chunk_file(path, 1, part), lambda values: values.__setitem__(at, bad))
    spectra = read_field(path, lazy=True).spectra
    message = rf"spectra/{part} must be finite and not negative; .* species number 1 at voxel \(1, 2, 3\), 1 such"
    for read in (lambda: getattr(spectra, part)[1], lambda: parts_of(getattr(spectra, part))):
        with pytest.raises(ValueRangeError, match=message):
            read()
    with pytest.raises(ValueRangeError, match=message):
        read_field(path)


def test_zero_with_a_sign_is_a_fluence(stored):
    field, path = stored
    at = tuple(np.argwhere(field.spectra.fluence[0, :, :3, :3, :4] == 0)[0])
    zero = np.ravel_multi_index(at, (6, 3, 3, 4))
    change(chunk_file(path), lambda values: values.__setitem__(zero, -0.0))
    np.testing.assert_array_equal(np.asarray(read_field(path, lazy=True).spectra.fluence), field.spectra.fluence)


def test_a_store_that_went_away_is_refused_when_it_is_read(stored):
    _, path = stored
    fluence = read_field(path, lazy=True).spectra.fluence
    path.rename(path.with_name("moved.field.zarr"))
    with pytest.raises(StoreError, match=r"cannot be read .*open the store again if it was moved"):
        fluence[0]


@pytest.mark.parametrize("verify", [True, False])
def test_bytes_of_another_chunk_are_refused(stored, verify):
    """A chunk of another shape decodes well, and would leave what was in the buffer before."""
    _, path = stored
    chunk = chunk_file(path)
    chunk.write_bytes(CODEC.encode(np.ones(10, np.float32)))
    (path / "manifest.json").unlink()
    write_manifest(path)
    with pytest.raises(StoreError, match=r"spectra/fluence is damaged \(spectra/fluence/c/.* where .* should be"):
        read_field(path, verify, lazy=True).spectra.fluence[0]


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (("codecs",), [{"name": "bytes", "configuration": {"endian": "little"}}], "is damaged"),
        (("codecs", 0, "configuration", "endian"), "big", "behind Blosc"),
        (("codecs", 1, "configuration", "shuffle"), "twice", "is damaged"),
        (("data_type",), "float64", "expected float32 with all bins"),
        (("chunk_grid", "configuration", "chunk_shape"), [1, 3, 4, 4, 4], "expected float32 with all bins"),
        (("shape",), [2, 6, 9, 5, 12], r"shape \(2, 6, 9, 5, 11\)"),
        (("chunk_key_encoding", "name"), "v2", "behind Blosc"),
        (("fill_value",), 0.0, "behind Blosc"),
        (("chunk_grid",), None, "is damaged"),
        (("attributes",), 3, "is damaged"),
    ],
)
def test_spectra_that_are_stored_otherwise_are_refused(stored, keys, value, message):
    _, path = stored
    file = path / "spectra" / "fluence" / "zarr.json"
    tree = whole = json.loads(file.read_text())
    for key in keys[:-1]:
        tree = tree[key]
    tree[keys[-1]] = value
    file.write_text(json.dumps(whole))
    (path / "manifest.json").unlink()
    write_manifest(path)
    with pytest.raises(StoreError, match=message):
        read_field(path, lazy=True)


def test_an_array_or_a_description_that_is_not_there_is_refused(stored):
    files = StoreFiles(stored[1])
    with pytest.raises(StoreError, match="has no array 'dose_to_medium'"):
        StoredArray(files, "dose_to_medium")
    words = json.loads((stored[1] / "zarr.json").read_text())
    (stored[1] / "zarr.json").write_text(json.dumps(words | {"attributes": {}}))
    (stored[1] / "manifest.json").unlink()
    write_manifest(stored[1])
    with pytest.raises(StoreError, match="has no 'surrogate3d' attribute"):
        read_dose_field(stored[1])


def test_a_lost_chunk_of_spectra_is_refused_though_the_manifest_does_not_list_it(stored):
    _, path = stored
    chunk_file(path).unlink()
    (path / "manifest.json").unlink()
    write_manifest(path)
    with pytest.raises(StoreError, match="spectra/fluence has no chunk"):
        read_field(path)


def test_a_use_that_fails_ends_the_reading(stored):
    used = []

    def fail(part):
        used.append(part)
        raise RuntimeError("enough")

    for threads in (1, 2):
        used.clear()
        with pytest.raises(RuntimeError, match="enough"):
            read_field(stored[1], lazy=True).spectra.fluence.visit(fail, threads=threads)
        assert used if threads > 1 else len(used) == 1
        assert not [thread for thread in threading.enumerate() if "ThreadPoolExecutor" in thread.name]
