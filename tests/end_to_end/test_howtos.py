"""The pages docs/howto-*.md run as they stand, with smaller numbers, and leave what they promise."""

from __future__ import annotations

import csv
import json
import re
import socket
import sys
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from surrogate3d.io.field_store import field_id, read_field
from surrogate3d.model.bundle import load_bundle

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(DOCS.glob("howto-*.md"))
sys.path.insert(0, str(DOCS.parent / "scripts"))

from howto_blocks import Block, blocks, run_blocks  # noqa: E402  # a script, which is on no path


def followed(name: str, folder: Path, smaller: dict[str, str]) -> Path:
    """Run a page in a folder."""
    run_blocks(blocks(DOCS / f"howto-{name}.md", smaller), folder)
    return folder


def values(path: Path) -> Any:
    return nibabel.load(path).get_fdata()


def free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])


def test_a_topas_run_becomes_an_rbe_map(tmp_path: Path) -> None:
    folder = followed("rbe-map", tmp_path, {"--voxels 100": "--voxels 16"})
    field = read_field(folder / "plan.field.zarr")
    assert np.median(field.dose[9:13, 4:12, 14:19]) == pytest.approx(2.0, rel=1e-6)
    RBE, D_RBE = (values(folder / "maps" / f"{name}.nii.gz") for name in ("RBE", "D_RBE"))
    answered = np.isfinite(D_RBE)
    np.testing.assert_allclose(D_RBE[answered], (RBE * field.dose)[answered], rtol=1e-5)
    assert answered.sum() == 2262
    assert (~answered).sum() == 5802  # the page says it of RT Dose
    found = json.loads((folder / "validation.json").read_text(encoding="utf-8"))
    rms = {
        row["method"]: row["rms"]
        for row in found["table"]["rows"]
        if (row["quantity"], row["region"]) == ("RBE", "all")
    }
    assert rms["surrogate"] < rms["zr_table"] < rms["McNamara"]
    assert (folder / "report.html").stat().st_size < 15e6
    index = json.loads((folder / "handover" / "index.json").read_text(encoding="utf-8"))
    assert all((folder / "handover" / each["file"]).is_file() for each in index["files"])
    assert {"maps/D_RBE.dcm", "maps/D_RBE.nrrd", "labels.seg.nrrd"} <= {each["file"] for each in index["files"]}


def errors(folder: Path, method: str, group: str = "all") -> dict[str, float]:
    """One row of a table of errors: bias and RMS in %."""
    with (folder / "errors.csv").open(newline="", encoding="utf-8") as file:
        row = next(row for row in csv.DictReader(file) if (row["method"], row["group"]) == (method, group))
    return {"n": int(row["n"]), "bias": float(row["bias / %"]), "rms": float(row["rms / %"])}


def test_two_models_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = followed("compare-models", tmp_path, {})
    said = capsys.readouterr()
    assert said.err.count("(NaN) in 33 of 2,286 voxels") == 3  # the three commands of exit code 3
    error = re.search(r"network-few: judged.*?all: all +(\d+) +\S+ +(\S+)", said.out, re.DOTALL)
    assert error is not None
    assert (int(error[1]), float(error[2])) == (2253, pytest.approx(0.26, abs=0.01))
    biology = {name: errors(folder / "biology", name) for name in ("wedenberg", "mcnamara", "constant")}
    assert {name: (row["n"], round(row["bias"], 1), round(row["rms"], 1)) for name, row in biology.items()} == {
        "wedenberg": (2286, 4.7, 6.5),
        "mcnamara": (2286, 5.2, 5.6),
        "constant": (2286, 1.6, 5.0),
    }
    truth, judged = (values(folder / name / "RBE_ref.nii.gz") for name in ("table-many", "wedenberg-many"))
    assert 100 * np.nanmean(judged / truth - 1) == pytest.approx(biology["wedenberg"]["bias"], abs=1e-4)
    assert errors(folder / "dose", "network")["rms"] == pytest.approx(4.7, abs=0.06)
    for picture in ("dvh.png", "figures/comparison_RBE_ref.png", "figures/parity_RBE_ref.png"):
        assert (folder / picture).read_bytes().startswith(b"\x89PNG")


def test_voxels_are_simulated_on_a_cluster_and_a_network_is_trained(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("distributed", reason="Dask is not installed: the page needs the extra 'cluster'")
    quick = "steps = 30\\nhead_steps = 30\\ncopies = 1\\ntracks_levels = [1200.0, 150.0]"
    numbers = {"--budget 120": "--budget 24", "steps = 400\\nhead_steps = 400": quick}
    numbers |= {"timeout --signal INT 20": "timeout --signal INT 6", "8786": str(free_port())}
    folder = followed("cluster", tmp_path, numbers)
    said = capfd.readouterr().out
    assert "24 voxels simulated" in said
    bundle = load_bundle(folder / "model.bundle")
    (plan,) = bundle.card.training["plans"]
    assert plan["high"] == field_id(folder / "high.field.zarr")
    RBE = values(folder / "maps" / "RBE_ref.nii.gz")
    assert 1.0 < np.nanmin(RBE) < np.nanmax(RBE) < 1.6
    assert (folder / "figures" / "learning.png").is_file()
    assert (folder / "figures" / "errors_RBE.png").is_file()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_picture_of_a_page_is_there_small_and_described(page: Path) -> None:
    pictures = re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", page.read_text(encoding="utf-8"))
    assert pictures
    for said, path in pictures:
        assert len(said) > 20
        assert (page.parent / path).stat().st_size < 300_000


def test_an_exit_code_that_the_page_does_not_say_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="exit code 1, and the page says 0"):
        run_blocks([Block("sh", "surrogate3d info nowhere.field.zarr\n", "a page")], tmp_path)
    run_blocks([Block("sh", "surrogate3d info nowhere.field.zarr  # exit code 1\n", "a page")], tmp_path)


def test_a_number_that_the_page_does_not_have_is_an_error() -> None:
    with pytest.raises(ValueError, match="has no '--voxels 7' in its code"):
        blocks(PAGES[0], {"--voxels 7": "--voxels 3"})
