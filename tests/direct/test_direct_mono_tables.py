"""The shipped tables of monoenergetic alpha and beta (`scripts/make_mono_tables.py`)."""

import numpy as np
import pytest

from surrogate3d.direct.gsm2_mc import Gsm2MonteCarlo
from surrogate3d.physics.cell_line import cell_line
from surrogate3d.physics.let import bin_dose
from surrogate3d.physics.linear_quadratic import RBE_at_dose
from surrogate3d.physics.mixing import mix, mono_table

# species, MeV/u, S(2 Gy) and its SE: an independent prototype of the same model, HSG, 20 000 nuclei
PROTOTYPE = [
    ("H", 100, 0.4077, 0.0002),
    ("H", 10, 0.3543, 0.0006),
    ("H", 2, 0.2204, 0.0004),
    ("He", 10, 0.2301, 0.0005),
    ("He", 2, 0.0396, 0.0004),
    ("C", 270, 0.2867, 0.0004),
    ("C", 100, 0.2002, 0.0005),
    ("C", 30, 0.0696, 0.0005),
    ("C", 10, 0.0315, 0.0007),
    ("C", 3, 0.1354, 0.0024),
]


@pytest.mark.parametrize(("species", "energy", "S2", "S2_se"), PROTOTYPE)
def test_effect_of_2_gy_is_that_of_the_prototype(species, energy, S2, S2_se):
    table = mono_table("HSG")
    row = table.species.index(species)
    x = np.log(table.energy_mev_u[row])
    alpha, beta = (np.interp(np.log(energy), x, column[row]) for column in (table.alpha, table.beta))
    effect = -np.log(S2)
    assert 2 * alpha + 4 * beta == pytest.approx(effect, abs=3 * S2_se / S2 + 0.005 * effect)


@pytest.mark.parametrize("name", ["HSG", "V79"])
def test_tables_are_precise_and_physical(name):
    table, line = mono_table(name), cell_line(name)
    assert (table.alpha_se < 0.0035 * table.alpha).all()
    assert table.energy_mev_u.shape == (6, 64)
    assert (table.alpha > line.alpha_x).all()
    fastest = table.alpha[:, -1]
    assert (np.diff(fastest) > 0).all()  # at equal velocity LET grows with Z
    assert fastest[0] == pytest.approx(line.alpha_x, rel=0.03)
    for row in table.alpha[1:]:  # overkill: alpha rises, then falls towards low energy
        peak = int(row.argmax())
        assert 0 < peak < 63
        assert (np.diff(row[peak:]) < 0.01 * row[peak:-1]).all()


@pytest.mark.parametrize("softness", [-0.5, 0.3, 1.0])
def test_zaider_rossi_mixing_of_the_table_reproduces_the_mixed_field(softness, mixed):
    task, line = mixed(softness), cell_line("HSG")
    alpha, beta = mix(bin_dose(task.axes, task.fluence), *mono_table("HSG").at(task.axes))
    RBE = RBE_at_dose(2.0, 2 * alpha + 4 * beta, line.alpha_x, line.beta_x)
    (direct,) = Gsm2MonteCarlo().simulate([task], 1, 0.005)
    assert float(RBE) == pytest.approx(direct.RBE_ref, rel=0.02)
    assert float(alpha) == pytest.approx(direct.alpha, rel=0.02)
