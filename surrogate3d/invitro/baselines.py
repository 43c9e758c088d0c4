"""The methods of the comparison, by the names that its table shows."""

from __future__ import annotations

from collections.abc import Callable

from surrogate3d.errors import UnknownNameError
from surrogate3d.invitro import baseline_kinetic as kinetic
from surrogate3d.invitro import baseline_published as published
from surrogate3d.invitro.baseline_network import Network
from surrogate3d.invitro.baseline_protocol import Method
from surrogate3d.invitro.baseline_trees import Trees
from surrogate3d.invitro.scales import GROUPS

_NO_NANO = tuple(group for group in GROUPS if group != "nano")
_LET_ONLY = ("LET", "biology")
_NOT_LET = tuple(group for group in GROUPS if group not in _LET_ONLY)

METHODS: dict[str, Callable[[], Method]] = {
    "network": Network,
    "network, no nano": lambda: Network(without=("nano",)),
    "network, LET only": lambda: Network(without=_NOT_LET),
    "forest": Trees,
    "forest, no nano": lambda: Trees(groups=_NO_NANO),
    "forest, LET only": lambda: Trees(groups=_LET_ONLY),
    "forest, LET and ion": lambda: Trees(groups=_LET_ONLY, with_ion=True),
    "boosting": lambda: Trees("boosting"),
    "boosting, squared errors": lambda: Trees("boosting", settings={"loss": "squared_error"}),
    "boosting, with ion": lambda: Trees("boosting", with_ion=True),
    "boosting, LET and ion": lambda: Trees("boosting", groups=_LET_ONLY, with_ion=True),
    "MKM": lambda: kinetic.Formulas(kinetic.mkm_curves, {"r_d": kinetic.DOMAIN_RADII_UM}),
    "SMK": lambda: kinetic.Formulas(
        kinetic.smk_curves, {"r_d": kinetic.DOMAIN_RADII_UM, "R_n": kinetic.NUCLEUS_RADII_UM}
    ),
    "pymkm": lambda: kinetic.Formulas(kinetic.pymkm_curves, {}),
    "LEM I": lambda: kinetic.Formulas(
        published.lem_curves, {"D_t": published.THRESHOLDS_GY, "r_n": published.NUCLEUS_RADII_UM}
    ),
    "McNamara": lambda: kinetic.Formulas(published.mcnamara_curves, {}),
}


def method(name: str) -> Method:
    """A method by its name in `METHODS`, not yet fitted.

    Raises:
        UnknownNameError: no such method.
    """
    if name not in METHODS:
        raise UnknownNameError(f"unknown method {name!r}; known: {', '.join(METHODS)}")
    return METHODS[name]()
