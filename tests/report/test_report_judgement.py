"""Verdict, problems, volume errors, sigmas and coverage as tables: what is read is what was given."""

import dataclasses
import re

import pytest

from surrogate3d.report import Judgement, ReportContent, render
from surrogate3d.report.judgement import (
    coverage_table,
    findings_table,
    problems_list,
    sigma_table,
    volume_error_table,
)
from surrogate3d.report.markup import join
from surrogate3d.validation.acceptance import Limit, Measured, judge
from surrogate3d.validation.coverage import Coverage
from surrogate3d.validation.design_weighted import VolumeError
from surrogate3d.validation.problems import Problem
from surrogate3d.validation.sigma_errors import SigmaErrors

MINUS, DASH = "\N{MINUS SIGN}", "\N{EN DASH}"
NAN = float("nan")


def limit(name: str, metric: str, at_most: float, min_n: int = 10) -> Limit:
    return Limit(name, metric, "RBE", "all", "", None, at_most, "%", min_n, f"source of {name}", "")


LIMITS = (
    limit("is met", "bias_percent", 2.0),
    limit("is not met", "rms_percent", 2.5),
    limit("is open", "bias_percent", 1.05),
    limit("has few", "p95_percent", 5.0, min_n=1000),
    limit("has none", "range_mm", 1.0),
)
MEASURED = {
    ("bias_percent", "RBE", "all", ""): Measured(-1.0, 1200, -1.1, -0.9),
    ("rms_percent", "RBE", "all", ""): Measured(3.25, 1200),
    ("p95_percent", "RBE", "all", ""): Measured(6.0, 40),
}
FINDINGS = judge(LIMITS, MEASURED)
PROBLEM = Problem("empty_structure", "structure 'A & <B>'", "it encloses nothing; it is left out")
ERROR = VolumeError(80, 352.0, -1.5, -2.0, -1.0, 3.0, 2.5, 4.0, 0, 0.95, "simple random sample; mean: t interval")
SIGMAS = SigmaErrors(
    90, 0, 3, 1.2, 0.8, {1: (0.5, 0.4, 0.6), 2: (0.9, 0.8, 0.95), 3: (1.0, 0.96, 1.0)}, {1: 0.683, 2: 0.954, 3: 0.997}
)
NOTHING = SigmaErrors(0, 5, 5, NAN, NAN, dict.fromkeys((1, 2, 3), (NAN, NAN, NAN)), SIGMAS.expected_share)


def cells(html: str) -> list[list[str]]:
    """Text of the cells of every row, tags taken out."""
    rows = re.findall(r"<tr>(.*?)</tr>", html)
    return [[re.sub("<[^>]+>", "", cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)] for row in rows]


def test_findings_name_limit_value_n_and_source_gravest_first() -> None:
    html = findings_table(FINDINGS)
    rows = cells(html)
    assert [row[:2] for row in rows[1:]] == [
        ["is not met", "not met"],
        ["is open", "undecided"],
        ["has few", "too few"],
        ["is met", "met"],
    ]
    by_name = {row[0]: row[2:] for row in rows}
    assert by_name["is not met"] == ["RBE in all", "3.25 %", "at most 2.5 %", "1,200", "source of is not met"]
    assert by_name["is open"][1] == f"{MINUS}1 % ({MINUS}1.1 to {MINUS}0.9)"
    assert 'class="outcome not-met"' in html
    assert 'class="outcome too-few"' in html


def test_what_was_not_measured_is_named_below() -> None:
    assert "Nothing to judge for: has none (not compared here" in findings_table(FINDINGS)
    only = findings_table(judge(LIMITS[-1:], {}))
    assert "<table>" not in only
    assert "has none" in only
    assert findings_table(()) == ""


def test_a_value_that_is_none_is_a_dash() -> None:
    unknown = judge(LIMITS[:1], {("bias_percent", "RBE", "all", ""): Measured(NAN, 20)})
    assert cells(findings_table(unknown))[1][1:4] == ["not measured", "RBE in all", f"{DASH} %"]


def test_problems_are_counted_and_escaped() -> None:
    html = problems_list((PROBLEM, Problem("zero_reference", "reference", "the reference is 0 in 3 voxels")))
    assert "2 problems in what was compared" in html
    assert "structure 'A &amp; &lt;B&gt;'</strong>: it encloses nothing; it is left out." in html
    assert "1 problem in what was compared" in problems_list((PROBLEM,))
    assert problems_list(()) == ""


def test_volume_errors_have_their_intervals_and_how_they_were_drawn() -> None:
    html = join(volume_error_table({"surrogate": ERROR}))
    assert cells(html)[1] == [
        "surrogate",
        "80",
        "352 voxels",
        f"{MINUS}1.5",
        f"{MINUS}2 to {MINUS}1",
        "3",
        "2.5 to 4",
    ]
    assert "Simple random sample; mean: t interval. Noise of the truth is part of the rms." in html
    assert list(volume_error_table({})) == []


def test_sigmas_stand_beside_those_of_an_exact_map() -> None:
    html = join(sigma_table({"surrogate": SIGMAS, "silent": NOTHING}))
    rows = cells(html)
    assert rows[1] == [
        "surrogate",
        "90",
        "1.2",
        "0.8",
        "50.0 (40.0 to 60.0)",
        "90.0 (80.0 to 95.0)",
        "100.0 (96.0 to 100.0)",
    ]
    assert rows[2] == ["an exact map", DASH, "1", "0.67", "68.3", "95.4", "99.7"]
    assert len(rows) == 3
    assert list(sigma_table({"silent": NOTHING})) == []


def test_coverage_gives_the_promise_and_both_shares() -> None:
    rows = cells(join(coverage_table((Coverage("distal_edge", 1234, 0.9, 0.8, 0.875, 0.85, 0.9),))))
    assert rows[1] == ["distal edge", "1,234", "90", "80.0", "87.5", "85.0 to 90.0"]
    assert list(coverage_table(())) == []


@pytest.fixture(scope="module")
def text(content: ReportContent) -> str:
    told = Judgement(
        findings=FINDINGS,
        problems=(PROBLEM,),
        volume_errors={"surrogate": ERROR},
        sigmas={"surrogate": SIGMAS},
        coverage=(Coverage("all", 1234, 0.9, 0.8, 0.875, 0.85, 0.9),),
    )
    return render(dataclasses.replace(least(content), judgement=told))


def least(content: ReportContent) -> ReportContent:
    """Few pictures, as each takes a while."""
    maps = {name: content.maps[name] for name in ("dose_to_water", "RBE")}
    return ReportContent(content.title, content.verdict, content.conditions, maps, content.mask, 2, 1)


def test_the_report_has_all_of_it_where_the_contents_lead(text: str) -> None:
    verdict = text[text.index('<section id="verdict">') : text.index('<section id="conditions">')]
    for words in ("1 problem in what was compared", "Acceptance limits", "source of is not met", "has none"):
        assert words in verdict
    accuracy = text[text.index('<section id="accuracy">') :]
    for words in ("error of the whole volume", "Monte Carlo noise (sigma)", "Coverage: how often"):
        assert words in accuracy
    assert '<a href="#verdict">Limits and problems</a>' in text


def test_without_limits_and_problems_there_is_no_such_section(content: ReportContent) -> None:
    text = render(least(content))
    assert 'id="verdict"' not in text
    assert 'href="#verdict"' not in text
