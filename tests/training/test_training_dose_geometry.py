"""Other geometries of plans of dose and LET: what is moved moves together, and nothing that is linear is lost."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from dose_plans import field_with_LET
from synthetic import lq_response

from surrogate3d.direct.task import DOSE_LADDER
from surrogate3d.model.dose_channels import ChannelSet
from surrogate3d.physics.mixing import mono_table
from surrogate3d.training.dataset import Geometry
from surrogate3d.training.dose_examples import labelled_plan, rows
from surrogate3d.training.dose_geometry import SUMS, compressed, moved, tilted, varied

HIGH, LOW = field_with_LET(), field_with_LET(seed=5)
LINES = [(0.313, 0.0615, mono_table("HSG")), (0.184, 0.020, mono_table("V79"))]
PLAN = labelled_plan((LOW, HIGH), HIGH, LINES, [lq_response((4, 4, 3), 0.5, 0.07)], DOSE_LADDER)
N_I, N_J, DEPTH = PLAN.dose.shape


def test_columns_shift_along_the_beam_with_their_labels():
    shift = torch.zeros((N_I, N_J), dtype=torch.int64)
    shift[2, 3], shift[4, 1] = 3, -2
    found = moved(PLAN, Geometry(shift, (), exchange=False))
    for name in SUMS:
        for new, old in zip(found.realisations, PLAN.realisations, strict=True):
            np.testing.assert_array_equal(getattr(new, name)[2, 3, 3:], getattr(old, name)[2, 3, :-3])
            np.testing.assert_array_equal(getattr(new, name)[4, 1, :-2], getattr(old, name)[4, 1, 2:])
            np.testing.assert_array_equal(getattr(new, name)[0], getattr(old, name)[0])
            assert not getattr(new, name)[2, 3, :3].any()
    np.testing.assert_array_equal(found.alpha[:, 2, 3, 3:], PLAN.alpha[:, 2, 3, :-3])
    np.testing.assert_array_equal(found.cube[2, 3, 3:], PLAN.cube[2, 3, :-3])
    assert np.isnan(found.sqrt_beta[:, 2, 3, :3]).all()
    assert not found.evaluated[2, 3, :3].any()


def test_mirrored_and_exchanged_plans_are_those_of_the_maps():
    none = torch.zeros((N_I, N_J), dtype=torch.int64)
    wide = replace(PLAN, realisations=(replace(PLAN.realisations[0], spacing_mm=(1.0, 2.0, 3.0)),))
    found = moved(wide, Geometry(none, (-3,), exchange=True))
    np.testing.assert_array_equal(found.dose, PLAN.dose[::-1].transpose(1, 0, 2))
    np.testing.assert_array_equal(found.alpha, PLAN.alpha[:, ::-1].transpose(0, 2, 1, 3))
    assert found.realisations[0].spacing_mm == (2.0, 1.0, 3.0)


def test_two_planes_in_one_hold_what_both_held():
    found = compressed(PLAN, 2.0)
    n = DEPTH // 2
    for name in SUMS:
        pairs = getattr(PLAN.realisations[0], name)[..., : 2 * n].reshape(N_I, N_J, n, 2)
        np.testing.assert_allclose(getattr(found.realisations[0], name), pairs.sum(axis=-1))
    weight = PLAN.dose[..., : 2 * n].reshape(N_I, N_J, n, 2)
    alpha = PLAN.alpha[0][..., : 2 * n].reshape(N_I, N_J, n, 2)
    np.testing.assert_allclose(found.alpha[0], (weight * alpha).sum(axis=-1) / weight.sum(axis=-1))
    assert found.dose.max() == 1.0


@pytest.mark.parametrize("factor", [1.0, 1.3, 1.75])
def test_compressing_loses_nothing_but_what_falls_off_the_end(factor):
    found = compressed(PLAN, factor)
    depth = int(DEPTH / factor)
    assert found.dose.shape == (N_I, N_J, depth)
    end = factor * depth
    whole = int(end + 1e-9)
    for name in SUMS:
        old = getattr(PLAN.realisations[1], name)
        part = (end - whole) * old[..., whole] if whole < DEPTH else 0.0
        np.testing.assert_allclose(
            getattr(found.realisations[1], name).sum(axis=-1), old[..., :whole].sum(axis=-1) + part
        )
    if factor == 1.0:
        np.testing.assert_allclose(found.alpha, PLAN.alpha)
        np.testing.assert_array_equal(found.cube, PLAN.cube)


def test_equal_seeds_vary_alike_and_labels_stay_with_the_LET():
    first, second, other = (varied(PLAN, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.alpha, second.alpha)
    assert first.alpha.shape != other.alpha.shape or not np.array_equal(first.alpha, other.alpha)
    assert len(first.realisations) == 1
    assert first.direct == ()
    run, known = first.realisations[0], first.evaluated
    LET = run.dose_LET_d[known] / run.dose_d[known]
    assert np.corrcoef(LET, first.alpha[0][known])[0, 1] > 0.9


def test_copies_of_a_voxel_are_held_back_with_it():
    found = rows(
        [varied(PLAN, np.random.default_rng(4))], ChannelSet(True, True), DOSE_LADDER, 1, np.random.default_rng(0)
    )
    assert set(found.block) <= set(PLAN.cube.ravel())


@pytest.mark.parametrize("beam", [(2, 1), (2, -1), (0, -1)])
def test_a_tilt_shifts_each_column_by_its_place(beam):
    values = np.random.default_rng(0).random((7, 8, 9))
    found = tilted(values, beam, 0.5, -1.0)
    axis, sign = beam
    across = 1 if axis == 0 else 0
    for n in range(values.shape[across]):
        shift = sign * round(0.5 * (n - (values.shape[across] - 1) / 2))
        expected = np.roll(values.take(n, across), shift, axis=axis if axis < across else axis - 1)
        mine = found.take(n, across)
        inside = mine != -1.0
        np.testing.assert_array_equal(mine[inside], expected[inside])
        assert (~inside).sum() == abs(shift) * inside.size // values.shape[axis]


def test_no_tilt_leaves_maps_as_they_are():
    values = np.random.default_rng(0).random((3, 4, 5))
    np.testing.assert_array_equal(tilted(values, (1, -1), 0.0), values)
