"""Encoded arrays, read back by a slow twin of the decoder: one number at a time, from the written format alone."""

import base64
import zlib

import numpy as np
import pytest

from surrogate3d.errors import ValueRangeError
from surrogate3d.viewer.encode import encode_fraction, encode_integers, encode_list, encode_volume


def codes_of(text, bits):
    """Codes from text: byte planes, low bytes first, of differences modulo the range."""
    raw, width = zlib.decompress(base64.b64decode(text)), bits // 8
    n, codes, last = len(raw) // width, [], 0
    for at in range(n):
        last = (last + sum(raw[plane * n + at] << (8 * plane) for plane in range(width))) % (1 << bits)
        codes.append(last)
    return codes


def read_back(found, shape):
    """The volume that the text and its entry stand for."""
    entry = found.entry
    values = np.full(shape, np.nan if entry["outside"] is None else entry["outside"])
    (i0, i1), (j0, j1), (k0, k1) = entry["box"]
    codes = iter(codes_of(found.text, entry["bits"]))
    for i in range(i0, i1):
        for j in range(j0, j1):
            for k in range(k0, k1):
                code = next(codes)
                values[i, j, k] = np.nan if code == 0 else entry["lo"] + (code - 1) * entry["step"]
    assert next(codes, None) is None
    return values


@pytest.fixture
def volume():
    """Smooth values in a part of the grid, with holes."""
    rng = np.random.default_rng(3)
    values = np.full((7, 6, 9), np.nan, dtype=np.float32)
    values[1:5, 2:6, 3:8] = rng.normal(size=(4, 4, 5)).cumsum(axis=2) - 3
    values[2, 3, 4] = np.nan
    return values


@pytest.mark.parametrize("bits", [8, 16])
def test_a_volume_comes_back_within_half_a_step(volume, bits):
    found = encode_volume(volume, bits)
    back = read_back(found, volume.shape)
    assert found.entry["box"] == [[1, 5], [2, 6], [3, 8]]
    assert np.array_equal(np.isnan(back), np.isnan(volume))
    apart = np.nanmax(np.abs(back - volume))
    assert apart == pytest.approx(found.rounding)
    assert apart <= found.entry["step"] / 2 * (1 + 1e-6)
    assert found.entry["step"] == pytest.approx(np.ptp(volume[np.isfinite(volume)]) / (2**bits - 2))


def test_integers_are_exact_in_one_byte():
    numbers = np.zeros((3, 4, 5), dtype=np.float32)
    numbers[1, 2, 1:4] = [3, 254, np.nan]
    found = encode_volume(numbers, 16)
    assert (found.entry["bits"], found.entry["step"], found.rounding) == (8, 1.0, 0.0)
    assert np.array_equal(read_back(found, numbers.shape), numbers, equal_nan=True)


def test_what_surrounds_the_box_is_told_and_not_written():
    values = np.full((5, 5, 5), 2.5, dtype=np.float32)
    values[2, 3, 1] = 0.25
    found = encode_volume(values, 16)
    assert found.entry["outside"] == 2.5
    assert found.entry["box"] == [[2, 3], [3, 4], [1, 2]]
    assert np.array_equal(read_back(found, values.shape), values)


@pytest.mark.parametrize("value", [np.nan, 0.0, 1.3])
def test_a_volume_of_one_value_comes_back(value):
    values = np.full((3, 2, 4), value, dtype=np.float32)
    assert np.allclose(read_back(encode_volume(values, 16), values.shape), values, equal_nan=True)


def test_fractions_of_a_structure_keep_nothing_and_all():
    fraction = np.zeros((4, 4, 4), dtype=np.float32)
    fraction[1, 1, 1:4] = [1.0, 0.5, 0.25]
    back = read_back(encode_fraction(fraction), fraction.shape)
    assert np.abs(back - fraction).max() <= 1 / 508
    assert np.array_equal(back[fraction == 1], [1.0])
    assert (back[fraction == 0] == 0).all()


def test_lists_and_integers_come_back():
    values = np.array([[0.5, np.nan], [-4.0, 2.25]])
    found = encode_list(values)
    codes = np.array(codes_of(found.text, 16)).reshape(values.shape)
    back = np.where(codes > 0, found.entry["lo"] + (codes - 1.0) * found.entry["step"], np.nan)
    assert np.allclose(back, values, atol=found.rounding, equal_nan=True)
    numbers = np.array([0, 7, 70_000, 4_000_000_000])
    assert codes_of(encode_integers(numbers, 32).text, 32) == numbers.tolist()


def test_what_cannot_be_written_is_refused():
    with pytest.raises(ValueRangeError, match="infinite"):
        encode_volume(np.array([[[1.0, np.inf]]]), 16)
    with pytest.raises(ValueRangeError, match="fractions of voxels from 0 to 1"):
        encode_fraction(np.array([[[0.5, 1.5]]]))
    with pytest.raises(ValueRangeError, match="from 0 to 255, found 3 to 256"):
        encode_integers(np.array([3, 256]), 8)
