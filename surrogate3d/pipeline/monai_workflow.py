"""What the workflow of an exported MONAI bundle is made of; its `configs/inference.yaml` names these.

Maps are made as `surrogate3d predict` makes them, from field stores: where a model may be believed, how its intervals
are calibrated and what a prescription allows do not follow from an image of channels. The weights that MONAI loaded
must be those of our bundle beside them, for calibration and domain belong to these.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from surrogate3d.errors import BundleError, StoreError
from surrogate3d.inference.maps import Fractionation
from surrogate3d.model.bundle import load_bundle
from surrogate3d.model.ensemble_network import EnsembleNetwork
from surrogate3d.pipeline.cell_line_assignment import parse_assignment
from surrogate3d.pipeline.map_output import MapOutput
from surrogate3d.pipeline.monai_network import DenseNetwork
from surrogate3d.pipeline.prediction import Structures, predict_store
from surrogate3d.pipeline.predictors import MapRequest

SUFFIX = ".field.zarr"

_log = logging.getLogger(__name__)


def field_stores(path: str | Path) -> list[dict[str, str]]:
    """What a workflow answers: `path` itself if it is a field store, else all that lie in that folder.

    Returns:
        Items of a dataset, with the key `field`, in the order of their names.

    Raises:
        StoreError: there is none.
    """
    path = Path(path)
    found = [path] if path.name.endswith(SUFFIX) and path.is_dir() else sorted(path.glob(f"*{SUFFIX}"))
    if not found:
        raise StoreError(f"no field store (*{SUFFIX}) at or in {path}; give one with --dataset_dir, or convert a run")
    return [{"field": str(store)} for store in found]


class FieldInferer:
    """Makes the maps of a field store.

    Args:
        bundle: our model bundle.
        line: name or file of a cell line.
        fraction_dose: Gy.
        fractions: number of equal fractions.
        maps: names of the maps; None for all that the field allows.
        oxygen: as of `predictors.MapRequest`.

    Raises:
        Surrogate3dError: the model, cell line or fractionation is refused.
    """

    def __init__(
        self,
        bundle: str | Path,
        line: str,
        fraction_dose: float,
        fractions: int = 1,
        maps: Iterable[str] | None = None,
        oxygen: str | None = None,
    ) -> None:
        self.bundle = Path(bundle)
        self.surrogate = load_bundle(bundle)
        self.cells = Structures(parse_assignment(str(line)))
        names = None if maps is None else tuple(maps)
        self.asked = MapRequest(Fractionation(float(fraction_dose), int(fractions)), names, oxygen=oxygen)

    def __call__(self, field: str | Path, network: DenseNetwork, output: MapOutput) -> dict[str, Any]:
        """Write the maps of a field, and say what `prediction.predict_store` does.

        Raises:
            BundleError: the network's weights are not those of the bundle.
            Surrogate3dError: as the prediction.
        """
        self._require_own(network)
        return predict_store(Path(field), str(self.bundle), self.cells, self.asked, output)

    def _require_own(self, network: DenseNetwork) -> None:
        own, given = EnsembleNetwork.of(self.surrogate).state_dict(), network.ensemble.state_dict()
        if own.keys() != given.keys() or not all(torch.equal(own[name], given[name].cpu()) for name in own):
            raise BundleError(
                f"the weights of models/model.pt are not those of {self.bundle}, whose domain and calibrated intervals "
                "do not hold for others; train with `surrogate3d train` and export again"
            )


class FieldEvaluator:
    """Runs an inferer over the items of a dataset: maps of each field in a folder of its name.

    Args:
        dataset: items with the key `field`.
        network: with its weights.
        inferer: makes the maps.
        output_dir: folder of the folders.
        formats: of the maps, as of `io.images.write_maps`.
        overwrite: replace older maps.
    """

    def __init__(
        self,
        dataset: Iterable[Mapping[str, str]],
        network: DenseNetwork,
        inferer: FieldInferer,
        output_dir: str | Path,
        formats: Iterable[str] = ("nifti",),
        overwrite: bool = False,
    ) -> None:
        self.dataset, self.network, self.inferer = dataset, network, inferer
        self.output_dir, self.formats, self.overwrite = Path(output_dir), tuple(formats), bool(overwrite)
        self.summaries: dict[str, dict[str, Any]] = {}

    def run(self) -> None:
        """Write all maps; `summaries` then says what was answered, by field, and the log what a user must know."""
        for item in self.dataset:
            name = Path(item["field"]).name.removesuffix(SUFFIX)
            output = MapOutput(self.output_dir / name, self.formats, self.overwrite)
            found = self.summaries[name] = self.inferer(item["field"], self.network, output)
            outside, answered = found["voxels_out_of_domain"], found["voxels_answered"]
            _log.info("%s: %d voxels answered, maps in %s", name, answered, output.folder)
            if outside:
                _log.warning("%s: %d of %d voxels are unlike the training (out_of_domain)", name, outside, answered)
            for refused, reason in found["refused"].items():
                _log.warning("%s: no map of %s: %s", name, refused, reason)
