"""Units that cannot be right in a table of alpha and beta: total energies, per cGy, per mGy.

A limit stands where no ion and no cell line come near, so that whatever lies beyond has a wrong unit. What lies within
may be wrong all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from surrogate3d.errors import ValueRangeError

LARGEST_ENERGY_MEV_U = 1000.0
"""Twice what therapy uses, and the last node of the tables that come with OpenTOPAS-RBE; more is a total energy."""

LARGEST_ALPHA = 20.0
"""1/Gy. The largest of the shipped tables is 2.3, of those of OpenTOPAS-RBE 1.5; a hit of a nucleus that always kills
gives 1 / (0.16 LET / area), at most 10 for 100 keV/um and 160 um^2. More is per another unit of dose."""

LARGEST_BETA = 5.0
"""1/Gy^2. The largest of the shipped tables is 0.14; more is per another unit of dose."""

FAST_MEV_U = 100.0
"""From here on the effect of a light ion is near that of photons."""

LARGEST_FACTOR = 3.0
"""Between alpha of fast protons and alpha_x, either way. OpenTOPAS-RBE's MKM_Kase has 2.6 at 1000 MeV/u, LEM I of the
shipped `chordoma` 1.6 at 100 MeV/u. No ion has less than a third of alpha_x."""

LARGEST_FACTOR_HEAVIER = 10.0
"""The same upwards where the lightest ion is helium or heavier: LEM I has 3.6 for helium and 7.5 for oxygen."""


def require_units(
    energy_mev_u: Sequence[float], alpha: Sequence[float], beta: Sequence[float], where: Callable[[int], str]
) -> None:
    """One ion's columns.

    Args:
        energy_mev_u: MeV/u.
        alpha: 1/Gy.
        beta: 1/Gy^2.
        where: of the n-th node, for messages.

    Raises:
        ValueRangeError: a node is above 1000 MeV/u, an alpha above 20 1/Gy or a beta above 5 1/Gy^2.
    """
    for n, energy in enumerate(energy_mev_u):
        if energy > LARGEST_ENERGY_MEV_U * (1 + 1e-9):  # a conversion of units may round
            raise ValueRangeError(
                f"{where(n)}: expected MeV per nucleon, at most {LARGEST_ENERGY_MEV_U:g}, found {energy:g}; divide "
                "total energies by A"
            )
    for what, unit, values, largest in (
        ("alpha", "1/Gy", alpha, LARGEST_ALPHA),
        ("beta", "1/Gy^2", beta, LARGEST_BETA),
    ):
        for n, value in enumerate(values):
            if value > largest:
                raise ValueRangeError(
                    f"{where(n)}: expected {what} in {unit}, at most {largest:g}, found {value:g}; no cell line comes "
                    "near, so check the unit"
                )


def require_near_photons(Z: int, energy_mev_u: float, alpha: float, alpha_x: float, where: str) -> None:
    """The last node of a table's lightest ion, beside the photon reference that the table states; both in 1/Gy.

    Raises:
        ValueRangeError: at 100 MeV/u or more, alpha is far from alpha_x.
    """
    factor = LARGEST_FACTOR if Z == 1 else LARGEST_FACTOR_HEAVIER
    if energy_mev_u >= FAST_MEV_U and not alpha_x / LARGEST_FACTOR <= alpha <= factor * alpha_x:
        raise ValueRangeError(
            f"{where}: alpha of the lightest ion (Z = {Z}) at {energy_mev_u:g} MeV/u must be near that of photons, "
            f"{1 / LARGEST_FACTOR:.2g} to {factor:g} times alpha_x = {alpha_x:g} 1/Gy, found {alpha:g}; check both "
            "units"
        )
