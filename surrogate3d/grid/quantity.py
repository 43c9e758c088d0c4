"""The one table of names, symbols and units."""

from __future__ import annotations

from dataclasses import dataclass

from surrogate3d.errors import UnknownNameError


@dataclass(frozen=True)
class Quantity:
    """What a number means.

    Attributes:
        name: identifier in code, in stores and in file names.
        symbol: as printed in tables and figures.
        unit: as printed; "1" for a pure number.
        definition: one sentence.
    """

    name: str
    symbol: str
    unit: str
    definition: str

    @property
    def label(self) -> str:
        """Symbol with its unit, for axes and tables."""
        return self.symbol if self.unit == "1" else f"{self.symbol} / {self.unit}"


_ROWS = (
    (
        "dose_to_water",
        "D_w",
        "Gy",
        "absorbed dose to water in the voxel's own medium (small-cavity conversion)",
    ),
    ("dose_to_medium", "D_m", "Gy", "absorbed dose to the voxel's own medium"),
    ("dose_std", "s(D_w)", "Gy", "Monte Carlo standard error of dose_to_water, from the run's per-history deviation"),
    ("LET_d", "LET_d", "keV/um", "dose-averaged LET; particles, medium and cut-off are in its LetDefinition"),
    ("LET_t", "LET_t", "keV/um", "track-averaged LET; particles, medium and cut-off are in its LetDefinition"),
    ("tracks", "n_tracks", "1", "tracks scored in the voxel: summed fluence times the face area across the beam"),
    ("alpha", "alpha", "1/Gy", "linear coefficient of -ln S in the radiation field"),
    ("beta", "beta", "1/Gy^2", "quadratic coefficient of -ln S in the radiation field"),
    ("survival", "S", "1", "surviving fraction after all fractions at the voxel's own dose"),
    ("effect", "-ln S", "1", "negative logarithm of the surviving fraction"),
    ("RBE", "RBE", "1", "photon dose over ion dose at equal survival, at the voxel's own fraction dose"),
    ("RBE_ref", "RBE(D_ref)", "1", "photon dose over ion dose at equal survival, at one reference dose everywhere"),
    ("RBE10", "RBE10", "1", "photon dose over ion dose at 10 % survival"),
    ("D_RBE", "D_RBE", "Gy (RBE)", "RBE-weighted dose, RBE(D per fraction) x D, all fractions"),
    ("BED", "BED", "Gy", "biologically effective dose of photons, D_RBE (1 + D_RBE per fraction / (alpha_x / beta_x))"),
    ("EQD2", "EQD2", "Gy", "photon dose in fractions of 2 Gy with the same BED"),
    ("RBE_std", "s(RBE)", "1", "predicted standard deviation of RBE_ref (surrogate, not Monte Carlo)"),
    ("cell_line", "cell line", "1", "number of the voxel's cell line, as listed with the map; 0 for none"),
    ("RBE_half_width", "u90(RBE)", "1", "half width of the interval of RBE_ref that is to cover 90 % (surrogate)"),
    ("RBE_se", "se(RBE)", "1", "Monte Carlo standard error of RBE_ref (direct simulation)"),
    ("outside", "outside", "1", "1 where a direct simulation lies outside the validity of its back end"),
    ("explained", "K sum(Phi L) / D", "1", "dose to water that the spectra explain over the scored dose"),
    (
        "explained_corrected",
        "K sum(Phi L_step) / D",
        "1",
        "as explained, with the mean LET along a step of the simulation in place of that at its start",
    ),
    ("LET_d_spectra", "LET_d (spectra)", "keV/um", "dose-averaged LET from the spectra, by its LetDefinition"),
    ("LET_t_spectra", "LET_t (spectra)", "keV/um", "track-averaged LET from the spectra, by its LetDefinition"),
    (
        "M1",
        "M_1",
        "1",
        "mean ionisation cluster size in a nanometre site, dose-weighted; site and convention with the map",
    ),
    ("F1", "F_1", "1", "probability of 1 or more ionisations in a nanometre site, dose-weighted"),
    ("F2", "F_2", "1", "probability of 2 or more ionisations in a nanometre site, dose-weighted"),
    ("F3", "F_3", "1", "probability of 3 or more ionisations in a nanometre site, dose-weighted"),
    (
        "DSB_site_yield",
        "Y(DSB sites)",
        "1/Gy/Gbp",
        "DSB sites, clustered DSB counted once, dose-weighted (PARTRAC fits)",
    ),
    ("DSB_yield", "Y(DSB)", "1/Gy/Gbp", "DNA double-strand breaks, dose-weighted (PARTRAC fits)"),
    ("complex_DSB_yield", "Y(complex DSB)", "1/Gy/Gbp", "clustered double-strand breaks, dose-weighted (PARTRAC fits)"),
    (
        "importance_nanometre",
        "a(nm)",
        "1",
        "share of nanometre features in what an in-vitro model attends to of the irradiation",
    ),
    (
        "importance_micrometre",
        "a(um)",
        "1",
        "share of micrometre features in what an in-vitro model attends to of the irradiation",
    ),
    ("importance_LET", "a(LET)", "1", "share of LET in what an in-vitro model attends to of the irradiation"),
    (
        "spectrum_fault",
        "spectrum fault",
        "1",
        "0 where the spectra can explain the dose; else why they cannot (physics.explained.FAULTS)",
    ),
    ("structure", "structure", "1", "fraction of the voxel inside the structure"),
    ("image_signal", "signal", "1", "signal of an image, as its file has it"),
    (
        "resistance",
        "r",
        "1",
        "what a voxel adds to the log odds that its lesion does not respond; research only",
    ),
    ("density", "rho", "g/cm3", "mass density"),
    ("HU", "HU", "HU", "CT number"),
    (
        "mask",
        "mask",
        "1",
        "1 where there is an answer, 0 where dose or spectrum do not allow one",
    ),
    (
        "out_of_domain",
        "out of domain",
        "1",
        "1 where the training says nothing; for a beam of another ion the answer is that of grouped pooling",
    ),
)

QUANTITIES: dict[str, Quantity] = {row[0]: Quantity(*row) for row in _ROWS}


def quantity(name: str) -> Quantity:
    """Look a quantity up.

    Raises:
        UnknownNameError: the name is not in the table.
    """
    if name not in QUANTITIES:
        raise UnknownNameError(f"unknown quantity {name!r}; known: {', '.join(QUANTITIES)}")
    return QUANTITIES[name]
