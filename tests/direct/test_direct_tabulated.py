import json
from dataclasses import replace

import numpy as np
import pytest

from surrogate3d.direct.campaign import conduct
from surrogate3d.direct.conditions import Conditions
from surrogate3d.direct.ledger import Ledger, response_key
from surrogate3d.direct.simulator import BACKENDS
from surrogate3d.direct.tabulated import on_axes, tabulated
from surrogate3d.direct.task import VoxelTask
from surrogate3d.errors import FormatError, StoreError, UnsupportedError, ValueRangeError
from surrogate3d.grid import SpectrumAxes
from surrogate3d.physics.cell_line import cell_line
from surrogate3d.physics.linear_quadratic import lea_catcheside
from surrogate3d.physics.mixing import mono_table

HEADER = "ion,energy_mev_u,alpha,beta\n"
CSV = HEADER + "H,1,0.9,0.04\nH,100,0.3,0.09\nC,1,1.5,0.01\nC,100,0.7,0.04\n"


@pytest.fixture
def table(tmp_path):
    def make(text=CSV, name="mine.csv"):
        (tmp_path / name).write_text(text)
        return tabulated(tmp_path / name)

    return make


def hsg_csv():
    """The shipped mono-energetic table of HSG as a user would write it."""
    mono = mono_table("HSG")
    rows = [
        f"{symbol},{energy!r},{alpha!r},{beta!r}"
        for s, symbol in enumerate(mono.species)
        for energy, alpha, beta in zip(
            *(column[s].tolist() for column in (mono.energy_mev_u, mono.alpha, mono.beta)), strict=True
        )
    ]
    return HEADER + "\n".join(rows) + "\n"


def test_a_node_of_the_table_is_answered_exactly(table, mono):
    (found,) = table().simulate([mono(6, 100.0 / 1.00005)])  # just inside
    assert found.alpha == pytest.approx(0.7, rel=1e-4)
    assert found.beta == pytest.approx(0.04, rel=1e-3)
    assert (found.backend, found.outside, found.alpha_se) == ("table:mine/1", "", 0.0)


def test_interpolation_is_linear_in_log_energy(table, mono):
    (found,) = table().simulate([mono(1, 10.0)])  # half way between 1 and 100
    assert found.alpha == pytest.approx(0.6)
    assert found.beta == pytest.approx(0.065)


def test_mixing_is_that_of_zaider_and_rossi(table, mono):
    # equal dose of H and C at 10 MeV/u: alpha 0.6 and 1.1, sqrt beta sqrt(0.065) and sqrt(0.025)
    edges = 10.0 * np.array([[1 / 1.0001, 1.0001]] * 2)
    axes = SpectrumAxes(("H", "C"), edges)
    shares = [mono(Z, 10.0).spectrum_dose for Z in (1, 6)]
    task = VoxelTask(np.array([[1 / shares[0]], [1 / shares[1]]]), axes, 1.0, ("HSG",))
    (found,) = table().simulate([task])
    assert found.alpha == pytest.approx(0.85, rel=1e-6)
    assert found.beta == pytest.approx((0.5 * np.sqrt(0.065) + 0.5 * np.sqrt(0.025)) ** 2, rel=1e-6)


def test_the_shipped_table_as_csv_and_as_json_answers_like_zr_table(table, mixed, tmp_path):
    task = mixed(0.5)
    (expected,) = BACKENDS["zr_table"].simulate([task])
    for backend in (table(hsg_csv()), table(json.dumps(mono_table("HSG").to_json()), "hsg.json")):
        (found,) = backend.simulate([task])
        np.testing.assert_allclose(found.survival, expected.survival, rtol=1e-12)


def test_a_topas_table_is_interpolated_as_topas_does(tmp_path):
    # TsModelAlpha_Tabulated::InterpolateAlpha: linear in energy per nucleon, from 0 on
    (tmp_path / "cells.txt").write_text(
        'sv:Sc/A/M/ParticleName = 1 "Proton"\niv:Sc/A/M/ParticleZ = 1 1\n'
        "dv:Sc/A/M/KineticEnergyPerNucleon = 3 0 1 5 MeV\n"
        "dv:Sc/A/M/Proton/Alpha = 3 0.9 0.8 0.4 /Gy\ndv:Sc/A/M/Proton/Beta = 3 0.02 0.04 0.04 /Gy2\n"
    )
    axes = SpectrumAxes(("H",), np.array([[0.3, 0.7, 2.8, 3.2, 6.0]]))
    alpha, beta, covered = on_axes(tabulated(tmp_path / "cells.txt").table, axes)
    energy = axes.energy_mev_u[0]
    assert covered.tolist() == [[True, True, True, True]]
    np.testing.assert_allclose(alpha[0, 0], 0.9 - 0.1 * energy[0])
    np.testing.assert_allclose(alpha[0, 2], 0.8 - 0.1 * (energy[2] - 1))
    np.testing.assert_allclose(beta[0, 0], 0.02 + 0.02 * energy[0])
    assert tabulated(f"{tmp_path / 'cells.txt'}#M").name == "table:cells#M"


def test_nothing_is_extrapolated(table, mono):
    axes = SpectrumAxes(("H", "He"), np.array([[0.5, 0.9, 1.1, 2.0], [0.5, 0.9, 1.1, 2.0]]))
    alpha, beta, covered = on_axes(table().table, axes)
    assert covered.tolist() == [[False, False, True], [False, False, False]]
    assert not alpha[~covered].any()
    assert not beta[~covered].any()


def test_a_voxel_with_six_per_cent_of_other_ions_is_flagged_and_answered(table, mono):
    edges = 10.0 * np.array([[1 / 1.0001, 1.0001]] * 2)
    doses = [mono(Z, 10.0).spectrum_dose for Z in (1, 2)]
    for share, flagged in ((0.06, True), (0.04, False)):
        fluence = np.array([[(1 - share) / doses[0]], [share / doses[1]]])
        task = VoxelTask(fluence, SpectrumAxes(("H", "He"), edges), 1.0, ("HSG",))
        (found,) = table().simulate([task])
        assert found.alpha == pytest.approx(0.6)  # as if all were like the rest
        assert bool(found.outside) is flagged
    assert table().outside(replace(task, fluence=fluence[::-1]), cell_line("HSG")) != ""


def test_a_voxel_with_less_than_half_of_its_dose_in_the_table_has_no_answer(table, mono):
    edges = 10.0 * np.array([[1 / 1.0001, 1.0001]] * 2)
    doses = [mono(Z, 10.0).spectrum_dose for Z in (1, 2)]

    def task(share):
        fluence = np.array([[(1 - share) / doses[0]], [share / doses[1]]])
        return VoxelTask(fluence, SpectrumAxes(("H", "He"), edges), 1.0, ("HSG",), voxel=(1, 2, 3))

    (found,) = table().simulate([task(0.49)])
    assert found.outside
    with pytest.raises(
        UnsupportedError, match=r"voxel \(1, 2, 3\).*only 49 % of the dose is of ions and energies of the table"
    ):
        table().simulate([task(0.51)])


def test_a_voxel_without_any_dose_in_the_table_fails_alone_with_its_index(table, mono, tmp_path):
    helium, proton = replace(mono(2, 10.0), voxel=(4, 5, 6)), replace(mono(1, 10.0), voxel=(1, 2, 3))
    done = conduct([helium, proton], table(), Ledger(tmp_path / "ledger"), seed=0)
    assert [found.voxel for found in done.responses] == [(1, 2, 3)]
    (failure,) = done.failures
    assert failure.voxel == (4, 5, 6)
    assert "only 0 % of the dose is of ions and energies of the table mine" in failure.reason
    assert "H 1-100, C 1-100 MeV/u" in failure.reason


def test_another_photon_reference_or_cell_line_is_refused(table, mono):
    table("# alpha_x = 0.313\n# beta_x = 0.0615\n# cell_line = HSG\n" + CSV).simulate([mono(1, 10.0)])
    with pytest.raises(
        UnsupportedError, match=r"table:mine belongs to photons of alpha_x = 0\.3, but cell line HSG has 0\.313"
    ):
        table("# alpha_x = 0.3\n" + CSV).simulate([mono(1, 10.0)])
    with pytest.raises(UnsupportedError, match=r"beta_x = 0\.06"):
        table("# beta_x = 0.06\n" + CSV).simulate([mono(1, 10.0)])
    with pytest.raises(UnsupportedError, match="is for cell line HSG, not for V79"):
        table("# cell_line = HSG\n" + CSV).simulate([mono(1, 10.0, lines=("V79",))])


def test_the_table_decides_the_key_and_its_name_does_not(table, mono):
    task, line = mono(1, 10.0), cell_line("HSG")

    def key(backend):
        return response_key(task, line, backend, 0, 0.01)

    assert key(table()) == key(table(name="copy.csv"))
    assert key(table()) != key(table(CSV.replace("0.9,", "0.8,")))


def test_it_can_be_sent_to_workers(table, mono):
    backend = table()
    wire = pytest.importorskip("distributed.protocol", reason="Dask distributed is not installed (the extra `cluster`)")
    again = wire.deserialize(*wire.serialize(backend))
    assert again.simulate([mono(1, 10.0)]) == backend.simulate([mono(1, 10.0)])
    assert again.settings() == backend.settings()


def test_delivery_in_time_acts_on_beta_by_lea_and_catcheside(table, mono):
    line, hours = cell_line("HSG"), 2.0
    task = replace(mono(1, 10.0), conditions=Conditions(None, (0.0,), (hours,), (1.0,)))
    (found,) = table().simulate([task])
    G = lea_catcheside(line.gsm2.r + line.gsm2.a, hours)
    np.testing.assert_allclose(found.effect, 0.6 * np.array(found.doses) + G * 0.065 * np.square(found.doses))


def test_oxygen_is_refused(table, mono):
    with pytest.raises(UnsupportedError, match="table:mine does not know of oxygen"):
        table().simulate([replace(mono(1, 10.0), conditions=Conditions(5.0))])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not JSON"),
        ("[]", "expected a JSON object"),
        ("{}", "schema"),
        (json.dumps(mono_table("HSG").to_json()).replace('"He"', '"Xx"'), "species must be among"),
    ],
)
def test_a_json_that_is_no_table_is_refused(table, text, words):
    with pytest.raises(FormatError, match=words):
        table(text, "mine.json")


def test_a_json_of_total_energies_or_alpha_per_cgy_is_refused(table):
    for column, factor, words in (
        ("energy_mev_u", 12.0, "mine.json: .*, node .*: expected MeV per nucleon"),
        ("alpha", 100.0, "expected alpha"),
    ):
        data = mono_table("HSG")
        wrong = replace(data, **{column: factor * getattr(data, column)})
        with pytest.raises(ValueRangeError, match=words):
            table(json.dumps(wrong.to_json()), "mine.json")


def test_a_file_that_is_not_there_is_refused(tmp_path):
    for name in ("a.csv", "a.json", "a.txt", "a.txt#M"):
        with pytest.raises(StoreError, match="no file at"):
            tabulated(tmp_path / name)
