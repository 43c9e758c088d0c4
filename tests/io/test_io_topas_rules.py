"""The reader's rules 1 to 15 of the specification of the formats, one test each, named by its number."""

import numpy as np
import pytest
from topas_writer import header as head_text
from topas_writer import write_bin, write_csv

from surrogate3d.errors import FormatError, QuantityError
from surrogate3d.io.topas_grid import decide_row_order, outside_shares, read_values
from surrogate3d.io.topas_header import parse_header, read_header

SHAPE = (2, 1, 3)
TOP = ("# TOPAS Version: 4.2.p3", "# Parameter File: run.txt", "# Results for scorer: Dose")
BOX = ("# Scored in component: P", "# X in 2 bins of 0.1 cm", "# Y in 1 bin  of 0.1 cm", "# Z in 3 bins of 1e-05 cm")
PRE_STEP = ("Binned by pre-step energy in 2 bins of 5 MeV from 0 MeV to 10 MeV", "First bin is underflow.")


def parse(*lines):
    return parse_header(list(lines), "Dose.csv")


def read(path, row_order=None):
    return read_values(path, read_header(path), row_order)


def test_rule_1_scorer_line_with_and_without_colon():
    for line in ("# Results for scorer: Dose", "# Results for scorer Dose"):
        assert parse(*TOP[:2], line, *BOX, "# DoseToWater ( Gy ) : Sum   ").scorer == "Dose"


def test_rule_2_one_bin_is_followed_by_two_spaces():
    header = parse(*TOP, *BOX, "# DoseToWater ( Gy ) : Sum   ")
    assert header.shape == (2, 1, 3)
    assert [axis.width for axis in header.axes] == [0.1, 0.1, 1e-5]


def test_rule_3_units_with_parentheses_of_their_own():
    header = parse(*TOP, *BOX, "# ProtonLET ( MeV/mm/(g/cm3) ) : Sum   Mean   ")
    assert (header.quantity, header.unit, header.columns) == ("ProtonLET", "MeV/mm/(g/cm3)", ("Sum", "Mean"))


def test_rule_4_no_unit_or_the_unit_1():
    for line in ("# SurfaceTrackCount : Sum   ", "# SurfaceTrackCount ( 1 ) : Sum   "):
        header = parse(*TOP, *BOX, line)
        assert (header.quantity, header.unit, header.columns) == ("SurfaceTrackCount", "1", ("Sum",))


def test_rule_5_warnings_are_kept_for_the_report():
    warnings = (
        "# Warning: Some histories were not scored due to scorer being inactive at least part of the time.",
        "# Total number of histories not scored for this reason: 12",
    )
    header = parse(*TOP, BOX[0], *warnings, *BOX[1:], "# DoseToWater ( Gy ) : Sum   ")
    assert header.notes == tuple(line.removeprefix("# ") for line in warnings)


def test_rule_6_indices_decide_where_a_value_goes(tmp_path):
    rows = ["1, 0, 2, 12", "0, 0, 0, 0", "0, 0, 2, 2", "1, 0, 0, 10", "0, 0, 1, 1", "1, 0, 1, 11"]
    path = tmp_path / "Dose.csv"
    head = head_text("Dose", "DoseToWater ( Gy )", SHAPE)
    path.write_text(head + "\n".join(rows) + "\n")
    np.testing.assert_array_equal(read(path).column("Sum")[:, 0, :, 0], [[0, 1, 2], [10, 11, 12]])
    path.write_text(head + "\n".join([*rows, rows[2]]) + "\n")
    with pytest.raises(FormatError, match=r"line 15: voxel \(0, 0, 2\) is there more than once"):
        read(path)
    sparse = head_text("Dose", "DoseToWater ( Gy )", SHAPE, tail=("Showing only rows that have sum > 5 Gy",))
    path.write_text(sparse + "\n".join(row for row in rows if row[0] == "1") + "\n")
    assert read(path).n_missing == 3
    np.testing.assert_array_equal(read(path).column("Sum")[:, 0, :, 0], [[0, 0, 0], [10, 11, 12]])


@pytest.mark.parametrize(
    ("version", "order"),
    [
        ("1.2_expanded", "z_fastest"),
        ("2.0.p3_expanded", "z_fastest"),
        ("3.2", "z_fastest"),
        ("3.9", "z_fastest"),
        ("4.0", None),
        ("4.1", None),
        ("4.1.p1", "x_fastest"),
        ("4.2.p3", "x_fastest"),
        ("4.3", "x_fastest"),
    ],
)
def test_rule_7_order_of_energy_binned_rows_by_version_or_as_given(tmp_path, version, order):
    values = np.arange(24.0).reshape(*SHAPE, 4)
    head = head_text("F", "Fluence ( /mm2 )", SHAPE, binning=PRE_STEP, version=version)
    write_csv(tmp_path / "F.csv", head, values, order=order or "z_fastest", index=False)
    header = read_header(tmp_path / "F.csv")
    if order is None:
        with pytest.raises(FormatError, match="give row_order"):
            decide_row_order(header, "F.csv", None, [])
    decided = decide_row_order(header, "F.csv", None if order else "z_fastest", [])
    np.testing.assert_array_equal(read(tmp_path / "F.csv", decided).column("Sum"), values)


def test_rule_8_underflow_overflow_and_no_incident_track_stay_apart(tmp_path):
    bins = ("Binned by incident track energy in 2 bins of 5 MeV from 0 MeV to 10 MeV",)
    values = np.tile([1.0, 2.0, 3.0, 4.0, 10.0], (*SHAPE, 1))
    write_csv(tmp_path / "F.csv", head_text("F", "F ( Gy )", SHAPE, binning=bins), values, index=False)
    scored = read(tmp_path / "F.csv", "x_fastest")
    assert scored.column("Sum").sum() == values.sum()
    shares = outside_shares(scored)
    assert shares == pytest.approx({"underflow": 0.05, "overflow": 0.2, "no_incident_track": 0.5})


def test_rule_9_deposited_is_misspelt_in_files():
    for word in ("deosited", "deposited"):
        line = f"# Binned by energy {word} in step in 2 bins of 5 MeV from 0 MeV to 10 MeV"
        header = parse(*TOP, *BOX, "# EnergyDeposit ( MeV ) : Sum   ", line)
        assert header.binning is not None
        assert (header.binning.mode, header.n_energy) == ("DepositedInStep", 4)


def test_rule_10_logarithmic_bins_are_not_announced():
    for width, logarithmic, edges in ((33.3, False, [0.1, 33.4, 66.7, 100]), (1, True, [0.1, 1, 10, 100])):
        line = f"# Binned by pre-step energy in 3 bins of {width} MeV from 0.1 MeV to 100 MeV"
        binning = parse(*TOP, *BOX, "# Fluence ( /mm2 ) : Sum   ", line).binning
        assert binning is not None
        assert binning.is_logarithmic == logarithmic
        np.testing.assert_allclose(binning.edges, edges, rtol=1e-12)


def test_rule_11_size_and_byte_order_of_a_binary(tmp_path):
    write_bin(tmp_path / "D", head_text("D", "DoseToWater ( Gy )", SHAPE), np.arange(6.0).reshape(*SHAPE, 1, 1))
    assert read(tmp_path / "D.binheader").column("Sum")[1, 0, 1, 0] == 4
    (tmp_path / "D.bin").write_bytes(np.arange(6.0).astype(">f8").tobytes())
    with pytest.raises(FormatError, match="little-endian"):
        read(tmp_path / "D.binheader").column("Sum")
    (tmp_path / "D.bin").write_bytes(np.arange(5.0).tobytes())
    with pytest.raises(FormatError, match=r"expected 48 bytes .* found 40"):
        read(tmp_path / "D.binheader")


def test_rule_12_a_single_voxel_has_neither_axes_nor_indices(tmp_path):
    path = tmp_path / "Dose.csv"
    path.write_text(head_text("D", "DoseToWater ( Gy )", (1, 1, 1), columns=("Sum", "Mean")) + "5.1e-10, 2\n")
    assert read(path).values.shape == (1, 1, 1, 1, 2)
    assert read(path).values.ravel().tolist() == [5.1e-10, 2]


def test_rule_13_minus_one_is_a_mask_with_the_structure_filter(tmp_path):
    values = np.arange(12.0).reshape(*SHAPE, 2)
    values[1, 0, 1] = -1
    for filters, masked in ((('OnlyIncludeIfInRTStructure = 1 "PTV"',), [False, True]), ((), [False, False])):
        head = head_text("D", "DoseToWater ( Gy )", SHAPE, columns=("Sum", "Mean"), filters=filters)
        write_csv(tmp_path / "D.csv", head, values)
        dose = read(tmp_path / "D.csv").column("Sum")[..., 0]
        assert np.isnan(dose[:, 0, 1]).tolist() == masked
        assert np.isfinite(dose).sum() == 6 - sum(masked)


def test_rule_14_let_without_denominator_is_zero_and_known_as_a_ratio(tmp_path):
    # The mask needs the dose of the run, so it is made where both are at hand; the zero itself is handed on as it is.
    let = np.array([[[4.0, 0.0, 6.0]], [[2.0, 1.0, 3.0]]])
    warning = ("Warning: Some voxels/bins in the primary scorer did not correspond to an entry in the sub-scorer "
               "(or sub-sub-scorers).", "Total number of voxels/bins set to 0 due to this mismatch: 1")  # fmt: skip
    head = head_text("L", "ProtonLET ( MeV/mm/(g/cm3) )", SHAPE, warnings=warning)
    write_csv(tmp_path / "L.csv", head, let[..., None])
    scored = read(tmp_path / "L.csv")
    assert scored.header.is_ratio
    assert scored.header.notes == warning
    np.testing.assert_array_equal(scored.column("Sum")[..., 0], let)


def test_rule_15_mean_and_deviation_of_a_ratio_are_refused(tmp_path):
    columns = ("Standard_Deviation", "Sum", "Mean")
    head = head_text("L", "ProtonLET ( MeV/mm/(g/cm3) )", SHAPE, columns=columns)
    write_csv(tmp_path / "L.csv", head, np.arange(18.0).reshape(*SHAPE, 3))
    scored = read(tmp_path / "L.csv")
    np.testing.assert_array_equal(scored.column("Sum")[..., 0], np.arange(18.0).reshape(*SHAPE, 3)[..., 1])
    for name in ("Mean", "Standard_Deviation"):
        with pytest.raises(QuantityError, match="not of the ratio, which is in Sum"):
            scored.column(name)
