"""Flushing of denormal numbers ends with the arithmetic that it is for."""

import pytest
import torch

from surrogate3d.model.denormals import without_denormals


def smallest():
    """A denormal number, if there are any now."""
    return float((torch.full((4,), 1e-38) * 1e-3)[0])


def test_denormals_are_zero_within_and_numbers_outside():
    assert smallest() > 0
    with without_denormals():
        assert smallest() == 0.0
    assert smallest() > 0


def test_it_ends_with_an_error_too():
    with pytest.raises(RuntimeError), without_denormals():
        raise RuntimeError
    assert smallest() > 0
