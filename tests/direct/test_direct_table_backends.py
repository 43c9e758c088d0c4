from dataclasses import replace

import numpy as np
import pytest

from surrogate3d.direct.campaign import conduct, run
from surrogate3d.direct.closed_form import WEAK_AT_LOW_LET
from surrogate3d.direct.ledger import Ledger, response_key
from surrogate3d.direct.simulator import BACKENDS
from surrogate3d.direct.task import VoxelTask
from surrogate3d.errors import UnknownNameError, UnsupportedError
from surrogate3d.grid import SpectrumAxes
from surrogate3d.physics import smk
from surrogate3d.physics.cell_line import cell_line
from surrogate3d.physics.lem import lem1
from surrogate3d.physics.let import bin_dose
from surrogate3d.physics.linear_quadratic import RBE10, effect
from surrogate3d.physics.mixing import mix, mono_table, zr_table
from surrogate3d.physics.stopping_power import stopping_power

SPOILT = "a few ions of high LET take away the quadratic term of all"
LINES = {"zr_table": "HSG", "mkm": "HSG", "smk": "HSG", "lem1": "chordoma"}


def answer(name, task):
    (found,) = BACKENDS[name].simulate([replace(task, cell_lines=(LINES[name],))])
    return found


@pytest.mark.parametrize("line", ["HSG", "V79"])
def test_zr_table_is_that_of_the_mixing_module(line, mixed):
    task = mixed(0.5, lines=(line,))
    (found,) = BACKENDS["zr_table"].simulate([task])
    alpha, beta = zr_table(task.axes, task.fluence_per_gy, mono_table(line))
    np.testing.assert_allclose([found.alpha, found.beta], [alpha, beta], rtol=1e-10)
    alpha, beta = zr_table(task.axes, task.fluence, mono_table(line))  # not rounded to float32
    np.testing.assert_allclose([found.alpha, found.beta], [alpha, beta], rtol=1e-6)
    np.testing.assert_allclose(found.effect, effect(found.doses, alpha, beta), rtol=1e-6)
    assert found.outside == ""


def test_mkm_takes_the_dose_mean_of_z_star(mixed):
    # mixing what single ions have is the mixed answer: alpha is linear, beta one number
    task, line = mixed(0.5), cell_line("HSG")
    alphas = np.zeros(task.fluence.shape)
    for s, b in np.ndindex(*alphas.shape):
        single = np.zeros_like(task.fluence)
        single[s, b] = 1.0
        alphas[s, b] = answer("mkm", replace(task, fluence=single)).alpha
    share = bin_dose(task.axes, task.fluence)
    found = answer("mkm", task)
    assert found.alpha == pytest.approx((alphas * share).sum() / share.sum(), rel=1e-6)
    assert found.beta == pytest.approx(line.mkm.beta0, rel=1e-9)


def test_mkm_of_carbon_is_the_published_one(mono):
    # Inaniwa et al. 2010, HSG, digitised: RBE10 of carbon at 144 and at 44 keV/um
    energies = np.geomspace(0.5, 500, 2000)
    for LET, published in ((144.0, 3.32), (44.0, 1.90)):
        energy = float(np.exp(np.interp(-LET, -stopping_power(6, energies), np.log(energies))))
        assert pytest.approx(published, rel=0.012) == answer("mkm", mono(6, energy)).RBE10


@pytest.mark.parametrize(("Z", "energy"), [(1, 100.0), (2, 50.0), (6, 270.0), (6, 50.0)])
def test_smk_is_the_closed_form(Z, energy, mono):
    found, parameters = answer("smk", mono(Z, energy)), cell_line("HSG").smk
    moments = smk.moments(Z, energy, parameters)
    np.testing.assert_allclose(found.survival, smk.survival(np.array(found.doses), *moments, parameters), rtol=1e-6)
    assert found.outside == (WEAK_AT_LOW_LET if Z < 6 else "")  # alpha0 is 0.174 1/Gy, alpha_x 0.313


def test_smk_takes_dose_means_of_its_three_moments():
    axes = SpectrumAxes(("H", "C"), np.array([[49.99, 50.01], [49.99, 50.01]]))
    task = VoxelTask(np.array([[3.0], [0.1]]), axes, 1.0, ("HSG",))
    parameters, dose = cell_line("HSG").smk, bin_dose(axes, task.fluence).ravel()
    each = smk.moments(np.array([1, 6]), 50.0, parameters)
    mean = smk.SmkMoments(*(np.asarray((m * dose).sum() / dose.sum()) for m in each))
    found = answer("smk", task)
    np.testing.assert_allclose(found.survival, smk.survival(np.array(found.doses), *mean, parameters), rtol=1e-5)


def test_smk_is_flagged_where_its_series_is_too_short(mono):
    assert "series" in answer("smk", mono(6, 12.0)).outside
    assert answer("smk", mono(6, 30.0)).outside == ""


def test_smk_is_flagged_where_a_few_ions_of_high_LET_spoil_the_mixture():
    axes = SpectrumAxes(("H", "C"), np.array([[99.0, 101.0], [0.99, 1.01]]))
    pure, spoilt = (VoxelTask(np.array([[1.0], [c]]), axes, 1.0, ("HSG",)) for c in (0.0, 1e-6))
    assert bin_dose(axes, spoilt.fluence)[1] < 0.001 * bin_dose(axes, spoilt.fluence)[0]
    assert [answer("smk", task).outside for task in (pure, spoilt)] == [WEAK_AT_LOW_LET, f"{WEAK_AT_LOW_LET}; {SPOILT}"]
    (slow,), fast = BACKENDS["smkm_mc"].simulate([spoilt], 1, 0.01), answer("smk", spoilt)
    k = fast.doses.index(2.0)
    assert fast.effect[k] < 0.95 * slow.effect[k]
    alone = answer("smk", pure)  # what a thousandth of the dose can change, the direct simulation does not change
    assert pytest.approx(slow.effect[k], rel=0.02) == alone.effect[k]


def test_lem1_is_the_rapid_form_mixed_by_zaider_and_rossi(mixed, mono):
    parameters = cell_line("chordoma").lem
    alpha, beta = lem1(6, 20.0, parameters)
    found = answer("lem1", mono(6, 20.0))
    assert (found.alpha, found.beta) == pytest.approx((float(alpha), float(beta)), rel=1e-6)
    assert pytest.approx(float(RBE10(alpha, beta, 0.1, 0.05)), rel=1e-6) == found.RBE10
    task = mixed(1.0)
    per_bin = lem1(task.axes.Z[:, None], task.axes.energy_mev_u, parameters)
    alpha, beta = mix(bin_dose(task.axes, task.fluence), *per_bin)
    found = answer("lem1", task)
    assert (found.alpha, found.beta) == pytest.approx((float(alpha), float(beta)), rel=1e-6)


def test_lem1_refuses_protons_and_is_flagged_where_it_falls_below_photons(mono):
    with pytest.raises(UnsupportedError, match="LEM I is for He, Li, Be, B, C, N, O, and only 0 % of the dose"):
        answer("lem1", mono(1, 250.0))
    axes = SpectrumAxes(("H", "He"), np.array([[499.0, 501.0], [899.0, 901.0]]))
    fast = VoxelTask(np.array([[2.7], [1.0]]), axes, 1.0, ("chordoma",))  # 45 % of the dose from protons
    assert answer("lem1", fast).outside.endswith("other than He, Li, Be, B, C, N, O; alpha below that of photons")
    assert answer("lem1", mono(6, 100.0)).outside == ""


@pytest.mark.parametrize("name", ["mkm", "smk", "osmk", "smkm_mc"])
def test_sets_that_are_weaker_than_photons_at_low_LET_are_flagged_there(name, mono):
    (protons,), (carbon,) = (BACKENDS[name].simulate([mono(*ion)], 0, 0.1) for ion in ((1, 150.0), (6, 60.0)))
    assert protons.outside == WEAK_AT_LOW_LET
    assert protons.RBE10 < 1
    assert WEAK_AT_LOW_LET not in carbon.outside


@pytest.mark.parametrize("name", LINES)
def test_splitting_a_bin_in_two_changes_nothing(name):
    edges = np.array([[19.98, 20.0, 20.02]])
    halves = VoxelTask(np.array([[1.0, 1.0]]), SpectrumAxes(("C",), edges), 1.0, ("HSG",))
    whole = VoxelTask(np.array([[2.0]]), SpectrumAxes(("C",), edges[:, [0, 2]]), 1.0, ("HSG",))
    assert answer(name, halves).effect == pytest.approx(answer(name, whole).effect, rel=1e-4)


@pytest.mark.parametrize("name", LINES)
def test_answers_are_deterministic_without_error_and_kept_by_the_ledger(name, mixed, tmp_path):
    task = mixed(lines=(LINES[name],))
    (found,) = run([task], BACKENDS[name], Ledger(tmp_path), seed=3)
    assert found.n_nuclei == 0
    assert found.alpha_se == found.D10_se == found.RBE_ref_se == 0
    assert not any(found.survival_se)
    assert found.backend == f"{name}/1"
    assert (np.diff(found.survival) < 0).all()
    assert run([task], BACKENDS[name], Ledger(tmp_path), seed=3) == [found]


def test_a_voxel_that_the_table_cannot_answer_stops_nothing(tmp_path, mixed):
    axes = SpectrumAxes(("C", "O"), np.array([[99.0, 101.0], [99.0, 101.0]]))
    oxygen, both = (VoxelTask(np.array([[c], [1.0]]), axes, 1.0, ("HSG",), (0, 0, int(c))) for c in (0.0, 3.0))
    done = conduct([oxygen, both, mixed()], BACKENDS["zr_table"], Ledger(tmp_path), seed=0)
    (failure,) = done.failures
    assert failure.voxel == (0, 0, 0)
    assert "the table of HSG is for H, He, Li, Be, B, C, and only 0 % of the dose is of that" in failure.reason
    some, all_of_it = done.responses
    assert some.outside == "more than 5 % of the dose from ions or energies that the table lacks"
    carbon = VoxelTask(np.array([[1.0], [0.0]]), axes, 1.0, ("HSG",))
    assert some.effect == pytest.approx(BACKENDS["zr_table"].simulate([carbon])[0].effect, rel=1e-6)
    assert all_of_it.outside == ""
    assert run([both], BACKENDS["zr_table"], Ledger(tmp_path), seed=0) == [some]  # the flag is kept


def test_energies_beyond_the_table_are_flagged_and_refused_where_they_are_most_of_the_dose():
    axes = SpectrumAxes(("H",), np.array([[300.0, 301.0, 600.0, 601.0]]))
    some, most = (VoxelTask(np.array([[1.0, 0.0, fast]]), axes, 1.0, ("HSG",)) for fast in (0.5, 5.0))
    assert "energies" in BACKENDS["zr_table"].simulate([some])[0].outside
    with pytest.raises(UnsupportedError, match="the table of HSG is for"):
        BACKENDS["zr_table"].simulate([most])


def test_a_cell_line_without_parameters_is_refused_before_anything_is_computed(tmp_path, mixed):
    with pytest.raises(UnsupportedError, match=r"HSG has no \[lem\] parameters"):
        run([mixed()], BACKENDS["lem1"], Ledger(tmp_path), seed=0)
    for name in ("mkm", "smk", "smkm_mc"):
        with pytest.raises(UnsupportedError, match="chordoma has no"):
            BACKENDS[name].simulate([mixed(lines=("chordoma",))], 0)
    with pytest.raises(UnknownNameError, match="mono-energetic table"):
        BACKENDS["zr_table"].simulate([mixed(lines=("chordoma",))])
    assert len(Ledger(tmp_path)) == 0


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("mkm", {"mkm": replace(cell_line("HSG").mkm, alpha0=0.2)}),
        ("smk", {"smk": replace(cell_line("HSG").smk, z0=70.0)}),
        ("smkm_mc", {"smk": replace(cell_line("HSG").smk, z0=70.0)}),
        ("lem1", {"lem": replace(cell_line("chordoma").lem, D_t=20.0)}),
    ],
)
def test_the_key_holds_the_parameters_of_the_model(name, changed, mixed):
    line = replace(cell_line("HSG"), lem=cell_line("chordoma").lem)
    keys = [response_key(mixed(), one, BACKENDS[name], 0, 0.01) for one in (line, replace(line, **changed))]
    assert keys[0] != keys[1]
    elsewhere = replace(line, gsm2=replace(line.gsm2, a=9.0))  # not of this model
    assert response_key(mixed(), elsewhere, BACKENDS[name], 0, 0.01) == keys[0]
