"""Models by name, by path, and by what a store holds."""

from dataclasses import replace

import numpy as np
import pytest
from synthetic import AXES, make_field

from surrogate3d.errors import UnknownNameError, UnsupportedError
from surrogate3d.grid import DoseField, Spectra, SpectrumAxes, Volume, VolumeSet, quantity
from surrogate3d.model.bundle import load_bundle
from surrogate3d.pipeline import models
from surrogate3d.pipeline.models import TRAINED_FOR, Choice, choose, resolve, shipped

IONS = ("H", "He", "Li", "Be", "B", "C")
FIELD = make_field()


def of(species, beam):
    """A field with spectra of these species, most of the dose of the beam's."""
    axes = SpectrumAxes(species, np.repeat(AXES.edges_mev_u[:1], len(species), axis=0))
    fluence = np.full((len(species), AXES.n_bins, *FIELD.grid.shape), 1e-3, np.float32)
    fluence[species.index(beam)] = 10.0
    outside = np.zeros((len(species), *FIELD.grid.shape), np.float32)
    return replace(FIELD, spectra=Spectra(axes, fluence, outside, outside))


def reduced(*names, primary=None):
    volumes = {name: Volume(FIELD.grid, FIELD.dose, quantity(name)) for name in ("dose_to_water", *names)}
    return DoseField(grid=FIELD.grid, volumes=VolumeSet(FIELD.grid, volumes), primary=primary)


@pytest.mark.parametrize(("species", "beam", "name"), [(("H", "He"), "H", "proton"), (IONS, "C", "ion")])
def test_spectra_and_beam_decide(species, beam, name):
    found = choose(of(species, beam))
    assert found.name == name
    assert "+".join(species) in found.why
    assert f"a beam of {beam}" in found.why


@pytest.mark.parametrize(
    ("species", "beam"), [(("H", "He"), "He"), (("H",), "H"), (IONS, "H"), (IONS, "He"), (("H", "He", "C"), "C")]
)
def test_what_no_shipped_model_is_for_is_refused_with_what_they_are_for(species, beam):
    with pytest.raises(UnsupportedError) as caught:
        choose(of(species, beam))
    for part in (f"spectra of {'+'.join(species)} of a beam of {beam}", "H+He of a beam of H", "+".join(IONS)):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_spectra_the_beam_is_what_the_files_or_the_user_say():
    for field, primary in ((reduced("LET_d", primary="H"), None), (reduced("LET_d"), "H")):
        found = choose(field, primary)
        assert found == Choice("let-only", found.why)
        assert "no spectra" in found.why
    with pytest.raises(UnsupportedError, match="of a beam of C"):
        choose(reduced("LET_d", primary="C"), "H")  # the files win
    with pytest.raises(UnsupportedError, match=r"unknown particles.*--primary"):
        choose(reduced("LET_d"))


def test_a_store_of_dose_alone_is_refused():
    with pytest.raises(UnsupportedError, match="neither spectra nor LET_d"):
        choose(reduced(primary="H"))


@pytest.mark.parametrize("name", TRAINED_FOR)
def test_the_shipped_models_are_for_what_is_said_of_them(name):
    assert name in shipped()
    card = load_bundle(resolve(name)).card
    assert TRAINED_FOR[name].species in card.species_sets
    assert set(TRAINED_FOR[name].beams) <= set(card.primaries)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in ("one", "two", "unfinished"):
        (tmp_path / "data" / name).mkdir(parents=True)
    for name in ("one", "two"):
        (tmp_path / "data" / name / "manifest.json").write_text("{}")
    monkeypatch.setattr(models, "_folder", lambda: tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "data"


def test_a_shipped_name_wins_over_a_path_of_that_name(folder, tmp_path):
    (tmp_path / "one").mkdir()
    assert shipped() == ("one", "two")
    assert resolve("one") == folder / "one"
    assert resolve("./one").resolve() == tmp_path / "one"
    assert resolve(tmp_path / "one") == tmp_path / "one"


def test_a_name_of_nothing_is_refused_with_the_names_there_are(folder, monkeypatch, tmp_path):
    with pytest.raises(UnknownNameError, match=r"no model bundle at three.*shipped: one, two"):
        resolve("three")
    monkeypatch.setattr(models, "_folder", lambda: tmp_path / "nowhere")
    with pytest.raises(UnknownNameError, match="shipped: none"):
        resolve("one")
