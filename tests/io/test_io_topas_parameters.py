import math
from pathlib import Path

import pytest

from surrogate3d.errors import FormatError, QuantityError
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


def test_references_are_followed_to_their_end(read):
    p = read("d:A = B mm\nd:B = Ge/C/HLX m\nd:Ge/C/HLX = 3 cm\nd:L = M mm\nd:M = L mm\n")
    assert p.number("A", "length") == 30
    with pytest.raises(FormatError, match="refers to itself"):
        p.number("L", "length")


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


def test_built_in_defaults_stand_at_the_end_of_every_chain(read):
    """Their values are those of OpenTOPAS parameter/TsDefaultParameters.cc."""
    p = read('Ge/BeamPosition/Parent = "Gantry"\nd:Ge/World/HLZ = 60 cm\n')
    assert p.number("Ge/BeamPosition/RotX", "angle") == pytest.approx(math.pi)
    assert p.number("Ge/BeamPosition/TransZ", "length") == 600  # Ge/World/HLZ m, of the overriding file
    assert p.string("Ge/BeamPosition/Parent") == "Gantry"
    assert p.by_name["ge/beamposition/parent"].type == "s"
    assert p.integer("Ts/Seed") == 1


def test_an_include_that_sets_a_built_in_default_does_not_conflict_with_one_that_does_not(read):
    files = {"one": "d:Ge/BeamPosition/RotX = 0 deg\n", "two": "i:N = 2\n"}
    assert read("includeFile = one.txt two.txt\n", **files).number("Ge/BeamPosition/RotX", "angle") == 0
    assert read("includeFile = two.txt one.txt\n", **files).number("Ge/BeamPosition/RotX", "angle") == 0


def test_one_file_included_by_two_is_no_conflict(read):
    low, mid = "i:N = 1\n", "includeFile = low.txt\n"
    assert read("includeFile = a.txt\nincludeFile = b.txt\n", a=mid, b=mid, low=low).integer("N") == 1
    with pytest.raises(FormatError, match=r"N is set differently in"):
        read("includeFile = a.txt b.txt\n", a=mid + "i:N = 2\n", b=mid, low=low)


def test_the_type_may_be_left_to_an_included_file_but_not_changed(read):
    assert read("includeFile = low.txt\nA = 2 cm\n", low="d:A = 1 mm\n").number("A", "length") == 20
    with pytest.raises(
        FormatError, match=r"run\.txt, line 2: A is of type 'i' here and of type 'd' in low\.txt, line 1"
    ):
        read("includeFile = low.txt\ni:A = 2\n", low="d:A = 1 mm\n")


def test_names_are_found_in_the_folder_where_topas_was_started(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "run.txt").write_text("includeFile = sub/a.txt\n")
    (tmp_path / "sub" / "a.txt").write_text("includeFile = sub/b.txt\n")
    (tmp_path / "sub" / "b.txt").write_text("i:N = 4\n")
    p = read_parameters(tmp_path / "run.txt")
    assert p.integer("N") == 4
    assert [f.name for f in p.files] == ["run.txt", "a.txt", "b.txt"]


def test_a_copy_beside_the_top_file_stands_for_a_path_that_is_gone(tmp_path):
    (tmp_path / "run.txt").write_text("includeFile = /no/such/folder/HU.txt\n")
    (tmp_path / "HU.txt").write_text("i:N = 4\n")
    assert read_parameters(tmp_path / "run.txt").integer("N") == 4


def test_two_different_files_of_one_name_are_ambiguous(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "run.txt").write_text("includeFile = sub/a.txt\n")
    (tmp_path / "sub" / "a.txt").write_text("includeFile = b.txt\n")
    for folder, n in ((tmp_path, 1), (tmp_path / "sub", 2)):
        (folder / "b.txt").write_text(f"i:N = {n}\n")
    with pytest.raises(FormatError, match=r"included file b\.txt is there twice and differs"):
        read_parameters(tmp_path / "run.txt")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_files_of_any_editor_are_read(tmp_path, encoding, end):
    text = end.join(["# Länge in µm", "d:A = 3 mm # Höhe", "i:N = 2", ""])
    (tmp_path / "run.txt").write_bytes(text.encode(encoding))
    p = read_parameters(tmp_path / "run.txt")
    assert (p.number("A", "length"), p.integer("N"), p.by_name["n"].where) == (3, 2, "run.txt, line 3")


def test_typographic_quotes_and_dashes_are_plain_ones(read):
    p = read("s:Ge/Box/Type = \u201cTsBox\u201d\nd:A = \u20133 mm\n")
    assert (p.string("Ge/Box/Type"), p.number("A", "length")) == ("TsBox", -3)


def test_every_real_parameter_file_is_read(topas_data):
    for name in ("fixture", "proton_slab_low", "carbon_slab_low", "proton_shallow_low", "proton_deep_low"):
        p = read_parameters(topas_data(name) / f"{name}.txt")
        assert p.integer("So/Beam/NumberOfHistoriesInRun") > 0
        assert p.run_times_ns() == (0,)
    p = read_parameters(topas_data("proton_rbe_v79") / "p_sobp.txt")
    assert len(p.numbers("Sc/CellLineV79/KE", "energy")) == 40
    assert p.strings("Sc/CellLineV79/MKM_PIDE/ParticleName")[5] == "Carbon"
    assert p.counts("Sc/CellLineV79/MKM_PIDE/ParticleZ") == tuple(range(1, 9))


def test_a_binary_file_is_no_parameter_file(tmp_path):
    (tmp_path / "run.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FormatError, match="not a text file"):
        read_parameters(tmp_path / "run.txt")
