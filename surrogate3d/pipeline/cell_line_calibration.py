"""What comes out of calibrating a cell line, as plain data."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from surrogate3d.errors import ConfigError, ValueRangeError
from surrogate3d.io.survival_data import PHOTON, SurvivalData
from surrogate3d.physics.cell_line import cell_lines
from surrogate3d.physics.survival_fit import Estimate, Goodness

UNITS = {
    "alpha_x": "1/Gy", "beta_x": "1/Gy^2", "a": "1/h", "b": "1/h", "r": "1/h", "genome_gbp": "Gbp",
    "alpha0": "1/Gy", "beta0": "1/Gy^2", "r_d": "um", "R_n": "um", "r_n": "um", "z0": "Gy", "D_t": "Gy",
}  # fmt: skip

ERRORS = {
    "stated": "known, the stated standard errors",
    "counted": "known, Poisson's of the counted colonies",
    "unknown": "one standard deviation of ln S, estimated from the scatter",
}


@dataclass(frozen=True)
class Assumed:
    """What survival data do not say.

    Attributes:
        name: of the cell line; none of the shipped ones.
        species: animal species.
        tissue: origin of the line.
        r_d: domain radius of GSM2, um; the default is that of the shipped lines.
        R_n: nucleus radius of GSM2, um; likewise.
        repair_rate: of GSM2, 1/h; likewise. It sets the clock, and acute survival does not depend on it.
        genome_gbp: Gbp; likewise.
        mkm_R_n: nucleus radius of the MKM, um; the default is that of HSG (Inaniwa et al. 2010).
        smk_R_n: of the SMK, um; that of the published sets.
        lem_r_n: of LEM I, um; that of the shipped `chordoma`.

    Raises:
        ConfigError: a text is empty or has line breaks, or the name is a shipped one.
        ValueRangeError: a number is not positive.
    """

    name: str
    species: str = "not stated"
    tissue: str = "not stated"
    r_d: float = 0.9
    R_n: float = 4.5
    repair_rate: float = 2.5
    genome_gbp: float = 6.2
    mkm_R_n: float = 3.9
    smk_R_n: float = 8.1
    lem_r_n: float = 5.0

    def __post_init__(self) -> None:
        for what, value in asdict(self).items():
            if isinstance(value, str) and not (value.strip() and value.isprintable()):
                raise ConfigError(f"{what} of the cell line must be a text in one line, found {value!r}")
            if isinstance(value, float) and not 0 < value < float("inf"):
                raise ValueRangeError(f"{what} of the cell line must be above 0 and finite, found {value:g}")
        if self.name in cell_lines():
            raise ConfigError(f"{self.name} is a shipped cell line, and tables are known by name; give another name")


@dataclass(frozen=True)
class Parameter:
    """A number of a model.

    Attributes:
        value: as written to the file.
        low: lower end of the 95 % interval; NaN where it is given and not fitted.
        high: upper end; likewise.
        unit: of it.
    """

    value: float
    low: float
    high: float
    unit: str


@dataclass(frozen=True)
class Calibration:
    """Whether a model can be used for the line, and its parameters.

    Attributes:
        model: its table in the file of a cell line.
        calibrated: whether it has its parameters now; of models without parameters of their own, whether they can be
            used.
        why: what they are from, or what is missing.
        parameters: by name; empty where it has none.
        goodness: of the fit to ion data.
    """

    model: str
    calibrated: bool
    why: str
    parameters: dict[str, Parameter] = field(default_factory=dict)
    goodness: Goodness | None = None


@dataclass(frozen=True)
class CellLineFit:
    """What survival data say of a cell line.

    Attributes:
        assumed: what they do not say.
        data: the points.
        photon: alpha_x and beta_x.
        goodness: of the photon fit.
        models: one each.
        warnings: what a reader must know.
    """

    assumed: Assumed
    data: SurvivalData
    photon: dict[str, Parameter]
    goodness: Goodness
    models: tuple[Calibration, ...]
    warnings: tuple[str, ...]

    def model(self, name: str) -> Calibration:
        """One of them."""
        return next(each for each in self.models if each.model == name)

    def to_json(self) -> dict[str, Any]:
        """Plain data; see docs/cell-lines.md."""
        points = [point for point in self.data.points if point.dose_gy > 0]
        ions = [point for point in points if point.radiation != PHOTON]
        qualities = dict.fromkeys((point.radiation, point.energy_mev_u, point.LET) for point in ions)
        return {
            "input": {
                "file": self.data.file,
                "sha256": self.data.sha256,
                "errors": ERRORS[self.data.errors],
                "n_photon": len(points) - len(ions),
                "n_ion": len(ions),
                "n_controls": len(self.data.points) - len(points),
                "qualities": [dict(zip(("ion", "energy_mev_u", "LET_kev_um"), q, strict=True)) for q in qualities],
            },
            "assumed": asdict(self.assumed),
            "photon": {**{n: asdict(p) for n, p in self.photon.items()}, "goodness": asdict(self.goodness)},
            "models": [asdict(each) for each in self.models],
            "warnings": list(self.warnings),
        }


def written(value: float) -> float:
    """Six digits, as they stand in the file."""
    return float(f"{value:.6g}")


def fitted_parameter(name: str, found: Estimate) -> Parameter:
    """A number with its interval."""
    return Parameter(written(found.value), found.low, found.high, UNITS[name])


def given_parameter(name: str, value: float) -> Parameter:
    """A number that was not fitted."""
    return Parameter(written(value), float("nan"), float("nan"), UNITS[name])
