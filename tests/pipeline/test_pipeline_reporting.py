"""What the report of a validation says in words, and that nothing in it is a number that is none."""

import re
from dataclasses import replace

import numpy as np
import pytest
from synthetic import LINE, TABLE, make_field, make_surrogate, prescribed, table_responses

from surrogate3d.grid import Volume, VolumeSet, quantity
from surrogate3d.pipeline.appraisal import AS_WRITTEN, Judged, appraise
from surrogate3d.pipeline.reporting import profile_series, report_maps, verdict, write_validation_report
from surrogate3d.pipeline.validation import SURROGATE, ValidationSettings, truth_maps, validate

LOW = prescribed(make_field(seed=1, tracks=300, files=("low",)), 2.0)
HIGH = prescribed(make_field(seed=2, tracks=20000, files=("high",)), 2.0)
SETTINGS = ValidationSettings(truth="zr_table")
MODEL = make_surrogate(LOW)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return validate(LOW, HIGH, "high", MODEL, LINE, TABLE, SETTINGS, tmp_path_factory.mktemp("ledger"))


def answering(found, **factors):
    """Every method answers with the truth times its factor."""
    names = {"own": SURROGATE, "table": "zr_table", "grouped": "zr_table, grouped pooling"}
    predicted = dict(found.predicted)
    for key, factor in factors.items():
        predicted[names[key]] = {**predicted[names[key]], "RBE": factor * found.truth["RBE"]}
    return replace(found, predicted=predicted, table=with_rms(found.table, names, factors))


def with_rms(table, names, factors):
    rms = {names[key]: 100 * abs(factor - 1) for key, factor in factors.items()}
    rows = [
        replace(row, summary=replace(row.summary, rms=rms[row.method])) if row.method in rms else row
        for row in table.rows
    ]
    return replace(table, rows=tuple(rows))


@pytest.mark.parametrize(
    ("factors", "said"),
    [
        ({"own": 1.01, "table": 1.02, "grouped": 1.03}, "The surrogate is the best"),
        ({"own": 1.03, "table": 1.01, "grouped": 1.02}, "the surrogate should not be used for this field"),
        ({"own": 1.03, "table": 1.02, "grouped": 1.01}, "Grouped pooling of the table is the best"),
        ({"own": 1.02, "table": 1.02, "grouped": 1.04}, "cannot be told apart"),
    ],
)
def test_the_verdict_names_the_best_method_only_where_it_is_distinct(found, factors, said):
    told = verdict(answering(found, **factors), LOW, SETTINGS)
    assert f"errs by {100 * (factors['own'] - 1):.2f} % RMS" in told[0]
    assert f"on the same input errs by {100 * (factors['table'] - 1):.2f} %" in told[0]
    assert said in told[1]


def test_the_verdict_begins_with_what_makes_it_weak(found):
    weak = replace(found, self_consistency=True, plan_was_trained_on=True)
    told = verdict(weak, LOW, SETTINGS)
    assert "self-consistency, not accuracy" in told[0]
    assert "trained on other voxels of this very plan" in told[1]
    assert told[2:] == verdict(found, LOW, SETTINGS)


def test_cheap_methods_are_baselines_in_profiles_of_whole_maps(found):
    told = appraise(found, Judged(LOW, HIGH, "high", LINE, TABLE, SETTINGS), ())
    kinds = {
        line["name"]: line["kind"]
        for shown in profile_series([told.comparisons["D_RBE"]])
        for line in shown["series"]
        if line["kind"] != "dose"
    }
    assert kinds == {
        "reference": "reference",
        SURROGATE: "judged",
        AS_WRITTEN: "judged",
        "zr_table": "baseline",
        "zr_table, grouped pooling": "baseline",
    }


def test_a_dose_of_no_scale_is_shown_as_part_of_its_maximum(found):
    loose = replace(LOW, prescription=None)
    maps = report_maps(loose, found.curves, LINE, 2.0, 1)
    assert maps["dose_to_water"].quantity.unit == "of maximum"
    assert maps["dose_to_water"].values.max() == 1
    assert "D_RBE" not in maps
    assert "D_RBE" in report_maps(LOW, found.curves, LINE, 2.0, 1)


def test_LET_is_shown_where_the_surrogate_answers(found):
    LET = Volume(LOW.grid, np.full(LOW.grid.shape, 3.0), quantity("LET_d"))
    field = replace(LOW, volumes=VolumeSet(LOW.grid, {**LOW.volumes, "LET_d": LET}))
    shown = report_maps(field, found.curves, LINE, 2.0, 1)["LET_d"]
    np.testing.assert_array_equal(np.isfinite(shown.values), found.curves.mask)
    assert "dose-averaged LET of protons" in shown.quantity.definition


def test_the_report_of_a_simulation_is_whole_and_without_numbers_that_are_none(found, tmp_path):
    """As of direct simulation: the truth in some voxels, without any noise that is known."""
    settings = ValidationSettings(truth="gsm2_mc")
    voxels = np.argwhere(np.isfinite(found.truth["RBE"]))[::9]
    responses = table_responses(HIGH, voxels)
    truth, truth_se = truth_maps(responses, LOW.grid.shape, LINE, 2.0)
    sampled = replace(found, truth=truth, truth_se=truth_se["RBE"], responses=responses)
    path = tmp_path / "report.html"
    given = {"provenance": {"made": "here"}, "structures": {"PTV_1": (LOW.dose > 1).astype(np.float32)}}
    write_validation_report(path, LOW, HIGH, sampled, MODEL, LINE, settings, **given)
    text = re.sub(r"(?s)<(script|style).*?</\1>|data:image[^\"]*", "", path.read_text(encoding="utf-8"))
    assert not re.findall(r"\b(?:nan|None|inf)\b", text)
    assert f"n = {found.table.row(SURROGATE, 'RBE').summary.n}</dd>" in text
    assert "error of the whole volume, estimated from the voxels that were drawn" in text
    assert f"<td>{len(voxels)}</td><td>{found.population} voxels</td>" in text
    assert "by structure: PTV_1" in text
    assert [each.name for each in tmp_path.iterdir()] == ["report.html"]
