"""Models by path, by the name under which they are shipped, or by what a store holds."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from surrogate3d.errors import UnknownNameError, UnsupportedError
from surrogate3d.grid import DoseField, Field
from surrogate3d.physics.let import largest_species
from surrogate3d.pipeline.coarse_spectra import better_without_spectra


class _For(NamedTuple):
    """What a shipped model of spectra was trained on."""

    species: tuple[str, ...]
    beams: tuple[str, ...]


TRAINED_FOR = {
    "proton": _For(("H", "He"), ("H",)),
    "ion": _For(("H", "He", "Li", "Be", "B", "C"), ("C",)),
}
"""Shipped models of spectra, the special before the general; tested against their cards."""


def shipped() -> tuple[str, ...]:
    """Names of the shipped models."""
    folder = _folder()
    if not folder.is_dir():
        return ()
    return tuple(sorted(entry.name for entry in folder.iterdir() if (entry / "manifest.json").is_file()))


def resolve(name_or_path: str | Path) -> Path:
    """Path of a model bundle.

    Args:
        name_or_path: a path, or a name of `shipped()`. A name wins over a path of the same name; write ./NAME for that.

    Raises:
        UnknownNameError: neither a shipped name nor an existing path.
    """
    if str(name_or_path) in shipped():
        return _folder() / str(name_or_path)
    path = Path(name_or_path)
    if not path.exists():
        known = ", ".join(shipped()) or "none"
        raise UnknownNameError(
            f"no model bundle at {path}, nor a shipped one of that name; shipped: {known}; "
            f"check the path or make one with `surrogate3d train`"
        )
    return path


def _folder() -> Path:
    return Path(str(files("surrogate3d.model"))) / "data"


@dataclass(frozen=True)
class Choice:
    """A model for a field.

    Attributes:
        name: of a shipped model.
        why: one sentence.
    """

    name: str
    why: str


def choose(field: DoseField, primary: str | None = None) -> Choice:
    """The shipped model for what a store holds.

    Args:
        field: with or without spectra.
        primary: species of the beam, where neither spectra nor files tell it.

    Raises:
        UnsupportedError: none of the shipped models is for such a field.
    """
    if not isinstance(field, Field):
        return _without_spectra(field, field.primary or primary)
    species = "+".join(field.spectra.axes.species)
    beam = largest_species(field.spectra.axes, field.spectra.fluence)
    if why := better_without_spectra(field):
        return Choice("let-only", f"{why}: model let-only")
    for name, trained in TRAINED_FOR.items():
        if beam in trained.beams and set(field.spectra.axes.species) == set(trained.species):
            return Choice(name, f"the store has spectra of {species} of a beam of {beam}: model {name}")
    known = " or ".join(f"{'+'.join(t.species)} of a beam of {'/'.join(t.beams)}" for t in TRAINED_FOR.values())
    raise UnsupportedError(
        f"no shipped model is for spectra of {species} of a beam of {beam}; they are for {known}. Score those, train "
        "a model (`surrogate3d train`), or take the table (`surrogate3d direct --backend zr_table`)"
    )


def _without_spectra(field: DoseField, beam: str | None) -> Choice:
    if "LET_d" not in field.volumes:
        raise UnsupportedError("the store has neither spectra nor LET_d: nothing can be said of RBE; score one of them")
    if beam != "H":
        raise UnsupportedError(
            f"the store has LET_d without spectra of a beam of {beam or 'unknown particles'}, and the model for that "
            "is for protons; give --primary where the files do not say it, or choose a published model with --model"
        )
    return Choice("let-only", "the store has dose and LET_d of a beam of H and no spectra: model let-only")
