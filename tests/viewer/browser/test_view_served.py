"""The served page in a real browser: what is on the screen is what numpy says of the files."""

import threading

import numpy as np
import pytest
from slicer_page import at, do, settle, values
from viewed_plans import viewed_plan

from surrogate3d.physics.cell_line import cell_line
from surrogate3d.pipeline.scenes import SceneRequest
from surrogate3d.pipeline.viewing import open_view

LINE = cell_line("HSG")
STATUS = "document.querySelector('form.s3d-recompute p')"


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    return viewed_plan(tmp_path_factory.mktemp("served"))


@pytest.fixture
def serve():
    """A function that serves a plan; all servers end with the test."""
    running = []

    def one(asked):
        server = open_view(asked)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        running.append((server, thread))
        return server

    yield one
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def shown(serve, plan, open_page):
    """The page of the plan with its maps and structures."""
    server = serve(SceneRequest(plan.store, (plan.maps,), plan.structures))
    page = open_page(server.url)
    page.wait_for_selector("form.s3d-recompute")
    return settle(page)


def recompute(page, fraction_dose, fractions):
    page.fill("input[name=fraction_dose]", str(fraction_dose))
    page.fill("input[name=fractions]", str(fractions))
    page.click("form.s3d-recompute button")
    page.wait_for_function(
        "() => /^(Shown|Not recomputed)/.test(document.querySelector('form.s3d-recompute p').textContent)"
    )
    settle(page)
    return page.text_content("form.s3d-recompute p")


def test_it_loads_and_the_address_no_longer_shows_the_token(shown):
    assert "token" not in shown.url
    assert shown.title().startswith("plan.field.zarr")
    assert shown.text_content("h1") == "plan.field.zarr"
    assert shown.locator("[data-s3d-status]").count() == 0
    shown.reload()
    shown.wait_for_selector("form.s3d-recompute")  # the tab keeps the token


def test_values_are_those_of_the_files_wherever_one_goes(shown, plan):
    for step in ("viewer.moveAlong(2, 7)", "viewer.moveAlong(0, 4)", "viewer.moveAlong(1, 5)"):
        do(shown, step)
    assert at(shown) == (4, 5, 7)
    found = values(shown)
    assert found["layer/dose_to_water"] == pytest.approx(float(plan.field.dose[4, 5, 7]), rel=1e-6)
    assert found["layer/alpha"] == pytest.approx(float(plan.alpha[4, 5, 7]), rel=1e-6)
    assert found["structure/PTV"] == 1.0


def test_recomputing_changes_D_RBE_and_its_histogram_to_what_numpy_says(shown, plan):
    voxel = at(shown)
    said = recompute(shown, 1.5, 20)
    assert said.startswith("Shown: HSG, 20 x 1.5 Gy; derived by the linear-quadratic model")
    D = plan.dose(30.0)
    d = D / 20
    E = plan.alpha.astype(float) * d + plan.beta.astype(float) * d**2
    expected = 20 * (-LINE.alpha_x + np.sqrt(LINE.alpha_x**2 + 4 * LINE.beta_x * E)) / (2 * LINE.beta_x)
    shown.wait_for_selector('[data-key="layer/D_RBE"]')
    found = values(shown)
    assert found["layer/D_RBE"] == pytest.approx(expected[voxel], rel=1e-5)
    assert found["layer/dose_to_water"] == pytest.approx(D[voxel], rel=1e-5)
    assert ": % of 30 Gy" in shown.text_content(".s3d-viewer")  # what the isodose lines are of now
    histograms = shown.evaluate("() => document.querySelector('[data-s3d-root]').s3d.source.scene.histograms")
    own = next(one for one in histograms if one["quantity"] == "D_RBE")
    known = np.isfinite(expected)
    assert own["statistics"]["mean"] == pytest.approx(np.average(expected[known], weights=plan.inside[known]), rel=1e-5)


def test_a_refused_recomputation_is_said_and_changes_nothing(shown, complaints):
    before = values(shown)
    shown.evaluate("() => document.querySelector('form.s3d-recompute').noValidate = true")
    assert "fraction dose must be positive" in recompute(shown, -1, 1)
    assert shown.get_attribute("form.s3d-recompute p", "role") == "alert"
    assert values(shown) == before
    assert all("422" in complaint for complaint in complaints)  # the browser's own line on a refused request
    complaints.clear()


def test_a_wrong_token_shows_nothing_but_what_to_do(serve, plan, open_page, complaints):
    server = serve(SceneRequest(plan.store))
    page = open_page(server.url[:-4] + "0000")
    page.wait_for_selector("[data-s3d-status][role=alert]")
    assert "open the address that `surrogate3d view` printed" in page.text_content("[data-s3d-status]")
    assert page.locator("canvas").count() == 0
    assert all("401" in complaint for complaint in complaints)
    complaints.clear()


def test_two_cell_lines_of_a_model_can_be_asked(serve, plan, open_page):
    server = serve(SceneRequest(plan.store, model=str(plan.model), lines=("HSG", "V79")))
    page = open_page(server.url)
    page.wait_for_selector("form.s3d-recompute")
    settle(page)
    before = values(page)
    page.select_option("select[name=line]", "V79")
    assert recompute(page, 2, 1).startswith("Shown: V79, 1 x 2 Gy")
    shown = """document.querySelector('[data-key="layer/alpha"] td')?.dataset.value"""
    page.wait_for_function(f"old => {shown} && {shown} !== old", arg=str(before["layer/alpha"]))
    after = values(page)
    i, j, k = at(page)
    scene = server.session.scene
    assert after["layer/RBE"] == pytest.approx(float(scene.layer("RBE").values[i, j, k]), rel=1e-5)
    assert after["layer/alpha"] != before["layer/alpha"]
    assert after["layer/dose_to_water"] == before["layer/dose_to_water"]
