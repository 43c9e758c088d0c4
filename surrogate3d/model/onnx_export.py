"""A surrogate's networks as an ONNX graph.

One graph has all members: they share what is made of the field, and the answer is theirs together. It is traced from
the network itself, with the sizes of the grid and the number of voxels left open. The number of groups is fixed, so a
model that accepts several sets of species has a graph for each.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from surrogate3d.errors import UnsupportedError
from surrogate3d.grid.spectrum import SPECIES_Z
from surrogate3d.model.bundle import ModelCard, Surrogate
from surrogate3d.model.ensemble_network import EnsembleAnswer, EnsembleNetwork
from surrogate3d.model.groups import BANDS, input_names

OPSET = 20
"""Version of the operators of ONNX."""

INPUT_AXES = {
    "accumulators": ("group", "band", "accumulator", "i", "j", "k"),
    "voxels": ("voxel", "axis"),
    "charge": ("group",),
    "photon": ("parameter",),
    "conditions": ("condition", "voxel"),
}
"""Names of the graph's inputs in order, and of their axes; the last only of a model that was made for conditions."""

OUTPUT_AXES = {
    "effect": ("dose", "voxel"),
    "log_std": ("voxel",),
    "log_correction": ("dose", "voxel"),
    "member_effect": ("member", "dose", "voxel"),
    "member_log_std": ("member", "voxel"),
}
"""The same of its outputs: `EnsembleAnswer`."""

_OPEN = ("i", "j", "k", "voxel")


def graph_inputs(card: ModelCard) -> tuple[str, ...]:
    """Names of the inputs of a model's graph, in order."""
    return tuple(name for name in INPUT_AXES if name != "conditions" or card.network.get("conditions"))


def graph_notes(surrogate: Surrogate, species: Sequence[str]) -> dict[str, str]:
    """What a user of a graph must know of its numbers: notes that are written into it, as text or JSON."""
    card = surrogate.card
    return {
        "bundle_id": surrogate.bundle_id,
        "species": json.dumps(list(species)),
        "bands_mev_u": json.dumps(BANDS),
        "accumulators": json.dumps(input_names((card.line_names[0], "asked_for"))),
        "photon": json.dumps(["alpha_x in 1/Gy", "beta_x in 1/Gy^2"]),
        "conditions": json.dumps(list(card.network.get("conditions", ()))),
        "doses_gy": json.dumps(list(card.doses)),
        "spacing_mm": json.dumps([list(spacing) for spacing in card.spacing_mm]),
        "licence": card.licence,
    }


def example_inputs(
    card: ModelCard, species: Sequence[str], shape: tuple[int, int, int], n_voxels: int, seed: int = 0
) -> dict[str, Tensor]:
    """Made-up inputs of the right size and scale, by name: to trace a graph, and to check it.

    Args:
        card: of the model.
        species: of the groups.
        shape: of the grid.
        n_voxels: how many are asked for.
        seed: of the numbers.
    """
    rng = torch.Generator().manual_seed(seed)
    dose = torch.rand(len(species), len(BANDS), *shape, generator=rng) ** 3
    dose /= dose.sum(dim=(0, 1)).max()
    per_dose = [0.2 + 0.8 * torch.rand(dose.shape, generator=rng) for _ in range(4)]  # alpha and sqrt(beta), two lines
    names = card.network.get("conditions", ())
    found = {
        "accumulators": torch.stack([dose, 200 * dose, *(dose * values for values in per_dose)], dim=2),
        "voxels": torch.stack([torch.randint(0, size, (n_voxels,), generator=rng) for size in shape], dim=1),
        "charge": torch.tensor([SPECIES_Z[name] for name in species]),
        "photon": torch.tensor(card.cell_lines[0][1:]),
        "conditions": 0.1 * torch.randn(len(names), n_voxels, generator=rng),
    }
    return {name: found[name] for name in graph_inputs(card)}


def export_onnx(surrogate: Surrogate, species: Sequence[str], path: Path) -> None:
    """Write the graph of a surrogate for fields of some species.

    Args:
        surrogate: the model.
        species: one of the card's `species_sets`.
        path: of the file; one that is there is replaced.

    Raises:
        UnsupportedError: the model does not accept the species, or a package is missing.
    """
    require_packages("ONNX", ("onnx", "onnxscript"))
    card = surrogate.card
    if tuple(species) not in card.species_sets:
        known = " or ".join("+".join(names) for names in card.species_sets)
        raise UnsupportedError(f"the model accepts spectra of {known}, not of {'+'.join(species)}; name one of those")
    inputs = example_inputs(card, species, (5, 6, 7), n_voxels=8)
    open_axes = tuple(
        {axis: torch.export.Dim.DYNAMIC for axis, name in enumerate(INPUT_AXES[given]) if name in _OPEN}
        for given in inputs
    )
    with torch.no_grad(), _quiet():
        # Strict: only there the length of a tensor stays open.
        traced = torch.export.export(
            EnsembleNetwork.of(surrogate), tuple(inputs.values()), dynamic_shapes=open_axes, strict=True
        )
        program = torch.onnx.export(
            traced,
            dynamo=True,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=list(OUTPUT_AXES),
            verbose=False,
        )
    assert program is not None  # as it is for other exporters only
    program.model.metadata_props.update(graph_notes(surrogate, species))
    program.save(str(path), external_data=False)


def largest_difference(surrogate: Surrogate, species: Sequence[str], path: Path) -> float:
    """How far a written graph's answers are from the networks', on made-up fields of two other sizes.

    Returns:
        The largest difference: of effects relative, of logarithms as it is.

    Raises:
        UnsupportedError: onnxruntime is missing.
    """
    require_packages("running ONNX", ("onnxruntime",))
    network, worst = EnsembleNetwork.of(surrogate), 0.0
    for seed, (shape, n_voxels) in enumerate((((9, 4, 12), 33), ((3, 8, 5), 1))):
        inputs = example_inputs(surrogate.card, species, shape, n_voxels, seed + 1)
        with torch.no_grad():
            wanted: EnsembleAnswer = network(*inputs.values())
        found = run_graph(path, {name: tensor.numpy() for name, tensor in inputs.items()})
        for name, tensor in wanted._asdict().items():
            apart = np.abs(found[name] - tensor.numpy()) / (np.abs(tensor.numpy()) if name.endswith("effect") else 1.0)
            worst = max(worst, float(apart.max()))
    return worst


def run_graph(
    path: Path, inputs: Mapping[str, npt.NDArray[np.generic]], threads: int = 1
) -> dict[str, npt.NDArray[np.float32]]:
    """Run a graph by onnxruntime on the CPU: outputs by name."""
    onnxruntime = import_module("onnxruntime")  # an extra

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return dict(zip(OUTPUT_AXES, session.run(list(OUTPUT_AXES), dict(inputs)), strict=True))


def require_packages(what: str, modules: Sequence[str]) -> None:
    """Refuse what needs packages of the extra `export` that are not installed.

    Raises:
        UnsupportedError: one of them is missing.
    """
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise UnsupportedError(
            f"{what} needs {', '.join(missing)}, which are not installed; pip install 'surrogate3d[export]'"
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter says of its own parts, such as operators of packages that are not needed."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
