"""Calibrate a cell line on its survival data, and write it in the form of the shipped ones."""

from __future__ import annotations

from pathlib import Path

from surrogate3d.errors import ConfigError, ValueRangeError
from surrogate3d.io.atomic import atomic_file
from surrogate3d.io.survival_data import SurvivalData, read_survival
from surrogate3d.physics.cell_line import cell_line
from surrogate3d.physics.survival_fit import LinearQuadraticFit, fit_linear_quadratic_curve
from surrogate3d.pipeline.cell_line_calibration import Assumed, CellLineFit, fitted_parameter
from surrogate3d.pipeline.cell_line_doubts import photon_warnings, require_gray
from surrogate3d.pipeline.cell_line_models import gsm2, of_ions, of_the_pair
from surrogate3d.pipeline.cell_line_points import ion_curves, photon_points
from surrogate3d.pipeline.cell_line_text import cell_line_text


def fit_cell_line(path: Path, assumed: Assumed) -> CellLineFit:
    """Fit all that the data of a file allow.

    Raises:
        StoreError, FormatError: as `read_survival`.
        ValueRangeError: likewise; or no photon points, too few, survival that does not fall with dose, or a photon pair
            that no cell line has.
    """
    data = read_survival(path)
    photon = _photon_fit(data)
    pair = {"alpha_x": fitted_parameter("alpha_x", photon.alpha), "beta_x": fitted_parameter("beta_x", photon.beta)}
    models = (gsm2(pair, assumed), *of_ions(ion_curves(data), pair, assumed), *of_the_pair(pair))
    return CellLineFit(assumed, data, pair, photon.goodness, models, tuple(photon_warnings(photon, data)))


def write_cell_line(fit: CellLineFit, output: Path, overwrite: bool = False) -> None:
    """Write the file, whole or not at all, after it was loaded as a user would load it.

    Raises:
        ConfigError: the name of the file does not end in .toml.
        ValueRangeError: GSM2 cannot be calibrated, so the line is not complete.
        StoreError: the file is there already and is not to be replaced, or cannot be written.
    """
    if output.suffix != ".toml":
        raise ConfigError(f"the file of a cell line ends in .toml, found {output.name}")
    if not fit.model("gsm2").calibrated:
        raise ValueRangeError(f"nothing written, as a cell line needs GSM2: {fit.model('gsm2').why}")
    with atomic_file(output, overwrite) as scratch:
        scratch.write_text(cell_line_text(fit), encoding="utf-8")
        cell_line(scratch)


def _photon_fit(data: SurvivalData) -> LinearQuadraticFit:
    observed = photon_points(data)
    try:
        found = fit_linear_quadratic_curve(observed)
        require_gray(found)
    except ValueRangeError as error:
        raise ValueRangeError(f"{data.file}, photons: {error}") from error
    return found
