"""Settings of a model of response, and the shipped file that writes them out."""

from dataclasses import fields
from pathlib import Path

import pytest

from surrogate3d.errors import ConfigError
from surrogate3d.response.config import ResponseConfig

PATH = Path(__file__).parents[2] / "configs" / "response.toml"


def test_every_setting_is_explained():
    lines = [line for line in PATH.read_text(encoding="utf-8").splitlines() if "=" in line and line[0] != "#"]
    assert len(lines) == len(fields(ResponseConfig))
    assert all(" # " in line for line in lines)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"channels": ("image", "T2")}, "channels must be some of"),
        ({"channels": ("dose", "image")}, "first of the channels must be image"),
        ({"size": 31}, "size must be even"),
        ({"spacing_mm": -1.0}, "spacing_mm must be a positive length"),
        ({"shrinkage": 1.0}, "shrinkage and dropout"),
        ({"dropout": -0.1}, "shrinkage and dropout"),
        ({"widths": (8, 16, 8)}, "two positive numbers"),
        ({"widths": (8, 0)}, "two positive numbers"),
        ({"members": 1}, "members must be at least 2"),
        ({"epochs": 0}, "epochs, batch and copies"),
        ({"batch": 0}, "epochs, batch and copies"),
        ({"copies": 0}, "epochs, batch and copies"),
        ({"change_weight": -1.0}, "must not be negative"),
        ({"learning_rate": 0.0}, "learning_rate positive"),
        ({"filter_voxels": 2}, "must be odd"),
        ({"noise": -0.1}, "must not be negative"),
        ({"shift_voxels": -1}, "must not be negative"),
    ],
)
def test_an_impossible_value_is_refused(change, words):
    with pytest.raises(ConfigError, match=words):
        ResponseConfig(**change)
