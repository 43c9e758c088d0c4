"""The rule of Zaider and Rossi over other back ends than the one of the shipped tables."""

from dataclasses import replace

import numpy as np
import pytest

from surrogate3d.direct.closed_form import WEAK_AT_LOW_LET
from surrogate3d.direct.conditions import Conditions
from surrogate3d.direct.simulator import BACKENDS, simulator
from surrogate3d.direct.task import VoxelTask
from surrogate3d.errors import UnknownNameError, UnsupportedError, UnusableError
from surrogate3d.grid import SpectrumAxes


def answer(name, task):
    (found,) = simulator(name).simulate([task])
    return found


@pytest.mark.parametrize("name", ["mkm", "smk"])
def test_ions_of_one_energy_are_answered_as_by_the_base(name, mono):
    for ion in ((1, 60.0), (6, 150.0)):
        over, base = answer(f"zr_table:{name}", mono(*ion)), answer(name, mono(*ion))
        assert over.alpha == pytest.approx(base.alpha, rel=0.01)
        assert over.beta == pytest.approx(base.beta, rel=0.02, abs=2e-4)
        assert over.backend == f"zr_table:{name}/2"
        assert over.outside == (WEAK_AT_LOW_LET if ion[0] == 1 else "")


def test_over_the_classic_mkm_mixing_is_exact(mixed):
    # alpha = alpha0 + beta0 z*_D is linear in dose shares and beta is constant: Zaider and Rossi's rule is the model
    over, base = answer("zr_table:mkm", mixed()), answer("mkm", mixed())
    np.testing.assert_allclose(over.effect, base.effect, rtol=5e-3)  # interpolation between 64 energies


def test_over_the_fft_it_is_the_shipped_table_but_for_the_noise_of_that(mixed):
    over, shipped = answer("zr_table:gsm2_fft", mixed()), answer("zr_table", mixed())
    assert pytest.approx(shipped.RBE10, rel=0.015) == over.RBE10


def test_over_a_proton_model_other_ions_are_unknown(mono):
    assert answer("zr_table:wedenberg", mono(1, 60.0)).alpha == pytest.approx(
        answer("wedenberg", mono(1, 60.0)).alpha, rel=0.01
    )
    with pytest.raises(UnsupportedError, match="only 0 % of the dose"):
        answer("zr_table:wedenberg", mono(6, 60.0))


def test_it_serves_a_cell_line_without_a_shipped_table():
    task = VoxelTask(np.ones((1, 1)), SpectrumAxes(("C",), np.array([[99.0, 101.0]])), 1.0, ("chordoma",))
    assert answer("zr_table:lem1", task).alpha == pytest.approx(answer("lem1", task).alpha, rel=0.01)
    with pytest.raises(UnknownNameError, match="mono-energetic table"):
        answer("zr_table", task)


def test_its_key_holds_the_base_and_it_travels_to_workers(mixed):
    backend = simulator("zr_table:smk")
    assert backend.settings()["base"] == BACKENDS["smk"].settings()
    wire = pytest.importorskip("distributed.protocol", reason="Dask distributed is not installed (the extra `cluster`)")
    assert wire.deserialize(*wire.serialize(backend)) == backend
    assert simulator("zr_table:mkm").settings() != backend.settings()
    slow = replace(mixed(), conditions=Conditions(None, (0.0,), (2.0,), (1.0,)))
    assert answer("zr_table:smk", slow).beta < 0.5 * answer("zr_table:smk", mixed()).beta


def test_what_cannot_be_the_base_is_refused(tmp_path):
    (tmp_path / "own.csv").write_text("ion,energy_mev_u,alpha,beta\nH,1,0.5,0.05\nH,200,0.3,0.06\n")
    for base in ("zr_table", "topas_job", "zr_table:mkm", str(tmp_path / "own.csv")):
        with pytest.raises(UnusableError, match="not over"):
            simulator(f"zr_table:{base}")
    with pytest.raises(UnknownNameError, match="unknown back end 'gsm3'"):
        simulator("zr_table:gsm3")
