"""Cell lines that nobody has measured: photon pairs spread over a range, for training and for tests.

What a line is to GSM2 follows from its photon pair in closed form (`gsm2.calibrate`), with the geometry of the shipped
lines. Which pairs are admitted:

* alpha_x above what directly lethal lesions alone give, lambda_ratio kappa_x = 0.042 1/Gy with 6.2 Gbp: with fewer,
  the rate of repaired lesions that become lethal would be negative.
* beta_x below (kappa_x r / (a + r))^2 / 2 N, some 7 1/Gy^2 with 125 domains: beyond, not even an infinite rate of pairs
  would kill enough. No pair of the default range comes near.
* The photon curve of GSM2 stays within `LARGEST_BEND` of its linear-quadratic pair up to `UP_TO_GY`, the doses of all
  LQ fits. GSM2 bends down, the more so the larger alpha_x and the smaller the ratio: 1.5 Gy is admitted up to 0.25
  1/Gy, 2 Gy up to 0.37, 2.5 Gy up to 0.51, 3 Gy and more everywhere; in all 96 % of the default range, by logarithms.
  Where it bends more, the photons that RBE refers to are not those that the model simulates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from surrogate3d.errors import ValueRangeError
from surrogate3d.physics.cell_line import CellLine
from surrogate3d.physics.gsm2 import calibrate, photon_effect
from surrogate3d.physics.linear_quadratic import effect

LARGEST_BEND = 0.02
"""Largest relative difference of -ln S of photons between GSM2 and the pair that it was calibrated on."""

UP_TO_GY = 3.0

_PLASTIC = 1.32471795724474602596
"""Real root of x^3 = x + 1: steps by its inverse powers fill a square evenly (M. Roberts, "The Unreasonable
Effectiveness of Quasirandom Sequences", 2018)."""

_DIGITS = 4


@dataclass(frozen=True)
class FamilyRange:
    """Photon pairs of a family.

    Attributes:
        alpha_x: lowest and highest, 1/Gy.
        alpha_beta_x: lowest and highest ratio, Gy.

    Raises:
        ValueRangeError: not 0 < lowest < highest.
    """

    alpha_x: tuple[float, float] = (0.05, 0.6)
    alpha_beta_x: tuple[float, float] = (1.5, 20.0)

    def __post_init__(self) -> None:
        for name in ("alpha_x", "alpha_beta_x"):
            low, high = getattr(self, name)
            if not 0 < low < high < float("inf"):
                raise ValueRangeError(f"a family needs 0 < lowest < highest {name}, found {low:g} and {high:g}")


def line_of_pair(alpha_x: float, beta_x: float, name: str = "") -> CellLine:
    """A line of a photon pair alone, with the geometry of the shipped lines.

    Args:
        alpha_x: 1/Gy.
        beta_x: 1/Gy^2.
        name: identifier; one that says the pair if not given.

    Raises:
        ValueRangeError: GSM2 cannot reproduce the pair.
    """
    return CellLine(
        name=name or f"photon-pair-{alpha_x:g}-{beta_x:g}",
        species="not stated",
        tissue="not stated",
        alpha_x=alpha_x,
        beta_x=beta_x,
        source="a photon pair, not measured on any cells",
        gsm2=calibrate(alpha_x, beta_x),
        gsm2_source="rates calibrated in closed form on the photon pair; geometry of the shipped lines",
        mkm=None,
        smk=None,
    )


def bend(line: CellLine) -> float:
    """Largest relative difference of -ln S of photons, up to `UP_TO_GY`, between GSM2 and the line's photon pair."""
    doses = np.linspace(0.25, UP_TO_GY, 12)
    ratio = photon_effect(doses, line.gsm2) / effect(doses, line.alpha_x, line.beta_x)
    return float(np.abs(ratio - 1).max())


def admitted(alpha_x: float, beta_x: float) -> bool:
    """Whether a pair belongs to a family; see the module's docstring."""
    try:
        return bend(line_of_pair(alpha_x, beta_x)) <= LARGEST_BEND
    except ValueRangeError:
        return False


def draw_cell_lines(
    n: int, rng: np.random.Generator, within: FamilyRange | None = None, most_tries: int = 10_000
) -> tuple[CellLine, ...]:
    """Lines spread evenly over the logarithms of alpha_x and of alpha_x / beta_x.

    The points are an additive recurrence with a random start, which fills the range evenly after any number of points;
    those that are not admitted are left out. The first of many lines are those of a shorter draw. alpha_x and beta_x
    are rounded to four digits, so that their names say them.

    Args:
        n: number of lines.
        rng: decides the start; equal generators give equal lines.
        within: the range; `FamilyRange()` if not given.
        most_tries: points after which a range without enough admitted pairs is given up.

    Returns:
        Lines of different names.

    Raises:
        ValueRangeError: `n` is negative, or the range has too few admitted pairs.
    """
    if n < 0:
        raise ValueRangeError(f"a number of cell lines cannot be negative, found {n}")
    box = within or FamilyRange()
    start, steps = rng.random(2), np.array([1 / _PLASTIC, 1 / _PLASTIC**2])
    low, high = np.log(np.array([box.alpha_x, box.alpha_beta_x]).T)
    found: dict[str, CellLine] = {}
    for k in range(most_tries):
        if len(found) == n:
            break
        alpha_x, ratio = np.exp(low + (start + k * steps) % 1.0 * (high - low))
        pair = _rounded(float(alpha_x)), _rounded(float(alpha_x / ratio))
        if admitted(*pair):
            line = line_of_pair(*pair)
            found.setdefault(line.name, line)
    if len(found) < n:
        raise ValueRangeError(
            f"only {len(found)} of {n} photon pairs within {box} can be reproduced by GSM2 to {LARGEST_BEND:.0%} up to "
            f"{UP_TO_GY:g} Gy; widen the range towards smaller alpha_x or larger alpha_x / beta_x"
        )
    return tuple(found.values())


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
