"""What a command may load before it answers: libraries by name, as times depend on the machine."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from synthetic import LINE, make_field, make_surrogate

from surrogate3d.io.field_store import write_field
from surrogate3d.model.bundle import load_bundle, save_bundle
from surrogate3d.pipeline.models import resolve

SLOW_TO_LOAD = frozenset(
    (
        *("captum", "dask", "distributed", "importlib.metadata", "matplotlib", "mirp", "monai", "nibabel", "nrrd"),
        *("numba", "numcodecs", "numpy", "onnx", "onnxruntime", "openvino", "pandas", "pyarrow", "pydantic", "pydicom"),
        *("safetensors", "shapely", "SimpleITK", "sklearn", "tensorboard", "torch", "xarray", "zarr"),
        *("scipy", "scipy.cluster", "scipy.interpolate", "scipy.ndimage", "scipy.optimize", "scipy.signal"),
        *("scipy.sparse", "scipy.spatial", "scipy.special", "scipy.stats"),
    )
)
TO_RUN = {"pydantic", "importlib.metadata"}  # Typer's, as soon as a command runs
TO_PREDICT = TO_RUN | {
    *("numba", "numcodecs", "numpy", "safetensors", "torch"),
    *("scipy", "scipy.ndimage", "scipy.special"),
    *("nibabel", "pydicom"),  # what writes NIfTI; nibabel loads pydicom where it is installed
}
_PROGRAM = """
import json, sys
from surrogate3d.cli import main
assert main(json.loads(sys.argv[1])) == 0
print(json.dumps(sorted(sys.modules)))
"""


def loaded_by(*arguments: str | Path) -> frozenset[str]:
    """Of `SLOW_TO_LOAD`, what a fresh process has loaded after a command."""
    program = [sys.executable, "-c", _PROGRAM, json.dumps([str(each) for each in arguments])]
    done = subprocess.run(program, capture_output=True, text=True, check=True)
    return SLOW_TO_LOAD & set(json.loads(done.stdout.splitlines()[-1]))


def test_help_loads_no_slow_library() -> None:
    assert not loaded_by("--help")


@pytest.mark.parametrize("arguments", [(), ("predict", "--help"), ("topas", "--help")])
def test_what_computes_nothing_loads_next_to_nothing(arguments: tuple[str, ...]) -> None:
    assert loaded_by(*arguments) <= TO_RUN


def test_the_package_alone_loads_no_slow_library() -> None:
    program = "import sys, surrogate3d; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not SLOW_TO_LOAD & set(done.stdout.split())


def test_maps_are_predicted_without_the_libraries_of_other_commands(tmp_path: Path) -> None:
    """By a calibrated model of spectra, as the shipped ones."""
    field, calibration = make_field(seed=5), load_bundle(resolve("proton")).card.calibration
    store, bundle = tmp_path / "plan.field.zarr", tmp_path / "model.bundle"
    write_field(field, store)
    save_bundle(make_surrogate(field, calibration=calibration), bundle)
    given = ("-o", tmp_path / "maps", "--cell-line", LINE.name, "--fraction-dose", "2", "--model", bundle)
    found = loaded_by("predict", store, *given)
    assert found <= TO_PREDICT, f"predict also loads {sorted(found - TO_PREDICT)}"
    assert list((tmp_path / "maps").glob("RBE_ref*"))


def test_what_is_asked_of_a_plan_is_said_without_a_network_library() -> None:
    program = "import sys, surrogate3d.inference.maps; sys.exit('torch' in sys.modules or 'numba' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
