"""Answers tile by tile against those of the whole, and against the torch twin of the compiled kernels."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from synthetic import LINE, TABLE, make_field, make_surrogate, prescribed, reoriented

from surrogate3d.errors import BundleError, QuantityError
from surrogate3d.grid import Beam, Volume, VolumeSet, quantity
from surrogate3d.inference.compute import Compute
from surrogate3d.inference.curves import predict_curves
from surrogate3d.inference.spectrum_domain import SpectrumDomain
from surrogate3d.inference.survey import survey
from surrogate3d.inference.tile_networks import TileNetworks
from surrogate3d.inference.tile_predictor import TilePredictor
from surrogate3d.io.field_store import read_field, write_field
from surrogate3d.physics.cell_line import cell_line
from surrogate3d.physics.let import dose_from_spectra
from surrogate3d.physics.mixing import mono_table

FIELD = make_field(seed=5)
WIDE = make_field(shape=(64, 5, 40), seed=6)  # more than what a voxel's answer depends on
V79 = cell_line("V79")
CROSSING = (Beam(name="a", direction=(0.0, 0.0, 1.0)), Beam(name="b", direction=(1.0, 0.0, 0.0)))


@pytest.fixture(scope="module")
def surrogate():
    return make_surrogate(FIELD)


def same(found, expected, rtol=1e-6):
    np.testing.assert_array_equal(found.mask, expected.mask)
    np.testing.assert_array_equal(found.out_of_domain, expected.out_of_domain)
    assert found.strangest == expected.strangest
    np.testing.assert_allclose(found.effect, expected.effect, rtol=rtol)
    np.testing.assert_allclose(found.log_correction, expected.log_correction, rtol=10 * rtol, atol=rtol)
    np.testing.assert_allclose(found.relative_std, expected.relative_std, rtol=1e-3)
    np.testing.assert_allclose(found.domain_score, expected.domain_score, rtol=1e-5)


@pytest.fixture(scope="module")
def wide():
    return make_surrogate(WIDE)


@pytest.mark.parametrize(("axis", "sign"), [((0, 1, 2), 1), ((2, 0, 1), -1), ((0, 2, 1), -1)])
@pytest.mark.parametrize("voxels", [7500, 9500])
def test_tiles_do_not_show(wide, axis, sign, voxels):
    field, _ = reoriented(WIDE, axis, sign)
    cut = Compute(memory_bytes=voxels * 1000 * 2)
    assert 2 <= len(TilePredictor(field, wide, {LINE: TABLE}, compute=cut).tiles) <= 20
    same(predict_curves(field, wide, LINE, compute=cut), predict_curves(field, wide, LINE))


def test_a_tile_of_one_voxel_says_what_the_whole_does(wide):
    whole = predict_curves(WIDE, wide, LINE)
    predictor = TilePredictor(WIDE, wide, {LINE: TABLE})
    for number in (0, 700, int(whole.mask.sum()) - 1):
        voxel = np.argwhere(whole.mask)[number]
        alone = np.zeros_like(whole.mask)
        alone[tuple(voxel)] = True
        (answer,) = predictor.answers(predictor.tiles_of(alone))
        np.testing.assert_array_equal(answer.voxels, [voxel])
        np.testing.assert_allclose(answer.lines[LINE].effect[0], whole.effect[number], rtol=1e-6)


def test_tiles_do_not_show_where_the_table_answers(wide):
    cut = Compute(memory_bytes=7500 * 1000 * 2)
    for field, card in ((replace(WIDE, beams=CROSSING), wide.card), (WIDE, replace(wide.card, primaries=("C",)))):
        model = replace(wide, card=card)
        same(predict_curves(field, model, LINE, compute=cut), predict_curves(field, model, LINE), rtol=2e-6)


def test_the_compiled_kernels_say_what_torch_says(surrogate, monkeypatch):
    found = predict_curves(FIELD, surrogate, LINE)  # in float32
    monkeypatch.setattr(TileNetworks, "_by_kernels", TileNetworks._by_torch)  # as on a GPU
    same(found, predict_curves(FIELD, surrogate, LINE), rtol=1e-5)


def test_a_field_on_disk_is_answered_as_one_in_memory(wide, tmp_path):
    write_field(WIDE, tmp_path / "a.field.zarr")
    stored = read_field(tmp_path / "a.field.zarr", lazy=True)
    assert not isinstance(stored.spectra.fluence, np.ndarray)
    cut = Compute(memory_bytes=7500 * 1000 * 2)
    same(predict_curves(stored, wide, LINE, compute=cut), predict_curves(WIDE, wide, LINE))


def test_several_lines_at_once_are_each_as_alone(surrogate):
    tables = {V79: mono_table("V79"), LINE: surrogate.table_of(LINE)}
    model = make_surrogate(FIELD)
    predictor = TilePredictor(FIELD, model, tables)
    (answer,) = predictor.answers(predictor.tiles)
    for line, table in tables.items():
        alone = predict_curves(FIELD, model, line, table=table)
        np.testing.assert_allclose(answer.lines[line].effect, alone.effect, rtol=1e-6)


def test_the_score_of_the_domain_is_that_of_the_whole_field_in_double_precision(wide):
    found = predict_curves(WIDE, wide, LINE, compute=Compute(memory_bytes=7500 * 1000 * 2))
    expected = SpectrumDomain.from_arrays(wide.domain).score(WIDE, found.mask)[found.mask]
    np.testing.assert_allclose(found.domain_score, expected, rtol=1e-4, atol=1e-5)


def test_the_survey_is_of_the_field():
    for field in (FIELD, prescribed(FIELD, 2.0)):
        found = survey(field)
        np.testing.assert_allclose(found.tracks, field.tracks, rtol=1e-5)
        np.testing.assert_allclose(found.dose, dose_from_spectra(field.spectra.axes, field.spectra.fluence), rtol=1e-5)
        assert found.primary == 0
        np.testing.assert_allclose(found.species_dose.sum(), found.dose.sum(dtype=float), rtol=1e-5)


def test_the_survey_takes_the_tracks_of_several_beams():
    tracks = 1.0 + np.arange(FIELD.dose.size, dtype=float).reshape(FIELD.dose.shape)
    volumes = {**FIELD.volumes, "tracks": Volume(FIELD.grid, tracks, quantity("tracks"))}
    beams = (Beam(name="a", direction=(0.0, 0.0, 1.0)), Beam(name="b", direction=(0.0, 0.0, -1.0)))
    field = replace(FIELD, volumes=VolumeSet(FIELD.grid, volumes), beams=beams)
    found = survey(field)
    np.testing.assert_allclose(found.tracks, tracks, rtol=1e-6)
    np.testing.assert_allclose(found.per_track * tracks, FIELD.spectra.fluence.sum(axis=(0, 1)), rtol=1e-5)


def test_a_tile_for_which_there_is_no_room_is_cut(wide, monkeypatch):
    whole, told, refused = predict_curves(WIDE, wide, LINE), TileNetworks.told, []

    def cramped(self, tile, lines):
        if tile.sums[0, 0, 0].size > 11000:
            refused.append(tile)
            raise torch.OutOfMemoryError("as of a GPU")
        return told(self, tile, lines)

    monkeypatch.setattr(TileNetworks, "told", cramped)
    same(predict_curves(WIDE, wide, LINE), whole)
    assert len(refused) == 1


def test_memory_that_is_too_small_for_one_voxel_is_told(wide, monkeypatch):
    def cramped(self, tile, lines):
        raise MemoryError("nothing left")

    monkeypatch.setattr(TileNetworks, "told", cramped)
    small = make_field(shape=(5, 5, 6), seed=2)
    with pytest.raises(MemoryError):
        predict_curves(small, make_surrogate(small), LINE)


def test_bfloat16_is_near_float32(surrogate):
    exact = predict_curves(FIELD, surrogate, LINE)
    rounded = predict_curves(FIELD, surrogate, LINE, compute=Compute(precision="bfloat16"))
    np.testing.assert_allclose(rounded.effect, exact.effect, rtol=5e-3)  # of random weights, which are no trained ones
    assert (rounded.effect != exact.effect).any()


def test_what_does_not_fit_is_refused_before_the_spectra_are_read(surrogate):
    class Unread:
        """Spectra that must not be looked at."""

        shape, ndim, dtype = FIELD.spectra.fluence.shape, 5, np.dtype(np.float32)

        def visit(self, *_):
            raise AssertionError("read")

    spectra = replace(FIELD.spectra, fluence=Unread())
    card = replace(surrogate.card, species_sets=(("H", "C"),))
    with pytest.raises(BundleError, match="the model was trained on H\\+C"):
        TilePredictor(replace(FIELD, spectra=spectra), replace(surrogate, card=card), {LINE: TABLE})
    with pytest.raises(QuantityError, match="expected the table of the cell line"):
        TilePredictor(replace(FIELD, spectra=spectra), surrogate, {LINE: mono_table("V79")})
