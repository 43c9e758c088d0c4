"""The file of a calibrated cell line, in the form of the shipped ones, with its intervals as comments."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping

from surrogate3d.pipeline.cell_line_calibration import Calibration, CellLineFit, Parameter

_KEYS = {
    "gsm2": ("r_d", "R_n", "r", "genome_gbp"),
    "mkm": ("alpha0", "beta0", "r_d", "R_n"),
    "smk": ("alpha0", "beta0", "r_d", "R_n", "z0"),
    "lem": ("alpha_x", "beta_x", "D_t", "r_n"),
}
"""What stands in each table; the rates of GSM2 and z0 of the MKM follow from it."""


def cell_line_text(fit: CellLineFit) -> str:
    """TOML that `physics.cell_line.cell_line` reads; models that are not calibrated are named in comments."""
    assumed, goodness = fit.assumed, fit.goodness
    quality = (
        f"common s.d. of ln S {goodness.common_sd:.3g}"
        if math.isnan(goodness.chi2)
        else f"chi2 {goodness.chi2:.4g} for {goodness.ndf} degrees of freedom, p = {goodness.p_value:.2g}"
    )
    data = f"{fit.data.file} (SHA-256 {fit.data.sha256})"
    source = f"least squares on {goodness.n_points} points of {data}; {quality}"
    head = [
        f"# calibrated by surrogate3d cell-line fit on {fit.data.file}; intervals are of 95 %",
        *(f"# warning: {text}" for text in fit.warnings),
        *(f"{key} = {_string(getattr(assumed, key))}" for key in ("name", "species", "tissue")),
        *_numbers(fit.photon, ("alpha_x", "beta_x")),
        f"source = {_string(source)}",
    ]
    for model in fit.models:
        head += ["", *_table(model, data)]
    return "\n".join(head) + "\n"


def _table(model: Calibration, data: str) -> list[str]:
    if model.model not in _KEYS or not model.calibrated:
        return [f"# {model.model}: {'usable' if model.calibrated else 'not calibrated'}: {model.why}"]
    keys = _KEYS[model.model]
    follows = [
        f"# follows: {line}" for line in _numbers(model.parameters, [k for k in model.parameters if k not in keys])
    ]
    source = f"{model.why}; {data}"
    return [f"[{model.model}]", *_numbers(model.parameters, keys), *follows, f"source = {_string(source)}"]


def _numbers(parameters: Mapping[str, Parameter], keys: Iterable[str]) -> list[str]:
    return [f"{key} = {parameters[key].value!r}  # {_remark(parameters[key])}" for key in keys]


def _remark(parameter: Parameter) -> str:
    if math.isnan(parameter.low) and math.isnan(parameter.high):
        return f"{parameter.unit}, given"
    return f"{parameter.unit}, {parameter.low:.4g} to {parameter.high:.4g}"


def _string(text: str) -> str:
    """A basic string of TOML."""
    return json.dumps(text, ensure_ascii=False)
