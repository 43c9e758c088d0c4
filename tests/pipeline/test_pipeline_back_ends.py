"""Back ends as a user asks for them."""

from dataclasses import replace

import pytest
from synthetic import make_field

from surrogate3d.direct.simulator import BACKENDS
from surrogate3d.direct.topas_job import TopasJob
from surrogate3d.errors import ConfigError, QuantityError, UnknownNameError
from surrogate3d.grid import Beam
from surrogate3d.pipeline.back_ends import OwnRuns, conditions_for, configured

FIELD = make_field()
CSV = "ion,energy_mev_u,alpha,beta\nH,1,0.5,0.05\nH,200,0.3,0.06\n"


@pytest.mark.parametrize("name", [name for name in BACKENDS if name != "topas_job"])
def test_a_name_without_settings_is_the_back_end_of_the_table(name):
    assert configured(name, 0) == BACKENDS[name]


def test_a_spread_of_nuclei_is_a_setting_of_one_back_end():
    assert configured("gsm2_mc", 0, 0.15).nucleus_spread == 0.15
    for wrong in (-0.1, 0.6, float("nan")):
        with pytest.raises(ConfigError, match=r"fraction from 0 to 0\.5, found"):
            configured("gsm2_mc", 0, wrong)
    for name in ("smkm_mc", "zr_table"):
        with pytest.raises(ConfigError, match=f"setting of gsm2_mc, not of {name}"):
            configured(name, 0, 0.15)


def test_a_table_of_ones_own_is_a_back_end(tmp_path):
    (tmp_path / "mine.csv").write_text(CSV)
    assert configured(str(tmp_path / "mine.csv"), 0).name == "table:mine"


def test_what_is_neither_is_refused_with_the_names():
    with pytest.raises(UnknownNameError, match="unknown back end 'gsm3', nor a file; known: gsm2_mc"):
        configured("gsm3", 0)


def test_jobs_of_topas_need_their_directory_and_belong_to_nothing_else(tmp_path):
    made = configured("topas_job", 3, runs=OwnRuns("topas {parameters}", tmp_path, 60.0, "mkm"))
    assert isinstance(made, TopasJob)
    assert (made.command, made.jobs, made.time_limit_s) == ("topas {parameters}", str(tmp_path), 60.0)
    assert made.response == "mkm"
    with pytest.raises(ConfigError, match="needs --jobs DIR"):
        configured("topas_job", 3, runs=OwnRuns("topas {parameters}"))
    with pytest.raises(ConfigError, match="there are no jobs in"):
        configured("topas_job", 3, runs=OwnRuns(jobs=tmp_path / "typo"))
    with pytest.raises(ConfigError, match="settings of topas_job, not of gsm2_mc"):
        configured("gsm2_mc", 3, runs=OwnRuns(jobs=tmp_path))


def test_conditions_are_read_once_for_every_field_and_said():
    around, notes = conditions_for({"F": FIELD, "G": FIELD}, "2.5", in_time=False)
    assert around("G", FIELD, (1, 1, 1)).pO2_mmHg == 2.5
    assert notes == ["oxygen pressure 2.5 mmHg, not per cent: 1 % of O2 is 7.6 mmHg"]


def test_delivery_in_time_is_refused_at_once_where_times_are_not_known():
    timed = replace(FIELD, beams=(Beam(name="one", start_s=0.0, duration_s=60.0),))
    around, _ = conditions_for({"F": timed}, None, in_time=True)
    assert around("F", timed, (1, 1, 1)).duration_h == pytest.approx((1 / 60,))
    with pytest.raises(QuantityError, match="state the times of delivery"):
        conditions_for({"F": replace(FIELD, beams=(Beam(name="one"),))}, None, in_time=True)
