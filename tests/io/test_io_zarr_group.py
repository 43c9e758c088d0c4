"""Shapes and codecs of the chunks that new stores have, and reading of older ones."""

import os

import numpy as np
import pytest
import zarr

from surrogate3d.io import zarr_group
from surrogate3d.io.manifest import write_manifest
from surrogate3d.io.spectra_parts import StoredSpectra
from surrogate3d.io.stored_array import StoredArray, StoreFiles
from surrogate3d.io.zarr_group import CHUNK_VOXELS, PLANES_BYTES, chunk_depth, created_group, new_array, put_array

SPACE = ("i", "j", "k")


@pytest.mark.parametrize(
    ("shape", "chunks"),
    [
        ((100, 100, 100), (25, 25, 25)),  # four equal ones along each axis, not three of 32 and one of 4
        ((33, 65, 20), (17, 22, 20)),
        ((20, 20, 64), (20, 20, 32)),
        ((216, 216, 216), (31, 31, 20)),  # 12 MB a plane: at most 21 planes of one species within PLANES_BYTES
        ((400, 400, 400), (58, 58, 6)),  # 41 MB a plane: at most 6, so chunks are wider
    ],
)
def test_chunks_of_spectra_are_equal_and_bounded(shape, chunks):
    whole = (2, 64, *shape)
    depth = chunk_depth(whole)
    array = new_array(zarr.create_group(store={}), "fluence", whole, np.float32, ("species", "bin", *SPACE), depth)
    assert array.chunks == (1, 64, *chunks)
    assert 4 * 64 * shape[0] * shape[1] * depth <= PLANES_BYTES
    padded = np.prod([-(-n // edge) * edge for n, edge in zip(shape, chunks, strict=True)])
    assert padded <= 1.1 * np.prod(shape)


def test_volumes_are_in_fewer_wider_chunks():
    array = new_array(zarr.create_group(store={}), "dose", (100, 300, 100), np.float64, SPACE, 25)
    assert array.chunks == (100, 100, 25)
    assert CHUNK_VOXELS == 32


@pytest.mark.parametrize("codec", [(9, "noshuffle"), (5, "bitshuffle"), (1, "shuffle")])
def test_spectra_of_any_codec_are_read_and_their_zeros_known(tmp_path, monkeypatch, codec):
    """Stores of older versions have bitshuffle."""
    monkeypatch.setattr(zarr_group, "_codec", lambda n_axes: codec)
    values = np.random.default_rng(0).poisson(0.3, (2, 5, 80, 8, 6)).astype(np.float32)
    values[1, :, 40:] = 0
    with created_group(tmp_path, {}) as group:
        put_array(group, "fluence", values, ("species", "bin", *SPACE))
    write_manifest(tmp_path)
    stored = StoredSpectra(StoreFiles(tmp_path), "fluence", values.shape)
    assert stored.chunks == (1, 5, 40, 8, 6)
    np.testing.assert_array_equal(np.asarray(stored), values)
    decoded, decode = [], StoredArray._decode
    monkeypatch.setattr(StoredArray, "_decode", lambda *given: decoded.append(given[-1].index) or decode(*given))
    stored.visit(lambda part: None)
    assert sorted(decoded) == [(0, 0, 0, 0, 0), (0, 0, 1, 0, 0), (1, 0, 0, 0, 0)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_zarr_reads_is_what_is_read_here(tmp_path, monkeypatch, dtype):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    values = np.random.default_rng(1).normal(size=(70, 9, 40)).astype(dtype)
    values[:, 0] = np.nan
    with created_group(tmp_path, {}) as group:
        put_array(group, "dose", values, SPACE)
    write_manifest(tmp_path)
    found = np.asarray(StoredArray(StoreFiles(tmp_path), "dose", values.shape))
    np.testing.assert_array_equal(found, zarr.open_group(tmp_path, mode="r", use_consolidated=False)["dose"][...])
    np.testing.assert_array_equal(found, values)
    assert found.dtype == dtype
