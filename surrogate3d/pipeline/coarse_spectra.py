"""Spectra in other bins than a model's, coarse ones above all: put on the model's, with the error that this costs.

How many bins there are per factor of ten of energy (or, of linear bins, between 0 and the beam's energy) decides. The
errors were measured on development runs by `benchmarks/coarse_spectra.py` and stand in data/coarse_spectra.json; of two
rows the coarser one counts. They widen the model's intervals and are said in the maps' metadata, see
docs/coarse-spectra.md.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np

from surrogate3d.errors import BundleError, FormatError
from surrogate3d.grid import Field, Spectra, SpectrumAxes
from surrogate3d.model.bundle import ModelCard, Surrogate
from surrogate3d.physics.let import largest_species
from surrogate3d.physics.subbin import refined
from surrogate3d.pipeline.spectrum_checks import steps_of, with_checks

SCHEMA = "surrogate3d.coarse_spectra/1"

LARGEST_ERROR = 2.0
"""Of RBE(2 Gy), RMS in %: bins that cost more are refused. Our judgement: that of the table at some 150 tracks."""

LARGEST_IN_A_REGION = 4.0
"""The same of the worst region."""

LET_ONLY_ERROR = 0.42
"""Of model let-only on a plan that it was not trained on, RMS in % (docs/models/let-only.md, `proton_deep`)."""

LARGEST_OVERFLOW = 0.01
"""Part of the beam's fluence above the bins beyond which nothing is said."""


@dataclass(frozen=True)
class Coarseness:
    """How fine the energy bins of a field are.

    Attributes:
        kind: "logarithmic" or "linear".
        number: bins per factor of ten, or between 0 and the beam's energy.
        words: the bins of the beam's species in words.
    """

    kind: str
    number: float
    words: str


@lru_cache(maxsize=1)
def measured() -> dict[str, Any]:
    """What `benchmarks/coarse_spectra.py` wrote.

    Raises:
        FormatError: the data are of another schema.
    """
    text = (files("surrogate3d.pipeline") / "data" / "coarse_spectra.json").read_text(encoding="utf-8")
    data: dict[str, Any] = json.loads(text)
    if data.get("schema") != SCHEMA:
        raise FormatError(f"expected errors of schema {SCHEMA}, found {data.get('schema')!r}; install the package anew")
    return data


def in_bins_of(field: Field, surrogate: Surrogate) -> tuple[Field, Surrogate, dict[str, Any]]:
    """A field in the bins of a model, and the model with intervals that are as wide as the field's bins demand.

    Both come back as they are, with nothing to say, where the bins are the model's, and where the species are not.

    Returns:
        Field, model, and what the maps stand under besides.

    Raises:
        BundleError: the bins are too coarse, or lie below the beam's energy.
    """
    if fits_bins(surrogate.card, field):
        return field, surrogate, {}
    wanted = bins_of(surrogate.card, field.spectra.axes)
    assert wanted is not None
    row = error_of(field)
    card = surrogate.card
    spread = float(np.hypot(float(card.calibration.get("residual_std", 0.0)), 0.01 * row["effect_rms_worst_region"]))
    wider = replace(surrogate, card=replace(card, calibration={**card.calibration, "residual_std": spread}))
    return on_bins(field, wanted), wider, {"spectrum_bins": said(field, row)}


def fits_bins(card: ModelCard, field: Field) -> bool:
    """Whether nothing is to be done: the bins are the model's, or it knows no such species."""
    wanted = bins_of(card, field.spectra.axes)
    return wanted is None or field.spectra.axes.matches(wanted)


def bins_of(card: ModelCard, axes: SpectrumAxes) -> SpectrumAxes | None:
    """The bins that a model was trained on, of the species of a field; None where it knows no such field."""
    if axes.species not in card.species_sets:
        return None
    return SpectrumAxes(axes.species, np.array([card.edges_mev_u[name] for name in axes.species]))


def on_bins(field: Field, wanted: SpectrumAxes) -> Field:
    """The field with its spectra on other bins (`physics.subbin`), what they say of themselves made anew; no halves."""
    spectra, steps = field.spectra, steps_of(field)
    beam = largest_species(spectra.axes, spectra.fluence)
    fluence = refined(
        spectra.axes, spectra.fluence, spectra.underflow, wanted, beam, steps.longest_mm, steps.physics_list
    )
    lower = np.maximum(
        spectra.fluence.sum(axis=1) + spectra.underflow - fluence.sum(axis=1), 0.0
    )  # what lies above the wanted bins, too: the beam does not
    made = replace(
        field, spectra=Spectra(wanted, fluence, lower.astype(np.float32), spectra.overflow), halves=(), halves_dose=()
    )
    return with_checks(made, steps)


def coarseness(field: Field) -> Coarseness:
    """How fine the bins of the beam's species are; irregular ones count by the widest that the beam passes through."""
    axes = field.spectra.axes
    beam = largest_species(axes, field.spectra.fluence)
    s = axes.species.index(beam)
    edges = axes.edges_mev_u[s]
    share = np.cumsum(field.spectra.fluence[s].sum(axis=(1, 2, 3), dtype=float))
    energy = float(edges[1 + int(np.searchsorted(share, (1 - LARGEST_OVERFLOW) * share[-1]))])  # the beam's, at most
    words = f"bins of {beam} from {edges[0]:g} to {edges[-1]:g} MeV/u"
    passed = np.diff(edges)[edges[:-1] < energy]
    if edges[0] < passed[0] and np.allclose(np.diff(edges), passed[0], rtol=0.01):
        return Coarseness("linear", energy / float(passed[0]), f"{axes.n_bins} linear {words}")
    known = edges[(edges > 0) & (edges <= energy * (1 + 1e-6))]
    if len(known) < 2:
        return Coarseness("logarithmic", 0.0, f"{axes.n_bins} {words}")
    per_decade = float(1.0 / np.diff(np.log10(known)).max())
    even = np.allclose(np.diff(np.log(np.maximum(edges, 1e-9))), np.log(10) / per_decade, rtol=0.01)
    return Coarseness("logarithmic", per_decade, f"{axes.n_bins} {'logarithmic ' if even else 'uneven '}{words}")


def error_of(field: Field) -> dict[str, Any]:
    """The measured row that a field's bins are at least as good as.

    Raises:
        BundleError: the bins are too coarse, or lie below the beam's energy.
    """
    spectra = field.spectra
    beam = largest_species(spectra.axes, spectra.fluence)
    s = spectra.axes.species.index(beam)
    above, inside = float(spectra.overflow[s].sum(dtype=float)), float(spectra.fluence[s].sum(dtype=float))
    if above > LARGEST_OVERFLOW * (above + inside):
        raise BundleError(
            f"{100 * above / (above + inside):.3g} % of the fluence of {beam} lies above the energy bins, which end at "
            f"{spectra.axes.edges_mev_u[s][-1]:g} MeV/u; score with EBinMax above the beam's energy"
        )
    found = coarseness(field)
    rows = [row for row in measured()["rows"] if (row["beam"] == "H") == (beam == "H") and row["kind"] == found.kind]
    coarser = [row for row in rows if row["number"] <= found.number * 1.01 and usable(row)]
    if not coarser:
        raise BundleError(_refusal(field, found, rows))
    return dict(max(coarser, key=lambda row: float(row["number"])))


def usable(row: dict[str, Any]) -> bool:
    """Whether bins of a measured row are accepted."""
    return bool(row["rms"] <= LARGEST_ERROR and row["rms_worst_region"] <= LARGEST_IN_A_REGION)


def better_without_spectra(field: Field) -> str:
    """Why model let-only has the smaller error for a field with spectra; "" where it has not, or does not apply."""
    axes = field.spectra.axes
    if largest_species(axes, field.spectra.fluence) != "H" or "LET_d" not in field.volumes:
        return ""
    try:
        error = float(error_of(field)["rms"])
    except BundleError as refusal:
        return str(refusal)
    if error <= LET_ONLY_ERROR:
        return ""
    return (
        f"{coarseness(field).words} leave an error of RBE of {error:.2g} %, model let-only on dose and LET_d one of "
        f"{LET_ONLY_ERROR:g} %"
    )


def said(field: Field, row: dict[str, Any]) -> dict[str, Any]:
    """What the maps of a field in coarse bins stand under."""
    better = better_without_spectra(field)
    return {
        "scored": coarseness(field).words,
        "error": f"by the bins alone, of RBE at 2 Gy in %: RMS {row['rms']:.2g}, 95th percentile {row['p95']:.2g}, "
        f"bias {row['bias']:+.2g}, RMS in the worst region ({row['worst_region']}) {row['rms_worst_region']:.2g}",
        "rbe_rms_percent": row["rms"],
        "rbe_p95_percent": row["p95"],
        "rbe_bias_percent": row["bias"],
        "rbe_rms_worst_region_percent": row["rms_worst_region"],
        "measured_on": row["plans"],
        "intervals": "widened by the worst region's error",
        "advice": f"{better}: give --model let-only" if better else "",
    }


def _refusal(field: Field, found: Coarseness, rows: list[dict[str, Any]]) -> str:
    good = [row for row in rows if usable(row)]
    least = min(good, key=lambda row: float(row["number"]))
    unit = "per factor of ten of energy" if found.kind == "logarithmic" else "between 0 and the beam's energy"
    without = "; or take --model let-only, which needs no spectra" if least["beam"] == "H" else ""
    return (
        f"{found.words} are too coarse: {found.number:.2g} {found.kind} bins {unit}, at least {least['number']:.3g} "
        f"are needed for an error of RBE below {LARGEST_ERROR:g} %; score 16 or more logarithmic bins from 1 MeV/u to "
        f"above the beam's energy (`surrogate3d topas scorers`), see docs/coarse-spectra.md{without}"
    )
