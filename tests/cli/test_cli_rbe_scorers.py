"""`topas image --as rbe` on the RBE maps that OpenTOPAS scored."""

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
import typer
from typer.testing import CliRunner

from surrogate3d.cli import topas_commands
from surrogate3d.errors import QuantityError

app = typer.Typer()
topas_commands.register(app)


@app.command()
def other() -> None:
    """Another command, so that the group keeps its name."""


@pytest.mark.parametrize("name", ["McNamara", "Wedenberg", "Carabe"])
def test_a_scored_rbe_map_is_an_image_once_it_is_said_to_be_one(topas_data, tmp_path: Path, name: str) -> None:
    run, image = topas_data("proton_rbe_v79"), tmp_path / "rbe.mha"
    file = run / f"p_sobp_{name}_RBE.csv"
    arguments = ["topas", "image", str(file), "--parameters", str(run / "p_sobp.txt"), "-o", str(image), "--json"]
    refused = CliRunner().invoke(app, arguments)
    assert isinstance(refused.exception, QuantityError)
    assert not image.exists()
    done = CliRunner().invoke(app, [*arguments, "--as", "rbe"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["quantity"], found["unit"], found["n_without_denominator"]) == ("RBE", "1", 1_335)
    rows = np.loadtxt(file, delimiter=",", comments="#")
    expected = np.full((64, 16, 16), np.nan)
    for i, j, k, value in rows:
        expected[int(k), int(j), int(i)] = value if value else np.nan
    written = SimpleITK.ReadImage(str(image))
    np.testing.assert_allclose(SimpleITK.GetArrayFromImage(written), expected, rtol=1e-6)
    assert written.GetOrigin() == pytest.approx((-18.75, -18.75, -78.75))  # half lengths 20, 20, 80 mm; voxels 2.5 mm
