"""What a served scene answers, whatever carries the questions."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import ConfigError, GridMismatchError, UnsupportedError
from surrogate3d.viewer.planes import PlaneCache
from surrogate3d.viewer.scene import Scene, Voxel, plain

SETTINGS = ("line", "fraction_dose", "fractions")
"""What a recomputation is asked by."""


PARTS = ("histograms", "profiles", "voxels", "isodose", "notes")
"""Of the manifest, besides layers, that a recomputation may change."""


@dataclass(frozen=True, eq=False)
class Recomputed:
    """A scene under other settings.

    Attributes:
        scene: on the same grid.
        changed: names of the layers that are other ones now.
        said: in one sentence, what was done.
    """

    scene: Scene
    changed: frozenset[str]
    said: str


class Recomputer(Protocol):
    """Makes a scene for other settings, without a new prediction."""

    def manifest(self) -> dict[str, Any]:
        """`lines` that can be asked, `line`, `fraction_dose` and `fractions` of now, and `how`, a sentence."""

    def __call__(self, scene: Scene, line: str, fraction_dose_gy: float, fractions: int) -> Recomputed:
        """The scene for a cell line and a fractionation."""


class Session:
    """A scene that is looked at, with what was last read of it."""

    def __init__(self, scene: Scene, recomputer: Recomputer | None = None) -> None:
        self.scene, self._recomputer = scene, recomputer
        self._planes, self._version, self._lock = PlaneCache(), 0, Lock()

    def manifest(self) -> dict[str, Any]:
        """Of the scene, and what can be recomputed; null where nothing can."""
        known = None if self._recomputer is None else plain(self._recomputer.manifest())
        return {**self.scene.manifest(), "recompute": known}

    def plane(self, kind: str, name: str, axis: int, index: int) -> npt.NDArray[np.float32]:
        """(row, column) plane of a layer or a structure.

        Args:
            kind: "layer" or "structure".
            name: of it.
            axis: 0, 1 or 2.
            index: of the plane.

        Raises:
            UnknownNameError: there is no such layer or structure.
            GridMismatchError: the grid has no such plane.
        """
        scene = self.scene
        shape = scene.grid.shape
        if axis not in (0, 1, 2):
            raise GridMismatchError(f"the grid has the axes 0, 1 and 2, found {axis}")
        if not 0 <= index < shape[axis]:
            raise GridMismatchError(f"axis {axis} of the grid {shape} goes from 0 to {shape[axis] - 1}, found {index}")
        if kind == "structure":
            return self._planes.plane((kind, name), scene.structure(name).fraction, axis, index)
        layer = scene.layer(name)
        return self._planes.plane((kind, name, layer.version), layer.values, axis, index)

    def voxel(self, voxel: Voxel) -> dict[str, Any] | None:
        """What is known of a voxel beyond its maps; None where that is nothing.

        Raises:
            GridMismatchError: the grid has no such voxel.
        """
        self.scene.require_inside(voxel)
        found = None if self.scene.voxels is None else self.scene.voxels.at(voxel)
        return None if found is None else dict(plain(found))

    def recompute(self, asked: object) -> dict[str, Any]:
        """Change layers and histograms, and give those parts of the manifest.

        Args:
            asked: an object with the keys of `SETTINGS`.

        Raises:
            UnsupportedError: nothing of this scene can be recomputed.
            ConfigError: other keys or types.
            Surrogate3dError: as of the recomputer.
        """
        if self._recomputer is None:
            raise UnsupportedError("nothing to recompute: give maps of alpha and beta, or a model and cell lines")
        line, dose, fractions = _settings(asked)
        with self._lock:
            found = self._recomputer(self.scene, line, dose, fractions)
            self._version += 1
            layers = tuple(
                replace(layer, version=self._version) if layer.name in found.changed else layer
                for layer in found.scene.layers
            )
            self.scene = replace(found.scene, layers=layers)
            manifest = self.manifest()
        changed = [layer for layer in manifest["layers"] if layer["name"] in found.changed]
        parts = {name: manifest[name] for name in (*PARTS, "recompute")}
        return {"layers": changed, **parts, "said": found.said}


def _settings(asked: object) -> tuple[str, float, int]:
    """The settings, each of its type."""
    if not isinstance(asked, dict) or set(asked) != set(SETTINGS):
        found = ", ".join(map(str, asked)) if isinstance(asked, dict) else type(asked).__name__
        raise ConfigError(f"expected an object with {', '.join(SETTINGS)}, found {found}")
    line, dose, fractions = (asked[name] for name in SETTINGS)
    whole = isinstance(fractions, int) and not isinstance(fractions, bool)
    number = isinstance(dose, int | float) and not isinstance(dose, bool) and math.isfinite(dose)
    if not (isinstance(line, str) and number and whole):
        raise ConfigError(f"expected a name, a dose in Gy and a whole number of fractions, found {asked}")
    return line, float(dose), fractions
