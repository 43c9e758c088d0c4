import numpy as np
import pytest

from surrogate3d.direct.lookup import N_RINGS, track_table
from surrogate3d.direct.smkm_mc import SmkMonteCarlo
from surrogate3d.errors import ValueRangeError
from surrogate3d.grid import SpectrumAxes
from surrogate3d.physics.constants import K_GY
from surrogate3d.physics.gsm2 import lesion_yield
from surrogate3d.physics.let import bin_LET
from surrogate3d.physics.track import penumbra_radius_um, specific_energy

AXES = SpectrumAxes.logarithmic(("H", "He", "C"), n_bins=24)
R_D, B_NEAR = 0.9, 1.0


@pytest.fixture(scope="module")
def table():
    return track_table(AXES, R_D, B_NEAR)


def near(table):
    return (table.z.sum(axis=1, dtype=float) * table.ring_area).reshape(table.far.shape)


def test_near_and_far_together_are_the_LET(table):
    assert near(table) + table.far == pytest.approx(K_GY * bin_LET(AXES), rel=1e-6)


def test_near_part_is_the_integral_of_the_specific_energy_within_reach(table):
    for s, n in [(0, 14), (0, 20), (1, 16), (2, 13), (2, 22)]:
        energy = float(AXES.energy_mev_u[s, n])
        b = np.linspace(0.0, R_D + B_NEAR, 200_001)
        z = specific_energy(b, R_D, int(AXES.Z[s]), energy)
        assert near(table)[s, n] == pytest.approx(np.trapezoid(z * 2 * np.pi * b, b), rel=2e-5)


def test_nothing_is_far_where_the_penumbra_ends_within_reach(table):
    short = penumbra_radius_um(AXES.energy_mev_u) <= B_NEAR
    assert short.any()
    assert (table.far[short] == 0).all()
    assert (table.far[~short] >= 0).all()


def test_rings_hold_the_specific_energy_at_their_impact_parameter(table):
    b = (R_D + B_NEAR) * np.sqrt((np.arange(N_RINGS) + 0.5) / N_RINGS)
    away_from_rim = np.abs(b - R_D) > 0.02
    z = specific_energy(b, R_D, 6, float(AXES.energy_mev_u[2, 15]))
    row = table.z[2 * AXES.n_bins + 15]
    assert row[away_from_rim] == pytest.approx(z[away_from_rim], rel=1e-3)


def test_yields_are_those_of_the_representative_ions(table):
    assert table.yields == pytest.approx(lesion_yield(AXES.Z[:, None], bin_LET(AXES)))


def test_table_is_built_once(table):
    same = SpectrumAxes(AXES.species, AXES.edges_mev_u.copy())
    assert track_table(same, R_D, B_NEAR) is table
    assert track_table(same, R_D, 1.5) is not table


@pytest.mark.parametrize("b_near", [20.0, -0.1, float("nan")])
def test_a_reach_too_far_for_the_rings_is_refused(b_near, mono):
    # 2,048 rings up to 20 um leave less than one in the area of a domain of 0.28 um: survival would double
    with pytest.raises(ValueRangeError, match=r"up to 1\.96 um beyond a domain of 0\.28 um, found b_near"):
        SmkMonteCarlo(b_near=b_near, max_nuclei=256).simulate([mono(6, 12.0)], 1, 1.0)


def test_the_largest_reach_that_is_allowed_conserves_energy():
    most = R_D * ((2048 / 32) ** 0.5 - 1)  # LEAST_RINGS in the area of the domain
    table = track_table(AXES, R_D, most * (1 - 1e-9))
    assert near(table) + table.far == pytest.approx(K_GY * bin_LET(AXES), rel=1e-6)
    with pytest.raises(ValueRangeError, match="b_near"):
        track_table(AXES, R_D, most * (1 + 1e-9))
