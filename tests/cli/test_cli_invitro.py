"""`invitro` on the command line, on a made-up folder in the format of PIDE."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
from documented import documented, documented_inside
from invitro_folder import Made, make, write
from synthetic import make_field

from surrogate3d.cli import main
from surrogate3d.errors import StoreError
from surrogate3d.invitro.bundle import load_invitro
from surrogate3d.io.field_store import write_field
from surrogate3d.io.pide import read_experiments
from surrogate3d.physics.linear_quadratic import D10
from surrogate3d.pipeline import invitro_training
from surrogate3d.pipeline.invitro_training import InVitroConfig, usual_path

MADE = make(np.random.default_rng(63), publications=6, per_publication=5)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "PIDE3.4", MADE)
    return tmp_path / "PIDE3.4"


def changed(folder: Path, **points: list[tuple[float, float]]) -> Made:
    """The folder with other ion points of ExpID nN."""
    made = copy.deepcopy(MADE)
    made.ion.update({int(name[1:]): value for name, value in points.items()})
    write(folder, made)
    return made


def test_an_import_sums_up_what_is_in_the_folder(folder, tmp_path, ask):
    found = ask("invitro", "import", folder, "-o", tmp_path / "experiments.json")
    rows = MADE.rows
    assert found["experiments"] == len(rows) == 30
    assert found["publications"] == 6
    assert found["cell_lines"] == len({row["Cells"] for row in rows})
    assert found["ions"] == {
        ion: sum(row["Ion"] == ion for row in rows) for ion in sorted({row["Ion"] for row in rows})
    }
    assert found["spread_out"] == sum(row["IrradiationConditions"] == "s" for row in rows)
    assert sum(found["phases"].values()) == 30
    assert found["with_ion_points"] == sum(bool(points) for points in MADE.ion.values())
    assert found["ion_points"] == sum(len(points) for points in MADE.ion.values())
    assert found["with_pairs"]["ion_paper"] == sum(row["ai_paper"] != "N/A" for row in rows)
    assert found["LET_kev_um"]["maximum"] == max(row["LET"] for row in rows)
    assert found["energy_mev_u"]["n"] == 30
    assert found["left_out"] == []
    assert found["version"] == "3.4"
    assert "10.1093/jrr/rrs114" in found["terms"]
    kept = read_experiments(tmp_path / "experiments.json")
    assert len(kept.experiments) == 30
    assert [{"what": note.what, "numbers": list(note.numbers)} for note in kept.notes] == found["notes"]


def test_RBE10_is_of_the_fits_or_else_of_the_published_pairs(folder, tmp_path, ask):
    found = ask("invitro", "import", folder, "-o", tmp_path / "experiments.json")
    expected = []
    for row in MADE.rows:
        for name in ("fit", "paper"):
            ion, photon = ([row[letter + kind + name] for letter in "ab"] for kind in ("i_", "x_"))
            if "N/A" not in (ion[0], photon[0]):
                values = [np.nan if value == "N/A" else value for value in (*photon, *ion)]  # no beta, no curve
                ratio = float(D10(*values[:2]) / D10(*values[2:]))
                expected += [ratio] if np.isfinite(ratio) else []
                break
    assert found["RBE10"]["n"] == len(expected)
    assert found["RBE10"]["median"] == pytest.approx(np.median(expected), rel=1e-12)
    assert 1 < found["RBE10"]["median"] < 4  # as the made-up cells are


def test_what_cannot_be_is_left_out_with_its_ExpID_and_the_rest_is_used(folder, tmp_path, capsys):
    changed(folder, n3=[(1.0, 1.6), (2.0, 0.3), (3.0, 0.1)])
    assert main(["invitro", "import", str(folder), "-o", str(tmp_path / "experiments.json")]) == 0
    shown = capsys.readouterr().out
    assert "left out: ExpID 3: survival 1.6 at 1 Gy is not above 0 and at most 1.5" in shown
    assert "PIDE 3.4: 29 experiments of 6 publications" in shown
    assert "do not pass it on" in shown
    assert len(read_experiments(tmp_path / "experiments.json").experiments) == 29


def test_a_strange_LET_and_a_strange_RBE_are_noted(folder, tmp_path, ask):
    made = copy.deepcopy(MADE)
    carbon = next(row for row in made.rows if row["Ion"] == "12C" and row["IrradiationConditions"] == "m")
    carbon |= {"LET": 3 * carbon["LET"]}
    strong = next(row for row in made.rows if row is not carbon and "N/A" not in (row["ai_fit"], row["ax_fit"]))
    strong |= {"ai_fit": 12.0, "bi_fit": 0.0, "ax_fit": 0.2, "bx_fit": 0.02}
    flat = next(row for row in made.rows if row not in (carbon, strong) and "N/A" not in (row["ai_fit"], row["ax_fit"]))
    flat |= {"ai_fit": 0.1, "bi_fit": -0.01}  # never below 78 %
    write(folder, made)
    noted = {note["what"]: note["numbers"] for note in ask("invitro", "import", folder, "-o", tmp_path / "e")["notes"]}
    assert noted["LET and stopping power of the energy differ by more than a factor 1.5"] == [carbon["#ExpID"]]
    assert strong["#ExpID"] in noted["RBE10 below 0.5 or above 8"]
    unknown = noted["RBE10 is not known: a pair is missing, or a curve does not fall to 10 % survival"]
    assert flat["#ExpID"] in unknown


def test_notes_are_shown_with_their_first_numbers(folder, tmp_path, capsys):
    made = copy.deepcopy(MADE)
    for row in made.rows:
        row["PhotonRadiation"] = "N/A"
    write(folder, made)
    assert main(["invitro", "import", str(folder), "-o", str(tmp_path / "experiments.json")]) == 0
    shown = capsys.readouterr().out
    assert "photon radiation is not known" in shown
    assert "1, 2, 3, 4, 5, 6, 7, 8, ..." in shown


def test_an_older_store_is_kept_unless_asked(folder, tmp_path, refuse, ask):
    output = tmp_path / "experiments.json"
    output.write_text("mine")
    assert "exists already" in refuse("invitro", "import", folder, "-o", output)
    assert output.read_text() == "mine"
    ask("invitro", "import", folder, "-o", output, "--overwrite")
    assert json.loads(output.read_text())["schema"] == "surrogate3d.experiments/1"


def test_refusals_are_one_line_and_leave_nothing(folder, tmp_path, refuse):
    output = tmp_path / "experiments.json"
    assert "no folder at" in refuse("invitro", "import", tmp_path / "none", "-o", output)
    made = copy.deepcopy(MADE)
    made.rows[0]["LET"] = "high"
    write(folder, made)
    assert "PIDE3.4.xlsx, line 2, column LET (O)" in refuse("invitro", "import", folder, "-o", output)
    assert not output.exists()


def test_a_folder_of_which_nothing_can_be_is_refused(folder, tmp_path, refuse):
    made = copy.deepcopy(MADE)
    for row in made.rows:
        row["LET"] = 0.0
    write(folder, made)
    said = refuse("invitro", "import", folder, "-o", tmp_path / "experiments.json")
    assert "none of 30 experiments can be; the first, ExpID 1: LET of 0 keV/um" in said


def test_the_keys_of_an_import_are_documented(folder, tmp_path, ask):
    changed(folder, n3=[(1.0, 1.6), (2.0, 0.3), (3.0, 0.1)])
    found = ask("invitro", "import", folder, "-o", tmp_path / "experiments.json")
    assert documented("invitro import") == set(found) - {"schema"}
    for key in ("with_pairs", "left_out", "notes"):
        inside = found[key] if isinstance(found[key], dict) else found[key][0]
        assert documented_inside("invitro import", key) == set(inside)


@pytest.fixture
def quick(monkeypatch, tmp_path):
    """Trainings of a few steps, and a data folder of our own."""
    monkeypatch.setattr(invitro_training, "InVitroConfig", lambda: InVitroConfig(steps=2, folds=2, repeats=1))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture
def experiments(folder, tmp_path, ask):
    ask("invitro", "import", folder, "-o", tmp_path / "experiments.json")
    return tmp_path / "experiments.json"


def test_a_model_is_trained_kept_in_the_users_data_and_predicts_a_field(experiments, tmp_path, quick, ask, capsys):
    found = ask("invitro", "train", experiments, "--seed", "3")
    assert Path(found["output"]) == tmp_path / "data" / "surrogate3d" / "invitro.bundle"
    model = load_invitro(found["output"])
    assert model.bundle_id == found["bundle_id"]
    assert model.training["seed"] == found["seed"] == 3
    assert model.training["pide"]["version"] == found["version"] == "3.4"
    assert found["experiments"] + len(found["left_out"]) == 30
    assert sum(found["species"].values()) == found["experiments"]
    assert found["publications"] == 6
    assert found["members"] == 2
    field = tmp_path / "plan.field.zarr"
    write_field(make_field(), field)
    how = [field, "--cell-line", "V79", "--fraction-dose", "2"]
    maps = ask("predict", *how, "--survival-model", "invitro", "-o", tmp_path / "maps")
    assert maps["bundle_id"] == found["bundle_id"]
    assert {"survival_model", "averaging", "importance"} == documented("predict --survival-model invitro")
    assert documented("predict --survival-model invitro") <= set(maps)
    assert documented("predict") <= set(maps)
    total = sum(maps["ranges"][f"importance_{scale}"]["median"] for scale in ("nanometre", "micrometre", "LET"))
    assert total == pytest.approx(1.0, abs=0.3)
    only = ["--survival-model", found["output"], "--maps", "RBE_ref,importance_LET", "-o", tmp_path / "two"]
    assert main([str(word) for word in ("predict", *how, *only)]) == 0
    shown = capsys.readouterr().out
    assert "in vitro:" in shown
    assert "importance_LET" in shown
    assert (tmp_path / "two" / "importance_LET.nii.gz").is_file()


def test_ions_may_be_chosen_and_an_older_model_is_kept_unless_asked(experiments, tmp_path, quick, ask, refuse):
    model = tmp_path / "mine.bundle"
    found = ask("invitro", "train", experiments, "--species", "C", "--species", "H", "-o", model)
    assert set(found["species"]) == {"C", "H"}
    assert "exists already" in refuse("invitro", "train", experiments, "-o", model)
    ask("invitro", "train", experiments, "-o", model, "--overwrite")
    assert not usual_path().exists()


def test_trainings_that_cannot_be_are_refused(experiments, tmp_path, quick, refuse):
    model = tmp_path / "mine.bundle"
    assert "no experiment of Xe" in refuse("invitro", "train", experiments, "--species", "Xe", "-o", model)
    refuse("invitro", "train", tmp_path / "none.json", "-o", model)
    assert not model.exists()


def test_predictions_without_a_model_of_ones_own_say_how_to_get_one(tmp_path, quick, refuse):
    field = tmp_path / "plan.field.zarr"
    write_field(make_field(), field)
    how = ["predict", field, "--cell-line", "V79", "--fraction-dose", "2", "-o", tmp_path / "maps"]
    assert "surrogate3d invitro train" in refuse(*how, "--survival-model", "invitro")
    assert "two predictions" in refuse(*how, "--survival-model", "invitro", "--model", "proton")


def test_the_keys_of_a_training_are_documented(experiments, tmp_path, quick, ask):
    found = ask("invitro", "train", experiments, "-o", tmp_path / "mine.bundle")
    assert documented("invitro train") == set(found) - {"schema"}


def test_without_a_home_the_models_path_must_be_named(monkeypatch):
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("none")))
    with pytest.raises(StoreError, match="name the model's path"):
        usual_path()
    monkeypatch.setenv("XDG_DATA_HOME", "/somewhere")
    assert usual_path() == Path("/somewhere/surrogate3d/invitro.bundle")
