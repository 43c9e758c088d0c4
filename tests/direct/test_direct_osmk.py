from dataclasses import replace
from importlib.resources import files

import numpy as np
import pytest

from surrogate3d.direct.conditions import Conditions
from surrogate3d.direct.osmk import Osmk
from surrogate3d.errors import ConfigError, UnsupportedError
from surrogate3d.physics import smk
from surrogate3d.physics.cell_line import cell_line
from surrogate3d.physics.mkm import MkmParameters
from surrogate3d.physics.oxygen import OSMK_2021
from surrogate3d.physics.stopping_power import stopping_power

# Inaniwa et al. 2021, HSG, carbon ions, digitised curves: LET in keV/um, pO2 in mmHg, (dose in Gy, survival)
CURVES = [
    (137.0, 160.0, [(1.114, 0.1118), (1.341, 0.07009), (1.629, 0.03883), (1.856, 0.02481), (2.124, 0.01374)]),
    (22.5, 0.0, [(3.108, 0.5633), (4.620, 0.3954), (6.215, 0.2697), (7.769, 0.1788), (9.344, 0.1141)]),
]


def carbon(mono, LET):
    energies = np.geomspace(3.0, 300.0, 2000)
    return mono(6, float(np.interp(-LET, -stopping_power(6, energies), energies)))


@pytest.mark.parametrize(("LET", "pO2", "points"), CURVES)
def test_published_survival_curves(LET, pO2, points, mono):
    doses, survival = zip(*points, strict=True)
    task = replace(carbon(mono, LET), conditions=Conditions(pO2))
    (found,) = Osmk(doses=doses).simulate([task])
    np.testing.assert_allclose(found.effect, -np.log(survival), rtol=0.01, atol=0.02)
    assert found.backend == "osmk/1 (oxygen)"


def test_at_infinite_oxygen_it_is_the_smk_with_its_own_set(mono):
    own = cell_line("HSG").osmk
    as_smk = MkmParameters(own.alpha_L + own.alpha_S, own.beta0, own.r_d, own.R_n, own.z0, own.source)
    (found,) = Osmk().simulate([replace(mono(6, 100.0), conditions=Conditions(float("inf")))])
    expected = smk.survival(np.array(found.doses), *smk.moments(6, 100.0, as_smk), as_smk)
    np.testing.assert_allclose(found.survival, expected, rtol=1e-6)


def test_without_a_pressure_the_cells_have_that_of_air(mixed):
    (plain,) = Osmk().simulate([mixed(0.5)])
    (air,) = Osmk().simulate([replace(mixed(0.5), conditions=Conditions(160.0))])
    assert plain.effect == air.effect


def test_hypoxic_cells_survive_more_and_less_so_at_high_LET(mono):
    ratios = []
    for LET in (15.0, 60.0):
        oxic, anoxic = (
            Osmk().simulate([replace(carbon(mono, LET), conditions=Conditions(p))])[0] for p in (160.0, 0.0)
        )
        ratios.append(anoxic.D10 / oxic.D10)
    assert ratios[0] > ratios[1] > 1.0


def test_a_series_too_short_is_flagged_as_for_smk(mono):
    (found,) = Osmk().simulate([carbon(mono, 137.0)])
    assert "nuclear correction of the OSMK" in found.outside
    (found,) = Osmk().simulate([carbon(mono, 22.5)])
    assert found.outside == ""


def test_shipped_sets_are_the_published_ones():
    for name in ("HSG", "V79"):
        assert cell_line(name).osmk == OSMK_2021[name]
    with pytest.raises(UnsupportedError, match=r"chordoma has no \[osmk\] parameters"):
        Osmk().parameters(cell_line("chordoma"))


def test_a_set_of_the_users_own_is_read_and_its_mistakes_named(tmp_path):
    shipped = files("surrogate3d.physics").joinpath("data", "cell_lines", "HSG.toml").read_text(encoding="utf-8")
    own = tmp_path / "own.toml"
    own.write_text(shipped.replace("K_mmHg = 3.0", "K_mmHg = 2.5"), encoding="utf-8")
    assert cell_line(own).osmk == replace(OSMK_2021["HSG"], K_mmHg=2.5)
    own.write_text(shipped.replace("z_R =", "z_r ="), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"\[osmk\]: unknown key 'z_r', the nearest known key is 'z_R'"):
        cell_line(own)
