"""Stop when the error on voxels kept out no longer falls, and keep the weights that were best."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from surrogate3d.errors import ConfigError, ValueRangeError


class EarlyStop:
    """Patience on a validation error (Prechelt 1998, doi 10.1007/3-540-49430-8_3: stop after s strips without a gain).

    Args:
        patience: judgements without a gain after which the training is done; 0 never stops it, and only keeps the best.
        least_gain: fraction by which the error must fall below the best one to count as a gain.

    Attributes:
        best_error: smallest error so far; infinite before the first.
        best_step: step at which it was found; -1 before the first.
        waited: judgements since.

    Raises:
        ConfigError: a negative patience, or a gain that is not in [0, 1).
    """

    def __init__(self, patience: int, least_gain: float = 0.0) -> None:
        if patience < 0 or not 0 <= least_gain < 1:
            raise ConfigError(
                f"early stopping needs a patience >= 0 and a least gain in [0, 1), found {patience} and {least_gain:g}"
            )
        self._patience, self._least_gain = patience, least_gain
        self.best_error, self.best_step, self.waited = float("inf"), -1, 0
        self._best: dict[str, Tensor] = {}

    @property
    def done(self) -> bool:
        """Whether the patience has run out."""
        return 0 < self._patience <= self.waited

    def judge(self, step: int, error: float, network: nn.Module) -> bool:
        """Take note of an error, and of the weights if it is the best.

        Returns:
            Whether it is.

        Raises:
            ValueRangeError: the error is negative; one that is not finite is only never the best.
        """
        if error < 0:
            raise ValueRangeError(f"a validation error is not negative, found {error:g} at step {step}")
        if not error < self.best_error * (1 - self._least_gain):
            self.waited += 1
            return False
        self.best_error, self.best_step, self.waited = float(error), int(step), 0
        self._best = {name: value.detach().clone() for name, value in network.state_dict().items()}
        return True

    def load_best(self, network: nn.Module) -> None:
        """Give the network its best weights; without a finite error so far it keeps its own."""
        if self._best:
            network.load_state_dict(self._best)

    def state(self) -> dict[str, Any]:
        """For the `extra` of a checkpoint."""
        return {
            "best_error": self.best_error,
            "best_step": self.best_step,
            "waited": self.waited,
            "best": dict(self._best),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """The inverse of `state`."""
        self.best_error, self.best_step, self.waited = state["best_error"], state["best_step"], state["waited"]
        self._best = dict(state["best"])
