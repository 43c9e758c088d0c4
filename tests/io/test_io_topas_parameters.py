import math
from pathlib import Path

import pytest

from surrogate3d.errors import FormatError, QuantityError, UnsupportedError
from surrogate3d.io.topas_parameters import read_parameters

FIXTURE = Path(__file__).parents[1] / "fixtures" / "topas" / "fixture.txt"


@pytest.fixture
def read(tmp_path):
    def write_and_read(text, **others):
        for name, content in others.items():
            (tmp_path / f"{name}.txt").write_text(content)
        (tmp_path / "run.txt").write_text(text)
        return read_parameters(tmp_path / "run.txt")

    return write_and_read


def test_real_file():
    p = read_parameters(FIXTURE)
    assert p.number("Ge/Grid/TransZ", "length") == -54
    assert p.number("Ge/World/HLX", "length") == 1000
    assert p.integer("So/Beam/NumberOfHistoriesInRun") == 4000
    assert p.string("Sc/ProtonLETt/WeightBy") == "Track"
    assert p.boolean("Sc/Fluence_H/EBinLog", False) is True
    assert p.number("Sc/Fluence_H/EBinMax", "energy") == 500


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("5 mm", "length", 5),
        ("-1.5 cm", "length", -15),
        ("1. m", "length", 1000),
        ("5.0E+1 um", "length", 0.05),
        ("180 deg", "angle", math.pi),
        ("2 rad", "angle", 2),
        ("100 keV", "energy", 0.1),
        ("0.5 GeV", "energy", 500),
        ("50 MeV/mm/(g/cm3)", "LET", 50),
    ],
)
def test_units(read, text, kind, value):
    assert read(f"d:A/B = {text}").number("A/B", kind) == pytest.approx(value, rel=1e-12)


def test_names_ignore_case_and_comments_end_values(read):
    p = read('# head\nd:Ge/Box/HLX=5 mm#half\ns:Ge/Box/Type = "TsBox" # a = b\nic:Ts/Seed = 7\n')
    assert p.number("ge/BOX/hlx", "length") == 5
    assert p.string("Ge/Box/Type") == "TsBox"
    assert p.integer("Ts/Seed") == 7
    assert "GE/box/HLX" in p
    assert "Ge/Box/HLY" not in p


def test_a_value_runs_on_until_a_blank_line_or_the_next_assignment(read):
    p = read("dv:A/V = 3 1 2 # first\n# between\n 3 MeV\n\nuv:A/W = 2 0.5\n0.5\ni:A/N = 1\n")
    assert p.by_name["a/v"].text == "3 1 2 3 MeV"
    assert p.by_name["a/w"].text == "2 0.5 0.5"


def test_defaults_stand_in_for_what_is_not_set(read):
    p = read("i:Ts/Seed = 7")
    assert p.number("Ge/Box/RotX", "angle", 0.0) == 0
    assert p.integer("Ge/Box/XBins", 1) == 1
    assert p.string("Ge/Box/Parent", "World") == "World"
    with pytest.raises(FormatError, match="Ge/Box/HLX is needed and not set"):
        p.number("Ge/Box/HLX", "length")


def test_a_bare_name_is_followed(read):
    p = read("d:A = B\nd:B = Ge/C/HLX\nd:Ge/C/HLX = 3 cm\nd:L = M\nd:M = L\n")
    assert p.number("A", "length") == 30
    with pytest.raises(FormatError, match="refers to itself"):
        p.number("L", "length")


@pytest.mark.parametrize("text", ["Ge/C/HLX + 2 mm", "2 * Ge/C/HLX", "Tf/Gantry/Value", "5", "five mm"])
def test_expressions_are_refused_with_name_and_line_when_they_are_needed(read, text):
    p = read(f"d:Ge/C/HLX = 3 cm\n\nd:Ge/Box/TransZ = {text}\n")
    assert p.number("Ge/C/HLX", "length") == 30
    with pytest.raises(UnsupportedError, match=r"run\.txt, line 3: Ge/Box/TransZ"):
        p.number("Ge/Box/TransZ", "length")


def test_an_expression_in_an_integer_or_a_string(read):
    p = read('i:A = B * 2\ns:S = "x" + Ts/Seed\nb:C = "maybe"\n')
    with pytest.raises(UnsupportedError, match="line 1"):
        p.integer("A")
    with pytest.raises(UnsupportedError, match="line 2"):
        p.string("S")
    with pytest.raises(FormatError, match="must be True or False"):
        p.boolean("C", False)


def test_a_unit_of_another_kind(read):
    with pytest.raises(QuantityError, match=r"line 1: A needs a unit of length .* found 'MeV'"):
        read("d:A = 5 MeV").number("A", "length")


def test_the_including_file_overrides_through_a_chain(read):
    p = read(
        "includeFile = mid.txt\nd:A = 1 mm\ni:Top = 1\n",
        mid='includeFile = "low.txt"\nd:A = 2 mm\nd:B = 2 mm\n',
        low="d:A = 3 mm\nd:B = 3 mm\nd:C = 3 mm\n",
    )
    assert [p.number(name, "length") for name in "ABC"] == [1, 2, 3]
    assert [f.name for f in p.files] == ["run.txt", "mid.txt", "low.txt"]


def test_names_are_relative_to_the_including_file(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "run.txt").write_text("includeFile = sub/a.txt\n")
    (tmp_path / "sub" / "a.txt").write_text("includeFile = b.txt\n")
    (tmp_path / "sub" / "b.txt").write_text("i:N = 4\n")
    assert read_parameters(tmp_path / "run.txt").integer("N") == 4


def test_two_includes_may_only_differ_in_what_the_top_file_sets(read):
    files = {"one": "i:N = 1\ni:M = 5\n", "two": "i:N = 2\ni:M = 5\n"}
    assert read("includeFile = one.txt two.txt\ni:N = 3\n", **files).integer("N") == 3
    with pytest.raises(FormatError, match=r"two\.txt, line 1: N is set differently in one\.txt, line 1"):
        read("includeFile = one.txt two.txt\n", **files)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("includeFile = run.txt", "circle"),
        ("includeFile = other.txt", "circle"),
        ("includeFile = gone.txt", "gone.txt is not there"),
        ("i:N = 1\ni:n = 2", "line 2: n is already set at run.txt, line 1"),
        ("q:N = 1", "unknown parameter type 'q'"),
        ("just words", "line 1: expected 'type:Name = value'"),
        ("i: = 1", "not a parameter name"),
    ],
)
def test_damaged_files(read, text, message):
    with pytest.raises(FormatError, match=message):
        read(text, other="includeFile = run.txt")


def test_a_binary_file_is_no_parameter_file(tmp_path):
    (tmp_path / "run.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FormatError, match="not a text file"):
        read_parameters(tmp_path / "run.txt")
