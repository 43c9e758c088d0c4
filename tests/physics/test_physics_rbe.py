import io
import tarfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from surrogate3d.errors import UnsupportedError
from surrogate3d.physics import rbe
from surrogate3d.physics.linear_quadratic import RBE_at_dose, effect

OPENTOPAS_RUN = Path(__file__).parents[2].parent / "shared" / "data" / "topas" / "proton_rbe_v79.tar.xz"
AB_OPENTOPAS = 1.412  # AlphaBetaRatiox of the run's parameter file, Gy


@pytest.fixture(scope="module")
def opentopas() -> dict[str, npt.NDArray[np.float64]]:
    """(voxel,) values of the run's CSV files by scorer."""
    if not OPENTOPAS_RUN.is_file():
        pytest.skip("the shared OpenTOPAS run proton_rbe_v79 is not beside the repository")
    columns = {}
    with tarfile.open(OPENTOPAS_RUN) as archive:
        for member in archive:
            if member.name.endswith(".csv"):
                stream = archive.extractfile(member)
                assert stream is not None
                text = io.StringIO(stream.read().decode())
                name = Path(member.name).stem.removeprefix("p_sobp_").removesuffix("_RBE")
                columns[name] = np.loadtxt(text, delimiter=",", comments="#")[:, 3]
    return columns


@pytest.mark.parametrize("name", ["McNamara", "Wedenberg", "Carabe"])
def test_models_are_those_of_opentopas(opentopas: dict[str, npt.NDArray[np.float64]], name: str) -> None:
    # OpenTOPAS scales the largest voxel to the prescribed dose; LET in MeV/mm/(g/cm3) is keV/um
    dose = 2.0 * opentopas["DoseToWater"] / opentopas["DoseToWater"].max()
    LET_d = opentopas["ProtonLET"]
    # below, OpenTOPAS loses digits by cancellation in (sqrt(ab^2 + ...) - ab) / (2 D)
    scored = (opentopas[name] > 0) & (dose > 1e-9)
    assert scored.sum() > 10_000
    if name == "Carabe":  # OpenTOPAS has 0.834 where the paper has 0.843
        L_ab = LET_d / AB_OPENTOPAS
        ours = rbe.RBE_from_limits(dose, 0.834 + 0.413644 * L_ab, 1.09 + 0.01612 * L_ab, AB_OPENTOPAS)
    else:
        ours = rbe.PUBLISHED_MODELS[name.lower()](dose, LET_d, AB_OPENTOPAS, 1.0)
    np.testing.assert_allclose(ours[scored], opentopas[name][scored], rtol=1e-5)


def by_hand(D: float, ab: float, RBEmax: float, RBEmin: float) -> float:
    """The formula as it is printed in the papers."""
    return (np.sqrt(ab * ab + 4 * D * ab * RBEmax + 4 * D * D * RBEmin**2) - ab) / (2 * D)


@pytest.mark.parametrize(
    ("name", "RBEmax", "RBEmin"),  # at LET_d 5 keV/um and ab 2 Gy, worked out on paper
    [
        ("mcnamara", 0.99064 + 0.890125, 1.1012 - 0.027367),
        ("wedenberg", 2.085, 1.0),
        ("carabe", 0.843 + 1.03411, 1.09 + 0.0403),
        ("rorvik", 2.6125, 1.0),
        ("mairani", 1 + 0.636938 * 0.24328850 * 0.92682023, 1.0),
    ],
)
@pytest.mark.parametrize("dose", [0.1, 2.0, 8.0])
def test_models_against_values_by_hand(name: str, RBEmax: float, RBEmin: float, dose: float) -> None:
    ours = rbe.PUBLISHED_MODELS[name](dose, 5.0, 0.2, 0.1)
    assert ours == pytest.approx(by_hand(dose, 2.0, RBEmax, RBEmin), rel=2e-6)


def test_models_with_their_own_reference_against_values_by_hand() -> None:
    # LET_d 5: Wilkens alpha 0.2; Chen alpha 0.1 + (1 - exp(-0.0325)) / 0.225 = 0.1 + 0.03197755 / 0.225
    assert rbe.wilkens(2.0, 5.0, 0.1, 0.05) == pytest.approx(by_hand(2.0, 2.0, 2.0, 1.0), rel=1e-12)
    assert rbe.chen(2.0, 5.0, 0.1, 0.05) == pytest.approx(by_hand(2.0, 2.0, 1 + 1.4212245, 1.0), rel=1e-6)
    assert rbe.chen(2.0, 0.0, 0.1, 0.05) == 1.0
    for model in rbe.OWN_REFERENCE_MODELS.values():
        with pytest.raises(UnsupportedError, match="alpha_x"):
            model(2.0, 5.0, 0.313, 0.0615)


def test_constant_is_the_clinical_convention() -> None:
    assert rbe.constant(np.full((2, 3), 2.0), 5.0, 0.3, 0.03).tolist() == [[1.1] * 3] * 2


def test_unkelbach_is_one_at_no_LET_and_the_clinical_value_at_2_5_kev_um() -> None:
    RBE = rbe.unkelbach(np.array([0.5, 2.0]), np.array([[0.0], [2.5], [10.0]]), 0.3, 0.1)
    np.testing.assert_allclose(RBE, [[1.0, 1.0], [1.1, 1.1], [1.4, 1.4]], rtol=1e-15)
    assert list(rbe.UNCONFIRMED_MODELS) == ["unkelbach"]


MODELS = {**rbe.PUBLISHED_MODELS, **rbe.UNCONFIRMED_MODELS}


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_every_model_broadcasts_and_keeps_nan(model: rbe.RbeModel) -> None:
    LET_d = np.array([[1.0], [np.nan]])
    values = model(np.array([0.0, 1.0, 3.0]), LET_d, 0.3, 0.1)
    assert values.shape == (2, 3)
    assert np.isfinite(values[0]).all()
    assert np.isnan(values[1]).all()


def test_RBE_from_limits_is_the_linear_quadratic_one() -> None:
    rng = np.random.default_rng(6)
    dose, alpha, beta, ax, bx = rng.uniform(0.05, 6, (5, 100))
    expected = RBE_at_dose(dose, effect(dose, alpha, beta), ax, bx)
    np.testing.assert_allclose(rbe.RBE_from_limits(dose, alpha / ax, np.sqrt(beta / bx), ax / bx), expected, rtol=1e-10)
    assert rbe.RBE_from_limits(0.0, 1.7, 1.1, 3.0) == pytest.approx(1.7)
