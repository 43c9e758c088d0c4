"""The reader's rules 16 to 20 of the specification of the formats, one test each, named by its number.

Rules 1 to 15 are in test_io_topas_rules.py. What every rule has beyond its one test is listed in docs/formats.md.
"""

import math
import re
from pathlib import Path

import numpy as np
import pytest
from topas_writer import CYLINDER, SPHERE, write_bin, write_csv, write_run
from topas_writer import header as head_text

from surrogate3d.errors import GeometryError, QuantityError, UnsupportedError
from surrogate3d.io.convert import convert
from surrogate3d.io.topas_batches import merge_batches
from surrogate3d.io.topas_curved import curved_bins, enclosing_grid, onto_box
from surrogate3d.io.topas_geometry import Placement
from surrogate3d.io.topas_grid import read_values
from surrogate3d.io.topas_header import read_header, require_box
from surrogate3d.io.topas_quantity import quantity_of

SHAPE = (2, 1, 3)


def scored(path, values, quantity="DoseToWater ( Gy )", **settings):
    values = np.asarray(values, dtype=float)
    values = values if values.ndim == 4 else values[..., None]
    head = head_text(path.stem, quantity, values.shape[:3], **settings)
    write_csv(path, head, values)
    return read_values(path, read_header(path))


@pytest.mark.parametrize(("axes", "kind"), [(CYLINDER, "cylinder"), (SPHERE, "sphere")])
def test_rule_16_cylinders_and_spheres_are_read_but_no_volume_without_their_inner_radius(tmp_path, axes, kind):
    found = scored(tmp_path / "D.csv", np.arange(6.0).reshape(SHAPE), axes=axes)
    assert found.header.shape_kind == kind
    np.testing.assert_array_equal(found.column("Sum")[:, 0, :, 0], [[0, 1, 2], [3, 4, 5]])
    with pytest.raises(UnsupportedError, match=kind):
        require_box(found.header, "D.csv")
    with pytest.raises(GeometryError, match="RMin"):
        curved_bins(found.header, phi_start_deg=0, theta_start_deg=0)


def test_rule_16_with_the_inner_radius_a_cylinder_keeps_its_integral_on_a_box(tmp_path):
    # Two rings of 2 mm from RMin 3 mm, three slices of 2 mm; the header writes widths of 0.2.
    path = tmp_path / "D.csv"
    values = np.array([[[1.0, 2.0, 3.0]], [[4.0, 5.0, 6.0]]])
    head = head_text("D", "DoseToWater ( Gy )", SHAPE, axes=CYLINDER).replace("of 0.2 deg", "of 360 deg")
    write_csv(path, head, values[..., None])
    bins = curved_bins(read_header(path), r_min_mm=3.0)
    placed = Placement(np.zeros(3), np.eye(3))
    grid = enclosing_grid(bins, placed, 1.0)
    on_box, _ = onto_box(values, bins, grid, placed, samples=12)
    rings = 2 * math.pi * np.array([5.0**2 - 3.0**2, 7.0**2 - 5.0**2])
    expected = (values[:, 0].sum(axis=1) * rings).sum()
    assert on_box.sum() * grid.voxel_volume_mm3 == pytest.approx(expected, rel=1e-3)


def test_rule_17_the_place_comes_from_the_parameter_file_or_the_user_and_is_never_guessed(tmp_path):
    run = write_run(tmp_path / "run", parameters="d:Ge/Grid/TransX = 5 mm\nd:Ge/Grid/RotZ = 90 deg\n")
    grid = convert([run])[0].grid
    # 2 x 3 x 4 voxels of 1 mm half lengths: turned by RotZ = 90 deg, TOPAS's +X axis lies along -y.
    assert grid.spacing_mm == pytest.approx((2, 2, 2))
    centre = np.asarray(grid.origin_mm) + np.asarray(grid.direction) @ ((np.array(grid.shape) - 1) * 1.0)
    assert centre == pytest.approx((5, 0, 0), abs=1e-12)
    np.testing.assert_allclose(np.asarray(grid.direction)[:, 0], (0, -1, 0), atol=1e-12)
    (run / "run.txt").unlink()
    with pytest.raises(GeometryError, match="parameter file"):
        convert([run])


def test_rule_18_rbe_and_surviving_fraction_have_to_be_told_apart(tmp_path):
    def header(unit):
        return scored(tmp_path / "R.csv", np.ones(SHAPE), f"RBE_McNamara{unit}").header

    with pytest.raises(QuantityError, match="say which"):
        quantity_of(header(""))
    assert quantity_of(header(""), meaning="rbe").name == "RBE"
    assert quantity_of(header(""), meaning="survivalfraction").name == "survival"
    units = {"/Gy": "alpha", "/Gy2": "beta", "Gy": "D_RBE"}
    assert {unit: quantity_of(header(f" ( {unit} )")).name for unit in units} == units


def test_rule_19_sums_of_batches_add_deviations_come_from_batches_and_let_is_weighted_by_dose(tmp_path):
    doses = np.array([1.0, 3.0, 5.0])[:, None, None, None] * np.ones(SHAPE)
    lets = np.array([2.0, 4.0, 0.0])[:, None, None, None] * np.ones(SHAPE)  # the last has no denominator
    for n in range(3):
        (tmp_path / str(n)).mkdir()
    dose = [scored(tmp_path / str(n) / "D.csv", value) for n, value in enumerate(doses)]
    quantity = "ProtonLET ( MeV/mm/(g/cm3) )"
    let = [scored(tmp_path / str(n) / "L.csv", value, quantity) for n, value in enumerate(lets)]
    merged = merge_batches(dose, histories=[100, 100, 100])
    np.testing.assert_allclose(merged.columns["Sum"], 9)
    assert merged.error_source == "scatter of the batches"
    # The deviation of a sum of three: sqrt(3) times that of one, which is 2.
    np.testing.assert_allclose(merged.standard_error, math.sqrt(3) * np.std([1, 3, 5], ddof=1))
    of_let = merge_batches(let, dose, weighting="dose")
    np.testing.assert_allclose(of_let.columns["Sum"], (1 * 2 + 3 * 4) / (1 + 3))


def test_rule_20_the_factor_from_histories_to_the_plan_is_stated_or_there_is_none(tmp_path):
    run = write_run(tmp_path / "run", DoseToWater=np.full((2, 3, 4), 1e-6))
    field, report = convert([run])
    assert (field.prescription, report.dose_scale) == (None, 1.0)
    assert (field.volumes["dose_to_water"].values == 1e-6).all()
    field, report = convert([run], dose_scale=2e6)
    assert field.prescription is not None
    assert field.prescription.dose_scale == report.dose_scale == 2e6
    assert "given" in field.prescription.statement
    np.testing.assert_allclose(field.volumes["dose_to_water"].values, 2.0)


def test_a_binary_needs_no_row_order_at_all(tmp_path):
    values = np.arange(24.0).reshape(2, 3, 4, 1, 1)
    for version in ("2.0.p3_expanded", "3.9", "4.0", "4.2.p3"):
        write_bin(tmp_path / "D", head_text("D", "DoseToWater ( Gy )", (2, 3, 4), version=version), values)
        found = read_values(tmp_path / "D.binheader", read_header(tmp_path / "D.binheader"))
        np.testing.assert_array_equal(found.column("Sum"), values[..., 0])


PARTS = {
    "runs": ('b:Sc/{0}/OutputAfterRun = "True"\n', ("_Run_0001", "_Run_0002")),
    "increments": ('s:Sc/{0}/IfOutputFileAlreadyExists = "Increment"\n', ("", "_1")),
}


def run_in_parts(folder, kind, parts):
    """One run folder in which every scorer has a file for each of two parts (dose, LET, fluence (i, j, k, bin))."""
    line, labels = PARTS[kind]
    quantities = {"DoseToWater": "DoseToWater", "LETd": "ProtonLET", "Fluence_Z1": "Fluence"}
    text = "".join(f's:Sc/{s}/Quantity = "{q}"\n' + line.format(s) for s, q in quantities.items() if s != "LETd")
    text += line.format("LETd")
    if kind == "runs":
        text += "i:Tf/NumberOfSequentialTimes = 2\nd:Tf/TimelineEnd = 2 s\n"
    (folder / "run").mkdir()
    for label, (dose, let, fluence) in zip(labels, parts, strict=True):
        whole = folder / f"part{label}"
        write_run(whole, parameters=text, fluence={1: fluence}, DoseToWater=dose, LETd=let)
        for file in whole.iterdir():
            name = file.name if file.name == "run.txt" else f"{file.stem}{label}{file.suffix}"
            (folder / "run" / name).write_bytes(file.read_bytes())
    return folder / "run"


@pytest.mark.parametrize("kind", PARTS)
def test_rule_19_a_run_in_parts_is_their_sum_once_converted(tmp_path, kind):
    rng, shape = np.random.default_rng(8), (2, 3, 4)
    parts = [(1 + rng.random(shape), 1 + rng.random(shape), rng.random((*shape, 4))) for _ in range(2)]
    field, _ = convert([run_in_parts(tmp_path, kind, parts)])
    dose = parts[0][0] + parts[1][0]
    np.testing.assert_allclose(field.volumes["dose_to_water"].values, dose)
    weighted = sum(part[0] * part[1] for part in parts) / dose
    np.testing.assert_allclose(field.volumes["LET_d"].values, weighted)
    fluence = (parts[0][2] + parts[1][2])[..., 1:-1]
    np.testing.assert_allclose(field.spectra.fluence[0].transpose(1, 2, 3, 0), fluence, rtol=1e-6)
    assert field.histories == 200
    assert len(field.halves) == (2 if kind == "increments" else 0)  # runs of one execution share its random numbers


def test_every_test_and_file_that_the_document_names_is_there():
    root = Path(__file__).parents[2]
    text = (root / "docs" / "formats.md").read_text()
    found = "\n".join(path.read_text() for path in (root / "tests").rglob("test_*.py"))
    names = set(re.findall(r"\btest_\w+(?!\w*\.py)", text)) - {path.stem for path in (root / "tests").rglob("*.py")}
    assert len(names) >= 20
    assert [name for name in sorted(names) if f"def {name}(" not in found] == []
    files = set(re.findall(r"\b(?:tests|benchmarks|surrogate3d|docs)/[\w/]+\.\w+", text))
    assert [name for name in sorted(files) if not (root / name).exists()] == []
