from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad

from surrogate3d.errors import ConfigError, ValueRangeError
from surrogate3d.physics import lem
from surrogate3d.physics.cell_line import cell_line
from surrogate3d.physics.constants import K_GY
from surrogate3d.physics.linear_quadratic import RBE10
from surrogate3d.physics.stopping_power import stopping_power

CHORDOMA = cell_line("chordoma").lem
assert CHORDOMA is not None


def profile(r: float, LET: float, energy_mev_u: float) -> float:
    """Radial dose by the book, Gy."""
    end = max(0.05 * energy_mev_u**1.7, 0.01)
    core = K_GY * LET / (np.pi * 0.01**2 * (1 + 2 * np.log(end / 0.01)))
    return 0.0 if r > end else core * min(1.0, 0.01 / r) ** 2


def events_by_quadrature(LET: float, energy_mev_u: float, p: lem.LemParameters) -> float:
    """The slow twin: the photon response integrated over the nucleus."""

    def response(r: float) -> float:
        D = profile(r, LET, energy_mev_u)
        low = p.alpha_x * min(D, p.D_t) + p.beta_x * min(D, p.D_t) ** 2
        return (low + (p.alpha_x + 2 * p.beta_x * p.D_t) * max(D - p.D_t, 0.0)) * 2 * np.pi * r

    core = profile(0.005, LET, energy_mev_u)
    end = min(max(0.05 * energy_mev_u**1.7, 0.01), p.r_n)
    steps = np.unique(np.clip([0.0, 0.01, 0.01 * np.sqrt(core / p.D_t), end], 0.0, end))
    parts = [quad(response, a, b, epsabs=0, epsrel=1e-11)[0] for a, b in pairwise(steps)]
    return sum(parts) / (np.pi * p.r_n**2)


@pytest.mark.parametrize("D_t", [0.01, 30.0, 1e9])
@pytest.mark.parametrize(("Z", "energy"), [(6, 0.1), (6, 3.0), (6, 270.0), (1, 1.0), (1, 200.0), (8, 14.0)])
def test_lethal_events_of_a_track_agree_with_quadrature(Z: int, energy: float, D_t: float) -> None:
    parameters = lem.LemParameters(0.1, 0.05, D_t, 5.0, "test")
    LET = float(stopping_power(Z, energy))
    found = lem.lethal_events_per_track(LET, energy, parameters)
    assert found == pytest.approx(events_by_quadrature(LET, energy, parameters), rel=1e-9)


def test_the_track_carries_its_LET() -> None:
    for energy in (0.05, 1.0, 300.0):
        end = float(lem.penumbra_radius_um(energy))
        core = float(lem.core_dose(20.0, energy))
        energy_in = core * np.pi * lem.R_MIN_UM**2 * (1 + 2 * np.log(end / lem.R_MIN_UM))
        assert energy_in == pytest.approx(K_GY * 20.0, rel=1e-12)


def test_photon_response_goes_on_straight_above_the_threshold() -> None:
    D = np.array([0.0, 10.0, 30.0, 40.0])
    np.testing.assert_allclose(lem.lethal_events(D, CHORDOMA), [0.0, 6.0, 48.0, 48.0 + 10 * 3.1], rtol=1e-14)
    assert pytest.approx(3.1) == CHORDOMA.s_max


def test_a_linear_photon_response_gives_back_its_alpha() -> None:
    # beta_x = 0: every dose acts alike; alpha_z is alpha_x times the share of the track inside the nucleus, here all
    parameters = lem.LemParameters(0.3, 0.0, 30.0, 5.0, "test")
    alpha, beta = lem.lem1(6, 5.0, parameters)  # R_p = 0.8 um
    N_1 = 0.3 * K_GY * float(stopping_power(6, 5.0)) / (np.pi * 25.0)
    assert alpha == pytest.approx(0.3 * -np.expm1(-N_1) / N_1, rel=1e-12)
    assert beta == pytest.approx(0.0, abs=1e-15)


def test_RBE10_of_carbon_regression() -> None:
    # Numbers of a prototype of the same formulae, not of a publication: they show that nothing changed, no more.
    energies = np.geomspace(0.5, 1000, 4000)
    LET = np.array([13.5, 26, 45, 94, 164, 390])
    energy = np.exp(np.interp(-LET, -stopping_power(6, energies), np.log(energies)))
    alpha, beta = lem.lem1(6, energy, CHORDOMA)
    np.testing.assert_allclose(RBE10(alpha, beta, 0.1, 0.05), [1.62, 2.01, 2.40, 3.01, 3.37, 2.88], atol=0.011)
    assert (beta >= 0).all()


def test_low_LET_comes_out_below_the_photon_alpha() -> None:
    # only the dose inside the nucleus counts: the known limit of the rapid form
    alpha, _ = lem.lem1(1, np.array([250.0, 400.0]), CHORDOMA)
    assert (alpha < 0.1).all()
    assert (alpha > 0.08).all()


@pytest.mark.parametrize(("D_t", "r_n"), [(0.0, 5.0), (30.0, 0.01)])
def test_impossible_parameters_are_refused(D_t: float, r_n: float) -> None:
    with pytest.raises(ValueRangeError, match="D_t"):
        lem.LemParameters(0.1, 0.05, D_t, r_n, "test")


def test_a_cell_line_file_states_lem_parameters_completely(tmp_path) -> None:  # type: ignore[no-untyped-def]
    text = (
        'name = "mine"\nspecies = "human"\ntissue = "x"\nalpha_x = 0.2\nbeta_x = 0.04\nsource = "y"\n[gsm2]\n'
        'r_d = 0.8\nR_n = 4.8\nr = 2\ngenome_gbp = 6.2\nsource = "z"\n'
        "[lem]\nalpha_x = 0.2\nbeta_x = 0.04\nD_t = 20\nr_n = 5\n"
    )
    path = tmp_path / "mine.toml"
    path.write_text(text + 'source = "w"\n')
    assert cell_line(path).lem == lem.LemParameters(0.2, 0.04, 20.0, 5.0, "w")
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"\[lem\]: missing key 'source'"):
        cell_line(path)
