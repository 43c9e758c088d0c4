"""The order of rows without indices: by version, by the run's other files, by an un-binned grid."""

from pathlib import Path

import numpy as np
import pytest
from topas_writer import header as head_text
from topas_writer import write_csv

from surrogate3d.errors import FormatError, GridMismatchError, QuantityError
from surrogate3d.io import given
from surrogate3d.io.topas_grid import ROW_ORDERS, decide_row_order, order_by_reference, read_csv, read_values
from surrogate3d.io.topas_header import read_header

FIXTURE = Path(__file__).parents[1] / "fixtures" / "topas"
SHAPE = (2, 3, 4)
BINS = (
    "Binned by pre-step energy in 2 bins of 5 MeV from 0 MeV to 10 MeV",
    "First bin is underflow, last bin is overflow.",
)


def read(path, row_order=None):
    return read_values(path, read_header(path), row_order)


def ramp(columns, shape=SHAPE):
    return np.arange(np.prod(shape) * columns, dtype=float).reshape(*shape, columns)


def real(name, row_order=None):
    return read(FIXTURE / name, row_order)


@pytest.mark.parametrize("order", ["x_fastest", "z_fastest"])
def test_index_columns_decide_whatever_the_row_order(tmp_path, order):
    path = tmp_path / "Dose.csv"
    write_csv(path, head_text("Dose", "DoseToWater ( Gy )", SHAPE, columns=("Sum", "Mean")), ramp(2), order=order)
    scored = read(path)
    np.testing.assert_array_equal(scored.values[..., 0, :], ramp(2))
    assert scored.row_order == order


def test_single_index_is_c_order_whatever_the_row_order(tmp_path):
    path = tmp_path / "Dose.csv"
    tail = ("Using single index calculated as X * NY * NZ + Y * NZ + Z",)
    head = head_text("Dose", "DoseToWater ( Gy )", SHAPE, tail=tail)
    nx, ny, nz = SHAPE
    body = [
        f"{i * ny * nz + j * nz + k}, {100 * i + 10 * j + k}" for k in range(nz) for j in range(ny) for i in range(nx)
    ]
    path.write_text(head + "\n".join(body) + "\n")
    scored = read(path)
    assert scored.values[1, 2, 3, 0, 0] == 123
    assert scored.values[0, 2, 1, 0, 0] == 21
    assert scored.row_order == "x_fastest"


def energy_header(tmp_path, version, shape=SHAPE):
    path = tmp_path / "F.csv"
    path.write_text(head_text("F", "Fluence ( /mm2 )", shape, binning=BINS, version=version))
    return read_header(path)


@pytest.mark.parametrize(
    ("version", "order"),
    [
        ("2.0.p3_expanded", "z_fastest"),
        ("3.9", "z_fastest"),
        ("4.1.p1", "x_fastest"),
        ("4.2", "x_fastest"),
        ("4.2.p3", "x_fastest"),
        ("4.3", "x_fastest"),
    ],
)
def test_row_order_by_version(tmp_path, version, order):
    assert decide_row_order(energy_header(tmp_path, version), "F.csv", None, []) == order


@pytest.mark.parametrize("version", ["4.0", "4.1", "develop"])
def test_unknown_row_order_is_refused_unless_given_or_seen(tmp_path, version):
    header = energy_header(tmp_path, version)
    with pytest.raises(FormatError, match="row_order"):
        decide_row_order(header, "F.csv", None, [])
    assert decide_row_order(header, "F.csv", "z_fastest", []) == "z_fastest"
    assert decide_row_order(header, "F.csv", None, ["x_fastest", "x_fastest"]) == "x_fastest"


def test_row_order_against_the_files_of_the_run(tmp_path):
    header = energy_header(tmp_path, "4.2.p1")
    with pytest.raises(FormatError, match="row_order=z_fastest given"):
        decide_row_order(header, "F.csv", "z_fastest", ["x_fastest"])
    with pytest.raises(FormatError, match="different orders"):
        decide_row_order(header, "F.csv", None, ["x_fastest", "z_fastest"])


def test_row_order_does_not_matter_on_a_line(tmp_path):
    header = energy_header(tmp_path, "4.0", (1, 1, 4))
    assert decide_row_order(header, "F.csv", None, []) is None
    values = ramp(4, (1, 1, 4))
    write_csv(tmp_path / "L.csv", head_text("F", "Fluence ( /mm2 )", (1, 1, 4), binning=BINS), values, index=False)
    np.testing.assert_array_equal(read_csv(tmp_path / "L.csv", header).values[..., 0], values)


def test_row_orders_are_those_that_can_be_given():
    assert ROW_ORDERS is given.ROW_ORDERS


def plain_and_binned(folder, spectra, order, **how):
    """A CSV with bins and no indices, and the sum over its bins as a CSV with indices."""
    settings = {"version": "4.1", **how}
    shape = spectra.shape[:3]
    write_csv(
        folder / "F.csv", head_text("F", "F ( Gy )", shape, binning=BINS, **settings), spectra, order=order, index=False
    )
    write_csv(folder / "P.csv", head_text("P", "F ( Gy )", shape, **settings), spectra.sum(axis=-1, keepdims=True))
    return folder / "F.csv", read(folder / "P.csv")


@pytest.mark.parametrize("order", ROW_ORDERS)
@pytest.mark.parametrize("read_as", ROW_ORDERS)
def test_an_unbinned_grid_tells_the_order(tmp_path, order, read_as):
    spectra = np.random.default_rng(4).random((*SHAPE, 4))
    path, plain = plain_and_binned(tmp_path, spectra, order)
    assert order_by_reference(read(path, read_as), plain) == order


def test_a_real_spectrum_agrees_with_its_sum_in_one_order(tmp_path):
    spectra = real("fixture_Fluence_H.csv", "x_fastest")
    settings = {"columns": ("Sum",), "filters": ("OnlyIncludeParticlesOfAtomicNumber = 1",)}
    head = head_text("P", "Fluence ( /mm2 )", (6, 5, 12), **settings)
    write_csv(tmp_path / "P.csv", head, spectra.column("Sum").sum(axis=-1, keepdims=True))
    assert order_by_reference(real("fixture_Fluence_H.csv", "z_fastest"), read(tmp_path / "P.csv")) == "x_fastest"


def test_a_sparse_reference_tells_the_order_by_the_rows_it_has(tmp_path):
    spectra = np.random.default_rng(4).random((*SHAPE, 4))
    path, _ = plain_and_binned(tmp_path, spectra, "x_fastest")
    tail = ("Showing only rows that have sum > 2 Gy",)
    sums = spectra.sum(axis=-1, keepdims=True)
    write_csv(tmp_path / "P.csv", head_text("P", "F ( Gy )", SHAPE, tail=tail), sums)
    lines = (tmp_path / "P.csv").read_text().splitlines()
    kept = [line for line in lines if line.startswith("#") or float(line.split(",")[3]) > 2]
    assert 4 < len(lines) - len(kept) < 20
    (tmp_path / "P.csv").write_text("\n".join(kept) + "\n")
    assert order_by_reference(read(path, "z_fastest"), read(tmp_path / "P.csv")) == "x_fastest"


def test_references_that_fit_in_no_order_or_in_both_are_refused(tmp_path):
    spectra = np.random.default_rng(4).random((*SHAPE, 4))
    path, plain = plain_and_binned(tmp_path, spectra, "x_fastest")
    write_csv(path, head_text("F", "F ( Gy )", SHAPE, binning=BINS), 1.01 * spectra, index=False)
    with pytest.raises(FormatError, match="neither row order fits"):
        order_by_reference(read(path, "x_fastest"), plain)
    spectra = np.random.default_rng(4).random((*SHAPE, 2))
    symmetric = np.concatenate([spectra, 1 - spectra], axis=-1)  # the spectra differ, their sums do not
    path, plain = plain_and_binned(tmp_path, symmetric, "x_fastest")
    with pytest.raises(FormatError, match="both row orders fit"):
        order_by_reference(read(path, "x_fastest"), plain)


def test_references_of_something_else_are_refused(tmp_path):
    path, _ = plain_and_binned(tmp_path, ramp(4), "x_fastest")
    scored = read(path, "x_fastest")
    for quantity, shape, how, error, message in (
        ("F ( Gy )", (2, 3, 5), {}, GridMismatchError, "one grid"),
        ("G ( Gy )", SHAPE, {}, QuantityError, "same quantity"),
        ("F ( /mm2 )", SHAPE, {}, QuantityError, "same quantity"),
        ("F ( Gy )", SHAPE, {"filters": ("OnlyIncludeParticlesOfAtomicNumber = 1",)}, QuantityError, "filters"),
        ("F ( Gy )", SHAPE, {"scored": "in component: Other"}, QuantityError, "component"),
    ):
        write_csv(tmp_path / "O.csv", head_text("O", quantity, shape, **how), ramp(1, shape))
        with pytest.raises(error, match=message):
            order_by_reference(scored, read(tmp_path / "O.csv"))
    with pytest.raises(QuantityError, match="expected the second without bins"):
        order_by_reference(scored, scored)


def test_the_order_of_a_line_needs_no_reference(tmp_path):
    path, plain = plain_and_binned(tmp_path, ramp(4, (1, 1, 4)), "x_fastest")
    assert order_by_reference(read(path), plain) is None
