"""Elementary functions, layers and blocks of the compiled network against numpy."""

import numpy as np
import pytest
from numba import njit

from surrogate3d.model import fused_functions as functions
from surrogate3d.model.fused_blocks import cover
from surrogate3d.model.fused_lanes import LANES, exponent, load, root, scale, store, whole
from surrogate3d.model.groups import BANDS

exp, exp2, log, softplus, tanh = (getattr(functions, name) for name in ("exp", "exp2", "log", "softplus", "tanh"))
silu, dense, packed_layer = functions.silu, functions.dense, functions.packed_layer


@njit
def every_function(x, out):
    for at in range(0, x.size, LANES):
        v = load(x, at)
        positive = exp(v)
        store(out[0], at, positive)
        store(out[1], at, exp2(v))
        store(out[2], at, log(positive))
        store(out[3], at, softplus(v))
        store(out[4], at, tanh(v))
        store(out[5], at, root(positive))
        store(out[6], at, scale(positive, whole(v * 0.2)))
        store(out[8], at, exponent(positive))
        store(out[7], at, (2.0 - v) / (v * v + 1))


@pytest.fixture(scope="module")
def computed():
    x = np.concatenate([np.linspace(-75.0, 75.0, 16 * 4096), np.linspace(-1e-3, 1e-3, 256)]).astype(np.float32)
    out = np.zeros((9, x.size), np.float32)
    every_function(x, out)
    return x.astype(np.float64), out.astype(np.float64)


def test_functions_are_right_to_the_last_digits(computed):
    x, out = computed
    np.testing.assert_allclose(out[0], np.exp(x), rtol=3e-7)
    np.testing.assert_allclose(out[1], np.exp2(x), rtol=3e-7)
    np.testing.assert_allclose(out[2], np.log(out[0]), rtol=3e-7, atol=3e-8)
    np.testing.assert_allclose(out[3], np.logaddexp(0, x), rtol=5e-7)
    np.testing.assert_allclose(out[4], np.tanh(x), atol=3e-7)
    np.testing.assert_allclose(out[5], np.sqrt(out[0]), rtol=1e-7)
    np.testing.assert_allclose(out[7], (2 - x) / (x * x + 1), rtol=1e-5, atol=1e-9)


def test_powers_of_two_are_exact(computed):
    x, out = computed
    np.testing.assert_array_equal(out[6], out[0] * 2.0 ** np.rint(x.astype(np.float32) * np.float32(0.2)))
    near_one = out[0] / 2.0 ** out[8]
    assert near_one.min() >= 0.5**0.5 - 1e-7
    assert near_one.max() <= 2**0.5 + 1e-7


@pytest.mark.parametrize(("n_out", "n_in"), [(1, 5), (8, 16), (11, 24), (33, 1)])
def test_a_layer_is_a_matrix_product(n_out, n_in):
    rng = np.random.default_rng(n_out)
    weight, bias, x = rng.normal(size=(n_out, n_in)), rng.normal(size=n_out), rng.normal(size=(n_in, LANES))
    rows = -(-n_out // 8) * 8
    work = np.concatenate([x, np.full((rows + 1, LANES), 7.0)]).astype(np.float32).ravel()
    dense(packed_layer(weight, bias), n_in, work, 0, n_in * LANES)
    found = work.reshape(-1, LANES)[n_in:]
    np.testing.assert_allclose(found[:n_out], weight @ x + bias[:, None], atol=2e-6)
    assert (found[rows:] == 7.0).all()  # nothing is written behind the layer
    silu(work, n_in * LANES, n_out)
    y = weight @ x + bias[:, None]
    np.testing.assert_allclose(work.reshape(-1, LANES)[n_in : n_in + n_out], y / (1 + np.exp(-y)), atol=3e-6)


@pytest.mark.parametrize("shape", [(3, 4, 50), (1, 1, 1), (5, 2, 16), (2, 3, 17)])
@pytest.mark.parametrize("fraction", [0.0, 0.1, 1.0])
def test_blocks_cover_each_voxel_once(shape, fraction):
    needed = np.random.default_rng(1).random(shape) < fraction
    blocks, lane = cover(needed)
    assert (lane[~needed] == -1).all()
    assert len(np.unique(lane[needed])) == needed.sum()
    block, at = np.divmod(lane[needed], LANES)
    i, j, k = np.nonzero(needed)
    np.testing.assert_array_equal(np.stack([blocks.i[block], blocks.j[block], blocks.k[block] + at]), [i, j, k])
    for line in range(shape[0] * shape[1]):
        those = blocks.of_line[blocks.line_start[line] : blocks.line_start[line + 1]]
        np.testing.assert_array_equal(blocks.i[those] * shape[1] + blocks.j[those], line)
        assert set(those) == set(np.flatnonzero(blocks.i * shape[1] + blocks.j == line))


def test_the_bands_are_those_that_the_compiled_code_writes_out():
    assert len(BANDS) == 4
