"""Made-up experiments for networks: random features, and curves whose RBE grows with LET."""

import numpy as np

from surrogate3d.invitro.dataset import InVitroData
from surrogate3d.invitro.scales import FEATURES
from surrogate3d.physics.linear_quadratic import RBE10

NAMES = [feature.name for feature in FEATURES]


def made_data(n=60, publications=12, seed=0, noise=0.1):
    rng = np.random.default_rng(seed)
    LET = np.exp(rng.uniform(0.0, 5.0, n))
    features = np.abs(rng.normal(1.0, 0.3, (n, len(FEATURES)))) * np.where(
        [feature.transform == "log" and feature.scale != "biology" for feature in FEATURES], LET[:, None], 1.0
    )
    photon = np.stack([rng.uniform(0.1, 0.5, n), rng.uniform(0.01, 0.06, n)], axis=1)
    features[:, NAMES.index("LET_d")] = LET
    features[:, NAMES.index("alpha_x")], features[:, NAMES.index("beta_x")] = photon.T
    features[: n // 4, [feature.group == "nano" for feature in FEATURES]] = np.nan
    alpha = photon[:, 0] * (1 + LET / 40) * np.exp(noise * rng.normal(size=n))
    dose = np.outer(1 / alpha, [0.5, 1.0, 2.0, 4.0])
    dose[::3, -1] = np.nan
    return InVitroData(
        features=features,
        photon=photon,
        number=np.arange(n),
        publication=np.array([f"p{k % publications}" for k in range(n)]),
        cells=np.array(["V79"] * n),
        species=np.array(["C"] * n),
        dose=dose,
        log_survival=-(alpha[:, None] * dose + photon[:, 1:] * dose**2),
        weight=np.isfinite(dose) / np.isfinite(dose).sum(axis=1, keepdims=True),
        is_raw=np.ones(n, dtype=bool),
        RBE10=RBE10(alpha, photon[:, 1], *photon.T),
    )
