"""Packages that only the models of response need."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec

from surrogate3d.errors import UnsupportedError

EXTRA = "surrogate3d[response]"

NETWORK = ("monai",)
FEATURES = ("mirp", "sklearn")
GRADIENTS = ("captum",)

_OFFERED_AS = {"sklearn": "scikit-learn"}


def require_packages(modules: Iterable[str], what: str) -> None:
    """Refuse before anything is computed what would fail for want of a package.

    Args:
        modules: names of import.
        what: needs them, for the message.

    Raises:
        UnsupportedError: one is not installed.
    """
    missing = [_OFFERED_AS.get(name, name) for name in modules if find_spec(name) is None]
    if missing:
        raise UnsupportedError(f"{what} needs {', '.join(missing)}, not installed here: pip install '{EXTRA}'")
