"""How a surrogate is trained: the settings of one training, as a file of `configs` holds them."""

from __future__ import annotations

from dataclasses import dataclass

from surrogate3d.errors import ConfigError

PRECISIONS = ("fp32", "bf16")
"""Names of the precisions in which the kernels can be trained."""


@dataclass(frozen=True)
class TrainConfig:
    """How a surrogate is trained.

    Attributes:
        steps: optimiser steps of the kernels of one network.
        learning_rate: peak of the one-cycle schedule.
        weight_decay: of AdamW.
        voxels_per_step: voxels of one plan that enter one step, at most.
        members: networks of the ensemble; they differ in seed.
        tracks_levels: tracks per voxel to which high-statistics runs are thinned.
        copies: thinned realisations per level.
        calibration_fraction: voxels kept out of the training to calibrate the predicted deviation.
        width: see `NetworkConfig`.
        blocks: see `NetworkConfig`.
        neighbourhood: see `NetworkConfig`.
        head_steps: optimiser steps of the head.
        threads: of torch; more only pays on idle cores.
        precision: one of `PRECISIONS`, of the kernels' answer and its loss while they are trained; weights, optimiser
            and all use of the network are of single precision.
        patience: judgements without a gain after which the training of the kernels ends, with the weights that were
            best; 0 makes all steps and takes the last weights.
        stop_fraction: voxels that the kernels do not learn from, to judge them on, if there is a patience.
    """

    steps: int = 1500
    learning_rate: float = 3e-3
    weight_decay: float = 1e-3
    voxels_per_step: int = 1024
    members: int = 3
    tracks_levels: tuple[float, ...] = (12000.0, 4800.0, 2400.0, 1200.0, 600.0, 300.0, 150.0, 75.0, 30.0)
    copies: int = 2
    calibration_fraction: float = 0.1
    width: int = 16
    blocks: int = 2
    neighbourhood: tuple[int, int, int] = (5, 5, 3)
    head_steps: int = 1500
    threads: int = 2
    precision: str = "fp32"
    patience: int = 0
    stop_fraction: float = 0.1

    def __post_init__(self) -> None:
        counts = (self.steps, self.members, self.copies, self.voxels_per_step, self.width, self.threads)
        if min(*counts, self.head_steps) < 1 or self.width < 2:
            raise ConfigError(
                "steps, head_steps, members, copies, voxels_per_step and threads must be at least 1, width at least 2"
            )
        if not 0 <= self.calibration_fraction < 1 or self.learning_rate <= 0:
            raise ConfigError("calibration_fraction must be in [0, 1) and learning_rate positive")
        if len(self.neighbourhood) != 3 or any(n < 1 or n % 2 == 0 for n in self.neighbourhood):
            raise ConfigError(f"neighbourhood must be three odd numbers, found {self.neighbourhood}")
        if self.precision not in PRECISIONS:
            raise ConfigError(f"precision must be one of {', '.join(PRECISIONS)}, found {self.precision!r}")
        if self.patience < 0 or not 0 < self.stop_fraction < 1:
            raise ConfigError(
                "patience must not be negative and stop_fraction be between 0 and 1, found "
                f"{self.patience} and {self.stop_fraction:g}"
            )
