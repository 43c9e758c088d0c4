"""What is doubtful, or cannot be, in the photon pair of a calibration."""

from __future__ import annotations

from surrogate3d.errors import ValueRangeError
from surrogate3d.io.survival_data import SurvivalData
from surrogate3d.physics.survival_fit import LinearQuadraticFit

LARGEST_ALPHA_X = 5.0
"""1/Gy. No mammalian line comes near; doses 100 times too small make 20 to 50 of an ordinary one."""

LARGEST_BETA_X = 2.0
"""1/Gy^2. Likewise; doses 100 times too small make 200 and more."""

DOUBTFUL_ALPHA_X = (0.01, 3.0)
"""1/Gy. Ordinary lines have 0.02 to 1, those without repair of double-strand breaks more; 0.3 is 0.003 in cGy."""


def require_gray(photon: LinearQuadraticFit) -> None:
    """Refuse a pair that no cell line has.

    Raises:
        ValueRangeError: alpha_x above 5 1/Gy or beta_x above 2 1/Gy^2.
    """
    for name, found, largest, unit in (
        ("alpha_x", photon.alpha.value, LARGEST_ALPHA_X, "1/Gy"),
        ("beta_x", photon.beta.value, LARGEST_BETA_X, "1/Gy^2"),
    ):
        if found > largest:
            raise ValueRangeError(
                f"{name} would be {found:.3g} {unit}, and no cell line has more than {largest:g}; check that doses are "
                "in Gy"
            )


def photon_warnings(photon: LinearQuadraticFit, data: SurvivalData) -> list[str]:
    """What a reader must know, the worst first."""
    return [*_misfit(photon), *_size(photon), *_unseen(photon), *_errors(data)]


def _misfit(photon: LinearQuadraticFit) -> list[str]:
    goodness = photon.goodness
    what = f"chi2 {goodness.chi2:.4g} for {goodness.ndf} degrees of freedom, p = {goodness.p_value:.2g}"
    if goodness.hopeless:
        return [
            f"DO NOT TRUST alpha_x AND beta_x: no linear-quadratic curve describes the photon points ({what}); errors "
            f"were enlarged by {goodness.scale:.3g}, which does not mend it; check doses, controls, experiments and "
            "standard errors"
        ]
    if goodness.scale > 1:
        return [f"the photon fit is poor ({what}); errors were enlarged by {goodness.scale:.3g}"]
    return []


def _size(photon: LinearQuadraticFit) -> list[str]:
    alpha, (least, most) = photon.alpha, DOUBTFUL_ALPHA_X
    if alpha.value > most or 0 < alpha.low <= alpha.value < least:
        return [
            f"alpha_x of {alpha.value:.3g} 1/Gy is outside the {least:g} to {most:g} 1/Gy of known cell lines; check "
            "that doses are in Gy"
        ]
    return []


def _unseen(photon: LinearQuadraticFit) -> list[str]:
    found = []
    if not photon.beta_is_seen:
        found.append(
            f"beta_x cannot be told from 0 with photon doses up to {photon.largest_dose:g} Gy (95 % interval up to "
            f"{photon.beta.high:.3g} 1/Gy^2); measure at higher doses before RBE at high dose is trusted"
        )
    if photon.alpha.low == 0:
        found.append(f"alpha_x cannot be told from 0 (95 % interval up to {photon.alpha.high:.3g} 1/Gy)")
    return found


def _errors(data: SurvivalData) -> list[str]:
    if data.errors != "unknown":
        return []
    return ["no standard errors in the file: one for all points was estimated, and the fit cannot be judged"]
