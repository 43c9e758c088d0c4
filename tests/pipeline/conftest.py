import os

import pytest


@pytest.fixture(autouse=True)
def no_sync(monkeypatch):
    """Waiting for the disk is most of the time; that it happens is shown for `io.atomic`."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
