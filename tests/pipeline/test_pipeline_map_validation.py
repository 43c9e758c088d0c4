"""A surrogate against another engine's map: its own map has no difference, and wrong maps are named in the report."""

import json
from dataclasses import replace

import numpy as np
import pytest
from synthetic import LINE, SHAPE, TABLE, make_field, make_surrogate, prescribed

from surrogate3d.errors import PrescriptionError, QuantityError, UnsupportedError, ValueRangeError
from surrogate3d.grid import Volume, VolumeSet, quantity
from surrogate3d.inference.curves import predict_curves
from surrogate3d.inference.maps import Fractionation, derive_maps
from surrogate3d.pipeline.any_map import ReferenceMap
from surrogate3d.pipeline.appraisal import COMPARED
from surrogate3d.pipeline.comparison_context import Context
from surrogate3d.pipeline.map_validation import JUDGED, validate_by_map, verdict, write_map_report
from surrogate3d.pipeline.method_maps import of_table
from surrogate3d.validation.acceptance import Limit

FIELD = prescribed(make_field(seed=1, tracks=300), 2.0)
SURROGATE = make_surrogate(FIELD)
CURVES = predict_curves(FIELD, SURROGATE, LINE)
HOW = Fractionation(2.0)
SIDE = np.zeros(SHAPE, np.float32)
SIDE[0:2, :, 4:9] = 1  # where the dose is least, in part too little for an answer
WITHIN_ONE = Limit("rms", "rms_percent", "any", "all", "", None, 0.1, "%", 2, "here", "")


def reference(values, name="D_RBE", absolute=True):
    volume = Volume(FIELD.grid, np.asarray(values, np.float32), quantity(name))
    return ReferenceMap(volume, "made here", "0" * 64, absolute)


def against(values, name="D_RBE", field=FIELD, how=HOW, limits=(), **told):
    return validate_by_map(field, SURROGATE, LINE, how, reference(values, name), Context(**told), limits)


def own_map(name):
    """What `predict` writes, 1 where there is no answer."""
    values = derive_maps(CURVES, FIELD, LINE, HOW, (name,))[name].values
    return np.where(CURVES.mask, values, 1.0)


def row(found, method, group="all"):
    return next(each for each in found.comparison.errors if (each.method, each.group) == (method, group))


@pytest.mark.parametrize("name", JUDGED)
def test_the_map_that_is_predicted_has_no_difference(name):
    found = against(own_map(name), name)
    own = row(found, "surrogate")
    assert own.rms_percent < 1e-4
    assert own.n == CURVES.mask.sum()  # where it does not answer, nothing is compared
    assert own.n_missing == own.n_unknown == 0
    assert row(found, "zr_table").rms_percent > 1e-3


def test_the_map_of_the_table_has_no_difference_from_the_table():
    table = of_table(FIELD, TABLE, CURVES.mask, LINE, HOW, "D_RBE")
    found = against(np.where(CURVES.mask, table, 0.5))
    assert row(found, "zr_table").rms_percent < 1e-4
    own = row(found, "surrogate")
    words = verdict(found)
    assert words[0].startswith(f"Against the given map of D_RBE, the surrogate differs by {own.rms_percent:.2f} % RMS")
    assert "on the same input zr_table 0.00 %; zr_table, grouped pooling" in words[0]
    assert f"({CURVES.mask.sum():,} voxels)" in words[0]
    assert "another biology" in words[-1]


def test_a_map_two_percent_lower_is_two_percent_away():
    found = against(own_map("D_RBE") / 1.02)
    assert row(found, "surrogate").bias_percent == pytest.approx(2, abs=1e-3)
    assert "differs by 2.00 % RMS and +2.00 % in the mean" in verdict(found)[0]


def test_limits_are_on_the_surrogate_and_not_on_the_methods_beside_it():
    found = against(own_map("D_RBE"), limits=(WITHIN_ONE,))
    assert {name: each[0].outcome for name, each in found.comparison.findings.items()} == {
        "surrogate": "met",
        **dict.fromkeys(COMPARED, "not met"),
    }
    assert not found.unmet
    assert against(1.1 * own_map("D_RBE"), limits=(WITHIN_ONE,)).unmet


def test_what_does_not_follow_from_curves_is_refused():
    for name in ("LET_d", "dose_to_water", "RBE_std", "mask"):
        with pytest.raises(UnsupportedError, match=f"{name} does not follow from survival curves"):
            against(FIELD.dose, name)


def test_doses_that_do_not_go_together_are_refused():
    with pytest.raises(QuantityError, match="a D_RBE in arbitrary scale"):
        validate_by_map(FIELD, SURROGATE, LINE, HOW, reference(FIELD.dose, absolute=False), Context(), ())
    with pytest.raises(PrescriptionError, match="arbitrary scale"):
        against(FIELD.dose, field=replace(FIELD, prescription=None))
    with pytest.raises(PrescriptionError, match="3 x 2 Gy is 6 Gy"):
        against(FIELD.dose, how=Fractionation(2.0, 3))
    with pytest.raises(ValueRangeError, match="not at 20 Gy"):
        against(own_map("RBE_ref"), "RBE_ref", how=Fractionation(20.0))
    with pytest.raises(QuantityError, match="looks to be in cGy"):
        against(100 * own_map("D_RBE"))


def test_at_one_dose_no_prescription_is_needed():
    loose = make_field(seed=1, tracks=300)
    own = derive_maps(predict_curves(loose, SURROGATE, LINE), loose, LINE, HOW, ("RBE_ref",))["RBE_ref"].values
    found = against(np.nan_to_num(own, nan=1.0), "RBE_ref", field=loose)
    assert row(found, "surrogate").rms_percent < 1e-4
    assert found.comparison.gammas == ()  # of a quantity that is no dose


def test_histograms_are_of_the_whole_dose_and_V95_is_of_doses():
    assert (SIDE.astype(bool) & ~CURVES.mask).any()
    found = against(own_map("D_RBE"), structures={"all": SIDE}, base=2.0).comparison
    dose = next(each for each in found.histograms if each.quantity == "dose_to_water")
    assert (dose.structure, dose.method, dose.n_missing) == ("all (structure)", "input", 0)
    assert dose.statistics["min"] == FIELD.dose[SIDE > 0].min() > 0
    assert dose.statistics["mean"] == pytest.approx(FIELD.dose[SIDE > 0].astype(float).mean(), rel=1e-6)
    outside = int((SIDE.astype(bool) & ~CURVES.mask).sum())
    judged = [each for each in found.histograms if each.quantity == "D_RBE"]
    assert {each.n_missing for each in judged} == {outside}
    assert {each.base for each in judged} == {2.0}
    RBE = against(own_map("RBE_ref"), "RBE_ref", structures={"side": SIDE}, base=2.0).comparison
    assert all(np.isnan(each.statistics["V95"]) for each in RBE.histograms)


def test_an_input_whose_dose_is_not_known_somewhere_says_so():
    dose = FIELD.dose.copy()
    dose[4, 4, 4] = np.nan
    volumes = VolumeSet(FIELD.grid, {"dose_to_water": Volume(FIELD.grid, dose, quantity("dose_to_water"))})
    found = against(own_map("D_RBE"), field=replace(FIELD, volumes=volumes))
    assert [(each.kind, each.where) for each in found.comparison.problems if each.kind == "nan_in_map"] == [
        ("nan_in_map", "dose of the input, 1 voxel")
    ]


def write(found, path):
    write_map_report(path, found, SURROGATE, LINE, HOW, provenance={"made": "here"}, structures={"side": SIDE})
    return path.read_text(encoding="utf-8")


def test_a_reference_of_zero_dose_is_named_in_a_report_that_is_whole(tmp_path):
    found = against(np.zeros(SHAPE))
    kinds = [problem.kind for problem in found.comparison.problems]
    assert {"zero_reference", "gamma_not_computed"} <= set(kinds)
    n = int(CURVES.mask.sum())
    said = (
        f"No voxel has a relative difference from the given map of D_RBE: it is 0 in {n:,} voxels, and 0 lack a value."
    )
    assert verdict(found)[0] == said
    text = write(found, tmp_path / "zero.html")
    assert said in text
    assert f"the reference is 0 in {n} voxels, first" in text
    assert "gamma is left out" in text
    assert "nan %" not in text


def test_holes_and_infinities_of_a_reference_are_named_in_a_report_that_is_whole(tmp_path):
    values = own_map("RBE_ref")
    values[4, 4, 2:5] = np.nan
    values[4, 5, 2:4] = np.inf
    values[4, 3, 2] = 0.0
    found = against(values, "RBE_ref")
    told = {problem.kind: problem.sentence for problem in found.comparison.problems}
    assert "no value (NaN) in 3 of" in told["nan_in_map"]
    assert "an infinite value in 2 of" in told["infinite_in_map"]
    assert "is 0 in 1 voxel, first (4, 3, 2)" in told["zero_reference"]
    own = row(found, "surrogate")
    assert (own.n, own.n_unknown, own.n_zero) == (CURVES.mask.sum() - 5, 5, 1)
    assert own.rms_percent < 1e-4
    assert f"({CURVES.mask.sum() - 6:,} voxels)" in verdict(found)[0]
    text = write(found, tmp_path / "holes.html")
    for sentence in told.values():
        assert sentence in text
    scene = json.loads(text[text.index('id="s3d-scene">') + len('id="s3d-scene">') :].split("</script>")[0])
    names = [each["title"] for each in scene["layers"]]
    assert {"RBE(D_ref), reference", "Difference, surrogate", "Difference, zr_table"} <= set(names)
    assert [path.name for path in tmp_path.iterdir()] == ["holes.html"]


def test_a_reference_without_any_value_is_named(tmp_path):
    found = against(np.full(SHAPE, np.nan))
    kinds = {problem.kind for problem in found.comparison.problems}
    assert {"nan_in_map", "nothing_compared", "gamma_not_computed"} <= kinds
    assert f"it is 0 in 0 voxels, and {CURVES.mask.sum():,} lack a value" in verdict(found)[0]
