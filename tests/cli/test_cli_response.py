"""`response` on the command line, on tiny lesions: a dark sphere with or without a bright part that resists."""

import contextlib
import html
import io
import json
import shutil
from collections import Counter
from pathlib import Path

import nibabel
import numpy as np
import pytest
from documented import documented, documented_inside
from response_examples import SMALL
from response_lesions import apart

from surrogate3d.cli import main
from surrogate3d.io.cohort import read_cohort
from surrogate3d.io.cohort_write import write_cohort
from surrogate3d.response.bundle import load_response
from surrogate3d.response.generator import simulate_cohort

SETTINGS = (
    f"channels = {list(SMALL.channels)}\nsize = {SMALL.size}\nwidths = {list(SMALL.widths)}\nmembers = 2\nepochs = 1\n"
)


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A cohort taken through training, prediction and report once: its folder, and what was answered."""
    folder = tmp_path_factory.mktemp("response")
    write_cohort(apart(4), folder / "cohort")
    (folder / "small.toml").write_text(SETTINGS)
    how = ["--config", folder / "small.toml", "--repeats", "1", "--folds", "2", "--processes", "1", "--no-compare"]
    commands = {
        "train": ["train", folder / "cohort", "-o", folder / "model", *how, "--seed", "3"],
        "predict": ["predict", folder / "model", folder / "cohort", "-o", folder / "prediction"],
        "report": ["report", folder / "prediction", "-o", folder / "report.html"],
    }
    answers = {}
    for name, words in commands.items():
        with contextlib.redirect_stdout(io.StringIO()) as said:
            assert main(["response", *map(str, words), "--json"]) == 0
        answers[name] = json.loads(said.getvalue(), parse_constant=lambda word: pytest.fail(f"{word} in JSON"))
    return folder, answers


def test_a_simulated_cohort_is_counted_and_can_be_read(tmp_path, ask):
    how = ["--variant", "noise", "--seed", "100", "--lesions", "4", "--patients", "3"]
    found = ask("response", "simulate", "-o", tmp_path / "cohort", *how)
    expected, read = simulate_cohort("noise", 100, 4, 3), read_cohort(tmp_path / "cohort")
    assert (found["lesions"], found["patients"]) == (len(read), len(set(read.patients))) == (4, 3)
    assert found["responders"] == read.responded().sum() == expected.responded().sum()
    assert found["with_region"] == sum(each.truth.any() for each in read)
    assert documented("response simulate") == set(found) - {"schema"}


def test_the_keys_are_documented(made):
    for name, found in made[1].items():
        assert found["schema"] == f"surrogate3d.cli.response-{name}/1"
        assert documented(f"response {name}") == set(found) - {"schema"}
    lesion = made[1]["predict"]["lesions"][0]
    assert documented_inside("response predict", "lesions") == set(lesion)


def test_a_model_is_judged_on_held_out_patients_and_trained_on_all(made):
    folder, answers = made
    found, model = answers["train"], load_response(folder / "model")
    assert found["bundle_id"] == model.bundle_id
    assert (found["lesions"], found["patients"], found["responded"]) == (8, 4, 4)
    assert found["seed"] == model.training["seed"] == 3
    judged = found["judgement"]
    assert judged == model.training["judgement"]
    assert set(judged["methods"]) == {"network"}
    assert (judged["repeats"], judged["folds"], judged["lesions"]) == (1, 2, 8)
    assert set(judged["maps"]) == {"grad-cam", "grad-cam++", "hirescam"}
    assert set(found["map_scales"]) == set(judged["maps"])
    assert "RESEARCH ONLY" in found["use"]


def test_a_prediction_names_every_lesion_and_marks_everything(made):
    folder, answers = made
    found = answers["predict"]
    kept = json.loads((folder / "prediction" / "response.json").read_text())
    assert {name: value for name, value in found.items() if name not in ("schema", "output", "seconds")} == {
        name: value for name, value in kept.items() if name != "schema"
    }
    assert [(row["patient"], row["lesion"]) for row in found["lesions"]] == [
        (each.patient, each.lesion) for each in apart(4)
    ]
    for row in found["lesions"]:
        assert row["probability"] == pytest.approx(1 / (1 + np.exp(row["logit"])), rel=1e-12)
        assert all((folder / "prediction" / row["folder"] / file).is_file() for file in row["files"].values())
        assert (folder / "prediction" / row["boost"]["folder"] / "boost.json").is_file()
    lines = (folder / "prediction" / "response.csv").read_text().splitlines()
    assert len(lines) == 1 + 8
    assert all(line.endswith(",RESEARCH ONLY") for line in lines[1:])
    assert found["model"]["bundle_id"] == answers["train"]["bundle_id"]


def test_the_page_shows_every_lesion(made):
    folder, answers = made
    page = (folder / "report.html").read_text()
    assert answers["report"]["lesions"] == 8
    rows = json.loads((folder / "prediction" / "response.json").read_text())["lesions"]
    said = Counter(note for row in rows for note in (row["delivered"] or {}).get("notes", ()))
    assert {note: page.count(html.escape(note)) for note in said} == said  # with its lesion, and nowhere else
    assert "Research only" in page
    suggested = sum(bool(row["boost"]["volume_cm3"]) for row in rows)
    assert suggested
    assert page.count("suggested boost, research only</text>") == suggested
    assert all(each.name in page for each in apart(4))


def test_people_get_tables(made, tmp_path, capsys):
    from surrogate3d.cli import show_response

    folder, answers = made
    show_response.trained(answers["train"])
    shown = capsys.readouterr().out
    assert "held-out lesions" in shown
    assert "planted regions" in shown
    assert "With 8 lesions the accuracy" in shown
    words = ["predict", folder / "model", folder / "cohort", "-o", tmp_path / "again", "--method", "grad-cam"]
    assert main(["response", *map(str, words)]) == 0
    shown = capsys.readouterr().out
    assert "P(response)" in shown
    assert "map: grad-cam" in shown
    assert "RESEARCH ONLY" in shown
    assert main(["response", "report", str(tmp_path / "again"), "-o", str(tmp_path / "page.html")]) == 0
    assert "8 lesions; written" in capsys.readouterr().out


def test_a_model_that_nobody_judged_says_so(made, capsys):
    from surrogate3d.cli import show_response

    show_response.trained({**made[1]["train"], "judgement": None})
    assert "nothing was judged" in capsys.readouterr().err


def test_people_are_told_which_lesions_are_missing_and_why(made, tmp_path, capsys):
    folder, _ = made
    cohort = tmp_path / "cohort"
    shutil.copytree(folder / "cohort", cohort)
    mask = next(cohort.glob("*/mask.nii.gz"))
    image = nibabel.load(mask)
    nibabel.save(nibabel.Nifti1Image(np.zeros(image.shape, np.uint8), image.affine), mask)
    assert main(["response", "predict", str(folder / "model"), str(cohort), "-o", str(tmp_path / "out")]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "is left out: the mask is empty" in said
    assert "patient" in said


def test_what_exists_is_kept_unless_asked(made, refuse):
    folder, _ = made
    cohort, model, prediction = folder / "cohort", folder / "model", folder / "prediction"
    words = "exists already"
    assert words in refuse("response", "simulate", "-o", cohort)
    assert words in refuse("response", "train", cohort, "-o", model)
    assert words in refuse("response", "predict", model, cohort, "-o", prediction)
    assert words in refuse("response", "report", prediction, "-o", folder / "report.html")


def test_only_ones_own_kind_is_replaced(made, tmp_path, refuse):
    folder, _ = made
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    for command in (
        ["simulate", "--seed", "100", "--lesions", "2", "--patients", "2"],
        ["train", folder / "cohort"],
        ["predict", folder / "model", folder / "cohort"],
    ):
        assert "is not replaced" in refuse("response", *command, "-o", mine, "--overwrite")
    assert (mine / "thesis.txt").read_text() == "years of work"


def test_predictions_that_cannot_be_are_refused(made, tmp_path, refuse):
    folder, _ = made
    model, cohort, output = folder / "model", folder / "cohort", tmp_path / "new"
    ask = ("response", "predict", model, cohort, "-o", output)
    assert "--alpha-x, --beta-x and --fractions together" in refuse(*ask, "--alpha-x", "0.1")
    assert "unknown map 'lime'" in refuse(*ask, "--method", "lime")
    assert "is a file of one patient, and the cohort has 4" in refuse(*ask, "--reference", cohort)
    assert "model of response" in refuse("response", "predict", cohort, cohort, "-o", output)
    assert "no cohort" in refuse("response", "predict", model, tmp_path / "none", "-o", output)
    assert list(tmp_path.iterdir()) == []


def test_a_page_needs_a_prediction_and_its_cohort(made, tmp_path, refuse, ask):
    folder, _ = made
    page = tmp_path / "page.html"
    assert "is no prediction of response" in refuse("response", "report", folder / "cohort", "-o", page)
    prediction = tmp_path / "prediction"
    shutil.copytree(folder / "prediction", prediction)
    text = (prediction / "response.json").read_text()
    (prediction / "response.json").write_text(text.replace(json.dumps(str(folder / "cohort")), '"gone"'))
    assert "no longer at gone; say where it is with --cohort" in refuse("response", "report", prediction, "-o", page)
    assert ask("response", "report", prediction, "-o", page, "--cohort", folder / "cohort")["lesions"] == 8


def test_a_page_of_another_cohort_is_refused(made, tmp_path, refuse):
    folder, _ = made
    table = (folder / "cohort" / "cohort.csv").read_text()
    other = Path(shutil.copytree(folder / "cohort", tmp_path / "other"))
    ask = ("response", "report", folder / "prediction", "-o", tmp_path / "page.html", "--cohort", other)
    (other / "cohort.csv").write_text(table.replace("-0.5", "-0.6", 1))
    assert "is not what was predicted" in refuse(*ask)
    (other / "cohort.csv").write_text(table.replace("P0,L0", "P9,L0", 1))
    assert "was predicted, but is not in" in refuse(*ask)
