"""Real phase spaces and ntuples of TOPAS 2.0 (topas2numpy) and of the microdosimetry extension."""

import shutil
from pathlib import Path

import pytest

from surrogate3d.errors import FormatError
from surrogate3d.io.topas_ntuple import describe_ntuple, is_ntuple

REAL = Path(__file__).parents[2].parent / "shared" / "data" / "topas"
PHASE_SPACE = ("topas2numpy/ascii-phasespace", "topas2numpy/binary-phasespace", "topas2numpy/limited-phasespace")


@pytest.fixture
def copy(tmp_path):
    """A copy of a real header with its records; skips where the data are not beside the repository."""

    def copied(name, *, records=True):
        for suffix in (".header", *([".phsp"] if records else [])):
            source = (REAL / name).with_suffix(suffix)
            if not source.is_file():
                pytest.skip(f"{source.name} is not beside the repository")
            shutil.copyfile(source, tmp_path / source.name)
        return tmp_path / f"{Path(name).name}.header"

    return copied


@pytest.mark.parametrize("name", PHASE_SPACE)
def test_the_three_encodings_of_one_phase_space_say_the_same_counts(copy, name):
    found = describe_ntuple(copy(name))
    assert (found.kind, found.n_histories, found.n_particles) == ("phase space", 100, 104)
    assert found.encoding == name.split("/")[1].split("-")[0]
    assert found.data_file is not None
    assert found.data_file.suffix == ".phsp"


def test_particles_energies_units_and_bytes_are_those_of_the_header(copy):
    found = describe_ntuple(copy(PHASE_SPACE[1]))
    assert found.n_by_particle == (("e-", 4), ("proton", 100))
    assert found.energy_range_mev == (("e-", 0.0411577, 0.297634), ("proton", 147.683, 148.547))
    assert found.n_reached == 100
    assert found.record_bytes == 34
    assert [c.bytes for c in found.columns] == [4] * 8 + [1, 1]
    assert [(c.name, c.unit) for c in found.columns[:4]] == [
        ("Position X", "cm"),
        ("Position Y", "cm"),
        ("Position Z", "cm"),
        ("Direction Cosine X", "1"),
    ]
    assert found.columns[7].name == "Particle Type (in PDG Format)"
    assert found.columns[5].unit == "MeV"


@pytest.mark.parametrize("encoding", ["ascii", "binary"])
def test_a_generic_ntuple_is_named_with_its_columns(copy, encoding):
    found = describe_ntuple(copy(f"topas2numpy/{encoding}-other-ntuple"))
    assert (found.kind, found.encoding, found.n_histories, found.n_particles) == ("ntuple", encoding, 10, 1587)
    assert [(c.name, c.unit) for c in found.columns[2:5]] == [
        ("Local position Z", "cm"),
        ("Wavelength", "nm"),
        ("Arrival time", "ns"),
    ]
    assert found.record_bytes == (24 if encoding == "binary" else None)


def test_the_ntuple_of_the_microdosimetry_extension_has_entries_of_no_history(copy):
    found = describe_ntuple(copy("tepc_carbon_350/Scorer", records=False))
    assert (found.n_histories, found.n_particles, len(found.columns)) == (0, 3718, 9)
    assert {c.unit for c in found.columns} == {"keV/um"}
    assert any("no original histories" in note for note in found.notes)
    assert any("not checked" in note for note in found.notes)


def test_records_lead_to_their_header(copy):
    assert describe_ntuple(copy(PHASE_SPACE[0]).with_suffix(".phsp")).path.suffix == ".header"


@pytest.mark.parametrize("name", [*PHASE_SPACE, "topas2numpy/ascii-other-ntuple", "topas2numpy/binary-other-ntuple"])
def test_a_cut_phase_space_is_refused(copy, name):
    header = copy(name)
    data = header.with_suffix(".phsp")
    data.write_bytes(data.read_bytes()[: data.stat().st_size // 2])
    with pytest.raises(FormatError, match="cut short"):
        describe_ntuple(header)


def test_records_without_a_header_are_refused(copy):
    header = copy(PHASE_SPACE[0])
    header.unlink()
    with pytest.raises(FormatError, match=r"expected ascii-phasespace\.header beside it"):
        describe_ntuple(header.with_suffix(".phsp"))


def test_an_edited_record_length_is_refused(copy):
    header = copy(PHASE_SPACE[1])
    header.write_text(header.read_text().replace("per Particle: 34", "per Particle: 38"))
    with pytest.raises(FormatError, match="expected 38 bytes a record, found columns of 34"):
        describe_ntuple(header)


def test_a_limited_header_without_its_count_is_refused(copy):
    header = copy(PHASE_SPACE[2])
    header.write_text(header.read_text().replace("$PARTICLES:\n104", "$PARTICLES:\nmany"))
    with pytest.raises(FormatError, match=r"one whole number after \$PARTICLES"):
        describe_ntuple(header)


@pytest.mark.parametrize(("text", "reason"), [("hello\n", "unknown line"), ("", "not a TOPAS phase space")])
def test_another_header_is_refused(tmp_path, text, reason):
    (tmp_path / "a.header").write_text(text)
    with pytest.raises(FormatError, match=reason):
        describe_ntuple(tmp_path / "a.header")


@pytest.mark.parametrize(
    ("name", "start", "encoding"),
    [("topas.root", b"root\x00\x00\xf6", "root"), ("topas.xml", b'<?xml version="1.0"?>\n<aida version="3.3">', "xml")],
)
def test_root_and_xml_are_named_by_their_first_bytes(tmp_path, name, start, encoding):
    (tmp_path / name).write_bytes(start)
    assert is_ntuple(tmp_path / name)
    found = describe_ntuple(tmp_path / name)
    assert found.encoding == encoding
    assert found.n_particles is None
    (tmp_path / name).write_bytes(b"something else")
    with pytest.raises(FormatError, match="found neither"):
        describe_ntuple(tmp_path / name)


def test_a_scorer_is_no_ntuple(tmp_path):
    (tmp_path / "Dose.csv").write_text("# TOPAS Version: 4.2.p1\n")
    assert not is_ntuple(tmp_path / "Dose.csv")
