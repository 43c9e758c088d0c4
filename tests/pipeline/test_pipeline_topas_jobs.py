"""Jobs of selected voxels, from a field to the responses of a stand-in for OpenTOPAS."""

import json
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from synthetic import make_field

from surrogate3d.direct.topas_job import TopasJob
from surrogate3d.errors import ConfigError, StoreError, UnknownNameError
from surrogate3d.pipeline.design import SimulationSettings, campaign
from surrogate3d.pipeline.topas_jobs import job_settings, topas_backend, write_jobs, written
from surrogate3d.sampling import SelectedVoxel

STAND_IN = Path(__file__).parents[1] / "direct" / "stand_in_topas.py"
COMMAND = f"{shlex.quote(sys.executable)} {shlex.quote(str(STAND_IN))} {{parameters}}"
FIELD = make_field(seed=2, tracks=4000)
VOXELS = [SelectedVoxel("F", v, "chosen", None) for v in ((4, 5, 2), (3, 4, 7))]
EMPTY = (0, 0, 0)
FIELD.spectra.fluence[:, :, 0, 0, 0] = 0.0


@pytest.fixture
def settings(tmp_path):
    return TopasJob(jobs=str(tmp_path / "jobs"), histories=200_000)


def test_written_jobs_are_run_and_read_back_by_a_campaign(settings, tmp_path):
    jobs = Path(settings.jobs)
    found = write_jobs(VOXELS, {"F": FIELD}, settings, seed=3)
    assert [job.voxel for job in found.jobs] == [(4, 5, 2), (3, 4, 7)]
    assert all(job.is_new and job.folder.parent == jobs and job.n_finished == 0 for job in found.jobs)
    simulation = SimulationSettings("topas_job", ("HSG",), 3)
    backend = topas_backend(jobs, COMMAND, time_limit_s=30.0, seed=3)
    done = campaign(VOXELS, {"F": FIELD}, tmp_path / "ledger", simulation, backend=backend)
    assert done.failures == []
    assert [response.voxel for response in done.responses] == [(4, 5, 2), (3, 4, 7)]
    assert sorted(path.name for path in jobs.iterdir()) == sorted(
        {job.folder.name for job in found.jobs} | {"settings.json"}
    )
    again = write_jobs(VOXELS, {"F": FIELD}, settings, seed=3)
    assert all(not job.is_new and job.n_finished == len(job.runs) for job in again.jobs)
    numbers = written(again, settings)
    assert (numbers["n_new"], numbers["n_folders"], numbers["n_unfinished"]) == (0, 2, 0)
    assert json.loads(json.dumps(numbers, default=str))["jobs"][0]["voxel"] == [4, 5, 2]


def test_the_directory_says_how_its_jobs_were_asked_for(settings):
    other = replace(settings, detector_radius_um=0.32, response="mkm", physics="opt4", least_share=0.01)
    write_jobs(VOXELS, {"F": FIELD}, other, seed=3)
    found = topas_backend(Path(settings.jobs), "topas {parameters}", seed=3)
    assert found.settings() == other.settings()
    assert found.time_limit_s == 86_400
    assert topas_backend(Path(settings.jobs), response="gsm2").response == "gsm2"


def test_a_directory_without_settings_gets_the_default_ones(tmp_path):
    assert topas_backend(tmp_path / "none").settings() == TopasJob().settings()


def test_other_settings_need_another_directory_but_another_response_does_not(settings):
    write_jobs(VOXELS, {"F": FIELD}, settings, seed=3)
    with pytest.raises(ConfigError, match="holds jobs of histories '200000', found '40'"):
        write_jobs(VOXELS, {"F": FIELD}, replace(settings, histories=40), seed=3)
    with pytest.raises(ConfigError, match="holds jobs of seed '3', found '4'"):
        write_jobs(VOXELS, {"F": FIELD}, settings, seed=4)
    again = write_jobs(VOXELS, {"F": FIELD}, replace(settings, response="mkm"), seed=3)
    assert not any(job.is_new for job in again.jobs)
    assert topas_backend(Path(settings.jobs)).response == "mkm"


def test_a_campaign_of_another_seed_is_refused(settings):
    write_jobs(VOXELS, {"F": FIELD}, settings, seed=3)
    with pytest.raises(ConfigError, match="written for seed 3, found --seed 0; give --seed 3"):
        topas_backend(Path(settings.jobs), seed=0)


@pytest.mark.parametrize(
    "edit", [lambda d: d.pop("physics"), lambda d: d.update(schema="x"), lambda d: d.update(histories="many")]
)
def test_settings_that_are_none_are_refused(edit, settings):
    write_jobs(VOXELS, {"F": FIELD}, settings, seed=3)
    path = Path(settings.jobs) / "settings.json"
    data = json.loads(path.read_text())
    edit(data)
    path.write_text(json.dumps(data))
    with pytest.raises(ConfigError, match=r"settings\.json"):
        topas_backend(Path(settings.jobs))
    path.write_text("{")
    with pytest.raises(ConfigError, match="is not JSON"):
        topas_backend(Path(settings.jobs))


def test_voxels_without_a_spectrum_are_told_and_do_not_stop_the_others(settings):
    voxels = [SelectedVoxel("F", EMPTY, "chosen", None), *VOXELS]
    seen = []
    found = write_jobs(voxels, {"F": FIELD}, settings, 3, lambda done, of: seen.append((done, of)))
    assert len(found.jobs) == 2
    assert found.failures[0].voxel == EMPTY
    assert "no fluence" in str(found.failures[0])
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_equal_spectra_share_a_folder(settings):
    twice = replace(FIELD)
    found = write_jobs([VOXELS[0], replace(VOXELS[0], field_id="G")], {"F": FIELD, "G": twice}, settings, 3)
    assert [job.is_new for job in found.jobs] == [True, False]
    assert written(found, settings)["n_folders"] == 1


def test_a_field_that_was_not_given_is_refused(settings):
    with pytest.raises(UnknownNameError, match="was not given"):
        write_jobs([replace(VOXELS[0], field_id="elsewhere")], {"F": FIELD}, settings, 3)


def test_a_template_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(StoreError, match="cannot read the template"):
        job_settings(tmp_path, 0.9, 2.0, 2.0, 1000, 0.0, "opt4", tmp_path / "none.txt", "gsm2")


def test_a_template_is_part_of_what_the_directory_says(tmp_path):
    text = 's:Ge/World/Material = "G4_WATER"\nd:Ge/Beam/TransZ = {beam_z_um} um\nd:Ge/Counter/RMax = {radius_um} um\n'
    (tmp_path / "mine.txt").write_text(text)
    backend = job_settings(tmp_path / "jobs", 0.9, 2.0, 2.0, 1000, 0.0, "opt4", tmp_path / "mine.txt", "gsm2")
    write_jobs(VOXELS, {"F": FIELD}, backend, seed=3)
    assert topas_backend(tmp_path / "jobs").template == text
