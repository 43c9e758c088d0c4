"""A run folder in which TOPAS wrote a file for each run, time value or execution becomes one field."""

import numpy as np
import pytest
from topas_writer import PARAMETERS, SCORER, header, write_bin, write_csv, write_run

from surrogate3d.errors import FormatError, QuantityError, UnsupportedError
from surrogate3d.io.convert import convert
from surrogate3d.io.given import Given

SHAPE = (3, 2, 4)
NAMES = ("DoseToWater", "LETd", "LETt", "Fluence_Z1")
RUNS = "".join(f'b:Sc/{name}/OutputAfterRun = "True"\n' for name in NAMES)
ACCUMULATED = "".join(f'b:Sc/{name}/OutputAfterRunShouldAccumulate = "True"\n' for name in NAMES)
INCREMENTS = "".join(f's:Sc/{name}/IfOutputFileAlreadyExists = "Increment"\n' for name in NAMES)
TIME_VALUES = "".join(f's:Sc/{name}/SplitByTimeFeature = "Tf/Angle/Value"\n' for name in NAMES)
TWO_TIMES = "i:Tf/NumberOfSequentialTimes = 2\nd:Tf/TimelineEnd = 2 s\n"
QUANTITIES = 's:Sc/DoseToWater/Quantity = "DoseToWater"\ns:Sc/Fluence_Z1/Quantity = "Fluence"\n'
PLACED = Given(origin_mm=(0.0, 0.0, 0.0), beam_direction=(0.0, 0.0, 1.0))


def parts_of(n, seed=0):
    """Values of `n` parts by scorer, dose and LET (i, j, k), fluence (i, j, k, 4)."""
    rng = np.random.default_rng(seed)
    names = {"DoseToWater": (), "LETd": (), "LETt": (), "Fluence_Z1": (4,)}
    return [{name: 1 + rng.random((*SHAPE, *more)) for name, more in names.items()} for _ in range(n)]


def write_part(folder, values, ending="", scorer_ending="", histories=None, only=NAMES):
    """The files of one part, named `<scorer><ending>`, by scorers `<scorer><scorer_ending>`."""
    binning = ("Binned by pre-step energy in 2 bins of 10 MeV from 0 MeV to 20 MeV",)
    filters = ("OnlyIncludeParticlesOfAtomicNumber = 1",)
    for name in only:
        path, scorer = folder / f"{name}{ending}", f"{name}{scorer_ending}"
        if name.startswith("Fluence"):
            head = header(scorer, "Fluence ( /mm2 )", SHAPE, filters=filters, binning=binning)
            write_bin(path, head, values[name][..., None])
            continue
        quantity = "ProtonLET ( MeV/mm/(g/cm3) )" if name.startswith("LET") else "DoseToWater ( Gy )"
        stack, columns = [values[name]], ["Sum"]
        if histories is not None and name == "DoseToWater":
            columns += ["Standard_Deviation", "Histories_with_Scorer_Active"]
            stack += [np.full(SHAPE, 0.5), np.full(SHAPE, histories)]
        write_csv(
            path.with_name(f"{path.name}.csv"), header(scorer, quantity, SHAPE, columns=columns), np.stack(stack, -1)
        )


def write_parameters(folder, more, histories=100, seed=1):
    hlx, hly, hlz = nx, ny, nz = SHAPE
    text = PARAMETERS.format(hlx=hlx, hly=hly, hlz=hlz, nx=nx, ny=ny, nz=nz, histories=histories, seed=seed)
    text = text.replace(f"i:So/Beam/NumberOfHistoriesInRun = {histories}\n", "") if "InRun" in more else text
    (folder / "run.txt").write_text(text + SCORER.format(scorer="Fluence_Z1", n=2, low=0, high=20) + QUANTITIES + more)


def family(folder, parts, endings, more, *, scorer_endings=None, histories=None, **parameters):
    """A run folder of parts; `histories` is what each part reports."""
    folder.mkdir(parents=True)
    for n, (values, ending) in enumerate(zip(parts, endings, strict=True)):
        scorer_ending = scorer_endings[n] if scorer_endings else ""
        write_part(folder, values, ending, scorer_ending, histories[n] if histories else None)
    write_parameters(folder, more, **parameters)
    return folder


def runs_of(n):
    return [f"_Run_{number:04}" for number in range(n)]


def require_sum(field, parts):
    """The field is the sum of the parts, LET weighted by dose and by all fluence."""
    dose = np.stack([part["DoseToWater"] for part in parts])
    fluence = np.stack([part["Fluence_Z1"] for part in parts])
    np.testing.assert_allclose(field.dose, dose.sum(axis=0), rtol=1e-12)
    np.testing.assert_allclose(field.spectra.fluence[0], np.moveaxis(fluence.sum(axis=0)[..., 1:3], -1, 0), rtol=1e-6)
    np.testing.assert_allclose(field.spectra.underflow[0], fluence.sum(axis=0)[..., 0], rtol=1e-6)
    np.testing.assert_allclose(field.spectra.overflow[0], fluence.sum(axis=0)[..., 3], rtol=1e-6)
    for name, scorer, weights in (("LET_d", "LETd", dose), ("LET_t", "LETt", fluence.sum(axis=-1))):
        expected = np.average(np.stack([part[scorer] for part in parts]), axis=0, weights=weights)
        np.testing.assert_allclose(field.volumes[name].values, expected, rtol=1e-6)


def test_runs_of_one_execution_add_and_give_no_halves(tmp_path):
    parts = parts_of(2)
    field, report = convert([family(tmp_path / "plan", parts, runs_of(2), RUNS + TWO_TIMES)])
    require_sum(field, parts)
    assert field.histories == report.histories == 200  # 100 in each of two sequential times
    assert field.halves == ()
    assert {"DoseToWater_Run_0000.csv", "DoseToWater_Run_0001.csv"} <= {f.name for f in report.files_read}
    assert report.files_not_read == ()


def test_runs_of_unequal_histories_that_the_parameter_file_says(tmp_path):
    parts = parts_of(2)
    steps = (
        's:Tf/N/Function = "Step"\ndv:Tf/N/Times = 2 1 2 s\niv:Tf/N/Values = 2 100 300\n'
        "i:So/Beam/NumberOfHistoriesInRun = Tf/N/Value\n"
    )
    run = family(tmp_path / "plan", parts, runs_of(2), RUNS + TWO_TIMES + steps)
    for n, values in enumerate(parts):  # deviations without the histories
        stack = np.stack([values["DoseToWater"], np.full(SHAPE, 0.5)], -1)
        head = header("DoseToWater", "DoseToWater ( Gy )", SHAPE, columns=("Sum", "Standard_Deviation"))
        write_csv(run / f"DoseToWater_Run_000{n}.csv", head, stack)
    field, _ = convert([run])
    require_sum(field, parts)
    assert field.histories == 400
    np.testing.assert_allclose(field.volumes["dose_std"].values, 0.5 * np.sqrt(100 + 300))


def test_runs_of_unequal_histories_that_they_report(tmp_path):
    parts = parts_of(3)
    more = RUNS + "i:Tf/NumberOfSequentialTimes = 3\nd:Tf/TimelineEnd = 3 s\n"
    field, _ = convert([family(tmp_path / "plan", parts, runs_of(3), more, histories=[50, 100, 150])])
    require_sum(field, parts)
    assert field.histories == 300
    np.testing.assert_allclose(field.volumes["dose_std"].values, 0.5 * np.sqrt(300))


def test_a_run_that_is_missing_is_refused(tmp_path):
    more = RUNS + "i:Tf/NumberOfSequentialTimes = 3\nd:Tf/TimelineEnd = 3 s\n"
    run = family(tmp_path / "plan", parts_of(2), runs_of(2), more, histories=[100, 100])
    with pytest.raises(FormatError, match="expected 300 histories, found 200 in 2 parts"):
        convert([run])
    assert convert([run], given=Given(histories=200))[0].histories == 200


def test_a_run_that_is_missing_from_one_scorer_is_refused(tmp_path):
    run = family(tmp_path / "plan", parts_of(2), runs_of(2), RUNS + TWO_TIMES)
    (run / "Fluence_Z1_Run_0001.binheader").unlink()
    with pytest.raises(UnsupportedError, match=r"plan 0001: expected Fluence .*Run_0001\.bin \(no \.binheader"):
        convert([run])


def test_runs_whose_histories_nothing_says_are_refused(tmp_path):
    run = family(tmp_path / "plan", parts_of(3), runs_of(3), RUNS)  # one sequential time, but three files
    with pytest.raises(UnsupportedError, match="add Histories to a Report"):
        convert([run])


def test_of_cumulative_runs_the_last_is_taken(tmp_path):
    parts = parts_of(2)
    held = [parts[0], {name: parts[0][name] + parts[1][name] for name in NAMES}]
    run = family(tmp_path / "plan", held, runs_of(2), RUNS + ACCUMULATED + TWO_TIMES, histories=[100, 200])
    field, report = convert([run])
    require_sum(field, held[1:])
    assert (field.histories, field.halves) == (200, ())
    assert {f.name for f in report.files_not_read if "holds what it holds" in f.reason} >= {"DoseToWater_Run_0000.csv"}


def test_cumulative_runs_without_parameter_file_are_refused(tmp_path):
    parts = parts_of(2)
    held = [parts[0], {name: parts[0][name] + parts[1][name] for name in NAMES}]
    run = family(tmp_path / "plan", held, runs_of(2), "", histories=[100, 200])
    (run / "run.txt").unlink()
    given = Given(
        origin_mm=(0.0, 0.0, 0.0), beam_direction=(0.0, 0.0, 1.0), let_weighting={"LETd": "dose", "LETt": "track"}
    )
    with pytest.raises(UnsupportedError, match="each seems to hold those before it"):
        convert([run], given=given)


def test_runs_without_parameter_file_add_by_what_they_report(tmp_path):
    parts = parts_of(2)
    run = family(tmp_path / "plan", parts, runs_of(2), "", histories=[100, 300])
    (run / "run.txt").unlink()
    for path in run.glob("LET*"):
        path.unlink()
    field, _ = convert([run], given=PLACED)
    np.testing.assert_allclose(field.dose, parts[0]["DoseToWater"] + parts[1]["DoseToWater"])
    assert field.histories == 400
    with pytest.raises(FormatError, match="expected 500 histories, found 400"):
        convert([run], given=Given(origin_mm=(0.0, 0.0, 0.0), beam_direction=(0.0, 0.0, 1.0), histories=500))


def test_values_of_a_time_feature_add(tmp_path):
    parts, values = parts_of(2), ["-0 deg", "-90 deg"]
    more = TIME_VALUES + TWO_TIMES
    run = family(tmp_path / "plan", parts, values, more, scorer_endings=values, histories=[150, 50])
    field, report = convert([run])
    require_sum(field, parts)
    assert field.histories == 200
    assert field.halves == ()
    assert report.files_not_read == ()


def test_values_of_a_time_feature_need_their_histories(tmp_path):
    values = ["-0 deg", "-90 deg"]
    run = family(tmp_path / "plan", parts_of(2), values, TIME_VALUES + TWO_TIMES, scorer_endings=values)
    with pytest.raises(UnsupportedError, match="add Histories to a Report"):
        convert([run])


def test_increments_are_executions_of_their_own_and_give_halves(tmp_path):
    parts = parts_of(3)
    field, report = convert([family(tmp_path / "plan", parts, ["", "_1", "_2"], INCREMENTS)])
    require_sum(field, parts)
    assert "3 executions are added" in report.notes[0]
    assert field.histories == 300
    # 200 histories (the first and the third) against 100, each scaled to 300.
    dose = [part["DoseToWater"] for part in parts]
    np.testing.assert_allclose(field.halves_dose[0], 1.5 * (dose[0] + dose[2]))
    np.testing.assert_allclose(field.halves_dose[1], 3.0 * dose[1])


def test_increments_of_one_seed_are_refused_even_when_threads_rounded_them_otherwise(tmp_path):
    (part,) = parts_of(1)
    again = {name: values * (1 + 1e-14) for name, values in part.items()}
    with pytest.raises(QuantityError, match="runs plan 0 and plan 1: their doses are the same"):
        convert([family(tmp_path / "plan", [part, again], ["", "_1"], INCREMENTS)])


def test_halves_come_from_executions_and_not_from_their_runs(tmp_path):
    parts = parts_of(4)
    folders = [
        family(tmp_path / place / "plan", parts[n : n + 2], runs_of(2), RUNS + TWO_TIMES, seed=n)
        for n, place in ((0, "a"), (2, "b"))
    ]
    field, _ = convert(folders)
    require_sum(field, parts)
    assert field.histories == 400
    dose = [part["DoseToWater"] for part in parts]
    np.testing.assert_allclose(field.halves_dose, [2 * (dose[0] + dose[1]), 2 * (dose[2] + dose[3])])


def test_executions_of_one_seed_are_refused_in_parts_too(tmp_path):
    parts = parts_of(4)
    folders = [family(tmp_path / f"p{n}", parts[n : n + 2], runs_of(2), RUNS + TWO_TIMES) for n in (0, 2)]
    with pytest.raises(QuantityError, match="Ts/Seed is 1 and 1"):
        convert(folders)


def test_runs_without_dose_are_no_copies_of_each_other(tmp_path):
    parts = parts_of(2)
    for part in parts:
        part["DoseToWater"][:] = 0
    parts += parts_of(1, seed=3)
    more = RUNS + "i:Tf/NumberOfSequentialTimes = 3\nd:Tf/TimelineEnd = 3 s\n"
    field, _ = convert([family(tmp_path / "plan", parts, runs_of(3), more)])
    np.testing.assert_array_equal(field.dose, parts[2]["DoseToWater"])


def test_folders_of_one_name_are_two_simulations(tmp_path):
    folders = [write_run(tmp_path / place / "plan", seed=n) for n, place in enumerate(("a", "b"))]
    assert len(convert(folders)[0].halves) == 2


def test_a_scorer_in_one_file_beside_others_in_parts_is_refused(tmp_path):
    parts = parts_of(2)
    run = family(tmp_path / "plan", parts, runs_of(2), RUNS + TWO_TIMES)
    for path in run.glob("Fluence_Z1_Run*"):
        path.unlink()
    write_part(run, parts[0], only=("Fluence_Z1",))
    with pytest.raises(UnsupportedError, match=r"plan: Fluence_Z1\.binheader is one file.*split all or none"):
        convert([run])


def test_scorers_split_in_two_ways_are_refused(tmp_path):
    parts = parts_of(2)
    only = ("DoseToWater", "LETd", "LETt")
    run = tmp_path / "plan"
    run.mkdir()
    for values, ending, other in zip(parts, runs_of(2), ("", "_1"), strict=True):
        write_part(run, values, ending, only=only)
        write_part(run, values, other, only=("Fluence_Z1",))
    write_parameters(run, RUNS.replace('Fluence_Z1/OutputAfterRun = "True"', 'X/Y = "True"') + INCREMENTS)
    with pytest.raises(UnsupportedError, match=r"split in different ways \(increments, runs\)"):
        convert([run])


def test_a_scorer_that_is_not_used_may_be_split_as_it_likes(tmp_path):
    run = write_run(tmp_path / "plan")
    for n in (0, 1):
        write_csv(
            run / f"Edep_Run_000{n}.csv", header("Edep", "EnergyDeposit ( MeV )", (2, 3, 4)), np.ones((2, 3, 4, 1))
        )
    field, report = convert([run])
    assert field.histories == 100
    assert {f.name for f in report.files_not_read} == {"Edep_Run_0000.csv", "Edep_Run_0001.csv"}


def test_a_species_whose_spectrum_cannot_be_used_is_not_left_out_of_parts(tmp_path):
    parts = parts_of(2)
    run = family(tmp_path / "plan", parts, runs_of(2), RUNS + TWO_TIMES)
    binning = ("Binned by incident track energy in 2 bins of 20 MeV from 0 MeV to 40 MeV",)
    filters = ("OnlyIncludeParticlesOfAtomicNumber = 2",)
    head = header("Fluence_Z2", "Fluence ( /mm2 )", SHAPE, filters=filters, binning=binning)
    write_bin(run / "Fluence_Z2", head, np.ones((*SHAPE, 5, 1)))
    with pytest.raises(UnsupportedError, match="no usable fluence spectrum of He"):
        convert([run])
