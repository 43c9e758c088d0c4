"""Whether the radiation in a voxel is like any that a model was trained on.

Training voxels are kept as at most `MAX_PROTOTYPES` points (`inference.spectrum_distance`) from runs of many histories,
each the farthest from those before. A voxel's score is its distance d to the nearest of them over what is allowed,

    score = d / sqrt(margin^2 + (b noise)^2),

with the noise of its own pooled spectrum, and b such that of the training plans, at all statistics that users have,
`WITHIN` of the voxels stay at or below the threshold of 1. Above it the voxel is outside the domain. So a voxel is not
outside only because it is noisy, and one with few tracks has to be further off to be told.

The margin is what plans of one ion differ by where their energies overlap. Trained on one proton plan alone, it leaves
out 1 to 4 % of such voxels of another (`benchmarks/domain.py`: `proton_slab` and `proton_deep`), most of them where the
primaries have less than 20 MeV and straggling tells how deep they came. Within one plan, 99 % of the voxels are nearer
than 0.05 at 150 tracks and 0.10 at 30. What is just beyond the training's energies is inside, too: the score ranks
well, the threshold is lenient.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import BundleError, ValueRangeError
from surrogate3d.grid import SPECIES_Z, Field
from surrogate3d.inference.spectrum_distance import SpectrumFeatures, field_features, spread
from surrogate3d.inference.spectrum_sums import LN_NODES
from surrogate3d.sampling.nearest import nearest
from surrogate3d.sampling.similarity import distance_to, distance_to_nearest

MARGIN = 0.12
"""Distance that is no reason to doubt, chosen on `proton_slab` and `proton_deep`: a broad spectrum shifted by 12 %."""

MAX_PROTOTYPES = 400
"""Spectra that stand for the training; with six species they take 160 kB."""

WITHIN = 0.99
"""Share of the voxels of the training plans, at the statistics of users, that is to be inside."""

_FARTHEST_AMONG = 10_000  # candidates for prototypes: neighbouring voxels of one plan are near copies
_SAMPLE = 1000  # voxels that tell which species is strange


@dataclass(frozen=True, eq=False)
class SpectrumDomain:
    """The spectra that a model was trained on.

    Attributes:
        species: of the prototypes, ascending in charge.
        prototypes: (prototype, species x node) float32 points.
        noise_scale: b of this page.
        margin: distance that is no reason to doubt even without noise.
        threshold: score above which a voxel is outside.
    """

    species: tuple[str, ...]
    prototypes: npt.NDArray[np.float32]
    noise_scale: float
    margin: float = MARGIN

    threshold: ClassVar[float] = 1.0

    @staticmethod
    def fit(
        training: Sequence[SpectrumFeatures],
        noisy: Sequence[SpectrumFeatures],
        margin: float = MARGIN,
        most: int = MAX_PROTOTYPES,
    ) -> SpectrumDomain:
        """Learn the domain.

        Args:
            training: voxels trained on, as runs with many histories give them.
            noisy: voxels of the same plans as runs with fewer histories give them, real and thinned, at all statistics
                that the model is for.
            margin: see `MARGIN`.
            most: number of prototypes.

        Raises:
            ValueRangeError: there are no voxels.
        """
        if not sum(len(part.points) for part in training):
            raise ValueRangeError("no voxel of the training has a spectrum; there is no domain to learn")
        seen = {name for part in training for name in part.species}
        species = tuple(name for name in SPECIES_Z if name in seen)
        points = np.concatenate([part.of(species) for part in training])
        prototypes = _farthest(points[:: -(-len(points) // _FARTHEST_AMONG)].astype(float), most).astype(np.float32)
        bare = SpectrumDomain(species, prototypes, 0.0, margin)
        scales = [_noise_scale(bare.distance(part), part.noise, margin) for part in noisy if len(part.points)]
        return SpectrumDomain(species, prototypes, max(scales, default=0.0), margin)

    def distance(self, features: SpectrumFeatures) -> npt.NDArray[np.float64]:
        """(voxel,) distance to the nearest prototype."""
        union = self._with(features)
        return distance_to_nearest(features.of(union), spread(self.prototypes, self.species, union))

    def score_of(self, features: SpectrumFeatures) -> npt.NDArray[np.float64]:
        """(voxel,) score."""
        return np.asarray(self.distance(features) / np.hypot(self.margin, self.noise_scale * features.noise))

    def score(self, field: Field, mask: npt.NDArray[np.bool_] | None = None) -> npt.NDArray[np.float64]:
        """Score of each voxel of a field.

        Args:
            field: with spectra, in any scale.
            mask: (i, j, k) the voxels that are asked for; all when not given.

        Returns:
            (i, j, k), outside the domain above `threshold`; NaN where not asked for or without fluence.
        """
        known = np.asarray(
            field.spectra.fluence.any(axis=(0, 1)) & (mask if mask is not None else np.True_), dtype=bool
        )
        score = np.full(known.shape, np.nan)
        if known.any():
            score[known] = self.score_of(field_features(field, known))
        return score

    def strangest(self, field: Field, mask: npt.NDArray[np.bool_]) -> str:
        """Species whose spectra differ most from those of the training in the voxels of a mask; "" if it has none."""
        known = np.argwhere(field.spectra.fluence.any(axis=(0, 1)) & mask)
        if not len(known):
            return ""
        sample = np.zeros(mask.shape, dtype=bool)
        sample[tuple(known[:: -(-len(known) // _SAMPLE)].T)] = True
        return self.strangest_of([field_features(field, sample)])

    def strangest_of(self, sample: Sequence[SpectrumFeatures]) -> str:
        """Species whose spectra differ most from those of the training in a sample of voxels; "" if it has none.

        Args:
            sample: some hundred voxels, of one tile of a field or of many.
        """
        square = dict[str, float]()
        for features in sample:
            union = self._with(features)
            points, prototypes = features.of(union), spread(self.prototypes, self.species, union)
            if len(points):
                apart = np.square(points - prototypes[nearest(points, prototypes)[0]], dtype=float)
                each = apart.reshape(len(points), len(union), -1).sum(axis=(0, 2))
                square |= {name: square.get(name, 0.0) + float(part) for name, part in zip(union, each, strict=True)}
        return max(square, key=square.__getitem__, default="")

    def to_arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """Arrays for a bundle; prototypes as float16."""
        return {
            "prototypes": self.prototypes.astype(np.float16),
            "charges": np.array([SPECIES_Z[name] for name in self.species], dtype=np.int32),
            "scales": np.array([self.noise_scale, self.margin], dtype=np.float64),
        }

    @staticmethod
    def from_arrays(arrays: Mapping[str, npt.NDArray[np.generic]]) -> SpectrumDomain:
        """The inverse of `to_arrays`, up to the rounding of float16.

        Raises:
            BundleError: an array is missing or does not fit.
        """
        names = {Z: name for name, Z in SPECIES_Z.items()}
        try:
            prototypes = arrays["prototypes"].astype(np.float32)
            species = tuple(names[int(Z)] for Z in arrays["charges"])
            noise_scale, margin = (float(x) for x in arrays["scales"])
        except (KeyError, ValueError, TypeError) as error:
            raise BundleError(f"the model's table of spectra is incomplete ({error}); fetch the bundle anew") from error
        fits = prototypes.ndim == 2 and prototypes.shape[1] == len(species) * len(LN_NODES) and len(prototypes) > 0
        if not fits or not np.isfinite(prototypes).all() or not (margin > 0 and 0 <= noise_scale < np.inf):
            raise BundleError(
                f"the model's table of spectra has shape {prototypes.shape} for {'+'.join(species)}, or numbers "
                "without meaning; fetch the bundle anew"
            )
        return SpectrumDomain(species, prototypes, noise_scale, margin)

    def _with(self, features: SpectrumFeatures) -> tuple[str, ...]:
        return tuple(name for name in SPECIES_Z if name in {*self.species, *features.species})


def _noise_scale(distance: npt.NDArray[np.float64], noise: npt.NDArray[np.float64], margin: float) -> float:
    """Smallest b with which `WITHIN` of the voxels are inside."""
    excess = np.sqrt(np.maximum(distance**2 - margin**2, 0.0))
    needed = np.divide(excess, noise, out=np.zeros_like(excess), where=noise > 0)
    return float(np.quantile(needed, WITHIN, method="higher"))


def _farthest(points: npt.NDArray[np.float64], most: int) -> npt.NDArray[np.float64]:
    """At most so many of the points, each the farthest from those before; the first the farthest from the mean."""
    nearest, chosen = np.full(len(points), np.inf), list[int]()
    at = int(distance_to(points, points.mean(axis=0)).argmax())
    while len(chosen) < most and nearest[at] > 0:
        chosen.append(at)
        nearest = np.minimum(nearest, distance_to(points, points[at]))
        at = int(nearest.argmax())
    return points[chosen]
