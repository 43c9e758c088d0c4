"""CSV bodies: blocks, lines at fault, the temporary file, and a round trip through both forms of output."""

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from topas_writer import BOX, CYLINDER, SPHERE, write_bin, write_csv
from topas_writer import header as head_text

from surrogate3d.errors import FormatError, StoreError
from surrogate3d.io import topas_planes, topas_rows
from surrogate3d.io.topas_grid import read_csv, read_values
from surrogate3d.io.topas_header import read_header

SHAPE = (2, 3, 4)
STATISTICS = ("Sum", "Mean", "Histories_with_Scorer_Active", "Count_in_Bin", "Second_Moment", "Variance")
STATISTICS += ("Standard_Deviation", "Min", "Max")
VERSIONS = ("1.2_expanded", "2.0.p3_expanded", "3.2", "3.9", "4.0", "4.1.p1", "4.2.p3", "4.3")
MODES = {
    "incident track energy": ("MeV", 3),
    "pre-step energy": ("MeV", 2),
    "energy deosited in step": ("MeV", 2),
    "primary track energy": ("MeV", 2),
    "time": ("ns", 2),
}


def binning(words, n):
    unit = MODES[words][0]
    return (f"Binned by {words} in {n} bins of 5 {unit} from 0 {unit} to {5 * n} {unit}", "First bin is underflow.")


def read(path, row_order=None, spool_dir=None):
    return read_values(path, read_header(path), row_order, spool_dir)


def values(shape, columns, seed=1):
    """(i, j, k, column) numbers that need all 17 digits, over many orders of magnitude, with zeros."""
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=(*shape, columns)) * 10.0 ** rng.integers(-30, 30, (*shape, columns))
    return np.where(rng.random((*shape, columns)) < 0.3, 0.0, numbers)


def dose(tmp_path, rows, shape=SHAPE, **how):
    path = tmp_path / "Dose.csv"
    path.write_text(head_text("Dose", "DoseToWater ( Gy )", shape, **how) + rows)
    return path


def body(path):
    return "".join(line for line in path.read_text().splitlines(keepends=True) if not line.startswith("#"))


@pytest.fixture
def whole(tmp_path):
    """Text of the rows of a good file with header lines 1 to 8, rows in lines 9 to 32."""
    path = tmp_path / "good.csv"
    write_csv(path, head_text("Dose", "DoseToWater ( Gy )", SHAPE), values(SHAPE, 1))
    return body(path)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("columns", [STATISTICS, STATISTICS[::-1], ("Max", "Sum", "Count_in_Bin")])
def test_every_version_and_order_of_statistics(tmp_path, version, columns):
    expected = values(SHAPE, len(columns))
    order = "z_fastest" if version < "4.1" else "x_fastest"
    head = head_text("Dose", "DoseToWater ( Gy )", SHAPE, version=version, columns=columns)
    write_csv(tmp_path / "Dose.csv", head, expected, order=order)
    scored = read(tmp_path / "Dose.csv")
    assert scored.row_order == order
    for n, name in enumerate(columns):
        np.testing.assert_array_equal(scored.column(name)[..., 0], expected[..., n])


@pytest.mark.parametrize("words", MODES)
@pytest.mark.parametrize("order", ["x_fastest", "z_fastest"])
def test_every_kind_of_bins_in_either_order(tmp_path, words, order):
    n_columns = 4 + MODES[words][1]
    expected = values(SHAPE, n_columns * 2).reshape(*SHAPE, n_columns, 2)
    head = head_text("F", "Fluence ( /mm2 )", SHAPE, columns=("Mean", "Sum"), binning=binning(words, 4))
    write_csv(tmp_path / "F.csv", head, expected.reshape(*SHAPE, -1), order=order, index=False)
    scored = read(tmp_path / "F.csv", order)
    np.testing.assert_array_equal(scored.values, expected)
    assert scored.assumed_order == order


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 5)] * 3),
    columns=st.permutations(STATISTICS).flatmap(lambda names: st.integers(1, 9).map(lambda n: tuple(names[:n]))),
    bins=st.one_of(st.none(), st.tuples(st.sampled_from(list(MODES)), st.integers(1, 4))),
    order=st.sampled_from(["x_fastest", "z_fastest"]),
    axes=st.sampled_from([BOX, CYLINDER, SPHERE]),
    block=st.integers(1, 400),
    seed=st.integers(0, 1000),
)
def test_what_is_written_is_read_back_identical_by_csv_and_by_bin(
    tmp_path_factory, shape, columns, bins, order, axes, block, seed
):
    folder = tmp_path_factory.mktemp("round")
    n_energy = bins[1] + MODES[bins[0]][1] if bins else 1
    expected = values(shape, n_energy * len(columns), seed).reshape(*shape, n_energy, len(columns))
    head = head_text("S", "Q", shape, columns=columns, axes=axes, binning=binning(*bins) if bins else ())
    index = bins is None and np.prod(shape) > 1
    write_csv(folder / "S.csv", head, expected.reshape(*shape, -1), order=order, index=index)
    write_bin(folder / "S", head, expected)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(topas_rows, "BLOCK_BYTES", block)
        by_csv = read(folder / "S.csv", None if index else order)
    by_bin = read(folder / "S.binheader")
    for scored in (by_csv, by_bin):
        np.testing.assert_array_equal(scored.values, expected)
        for k in range(shape[2]):
            np.testing.assert_array_equal(scored.slab(k, k + 1), expected[:, :, k : k + 1])
    assert by_csv.n_missing == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("0, 1, 0, ", "0, 1, 0, 1, "), r"line 11 \(voxel 0, 1, 0\): expected 4 columns"),
        (lambda text: text.replace("\n", ",\n", 1), r"line 9 \(voxel 0, 0, 0\): the row ends with a comma"),
        (
            lambda text: text.replace("\n1, 0, 0, ", "\n1, 0, 0\n"),
            r"line 10 \(voxel 1, 0, 0\): .*found 3; the row is cut",
        ),
        (lambda text: text.replace("0, 1, 0, ", "0, 1, 0, ,"), "line 11 .*expected 4 columns"),
        (
            lambda text: text.replace("0, 1, 0, ", "0, 1, 0, hot"),
            r"line 11 \(voxel 0, 1, 0\): column 4 holds 'hot.*number",
        ),
        (lambda text: text.replace("1, 0, 0, ", "1, , 0, "), "line 10: column 2 is empty"),
        (lambda text: text.replace("1, 0, 0, ", "1, 0.0, 0, "), "line 10: column 2 holds '0.0', not an index"),
        (lambda text: text.replace("1, 0, 0, ", "1, -1, 0, "), r"line 10: index \[1, -1, 0\] is outside the grid"),
        (lambda text: text.replace("1, 2, 3, ", "1, 2, 4, "), r"line 32: index \[1, 2, 4\] is outside the grid"),
        (lambda text: text.replace("1, 2, 3, ", "1, 2, 2, "), r"line 32: voxel \(1, 2, 2\) is there more than once"),
        (lambda text: "\n\n" + text.replace("1, 2, 3, ", "1, 2, 2, "), r"line 34: voxel \(1, 2, 2\)"),
        (lambda text: text + text, r"line 33: voxel \(0, 0, 0\) is there more than once"),
        (lambda text: text[:-1], "expected a line end after the last row"),
        (lambda text: text[:-5], "expected a line end after the last row.*cut"),
        (lambda text: text + "# TOPAS Version: 4.2.p1\n" + text, "line 33: a second header"),
        (lambda text: text[: text.rindex("1, 2, 3")], r"found 23, none of voxel \(1, 2, 3\)"),
        (lambda text: text.replace("\n0, 1, 1, ", "\n 0.1e1x, 1, 1, "), "not an index"),
        (lambda text: text.replace("0, 1, 0, ", "0, 1, 0, 1_0"), "'1_0"),
        (lambda text: text.replace(", ", ";"), "line 9: expected 4 columns.*found 1"),
        (lambda text: text.replace("1, 2, 3, ", "1, 2, 3, \0"), "line 32"),
    ],
)
@pytest.mark.parametrize("block", [50, 1 << 24])
def test_damaged_lines_are_named_with_their_voxel(tmp_path, whole, monkeypatch, change, message, block):
    monkeypatch.setattr(topas_rows, "BLOCK_BYTES", block)
    with pytest.raises(FormatError, match=rf"Dose\.csv.*{message}"):
        read(dose(tmp_path, change(whole)))


def test_more_rows_than_voxels_without_indices(tmp_path):
    head = head_text("F", "Fluence ( /mm2 )", SHAPE, binning=binning("time", 2))
    write_csv(tmp_path / "F.csv", head, values(SHAPE, 4), index=False)
    path = tmp_path / "F.csv"
    path.write_text(path.read_text() + "1, 2, 3, 4\n")
    with pytest.raises(FormatError, match="expected 24 rows, one per voxel, found more"):
        read(path, "x_fastest")


def test_lines_may_end_as_on_windows(tmp_path, whole):
    expected = read(dose(tmp_path, whole)).values
    path = tmp_path / "Dose.csv"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    np.testing.assert_array_equal(read(path).values, expected)


def test_numbers_as_c_writes_them(tmp_path):
    path = dose(tmp_path, "nan\n", (1, 1, 1))
    assert np.isnan(read(path).values.item())
    for text, number in (("-inf", -np.inf), ("9e+99", 9e99), ("1e-310", 1e-310), ("-0", 0.0), ("4000000", 4e6)):
        assert read(dose(tmp_path, f"{text}\n", (1, 1, 1))).values.item() == number


def test_rows_in_blocks_of_any_size_are_the_same_rows(tmp_path, whole, monkeypatch):
    expected = read(dose(tmp_path, whole))
    for block in (1, 7, 64, len(whole) - 1, len(whole)):
        monkeypatch.setattr(topas_rows, "BLOCK_BYTES", block)
        scored = read(dose(tmp_path, whole))
        np.testing.assert_array_equal(scored.values, expected.values)
        assert scored.row_order == "x_fastest"


def test_order_is_not_seen_when_blocks_go_back(tmp_path, whole, monkeypatch):
    monkeypatch.setattr(topas_rows, "BLOCK_BYTES", 40)
    lines = whole.splitlines(keepends=True)
    assert read(dose(tmp_path, "".join(lines[12:] + lines[:12]))).row_order is None


def test_sparse_files_may_be_empty_and_count_what_is_missing(tmp_path):
    tail = ("Showing only rows that have sum > 1e-05 Gy",)
    assert read(dose(tmp_path, "", tail=tail)).n_missing == 24
    assert read(dose(tmp_path, "", (1, 1, 1), tail=tail)).n_missing == 1
    with pytest.raises(FormatError, match="found none"):
        read(dose(tmp_path, ""))


def test_sparse_rows_without_indices_are_refused(tmp_path):
    path = tmp_path / "F.csv"
    tail = ("Showing only rows that have sum > 1e-05 Gy",)
    write_csv(
        path, head_text("F", "F ( Gy )", SHAPE, binning=binning("time", 2), tail=tail), values(SHAPE, 4), index=False
    )
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(FormatError, match="found 23; rows without indices cannot be sparse"):
        read(path, "x_fastest")


@pytest.mark.parametrize("order", ["x_fastest", "z_fastest"])
def test_large_values_go_to_a_temporary_file_that_leaves_nothing(tmp_path, monkeypatch, order):
    expected = values(SHAPE, 8).reshape(*SHAPE, 4, 2)
    head = head_text("F", "Fluence ( /mm2 )", SHAPE, columns=("Sum", "Mean"), binning=binning("pre-step energy", 2))
    write_csv(tmp_path / "F.csv", head, expected.reshape(*SHAPE, -1), order=order, index=False)
    monkeypatch.setattr(topas_planes, "HELD_BYTES", 8 * expected.size - 1)
    (tmp_path / "spool").mkdir()
    scored = read(tmp_path / "F.csv", order, tmp_path / "spool")
    assert isinstance(scored.planes.array, np.memmap)
    assert list((tmp_path / "spool").iterdir()) == []
    assert str(tmp_path / "spool") in open_files()
    np.testing.assert_array_equal(scored.slab(1, 3), expected[:, :, 1:3])
    assert not isinstance(scored.slab(1, 3), np.memmap)
    np.testing.assert_array_equal(scored.values, expected)
    del scored
    assert str(tmp_path / "spool") not in open_files()


def open_files():
    """What this process has mapped: a file without a name is there as long as it is used."""
    if not os.path.exists("/proc/self/maps"):
        pytest.skip("no /proc on this system")
    with open("/proc/self/maps") as maps:
        return maps.read()


def test_values_at_the_limit_stay_in_memory(tmp_path, whole, monkeypatch):
    monkeypatch.setattr(topas_planes, "HELD_BYTES", 8 * 24)
    scored = read(dose(tmp_path, whole), spool_dir=tmp_path / "nowhere")
    assert not isinstance(scored.planes.array, np.memmap)


def test_a_disk_without_room_is_told_before_anything_is_written(tmp_path, whole, monkeypatch):
    monkeypatch.setattr(topas_planes, "HELD_BYTES", 0)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(StoreError, match=r"GB of temporary values, found No space left.*spool_dir"):
        read(dose(tmp_path, whole), spool_dir=tmp_path)
    with pytest.raises(StoreError, match="nowhere: expected room"):
        read(dose(tmp_path, whole), spool_dir=tmp_path / "nowhere")


def test_an_order_that_is_not_known_is_asked_for_before_reading(tmp_path):
    path = tmp_path / "F.csv"
    path.write_text(head_text("F", "F ( Gy )", SHAPE, binning=binning("time", 2)) + "not a row\n")
    with pytest.raises(FormatError, match="order is not known"):
        read_csv(path, read_header(path))
