"""Campaigns over selected voxels, some of which cannot be simulated."""

from dataclasses import replace

import numpy as np
import pytest
from synthetic import make_field

from surrogate3d.direct.campaign import in_process
from surrogate3d.direct.conditions import Conditions
from surrogate3d.direct.ledger import Ledger
from surrogate3d.errors import ConfigError, UnknownNameError, UnsupportedError, UnusableError, ValueRangeError
from surrogate3d.pipeline.design import SimulationSettings, campaign, engine, simulate
from surrogate3d.pipeline.spectrum_checks import checked
from surrogate3d.sampling import SelectedVoxel

FIELD = make_field(seed=2, tracks=4000)
FAST = SimulationSettings(backend="gsm2_fft", seed=3)
GOOD, DARK, BROKEN, BEYOND = (4, 5, 2), (3, 4, 7), (5, 3, 4), (99, 0, 0)


def damaged():
    """The field without fluence in one voxel and with a fluence that is no number in another."""
    fluence = FIELD.spectra.fluence.copy()
    fluence[(..., *DARK)] = 0.0
    fluence[(0, 0, *BROKEN)] = np.nan
    spectra = object.__new__(type(FIELD.spectra))  # a checked volume would not take it
    for name, value in vars(FIELD.spectra).items():
        object.__setattr__(spectra, name, fluence if name == "fluence" else value)
    field = object.__new__(type(FIELD))
    for name, value in vars(FIELD).items():
        object.__setattr__(field, name, spectra if name == "spectra" else value)
    return field


def voxels(*indices):
    return [SelectedVoxel("F", index, "chosen", None) for index in indices]


def test_bad_voxels_are_reported_with_index_and_reason_and_stop_no_others(tmp_path):
    done = campaign(voxels(DARK, BROKEN, BEYOND, GOOD), {"F": damaged()}, tmp_path, FAST)
    assert [r.voxel for r in done.responses] == [GOOD]
    assert [f.voxel for f in done.failures] == [DARK, BROKEN, BEYOND]
    reasons = [f.reason for f in done.failures]
    assert "no fluence" in reasons[0]
    assert "finite" in reasons[1]
    assert reasons[2] == f"the grid has {FIELD.grid.shape} voxels"
    assert sorted(Ledger(tmp_path).failures().values(), key=str) == sorted(done.failures, key=str)


def test_those_who_need_every_response_get_none_with_a_gap(tmp_path):
    with pytest.raises(ValueRangeError, match=r"1 simulations failed: voxel \(3, 4, 7\)"):
        simulate(voxels(GOOD, DARK), {"F": damaged()}, tmp_path, FAST)
    assert len(Ledger(tmp_path)) == 1


def test_a_voxel_of_a_field_that_was_not_given_stops_the_campaign_at_once(tmp_path):
    with pytest.raises(UnknownNameError, match="not given"):
        campaign([*voxels(GOOD), replace(voxels(GOOD)[0], field_id="G")], {"F": FIELD}, tmp_path / "ledger", FAST)
    assert not (tmp_path / "ledger").exists()


def test_the_engine_is_this_process_unless_a_cluster_is_asked_for():
    assert engine() is in_process
    with pytest.raises(ConfigError, match="not both"):
        engine(workers=2, scheduler="tcp://127.0.0.1:8786")
    with pytest.raises(ConfigError, match=r"workers >= 0, found -1"):
        engine(workers=-1)


def test_workers_and_schedulers_are_engines_of_dask():
    pytest.importorskip("distributed", reason="Dask distributed is not installed (the extra `cluster`)")
    assert engine(workers=3).workers == 3
    assert engine(scheduler="tcp://127.0.0.1:8786").scheduler == "tcp://127.0.0.1:8786"


def test_a_voxel_whose_spectrum_cannot_explain_its_dose_is_told_with_the_bound(tmp_path):
    field = checked(FIELD)
    fault = np.asarray(field.volumes["spectrum_fault"].values)
    bad = tuple(int(n) for n in np.argwhere(fault == 3)[0])
    done = campaign(voxels(bad, GOOD), {"F": field}, tmp_path, FAST)
    assert [r.voxel for r in done.responses] == [GOOD]
    (failure,) = done.failures
    assert failure.voxel == bad
    assert "dose and spectrum disagree: the spectrum explains 1.3" in failure.reason
    assert "0.75 to 1.06" in failure.reason


def test_what_cannot_work_for_any_voxel_is_refused_before_there_is_a_ledger(tmp_path):
    with pytest.raises(ConfigError, match="standard error between 0 and 1"):
        SimulationSettings(target_se=0.0)
    with pytest.raises(ConfigError, match="seed >= 0"):
        SimulationSettings(seed=-1)
    with pytest.raises(UnsupportedError, match=r"HSG has no \[lem\] parameters"):
        campaign(voxels(GOOD), {"F": FIELD}, tmp_path / "ledger", replace(FAST, backend="lem1"))
    assert not (tmp_path / "ledger").exists()
    hypoxic = {"conditions": lambda *_: Conditions(pO2_mmHg=1.0)}
    with pytest.raises(UnusableError, match="wedenberg does not know of oxygen"):
        campaign(voxels(GOOD), {"F": FIELD}, tmp_path / "ledger", replace(FAST, backend="wedenberg"), **hypoxic)
    assert len(Ledger(tmp_path / "ledger")) == 0
    assert Ledger(tmp_path / "ledger").failures() == {}
