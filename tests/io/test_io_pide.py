"""Reading a folder in the format of PIDE 3.x, and the store of experiments."""

import json
import math
import zipfile
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from invitro_folder import HEADER, Made, make, write, write_pide_like, write_xlsx

from surrogate3d.errors import FormatError, StoreError
from surrogate3d.io.pide import Experiments, LqPair, read_experiments, read_pide, write_experiments
from surrogate3d.io.pide_experiment import ELEMENTS, phase_of, spelling
from surrogate3d.io.pide_sheet import column_letters, read_first_sheet


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both forms of the table in one folder."""
    return tmp_path_factory.mktemp("pide")


@pytest.fixture(scope="module")
def made(folder: Path) -> Made:
    return write_pide_like(folder, np.random.default_rng(61))


@pytest.fixture(scope="module")
def read(folder: Path, made: Made) -> Experiments:
    return read_pide(folder)


def pair_of(row, name):
    values = [None if row[letter + name] == "N/A" else row[letter + name] for letter in "ab"]
    return None if values == [None, None] else LqPair(*values)


def texts(experiments: Experiments) -> list[str]:
    return [repr(one) for one in experiments.experiments]  # NaN is not equal to itself


def test_every_value_arrives_with_every_digit(made, read):
    assert len(read.experiments) == len(made.rows) == 50
    for one, row in zip(read.experiments, made.rows, strict=True):
        assert (one.number, one.publication, one.cells) == (row["#ExpID"], row["PublicationName"], row["Cells"])
        assert one.cell_class == {"n": "normal", "t": "tumour"}[row["CellClass"]]
        assert one.cell_origin == {"h": "human", "r": "rodent"}[row["CellOrigin"]]
        assert (one.cell_cycle, one.dna_content_gbp) == (row["CellCycle"], row["DNAcontent"])
        assert one.photon_radiation == row["PhotonRadiation"].replace("N/A", "")
        assert (one.ion, one.Z, one.LET, one.energy_mev_u) == tuple(row[k] for k in ("Ion", "Charge", "LET", "Energy"))
        assert f"{one.A}{one.species}" == one.ion
        assert one.spread_out == (row["IrradiationConditions"] == "s")
        for ours, theirs in {"photon_paper": "x_paper", "photon_fit": "x_fit", "ion_paper": "i_paper"}.items():
            assert getattr(one, ours) == pair_of(row, theirs)
        assert one.ion_fit == pair_of(row, "i_fit")
        assert one.photon_points == tuple(made.photon[row["#Publication"], row["#PhotonExp"]])
        assert one.ion_points == tuple(made.ion[one.number])


def test_the_made_data_have_what_a_reader_must_meet(read):
    ones = read.experiments
    assert {"1H", "2H", "3He", "13C", "12C"} <= {one.ion for one in ones}
    assert any(one.spread_out for one in ones)
    assert any(not one.ion_points for one in ones)
    assert any(one.ion_paper is not None and one.ion_paper.beta is None for one in ones)
    assert any(one.photon_radiation == "" for one in ones)
    assert {one.phase for one in ones} >= {"asynchronous", "G1"}


def test_csv_and_workbook_say_the_same(tmp_path, made, read):
    for name, forms in (("csv", ("csv",)), ("both", ("csv", "xlsx"))):
        write(tmp_path / name, made, forms)
        assert texts(read_pide(tmp_path / name)) == texts(read)
    assert "PIDE3.4.xlsx was read, PIDE3.4.csv was not" in [n.what for n in read_pide(tmp_path / "both").notes]


@pytest.mark.parametrize("separator", [";", "\t"])
def test_other_separators_and_line_ends_are_read(tmp_path, made, read, separator):
    write(tmp_path, made, ("csv",))
    table = tmp_path / "PIDE3.4.csv"
    table.write_bytes(("\ufeff" + table.read_text().replace(",", separator).replace("\n", "\r\n")).encode())
    assert texts(read_pide(tmp_path)) == texts(read)


def test_columns_are_found_by_name_in_any_order_and_spelling(tmp_path, made, read):
    names = {"#ExpID": "ExpID", "#Publication": "PublicationID", "#IonExp": "IonExpNum", "#PhotonExp": "PhotonExpNum"}
    names |= {"PublicationName": "PublictionName", "Energy": "E", "ax_paper": "αX, Paper", "bi_fit": "βI, Fit"}
    write(tmp_path, made, ())
    table = [[names.get(name, name) for name in reversed(HEADER)] + ["Remark"]]
    table += [[row[name] for name in reversed(HEADER)] + ["kept apart"] for row in made.rows]
    write_xlsx(tmp_path / "PIDE3.4.xlsx", table)
    found = read_pide(tmp_path)
    assert texts(found) == texts(read)
    assert "columns that were not read: Remark" in [note.what for note in found.notes]


def test_texts_inside_the_cells_and_empty_rows_are_read(tmp_path, made, read):
    write(tmp_path, made, ())
    table = [list(HEADER), *([row[name] for name in HEADER] for row in made.rows), [""] * 24]
    write_xlsx(tmp_path / "PIDE3.4.xlsx", table, inline=True)
    assert texts(read_pide(tmp_path)) == texts(read)


def test_formatted_runs_of_a_text_are_joined_without_their_phonetics(tmp_path):
    write_xlsx(tmp_path / "a.xlsx", [["word"]])
    with zipfile.ZipFile(tmp_path / "a.xlsx") as old, zipfile.ZipFile(tmp_path / "b.xlsx", "w") as new:
        for name in old.namelist():
            text = old.read(name).decode()
            runs = "<r><t>two </t></r><r><t>runs</t></r><rPh><t>said</t></rPh>"
            new.writestr(name, text.replace("<t>word</t>", runs))
    assert read_first_sheet(tmp_path / "b.xlsx") == [(1, ["two runs"])]


def test_columns_of_a_sheet_are_named_as_excel_does():
    known = {0: "A", 23: "X", 25: "Z", 26: "AA", 51: "AZ", 52: "BA", 701: "ZZ", 702: "AAA"}
    assert {n: column_letters(n) for n in known} == known


def test_other_versions_of_three_are_read_by_name_and_say_so(tmp_path, made, read):
    write(tmp_path, made, version="3.2")
    found = read_pide(tmp_path)
    assert (found.version, texts(found)) == ("3.2", texts(read))
    assert any("PIDE 3.2 was read by its column names" in note.what for note in found.notes)


def test_sources_are_named_with_their_digest(folder, read):
    import hashlib

    assert sorted(read.source) == ["PIDE3.4.xlsx", "PIDE3.4_IonRawData.dat", "PIDE3.4_PhotonRawData.dat"]
    for name, digest in read.source.items():
        assert digest == hashlib.sha256((folder / name).read_bytes()).hexdigest()


def test_phases_are_normalised_and_unknown_ones_are_not_guessed():
    same = {"a": "asynchronous", "G0/G1": "G1", "G1/G0": "G1", "G0": "G1", "g1/s": "G1/S", "Se": "S", "Sl": "S"}
    same |= {"Sm": "S", "M": "G2/M", "G2/M": "G2/M", "plateau": "", "": ""}
    assert {name: phase_of(name) for name in same} == same


def test_spelling_ignores_case_marks_and_leading_zeros():
    assert len({spelling(name) for name in ("AG01522", "ag1522", "AG-1522", "AG_01522")}) == 1
    assert spelling("HE20") != spelling("HE2")
    assert spelling("X100") == "x100"


def test_elements_have_their_atomic_numbers():
    known = {"H": 1, "Ne": 10, "Ca": 20, "Fe": 26, "Kr": 36, "Xe": 54, "Nd": 60, "Au": 79, "Pb": 82, "U": 92}
    assert {symbol: ELEMENTS.index(symbol) + 1 for symbol in known} == known
    assert len(set(ELEMENTS)) == 92


def test_the_store_keeps_every_digit(tmp_path, read):
    unknown = replace(read.experiments[0], LET=math.nan)
    kept = replace(read, experiments=(unknown, *read.experiments[1:]), left_out=((99, "why"),))
    write_experiments(kept, tmp_path / "experiments.json", overwrite=False)
    found = read_experiments(tmp_path / "experiments.json")
    assert texts(found) == texts(kept)
    assert (found.version, found.source, found.left_out) == (kept.version, kept.source, kept.left_out)
    assert found.notes == kept.notes
    content = json.loads((tmp_path / "experiments.json").read_text())
    assert content["schema"] == "surrogate3d.experiments/1"
    assert "do not pass it on" in content["terms"]
    assert content["experiments"][0]["LET"] is None
    assert content["experiments"][1] == json.loads(json.dumps(asdict(kept.experiments[1])))


def test_a_store_is_not_overwritten_unasked(tmp_path, read):
    path = tmp_path / "experiments.json"
    path.write_text("mine")
    with pytest.raises(StoreError, match="exists already"):
        write_experiments(read, path, overwrite=False)
    assert path.read_text() == "mine"
    write_experiments(read, path, overwrite=True)
    assert len(read_experiments(path).experiments) == 50


def _without(content, key):
    del content["experiments"][3][key]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda c: c.update(schema="surrogate3d.experiments/2"), "found 'surrogate3d.experiments/2'"),
        (lambda c: _without(c, "LET"), "damaged"),
        (lambda c: c["experiments"][0].update(Z="6"), "damaged"),
        (lambda c: c["experiments"][0].update(cells=None), "damaged"),
        (lambda c: c["experiments"][0].update(ion_points=[[1.0, None]]), "damaged"),
        (lambda c: c["experiments"][0].update(ion_points=[[1.0]]), "damaged"),
        (lambda c: c["experiments"][0].update(ion_fit={"alpha": 1.0}), "damaged"),
        (lambda c: c["experiments"][0].update(energy_mev_u="fast"), "damaged"),
        (lambda c: c.pop("notes"), "damaged"),
    ],
)
def test_a_damaged_store_is_refused(tmp_path, read, damage, said):
    path = tmp_path / "experiments.json"
    write_experiments(read, path, overwrite=False)
    content = json.loads(path.read_text())
    damage(content)
    path.write_text(json.dumps(content))
    with pytest.raises(FormatError, match=said):
        read_experiments(path)


def test_what_is_no_store_is_refused(tmp_path):
    with pytest.raises(StoreError, match="surrogate3d invitro import"):
        read_experiments(tmp_path / "none.json")
    for text in ("{", "[]", '"text"'):
        (tmp_path / "odd.json").write_text(text)
        with pytest.raises(FormatError, match=r"odd\.json"):
            read_experiments(tmp_path / "odd.json")


def test_the_made_data_are_decided_by_their_seed():
    assert make(np.random.default_rng(5)) == make(np.random.default_rng(5))
    assert make(np.random.default_rng(5)) != make(np.random.default_rng(6))
