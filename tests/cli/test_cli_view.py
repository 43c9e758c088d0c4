"""`view`: it says where it listens, answers there, and ends with Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request

import pytest
from viewed_plans import viewed_plan

from surrogate3d.cli import main


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    return viewed_plan(tmp_path_factory.mktemp("looked_at"))


@pytest.fixture
def unserved(monkeypatch):
    """What would be served, with whether a browser would open; nothing waits."""
    from surrogate3d.pipeline import viewing

    found = []

    def serve(server, browser):
        found.append((server, browser))
        server.server_close()

    monkeypatch.setattr(viewing, "serve", serve)
    return found


def test_it_prints_one_json_object_with_the_address(plan, unserved, capsys):
    arguments = [
        "view",
        str(plan.store),
        str(plan.maps),
        "--structures",
        str(plan.structures),
        "--no-browser",
        "--json",
    ]
    assert main(arguments) == 0
    said = json.loads(capsys.readouterr().out)
    ((server, browser),) = unserved
    assert said["schema"] == "surrogate3d.cli.view/1"
    assert said["url"] == server.url
    assert (said["structures"], said["recompute"], browser) == (["PTV"], ["HSG"], False)
    assert said["layers"][:3] == ["dose_to_water", "alpha", "beta"]


def test_it_says_in_words_what_can_be_seen(plan, unserved, capsys):
    assert main(["view", str(plan.store)]) == 0
    out = capsys.readouterr().out
    ((server, browser),) = unserved
    assert server.url in out
    assert "nothing to recompute: give --cell-line, or maps of alpha and beta" in out
    assert browser


def test_what_cannot_be_shown_is_one_line(plan, unserved, capsys):
    assert main(["view", str(plan.folder / "none.field.zarr")]) == 1
    assert capsys.readouterr().err.startswith("error: ")
    assert main(["view", str(plan.store), "--model", "proton"]) == 1
    assert "no cell line; name one: --cell-line HSG" in capsys.readouterr().err
    assert unserved == []


def test_it_serves_until_it_is_interrupted(plan):
    program = (sys.executable, "-c", "import sys; from surrogate3d.cli import main; sys.exit(main())")
    arguments = (*program, "view", str(plan.store), str(plan.maps), "--no-browser", "--json")
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env={**os.environ}) as process:
        said = json.loads(process.stdout.readline())
        address, token = said["url"].split("#token=")
        asked = urllib.request.Request(f"{address}voxel/999/0/0", headers={"X-Surrogate3D-Token": token})
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(asked, timeout=20)
        with refused.value:
            assert "outside the grid" in json.loads(refused.value.read())["error"]
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 0
