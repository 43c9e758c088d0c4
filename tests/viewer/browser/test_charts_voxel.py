"""The voxel panel in a real browser, against the Python of the same formulas and their closed forms."""

import csv

import charts_page
import numpy as np
import pytest

from surrogate3d.direct.curve import effect_at
from surrogate3d.physics.linear_quadratic import RBE_at_dose, isoeffective_dose
from surrogate3d.physics.mixing import mix

rng = np.random.default_rng(8)
DOSES = np.array([0.5, 1.0, 2.0, 4.0, 6.0])
ALPHA_X, BETA_X = 0.3, 0.06
EFFECT = 0.4 * DOSES + 0.07 * DOSES**2 * (1 + 0.05 * np.sin(DOSES))
HALF_WIDTH = 0.06
EDGES = np.geomspace(0.5, 200, 9)
DOSE_PER_FLUENCE = np.stack([30 / EDGES[1:], 300 / EDGES[1:]])
ALPHA = np.stack([np.linspace(0.9, 0.31, 8), np.linspace(2.0, 0.5, 8)])
BETA = np.stack([np.linspace(0.11, 0.06, 8), np.linspace(0.02, 0.09, 8)])
FLUENCE = rng.random((2, 8)) * np.array([[1.0], [0.05]])
FLUENCE[0, 2] = 0.0
OWN_DOSE = 1.5

BINS = {
    "species": ["H", "He"],
    "edges_mev_u": [EDGES.tolist()] * 2,
    "dose_per_fluence": DOSE_PER_FLUENCE.tolist(),
    "alpha": ALPHA.tolist(),
    "beta": BETA.tolist(),
}
VOXELS = {"doses": DOSES.tolist(), "photon": {"alpha_x": ALPHA_X, "beta_x": BETA_X}, "bins": BINS}
LAYERS = [{"name": name, "unit": unit, "group": "input"} for name, unit in (("dose", "Gy"), ("RBE", "1"))]
POINT = {
    "voxel": [1, 1, 2],
    "values": {"RBE": 1.21, "RBE_se": 0.003},
    "held_out": True,
    "effect": (EFFECT * 1.01).tolist(),
    "effect_se": (EFFECT * 0.01).tolist(),
}
ANSWER = {"at": [1, 1, 2], "effect": EFFECT.tolist(), "half_width": HALF_WIDTH, "spectrum": FLUENCE.tolist()}
ANSWERS = {
    "1-1-2": ANSWER,
    "0-0-0": {**ANSWER, "at": [0, 0, 0], "half_width": None, "spectrum": None},
    "3-2-5": {**ANSWER, "at": [2, 2, 4]},
    "0-0-1": {**ANSWER, "at": [0, 0, 1], "spectrum": np.zeros((2, 8)).tolist()},
    "dose_plane": [OWN_DOSE] * 12,
    "rows": 4,
    "cols": 3,
}


@pytest.fixture
def open_panel(open_page, tmp_path):
    def opened(voxels=VOXELS, **parts):
        scene = charts_page.scene(**{"voxels": voxels, "points": [POINT], "layers": LAYERS} | parts)
        page = open_page(charts_page.write_page(tmp_path, scene, ANSWERS))
        page.locator(".s3d-where", has_text="mm").wait_for()
        return page

    return opened


def say(page, kind, voxel):
    """What the viewer says, and wait until the panel has answered."""
    page.evaluate(
        """([kind, voxel]) => {
            const root = document.querySelector(".s3d");
            root.dispatchEvent(new CustomEvent(kind, {detail: {voxel}}));
            return panel.busy && new Promise((done) => root.addEventListener("s3d:voxel-shown", done, {once: true}))
                .then(() => null);
        }""",
        [kind, voxel],
    )


def tiles(page):
    return dict(page.locator(".s3d-tiles > div").evaluate_all(
        "all => all.map((d) => [d.querySelector('dt').textContent, d.querySelector('strong').textContent])"
    ))  # fmt: skip


def rows_of(page, name):
    with page.expect_download() as waiting:
        page.get_by_role("button", name=f"Download CSV: {name}", exact=True).click()
    with open(waiting.value.path(), newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    return header, rows


def test_rbe_at_two_gray_and_at_the_voxels_own_dose(open_panel):
    page = open_panel()
    expected = [float(RBE_at_dose(D, effect_at(D, DOSES, EFFECT[None])[0], ALPHA_X, BETA_X)) for D in (2.0, OWN_DOSE)]
    said = tiles(page)
    assert said["RBE at 2 Gy"] == f"{expected[0]:.3f}"
    assert said["RBE at its own dose"] == f"{expected[1]:.3f}"
    assert said["Own dose per fraction"] == "1.500 Gy"
    assert float(said["Survival at its own dose"]) == pytest.approx(
        np.exp(-effect_at(OWN_DOSE, DOSES, EFFECT[None])[0]), abs=5e-4
    )
    assert page.get_by_text("1.500 Gy in 1 fraction").is_visible()


def test_with_fractions_the_own_dose_is_that_of_one(open_panel):
    page = open_panel({**VOXELS, "fractions": 3})
    said = tiles(page)
    assert said["Own dose per fraction"] == "0.5000 Gy"
    assert float(said["Survival at its own dose"]) == pytest.approx(np.exp(-3 * EFFECT[0]), abs=5e-4)
    assert page.get_by_text("1.500 Gy in 3 fractions").is_visible()


def test_a_dose_that_is_not_prescribed_is_not_taken_for_the_voxels_own(open_panel):
    page = open_panel(layers=[{**LAYERS[0], "unit": "of maximum"}])
    assert list(tiles(page)) == ["RBE at 2 Gy"]


def test_beyond_the_simulated_doses_nothing_is_said(open_panel):
    page = open_panel({**VOXELS, "doses": (DOSES / 10).tolist()})
    assert tiles(page)["RBE at 2 Gy"] == "\u2013"
    assert page.get_by_text("simulated up to 0.6 Gy").first.is_visible()


def test_survival_and_rbe_between_simulated_doses_are_the_engines_with_their_intervals(open_panel):
    page = open_panel()
    for dose in (0.2, 0.5, 0.77, 3.3, 6.0):
        expected = float(np.exp(-effect_at(dose, DOSES, EFFECT[None])[0]))
        found = page.evaluate(f"panel.survival.at({dose})")
        assert found["predicted"] == pytest.approx(expected, rel=1e-12)
        assert found["low"] == pytest.approx(expected ** (1 + HALF_WIDTH), rel=1e-12)
        assert found["high"] == pytest.approx(expected ** (1 - HALF_WIDTH), rel=1e-12)
        assert found["photon"] == pytest.approx(np.exp(-ALPHA_X * dose - BETA_X * dose**2), rel=1e-12)
    assert page.evaluate("panel.survival.at(6.1).predicted") is None
    ends = isoeffective_dose(EFFECT[2] * (1 + np.array([-1e-6, 1e-6])), ALPHA_X, BETA_X) / 2
    slope = np.diff(ends)[0] / 2e-6  # of RBE over the relative change of the effect
    assert page.evaluate("panel.survival.at(2).rbe.half_width") == pytest.approx(slope * HALF_WIDTH, rel=1e-6)


def test_the_curve_is_read_by_keyboard(open_panel):
    page = open_panel()
    slider = page.get_by_role("slider", name="Survival curve")
    slider.press("End")
    text = slider.get_attribute("aria-valuetext")
    assert f"predicted survival {np.exp(-EFFECT[-1]):.3g}" in text.replace("\u2212", "-")
    slider.press("ArrowLeft")
    assert float(slider.get_attribute("aria-valuenow")) < 6


def test_the_direct_simulation_is_drawn_with_its_error_bars(open_panel):
    page = open_panel()
    assert page.locator("path.s3d-bar").count() == len(DOSES)
    assert page.get_by_text("held out of the training").is_visible()
    row = page.locator("tr", has_text="RBE").filter(has_text="0.0030")
    assert row.locator("td").first.text_content() == "1.210"
    say(page, "s3d:pick", [0, 0, 0])
    assert page.locator("path.s3d-bar").count() == 0
    assert page.locator(".s3d-card", has_text="Results of the direct simulation").is_hidden()


def test_the_survival_table_has_all_that_is_drawn(open_panel):
    header, rows = rows_of(open_panel(), "Survival curve")
    assert header[0] == "dose / Gy"
    assert len(rows) == len(DOSES)
    values = np.array(rows, dtype=float)
    np.testing.assert_allclose(values[:, 1], EFFECT, rtol=1e-14)
    np.testing.assert_allclose(values[:, 7], np.exp(-1.01 * EFFECT), rtol=1e-14)
    np.testing.assert_allclose(values[:, 8], np.exp(-1.01 * EFFECT) * 0.01 * EFFECT, rtol=1e-14)


def test_shares_add_up_to_one_and_are_those_of_the_mixing_rule(open_panel):
    page = open_panel()
    for dose in (0.5, 2.0, 8.0):
        require_shares(page, dose)


def require_shares(page, dose):
    found = page.evaluate(f"S3D.survival.shares(source.scene.voxels.bins, {FLUENCE.tolist()}, {dose})")
    weight = FLUENCE * DOSE_PER_FLUENCE
    weight /= weight.sum()
    root = (weight * np.sqrt(BETA)).sum()
    part = weight * (ALPHA * dose + np.sqrt(BETA) * root * dose**2)
    alpha, beta = mix(FLUENCE * DOSE_PER_FLUENCE, ALPHA, BETA)
    assert part.sum() == pytest.approx(alpha * dose + beta * dose**2, rel=1e-12)
    filled = FLUENCE > 0
    told = {key: [b[key] for b in found["bins"]] for key in ("fluence", "dose", "effect")}
    np.testing.assert_allclose(told["fluence"], (FLUENCE / FLUENCE.sum())[filled], rtol=1e-12)
    np.testing.assert_allclose(told["dose"], weight[filled], rtol=1e-12)
    np.testing.assert_allclose(told["effect"], (part / part.sum())[filled], rtol=1e-12)
    assert all(sum(shares) == pytest.approx(1, abs=1e-12) for shares in told.values())
    assert (found["alpha"], found["beta"]) == pytest.approx((float(alpha), float(beta)), rel=1e-12)


def test_equal_bins_share_effect_as_dose_and_a_split_bin_has_the_sum_of_its_parts(open_panel):
    page = open_panel()
    share = "bins => S3D.survival.shares(bins, {}, 2).bins"
    equal = {**BINS, "alpha": [[0.5] * 8] * 2, "beta": [[0.05] * 8] * 2}
    found = page.evaluate(share.format(FLUENCE.tolist()), equal)
    assert [b["effect"] for b in found] == pytest.approx([b["dose"] for b in found], rel=1e-12)
    halves = {"species": ["H"], "edges_mev_u": [[1, 2, 4]], "dose_per_fluence": [[3, 3]]}
    found = page.evaluate(share.format([[1, 3]]), {**halves, "alpha": [[0.4, 0.4]], "beta": [[0.1, 0.1]]})
    assert [b["effect"] for b in found] == pytest.approx([0.25, 0.75])


def test_the_five_largest_bins_are_listed_in_order(open_panel):
    page = open_panel()
    page.get_by_label("Dose of the effect in Gy").fill("4")
    weight = FLUENCE * DOSE_PER_FLUENCE / (FLUENCE * DOSE_PER_FLUENCE).sum()
    part = weight * (ALPHA * 4 + np.sqrt(BETA) * (weight * np.sqrt(BETA)).sum() * 16)
    share = np.sort((part / part.sum()).ravel())[::-1][:5]
    header, rows = rows_of(page, "The 5 bins with the largest share of the effect at 4.00 Gy")
    assert header[3] == "share of effect / %"
    np.testing.assert_allclose([float(row[3]) for row in rows], 100 * share, rtol=1e-12)
    assert f"{100 * share.sum():.1f} % of the effect" in page.locator(".s3d-drivers p").text_content()
    _, species = rows_of(page, "Shares of the species at 4.00 Gy")
    np.testing.assert_allclose([float(row[2]) for row in species], 100 * weight.sum(axis=1), rtol=1e-12)
    _, bins = rows_of(page, "Spectrum")
    assert len(bins) == 15
    assert sum(float(row[5]) for row in bins) == pytest.approx(100)


def test_an_effect_dose_that_is_none_is_marked_and_changes_nothing(open_panel):
    page = open_panel()
    field = page.get_by_label("Dose of the effect in Gy")
    field.fill("-1")
    assert field.get_attribute("aria-invalid") == "true"
    assert page.get_by_text("largest share of the effect at 2.00 Gy").is_visible()


def test_the_spectrum_is_read_from_bin_to_bin(open_panel):
    page = open_panel()
    slider = page.get_by_role("slider", name="Spectrum")
    slider.press("Home")
    first = slider.get_attribute("aria-valuetext")
    assert "H, 0.500 to 1.06 MeV/u" in first
    assert "He, 0.500 to 1.06 MeV/u" in first
    slider.press("ArrowRight")
    assert "1.06 to 2.24 MeV/u" in slider.get_attribute("aria-valuetext")
    for weight in ("fluence", "effect"):
        page.get_by_role("button", name=weight, exact=True).press("Enter")
        assert weight in page.locator(".s3d-title", has_text="per bin").text_content()
    page.get_by_role("button", name="log", exact=True).press("Enter")
    assert "NaN" not in page.locator(".s3d-plot").last.inner_html()


def test_a_bin_that_starts_at_zero_energy_is_drawn(open_panel):
    edges = [[0.0, *EDGES[1:].tolist()]] * 2
    page = open_panel({**VOXELS, "bins": {**BINS, "edges_mev_u": edges}})
    assert "NaN" not in page.locator(".s3d-plot").last.inner_html()
    assert "Infinity" not in page.locator(".s3d-plot").last.inner_html()


def test_a_bin_without_parameters_is_named_and_no_share_is_said(open_panel):
    alpha = ALPHA.tolist()
    alpha[1][7] = None
    page = open_panel({**VOXELS, "bins": {**BINS, "alpha": alpha}})
    assert page.get_by_text("no alpha, beta or dose for He").is_visible()
    assert page.locator(".s3d-drivers table").count() == 0


def test_voxels_without_spectrum_or_answer_say_so(open_panel):
    page = open_panel()
    say(page, "s3d:pick", [0, 0, 0])
    assert page.get_by_text("No spectrum is known of this voxel.").is_visible()
    assert page.locator("path.s3d-band").count() == 0  # nor an interval
    say(page, "s3d:pick", [0, 0, 1])
    assert page.get_by_text("The spectrum of this voxel is empty.").is_visible()
    say(page, "s3d:pick", [2, 2, 2])
    assert page.get_by_text("There is no answer here").is_visible()
    assert page.locator(".s3d-plot").first.is_hidden()
    say(page, "s3d:pick", [1, 1, 2])
    assert page.locator(".s3d-plot").first.is_visible()


def test_a_page_that_holds_rounded_spectra_says_so(open_panel):
    page = open_panel({**VOXELS, "data": {"spectrum": {"id": "block"}}})
    assert page.get_by_text("rounded to save space").is_visible()


def test_place_and_nearest_voxel_are_told(open_panel):
    page = open_panel()
    assert page.locator(".s3d-where").text_content().startswith("x \u22121.0, y 2.0, z 15.0 mm.")
    say(page, "s3d:voxel", [3, 2, 5])
    assert page.get_by_role("heading", name="Voxel 3, 2, 5").is_visible()
    assert "shown is the nearest, 2, 2, 4" in page.locator(".s3d-where").text_content()


def test_another_photon_reference_changes_what_is_shown(open_panel):
    page = open_panel()
    page.evaluate("""() => {
        source.scene.voxels = {...source.scene.voxels, photon: {alpha_x: 0.5, beta_x: 0.0}, fractions: 3};
        document.querySelector(".s3d").dispatchEvent(new CustomEvent("s3d:scene", {detail: {layers: []}}));
    }""")
    page.get_by_text("1.500 Gy in 3 fractions").wait_for()
    assert tiles(page)["RBE at 2 Gy"] == f"{EFFECT[2] / 0.5 / 2:.3f}"


def test_the_panel_follows_the_cross_hair_only_when_told(open_panel):
    page = open_panel()
    page.get_by_role("button", name="follow the cross-hair").press("Enter")
    say(page, "s3d:voxel", [0, 0, 0])
    assert page.get_by_role("heading", name="Voxel 1, 1, 2").is_visible()
    say(page, "s3d:pick", [0, 0, 0])
    assert page.get_by_role("heading", name="Voxel 0, 0, 0").is_visible()


def test_while_one_voxel_is_read_only_the_latest_waits(open_panel):
    page = open_panel()
    asked = page.evaluate("""async () => {
        const told = [];
        source.voxel = async (...at) => { told.push(at[2]); await new Promise((r) => setTimeout(r, 30)); return null; };
        await Promise.all([1, 2, 3, 4].map((k) => panel.show([0, 0, k])));
        while (panel.busy) await new Promise((r) => setTimeout(r, 10));
        return told;
    }""")
    assert asked == [1, 4]


def test_a_source_that_fails_is_told_in_its_words(open_panel):
    page = open_panel()
    page.evaluate("void (source.voxel = async () => { throw new Error('the server answered 500'); })")
    say(page, "s3d:pick", [0, 0, 0])
    assert page.get_by_text("This voxel could not be read: the server answered 500").is_visible()


def test_a_scene_without_voxels_has_no_panel(open_page, tmp_path):
    page = open_page(charts_page.write_page(tmp_path, charts_page.scene()))
    assert page.locator(".s3d-panel").count() == 0


POOR = """() => {
  const two = (channel) => Number(channel).toString(16).padStart(2, "0");
  const hex = (rgb) => "#" + rgb.match(/\\d+/g).slice(0, 3).map(two).join("");
  const colour = (e) => hex(getComputedStyle(e)[e.namespaceURI.endsWith("svg") ? "fill" : "color"]);
  const page = matchMedia("(prefers-color-scheme: dark)").matches ? "#121212" : "#ffffff";
  const sheet = (e) => {
    for (; e; e = e.parentElement) {
      const { backgroundColor } = getComputedStyle(e);
      if (backgroundColor !== "rgba(0, 0, 0, 0)") return hex(backgroundColor);
    }
    return page;
  };
  const hasText = (e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
  return [...document.querySelectorAll(".s3d *")].filter(hasText)
    .map((e) => [e.outerHTML.slice(0, 80), S3D.charts.contrast(colour(e), sheet(e))])
    .filter(([, ratio]) => ratio < 4.5);
}"""


def test_all_text_has_the_contrast_of_wcag_aa(open_panel):
    page = open_panel(histograms=[charts_page.histogram("PTV", "surrogate", rng.normal(2, 0.1, 50))])
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert page.evaluate(POOR) == []


def test_a_narrow_screen_does_not_scroll_sideways(open_page, tmp_path):
    curves = [charts_page.histogram("PTV", name, rng.normal(2, 0.1, 50)) for name in ("surrogate", "reference")]
    scene = charts_page.scene(voxels=VOXELS, points=[POINT], layers=LAYERS, histograms=curves)
    path = charts_page.write_page(tmp_path, scene, ANSWERS)
    page = open_page(path, viewport={"width": 360, "height": 740})
    page.locator(".s3d-where", has_text="mm").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_paper_has_the_charts_and_tables_without_their_controls(open_panel):
    page = open_panel()
    page.emulate_media(media="print", color_scheme="dark")
    assert page.locator(".s3d-csv:visible, .s3d-readings:visible, input:visible").count() == 0
    assert page.locator(".s3d-plot:visible").count() == 2
    assert page.locator(".s3d-card").first.evaluate("e => getComputedStyle(e).backgroundColor") == "rgb(255, 255, 255)"
