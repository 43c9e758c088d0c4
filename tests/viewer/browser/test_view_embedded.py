"""Embedded scenes in a real browser: what its decoder reads is what Python embedded."""

import numpy as np
import pytest
from scene_examples import DOSES, GRID, layer, scene, voxels

from surrogate3d.viewer.assets import EMBEDDED, program, style
from surrogate3d.viewer.embed import embed

PLANE = """async ([name, axis, index, kind]) => {
  const source = await (globalThis.opened ??= S3D.EmbeddedSource.open(document));
  const plane = await source[kind](name, axis, index);
  return [plane.rows, plane.cols, Array.from(plane.values, (v) => (Number.isNaN(v) ? null : v))];
}"""
VOXEL = """async (at) => (await (globalThis.opened ??= S3D.EmbeddedSource.open(document))).voxel(...at)"""


@pytest.fixture
def show(open_page, tmp_path):
    """A function that opens a page with an embedded scene."""

    def one(embedded):
        page = tmp_path / "page.html"
        page.write_text(
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>scene</title><style>{style()}</style>'
            f'</head><body><div class="s3d" data-s3d-root></div>{embedded.html()}'
            f"<script>{program(EMBEDDED)}</script></body></html>"
        )
        return open_page(page)

    return one


def plane(page, name, axis, index, kind="plane"):
    rows, cols, values = page.evaluate(PLANE, [name, axis, index, kind])
    return np.array(values, dtype=float).reshape(rows, cols)


def test_planes_structures_and_voxels_are_read_back(show):
    given, embedded = scene(), embed(scene())
    page = show(embedded)
    steps = {one["name"]: one["step"] for one in embedded.manifest["layers"]}
    for axis in range(3):
        for index in (0, 2, GRID.shape[axis] - 1):
            for name, step in steps.items():
                expected = np.take(given.layer(name).values, index, axis=axis)
                np.testing.assert_allclose(plane(page, name, axis, index), expected, atol=step + 1e-6)
            inside = np.take(given.structures[0].fraction, index, axis=axis)
            found = plane(page, "PTV 1/2", axis, index, "structurePlane")
            np.testing.assert_allclose(found, inside, atol=1 / 508 + 1e-6)
    for n, at in enumerate(np.argwhere(voxels().mask)):
        found = page.evaluate(VOXEL, at.tolist())
        assert found["at"] == at.tolist()
        assert len(found["effect"]) == len(DOSES)
        np.testing.assert_allclose(found["effect"], voxels().effect[n], rtol=1e-4)
        assert found["half_width"] == pytest.approx(voxels().half_width[n], abs=1e-5)
        per_fluence = np.asarray(voxels().bins.dose_per_fluence)
        dose = voxels().fluence[:, :, n] * per_fluence
        shown = np.sqrt(found["spectrum"] * per_fluence)
        np.testing.assert_allclose(shown, np.sqrt(dose / dose.max()), atol=0.5 / 255 + 1e-6)
    assert page.evaluate(VOXEL, [0, 0, 0]) is None


def test_a_strided_scene_shows_the_nearest_voxel_that_was_kept(show):
    rough = np.random.default_rng(2).normal(size=GRID.shape).astype(np.float32)
    given = scene(layers=(layer("dose", rough, window=(-3.0, 3.0)),), voxels=None, structures=(), points=())
    embedded = embed(given, int(0.4 * embed(given).n_bytes))
    assert embedded.manifest["stride"] == 2
    page, step = show(embedded), embedded.manifest["layers"][0]["step"]
    kept = rough[::2, ::2, ::2]
    for index in (0, 2, 4):
        found = plane(page, "dose", 2, index)
        np.testing.assert_allclose(found[::2, ::2], kept[:, :, index // 2], atol=step + 1e-6)
        allowed = kept[:, :, index // 2].ravel()
        assert (np.abs(found.ravel()[:, None] - allowed).min(axis=1) <= step + 1e-6).all()
