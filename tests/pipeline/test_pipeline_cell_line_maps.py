"""Cell lines by structure: what is understood, which voxel has which line, and maps put together."""

import json
from dataclasses import replace

import numpy as np
import pytest
from dicom_objects import rtstruct
from synthetic import LET_DEFINITION, make_field, make_surrogate, prescribed

from surrogate3d.errors import (
    ConfigError,
    FormatError,
    GeometryError,
    GridMismatchError,
    QuantityError,
    StoreError,
    UnknownNameError,
)
from surrogate3d.grid import Grid, Volume, VolumeSet, quantity
from surrogate3d.inference.maps import Fractionation
from surrogate3d.inference.published import predict_published
from surrogate3d.io.field_store import write_field
from surrogate3d.io.images import read_maps, write_image
from surrogate3d.model.bundle import save_bundle
from surrogate3d.physics.cell_line import cell_line
from surrogate3d.pipeline.cell_line_assignment import Assignment, fractions_of, line_numbers, parse_assignment
from surrogate3d.pipeline.cell_line_maps import cell_line_maps, together
from surrogate3d.pipeline.dicom_files import masks
from surrogate3d.pipeline.map_output import MapOutput
from surrogate3d.pipeline.prediction import Structures, predict_store, write_prediction
from surrogate3d.pipeline.predictors import MapRequest, predictor_by_name

HSG, V79 = cell_line("HSG"), cell_line("V79")
ASKED = MapRequest(Fractionation(2.0))
GRID = Grid((4, 3, 2), (2.0, 2.0, 3.0), (1.0, 1.0, 1.5))


def box(i0, i1, grid=GRID, value=1.0):
    fraction = np.zeros(grid.shape, dtype=np.float32)
    fraction[i0:i1] = value
    return fraction


def flat(value, names=("RBE", "mask"), grid=GRID):
    return VolumeSet(grid, {n: Volume(grid, np.full(grid.shape, value, np.float32), quantity(n)) for n in names})


def rectangle(x0, x1, z, y1=6.0):
    return np.array([[x0, 0.0, z], [x1, 0.0, z], [x1, y1, z], [x0, y1, z]])


def test_an_assignment_is_read_in_its_order():
    found = parse_assignment("Tumour=HSG, Brain stem = V79 ,*=HSG")
    assert found.structures == (("Tumour", HSG), ("Brain stem", V79))
    assert found.rest == HSG
    assert found.lines == (HSG, V79)
    assert parse_assignment("V79").lines == (V79,)
    assert parse_assignment("a=b=V79").structures == (("a=b", V79),)


def test_a_line_may_be_a_file_of_ones_own(tmp_path):
    text = "name = 'mine'\nspecies = 'human'\ntissue = 'skin'\nalpha_x = 0.2\nbeta_x = 0.02\nsource = 'me'\n"
    gsm2 = "[gsm2]\nr_d = 0.9\nR_n = 4.5\nr = 2.5\ngenome_gbp = 6.2\nsource = 'me'\n"
    for path in (tmp_path / "mine.toml", tmp_path / "a=b.toml"):
        path.write_text(text + gsm2)
    assert parse_assignment(f"Tumour={tmp_path / 'mine.toml'}").structures[0][1].name == "mine"
    assert parse_assignment(str(tmp_path / "a=b.toml")).rest.name == "mine"


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("Tumour=HSG,V79", ConfigError, "expected STRUCTURE=LINE .*, found 'V79'"),
        ("Tumour=", ConfigError, "found 'Tumour='"),
        ("=HSG", ConfigError, "found '=HSG'"),
        ("Tumour=HSG,tumour=V79", ConfigError, "'tumour' is given a cell line twice"),
        ("*=HSG,*=V79", ConfigError, "'\\*' is given a cell line twice"),
        ("Tumour=HeLa", UnknownNameError, "Tumour=HeLa: unknown cell line 'HeLa'; known: HSG, V79"),
        ("HeLa", UnknownNameError, "unknown cell line 'HeLa'"),
    ],
)
def test_what_is_no_assignment_is_refused(text, error, words):
    with pytest.raises(error, match=words):
        parse_assignment(text)


@pytest.fixture
def structure_set(tmp_path):
    left = [rectangle(0.0, 4.0, z) for z in (1.5, 4.5)]  # voxels 0 and 1
    right = [rectangle(3.0, 8.0, z) for z in (1.5, 4.5)]  # half of voxel 1, and voxels 2 and 3
    return rtstruct(tmp_path / "rs.dcm", {"Tumour": left, "Brainstem": right})


def test_structures_of_a_structure_set_are_laid_on_the_grid(structure_set):
    found = fractions_of(["tumour", "Brainstem"], structure_set, GRID)
    np.testing.assert_allclose(found["tumour"], box(0, 2))
    np.testing.assert_allclose(found["Brainstem"], box(2, 4) + box(1, 2, value=0.5), atol=1e-6)


def test_a_folder_of_masks_says_the_same(structure_set, tmp_path):
    like = tmp_path / "like.nii.gz"
    write_image(Volume(GRID, np.zeros(GRID.shape, np.float32), quantity("structure")), like)
    masks(structure_set, tmp_path / "masks", like=like, partial=True)
    (tmp_path / "masks").rename(tmp_path / "moved")
    found = fractions_of(["Tumour", "brainstem"], tmp_path / "moved", GRID)
    direct = fractions_of(["Tumour", "brainstem"], structure_set, GRID)
    for name, values in direct.items():
        np.testing.assert_allclose(found[name], values, atol=1e-6)


def test_a_mask_image_is_a_structure_of_its_own(tmp_path, structure_set):
    for name, values in {"flag.nii.gz": box(0, 1, value=7.0), "part.mha": box(1, 2, value=0.25)}.items():
        write_image(Volume(GRID, values, quantity("structure")), tmp_path / name)
    one, two = str(tmp_path / "flag.nii.gz"), str(tmp_path / "part.mha")
    found = fractions_of([one, "Tumour", two], structure_set, GRID)
    assert list(found) == [one, "Tumour", two]
    np.testing.assert_array_equal(found[one], box(0, 1))
    np.testing.assert_array_equal(found[two], box(1, 2, value=0.25))
    assert parse_assignment(f"{one}=V79,*=HSG").structures == ((one, V79),)


def test_an_unknown_structure_is_refused_with_the_nearest(structure_set, tmp_path):
    with pytest.raises(
        UnknownNameError, match=r"no structure 'Brainstm' in .*; the nearest are 'Brainstem'; there are"
    ):
        fractions_of(["Brainstm"], structure_set, GRID)
    with pytest.raises(UnknownNameError, match=r"no structure 'qqq' in .*rs\.dcm; there are: Tumour, Brainstem"):
        fractions_of(["qqq"], structure_set, GRID)
    with pytest.raises(ConfigError, match="'Tumour' needs a structure set or a folder of masks"):
        fractions_of(["Tumour"], None, GRID)


def test_a_structure_of_another_patient_is_refused(structure_set):
    assert fractions_of(["Tumour"], structure_set, GRID, frame="1.2.3.4")
    with pytest.raises(GeometryError, match="another frame of reference"):
        fractions_of(["Tumour"], structure_set, GRID, frame="9.9")


def test_a_mask_that_does_not_fit_is_refused(tmp_path):
    labels = box(0, 1) + box(1, 2, value=2.0) + box(2, 3, value=3.0)
    write_image(Volume(GRID, labels, quantity("structure")), tmp_path / "labels.nii.gz")
    with pytest.raises(FormatError, match="found 3 other values"):
        fractions_of([str(tmp_path / "labels.nii.gz")], None, GRID)
    with pytest.raises(GridMismatchError, match=r"mask labels\.nii\.gz"):
        fractions_of([str(tmp_path / "labels.nii.gz")], None, replace(GRID, spacing_mm=(2.0, 2.0, 2.0)))


@pytest.mark.parametrize(
    ("about", "error", "words"),
    [
        (None, StoreError, "has no masks.json"),
        ("{", FormatError, "is damaged"),
        ("[]", FormatError, "is damaged"),
        ('{"schema": "other/1"}', FormatError, "is of schema 'other/1'"),
        ('{"schema": "surrogate3d.masks/1"}', FormatError, "is damaged"),
        ('{"schema": "surrogate3d.masks/1", "masks": []}', UnknownNameError, "there are: none"),
    ],
)
def test_a_folder_that_is_not_of_masks_is_refused(tmp_path, about, error, words):
    if about is not None:
        (tmp_path / "masks.json").write_text(about)
    with pytest.raises(error, match=words):
        fractions_of(["Tumour"], tmp_path, GRID)


def test_overlapping_structures_of_two_lines_are_refused_unless_the_first_has_them():
    asked = parse_assignment("A=HSG,B=V79")
    both = {"A": box(0, 3), "B": box(2, 4)}
    with pytest.raises(ConfigError, match=r"'A' \(HSG\) and 'B' \(V79\) overlap in 6 voxels; .*'first'"):
        line_numbers(asked, both, GRID)
    numbers = line_numbers(asked, both, GRID, overlap="first")
    assert numbers[:, 0, 0].tolist() == [1, 1, 1, 2]
    turned = line_numbers(parse_assignment("B=V79,A=HSG"), both, GRID, overlap="first")
    assert turned[:, 0, 0].tolist() == [2, 2, 1, 1]


def test_structures_that_touch_or_have_one_line_do_not_overlap():
    touching = {"A": box(0, 2) + box(2, 3, value=0.5), "B": box(3, 4) + box(2, 3, value=0.5)}
    assert line_numbers(parse_assignment("A=HSG,B=V79"), touching, GRID)[:, 0, 0].tolist() == [1, 1, 1, 2]
    same = {"A": box(0, 4), "B": box(1, 2), "C": box(0, 0)}
    assert (line_numbers(parse_assignment("A=HSG,B=HSG,C=V79"), same, GRID) == 1).all()


def test_voxels_that_need_a_line_must_have_one():
    asked, inside = parse_assignment("A=V79"), {"A": box(0, 3)}
    with pytest.raises(ConfigError, match=r"6 voxels are in none of the structures.*add \*=LINE"):
        line_numbers(asked, inside, GRID)
    needed = np.asarray(box(0, 2) > 0)
    assert line_numbers(asked, inside, GRID, needed)[:, 0, 0].tolist() == [1, 1, 1, 0]
    rest = line_numbers(parse_assignment("A=V79,*=HSG"), inside, GRID)
    assert rest[:, 0, 0].tolist() == [1, 1, 1, 2]
    with pytest.raises(GridMismatchError, match="structure 'A' has"):
        line_numbers(asked, {"A": np.ones((1, 1, 1), np.float32)}, GRID)


def test_every_voxel_comes_from_its_own_line_and_the_story_says_so():
    calls = []

    def predict_for(line):
        calls.append(line.name)
        return flat({"HSG": 1.5, "V79": 2.5}[line.name])

    asked = parse_assignment("A=V79,B=V79,*=HSG")
    found = cell_line_maps(GRID, asked, {"A": box(0, 1), "B": box(3, 4)}, predict_for)
    assert calls == ["V79", "HSG"]
    assert found.volumes["RBE"].values[:, 0, 0].tolist() == [2.5, 1.5, 1.5, 2.5]
    assert found.volumes["cell_line"].values[:, 0, 0].tolist() == [1, 2, 2, 1]
    lines = found.about["cell_lines"]
    assert [(line["name"], line["number"], line["voxels"]) for line in lines] == [("V79", 1, 12), ("HSG", 2, 12)]
    assert lines[0]["volume_cm3"] == pytest.approx(12 * 12 / 1000)
    assert (lines[0]["alpha_x"], lines[0]["beta_x"]) == (0.184, 0.020)
    assert [part["structure"] for part in found.about["assignment"]] == ["A", "B", "*"]
    assert "voxel's own cell line" in found.about["photon_reference"]
    json.dumps(found.about, allow_nan=False)


def test_a_line_without_voxels_is_not_predicted_and_one_without_a_line_has_no_answer():
    asked = parse_assignment("A=V79,B=HSG")
    needed = np.asarray(box(0, 1) > 0)
    found = cell_line_maps(GRID, asked, {"A": box(0, 2), "B": box(0, 0)}, lambda line: flat(2.5), needed)
    assert np.isnan(found.volumes["RBE"].values[2:]).all()
    assert (found.volumes["mask"].values[2:] == 0).all()
    assert found.about["voxels_without_cell_line"] == 12
    assert found.about["cell_lines"][1]["voxels"] == 0


def test_predictions_that_do_not_fit_together_are_refused():
    numbers = np.ones(GRID.shape, np.uint8)
    with pytest.raises(QuantityError, match="1 and 2 cannot be put together: only one has RBE_se"):
        together(GRID, numbers, {1: flat(1.0), 2: flat(1.0, ("RBE", "mask", "RBE_se"))})
    with pytest.raises(GridMismatchError):
        together(GRID, numbers, {1: flat(1.0, grid=replace(GRID, spacing_mm=(1.0, 1.0, 1.0)))})


def protons_with_LET():
    field = replace(prescribed(make_field(seed=5), 2.0), primary="H")
    LET = np.broadcast_to(np.linspace(1.0, 9.0, field.grid.shape[2], dtype=np.float32), field.grid.shape)
    volumes = VolumeSet(field.grid, {**field.volumes, "LET_d": Volume(field.grid, LET, quantity("LET_d"))})
    return replace(field, volumes=volumes, let_definitions={"LET_d": LET_DEFINITION})


def test_every_kind_of_prediction_goes_and_D_RBE_is_against_photons_of_the_own_line():
    field = protons_with_LET()
    how, names = Fractionation(2.0), ("RBE", "D_RBE", "mask", "effect", "outside")
    inside = np.zeros(field.grid.shape, np.float32)
    inside[4:] = 1.0

    def predict_for(line):
        return predict_published(field, "wedenberg", line, how, names)

    asked = parse_assignment("Tumour=V79,*=HSG")
    found = cell_line_maps(field.grid, asked, {"Tumour": inside}, predict_for).volumes
    for line, part in ((V79, np.s_[4:]), (HSG, np.s_[:4])):
        whole = predict_for(line)
        for name in names:
            np.testing.assert_array_equal(found[name].values[part], whole[name].values[part])
        dose, effect = (found[name].values[part].astype(float) for name in ("D_RBE", "effect"))
        answered = np.isfinite(dose)
        assert answered.sum() > 50
        expected = line.alpha_x * dose + line.beta_x * dose**2  # the photons of the line, one fraction
        np.testing.assert_allclose(expected[answered], effect[answered], rtol=2e-5)


def test_a_store_becomes_maps_with_the_lines_of_its_structures(tmp_path):
    field, store = protons_with_LET(), tmp_path / "plan.field.zarr"
    write_field(field, store)
    inside = np.zeros(field.grid.shape, np.float32)
    inside[4:] = 1.0
    write_image(Volume(field.grid, inside, quantity("structure")), tmp_path / "tumour.nii.gz")
    text = f"{tmp_path / 'tumour.nii.gz'}=V79,*=HSG"
    cells, output = Structures(parse_assignment(text)), tmp_path / "maps"
    said = predict_store(store, "wedenberg", cells, ASKED, MapOutput(output, ("zarr",)))
    maps = read_maps(output)
    for line, part in ((V79, np.s_[4:]), (HSG, np.s_[:4])):
        whole = predict_published(field, "wedenberg", line, ASKED.fractionation)
        for name in whole:
            np.testing.assert_array_equal(maps[name].values[part], whole[name].values[part])
    np.testing.assert_array_equal(maps["cell_line"].values, np.where(inside > 0, 1, 2))
    alone = write_prediction(predictor_by_name(store, "wedenberg", ASKED), HSG, MapOutput(tmp_path / "alone"))
    assert set(said) == {*alone, "by_structure"}
    assert said["cell_line"]["name"] == "V79, HSG by structure"
    assert said["voxels_answered"] == alone["voxels_answered"]
    written = json.loads((output / "maps.json").read_text())
    assert written["metadata"]["by_structure"] == said["by_structure"]


def test_structures_of_one_line_give_what_that_line_gives_alone(tmp_path):
    """Counts and ranges, too, whichever maps are asked for: one network on spectra, all of whose voxels are strange."""
    field, store, bundle = make_field(seed=5), tmp_path / "plan.field.zarr", tmp_path / "model"
    fluence = field.spectra.fluence.copy()
    hole = tuple(np.argwhere(field.dose > 0.5 * field.dose.max())[7])
    fluence[(..., *hole)] = 0  # irradiated and not answered
    field = replace(field, spectra=replace(field.spectra, fluence=fluence))
    write_field(field, store)
    made = make_surrogate(field)
    save_bundle(replace(made, card=replace(made.card, primaries=("C",))), bundle)
    asked = replace(ASKED, names=("RBE10",))
    structures = tuple((str(tmp_path / name), HSG) for name in ("a.nii", "b.nii"))
    columns = np.broadcast_to(np.arange(field.grid.shape[0])[:, None, None] % 2, field.grid.shape)
    for n, (path, _) in enumerate(structures):
        write_image(Volume(field.grid, (columns == n).astype(np.float32), quantity("structure")), path)
    cells = Structures(Assignment(structures, None))
    parts = predict_store(store, str(bundle), cells, asked, MapOutput(tmp_path / "parts"))
    alone = write_prediction(predictor_by_name(store, str(bundle), asked), HSG, MapOutput(tmp_path / "alone"))
    assert alone["voxels_out_of_domain"] == alone["voxels_answered"] > 50
    for name in ("voxels_answered", "voxels_out_of_domain", "strangest", "voxels_with_faulty_spectrum"):
        assert parts[name] == alone[name]
    assert parts["ranges"]["RBE10"] == alone["ranges"]["RBE10"]
    assert parts["ranges"]["cell_line"] == {"minimum": 1.0, "median": 1.0, "maximum": 1.0}


def test_structures_that_leave_dose_uncovered_write_nothing(tmp_path):
    field, store = protons_with_LET(), tmp_path / "plan.field.zarr"
    write_field(field, store)
    write_image(Volume(field.grid, np.zeros(field.grid.shape, np.float32), quantity("structure")), tmp_path / "a.nii")
    asked = Structures(parse_assignment(f"{tmp_path / 'a.nii'}=V79"))
    with pytest.raises(ConfigError, match=r"are in none of the structures"):
        predict_store(store, "wedenberg", asked, ASKED, MapOutput(tmp_path / "maps"))
    assert not (tmp_path / "maps").exists()


def test_one_line_for_all_is_the_usual_prediction_and_needs_no_structures(tmp_path):
    field, store = protons_with_LET(), tmp_path / "plan.field.zarr"
    write_field(field, store)
    one = predict_store(store, "wedenberg", Structures(parse_assignment("V79")), ASKED, MapOutput(tmp_path / "one"))
    usual = write_prediction(predictor_by_name(store, "wedenberg", ASKED), V79, MapOutput(tmp_path / "usual"))
    assert {**one, "seconds": 0, "output": ""} == {**usual, "seconds": 0, "output": ""}
    odd = Structures(parse_assignment("V79"), tmp_path / "rs.dcm")
    with pytest.raises(ConfigError, match=r"rs\.dcm is given, and no structure has a cell line"):
        predict_store(store, "wedenberg", odd, ASKED, MapOutput(tmp_path / "none"))
