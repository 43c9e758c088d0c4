"""surrogate3d: whole-volume cell survival and RBE from TOPAS radiation fields.

The product in a dozen names, each loaded when it is first used: `convert`, `info`, `read_field`, `sample`, `simulate`,
`PlanPair`, `train`, `load_bundle`, `predict`, `Surrogate`, `validate`, `cell_line`, `run_demo`.
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "convert": "surrogate3d.pipeline.conversion",
    "info": "surrogate3d.pipeline.conversion",
    "read_field": "surrogate3d.io.field_store",
    "sample": "surrogate3d.pipeline.design",
    "simulate": "surrogate3d.pipeline.design",
    "PlanPair": "surrogate3d.pipeline.training",
    "train": "surrogate3d.pipeline.training",
    "load_bundle": "surrogate3d.model.bundle",
    "predict": "surrogate3d.pipeline.in_memory",
    "Surrogate": "surrogate3d.pipeline.surrogate",
    "validate": "surrogate3d.pipeline.validation",
    "cell_line": "surrogate3d.physics.cell_line",
    "run_demo": "surrogate3d.pipeline.demo",
}

__all__ = [*_HOMES, "__version__"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version  # slower to load than all else that `--help` needs

        return version("surrogate3d")
    if name not in _HOMES:
        raise AttributeError(f"module 'surrogate3d' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
