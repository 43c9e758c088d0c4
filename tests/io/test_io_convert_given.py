"""What the user says where files do not: used, and never against the files."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from topas_writer import write_run

from surrogate3d.errors import FormatError, GeometryError, GridMismatchError, QuantityError, UnsupportedError
from surrogate3d.io.convert import convert, read_run
from surrogate3d.io.given import Given

FIXTURE = Path(__file__).parents[1] / "fixtures" / "topas"
WEIGHTING = {"ProtonLETd": "dose", "ProtonLETt": "track"}
PLACE = {"origin_mm": (-8.0, -8.0, -76.0), "beam_direction": (0.0, 0.0, 2.0)}
SHAPE = (2, 3, 4)
ONES = np.ones(SHAPE)


@pytest.fixture
def bare(tmp_path):
    """The real run without its parameter file."""
    run = shutil.copytree(FIXTURE, tmp_path / "fixture")
    (run / "fixture.txt").unlink()
    return run


@pytest.fixture
def real(tmp_path):
    return shutil.copytree(FIXTURE, tmp_path / "fixture")


def test_a_run_without_parameter_file_is_that_with_it(bare):
    field, expected = read_run(bare, given=Given(**PLACE, let_weighting=WEIGHTING)), read_run(FIXTURE)
    assert field.grid == expected.grid
    assert field.histories == 4000  # which DoseToWater reports
    assert (field.beam_axis, field.beam_sign, field.beams[0].direction) == (2, 1, (0.0, 0.0, 1.0))
    for name, volume in expected.volumes.items():
        np.testing.assert_array_equal(field.volumes[name].values, volume.values)
    np.testing.assert_array_equal(field.spectra.fluence, expected.spectra.fluence)
    np.testing.assert_allclose(field.spectra.axes.edges_mev_u, expected.spectra.axes.edges_mev_u, rtol=1e-6)
    assert field.provenance["given"] == {
        **{name: list(value) for name, value in PLACE.items()},
        "let_weighting": WEIGHTING,
    }
    assert expected.provenance["given"] == {}


def test_another_number_of_histories_than_a_scorer_reports(bare):
    with pytest.raises(FormatError, match="expected 5000 histories by what was given or reported, found 4000"):
        read_run(bare, given=Given(**PLACE, let_weighting=WEIGHTING, histories=5000))


def test_histories_that_nobody_says(bare):
    for name in ("fixture_DoseToWater.bin", "fixture_DoseToWater.binheader"):
        (bare / name).unlink()
    with pytest.raises(GeometryError, match="give --histories N"):
        read_run(bare, given=Given(**PLACE, let_weighting=WEIGHTING))
    assert read_run(bare, given=Given(**PLACE, let_weighting=WEIGHTING, histories=7)).histories == 7


def test_histories_that_a_scorer_reports_beside_a_source_that_does_not_say(real):
    text = (real / "fixture.txt").read_text().replace('s:So/Beam/Type = "Beam"', 's:So/Beam/Type = "PhaseSpace"')
    (real / "fixture.txt").write_text(text)
    with pytest.raises(UnsupportedError, match="no parameter says where it shoots"):
        read_run(real)
    field = read_run(real, given=Given(beam_direction=(0.0, 0.0, 1.0)))
    assert (field.histories, field.beam_axis, field.beam_sign) == (4000, 2, 1)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"histories": 5000}, QuantityError, "the parameter file says 4000 histories, and 5000 were given"),
        ({"beam_direction": (1.0, 0.0, 0.0)}, QuantityError, "travels along 0, 0, 1, and 1, 0, 0 was given"),
        ({"origin_mm": (0.0, 0.0, 0.0)}, GridMismatchError, "differ in position by up to 76 mm"),
        ({"let_weighting": {"ProtonLETd": "track"}}, QuantityError, "ProtonLETd is weighted by dose, and track was"),
        ({"let_weighting": {"LET": "dose"}}, QuantityError, "names scorers that are not there: LET"),
    ],
)
def test_what_the_parameter_file_says_otherwise(given, error, message):
    with pytest.raises(error, match=message):
        read_run(FIXTURE, given=Given(**given))


def test_what_the_parameter_file_says_too():
    given = Given(**PLACE, let_weighting=WEIGHTING, histories=4000, row_order="x_fastest")
    np.testing.assert_array_equal(read_run(FIXTURE, given=given).dose, read_run(FIXTURE).dose)


@pytest.mark.parametrize("direction", [(0.0, 0.0, 0.0), (np.nan, 0.0, 1.0), (np.inf, 0.0, 0.0)])
def test_a_beam_without_direction(direction):
    with pytest.raises(GeometryError, match="must be a vector of some length"):
        Given(beam_direction=direction)


def test_left_handed_axes(bare):
    mirrored = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, -1.0))
    with pytest.raises(GeometryError, match="axes of TOPAS are right-handed"):
        read_run(bare, given=Given(**PLACE, direction=mirrored, let_weighting=WEIGHTING))


def test_a_link_to_a_run_is_the_same_run(real, tmp_path):
    (tmp_path / "link").symlink_to(real)
    with pytest.raises(QuantityError, match="runs fixture and link: Ts/Seed is 301 and 301"):
        convert([real, tmp_path / "link"])


def test_a_run_in_the_present_folder_has_its_name(real, monkeypatch):
    monkeypatch.chdir(real)
    assert read_run(Path()).beams[0].name == "fixture"


def test_files_of_another_case(real):
    (real / "fixture_Fluence_H.csv").rename(real / "fixture_Fluence_H.CSV")
    for name in ("bin", "binheader"):
        (real / f"fixture_DoseToWater.{name}").rename(real / f"FIXTURE_DoseToWater.{name.upper()}")
    np.testing.assert_array_equal(read_run(real).spectra.fluence, read_run(FIXTURE).spectra.fluence)


def test_a_binary_without_header_is_not_read(tmp_path):
    run = write_run(tmp_path / "run")
    (run / "Fluence_Z2.bin").write_bytes(b"")
    os.rename(run / "Fluence_Z1.bin", run / "renamed.bin")
    head = run / "Fluence_Z1.binheader"
    head.write_text(head.read_text() + "# Binary file: renamed.bin\n")
    _, report = convert([run])
    assert [(f.name, f.reason) for f in report.files_not_read] == [
        ("Fluence_Z2.bin", "no .binheader beside it says what it holds")
    ]


def test_a_file_is_no_folder():
    with pytest.raises(FormatError, match="found a file; give the folder that it is in"):
        read_run(FIXTURE / "fixture.txt")
