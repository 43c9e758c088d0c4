"""Settings of a training that cannot be are refused, and the defaults are those of the shipped training."""

from dataclasses import replace

import pytest

from surrogate3d.errors import ConfigError
from surrogate3d.training.settings import TrainConfig


@pytest.mark.parametrize(
    "change",
    [
        *({name: 0} for name in ("steps", "members", "copies", "voxels_per_step", "width", "threads", "head_steps")),
        {"width": 1},
        {"calibration_fraction": 1.0},
        {"calibration_fraction": -0.1},
        {"learning_rate": 0.0},
        {"neighbourhood": (3, 3)},
        {"neighbourhood": (3, 4, 3)},
        {"neighbourhood": (3, -1, 3)},
        {"precision": "fp16"},
        {"precision": ""},
        {"patience": -1},
        {"stop_fraction": 0.0},
        {"stop_fraction": 1.0},
    ],
)
def test_impossible_settings_are_refused(change):
    with pytest.raises(ConfigError, match=next(iter(change))):
        replace(TrainConfig(), **change)


def test_as_shipped_all_steps_are_made_in_single_precision():
    assert (TrainConfig().precision, TrainConfig().patience) == ("fp32", 0)
