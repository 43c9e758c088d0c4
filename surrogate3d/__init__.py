"""surrogate3d: whole-volume cell survival and RBE from TOPAS radiation fields."""

from importlib.metadata import version

__version__ = version("surrogate3d")
