"""Figures of a plan: all that can be drawn is, and why the rest cannot is said."""

import json
from dataclasses import replace

import numpy as np
import pytest
from synthetic import LINE, make_field, make_surrogate, prescribed, reoriented

from surrogate3d.errors import (
    ConfigError,
    FormatError,
    GridMismatchError,
    PrescriptionError,
    QuantityError,
    StoreError,
    UnknownNameError,
)
from surrogate3d.grid import DoseField, Grid, Volume, VolumeSet, quantity
from surrogate3d.inference.maps import Fractionation
from surrogate3d.io.field_store import field_id, write_field
from surrogate3d.io.images import write_image, write_maps
from surrogate3d.model.bundle import save_bundle
from surrogate3d.physics.linear_quadratic import survival
from surrogate3d.pipeline.figure_inputs import LET_FROM, FigureRequest, read_inputs
from surrogate3d.pipeline.figure_survival import survival_of
from surrogate3d.pipeline.figures import draw, write_figures
from surrogate3d.pipeline.in_memory import predict
from surrogate3d.report.paper_style import paper_style
from surrogate3d.validation.table import compare


def with_LET(field):
    """LET_d that grows with depth, also where there is hardly a dose."""
    LET = Volume(field.grid, np.broadcast_to(1.0 + 0.3 * np.arange(30.0), field.grid.shape).copy(), quantity("LET_d"))
    return replace(field, volumes=VolumeSet(field.grid, {**field.volumes, "LET_d": LET}))


FIELD = with_LET(prescribed(make_field(shape=(10, 9, 30), seed=5), 2.0))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A plan, its maps, a reference 2 % higher, structures, a validation and learning curves."""
    where = tmp_path_factory.mktemp("figures")
    write_field(FIELD, where / "plan.field.zarr")
    write_field(replace(FIELD, prescription=None), where / "unscaled.field.zarr")
    surrogate = make_surrogate(FIELD)
    save_bundle(surrogate, where / "model.bundle")
    maps = predict(FIELD, surrogate, LINE, Fractionation(2.0)).volumes
    about = {
        "field_id": field_id(where / "plan.field.zarr"),
        "cell_line": {"name": LINE.name, "alpha_x": LINE.alpha_x, "beta_x": LINE.beta_x},
        "fraction_dose_gy": 2.0,
        "fractions": 1,
    }
    write_maps(maps, where / "maps", ("nifti",), about)
    higher = maps["D_RBE"].values * np.float32(1 / 1.02)
    write_image(Volume(FIELD.grid, higher, quantity("D_RBE")), where / "reference.nii.gz")
    (where / "masks").mkdir()
    mask = np.zeros(FIELD.grid.shape, dtype=np.float32)
    mask[3:6, 4:7, 8:16] = 1
    write_image(Volume(FIELD.grid, mask, quantity("structure")), where / "masks" / "PTV.nii.gz")
    write_image(Volume(FIELD.grid, 0 * mask, quantity("structure")), where / "masks" / "Nothing.nii.gz")
    truth = np.full((3, 1, 1), 1.1)
    table = compare({"surrogate": {"RBE": truth * 1.01}}, {"RBE": truth}, {}, {"surrogate": "surrogate"})
    (where / "validation.json").write_text(json.dumps({"table": table.to_json()}))
    (where / "training").mkdir()
    (where / "training" / "member_0.csv").write_text("step,relative_loss,learning_rate\n50,2.0,0.1\n100,1.0,0.1\n")
    return where


def request(folder, **changes):
    return FigureRequest(folder / "plan.field.zarr", folder / "maps", **changes)


def compared(folder, **changes):
    return request(folder, reference=folder / "reference.nii.gz", quantity="D_RBE", **changes)


def everything(folder):
    rest = {"structures": folder / "masks", "training": folder / "training"}
    return compared(folder, model=str(folder / "model.bundle"), validation=folder / "validation.json", **rest)


@pytest.fixture(scope="module")
def drawn(folder):
    inputs = read_inputs(everything(folder))
    with paper_style():
        figures, left_out, problems = draw(inputs)
    return {figure.name: figure for figure in figures}, left_out, problems


def test_all_standard_figures_are_drawn(drawn):
    figures, left_out, _ = drawn
    maps = {"dose_to_water", "LET_d", "RBE", "RBE_ref", "D_RBE", "RBE_half_width", "alpha", "beta", "survival"}
    others = {"comparison_D_RBE", "profiles", "histograms", "parity_D_RBE", "survival", "errors_RBE", "learning"}
    assert set(figures) == {f"map_{name}" for name in (*maps, "BED", "EQD2")} | others
    assert left_out == {}


def test_figures_are_as_wide_as_columns_and_have_no_title(drawn):
    for figure in drawn[0].values():
        assert figure.size_mm[0] in (85.0, 180.0)
        assert figure.size_mm[1] < 240.0
        assert figure.figure.get_suptitle() == ""


def test_captions_say_what_a_reader_must_know(drawn):
    captions = {name: figure.caption for name, figure in drawn[0].items()}
    assert captions["map_D_RBE"].startswith("RBE-weighted dose, RBE(D per fraction) x D, all fractions. Cell line HSG")
    assert "95, 80, 50, 20 % of 2 Gy" in captions["map_D_RBE"]
    assert "reference.nii.gz" in captions["comparison_D_RBE"]
    assert "mean +2.00 %, RMS 2.00 %" in captions["parity_D_RBE"]
    assert "PTV 0.7 cm³ (72 voxels)" in captions["histograms"]
    assert f"at least {100 * LET_FROM:g} % of its maximum" in captions["map_LET_d"]
    assert "intervals that are to cover 90 %" in captions["survival"]


def test_LET_is_shown_where_there_is_dose(folder):
    shown, dose = read_inputs(request(folder)).LET.values, FIELD.dose
    assert (np.isfinite(shown) == (dose >= LET_FROM * dose.max())).all()


def test_an_empty_structure_is_named(drawn):
    assert [problem.kind for problem in drawn[2]][:1] == ["empty_structure"]
    assert "Nothing" in drawn[2][0].sentence


def test_profiles_run_along_the_beam_through_the_focus(folder, drawn):
    i, j, _ = read_inputs(request(folder)).view.focus
    dose = drawn[0]["profiles"].figure.axes[0].get_lines()[0]
    start = int(np.flatnonzero(np.isclose(np.arange(30) * 2.5, dose.get_xdata()[0]))[0])
    np.testing.assert_allclose(dose.get_ydata(), FIELD.dose[i, j, start : start + len(dose.get_xdata())])


def test_a_beam_towards_smaller_indices_has_the_same_profile(tmp_path):
    plan, profiles = prescribed(make_field(shape=(10, 9, 30), seed=5), 2.0), []
    for name, field in {"forwards": plan, "backwards": reoriented(plan, (2, 0, 1), -1)[0]}.items():
        write_field(field, tmp_path / f"{name}.field.zarr")
        with paper_style():
            figures, _, _ = draw(read_inputs(FigureRequest(tmp_path / f"{name}.field.zarr")))
        profiles.append(figures[-1].figure.axes[0].get_lines()[0].get_xydata())
    np.testing.assert_allclose(profiles[0], profiles[1], rtol=1e-6)


def test_what_is_missing_is_left_out_with_its_reason(folder):
    with paper_style():
        figures, left_out, problems = draw(read_inputs(FigureRequest(folder / "unscaled.field.zarr")))
    assert [figure.name for figure in figures] == ["map_dose_to_water", "map_LET_d", "profiles"]
    assert left_out == {
        "comparison": "no reference was given",
        "histograms": "no structures were given",
        "parity": "no reference was given",
        "survival": "no maps of alpha and beta of one cell line were given",
        "errors": "no validation was given",
        "learning": "no learning curves were given",
    }
    assert problems == ()
    assert "% of the largest dose" in figures[0].caption
    assert "% of maximum" in figures[0].figure.axes[-1].get_ylabel()


def test_a_plan_of_unknown_direction_has_no_profile(folder, tmp_path):
    write_field(DoseField(grid=FIELD.grid, volumes=FIELD.volumes), tmp_path / "reduced.field.zarr")
    with paper_style():
        _, left_out, _ = draw(read_inputs(FigureRequest(tmp_path / "reduced.field.zarr")))
    assert left_out["profiles"] == "the beam's direction is not known, or beams cross"


def test_survival_without_a_model_is_that_of_alpha_and_beta(folder):
    inputs = read_inputs(request(folder))
    found = survival_of(inputs)
    middle = inputs.view.focus
    alpha, beta = (float(inputs.maps[name].values[middle]) for name in ("alpha", "beta"))
    np.testing.assert_allclose(found.curves[1].survival, survival(found.curves[1].doses, alpha, beta))
    np.testing.assert_allclose(found.photons.survival, survival(found.photons.doses, LINE.alpha_x, LINE.beta_x))
    assert all(curve.low is None for curve in found.curves)


def test_survival_of_a_model_is_that_of_the_maps_and_has_an_interval(folder):
    inputs = read_inputs(request(folder, model=str(folder / "model.bundle")))
    curve = survival_of(inputs).curves[1]
    own = float(FIELD.dose[inputs.view.focus])
    expected = float(inputs.maps["survival"].values[inputs.view.focus])
    np.testing.assert_allclose(np.exp(np.interp(own, curve.doses, np.log(curve.survival))), expected, rtol=1e-3)
    assert (curve.low[1:] < curve.survival[1:]).all()
    assert (curve.survival[1:] < curve.high[1:]).all()


def test_a_folder_is_written_whole_and_equal_twice(folder, tmp_path):
    asked = FigureRequest(folder / "plan.field.zarr")
    said = [write_figures(asked, tmp_path / name, ("svg",)) for name in ("a", "b")]
    assert said[0]["figures"] == said[1]["figures"]
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    names = [each["name"] for each in said[0]["figures"]]
    assert files == sorted([*(f"{name}.svg" for name in names), "captions.txt", "figures.json"])
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    captions = (tmp_path / "a" / "captions.txt").read_text(encoding="utf-8")
    assert all(each["caption"] in captions for each in said[0]["figures"])


def test_only_a_folder_of_figures_is_replaced(folder, tmp_path):
    own = FigureRequest(folder / "plan.field.zarr")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(StoreError, match="is no folder of figures"):
        write_figures(own, tmp_path / "mine", ("svg",), overwrite=True)
    write_figures(own, tmp_path / "old", ("svg",))
    with pytest.raises(StoreError, match="exists"):
        write_figures(own, tmp_path / "old", ("svg",))
    write_figures(own, tmp_path / "old", ("svg",), overwrite=True)


def test_formats_are_checked_before_anything_is_read(tmp_path):
    nothing = FigureRequest(tmp_path / "nothing.field.zarr")
    with pytest.raises(UnknownNameError, match="eps; known: pdf, svg, png"):
        write_figures(nothing, tmp_path / "out", ("pdf", "eps"))
    with pytest.raises(UnknownNameError, match="none; known"):
        write_figures(nothing, tmp_path / "out", ())


def test_maps_of_another_field_are_refused(folder):
    with pytest.raises(QuantityError, match=r"are of the field .*, the store is"):
        read_inputs(FigureRequest(folder / "unscaled.field.zarr", folder / "maps"))


def test_a_folder_without_maps_is_refused(folder):
    with pytest.raises(StoreError, match=r"no folder of maps \(no maps.json\)"):
        read_inputs(FigureRequest(folder / "plan.field.zarr", folder / "masks"))


def test_a_reference_needs_its_quantity_and_the_other_way_round(folder):
    for half in ({"reference": folder / "reference.nii.gz"}, {"quantity": "D_RBE"}):
        with pytest.raises(ConfigError, match="given together"):
            request(folder, **half)


def test_a_reference_without_a_judged_map_is_refused(folder):
    path = folder / "reference.nii.gz"
    with pytest.raises(QuantityError, match="no judged map of 'LET_t'"):
        read_inputs(request(folder, reference=path, quantity="LET_t"))
    with pytest.raises(PrescriptionError, match="arbitrary scale"):
        read_inputs(FigureRequest(folder / "unscaled.field.zarr", reference=path, quantity="dose_to_water"))


def test_a_reference_on_another_grid_is_refused_or_carried(folder, tmp_path):
    grid = Grid(FIELD.grid.shape, FIELD.grid.spacing_mm, (1.0, 0.0, 0.0))
    write_image(Volume(grid, np.ones(grid.shape, np.float32), quantity("D_RBE")), tmp_path / "moved.nii.gz")
    moved = {"reference": tmp_path / "moved.nii.gz", "quantity": "D_RBE"}
    with pytest.raises(GridMismatchError, match="origin by 1 mm"):
        read_inputs(request(folder, **moved))
    found = read_inputs(request(folder, resample=True, **moved))
    assert "resampled" in found.reference.origin


def test_the_fields_own_dose_can_be_compared(folder, tmp_path):
    write_image(Volume(FIELD.grid, FIELD.dose.astype(np.float32), quantity("dose_to_water")), tmp_path / "dose.nii.gz")
    asked = FigureRequest(folder / "plan.field.zarr", reference=tmp_path / "dose.nii.gz", quantity="dose_to_water")
    with paper_style():
        figures, _, _ = draw(read_inputs(asked))
    captions = {figure.name: figure.caption for figure in figures}
    assert "RMS 0.00 %" in captions["parity_dose_to_water"]


def test_a_field_without_dose_is_refused(tmp_path):
    grid = FIELD.grid
    dose = Volume(grid, np.zeros(grid.shape), quantity("dose_to_water"))
    write_field(DoseField(grid=grid, volumes=VolumeSet(grid, {"dose_to_water": dose})), tmp_path / "dark.field.zarr")
    with pytest.raises(QuantityError, match="nowhere positive"):
        read_inputs(FigureRequest(tmp_path / "dark.field.zarr"))


@pytest.mark.parametrize("text", ["{", "[]", '{"headline": {}}', '{"table": {"schema": "other"}}'])
def test_what_is_no_validation_is_refused(folder, tmp_path, text):
    (tmp_path / "validation.json").write_text(text)
    asked = FigureRequest(folder / "plan.field.zarr", validation=tmp_path / "validation.json")
    with paper_style(), pytest.raises(FormatError, match="validat"):
        draw(read_inputs(asked))


def test_a_folder_without_learning_curves_is_refused(folder, tmp_path):
    asked = FigureRequest(folder / "plan.field.zarr", training=tmp_path)
    with paper_style(), pytest.raises(ConfigError, match="no learning curves at"):
        draw(read_inputs(asked))


def test_a_model_of_spectra_needs_spectra(folder, tmp_path):
    store = tmp_path / "reduced.field.zarr"
    write_field(DoseField(grid=FIELD.grid, volumes=FIELD.volumes, beams=FIELD.beams), store)
    inputs = read_inputs(request(folder, model=str(folder / "model.bundle")))
    bare = replace(inputs, field=DoseField(grid=FIELD.grid, volumes=FIELD.volumes))
    assert survival_of(bare) == "the field has no spectra, so a model of spectra cannot answer"
    other = {**inputs.about, "cell_line": {"name": LINE.name, "alpha_x": 0.1, "beta_x": 0.1}}
    assert "other photon parameters" in survival_of(replace(inputs, about=other))
