"""Slabs, statistics that mean nothing, foreign bytes, and what lies outside the bins."""

import struct
import tracemalloc

import numpy as np
import pytest
from topas_writer import header as head_text
from topas_writer import write_bin, write_csv

from surrogate3d.errors import FormatError, QuantityError, ValueRangeError
from surrogate3d.io.topas_grid import outside_shares, read_binary, read_values
from surrogate3d.io.topas_header import read_header

SHAPE = (2, 3, 4)
BINS = (
    "Binned by pre-step energy in 2 bins of 5 MeV from 0 MeV to 10 MeV",
    "First bin is underflow, last bin is overflow.",
)


def read(path, row_order=None):
    return read_values(path, read_header(path), row_order)


def ramp(columns, shape=SHAPE):
    return np.arange(np.prod(shape) * columns, dtype=float).reshape(*shape, columns)


def test_a_statistic_that_was_not_reported(tmp_path):
    write_csv(tmp_path / "D.csv", head_text("D", "DoseToWater ( Gy )", SHAPE), ramp(1))
    with pytest.raises(FormatError, match="Standard_Deviation is needed; found Sum"):
        read(tmp_path / "D.csv").column("Standard_Deviation")


def many_planes(folder, planes=1000):
    """A `.bin` of 4 GB that takes no room on disk, as nothing is written into it."""
    bins = ("Binned by pre-step energy in 48 bins of 1 MeV from 0 MeV to 48 MeV",)
    (folder / "F.binheader").write_text(head_text("F", "Fluence ( /mm2 )", (100, 100, planes), binning=bins))
    with (folder / "F.bin").open("wb") as stream:
        stream.truncate(8 * 100 * 100 * planes * 50)
    return folder / "F.binheader"


def test_only_the_planes_that_are_asked_for_are_read(tmp_path):
    path = many_planes(tmp_path)
    with (tmp_path / "F.bin").open("r+b") as stream:
        stream.seek(8 * 50 * (100 * 100 * 998 + 100 * 3 + 2))  # voxel (2, 3, 998), underflow
        stream.write(struct.pack("<d", 7.5))
    tracemalloc.start()
    scored = read(path)
    opened = tracemalloc.get_traced_memory()[1]
    slab = scored.energy_slab(998, 1000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert opened < 1e6
    assert peak < 4 * slab.nbytes
    assert slab.shape == (100, 100, 2, 50)
    assert slab[2, 3, 0, 0] == 7.5
    assert slab.sum() == 7.5


def test_nothing_of_a_binary_is_held(tmp_path):
    write_bin(tmp_path / "D", head_text("D", "DoseToWater ( Gy )", SHAPE), ramp(1)[..., None])
    scored = read(tmp_path / "D.binheader")
    (tmp_path / "D.bin").write_bytes(np.full(24, 5.0).tobytes())
    assert (scored.column("Sum") == 5).all()
    (tmp_path / "D.bin").write_bytes(np.full(20, 5.0).tobytes())
    assert (scored.slab(0, 2) == 5).all()
    with pytest.raises(FormatError, match="planes 2 to 4 are cut; the file changed"):
        scored.slab(2, 4)


def test_slabs_together_are_the_whole(tmp_path, monkeypatch):
    values = ramp(8).reshape(*SHAPE, 4, 2)
    write_bin(tmp_path / "F", head_text("F", "F ( Gy )", SHAPE, columns=("Mean", "Sum"), binning=BINS), values)
    scored = read(tmp_path / "F.binheader")
    for limit, expected in ((1, [(0, 1), (1, 2), (2, 3), (3, 4)]), (3 * 8 * 6 * 8, [(0, 3), (3, 4)])):
        monkeypatch.setattr("surrogate3d.io.topas_scored.SLAB_BYTES", limit)
        assert list(scored.slabs()) == expected
        np.testing.assert_array_equal(scored.values, values)
        np.testing.assert_array_equal(scored.column("Sum"), values[..., 1])
    np.testing.assert_array_equal(scored.energy_slab(1, 3, "Mean"), values[:, :, 1:3, :, 0])
    np.testing.assert_array_equal(read_binary(tmp_path / "F.bin", scored.header), values)
    for k0, k1 in ((-1, 2), (2, 2), (3, 5)):
        with pytest.raises(ValueRangeError, match="planes within 0 to 4"):
            scored.slab(k0, k1)


def test_mask_is_set_slab_by_slab(tmp_path):
    values = ramp(2)
    values[0, 1, 2] = -1
    filters = ('OnlyIncludeIfInRTStructure = 1 "PTV"',)
    head = head_text("D", "DoseToWater ( Gy )", SHAPE, columns=("Sum", "Mean"), filters=filters)
    write_bin(tmp_path / "D", head, values[..., None, :])
    scored = read(tmp_path / "D.binheader")
    assert np.isnan(scored.slab(2, 3)[0, 1, 0]).all()
    assert np.isfinite(scored.slab(0, 2)).all()
    assert np.isnan(scored.column("Sum")).sum() == 1


@pytest.mark.parametrize("columns", [("Sum", "Histories_with_Scorer_Active"), ("Histories_with_Scorer_Active",)])
def test_histories_are_not_marked_outside_a_structure(tmp_path, columns):
    # TsVBinnedScorer::CalculateOneValue sets all statistics to -1 there but the number of histories.
    values = np.full((*SHAPE, len(columns)), 1000.0)
    values[0, 1, 2, : len(columns) - 1] = -1
    filters = ('OnlyIncludeIfInRTStructure = 1 "PTV"',)
    head = head_text("D", "DoseToWater ( Gy )", SHAPE, columns=columns, filters=filters)
    write_csv(tmp_path / "D.csv", head, values)
    outside = np.isnan(read(tmp_path / "D.csv").values[..., 0, 0])
    assert np.argwhere(outside).tolist() == ([[0, 1, 2]] if "Sum" in columns else [])


@pytest.mark.parametrize("kind", ["real numbers", "counts"])
def test_a_binary_of_the_other_byte_order_is_refused(tmp_path, kind):
    numbers = np.random.default_rng(2).random(24) * 1e-7 if kind == "real numbers" else np.arange(24.0)
    head = head_text("D", "DoseToWater ( Gy )", SHAPE)
    write_bin(tmp_path / "D", head, numbers.reshape(*SHAPE, 1, 1))
    scored = read(tmp_path / "D.binheader")
    scored.column("Sum")
    (tmp_path / "D.bin").write_bytes(np.fromfile(tmp_path / "D.bin", "<f8").astype(">f8").tobytes())
    with pytest.raises(FormatError, match=r"D\.bin: expected little-endian float64, found .* big-endian only"):
        scored.column("Sum")


def test_odd_numbers_are_no_sign_of_another_byte_order(tmp_path):
    # Min and Max of bins without a hit, divisions by no history: all are in files of TOPAS.
    odd = np.resize([9e99, -9e99, np.nan, np.inf, 0.0, 1e-30], 24)
    write_bin(tmp_path / "D", head_text("D", "DoseToWater ( Gy )", SHAPE), odd.reshape(*SHAPE, 1, 1))
    assert np.isnan(read(tmp_path / "D.binheader").values).sum() == 4


@pytest.mark.parametrize("quantity", ["ProtonLET ( MeV/mm/(g/cm3) )", "RBE_McNamara"])
def test_statistics_of_ratios_are_refused_but_not_their_histories(tmp_path, quantity):
    columns = ("Sum", "Mean", "Standard_Deviation", "Histories_with_Scorer_Active")
    write_csv(tmp_path / "L.csv", head_text("L", quantity, SHAPE, columns=columns), ramp(4))
    scored = read(tmp_path / "L.csv")
    for name in ("Sum", "Histories_with_Scorer_Active"):
        np.testing.assert_array_equal(scored.column(name)[..., 0], ramp(4)[..., columns.index(name)])
    for name in ("Mean", "Standard_Deviation"):
        with pytest.raises(QuantityError, match=f"{name} of {quantity.split()[0]} is that of a numerator"):
            scored.column(name)


def test_a_ratio_with_bins_was_never_divided(tmp_path):
    head = head_text("L", "ProtonLET ( MeV/mm/(g/cm3) )", SHAPE, binning=BINS)
    write_bin(tmp_path / "L", head, ramp(4)[..., None])
    with pytest.raises(QuantityError, match="only without bins, these are numerators"):
        read(tmp_path / "L.binheader").column("Sum")


@pytest.mark.parametrize("form", ["csv", "bin"])
def test_what_lies_outside_the_bins_is_told(tmp_path, monkeypatch, form):
    monkeypatch.setattr("surrogate3d.io.topas_scored.SLAB_BYTES", 1)
    bins = ("Binned by incident track energy in 1 bins of 5 MeV from 0 MeV to 5 MeV",)
    filters = ('OnlyIncludeIfInRTStructure = 1 "PTV"',)
    head = head_text("F", "F ( Gy )", SHAPE, columns=("Mean", "Sum"), binning=bins, filters=filters)
    values = np.zeros((*SHAPE, 4, 2))
    values[..., 1] = [1, 2, 4, 1]  # under, bin, over, none
    values[0, 0, 0] = -1  # outside the structure: counts for nothing
    if form == "bin":
        write_bin(tmp_path / "F", head, values)
    else:
        write_csv(tmp_path / "F.csv", head, values.reshape(*SHAPE, 8), index=False)
    scored = read(tmp_path / ("F.binheader" if form == "bin" else "F.csv"), "x_fastest")
    assert outside_shares(scored) == {"underflow": 0.125, "overflow": 0.5, "no_incident_track": 0.125}


def test_nothing_lies_outside_where_nothing_was_scored_or_nothing_is_binned(tmp_path):
    write_bin(tmp_path / "D", head_text("D", "DoseToWater ( Gy )", SHAPE), ramp(1)[..., None])
    assert outside_shares(read(tmp_path / "D.binheader")) == {}
    write_bin(tmp_path / "F", head_text("F", "F ( Gy )", SHAPE, binning=BINS), np.zeros((*SHAPE, 4, 1)))
    assert outside_shares(read(tmp_path / "F.binheader")) == {"underflow": 0, "overflow": 0}
