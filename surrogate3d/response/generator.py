"""Synthetic cohorts of lesions whose planted resistant subregions determine the response.

Everything that a lesion shows and everything that becomes of it comes from one tissue map: what resists is seen in the
image (`appearance`), and survives the dose that it gets (`treatment`). So both the prediction and the place that it is
made from can be scored. Not a model of any real tumour.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import ValueRangeError
from surrogate3d.grid import Cohort, Grid, Lesion, Volume, quantity
from surrogate3d.grid.linear import sample_linear
from surrogate3d.response.appearance import ENHANCING, Look, Scanner, image_of
from surrogate3d.response.lesion_shape import SIDE, Floats, Tissue, grow_tissue
from surrogate3d.response.treatment import SENSITIVITY, Delivery, deliver, left_over
from surrogate3d.response.variants import Variant, variant_named

LESIONS, PATIENTS = 69, 39
"""As many as Peng et al. had (arXiv:2506.17536)."""

JUDGED_SEEDS = range(10)
"""Cohorts on which methods are judged. Whoever develops a method uses seeds from 100 on."""

WITHOUT_RESISTANCE = 0.2
"""Share of the lesions in which nothing resists."""
MEASUREMENT = 0.06
"""Standard deviation of the logarithm of the volume at follow-up, from contouring."""


def simulate_cohort(
    variant: str = "default", seed: int = 0, n_lesions: int = LESIONS, n_patients: int = PATIENTS
) -> Cohort:
    """Make a cohort.

    Args:
        variant: one of `VARIANTS`; lesions of one seed have the same shapes in all that share their shares.
        seed: of everything random.
        n_lesions: how many.
        n_patients: of how many patients; each has one or more.

    Raises:
        UnknownNameError: no such variant.
        ValueRangeError: more patients than lesions, or none.
    """
    if not 1 <= n_patients <= n_lesions:
        raise ValueRangeError(f"expected at least one lesion a patient, found {n_lesions} lesions of {n_patients}")
    kind = variant_named(variant)
    rng = np.random.default_rng(seed)
    owner = np.sort(np.concatenate([np.arange(n_patients), rng.integers(n_patients, size=n_lesions - n_patients)]))
    of_patient = [np.random.default_rng([seed, 1, p]) for p in range(n_patients)]
    scanners = [_scanner(kind, p, each) for p, each in enumerate(of_patient)]
    sensitivities = [float(np.exp(SENSITIVITY * each.standard_normal())) for each in of_patient]
    numbers = np.arange(n_lesions) - np.searchsorted(owner, owner)
    return Cohort(
        [
            _lesion(
                f"P{p + 1:02d}", f"L{m + 1}", kind, scanners[p], sensitivities[p], np.random.default_rng([seed, 2, n])
            )
            for n, (p, m) in enumerate(zip(owner, numbers, strict=True))
        ],
        notes=(f"synthetic cohort, variant {variant}, seed {seed}: no patient was ever seen",),
    )


def oracle_score(cohort: Cohort) -> npt.NDArray[np.float64]:
    """What a classifier says that knows the planted subregion, the dose and the physics of a typical patient.

    It does not know the patient's own sensitivity, the oxygen of the lesion, its necrotic core, nor the error of the
    follow-up.

    Returns:
        (n,) logarithm of the volume that it expects to be left; larger is a worse response.

    Raises:
        ValueRangeError: a lesion has no planted subregion on record, or no D_RBE and LET_d: it is not synthetic.
    """
    return np.array([_expected(each) for each in cohort])


def _stream(seed: int, lesion: int) -> np.random.Generator:
    """Random numbers of one lesion, whatever the others need."""
    return np.random.default_rng([seed, 2, lesion])


def _expected(lesion: Lesion) -> float:
    if lesion.truth is None or not {"D_RBE", "LET_d"} <= set(lesion.delivered):
        raise ValueRangeError(f"{lesion.name}: the oracle needs the planted subregion, D_RBE and LET_d")
    D_RBE, LET_d = (_in_lesion(lesion.delivered[name], lesion.image.grid, lesion.mask) for name in ("D_RBE", "LET_d"))
    typical = float(np.mean(variant_named("default").oxygen_mmHg))
    return float(np.log(left_over(D_RBE, LET_d, lesion.truth[lesion.mask], typical).mean()))


def _scanner(kind: Variant, patient: int, rng: np.random.Generator) -> Scanner:
    second = kind.second_scanner and patient % 2 == 1
    gain, noise = float(np.exp(0.25 * rng.standard_normal())), float(rng.uniform(*kind.noise))
    return Scanner(gain, 0.15 if second else 0.06, 0.9 if second else 0.45, noise)


def _lesion(
    patient: str, name: str, kind: Variant, scanner: Scanner, sensitivity: float, rng: np.random.Generator
) -> Lesion:
    radius = float(rng.uniform(6.5, 11.5))
    necrotic = float(rng.uniform(0.0, 0.35)) if rng.random() < kind.necrosis else 0.0
    amount = float(rng.random()) if rng.random() >= WITHOUT_RESISTANCE else None
    low, high = kind.resistant_share
    resistant = 0.0 if amount is None else low + (high - low) * amount
    distractor = float(rng.uniform(0.0, 1.0)) * kind.distractor
    oxygen = float(rng.uniform(*kind.oxygen_mmHg))
    rim, rim_mm = float(rng.uniform(*kind.rim)), float(rng.uniform(1.5, 3.5))
    if kind.confounded:
        rim = 0.5 * rim + 0.4 * (0.0 if amount is None else 0.3 + 0.7 * amount)
    enhancing = ENHANCING + kind.enhancement * float(rng.standard_normal())
    look = Look(enhancing, rim, rim_mm, bright_distractor=bool(rng.random() < 0.5))
    delivery = _delivery(rng)
    corner = rng.uniform(-60.0, 20.0, 3)
    x, y, z = (float(value) for value in corner)
    grid = Grid((SIDE, SIDE, SIDE), (1.0, 1.0, 1.0), (x, y, z))
    tissue = grow_tissue(radius, necrotic, resistant, distractor, rng)
    delivered = deliver(grid, radius, delivery)
    return Lesion(
        patient=patient,
        lesion=name,
        image=Volume(grid, image_of(tissue, look, scanner, kind, rng), quantity("image_signal")),
        mask=tissue.lesion,
        delivered=delivered,
        volume_change=_volume_change(tissue, delivered, grid, oxygen, sensitivity, rng),
        truth=tissue.resistant,
    )


def _delivery(rng: np.random.Generator) -> Delivery:
    shift, axis = 2.0 * rng.standard_normal(3), rng.standard_normal(3)
    axis = axis / np.linalg.norm(axis)
    return Delivery(
        (float(shift[0]), float(shift[1]), float(shift[2])),
        (float(axis[0]), float(axis[1]), float(axis[2])),
        float(rng.uniform(1.1, 1.5)),
    )


def _volume_change(
    tissue: Tissue,
    delivered: dict[str, Volume],
    grid: Grid,
    oxygen_mmHg: float,
    sensitivity: float,
    rng: np.random.Generator,
) -> float:
    """Relative change until follow-up; the necrotic core only shrinks, as cells that were killed do."""
    D_RBE, LET_d = (_in_lesion(delivered[name], grid, tissue.lesion) for name in ("D_RBE", "LET_d"))
    left = left_over(D_RBE, LET_d, tissue.resistant[tissue.lesion], oxygen_mmHg, sensitivity)
    dead = left_over(1e3, LET_d, False, oxygen_mmHg)
    left = np.where(tissue.necrotic[tissue.lesion], dead, left)
    return float(left.mean() * np.exp(MEASUREMENT * rng.standard_normal()) - 1)


def _in_lesion(volume: Volume, grid: Grid, lesion: npt.NDArray[np.bool_]) -> Floats:
    """Values at the centres of the lesion's voxels, linear between those of the dose grid."""
    return sample_linear(volume, grid.position_mm(np.argwhere(lesion)))
