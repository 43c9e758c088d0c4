"""Which models a photon pair and ion data calibrate, and why they do not calibrate the others."""

from __future__ import annotations

from collections.abc import Callable

from surrogate3d.errors import ValueRangeError
from surrogate3d.physics.gsm2 import YIELD_LOW_LET, calibrate
from surrogate3d.physics.mkm import saturation_z0
from surrogate3d.physics.survival_ions import IonCurves, fit_lem, fit_mkm, fit_smk
from surrogate3d.physics.survival_search import ModelFit
from surrogate3d.pipeline.cell_line_calibration import (
    Assumed,
    Calibration,
    Parameter,
    fitted_parameter,
    given_parameter,
    written,
)

LAMBDA_RATIO = 1e-3
"""Directly lethal per sub-lethal lesion, as `physics.gsm2.calibrate` takes it."""


def gsm2(pair: dict[str, Parameter], assumed: Assumed) -> Calibration:
    """Rates of GSM2 from the photon pair, in closed form."""
    alpha, beta, G = pair["alpha_x"], pair["beta_x"], assumed.genome_gbp
    geometry = {"r_d": assumed.r_d, "R_n": assumed.R_n, "r": assumed.repair_rate}
    given = {name: given_parameter(name, value) for name, value in {**geometry, "genome_gbp": G}.items()}

    def rates(alpha_x: float, beta_x: float) -> tuple[float, float]:
        found = calibrate(alpha_x, beta_x, **geometry, G=G)
        return found.a, found.b

    def end(alpha_x: float, beta_x: float) -> tuple[float, float]:
        """At an end of an interval, which GSM2 need not reach: no rate is then the end of a."""
        try:
            return rates(alpha_x, beta_x)
        except ValueRangeError:
            return 0.0, float("nan")

    try:
        a, b = rates(alpha.value, beta.value)
    except ValueRangeError as error:
        return Calibration("gsm2", False, f"{error}{_remedy(alpha.value, assumed)}")
    # a hangs on alpha_x alone; b on beta_x, and on alpha_x by less than a per cent, as a is far below r
    fitted = {
        "a": Parameter(written(a), end(alpha.low, beta.value)[0], end(alpha.high, beta.value)[0], "1/h"),
        "b": Parameter(written(b), end(alpha.value, beta.low)[1], end(alpha.value, beta.high)[1], "1/h"),
    }
    why = "rates from the photon pair in closed form; radii, repair rate and genome given"
    return Calibration("gsm2", True, why, fitted | given)


def _remedy(alpha_x: float, assumed: Assumed) -> str:
    """What would let GSM2 reproduce a small alpha_x; what else it may be, its own message says."""
    directly_lethal = LAMBDA_RATIO * YIELD_LOW_LET * assumed.genome_gbp
    if alpha_x > directly_lethal:
        return "; fewer domains, of a larger r_d or a smaller R_n, allow a larger beta_x"
    return (
        f"; alpha_x is not above the {directly_lethal:.3g} 1/Gy of directly lethal lesions, which a genome below "
        f"{alpha_x / (LAMBDA_RATIO * YIELD_LOW_LET):.3g} Gbp would bring down"
    )


def of_ions(curves: IonCurves | None, pair: dict[str, Parameter], assumed: Assumed) -> list[Calibration]:
    """MKM, SMK and LEM I."""
    alpha_x, beta_x = pair["alpha_x"].value, pair["beta_x"].value
    if curves is None:
        return [Calibration(model, False, "needs survival data of ions in the file") for model in ("mkm", "smk", "lem")]
    beta0 = {"beta0": pair["beta_x"]}
    mkm_given = beta0 | {"R_n": given_parameter("R_n", assumed.mkm_R_n)}
    smk_given = beta0 | {"R_n": given_parameter("R_n", assumed.smk_R_n)}
    lem_given = pair | {"r_n": given_parameter("r_n", assumed.lem_r_n)}
    return [
        _fitted("mkm", lambda: fit_mkm(curves, beta_x, assumed.mkm_R_n), mkm_given),
        _fitted("smk", lambda: fit_smk(curves, beta_x, assumed.smk_R_n), smk_given),
        _fitted("lem", lambda: fit_lem(curves, alpha_x, beta_x, assumed.lem_r_n), lem_given),
    ]


def _fitted(model: str, run: Callable[[], ModelFit], given: dict[str, Parameter]) -> Calibration:
    try:
        found = run()
    except ValueRangeError as error:
        return Calibration(model, False, str(error))
    fitted = {name: fitted_parameter(name, estimate) for name, estimate in found.parameters.items()}
    if model == "mkm":
        radii = (fitted["r_d"].value, given["R_n"].value)
        given = given | {"z0": given_parameter("z0", saturation_z0(*radii, given["beta0"].value))}
    goodness = found.goodness
    if goodness.hopeless:
        why = (
            f"does not describe the data (chi2 {goodness.chi2:.4g} on {goodness.ndf} degrees of freedom, p = "
            f"{goodness.p_value:.2g}); check doses, LET and standard errors, or use another model"
        )
        return Calibration(model, False, why, fitted | given, goodness)
    if found.undetermined:
        return Calibration(model, False, found.undetermined, fitted | given, goodness)
    why = f"least squares on {goodness.n_points} points of ions and their controls, at the photon pair"
    return Calibration(model, True, why, fitted | given, goodness)


def of_the_pair(pair: dict[str, Parameter]) -> list[Calibration]:
    """Models without parameters of their own."""
    usable = pair["alpha_x"].value > 0 and pair["beta_x"].value > 0
    why = "need nothing but the photon pair, so nothing of theirs is written (wilkens and chen: only if alpha_x is 0.1)"
    return [
        Calibration("published LET models", usable, why if usable else "need alpha_x and beta_x above 0"),
        Calibration("zr_table", False, "needs a mono-energetic table of this line; give your own as --backend FILE"),
    ]
