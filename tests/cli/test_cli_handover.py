"""`surrogate3d handover`: what it prints, and its exit codes."""

import json
from dataclasses import replace

import numpy as np
import pytest
import typer
from synthetic import LINE, make_field, make_surrogate, prescribed
from typer.testing import CliRunner

from surrogate3d.cli import handover_command
from surrogate3d.errors import StoreError
from surrogate3d.grid import Volume, quantity
from surrogate3d.inference.maps import Fractionation
from surrogate3d.io.field_store import field_id, read_field, write_field
from surrogate3d.io.images import write_image
from surrogate3d.pipeline.map_output import MapOutput
from surrogate3d.pipeline.prediction import write_prediction
from surrogate3d.pipeline.predictors import MapRequest, surrogate_predictor

FIELD = make_field(seed=5)


@pytest.fixture
def folder(tmp_path):
    store = tmp_path / "plan.field.zarr"
    write_field(prescribed(FIELD, 6.0), store)
    surrogate = replace(make_surrogate(FIELD, networks=()), bundle_id="0123456789ab")
    request = MapRequest(Fractionation(2.0, 3))
    predictor = surrogate_predictor(read_field(store), field_id(store), surrogate, request)
    write_prediction(predictor, LINE, MapOutput(tmp_path / "maps", ("nifti",)))
    empty = np.zeros(FIELD.grid.shape, np.float32)
    write_image(Volume(FIELD.grid, empty, quantity("structure")), tmp_path / "Lens.nii.gz")
    return tmp_path


def run(folder, *more):
    app = typer.Typer()
    app.callback()(lambda: None)
    handover_command.register(app)
    words = ["handover", str(folder / "plan.field.zarr"), "--maps", str(folder / "maps"), "-o", str(folder / "out")]
    return CliRunner().invoke(app, [*words, *more])


def test_it_answers_with_the_index_in_json(folder):
    done = run(folder, "--json", "--outside", "zero")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["schema"] == "surrogate3d.cli.handover/1"
    assert {each["file"] for each in found["files"]} >= {"labels.seg.nrrd", "maps/D_RBE.dcm", "maps/D_RBE.nrrd"}
    assert (folder / "out" / "README.txt").is_file()


def test_a_problem_is_named_and_is_exit_code_3(folder):
    done = run(folder, "--structures", str(folder / "Lens.nii.gz"))
    assert done.exit_code == 3
    assert "structure 'Lens'" in done.stderr
    assert "written:" in done.stdout


def test_nothing_is_replaced_unasked(folder):
    assert run(folder).exit_code == 0
    again = run(folder)
    assert isinstance(again.exception, StoreError)
    assert run(folder, "--overwrite").exit_code == 0
