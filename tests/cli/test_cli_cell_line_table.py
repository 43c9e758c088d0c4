"""`cell-line table` from the command line."""

import json
from pathlib import Path
from typing import Any

import pytest

from surrogate3d.cli import main
from surrogate3d.direct.tabulated import tabulated
from surrogate3d.physics.cell_line import cell_line
from surrogate3d.physics.mixing import MonoTable, mono_table

MINE = """name = "mine"
species = "human"
tissue = "skin"
alpha_x = 0.2
beta_x = 0.02
source = "me"

[gsm2]
r_d = 0.9
R_n = 4.5
r = 2.5
genome_gbp = 6.2
source = "me"
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "surrogate3d" / "mono"


def test_a_shipped_line_has_its_shipped_table(tmp_path: Path, capfd: Any, own_cache: Path) -> None:
    output = tmp_path / "hsg.json"
    assert main(["cell-line", "table", "HSG", "-o", str(output)]) == 0
    assert json.loads(output.read_text()) == mono_table("HSG").to_json()
    said = " ".join(capfd.readouterr().out.split())
    assert "HSG: H, He, Li, Be, B, C at 64 energies" in said
    assert "the shipped table" in said
    assert not own_cache.exists()


def test_a_line_of_ones_own_has_a_table_in_seconds_which_is_kept(tmp_path: Path, capfd: Any, own_cache: Path) -> None:
    (tmp_path / "mine.toml").write_text(MINE)
    output = tmp_path / "mine.json"
    command = ["cell-line", "table", str(tmp_path / "mine.toml"), "--species", "H", "-o", str(output), "--json"]
    assert main(command) == 0
    said = json.loads(capfd.readouterr().out)
    assert said["schema"] == "surrogate3d.cli.cell-line-table/1"
    assert (said["species"], said["energies"], said["shipped"], said["warnings"]) == (["H"], 64, False, [])
    table = MonoTable.from_json(json.loads(output.read_text()))
    assert table.cell_line == "mine"
    assert table.alpha[0, -1] == pytest.approx(cell_line(tmp_path / "mine.toml").alpha_x, rel=0.03)  # fast protons
    assert tabulated(str(output)).name.startswith("table:")
    (kept,) = own_cache.iterdir()

    kept.write_text("{}")
    assert main([*command, "--overwrite"]) == 0
    said = capfd.readouterr()
    assert "is damaged" in said.err
    assert "made again" in json.loads(said.out)["warnings"][0]
    assert MonoTable.from_json(json.loads(output.read_text())).to_json() == table.to_json()

    kept.unlink()
    assert main([*command, "--overwrite", "--no-cache"]) == 0
    assert not list(own_cache.iterdir())


def test_what_cannot_be_is_one_line(tmp_path: Path, capfd: Any) -> None:
    output = tmp_path / "table.json"
    assert main(["cell-line", "table", "HeLa", "-o", str(output)]) != 0
    assert "unknown cell line 'HeLa'" in capfd.readouterr().err
    assert main(["cell-line", "table", "HSG", "--species", "H,Xe", "-o", str(output)]) != 0
    assert "no tracks of species 'Xe'" in capfd.readouterr().err
    output.write_text("mine")
    assert main(["cell-line", "table", "HSG", "-o", str(output)]) != 0
    assert "exists already" in capfd.readouterr().err
    assert output.read_text() == "mine"
