import struct
from pathlib import Path

import numpy as np
import pytest
from topas_writer import header as head_text
from topas_writer import write_bin, write_csv

from surrogate3d.errors import FormatError
from surrogate3d.io.topas_grid import find_binary, read_values
from surrogate3d.io.topas_header import read_header

FIXTURE = Path(__file__).parents[1] / "fixtures" / "topas"
TOPAS2NUMPY = Path(__file__).parents[2].parent / "shared" / "data" / "topas" / "topas2numpy"
SHAPE = (2, 3, 4)
BINS = (
    "Binned by pre-step energy in 2 bins of 5 MeV from 0 MeV to 10 MeV",
    "First bin is underflow, last bin is overflow.",
)


def real(name, row_order=None):
    path = FIXTURE / name
    return read_values(path, read_header(path), row_order)


def read(path, row_order=None):
    return read_values(path, read_header(path), row_order)


def ramp(columns, shape=SHAPE):
    return np.arange(np.prod(shape) * columns, dtype=float).reshape(*shape, columns)


@pytest.fixture
def csv(tmp_path):
    path = tmp_path / "Dose.csv"
    write_csv(path, head_text("Dose", "DoseToWater ( Gy )", SHAPE), ramp(1))
    return path


def edit(path, change):
    lines = path.read_text().splitlines()
    first = next(n for n, line in enumerate(lines) if not line.startswith("#"))
    path.write_text("\n".join(lines[:first] + change(lines[first:])) + "\n")


def test_real_binary_against_its_bytes_one_by_one():
    values = real("fixture_DoseToWater.binheader").values
    raw = (FIXTURE / "fixture_DoseToWater.bin").read_bytes()
    for i, j, k, s in [(0, 0, 0, 0), (5, 0, 0, 0), (0, 4, 0, 1), (0, 0, 11, 2), (3, 2, 7, 1)]:
        offset = 8 * ((((k * 5) + j) * 6 + i) * 3 + s)
        assert values[i, j, k, 0, s] == struct.unpack_from("<d", raw, offset)[0]
    assert (values[..., 2] == 4000).all()


def test_real_binary_and_csv_with_indices_agree_voxel_by_voxel():
    # Two scorers and two formats of one run: dose to water and to medium are one in water, and below it in bone.
    water = real("fixture_DoseToWater.binheader").column("Sum")[..., 0]
    medium = real("fixture_DoseToMedium.csv").column("Sum")[..., 0]
    high = medium > 0.05 * medium.max()
    ratio = water[high] / medium[high]
    assert np.median(np.abs(ratio - 1)) < 1e-3
    assert ratio.min() > 0.99
    assert ratio.max() < 1.2
    flipped = water[:, :, ::-1][high] / medium[high]
    assert np.median(np.abs(flipped - 1)) > 0.05


def test_real_spectrum_lines_up_with_the_dose_and_its_transposed_reading_does_not():
    dose = real("fixture_DoseToMedium.csv").column("Sum")[..., 0]
    assert real("fixture_DoseToMedium.csv").row_order == "x_fastest"

    def fluence_without_dose(order):
        """Share of the fluence that lies where no dose is, which cannot be: the charged particles pay it out."""
        fluence = real("fixture_Fluence_H.csv", order).column("Sum").sum(axis=-1)
        return fluence[dose == 0].sum() / fluence.sum(), np.corrcoef(fluence.ravel(), dose.ravel())[0, 1]

    outside, correlation = fluence_without_dose("x_fastest")
    assert outside == 0
    assert correlation > 0.75
    outside, correlation = fluence_without_dose("z_fastest")
    assert outside > 0.1
    assert correlation < 0.5


def test_real_csv_without_indices_is_not_read_without_an_order():
    with pytest.raises(FormatError, match="order is not known"):
        real("fixture_Fluence_H.csv")


def test_shuffled_rows_are_placed_and_tell_no_order(csv):
    edit(csv, lambda rows: [rows[n] for n in np.random.default_rng(3).permutation(len(rows))])
    scored = read(csv)
    np.testing.assert_array_equal(scored.values[..., 0, 0], ramp(1)[..., 0])
    assert scored.row_order is None


@pytest.mark.parametrize("order", ["x_fastest", "z_fastest"])
def test_energy_bins_with_interleaved_statistics(tmp_path, order):
    path = tmp_path / "Fluence.csv"
    head = head_text("F", "Fluence ( /mm2 )", SHAPE, columns=("Sum", "Mean"), binning=BINS)
    write_csv(path, head, ramp(8), order=order, index=False)
    scored = read(path, order)
    expected = ramp(8).reshape(*SHAPE, 4, 2)  # Sum(under), Mean(under), Sum(1), Mean(1) ...
    np.testing.assert_array_equal(scored.values, expected)
    np.testing.assert_array_equal(scored.column("Mean"), expected[..., 1])


def test_binary_with_energy_bins_and_statistics(tmp_path):
    values = ramp(8).reshape(*SHAPE, 4, 2)
    head = head_text("F", "Fluence ( /mm2 )", SHAPE, columns=("Sum", "Mean"), binning=BINS)
    write_bin(tmp_path / "F", head, values)
    np.testing.assert_array_equal(read(tmp_path / "F.binheader").values, values)


def test_single_voxel_has_bare_values(tmp_path):
    path = tmp_path / "Dose.csv"
    path.write_text(head_text("Dose", "DoseToWater ( Gy )", (1, 1, 1)) + "5.109993539420543e-10\n")
    assert read(path).values.item() == 5.109993539420543e-10


def test_sparse_rows_are_zero_and_counted(tmp_path):
    path = tmp_path / "Dose.csv"
    head = head_text("Dose", "DoseToWater ( Gy )", SHAPE, tail=("Showing only rows that have sum > 1e-05 Gy",))
    path.write_text(head + "0, 0, 1, 7\n1, 2, 3, 8\n")
    scored = read(path)
    assert scored.n_missing == 22
    assert scored.values[0, 0, 1, 0, 0] == 7
    assert scored.values.sum() == 15


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[:-1], r"expected 24 rows, one per voxel, found 23, none of voxel \(1, 2, 3\)"),
        (lambda rows: [*rows, rows[0]], r"voxel \(0, 0, 0\) is there more than once"),
        (lambda rows: [*rows[:-1], rows[0]], "more than once"),
        (lambda rows: ["2, 0, 0, 1", *rows[1:]], "outside the grid"),
        (lambda rows: ["-1, 0, 0, 1", *rows[1:]], "outside the grid"),
        (lambda rows: ["0.5, 0, 0, 1", *rows[1:]], "line 9: column 1 holds '0.5', not an index"),
        (lambda rows: ["0, 0, 0, hot", *rows[1:]], "not a number"),
        (lambda rows: [*rows[:-1], "1, 2"], "row is cut"),
        (lambda rows: [row + ", 1" for row in rows], "expected 4 columns"),
        (lambda rows: [], "found none"),
    ],
)
def test_damaged_csv(csv, change, message):
    edit(csv, change)
    with pytest.raises(FormatError, match=message):
        read(csv)


def test_energy_binned_csv_that_was_cut(tmp_path):
    path = tmp_path / "F.csv"
    write_csv(path, head_text("F", "Fluence ( /mm2 )", SHAPE, binning=BINS), ramp(4), index=False)
    edit(path, lambda rows: rows[:-2])
    with pytest.raises(FormatError, match="expected 24 rows, one per voxel, found 22"):
        read(path, "x_fastest")


@pytest.mark.parametrize("n_bytes", [-8, -3, 8])
def test_binary_of_wrong_size_names_expected_and_found(tmp_path, n_bytes):
    write_bin(tmp_path / "D", head_text("D", "DoseToWater ( Gy )", SHAPE), ramp(1)[..., None])
    raw = (tmp_path / "D.bin").read_bytes()
    (tmp_path / "D.bin").write_bytes(raw[:n_bytes] if n_bytes < 0 else raw + b"\0" * n_bytes)
    with pytest.raises(FormatError, match=rf"D\.bin: expected 192 bytes .* found {192 + n_bytes}"):
        read(tmp_path / "D.binheader")


def test_header_that_promises_another_grid(tmp_path):
    write_bin(tmp_path / "D", head_text("D", "DoseToWater ( Gy )", (2, 3, 5)), ramp(1)[..., None])
    with pytest.raises(FormatError, match="expected 240 bytes"):
        read(tmp_path / "D.binheader")


def test_renamed_binary_is_found_beside_its_header(tmp_path):
    head = head_text("D", "DoseToWater ( Gy )", SHAPE, tail=("Binary file: stale.bin",))
    write_bin(tmp_path / "D", head, ramp(1)[..., None])
    write_bin(tmp_path / "stale", head, 0 * ramp(1)[..., None])
    path = tmp_path / "D.binheader"
    assert find_binary(path, read_header(path)).name == "D.bin"
    (tmp_path / "D.bin").unlink()
    assert find_binary(path, read_header(path)).name == "stale.bin"
    (tmp_path / "stale.bin").unlink()
    with pytest.raises(FormatError, match=r"D\.bin or stale\.bin"):
        read(path)


def test_minus_one_is_a_mask_only_with_the_structure_filter(tmp_path):
    values = ramp(2)
    values[0, 1, 2] = -1
    values[1, 1, 1, 0] = -1  # in one statistic only: not the mask
    for name, filters in (("In", ('OnlyIncludeIfInRTStructure = 1 "PTV"',)), ("All", ())):
        head = head_text(name, "DoseToWater ( Gy )", SHAPE, columns=("Sum", "Mean"), filters=filters)
        write_csv(tmp_path / f"{name}.csv", head, values)
    masked = read(tmp_path / "In.csv").values[..., 0, :]
    assert np.isnan(masked[0, 1, 2]).all()
    assert np.isnan(masked).sum() == 2
    assert read(tmp_path / "All.csv").values[0, 1, 2, 0, 0] == -1


def test_real_files_of_topas_2():
    if not TOPAS2NUMPY.is_dir():
        pytest.skip("topas2numpy is not beside the repository")
    dose = read(TOPAS2NUMPY / "Dose.csv").values
    assert dose.shape == (1, 1, 300, 1, 1)
    assert dose[0, 0, 2].item() == 8.673695361949285e-08  # third row of the file
    tracks = read(TOPAS2NUMPY / "SurfaceTracks.csv")
    assert tracks.column("Sum").shape == (10, 10, 1, 1)
    assert tracks.column("Sum")[0, 9, 0, 0] == 1  # tenth row: 0, 9, 0, 1
    assert tracks.row_order == "z_fastest"
    binned = read(TOPAS2NUMPY / "Dose.binheader")
    histories = binned.column("Histories_with_Scorer_Active")
    assert np.unique(histories).tolist() == [1000]
    np.testing.assert_allclose(binned.column("Mean") * histories, binned.column("Sum"), rtol=1e-6)  # a running mean
