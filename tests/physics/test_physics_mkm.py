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


@pytest.mark.parametrize(
    ("Z", "energy_mev_u", "MSTAR_LET", "z_star", "z_nD", "alpha"),
    [
        (1, 100, 0.725, 0.2643, 0.00043, 0.1890),
        (1, 10, 4.537, 2.1442, 0.00344, 0.2958),
        (2, 50, 4.950, 1.9302, 0.00319, 0.2836),
        (6, 270, None, 4.5147, 0.00727, 0.4304),
        (6, 50, 44.823, 16.563, 0.02890, 1.1148),
        (6, 12, None, 35.560, 0.10677, 2.1938),
    ],
)
def test_smk_of_hsg_2018(
    Z: int, energy_mev_u: float, MSTAR_LET: float | None, z_star: float, z_nD: float, alpha: float
) -> None:
    # The reference used MSTAR stopping powers; where theirs is not at hand, the compact fit is within 2 %.
    assert HSG.smk is not None
    rel = 0.02 if MSTAR_LET is None else 0.005
    domain = site_moments(HSG.smk.r_d, Z, energy_mev_u, z0=HSG.smk.z0, LET=MSTAR_LET)
    nucleus = site_moments(HSG.smk.R_n, Z, energy_mev_u, LET=MSTAR_LET)
    assert domain.z_star == pytest.approx(z_star, rel=rel)
    assert nucleus.z_D == pytest.approx(z_nD, rel=rel, abs=5e-6)
    assert mkm.smk(domain.z_star, domain.z_D, HSG.smk)[0] == pytest.approx(alpha, rel=rel)
    assert mkm.smk(z_star, z_star, HSG.smk)[0] == pytest.approx(alpha, abs=1e-4)


def test_smk_beta_and_initial_slope_of_carbon() -> None:
    # z*/z_D from the reference beta: C 12 MeV/u has beta 0.03079 and initial slope 1.940
    assert HSG.smk is not None
    z_star, z_nD = 35.560, 0.10677
    z_D = z_star * HSG.smk.beta0 / 0.03079
    assert mkm.smk(z_star, z_D, HSG.smk)[1] == pytest.approx(0.03079)
    slope = mkm.smk_initial_slope(z_star, z_D, z_nD, HSG.smk)
    assert slope == pytest.approx(1.940, abs=5e-4)
    tiny = 1e-6
    assert -np.log(mkm.smk_survival(tiny, z_star, z_D, z_nD, HSG.smk)) / tiny == pytest.approx(slope, rel=1e-4)
    # S(2 Gy) 0.0172 is the published behaviour of the truncated series for this ion
    assert mkm.smk_survival(2.0, z_star, z_D, z_nD, HSG.smk) == pytest.approx(0.0172, abs=1e-4)


def test_smk_without_nuclear_variance_is_linear_quadratic() -> None:
    assert HSG.smk is not None
    a, b = mkm.smk(10.0, 12.0, HSG.smk)
    assert mkm.smk_survival(2.0, 10.0, 12.0, 0.0, HSG.smk) == pytest.approx(np.exp(-2 * a - 4 * b))


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
