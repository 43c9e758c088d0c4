import json
from dataclasses import replace

import numpy as np
import pytest

from surrogate3d.errors import FormatError, GridMismatchError, UnknownNameError
from surrogate3d.grid.spectrum import SpectrumAxes
from surrogate3d.physics import mixing
from surrogate3d.physics.let import bin_dose as dose_of_bins

AXES = SpectrumAxes.logarithmic(("H", "C"), 12, 1.0, 400.0)


def synthetic_table() -> mixing.MonoTable:
    """alpha linear in ln E, so that interpolation is exact; H and C on different energies."""
    energy = np.stack([np.geomspace(0.5, 500, 9), np.geomspace(2.0, 300, 9)])
    alpha = np.array([[0.9], [2.0]]) - np.array([[0.08], [0.3]]) * np.log(energy)
    beta = np.broadcast_to([[0.06], [0.02]], energy.shape).copy()
    zero = np.zeros_like(energy)
    return mixing.MonoTable("test", ("H", "C"), energy, alpha, zero, beta, zero, {"made": "by hand"})


def random_dose(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(7).gamma(0.4, 1.0, (2, 12, *shape))


def test_interpolation_is_linear_in_log_energy_and_held_at_the_ends() -> None:
    table = synthetic_table()
    alpha, beta = table.at(AXES)
    E = AXES.energy_mev_u
    np.testing.assert_allclose(alpha[0], 0.9 - 0.08 * np.log(E[0]), rtol=1e-12)
    np.testing.assert_allclose(alpha[1], 2.0 - 0.3 * np.log(np.clip(E[1], 2.0, 300.0)), rtol=1e-12)
    np.testing.assert_allclose(beta, np.broadcast_to([[0.06], [0.02]], beta.shape))


def test_species_are_found_by_name_not_by_place() -> None:
    carbon = SpectrumAxes.logarithmic(("C",), 12, 1.0, 400.0)
    np.testing.assert_array_equal(synthetic_table().at(carbon)[0][0], synthetic_table().at(AXES)[0][1])
    with pytest.raises(UnknownNameError, match=r"'He'.*H, C"):
        synthetic_table().at(SpectrumAxes.logarithmic(("He",)))


def test_coverage_is_the_fraction_of_dose_inside() -> None:
    dose = np.zeros((2, 12, 2))
    E = AXES.energy_mev_u[1]
    assert E[0] < 2.0 < E[3]
    assert E[-1] > 300
    dose[0, :, 0] = 1.0  # hydrogen: all covered, 12
    dose[1, [0, 3, 11], 1] = [2.0, 5.0, 1.0]  # carbon: 3 of 8 outside
    assert synthetic_table().coverage(AXES, dose) == pytest.approx(17 / 20)
    assert np.isnan(synthetic_table().coverage(AXES, np.zeros((2, 12, 2))))


def test_mix_is_the_sum_of_zaider_and_rossi() -> None:
    alpha, beta = synthetic_table().at(AXES)
    dose = random_dose((3, 4, 5))
    slow_alpha, slow_beta = np.zeros((3, 4, 5)), np.zeros((3, 4, 5))
    for voxel in np.ndindex(3, 4, 5):
        d = dose[(slice(None), slice(None), *voxel)]
        d = d / d.sum()
        slow_alpha[voxel] = sum(d[s, b] * alpha[s, b] for s in range(2) for b in range(12))
        slow_beta[voxel] = sum(d[s, b] * beta[s, b] ** 0.5 for s in range(2) for b in range(12)) ** 2
    ours = mixing.mix(dose, alpha, beta)
    np.testing.assert_allclose(ours[0], slow_alpha, rtol=1e-12)
    np.testing.assert_allclose(ours[1], slow_beta, rtol=1e-12)


def test_mix_does_not_depend_on_scale_chunks_precision_or_bin_splitting(monkeypatch: pytest.MonkeyPatch) -> None:
    alpha, beta = synthetic_table().at(AXES)
    dose = random_dose((11,))
    expected = mixing.mix(dose, alpha, beta)
    np.testing.assert_allclose(mixing.mix(1e6 * dose, alpha, beta), expected, rtol=1e-12)
    np.testing.assert_allclose(mixing.mix(dose.astype(np.float32), alpha, beta), expected, rtol=1e-6)
    halves = np.repeat(dose, 2, axis=1) / 2
    split = mixing.mix(halves, np.repeat(alpha, 2, axis=1), np.repeat(beta, 2, axis=1))
    np.testing.assert_allclose(split, expected, rtol=1e-12)
    swapped = mixing.mix(dose[::-1], alpha[::-1], beta[::-1])
    np.testing.assert_allclose(swapped, expected, rtol=1e-12)
    monkeypatch.setattr(mixing, "_CHUNK_VOXELS", 3)
    np.testing.assert_allclose(mixing.mix(dose, alpha, beta), expected, rtol=1e-14)


def test_no_dose_is_nan() -> None:
    dose = random_dose((4,))
    dose[..., 2] = 0
    alpha, beta = mixing.mix(dose, *synthetic_table().at(AXES))
    assert np.isnan(alpha).tolist() == [False, False, True, False]
    assert np.isnan(beta).tolist() == [False, False, True, False]


def test_accumulators_add_over_fields() -> None:
    alpha, beta = synthetic_table().at(AXES)
    first, second = random_dose((6,)), 3 * random_dose((6,))[:, ::-1]
    both = np.stack(mixing.mix_accumulators(first, alpha, beta)) + np.stack(
        mixing.mix_accumulators(second, alpha, beta)
    )
    np.testing.assert_allclose(both, mixing.mix_accumulators(first + second, alpha, beta), rtol=1e-12)
    per_species = mixing.species_accumulators(first, alpha, beta)
    assert per_species.shape == (2, 3, 6)
    np.testing.assert_allclose(per_species[:, 0], first.sum(axis=1), rtol=1e-12)


def test_zr_table_mixes_the_dose_of_the_fluence() -> None:
    fluence = 1e5 * random_dose((3, 2))
    table = synthetic_table()
    dose = dose_of_bins(AXES, fluence)
    np.testing.assert_allclose(mixing.zr_table(AXES, fluence, table), mixing.mix(dose, *table.at(AXES)), rtol=1e-12)
    np.testing.assert_allclose(
        mixing.fluence_accumulators(AXES, fluence, table),
        mixing.species_accumulators(dose, *table.at(AXES)),
        rtol=1e-12,
    )


def other_table() -> mixing.MonoTable:
    table = synthetic_table()
    return replace(table, cell_line="other", alpha=2 * table.alpha + 0.1, beta=0.5 * table.beta)


def test_bands_equal_their_slow_twin_of_several_lines() -> None:
    """Bin by bin; a bin whose energy is an edge belongs to the band above it."""
    tables, E = (synthetic_table(), other_table()), AXES.energy_mev_u
    fluence = 1e5 * random_dose((3, 2))
    edges = (float(E[0, 3]), 50.0, 1e4)
    found = mixing.band_accumulators(AXES, fluence, tables, edges)
    assert found.shape == (2, 4, 6, 3, 2)
    dose = dose_of_bins(AXES, fluence)
    expected = np.zeros(found.shape)
    for s in range(2):
        for b in range(12):
            rows = [dose[s, b], fluence[s, b]]
            rows += [dose[s, b] * table.at(AXES)[0][s, b] for table in tables]
            rows += [dose[s, b] * table.at(AXES)[1][s, b] ** 0.5 for table in tables]
            expected[s, sum(E[s, b] >= edge for edge in edges)] += np.stack(rows)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert not found[:, 3].any()
    at_the_edge = np.zeros_like(fluence)
    at_the_edge[0, 3] = 1.0
    assert mixing.band_accumulators(AXES, at_the_edge, tables, edges)[0, :, 1].any(axis=(1, 2)).tolist() == [
        *(False, True, False, False),
    ]


def test_bands_sum_to_the_accumulators_whatever_their_edges() -> None:
    fluence, tables = 1e5 * random_dose((5,)), (other_table(), synthetic_table())
    for edges in ((), (3.0, 10.0, 30.0), (1e-3,)):
        summed = mixing.band_accumulators(AXES, fluence, tables, edges).sum(axis=1)
        np.testing.assert_allclose(summed[:, 1], fluence.sum(axis=1), rtol=1e-12)
        for n, table in enumerate(tables):
            expected = mixing.fluence_accumulators(AXES, fluence, table)
            np.testing.assert_allclose(summed[:, [0, 2 + n, 4 + n]], expected, rtol=1e-12)


def test_bands_of_wrong_shapes_or_unknown_species_are_refused() -> None:
    with pytest.raises(GridMismatchError, match=r"\(2, 12\)"):
        mixing.band_accumulators(AXES, np.ones((2, 11, 3)), (synthetic_table(),), (3.0,))
    helium = SpectrumAxes.logarithmic(("He",), 12, 1.0, 400.0)
    with pytest.raises(UnknownNameError, match="'He'"):
        mixing.band_accumulators(helium, np.ones((1, 12, 3)), (synthetic_table(),), (3.0,))


def test_wrong_shapes_are_refused() -> None:
    alpha, beta = synthetic_table().at(AXES)
    with pytest.raises(GridMismatchError, match=r"\(2, 12\)"):
        mixing.mix(np.ones((2, 11, 3)), alpha, beta)
    with pytest.raises(GridMismatchError):
        synthetic_table().coverage(AXES, np.ones((1, 12, 3)))


def test_json_round_trip() -> None:
    table = synthetic_table()
    again = mixing.MonoTable.from_json(json.loads(json.dumps(table.to_json())))
    assert (again.cell_line, again.species, again.source) == (table.cell_line, table.species, table.source)
    for name in ("energy_mev_u", "alpha", "alpha_se", "beta", "beta_se"):
        np.testing.assert_array_equal(getattr(again, name), getattr(table, name))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("schema", "surrogate3d.mono_table/2", "schema"),
        ("extra", 1, "extra"),
        ("alpha", [[1.0]], r"alpha must be \(species, n\)"),
        ("alpha", [[1.0], [1.0, 2.0]], "not rows of numbers"),
        ("beta", [[-0.1] * 9] * 2, "not negative"),
        ("energy_mev_u", [[1.0] * 9] * 2, "ascend"),
    ],
)
def test_damaged_tables_are_refused(key: str, value: object, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        mixing.MonoTable.from_json({**synthetic_table().to_json(), key: value})


def test_table_that_is_not_shipped_is_refused_with_advice() -> None:
    with pytest.raises(UnknownNameError, match=r"'HeLa'.*MonoTable\.from_json"):
        mixing.mono_table("HeLa")


def test_shipped_tables_load_and_are_physical() -> None:
    for name in mixing.mono_tables():
        table = mixing.mono_table(name)
        assert table.cell_line == name
        assert (table.alpha > 0).all()
