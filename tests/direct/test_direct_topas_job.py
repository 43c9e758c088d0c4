"""The numbers of `topas_job`: against back ends that follow the same tracks without a counter, and its errors."""

import re
from dataclasses import replace

import numpy as np
import pytest
import stand_in_topas
from stand_in_topas import write_results

from surrogate3d.direct.conditions import Conditions
from surrogate3d.direct.curve import jackknife
from surrogate3d.direct.gsm2_fft import Gsm2Fft
from surrogate3d.direct.nucleus import known_line
from surrogate3d.direct.table_backends import Mkm
from surrogate3d.direct.task import VoxelTask
from surrogate3d.direct.topas_job import TopasJob, mean_yields
from surrogate3d.direct.topas_job_counts import job_counts
from surrogate3d.direct.topas_job_source import run_seed, runs_of, upstream_energy
from surrogate3d.errors import ConfigError, StoreError, UnsupportedError, ValueRangeError
from surrogate3d.grid import SpectrumAxes
from surrogate3d.io.topas_job_results import CountedEvents
from surrogate3d.physics.lineal_response import counter_gsm2, event_rates, event_specific_energy
from surrogate3d.physics.microdosimetry import mixed_spectrum, single_event_spectrum
from surrogate3d.physics.stopping_power import csda_range_mm, stopping_power

EDGES = np.array(stand_in_topas.EDGES)
MIDS = (EDGES[1:] + EDGES[:-1]) / 2
WIDE = TopasJob(beam_margin_um=12.0, histories=100_000_000)  # synthetic: nothing is paid for, and hardly any noise


@pytest.fixture(scope="module")
def task():
    """Protons, helium and carbon of 5 to 40 MeV/u, of 21 keV/um (LET_d)."""
    axes = SpectrumAxes.logarithmic(("H", "He", "C"), n_bins=6, low_mev_u=5.0, high_mev_u=40.0)
    rng = np.random.default_rng(3)
    return VoxelTask(rng.uniform(0.5, 1, (3, 6)) * [[1.0], [0.1], [0.02]], axes, 2.0, ("HSG",), (1, 2, 3), "F")


def tracks(task, asked):
    """One spectrum per kind of ion, by the amorphous tracks of `physics.microdosimetry`."""
    spectra = []
    for run in asked.runs:
        n = task.axes.species.index(run.species)
        energies, radius = task.axes.energy_mev_u[n], asked.counter.radius_um
        each = [single_event_spectrum(radius, run.Z, energy, edges_kev_um=EDGES) for energy in energies]
        spectra.append(mixed_spectrum(each, task.fluence[n]))
    return spectra


def expected_events(task, asked):
    """(ion, bin) mean numbers of events of a job."""
    area = asked.counter.beam_area_um2
    pairs = zip(tracks(task, asked), asked.runs, strict=True)
    return np.array([spectrum.events * run.histories / area for spectrum, run in pairs])


def counted_share(task, asked):
    """Share of the dose of the tracks that comes in events above 0.1 keV/um."""
    whole = mixed_spectrum(tracks(task, asked), [run.fluence_um2_gy for run in asked.runs])
    return whole.events_y.sum() / (whole.events_y.sum() + whole.below_y)


def by_hand(backend, task, seed=0, rng=None):
    """Write a job and, as its results, the events of amorphous tracks."""
    job, _ = backend.write(task, seed)
    asked = backend.asked(task, seed)
    rng = rng or np.random.default_rng(5)
    for run, mean in zip(asked.runs, expected_events(task, asked), strict=True):
        write_results(job / run.species, rng.poisson(mean))
    return job


@pytest.mark.parametrize("line", ["HSG", "V79"])
def test_gsm2_of_counted_tracks_is_that_of_the_tracks_themselves(line, task, tmp_path):
    backend, task = replace(WIDE, jobs=str(tmp_path)), replace(task, cell_lines=(line,))
    by_hand(backend, task)
    (counted,), (direct,) = backend.simulate([task]), Gsm2Fft().simulate([task])
    # above by what is known: 2.3 % for events below 0.1 keV/um (4 % of the dose, treated like the rest), 1.5 to 2 % for
    # tracks that hit several domains, 0.3 to 0.9 % for one yield per kind of ion
    assert (np.array(counted.effect) > direct.effect).all()
    assert counted.effect == pytest.approx(direct.effect, rel=0.05)
    assert 1 < counted.RBE10 / direct.RBE10 < 1.04
    assert counted.outside == ""
    assert counted.backend == "topas_job/1"
    assert (counted.voxel, counted.field_id, counted.explained) == ((1, 2, 3), "F", direct.explained)


@pytest.mark.parametrize("line", ["HSG", "V79"])
def test_mkm_of_counted_tracks_is_that_of_the_tracks_themselves(line, task, tmp_path):
    r_d = known_line(line).mkm.r_d
    backend = replace(WIDE, jobs=str(tmp_path), response="mkm", detector_radius_um=r_d)
    task = replace(task, cell_lines=(line,))
    by_hand(backend, task)
    (counted,), (direct,) = backend.simulate([task]), Mkm().simulate([task])
    # dose of events below 0.1 keV/um, 6 %, is treated like the rest: alpha - alpha0 grows by as much
    share, alpha0 = counted_share(task, backend.asked(task, 0)), known_line(line).mkm.alpha0
    assert 0.9 < share < 0.97
    assert (counted.alpha - alpha0) * share == pytest.approx(direct.alpha - alpha0, rel=0.02)
    assert counted.beta == pytest.approx(direct.beta, rel=1e-6)
    assert counted.outside == ""


def test_the_counter_finds_the_dose_of_fluence_and_stopping_power(task):
    asked = WIDE.asked(task, 0)
    events = [CountedEvents(np.rint(mean).astype(int), MIDS) for mean in expected_events(task, asked)]
    assert job_counts(asked, events).dose_per_gy == pytest.approx(counted_share(task, asked), rel=0.01)


def test_standard_errors_are_the_scatter_of_repeated_runs(task):
    asked = replace(WIDE, histories=60_000, least_share=0).asked(task, 0)
    mean, rng, line = expected_events(task, asked), np.random.default_rng(11), known_line("HSG")
    z, yields, doses = event_specific_energy(MIDS, 0.9), mean_yields(task, ["H", "He", "C"]), np.array([2.0])
    effects, errors = [], []
    for n in range(40):
        fresh = replace(asked, spectrum=str(n))
        counts = job_counts(fresh, [CountedEvents(rng.poisson(row), MIDS) for row in mean])
        rates = event_rates(MIDS, counts.replicas(), counts.fluence, 0.9)
        found = counter_gsm2(z, yields, rates, doses, line.gsm2)[:, 0]
        effects.append(found[0])
        errors.append(jackknife(found[1:]))
    scatter = np.std(effects, ddof=1)  # known to 11 % from 40
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(scatter, rel=0.3)
    assert 0.002 < scatter / np.mean(effects) < 0.05


def test_every_number_has_a_standard_error_and_equal_jobs_give_equal_answers(task, tmp_path):
    backend = replace(WIDE, jobs=str(tmp_path), histories=40_000)
    by_hand(backend, task)
    (one,), (other,) = backend.simulate([task]), replace(backend).simulate([task])
    assert one == other
    assert min(one.survival_se + one.effect_se) > 0
    assert min(one.alpha_se, one.beta_se, one.D10_se, one.RBE10_se, one.RBE_ref_se) > 0
    assert 500 < one.n_nuclei < 1500  # events


def test_ions_start_with_what_they_lose_on_the_way():
    for Z, A, energy in ((1, 1, 0.5), (1, 1, 70.0), (6, 12, 3.0), (6, 12, 300.0)):
        start = upstream_energy(Z, A, energy, 2.0)
        assert csda_range_mm(Z, A, start) - csda_range_mm(Z, A, energy) == pytest.approx(2e-3, rel=2e-3)
    assert upstream_energy(6, 12, 100.0, 0.0) == 100.0
    assert upstream_energy(2, 4, 100.0, 1.0) - 100.0 == pytest.approx(1e-3 * stopping_power(2, 100.0) / 4, rel=1e-3)


def test_histories_follow_fluence_and_dose_and_rare_ions_get_some(task):
    asked = runs_of(task, WIDE.counter, 100_000, 1e-3, 0)
    shot = {run.species: run.histories for run in asked.runs}
    assert sum(shot.values()) == pytest.approx(100_000, abs=100)
    assert shot["H"] > shot["C"] > 10_000
    assert all(n % 20 == 0 for n in shot.values())
    assert min(run.histories for run in runs_of(task, WIDE.counter, 500, 1e-3, 0).runs) == 1000


def test_weights_and_fluence_are_those_of_the_voxel(task):
    asked = runs_of(task, WIDE.counter, 1000, 0, 0)
    for run, row in zip(asked.runs, task.fluence_per_gy.astype(float), strict=True):
        assert np.array(run.weights) * run.fluence_um2_gy == pytest.approx(row)
        assert sum(run.weights) == pytest.approx(1)
    assert asked.runs[2].energies_mev[0] == pytest.approx(12 * task.axes.energy_mev_u[2, 0], rel=0.05)


def test_ions_with_less_than_the_least_share_of_the_dose_are_left_out(task):
    rare = replace(task, fluence=task.fluence * [[1.0], [1e-5], [1.0]])
    assert [run.species for run in runs_of(rare, WIDE.counter, 1000, 1e-3, 0).runs] == ["H", "C"]
    assert [run.species for run in runs_of(rare, WIDE.counter, 1000, 0, 0).runs] == ["H", "He", "C"]
    assert len(runs_of(task, WIDE.counter, 1000, 0.99, 0).runs) == 1  # never none


def test_seeds_are_different_for_every_run_and_campaign():
    seeds = {run_seed(seed, key, name) for seed in (0, 1) for key in ("a", "b") for name in ("H", "He", "C")}
    assert len(seeds) == 12
    assert all(0 < seed < 2**31 - 1 for seed in seeds)


def test_the_place_of_jobs_and_how_they_are_run_decide_nothing(task):
    other = replace(WIDE, jobs="elsewhere", command="topas {parameters}", time_limit_s=1.0)
    assert other.settings() == WIDE.settings()
    assert other.asked(task, 0) == WIDE.asked(task, 0)
    for change in ({"histories": 20}, {"detector_radius_um": 0.8}, {"response": "mkm"}, {"physics": "opt4"}):
        assert replace(WIDE, **change).settings() != WIDE.settings()
    assert "voxels_at_once" not in WIDE.settings()
    assert TopasJob.voxels_at_once == 1


def test_a_counter_of_another_size_than_the_domain_is_flagged_and_answers_for_the_domain(task, tmp_path):
    backend = replace(WIDE, jobs=str(tmp_path), detector_radius_um=0.6)
    by_hand(backend, task)
    (found,), (direct,) = backend.simulate([task]), Gsm2Fft().simulate([task])
    assert found.outside == "counter of 0.6 um for domains of 0.9 um"
    assert 0.88 < found.RBE10 / direct.RBE10 < 1.12  # y hardly depends on the size; z would be 2.25 times


def test_a_counter_that_misses_dose_is_flagged(task, tmp_path):
    backend = replace(WIDE, jobs=str(tmp_path))
    job, asked = backend.write(task, 0)[0], backend.asked(task, 0)
    for run, mean in zip(asked.runs, expected_events(task, asked), strict=True):
        write_results(job / run.species, np.rint(mean / 2).astype(int))
    (found,) = backend.simulate([task])
    assert found.outside == "dose in the counter not 70 to 130 % of what the fluence gives"


def test_few_events_are_refused(task):
    asked = WIDE.asked(task, 0)
    few = [CountedEvents(np.eye(100, dtype=int)[50] * 9, MIDS)] * 3
    with pytest.raises(ValueRangeError, match="only 27 events"):
        job_counts(asked, few)


def test_conditions_that_it_cannot_follow_are_refused(task, tmp_path):
    backend = replace(WIDE, jobs=str(tmp_path))
    for conditions in (Conditions(pO2_mmHg=3.0), Conditions(start_h=(0.0,), duration_h=(1.0,), dose_share=(1.0,))):
        with pytest.raises(UnsupportedError, match="topas_job"):
            backend.simulate([replace(task, conditions=conditions)])
        with pytest.raises(UnsupportedError, match="topas_job"):
            backend.write(replace(task, conditions=conditions), 0)
    assert list(tmp_path.iterdir()) == []


def test_a_cell_line_without_the_model_is_refused_before_anything_is_run(task, tmp_path):
    backend = replace(WIDE, jobs=str(tmp_path), response="mkm")
    with pytest.raises(UnsupportedError, match=r"chordoma has no \[mkm\]"):
        backend.simulate([replace(task, cell_lines=("HSG", "chordoma"))])
    assert list(tmp_path.iterdir()) == []


def test_without_a_directory_of_jobs_nothing_can_be_done(task):
    with pytest.raises(StoreError, match="--jobs DIR"):
        TopasJob().simulate([task])


@pytest.mark.parametrize(
    "change", [{"response": "lem"}, {"histories": 0}, {"least_share": 1.0}, {"time_limit_s": 0.0}, {"command": "topas"}]
)
def test_settings_without_sense_are_refused(change):
    with pytest.raises(ConfigError, match=re.compile("topas_job|parameters")):
        TopasJob(**change)
