"""`figures` on the small plan."""

import json


def test_figures_and_captions_are_written(plan, ask, tmp_path):
    said = ask("figures", plan.field, "-o", tmp_path / "out", "--format", "svg")
    names = [each["name"] for each in said["figures"]]
    assert "map_dose_to_water" in names
    for each in said["figures"]:
        assert [(tmp_path / "out" / file).is_file() for file in each["files"]] == [True]
        assert each["size_mm"][0] in (85.0, 180.0)
    written = json.loads((tmp_path / "out" / "figures.json").read_text())
    assert written["schema"] == "surrogate3d.figures/1"
    assert written["figures"] == said["figures"]
    assert said["left_out"]["parity"] == "no reference was given"


def test_what_is_not_drawn_is_said(plan, tmp_path, capsys):
    from surrogate3d.cli import main

    assert main(["figures", str(plan.field), "-o", str(tmp_path / "out"), "--format", "svg"]) == 0
    assert "no histograms: no structures were given" in capsys.readouterr().out


def test_wrong_input_is_one_line(plan, refuse, tmp_path):
    assert "known: pdf, svg, png" in refuse("figures", plan.field, "-o", tmp_path / "a", "--format", "eps")
    assert "given together" in refuse("figures", plan.field, "-o", tmp_path / "a", "--quantity", "RBE")
    assert not (tmp_path / "a").exists()
