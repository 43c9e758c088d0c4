"""Every refusal of the engine, as a readable list.

Each leaf also inherits the built-in exception that callers already catch, so ``except ValueError`` keeps working.
A message says what was expected, what was found, where, and what to do, in one line.
"""


class Surrogate3dError(Exception):
    """Base of every error that the engine raises on purpose."""


class FormatError(Surrogate3dError, ValueError):
    """A file does not have the form that its header or its specification promises."""


class UnsupportedError(Surrogate3dError, ValueError):
    """The input is recognised and valid, but this version does not read or compute it."""


class UnusableError(UnsupportedError):
    """A back end cannot work here or as it is asked to: not in this voxel, and not in another."""


class GeometryError(Surrogate3dError, ValueError):
    """Position or orientation is missing, contradictory, or not representable as a `Grid`."""


class GridMismatchError(Surrogate3dError, ValueError):
    """Two things that must lie on the same grid do not."""


class QuantityError(Surrogate3dError, ValueError):
    """A quantity, its unit or its definition (such as that of LET) is missing or does not fit."""


class ValueRangeError(Surrogate3dError, ValueError):
    """A number is outside the range where it has meaning: NaN or negative fluence, negative dose."""


class UnknownNameError(Surrogate3dError, LookupError):
    """A name (cell line, back end, quantity, model) is not in its table."""


class PrescriptionError(Surrogate3dError, ValueError):
    """An absolute dose is needed and none was given, or it cannot be applied."""


class StoreError(Surrogate3dError, OSError):
    """A store, ledger or output cannot be read or written whole."""


class BundleError(Surrogate3dError, ValueError):
    """A model bundle is foreign, damaged, or does not fit the field it is applied to."""


class ConfigError(Surrogate3dError, ValueError):
    """A configuration has an unknown key, a wrong type or an impossible value."""
