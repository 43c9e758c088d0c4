"""Survival of a population of cells whose nuclei differ in size: the mean over a distribution of the nucleus radius.

A larger nucleus of the same cell line has more domains of the same radius, and the same genome spread over them: it is
hit by more tracks, each of which finds fewer lesions to make per domain. Yields, genome and the rates a and r are those
of the cell line. The rate b is calibrated anew (`recalibrated`), so that the population as a whole has the photon pair
of the cell line, as it was measured.

The number of domains along an axis is R_n / r_d rounded down, so survival jumps with the radius and a quadrature for
smooth functions would err. The distribution is therefore cut into equal shares, each at its own mean radius: the mean
radius is kept exactly, and the error falls as one over the number of shares. A radius that is a whole multiple of r_d,
as HSG's is, lies on such a jump, and any width lets half of the cells lose a layer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from surrogate3d.direct.nucleus_sampler import NucleusSampler
from surrogate3d.direct.tally import N_BATCHES, SurvivalTally
from surrogate3d.direct.task import VoxelTask
from surrogate3d.errors import ValueRangeError
from surrogate3d.physics.gsm2 import Gsm2Parameters, n_domains

Floats = npt.NDArray[np.float64]

N_SIZES = 16
"""Equal shares into which a distribution of radii is cut."""


@dataclass(frozen=True)
class NucleusSizes:
    """A distribution of nucleus radii.

    Attributes:
        radii_um: radii, um.
        shares: share of the cells with each of them; their sum is 1.

    Raises:
        ValueRangeError: a radius is not positive, a share is negative, or the shares do not add up to 1.
    """

    radii_um: tuple[float, ...]
    shares: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.radii_um) != len(self.shares) or not all(0 < radius < np.inf for radius in self.radii_um):
            raise ValueRangeError(f"expected one share for each positive radius in um, found {self}")
        if min(self.shares, default=0.0) < 0 or abs(sum(self.shares) - 1) > 1e-9:
            raise ValueRangeError(f"shares must be >= 0 and add up to 1, found {self.shares}")


def log_normal(mean_um: float, relative_width: float, n: int = N_SIZES) -> NucleusSizes:
    """Log-normal distribution of radii in n equal shares, each at its mean radius.

    Args:
        mean_um: mean radius, um.
        relative_width: standard deviation over mean of the radius; 0 gives the one radius `mean_um` exactly.
        n: number of shares.

    Raises:
        ValueRangeError: the mean is not positive, the width is negative, or there is no share.
    """
    if not (0 < mean_um < np.inf and 0 <= relative_width < np.inf and n >= 1):
        raise ValueRangeError(
            f"a log-normal of radii needs a positive mean in um, a width >= 0 and a share; "
            f"found {mean_um}, {relative_width} and {n}"
        )
    if relative_width == 0:
        return NucleusSizes((float(mean_um),), (1.0,))
    from scipy.special import ndtr, ndtri  # here, as it is slow to load

    sigma = np.sqrt(np.log1p(relative_width**2))
    below = ndtr(ndtri(np.arange(n + 1) / n) - sigma)  # part of the mean that lies below each cut
    return NucleusSizes(tuple((mean_um * n * np.diff(below)).tolist()), (1.0 / n,) * n)


@lru_cache(maxsize=256)
def resized(parameters: Gsm2Parameters, R_n: float) -> Gsm2Parameters:
    """The same cell with a nucleus of another radius, um.

    Raises:
        ValueRangeError: the nucleus is smaller than a domain.
    """
    if R_n == parameters.R_n:
        return parameters
    n_lateral, n_layers = n_domains(parameters.r_d, R_n)
    return replace(parameters, R_n=R_n, n_lateral=n_lateral, n_layers=n_layers)


@lru_cache(maxsize=64)
def recalibrated(parameters: Gsm2Parameters, sizes: NucleusSizes) -> Gsm2Parameters:
    """The cell line with a rate b that gives the whole population the photon pair which one radius had.

    In the low-dose limit of `gsm2.calibrate` alpha_x does not depend on the number of domains N, and beta_x goes as b /
    (a + r + b) / N: the mean of 1 / N over the cells takes the place of 1 / N.

    Raises:
        ValueRangeError: no rate does, or as for `resized`.
    """
    inverse = sum(share / resized(parameters, R).N for R, share in zip(sizes.radii_um, sizes.shares, strict=True))
    q = parameters.b / (parameters.a + parameters.r + parameters.b) / (parameters.N * inverse)
    if not q < 1:
        raise ValueRangeError(f"no pair rate gives these sizes the photon response of one, R_n {parameters.R_n:g} um")
    return replace(parameters, b=q * (parameters.a + parameters.r) / (1 - q))


def averaged(survival: Callable[[Gsm2Parameters], Floats], parameters: Gsm2Parameters, sizes: NucleusSizes) -> Floats:
    """Mean surviving fraction over the sizes.

    Args:
        survival: of a cell with one size, any shape; survival is averaged, never its logarithm.
        parameters: the cell line.
        sizes: the distribution.

    Raises:
        ValueRangeError: as for `resized`.
    """
    parts = [share * survival(resized(parameters, R)) for R, share in zip(sizes.radii_um, sizes.shares, strict=True)]
    return np.asarray(np.sum(parts, axis=0))


class SizesTally:
    """Survival of one cell line over nuclei of several sizes in equal shares, each with its own control variate.

    Batch b of the jackknife is batch b of every size, so that leaving one out leaves out the same part of all.
    """

    def __init__(self, expected_q: Sequence[Floats]) -> None:
        """Take the exact mean of q, (dose,), of each size."""
        self._tallies = [SurvivalTally(q) for q in expected_q]

    def add(self, size: int, survival: Floats, q: Floats) -> None:
        """Add (nucleus, dose) values of one size."""
        self._tallies[size].add(survival, q)

    def estimate(self) -> tuple[Floats, Floats, Floats]:
        """Mean survival (dose), the same without each batch (batch, dose), and its relative standard error (dose)."""
        if len(self._tallies) == 1:
            return self._tallies[0].estimate()
        S, left_out, relative_se = (np.array(each) for each in zip(*(t.estimate() for t in self._tallies), strict=True))
        mean = S.mean(axis=0)
        return mean, left_out.mean(axis=0), np.sqrt(((S * relative_se) ** 2).sum(axis=0)) / len(S) / mean


def survival_over_sizes(
    task: VoxelTask,
    parameters: Gsm2Parameters,
    sizes: NucleusSizes,
    doses: Sequence[float],
    n_nuclei: int,
    seed: int,
    b_near: float = 1.0,
) -> tuple[Floats, Floats]:
    """The direct simulation of `gsm2_mc`, averaged over nucleus sizes.

    Args:
        task: the voxel; its cell lines are not used.
        parameters: the cell line.
        sizes: the distribution; the k-th size has the random numbers of seed + k.
        doses: ladder, Gy, ascending, positive.
        n_nuclei: nuclei of each size, a multiple of 16.
        seed: non-negative.
        b_near: tracks further than r_d + b_near from a domain axis enter as their mean, um.

    Returns:
        (dose,) surviving fraction and (dose,) its standard error.

    Raises:
        ValueRangeError: `n_nuclei` is not a positive multiple of 16, the seed is negative, or as for `resized`.
    """
    if n_nuclei < N_BATCHES or n_nuclei % N_BATCHES or seed < 0:
        raise ValueRangeError(
            f"expected a multiple of {N_BATCHES} nuclei of each size and a seed >= 0, found {n_nuclei} and {seed}"
        )
    survival, variance = np.zeros(len(doses)), np.zeros(len(doses))
    for k, (R_n, share) in enumerate(zip(sizes.radii_um, sizes.shares, strict=True)):
        cell = resized(parameters, R_n)
        sampler = NucleusSampler(task, cell.r_d, cell.R_n, b_near, doses, seed + k)
        values, mean_q = sampler(0, n_nuclei, [cell])
        tally = SurvivalTally(sampler.expected_q)
        tally.add(values[0], mean_q)
        S, _, relative_se = tally.estimate()
        survival += share * S
        variance += (share * S * relative_se) ** 2
    return survival, np.sqrt(variance)
