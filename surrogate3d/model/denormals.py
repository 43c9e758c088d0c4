"""Arithmetic without denormal numbers, for as long as a network runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def without_denormals() -> Iterator[None]:
    """Flush them to zero: sharp softmax weights underflow, and numbers that small take three times the time.

    It is a setting of the whole process, under which other code reads small numbers as zero, so it is taken back.
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
