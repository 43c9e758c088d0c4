"""Many plans, cell lines and fractionations from one order; resumed, refused, and on a cluster."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import nibabel
import numpy as np
import pytest
from synthetic import LINE, make_field, make_surrogate, prescribed

from surrogate3d.errors import ConfigError
from surrogate3d.inference.compute import Compute
from surrogate3d.inference.maps import Fractionation
from surrogate3d.io.field_store import write_field
from surrogate3d.model.bundle import save_bundle
from surrogate3d.physics.cell_line import cell_line
from surrogate3d.pipeline.design import engine
from surrogate3d.pipeline.many_predictions import Order, order_of, predict_plans
from surrogate3d.pipeline.map_output import MapOutput
from surrogate3d.pipeline.prediction import write_prediction
from surrogate3d.pipeline.predictors import MapRequest, predictor_by_name

ONE, TWO = Fractionation(1.0, 2), Fractionation(2.0, 1)
ASKED = MapRequest(TWO)
V79 = cell_line("V79")


@pytest.fixture(scope="module")
def plans(tmp_path_factory):
    """Two plans and a model."""
    folder = tmp_path_factory.mktemp("plans")
    fields = [prescribed(make_field(seed=seed), 2.0) for seed in (5, 6)]
    for name, field in zip("ab", fields, strict=True):
        write_field(field, folder / f"{name}.field.zarr")
    save_bundle(make_surrogate(fields[0]), folder / "model.bundle")
    return folder


def order(plans, lines=(LINE,), hows=(TWO,)):
    return Order(str(plans / "model.bundle"), lines, hows, ASKED)


def values(path):
    return np.asanyarray(nibabel.load(path).dataobj)


def test_each_plan_line_and_fractionation_has_a_folder_with_what_it_has_alone(plans, tmp_path):
    stores = [plans / "a.field.zarr", plans / "b.field.zarr"]
    found = predict_plans(stores, order(plans, (LINE, V79), (ONE, TWO)), MapOutput(tmp_path / "maps"))
    assert found["failed"] == []
    assert len(found["predictions"]) == 8
    for each in found["predictions"]:
        line, how = cell_line(each["cell_line"]["name"]), Fractionation(each["fraction_dose_gy"], each["fractions"])
        asked = replace(ASKED, fractionation=how)
        alone = tmp_path / "alone"
        write_prediction(
            predictor_by_name(stores["ab".index(each["field"][-12])], str(plans / "model.bundle"), asked), line,
            MapOutput(alone, overwrite=True),
        )  # fmt: skip
        for file in ("RBE_ref.nii.gz", "D_RBE.nii.gz", "out_of_domain.nii.gz"):
            np.testing.assert_array_equal(values(tmp_path / each["folder"] / file), values(alone / file))
    assert (tmp_path / "maps" / "b" / "V79-2x1Gy" / "D_RBE.nii.gz").is_file()


def test_a_plan_that_is_refused_does_not_keep_the_others(plans, tmp_path):
    told = []
    stores = [plans / "none.field.zarr", plans / "a.field.zarr"]
    found = predict_plans(stores, order(plans), MapOutput(tmp_path / "maps"), told=lambda *n: told.append(n))
    assert [each["field"] for each in found["failed"]] == [str(stores[0])]
    assert "no field store" in found["failed"][0]["reason"] or "none.field.zarr" in found["failed"][0]["reason"]
    assert [each["field"] for each in found["predictions"]] == [str(stores[1])]
    assert told == [(1, 2), (2, 2)]


def test_complete_maps_are_left_and_others_are_made(plans, tmp_path):
    stores, out = [plans / "a.field.zarr", plans / "b.field.zarr"], tmp_path / "maps"
    first = predict_plans(stores[:1], order(plans), MapOutput(out / "a"))
    before = {file: file.stat().st_mtime_ns for file in (out / "a").iterdir()}
    found = predict_plans(stores, order(plans), MapOutput(out, resume=True))
    assert {file: file.stat().st_mtime_ns for file in (out / "a").iterdir()} == before
    assert (out / "b" / "maps.json").is_file()
    again = next(each for each in found["predictions"] if each["field"] == str(stores[0]))
    kept = ("ranges", "voxels_answered", "voxels_out_of_domain", "field_id")
    assert {name: again[name] for name in kept} == {name: first["predictions"][0][name] for name in kept}
    other = predict_plans(stores[:1], order(plans, (V79,)), MapOutput(out / "a", resume=True))
    assert "exists" in other["failed"][0]["reason"]  # maps of another line are not taken for these


def test_workers_of_a_cluster_write_the_same(plans, tmp_path):
    stores = [plans / "a.field.zarr", plans / "b.field.zarr"]
    here = predict_plans(stores, order(plans), MapOutput(tmp_path / "here"))
    pytest.importorskip("distributed", reason="Dask distributed is not installed")
    there = predict_plans(stores, order(plans), MapOutput(tmp_path / "there"), engine(2))
    assert there["failed"] == []
    assert len(there["predictions"]) == len(here["predictions"])
    for file in sorted((tmp_path / "here").rglob("*.nii.gz")):
        assert (tmp_path / "there" / file.relative_to(tmp_path / "here")).read_bytes() == file.read_bytes()


def test_a_killed_prediction_is_completed_to_the_same_bytes(tmp_path):
    """In tiles, so that a part of the maps is there when the process dies."""
    field = make_field(shape=(40, 5, 60), seed=3)
    write_field(field, tmp_path / "a.field.zarr")
    save_bundle(make_surrogate(field), tmp_path / "model.bundle")
    compute = Compute(memory_bytes=6500 * 1000 * 2)
    program = f"""
import os, signal
from pathlib import Path
from surrogate3d.inference.compute import Compute
from surrogate3d.inference.maps import Fractionation
from surrogate3d.io import map_writer
from surrogate3d.physics.cell_line import cell_line
from surrogate3d.pipeline.many_predictions import Order, predict_plans
from surrogate3d.pipeline.map_output import MapOutput
from surrogate3d.pipeline.predictors import MapRequest
add, lines = map_writer.Journal.add, []
def deadly(self, slab):
    add(self, slab)
    lines.append(slab)
    if len(lines) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
map_writer.Journal.add = deadly
how = Fractionation(2.0)
order = Order("model.bundle", (cell_line("HSG"),), (how,), MapRequest(how, compute={compute!r}))
predict_plans([Path("a.field.zarr")], order, MapOutput(Path("maps")))
"""
    died = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=dict(os.environ), check=False)
    assert died.returncode == -signal.SIGKILL
    assert not (tmp_path / "maps").exists()
    assert list(tmp_path.glob(".partial-*-maps"))
    how = Fractionation(2.0)
    wish = Order(str(tmp_path / "model.bundle"), (LINE,), (how,), MapRequest(how, compute=compute))
    resumed = predict_plans([tmp_path / "a.field.zarr"], wish, MapOutput(tmp_path / "maps", resume=True))
    whole = predict_plans([tmp_path / "a.field.zarr"], wish, MapOutput(tmp_path / "whole"))
    for each in (tmp_path / "whole").iterdir():
        assert (tmp_path / "maps" / each.name).read_bytes() == each.read_bytes()
    kept = ("ranges", "voxels_answered", "voxels_out_of_domain")
    (a,), (b,) = resumed["predictions"], whole["predictions"]
    assert {name: a[name] for name in kept} == {name: b[name] for name in kept}
    assert not list(tmp_path.glob(".partial-*"))
    assert (
        json.loads((tmp_path / "maps" / "maps.json").read_text())["metadata"]["voxels_answered"] == b["voxels_answered"]
    )


def test_orders_that_cannot_be_are_refused(plans, tmp_path):
    with pytest.raises(ConfigError, match="would both go into"):
        predict_plans([plans / "a.field.zarr", tmp_path / "a.field.zarr"], order(plans), MapOutput(tmp_path / "maps"))
    with pytest.raises(ConfigError, match="asked for twice"):
        predict_plans([plans / "a.field.zarr"], order(plans, (LINE, LINE)), MapOutput(tmp_path / "maps"))
    with pytest.raises(ConfigError, match="no plan"):
        predict_plans([], order(plans), MapOutput(tmp_path / "maps"))
    with pytest.raises(ConfigError, match="no cell line"):
        predict_plans([plans / "a.field.zarr"], order(plans, ()), MapOutput(tmp_path / "maps"))
    for words in ({"lines": ["Tumour=HSG"]}, {"lines": ["HSG"], "survival_model": "invitro"}):
        with pytest.raises(ConfigError, match="one by one"):
            order_of(None, fractionations=(TWO,), asked=ASKED, **words)
