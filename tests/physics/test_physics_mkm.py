import numpy as np
import numpy.typing as npt
import pytest
from numpy.polynomial.legendre import leggauss

from surrogate3d.physics import mkm
from surrogate3d.physics.cell_line import cell_line
from surrogate3d.physics.linear_quadratic import D10, RBE10
from surrogate3d.physics.microdosimetry import site_moments
from surrogate3d.physics.stopping_power import stopping_power

HSG = cell_line("HSG")


def test_saturation_parameters_follow_from_the_published_radii() -> None:
    assert mkm.saturation_z0(0.32, 3.9, 0.0615) == pytest.approx(48.98, abs=0.005)  # HSG, 2010
    assert mkm.saturation_z0(0.29, 3.9, 0.0593) == pytest.approx(55.0, abs=0.1)  # HSG, 2018
    assert mkm.saturation_z0(0.24, 3.6, 0.0200) == pytest.approx(105.8, abs=0.05)  # V79, 2018
    assert HSG.mkm is not None
    assert HSG.mkm.z0 == pytest.approx(48.98, abs=0.005)


def carbon_2010(LET: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """D10 and RBE10 of carbon in the classic MKM for HSG at given LET above the stopping-power maximum, keV/um."""
    assert HSG.mkm is not None
    energies = np.geomspace(0.5, 500, 2000)
    energy_mev_u = np.exp(np.interp(-LET, -stopping_power(6, energies), np.log(energies)))
    moments = site_moments(HSG.mkm.r_d, 6, energy_mev_u, z0=HSG.mkm.z0)
    alpha, beta = mkm.mkm(moments.z_star, HSG.mkm)
    return D10(alpha, beta), RBE10(alpha, beta, HSG.alpha_x, HSG.beta_x)


def test_minimum_D10_of_carbon_is_the_published_one() -> None:
    # Inaniwa et al. 2010, HSG: 1.228 Gy at 144 keV/um
    LET = np.array([80, 100, 120, 132, 144, 156, 170, 190, 220.0])
    D10_carbon, _ = carbon_2010(LET)
    assert D10_carbon.min() == pytest.approx(1.228, rel=0.003)
    assert LET[D10_carbon.argmin()] == pytest.approx(144, abs=13)


def test_RBE10_of_carbon_is_the_published_one() -> None:
    # Inaniwa et al. 2010, HSG, digitised to two decimals
    LET = np.array([17, 30, 44, 64, 93, 144, 224, 369, 828.0])
    published = [1.19, 1.50, 1.90, 2.44, 3.02, 3.32, 2.81, 2.00, 1.30]
    np.testing.assert_allclose(carbon_2010(LET)[1], published, rtol=0.012)


def test_tables_of_ions_mix_linearly() -> None:
    # classic MKM: alpha of a mixed field is alpha of the dose-weighted z*
    assert HSG.mkm is not None
    nodes, weights = leggauss(5)
    fractions = weights / weights.sum()
    z_star = 20 + 10 * nodes
    alpha, _ = mkm.mkm(z_star, HSG.mkm)
    mixed, beta = mkm.mkm(fractions @ z_star, HSG.mkm)
    assert mixed == pytest.approx(fractions @ alpha)
    assert beta == HSG.mkm.beta0
