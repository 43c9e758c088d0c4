import math

import pytest

from surrogate3d.errors import ConfigError, ValueRangeError
from surrogate3d.grid.quantity import QUANTITIES
from surrogate3d.validation.acceptance import (
    ANY,
    ANY_DOSE,
    DOSES,
    METRICS,
    SIGNED,
    Limit,
    Measured,
    judge,
    read_limits,
    verdict,
)

ENTRY = {
    "name": '"tolerance"',
    "metric": '"gamma_pass_rate"',
    "quantity": '"D_RBE"',
    "group": '"all"',
    "criterion": '"3%/2mm"',
    "at_least": "95",
    "unit": '"%"',
    "min_n": "100",
    "source": '"somebody, doi 10.1/x"',
}


def written(tmp_path, *entries):
    path = tmp_path / "limits.toml"
    tables = ("\n".join(f"{key} = {value}" for key, value in entry.items()) for entry in entries)
    path.write_text("\n".join(f"[[limit]]\n{table}" for table in tables))
    return path


def limit(metric="gamma_pass_rate", at_least=None, at_most=None, **changes):
    words = {"name": "l", "quantity": "D_RBE", "group": "all", "criterion": "", "unit": METRICS[metric][0], "note": ""}
    return Limit(metric=metric, at_least=at_least, at_most=at_most, **(words | {"min_n": 10, "source": "s"} | changes))


def outcome(a_limit, *measured):
    key = (a_limit.metric, "D_RBE", "all", "")
    (finding,) = judge([a_limit], {key: Measured(*measured)})
    return finding.outcome


def test_a_limit_is_read_as_it_is_written(tmp_path):
    (found,) = read_limits(written(tmp_path, ENTRY))
    assert found == Limit(
        "tolerance", "gamma_pass_rate", "D_RBE", "all", "3%/2mm", 95.0, None, "%", 100, "somebody, doi 10.1/x", ""
    )
    assert found.words == "at least 95 %"
    assert found.to_json()["at_least"] == 95


def test_the_shipped_limits_of_tg_218_are_95_and_90_percent_at_3_percent_2_mm():
    limits = read_limits()
    passing = [one for one in limits if one.metric == "gamma_pass_rate"]
    assert {(one.at_least, one.criterion) for one in passing} == {(95, "3%/2mm"), (90, "3%/2mm")}
    assert all("10.1002/mp.12810" in one.source for one in passing)


def test_every_shipped_limit_has_a_source_with_doi_or_report_or_says_that_it_is_our_choice():
    for one in read_limits():
        assert any(word in one.source for word in ("doi 10.", "ICRU Report", "this project's choice")), one.name
        assert one.note


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"at_last": "95"}, "unknown key 'at_last'; the nearest known key is 'at_least'"),
        ({"source": None}, "missing key 'source'"),
        ({"source": '" "'}, "source must be a text"),
        ({"at_most": "99"}, "either at_least or at_most, found at_least and at_most"),
        ({"at_least": None}, "either at_least or at_most, found neither"),
        ({"at_least": "true"}, "at_least must be a finite number"),
        ({"at_least": "-1"}, "at_least must be a finite number"),
        ({"at_least": "nan"}, "at_least must be a finite number"),
        ({"at_least": "101"}, "cannot exceed 100"),
        ({"metric": '"gamma_rate"'}, "unknown metric 'gamma_rate'; the nearest known one is 'gamma_pass_rate'"),
        ({"metric": '"rms_percent"'}, "rms_percent is an error; its limit is at_most"),
        ({"quantity": '"D_RBEE"'}, "unknown quantity 'D_RBEE'; the nearest known one is 'D_RBE'"),
        ({"unit": '"mm"'}, "gamma_pass_rate is in '%', the limit says 'mm'"),
        ({"min_n": "0"}, "min_n must be a whole number"),
        ({"min_n": "10.5"}, "min_n must be a whole number"),
        ({"min_n": None}, "min_n must be a whole number"),
    ],
)
def test_an_entry_that_is_not_clear_is_refused_with_file_and_place(changes, message, tmp_path):
    entry = {key: value for key, value in (ENTRY | changes).items() if value is not None}
    path = written(tmp_path, ENTRY | {"name": '"first"'}, entry)
    with pytest.raises(ConfigError) as caught:
        read_limits(path)
    assert message in str(caught.value)
    assert f"{path}: limit 2 (tolerance)" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "found none"), ("limits = 3", "found limits"), ("[[limit]", "not valid TOML"), ("limit = [3]", "found 3")],
)
def test_a_file_without_limits_is_refused(text, message, tmp_path):
    path = tmp_path / "limits.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_limits(path)


def test_a_missing_file_one_that_is_no_text_and_a_name_that_is_taken_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="no file of limits"):
        read_limits(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="two limits are called 'tolerance'"):
        read_limits(written(tmp_path, ENTRY, ENTRY))
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not valid TOML"):
        read_limits(tmp_path / "binary.toml")


def test_a_value_on_the_limit_meets_it():
    assert outcome(limit(at_least=95), 95.0, 10) == "met"
    assert outcome(limit(at_least=95), 94.999, 10) == "not met"
    assert outcome(limit("rms_percent", at_most=2), 2.0, 10) == "met"
    assert outcome(limit("rms_percent", at_most=2), 2.001, 10) == "not met"


def test_an_interval_that_straddles_the_limit_is_undecided():
    assert outcome(limit(at_least=95), 97.0, 10, 95.0, 98.0) == "met"
    assert outcome(limit(at_least=95), 97.0, 10, 94.0, 98.0) == "undecided"
    assert outcome(limit(at_least=95), 93.0, 10, 90.0, 96.0) == "undecided"
    assert outcome(limit(at_least=95), 93.0, 10, 90.0, 94.0) == "not met"


@pytest.mark.parametrize("metric", SIGNED)
def test_a_signed_error_is_judged_by_its_magnitude(metric):
    two = limit(metric, at_most=2)
    assert outcome(two, -1.9, 10) == "met"
    assert outcome(two, -2.1, 10) == "not met"
    assert outcome(two, 0.5, 10, -1.0, 1.9) == "met"
    assert outcome(two, 0.5, 10, -3.0, 4.0) == "undecided"  # zero is in the interval
    assert outcome(two, -1.5, 10, -2.5, -0.5) == "undecided"
    assert outcome(two, -3.0, 10, -4.0, -2.5) == "not met"


def test_too_few_voxels_come_before_the_value_and_nan_is_not_measured():
    assert outcome(limit(at_least=95), 80.0, 9) == "too few"
    assert outcome(limit(at_least=95), math.nan, 0) == "too few"
    assert outcome(limit(at_least=95), math.nan, 10) == "not measured"
    assert outcome(limit(at_least=95), math.nan, 10, math.nan, math.nan) == "not measured"
    (finding,) = judge([limit(at_least=95)], {})
    assert (finding.outcome, finding.measured) == ("not measured", None)


def test_a_limit_on_any_has_one_finding_per_value_in_their_order():
    keys = [("D98_percent", quantity, group, "") for quantity in ("BED", "D_RBE") for group in ("PTV", "cord")]
    measured = {key: Measured(float(n), 50) for n, key in enumerate(keys)}
    found = judge([limit("D98_percent", at_most=1.5, quantity=ANY, group=ANY)], measured)
    assert [(f.limit.quantity, f.limit.group) for f in found] == [key[1:3] for key in keys]
    assert [f.outcome for f in found] == ["met", "met", "not met", "not met"]


def test_the_quantities_of_any_dose_are_of_the_one_table_and_in_gray():
    assert all(QUANTITIES[name].unit.startswith("Gy") for name in DOSES)


def test_a_limit_on_any_dose_leaves_let_and_rbe_alone():
    measured = {
        ("D98_percent", name, "PTV", ""): Measured(0.0, 50) for name in ("LET_d", "RBE", "BED", "D_RBE", "EQD2")
    }
    found = judge([limit("D98_percent", at_most=3, quantity=ANY_DOSE, group="PTV")], measured)
    assert [finding.limit.quantity for finding in found] == ["BED", "D_RBE", "EQD2"]


def test_another_criterion_is_not_taken_for_the_limits_own():
    measured = {("gamma_pass_rate", "D_RBE", "all", "1%/1mm"): Measured(99.0, 500)}
    assert judge([limit(at_least=95, criterion="3%/2mm")], measured)[0].outcome == "not measured"
    assert judge([limit(at_least=95, criterion=ANY)], measured)[0].limit.criterion == "1%/1mm"


def test_a_sentence_names_value_interval_limit_n_and_source():
    key = ("bias_percent", "D_RBE", "all", "")
    (finding,) = judge([limit("bias_percent", at_most=2, name="bias", source="S 2020")], {key: Measured(1, 40, 0.5, 3)})
    assert finding.sentence == (
        "bias: undecided: bias_percent of D_RBE in all is +1 % (+0.5 to +3), n = 40; the limit is at most 2 % (S 2020)"
    )
    (few,) = judge([limit("bias_percent", at_most=2)], {key: Measured(1, 4)})
    assert "n = 4, at least 10 are needed" in few.sentence


def test_a_finding_as_json_has_null_for_what_is_not_a_number():
    key = ("rms_percent", "D_RBE", "all", "")
    (finding,) = judge([limit("rms_percent", at_most=2)], {key: Measured(math.nan, 40)})
    assert finding.to_json()["measured"] == {"value": None, "n": 40, "low": None, "high": None}
    assert finding.to_json()["limit"]["quantity"] == "D_RBE"


@pytest.mark.parametrize("measured", [Measured(1, 40, low=0.5), Measured(1, 40, high=2), Measured(1, 40, 2, 3)])
def test_an_interval_without_sense_is_refused(measured):
    with pytest.raises(ValueRangeError, match="rms_percent of D_RBE in all"):
        judge([], {("rms_percent", "D_RBE", "all", ""): measured})


def test_an_interval_that_ends_at_its_value_but_for_rounding_is_fine():
    assert outcome(limit("coverage", at_least=85), 100.0, 50, 93.0, 100.0 - 1e-13) == "met"


def findings_of(*values):
    limits = [limit(at_least=95, group=str(n), name=f"limit {n}") for n in range(len(values))]
    measured = {
        ("gamma_pass_rate", "D_RBE", str(n), ""): Measured(*value)
        for n, value in enumerate(values)
        if value is not None
    }
    return judge(limits, measured)


def test_the_verdict_counts_every_outcome_and_lists_what_is_not_met_undecided_or_too_few():
    findings = findings_of((99.0, 50), (96.0, 50, 94.0, 97.0), (90.0, 50), (99.0, 5), None)
    first, *rest = verdict(findings)
    assert first == (
        "1 of 2 acceptance limits that could be decided are not met; 1 undecided, 1 too few, 1 not measured."
    )
    assert [sentence.split(":")[0] for sentence in rest] == ["limit 2", "limit 1", "limit 3"]


def test_the_verdict_says_when_all_are_met_and_when_nothing_was_judged():
    assert verdict(findings_of((99.0, 50), (98.0, 50))) == (
        "Every acceptance limit that could be decided is met (2 of 2).",
    )
    assert verdict(findings_of(None, None)) == ("None of 2 acceptance limits could be decided; 2 not measured.",)
    assert verdict(()) == ("No acceptance limit was given, so nothing is judged.",)
