"""A model as one uses it in Python: load it, and ask it about fields; maps are made when they are looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch

from surrogate3d.grid import Field
from surrogate3d.inference.compute import Compute, Device, Precision
from surrogate3d.inference.maps import Fractionation, wanted
from surrogate3d.io.field_store import field_id
from surrogate3d.model.bundle import ModelCard, load_bundle
from surrogate3d.physics.cell_line import CellLine, cell_line
from surrogate3d.pipeline.large_fields import read_for_tiles
from surrogate3d.pipeline.models import resolve
from surrogate3d.pipeline.predicted_volumes import PredictedVolumes
from surrogate3d.pipeline.predictors import MapRequest, surrogate_predictor


class Surrogate:
    """A network on spectra, ready to be asked.

    As a context it gives back the memory of its device at the end:

        with Surrogate.load("proton") as surrogate:
            maps = surrogate.predict("plan.field.zarr", "HSG", fraction_dose_gy=2.0)
            maps["RBE_ref"][:, :, 30]

    Attributes:
        bundle: networks, tables and card.
        compute: on what they run.
    """

    def __init__(self, path: str | Path, compute: Compute | None = None) -> None:
        """Read a bundle; see `load`."""
        self.bundle, self.compute = load_bundle(path), compute or Compute()

    @classmethod
    def load(
        cls,
        model: str | Path = "proton",
        *,
        device: Device = "auto",
        precision: Precision = "auto",
        memory_bytes: int = Compute.memory_bytes,
    ) -> Self:
        """Load a model.

        Args:
            model: name of a shipped one (`surrogate3d models`), or a bundle's path.
            device: "cpu", "cuda", or "auto", which takes a GPU where there is one.
            precision: "float32", "bfloat16", or "auto"; see `inference.compute.Compute`.
            memory_bytes: that a tile may take while it is computed.

        Raises:
            UnknownNameError: there is no such model.
            BundleError: the bundle is damaged.
        """
        return cls(resolve(str(model)), Compute(device, precision, memory_bytes))

    @property
    def card(self) -> ModelCard:
        """What the model is, and for what."""
        return self.bundle.card

    def predict(
        self,
        field: Field | str | Path,
        line: CellLine | str = "HSG",
        *,
        fraction_dose_gy: float = 2.0,
        fractions: int = 1,
        maps: Sequence[str] | None = None,
    ) -> PredictedVolumes:
        """Maps of a field, which are computed when they are looked at.

        Args:
            field: with spectra, in memory or the path of a store; large ones are read part by part.
            line: cell line, its name, or the path of a file.
            fraction_dose_gy: physical dose of one fraction.
            fractions: number of equal fractions.
            maps: which; None for all that the field allows (`inference.maps`).

        Raises:
            BundleError: the field does not fit the model.
            PrescriptionError: maps at the voxels' own dose are asked for, and the field has no prescription.
            UnknownNameError: a name is not a map, or there is no such cell line.
            ValueRangeError: no voxel has enough dose.
        """
        asked = cell_line(line) if isinstance(line, str) else line
        name = "" if isinstance(field, Field) else field_id(field)
        whole = replace(field, halves=(), halves_dose=()) if isinstance(field, Field) else read_for_tiles(field)
        how = Fractionation(fraction_dose_gy, fractions)
        names = wanted(whole, how, None if maps is None else tuple(maps))
        request = MapRequest(how, names, compute=self.compute)
        return PredictedVolumes(surrogate_predictor(whole, name, self.bundle, request), asked, names)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for network in self.bundle.networks:
            network.to("cpu")
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def __repr__(self) -> str:
        lines: Any = ", ".join(self.card.line_names)
        return f"Surrogate({'+'.join(self.card.primaries)} beams, {self.card.members} networks, cell lines {lines})"
