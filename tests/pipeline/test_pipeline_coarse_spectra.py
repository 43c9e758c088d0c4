"""Spectra in other bins than the model's."""

from dataclasses import replace

import numpy as np
import pytest
from synthetic import LINE, make_field, make_surrogate

from surrogate3d.errors import BundleError, FormatError
from surrogate3d.grid import Spectra, SpectrumAxes, Volume, VolumeSet, quantity
from surrogate3d.inference.maps import Fractionation
from surrogate3d.pipeline import coarse_spectra
from surrogate3d.pipeline.coarse_spectra import (
    better_without_spectra,
    coarseness,
    error_of,
    in_bins_of,
    measured,
    on_bins,
    usable,
)
from surrogate3d.pipeline.in_memory import predict

FINE = SpectrumAxes.logarithmic(("H", "He"))
HOW = Fractionation(2.0, 1)


def with_spectra(field, axes, fluence, overflow=None):
    none = np.zeros((len(axes.species), *field.grid.shape), np.float32)
    above = none if overflow is None else overflow
    return replace(field, spectra=Spectra(axes, fluence, none, above), halves=(), halves_dose=())


def in_coarse(field, number):
    """The field with its bins summed to fewer: the slow twin of scoring them."""
    axes, n = field.spectra.axes, field.spectra.axes.n_bins // number
    summed = field.spectra.fluence.reshape(len(axes.species), number, n, *field.grid.shape).sum(axis=2)
    return with_spectra(field, SpectrumAxes(axes.species, axes.edges_mev_u[:, ::n]), summed)


def linear(number, top, species=("H", "He")):
    return SpectrumAxes(species, np.tile(np.linspace(0.0, top, number + 1), (len(species), 1)))


def field_in(axes):
    return make_field(axes=axes)


@pytest.fixture(scope="module")
def fine():
    return make_field(axes=FINE)


@pytest.fixture(scope="module")
def surrogate(fine):
    return make_surrogate(fine)


def test_a_field_in_the_bins_of_the_model_comes_back_as_it_is(fine, surrogate):
    field, model, about = in_bins_of(fine, surrogate)
    assert field is fine
    assert model is surrogate
    assert about == {}


def test_a_field_of_other_species_is_left_to_the_refusal_of_the_model(surrogate):
    other = make_field(axes=SpectrumAxes.logarithmic(("H",), 16))
    field, model, about = in_bins_of(other, surrogate)
    assert field is other
    assert model is surrogate
    assert about == {}


@pytest.mark.parametrize("number", [32, 16, 8])
def test_coarse_bins_are_put_on_those_of_the_model_and_keep_their_fluence(fine, surrogate, number):
    scored = in_coarse(fine, number)
    field, _, _ = in_bins_of(scored, surrogate)
    assert field.spectra.axes.matches(FINE)
    assert in_coarse(field, number).spectra.fluence == pytest.approx(scored.spectra.fluence, rel=1e-4, abs=1e-5)
    assert field.dose is scored.dose
    assert field.histories == scored.histories


def test_what_spectra_say_of_themselves_is_made_anew(fine, surrogate):
    field, _, _ = in_bins_of(in_coarse(fine, 16), surrogate)
    want = on_bins(fine, FINE)  # the same path, with nothing to refine
    close = [np.nanmedian(f.volumes["explained"].values) for f in (field, want)]
    assert close[0] == pytest.approx(close[1], rel=0.03)
    assert {"tracks", "spectrum_fault", "LET_d_spectra"} <= set(field.volumes)
    assert field.volumes["tracks"].values == pytest.approx(want.volumes["tracks"].values, rel=1e-4)


def test_a_store_in_coarse_bins_is_answered_and_its_intervals_are_wider(fine, surrogate):
    scored = in_coarse(fine, 8)
    with pytest.raises(BundleError, match="energy bins"):
        predict(scored, surrogate, LINE, HOW)
    field, wider, about = in_bins_of(scored, surrogate)
    ours, plain = predict(field, wider, LINE, HOW).curves, predict(field, surrogate, LINE, HOW).curves
    row = error_of(scored)
    added = ours.relative_std**2 - plain.relative_std**2
    inside = ~plain.out_of_domain[plain.mask]
    assert added[inside] == pytest.approx((0.01 * row["effect_rms_worst_region"]) ** 2, rel=1e-6)
    assert ours.effect == pytest.approx(plain.effect)
    assert about["spectrum_bins"]["rbe_rms_percent"] == row["rms"]
    assert "8 logarithmic bins of H from 0.1 to 500 MeV/u" in about["spectrum_bins"]["scored"]


def test_bins_are_counted_per_factor_of_ten_or_up_to_the_beam():
    found = coarseness(field_in(SpectrumAxes.logarithmic(("H", "He"), 12, 0.1, 1000.0)))
    assert (found.kind, found.number) == ("logarithmic", pytest.approx(3.0))
    half = linear(40, 600.0)
    fluence = np.zeros((2, 40, 3, 3, 3), np.float32)
    fluence[0, :10] = 1.0  # a beam of 150 MeV
    found = coarseness(with_spectra(make_field(shape=(3, 3, 3), axes=half), half, fluence))
    assert (found.kind, found.number) == ("linear", pytest.approx(10.0))


def test_uneven_bins_count_by_the_widest_that_the_beam_passes():
    edges = np.tile(np.array([1.0, 2.0, 20.0, 40.0, 80.0, 160.0, 320.0]), (2, 1))
    found = coarseness(field_in(SpectrumAxes(("H", "He"), edges)))
    assert found.number == pytest.approx(1.0)
    assert "uneven" in found.words


def test_the_error_is_that_of_the_next_coarser_bins_measured():
    rows = [row for row in measured()["rows"] if row["beam"] == "H" and row["kind"] == "logarithmic"]
    own = error_of(field_in(SpectrumAxes.logarithmic(("H", "He"), 20)))
    finer = 20 / np.log10(5000)
    assert own["number"] == max(row["number"] for row in rows if row["number"] <= finer * 1.01)


def test_bins_too_coarse_are_refused_with_advice():
    with pytest.raises(BundleError, match=r"too coarse.*are needed.*score 16 or more.*let-only"):
        error_of(field_in(SpectrumAxes.logarithmic(("H", "He"), 2)))
    with pytest.raises(BundleError, match="linear bins between 0 and the beam's energy"):
        error_of(field_in(linear(3, 125.0)))


def test_a_beam_above_the_bins_is_refused():
    field = make_field(axes=SpectrumAxes.logarithmic(("H", "He"), 16))
    above = np.zeros((2, *field.grid.shape), np.float32)
    above[0] = 0.05 * field.spectra.fluence[0].sum(axis=0)
    with pytest.raises(BundleError, match=r"4\.76 % of the fluence of H lies above.*EBinMax"):
        error_of(with_spectra(field, field.spectra.axes, field.spectra.fluence, above))


def test_every_shipped_error_has_its_plan_and_what_is_allowed_can_be_reached():
    for row in measured()["rows"]:
        assert row["plans"]
        assert row["rms_worst_region"] >= row["rms"] > 0
        assert row["effect_rms_worst_region"] >= row["rms_worst_region"]
    for beam in ("H", "C"):
        allowed = [r for r in measured()["rows"] if r["beam"] == beam and usable(r)]
        assert {row["kind"] for row in allowed} == {"logarithmic", "linear"}


def test_let_only_is_advised_where_it_is_better(fine):
    LET = Volume(fine.grid, fine.dose, quantity("LET_d"))
    with_LET = {**fine.volumes, "LET_d": LET}
    few = in_coarse(fine, 4)
    assert better_without_spectra(few) == ""  # there is no LET
    few = replace(few, volumes=VolumeSet(few.grid, with_LET))
    assert "let-only" in better_without_spectra(few)
    sixteen = in_coarse(fine, 16)
    assert better_without_spectra(replace(sixteen, volumes=VolumeSet(few.grid, with_LET))) == ""


def test_errors_of_another_schema_are_refused(monkeypatch, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "coarse_spectra.json").write_text('{"schema": "other"}', encoding="utf-8")
    monkeypatch.setattr(coarse_spectra, "files", lambda _: tmp_path)
    measured.cache_clear()
    with pytest.raises(FormatError, match="schema"):
        measured()
    measured.cache_clear()
