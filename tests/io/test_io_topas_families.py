"""Names and headers of outputs in several files, built from the specification."""

import numpy as np
import pytest
from topas_writer import header as head_text
from topas_writer import write_bin

from surrogate3d.errors import FormatError, UnsupportedError
from surrogate3d.io.topas_families import families, is_cumulative, merge_family
from surrogate3d.io.topas_grid import read_values
from surrogate3d.io.topas_header import parse_header, read_header
from surrogate3d.io.topas_parameters import read_parameters


def grouped(folder, scorers, parameters=None, **differing):
    """(name, kind, labels) of files given as {file name: scorer}; `differing` overrides the header of one file."""
    headers = {}
    for name, scorer in scorers.items():
        settings = {"quantity": "DoseToWater ( Gy )", "shape": (2, 3, 4), **differing.get(name.split(".")[0], {})}
        lines = head_text(scorer, settings.pop("quantity"), settings.pop("shape"), **settings).splitlines()
        headers[folder / name] = parse_header(lines, name)
    if parameters is not None:
        (folder / "run.txt").write_text(parameters)
        parameters = read_parameters(folder / "run.txt")
    found = families(list(headers), headers, parameters)
    assert sorted(path for family in found for _, path in family.members) == sorted(headers)
    return found


def said(found):
    return [(f.name, f.kind, [label for label, _ in f.members]) for f in found]


@pytest.mark.parametrize("numbers", [("0000", "0001", "0002"), ("1", "2", "10"), ("001", "002")])
def test_runs_are_one_family_whatever_their_padding(tmp_path, numbers):
    found = grouped(tmp_path, {f"Dose_Run_{n}.csv": "Dose" for n in reversed(numbers)})
    assert [(f.name, f.kind, [label for label, _ in f.members]) for f in found] == [("Dose", "runs", list(numbers))]
    assert ("missing" in found[0].notes[0]) == (numbers[-1] == "10")


def test_missing_runs_are_told(tmp_path):
    found = grouped(tmp_path, {f"Dose_Run_{n}.csv": "Dose" for n in ("0003", "0006")})
    assert "numbers 4, 5 of the runs are missing" in found[0].notes[0]
    assert "begin with number 3" in found[0].notes[1]


def test_increments_begin_with_the_file_without_a_number(tmp_path):
    found = grouped(tmp_path, {"Dose.csv": "Dose", "Dose_1.csv": "Dose", "Dose_2.csv": "Dose", "LET.csv": "LET"})
    assert said(found) == [("Dose", "increments", ["0", "1", "2"]), ("LET", "single", [""])]


def test_scorers_with_numbers_in_their_names_stay_single(tmp_path):
    found = grouped(tmp_path, {"Dose.csv": "Dose", "Dose_1.csv": "Dose_1", "Dose_2.csv": "Dose_2"})
    assert [f.kind for f in found] == ["single"] * 3


def test_a_number_without_the_first_file_may_be_the_users(tmp_path):
    assert [f.kind for f in grouped(tmp_path, {"Dose_1.csv": "Dose", "Dose_2.csv": "Dose"})] == ["single"] * 2


def test_increments_of_a_scorer_whose_own_name_ends_in_a_number(tmp_path):
    found = grouped(tmp_path, {"Dose_1.csv": "Dose_1", "Dose_1_1.csv": "Dose_1", "Dose_1_2.csv": "Dose_1"})
    assert said(found) == [("Dose_1", "increments", ["0", "1", "2"])]


def test_binary_and_csv_are_not_mixed(tmp_path):
    found = grouped(tmp_path, {"Dose.csv": "Dose", "Dose_1.binheader": "Dose"})
    assert [f.kind for f in found] == ["single"] * 2


def test_time_values_are_told_by_the_scorer_of_the_header(tmp_path):
    values = ("image10", "image2", "image1")
    found = grouped(tmp_path, {f"DoseAtPhantom-{v}.csv": f"DoseAtPhantom-{v}" for v in values})
    assert said(found) == [("DoseAtPhantom", "time_values", ["image1", "image2", "image10"])]


def test_negative_time_values_keep_their_sign(tmp_path):
    found = grouped(tmp_path, {"out-90 deg.csv": "Dose-90 deg", "out--90 deg.csv": "Dose--90 deg"})
    assert {label for _, label in [(f.name, m[0]) for f in found for m in f.members]} == {"90 deg", "-90 deg"}
    assert {f.kind for f in found} == {"time_values"}
    assert {f.name for f in found} == {"out"}


def test_a_dash_in_the_file_name_alone_is_no_time_value(tmp_path):
    found = grouped(tmp_path, {"my-plan.csv": "Dose", "my-other.csv": "Dose2"})
    assert [f.kind for f in found] == ["single"] * 2


SCORER = 's:Sc/Dose/Quantity = "DoseToWater"\n'


@pytest.mark.parametrize(
    ("files", "switch", "kind"),
    [
        ({"Dose.csv": "Dose", "Dose_1.csv": "Dose"}, 's:Sc/Dose/IfOutputFileAlreadyExists = "Increment"', "increments"),
        ({"Dose_Run_0001.csv": "Dose", "Dose_Run_0002.csv": "Dose"}, 'b:Sc/Dose/OutputAfterRun = "True"', "runs"),
        ({"Dose-a.csv": "Dose-a", "Dose-b.csv": "Dose-b"}, 's:Sc/Dose/SplitByTimeFeature = "Image"', "time_values"),
    ],
)
def test_the_parameter_file_decides_where_it_has_the_scorer(tmp_path, files, switch, kind):
    assert [f.kind for f in grouped(tmp_path, files, SCORER + switch + "\n")] == [kind]
    assert [f.kind for f in grouped(tmp_path, files, SCORER)] == ["single"] * 2
    assert [f.kind for f in grouped(tmp_path, files, 's:Sc/Other/Quantity = "DoseToWater"\n')] == [kind]


def test_an_output_file_that_looks_like_a_run_is_what_the_parameter_file_says(tmp_path):
    text = SCORER + 's:Sc/Dose/OutputFile = "results/Dose_Run_7"\nb:Sc/Dose/OutputAfterRun = "True"\n'
    assert said(grouped(tmp_path, {"Dose_Run_7.csv": "Dose"}, text)) == [("Dose_Run_7", "single", [""])]


def test_an_output_file_by_an_expression_decides_nothing(tmp_path):
    text = SCORER + 's:Sc/Dose/OutputFile = Ts/Name + "x"\nb:Sc/Dose/OutputAfterRun = "True"\n'
    assert [f.kind for f in grouped(tmp_path, {"Dose_Run_7.csv": "Dose"}, text)] == ["runs"]


@pytest.mark.parametrize(
    ("difference", "named"),
    [
        ({"quantity": "DoseToMedium ( Gy )"}, "quantity"),
        ({"shape": (2, 3, 5)}, "axes"),
        ({"filters": ("OnlyIncludeParticlesCharged = 1",)}, "filters"),
        ({"columns": ("Sum", "Mean")}, "columns"),
    ],
)
def test_parts_that_differ_are_refused(tmp_path, difference, named):
    with pytest.raises(FormatError, match=f"differ in {named}"):
        grouped(tmp_path, {"Dose.csv": "Dose", "Dose_1.csv": "Dose"}, Dose_1=difference)


def test_one_number_twice_is_refused(tmp_path):
    with pytest.raises(FormatError, match="number 1 is there more than once"):
        grouped(tmp_path, {"Dose_Run_1.csv": "Dose", "Dose_Run_0001.csv": "Dose"})


RUNS = 'b:Sc/Dose/OutputAfterRun = "True"\n'
ACCUMULATED = 'b:Sc/Dose/OutputAfterRunShouldAccumulate = "True"\n'


def runs(folder, values, parameters=None):
    """The family of runs with these (run, i, j, k) values, and its members read."""
    head = head_text("Dose", "DoseToWater ( Gy )", values.shape[1:])
    for n, each in enumerate(values):
        write_bin(folder / f"Dose_Run_{n:04}", head, each[..., None, None])
    headers = {path: read_header(path) for path in folder.glob("*.binheader")}
    if parameters is not None:
        (folder / "run.txt").write_text(SCORER + parameters)
    stated = read_parameters(folder / "run.txt") if parameters is not None else None
    (family,) = families(list(headers), headers, stated)
    return family, [read_values(path, headers[path]) for _, path in family.members]


@pytest.fixture
def values():
    return np.random.default_rng(1).random((4, 2, 3, 4))


@pytest.mark.parametrize("parameters", [None, RUNS])
def test_runs_add(tmp_path, values, parameters):
    family, batches = runs(tmp_path, values, parameters)
    assert (family.kind, family.stated) == ("runs", parameters is not None)
    np.testing.assert_allclose(merge_family(family, batches).columns["Sum"][..., 0], values.sum(axis=0), rtol=1e-12)


def test_the_last_of_cumulative_runs_is_the_sum(tmp_path, values):
    family, batches = runs(tmp_path, values.cumsum(axis=0), RUNS + ACCUMULATED)
    assert family.kind == "cumulative_runs"
    np.testing.assert_allclose(merge_family(family, batches).columns["Sum"][..., 0], values.sum(axis=0), rtol=1e-12)


def test_runs_that_seem_cumulative_are_not_added_unless_the_parameter_file_says_so(tmp_path, values):
    family, batches = runs(tmp_path, values.cumsum(axis=0))
    assert is_cumulative(batches)
    assert "stands in the parameter file only" in family.notes[-1]
    with pytest.raises(UnsupportedError, match="each seems to hold those before it"):
        merge_family(family, batches)
    family, batches = runs(tmp_path, values.cumsum(axis=0), RUNS)
    assert merge_family(family, batches).n_batches == 4


def test_few_values_or_one_run_prove_nothing(tmp_path, values):
    _, batches = runs(tmp_path, values[:, :1, :1, :3].cumsum(axis=0))
    assert not is_cumulative(batches)
    assert not is_cumulative(batches[:1])


def test_time_values_are_not_added(tmp_path):
    (family,) = grouped(tmp_path, {"Dose-a.csv": "Dose-a", "Dose-b.csv": "Dose-b"})
    with pytest.raises(UnsupportedError, match="choose one"):
        merge_family(family, [])
