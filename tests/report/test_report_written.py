"""What a notebook shows of a report that was written."""

import os
from pathlib import Path

from surrogate3d.report.content import Fact
from surrogate3d.report.written import Report

REPORT = Report(
    Path("out/plan's <report>.html"),
    ("The surrogate errs by 0.2 % | RMS.", "No reference was <given>."),
    (Fact("LET_d of the *edge*", "8.9", "keV/um", "n = 12 <voxels>"), Fact("n", "3")),
)


def test_it_is_a_path_wherever_one_is_wanted():
    assert os.fspath(REPORT) == "out/plan's <report>.html"
    assert Path(REPORT).suffix == ".html"


def test_its_representation_is_short():
    assert repr(REPORT) == """Report("out/plan's <report>.html")"""


def test_its_text_begins_with_the_verdict():
    lines = str(REPORT).splitlines()
    assert lines[0] == REPORT.verdict[0]
    assert lines[2:] == ["  LET_d of the *edge*: 8.9 keV/µm", "  n: 3", "out/plan's <report>.html"]


def test_html_is_escaped():
    html = REPORT._repr_html_()
    assert "&lt;given&gt;" in html
    assert "8.9 keV/µm" in html
    assert 'href="out/plan&#x27;s &lt;report&gt;.html"' in html
    assert "<given" not in html
    assert "<voxels" not in html


def test_markdown_is_escaped():
    text = REPORT._repr_markdown_()
    assert r"0.2 % \| RMS." in text
    assert r"| LET\_d of the \*edge\* | 8.9 keV/µm | n = 12 \<voxels\> |" in text


def test_a_report_without_numbers_has_no_table():
    bare = Report(Path("a.html"), ("Fine.",))
    assert "<table" not in bare._repr_html_()
    assert bare._repr_markdown_() == "Fine.\n\n[a.html](<a.html>)"
