from pathlib import Path

import numpy as np
import pytest
from scipy.special import hyp0f1

from surrogate3d.errors import ConfigError, UnknownNameError, ValueRangeError
from surrogate3d.physics import gsm2
from surrogate3d.physics.cell_line import cell_line, cell_lines

PHOTON_PAIRS = {"HSG": (0.313, 0.0615), "V79": (0.184, 0.020), "chordoma": (0.1, 0.05)}


def gillespie_survival(x0: int, p: gsm2.Gsm2Parameters, runs: int, rng: np.random.Generator) -> float:
    """Stochastic simulation of the reactions X -> 0, X -> Y, X + X -> Y; a run survives when no Y appears."""
    x = np.full(runs, x0)
    alive = np.ones(runs, dtype=bool)
    while (active := alive & (x > 0)).any():
        n = x[active].astype(float)
        rates = np.stack([p.r * n, p.a * n, p.b * n * (n - 1)])
        event = (rng.random(n.size) * rates.sum(axis=0) > np.cumsum(rates, axis=0)).sum(axis=0)
        x[active] -= np.where(event == 2, 2, 1)
        alive[np.flatnonzero(active)[event > 0]] = False
    return float(alive.mean())


def test_calibration_of_hsg_gives_the_published_rates() -> None:
    p = gsm2.calibrate(0.313, 0.0615)
    assert p.N == 125
    assert round(p.a, 7) == 0.0161641
    assert round(p.b, 7) == 0.0222420


@pytest.mark.parametrize("pair", PHOTON_PAIRS.values(), ids=PHOTON_PAIRS)
@pytest.mark.parametrize("genome_gbp", [6.2, 9.0])
def test_photon_round_trip(pair: tuple[float, float], genome_gbp: float) -> None:
    alpha_x, beta_x = pair
    p = gsm2.calibrate(alpha_x, beta_x, G=genome_gbp, lambda_ratio=0.0)
    tiny = 1e-4
    assert gsm2.photon_effect(tiny, p) / tiny == pytest.approx(alpha_x, rel=1e-3)
    curvature = (gsm2.photon_effect(2e-1, p) / 2e-1 - gsm2.photon_effect(1e-1, p) / 1e-1) / 1e-1
    assert curvature == pytest.approx(beta_x, rel=0.01)
    dose = np.array([1, 2, 4.0])
    np.testing.assert_allclose(gsm2.photon_effect(dose, p), alpha_x * dose + beta_x * dose**2, rtol=0.01)


def test_direct_lethal_lesions_are_part_of_alpha_x() -> None:
    p = gsm2.calibrate(0.313, 0.0615)
    assert p.kappa_x == pytest.approx(6.8 * 6.2)
    assert p.kappa_x * p.a / (p.a + p.r) + p.lambda_ratio * p.kappa_x == pytest.approx(0.313, rel=1e-12)


@pytest.mark.parametrize(("alpha_x", "beta_x"), [(0.03, 0.05), (0.3, 50.0), (50.0, 0.1)])
def test_impossible_photon_pairs_are_refused(alpha_x: float, beta_x: float) -> None:
    with pytest.raises(ValueRangeError, match="change r_d"):
        gsm2.calibrate(alpha_x, beta_x)


@pytest.mark.parametrize("x", [1, 2, 5, 10, 20])
def test_domain_survival_is_that_of_the_stochastic_simulation(x: int) -> None:
    p = gsm2.calibrate(0.313, 0.0615)
    runs = 40_000
    C = float(gsm2.domain_survival(x, p))
    simulated = gillespie_survival(x, p, runs, np.random.default_rng(100 + x))
    assert abs(simulated - C) < 4 * np.sqrt(C * (1 - C) / runs)


@pytest.mark.parametrize("pair", PHOTON_PAIRS.values(), ids=PHOTON_PAIRS)
def test_log_response_is_the_hypergeometric_function(pair: tuple[float, float]) -> None:
    p = gsm2.calibrate(*pair)
    m = np.array([0.0, 1e-6, 0.01, 0.3, 1, 3, 10, 30, 100.0])
    expected = -m + np.log(hyp0f1((p.a + p.r) / p.b, m * p.r / p.b))
    np.testing.assert_allclose(gsm2.log_response(m, p), expected, rtol=1e-7, atol=1e-12)


def test_log_response_without_pair_interaction_is_poisson_thinning() -> None:
    p = gsm2.calibrate(0.313, 0.0)
    assert p.b == 0.0
    m = np.array([0.1, 2, 50, 400.0])
    np.testing.assert_allclose(gsm2.log_response(m, p), -m * p.a / (p.a + p.r), rtol=1e-9)


def test_log_response_keeps_shape_and_order_and_refuses_what_is_not_a_number_of_lesions() -> None:
    p = gsm2.calibrate(0.313, 0.0615)
    m = np.random.default_rng(4).uniform(0, 30, (30, 50))
    table = gsm2.log_response(m, p)
    assert table.shape == (30, 50)
    assert table[7, 8] == pytest.approx(float(gsm2.log_response(m[7, 8], p)), rel=1e-12)
    assert gsm2.log_response(np.zeros(0), p).shape == (0,)
    for bad in (-1.0, np.nan, np.inf):
        with pytest.raises(ValueRangeError):
            gsm2.log_response(bad, p)


def test_response_table_interpolates_to_1e_5() -> None:
    p = gsm2.calibrate(0.313, 0.0615)
    sqrt_m, log_G = gsm2.response_table(p)
    m = np.random.default_rng(5).uniform(0, 20, 500) ** 2
    assert sqrt_m[-1] == 20.0
    assert np.abs(np.interp(np.sqrt(m), sqrt_m, log_G) - gsm2.log_response(m, p)).max() < 1e-5


@pytest.mark.parametrize(
    ("Z", "LET", "expected"),  # the column "Y DSBsite" of the reference table, HSG, four digits
    [
        (1, 0.725, 6.948),
        (1, 4.535, 7.616),
        (1, 15.776, 9.406),
        (2, 18.138, 9.274),
        (2, 63.103, 13.755),
        (6, 13.394, 8.561),
        (6, 26.087, 9.831),
        (6, 67.076, 12.573),
        (6, 162.259, 14.698),
        (6, 385.194, 13.730),
    ],
)
def test_lesion_yields_of_the_reference_table(Z: int, LET: float, expected: float) -> None:
    assert gsm2.lesion_yield(Z, LET) == pytest.approx(expected, abs=6e-4)


def test_kappa_is_the_yield_of_the_genome() -> None:
    # 6.948 DSB sites per Gy per Gbp, table above, times 6.2 Gbp
    assert gsm2.kappa(gsm2.calibrate(0.313, 0.0615), 1, 0.725) == pytest.approx(6.948 * 6.2, rel=1e-4)


def test_lesion_yield_between_elements_is_linear_in_Z() -> None:
    LET = np.array([1, 30, 200.0])
    for kind in ("DSB_site", "DSB", "complex_DSB"):
        He, Be, C = gsm2.lesion_yield(np.array([[2], [4], [6]]), LET, kind)
        np.testing.assert_allclose(Be, (He + C) / 2, rtol=1e-12)
    He, B, C = gsm2.lesion_yield(np.array([[2], [5], [6]]), LET)
    np.testing.assert_allclose(B, 0.25 * He + 0.75 * C, rtol=1e-12)


def test_lesion_sites_of_fluorine_and_neon_are_those_of_oxygen_as_near_as_oxygen_is_to_carbon() -> None:
    LET = np.geomspace(5.0, 1400.0, 30)
    C, O, F, Ne = gsm2.lesion_yield(np.array([[6], [8], [9], [10]]), LET)  # noqa: E741
    np.testing.assert_array_equal(F, O)
    np.testing.assert_array_equal(Ne, O)
    assert np.abs(O / C - 1).max() < 0.02  # the stated error of taking one for the other


def test_lesion_yield_refuses_what_was_not_fitted() -> None:
    with pytest.raises(ValueRangeError, match="Z 1 to 10"):
        gsm2.lesion_yield(11, 5.0)
    with pytest.raises(ValueRangeError, match="Z 1 to 6"):
        gsm2.lesion_yield(10, 5.0, "complex_DSB")
    with pytest.raises(ValueRangeError):
        gsm2.lesion_yield(1, -1.0)
    with pytest.raises(UnknownNameError, match="DSB_site"):
        gsm2.lesion_yield(1, 5.0, "SSB")  # type: ignore[arg-type]  # the point of the test


def test_hsg_nucleus_has_25_axes_of_5_domains() -> None:
    assert gsm2.n_domains(0.9, 4.5) == (25, 5)
    assert gsm2.n_domains(4.5, 4.5) == (1, 1)


@pytest.mark.parametrize(("r_d", "R_n"), [(0.9, 4.5), (0.8, 7.2), (0.7, 4.0), (0.5, 5.0)])
def test_lattice_is_hexagonal_dense_and_inside(r_d: float, R_n: float) -> None:
    axes = gsm2.lattice(r_d, R_n)
    distance = np.hypot(*(axes[:, None] - axes[None]).transpose(2, 0, 1)) + 1e9 * np.eye(len(axes))
    assert abs(len(axes) - (R_n / r_d) ** 2) <= 0.5 + 1e-9
    np.testing.assert_allclose(distance.min(axis=1), 1.9046 * r_d, rtol=1e-4)
    assert np.hypot(*axes.T).max() <= R_n * (1 + 1e-9)


def test_lattice_refuses_domains_larger_than_the_nucleus() -> None:
    with pytest.raises(ValueRangeError):
        gsm2.lattice(5.0, 4.5)


def test_shipped_cell_lines_have_the_published_photon_pairs() -> None:
    assert cell_lines() == ("HSG", "V79", "chordoma")
    for name in cell_lines():
        line = cell_line(name)
        assert (line.name, (line.alpha_x, line.beta_x)) == (name, PHOTON_PAIRS[name])
        assert line.gsm2 == gsm2.calibrate(line.alpha_x, line.beta_x)
    assert cell_line("HSG").alpha_beta_x == pytest.approx(0.313 / 0.0615)


def test_unknown_cell_line_names_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match="HSG, V79, chordoma"):
        cell_line("HeLa")


GOOD = """
name = "mine"
species = "human"
tissue = "glioma"
alpha_x = 0.2
beta_x = 0.04
source = "this laboratory"

[gsm2]
r_d = 0.8
R_n = 4.8
r = 2
genome_gbp = 6.2
source = "calibrated"
"""


def test_a_users_file_is_loaded_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD)
    line = cell_line(path)
    assert line.gsm2 == gsm2.calibrate(0.2, 0.04, r_d=0.8, R_n=4.8, r=2.0)
    assert line.mkm is None
    assert line.smk is None
    assert line.lem is None


def test_a_file_without_gsm2_has_the_geometry_of_the_shipped_lines(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD.split("[gsm2]")[0])
    assert cell_line(path).gsm2 == gsm2.calibrate(0.2, 0.04, r_d=0.9, R_n=4.5, r=2.5)
    assert "geometry of the shipped lines" in cell_line(path).gsm2_source


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("alpha_x", "alfa_x", "unknown key 'alfa_x'.*'alpha_x'"),
        ("r_d", "r_D", "unknown key 'r_D'.*'r_d'"),
        ("beta_x = 0.04", "", "missing key 'beta_x'"),
        ("0.04", "-0.04", "not negative, found -0.04"),
        ("0.04", "true", "not negative, found True"),
        ('"glioma"', '""', "a text"),
        ("=", "", "not valid TOML"),
    ],
)
def test_cell_line_files_are_loaded_strictly(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(ConfigError, match=message):
        cell_line(path)
