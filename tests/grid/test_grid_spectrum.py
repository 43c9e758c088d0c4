"""Species, energy bins and fluence."""

import json

import numpy as np
import pytest

from surrogate3d.errors import GridMismatchError, QuantityError, UnknownNameError, ValueRangeError
from surrogate3d.grid import SPECIES_A, SPECIES_Z, Spectra, SpectrumAxes

EDGES = np.array([[0.0, 1.0, 4.0, 9.0], [1.0, 4.0, 16.0, 64.0]])
AXES = SpectrumAxes(("H", "C"), EDGES)


def test_energies_are_geometric_means_and_arithmetic_above_zero():
    # sqrt(1*4) = 2, sqrt(4*9) = 6, sqrt(4*16) = 8, sqrt(16*64) = 32; (0 + 1)/2 where the lower edge is 0.
    np.testing.assert_allclose(AXES.energy_mev_u, [[0.5, 2.0, 6.0], [2.0, 8.0, 32.0]], rtol=1e-15)
    assert AXES.n_bins == 3


def test_atomic_numbers_and_mass_numbers_are_those_of_the_periodic_table():
    assert AXES.Z.tolist() == [1, 6]
    assert list(SPECIES_Z.values()) == list(range(1, 11))
    # Most abundant isotopes: 1H, 4He, 7Li, 9Be, 11B, 12C, 14N, 16O, 19F, 20Ne.
    assert list(SPECIES_A.values()) == [1, 4, 7, 9, 11, 12, 14, 16, 19, 20]


def test_the_recommended_grid_is_that_of_the_topas_runs():
    axes = SpectrumAxes.logarithmic(("H", "He"))
    # TOPAS EBinLog: edge i = 10 ** (log10(min) + i * step).
    step = (np.log10(500.0) - np.log10(0.1)) / 64
    np.testing.assert_allclose(axes.edges_mev_u[1], 10 ** (np.log10(0.1) + np.arange(65) * step), rtol=1e-12)
    assert axes.n_bins == 64


@pytest.mark.parametrize(
    ("species", "edges", "error", "message"),
    [
        (("H", "e-"), EDGES, UnknownNameError, "unknown species"),
        (("C", "H"), EDGES, QuantityError, "ascend in atomic number"),
        (("H", "H"), EDGES, QuantityError, "each once"),
        (("H",), EDGES, QuantityError, r"found shape \(2, 4\)"),
        (("H", "C"), EDGES[0], QuantityError, r"found shape \(4,\)"),
        (("H", "C"), EDGES[:, :1], QuantityError, r"found shape \(2, 1\)"),
        (("H", "C"), EDGES[:, ::-1], QuantityError, "strictly ascending"),
        (("H", "C"), np.ones((2, 3)), QuantityError, "strictly ascending"),
        (("H", "C"), EDGES - 1, QuantityError, "non-negative"),
        (("H", "C"), np.where(EDGES == 9.0, np.inf, EDGES), QuantityError, "finite"),
        (("H", "C"), np.where(EDGES == 9.0, np.nan, EDGES), QuantityError, "finite"),
    ],
)
def test_impossible_axes_are_refused(species, edges, error, message):
    with pytest.raises(error, match=message):
        SpectrumAxes(species, edges)


def test_axes_match_within_the_six_digits_of_a_header_and_not_beyond():
    assert AXES.matches(SpectrumAxes(("H", "C"), EDGES * (1 + 1e-6)))
    assert not AXES.matches(SpectrumAxes(("H", "C"), EDGES * 1.001))
    assert not AXES.matches(SpectrumAxes(("H", "C"), EDGES[:, :-1]))
    assert not AXES.matches(SpectrumAxes(("H", "O"), EDGES))


def test_json_keeps_every_digit():
    axes = SpectrumAxes.logarithmic(("H", "He", "C"), 7)
    found = SpectrumAxes.from_json(json.loads(json.dumps(axes.to_json())))
    assert found.species == axes.species
    np.testing.assert_array_equal(found.edges_mev_u, axes.edges_mev_u)


def arrays():
    return {
        "fluence": np.ones((2, 3, 4, 5, 6), np.float32),
        "underflow": np.zeros((2, 4, 5, 6), np.float32),
        "overflow": np.zeros((2, 4, 5, 6), np.float32),
    }


def test_spectra_know_the_shape_of_their_grid():
    assert Spectra(AXES, **arrays()).shape == (4, 5, 6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, -1e-30])
@pytest.mark.parametrize("name", ["fluence", "underflow", "overflow"])
def test_fluence_that_cannot_be_is_refused_with_species_voxel_and_count(name, bad):
    content = arrays()
    content[name][1, ..., 2, 0, 5] = bad
    count = 3 if name == "fluence" else 1  # every energy bin of that voxel
    message = (
        rf"^{name} must be finite and not negative; .* species C at voxel \(2, 0, 5\), {count} such values in all$"
    )
    with pytest.raises(ValueRangeError, match=message):
        Spectra(AXES, **content)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("fluence", (3, 2, 4, 5, 6)),
        ("fluence", (2, 3, 4, 5)),
        ("underflow", (2, 4, 5, 7)),
        ("overflow", (1, 4, 5, 6)),
    ],
)
def test_shapes_that_do_not_fit_are_refused(name, shape):
    with pytest.raises(GridMismatchError, match=str(shape[-1])):
        Spectra(AXES, **arrays() | {name: np.zeros(shape)})
