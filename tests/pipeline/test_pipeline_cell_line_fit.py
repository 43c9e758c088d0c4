import hashlib
import json
import math
import tomllib

import numpy as np
import pytest

from surrogate3d.direct.gsm2_fft import Gsm2Fft
from surrogate3d.direct.simulator import BACKENDS
from surrogate3d.direct.task import VoxelTask
from surrogate3d.errors import ConfigError, StoreError, ValueRangeError
from surrogate3d.grid import SpectrumAxes
from surrogate3d.physics.cell_line import cell_line, cell_lines
from surrogate3d.physics.microdosimetry import site_moments
from surrogate3d.physics.mkm import MkmParameters, mkm, saturation_z0
from surrogate3d.pipeline.cell_line_calibration import Assumed
from surrogate3d.pipeline.cell_line_facts import list_cell_lines, show_cell_line
from surrogate3d.pipeline.cell_line_fit import fit_cell_line, write_cell_line

DOSES = (0.5, 1.0, 2.0, 3.0, 4.0, 6.0)
ENERGIES = (30.0, 100.0)


def photons(alpha=0.3, beta=0.05, experiment="a"):
    return [f"photon,,{dose},{math.exp(-alpha * dose - beta * dose**2)!r},{experiment}" for dose in DOSES]


def carbon(energies=ENERGIES, alpha0=0.17, beta0=0.05, r_d=0.32, R_n=3.9):
    """What the MKM says of carbon ions."""
    parameters = MkmParameters(alpha0, beta0, r_d, R_n, saturation_z0(r_d, R_n, beta0), "")
    rows = []
    for energy in energies:
        alpha, _ = mkm(site_moments(r_d, 6, energy, parameters.z0).z_star, parameters)
        rows += [f"C,{energy},{dose},{math.exp(-alpha * dose - beta0 * dose**2)!r},b" for dose in (1.0, 2.0, 3.0)]
    return rows


@pytest.fixture
def fit(tmp_path):
    def run(rows, **assumed):
        text = "\n".join(["radiation,energy_mev_u,dose_gy,survival,experiment", *rows]) + "\n"
        (tmp_path / "survival.csv").write_text(text)
        return fit_cell_line(tmp_path / "survival.csv", Assumed("mine", **assumed))

    return run


def test_the_file_loads_with_what_was_fitted(fit, tmp_path):
    found = fit([*photons(), *carbon((12.0, 30.0, 100.0, 270.0))], species="human", tissue='the "best"')
    write_cell_line(found, tmp_path / "mine.toml")
    line = cell_line(tmp_path / "mine.toml")
    assert (line.name, line.species, line.tissue) == ("mine", "human", 'the "best"')
    assert (line.alpha_x, line.beta_x) == pytest.approx((0.3, 0.05), rel=1e-6)
    assert (line.mkm.alpha0, line.mkm.beta0, line.mkm.r_d, line.mkm.R_n) == pytest.approx(
        (0.17, 0.05, 0.32, 3.9), rel=1e-4
    )
    for name, own in (("smk", line.smk), ("lem", line.lem)):
        assert found.model(name).calibrated is (own is not None)
        for key, parameter in found.model(name).parameters.items():
            assert own is None or getattr(own, key) == parameter.value
    assert line.mkm.z0 == pytest.approx(saturation_z0(0.32, 3.9, 0.05), rel=1e-4)
    assert (line.gsm2.r_d, line.gsm2.R_n, line.gsm2.r, line.gsm2.genome_gbp) == (0.9, 4.5, 2.5, 6.2)
    assert found.model("gsm2").parameters["a"].value == pytest.approx(line.gsm2.a, rel=1e-5)
    assert found.model("gsm2").parameters["b"].value == pytest.approx(line.gsm2.b, rel=1e-5)


def test_the_file_says_where_its_numbers_are_from(fit, tmp_path):
    write_cell_line(fit([*photons(), *carbon()]), tmp_path / "mine.toml")
    text, digest = (tmp_path / "mine.toml").read_text(), hashlib.sha256((tmp_path / "survival.csv").read_bytes())
    data = tomllib.loads(text)
    for source in (data["source"], data["gsm2"]["source"], data["mkm"]["source"]):
        assert f"survival.csv (SHA-256 {digest.hexdigest()})" in source
    assert "6 points" in data["source"]
    assert "6 points of ions" in data["mkm"]["source"]
    assert "# zr_table: not calibrated" in text
    assert "\nalpha_x = 0.3  # 1/Gy, 0.3 to 0.3\n" in text


def test_intervals_follow_from_those_of_the_pair(fit):
    rng = np.random.default_rng(1)
    noisy = [f"photon,,{dose},{math.exp(-0.3 * dose - 0.05 * dose**2 + 0.03 * rng.normal())!r},a" for dose in DOSES]
    found = fit(noisy)
    alpha, a = found.photon["alpha_x"], found.model("gsm2").parameters["a"]
    beta, b = found.photon["beta_x"], found.model("gsm2").parameters["b"]
    # alpha_x = kx a / (a + r) + 0.001 kx, nearly a straight line; beta_x is nearly proportional to b
    assert (a.high - a.low) / a.value == pytest.approx((alpha.high - alpha.low) / (alpha.value - 0.0422), rel=0.02)
    assert (b.high - b.low) / b.value == pytest.approx((beta.high - beta.low) / beta.value, rel=0.02)


def test_without_ions_only_the_photon_models_are_calibrated(fit):
    found = fit(photons())
    usable = {model.model: model.calibrated for model in found.models}
    assert usable == {
        "gsm2": True, "mkm": False, "smk": False, "lem": False, "published LET models": True, "zr_table": False,
    }  # fmt: skip
    assert "need nothing but the photon pair" in found.model("published LET models").why
    assert found.model("mkm").why == "needs survival data of ions in the file"


def test_one_ion_energy_calibrates_neither_mkm_nor_smk_nor_lem(fit):
    found = fit([*photons(), *carbon((30.0,))])
    assert not any(found.model(name).calibrated for name in ("mkm", "smk", "lem"))
    assert "2 or more energies or LETs, found 1" in found.model("mkm").why
    assert "3 or more energies or LETs, found 1" in found.model("smk").why


def test_the_order_of_experiments_and_controls_of_others_do_no_harm(fit):
    # experiment a has a control 10 % too low, so it is all of a; that of b concerns b alone
    parts = [row.split(",") for row in [*photons(), "photon,,0,1.0,a"]]
    shifted = [f"photon,,{dose},{0.9 * float(survival)!r},a" for _, _, dose, survival, _ in parts]
    alone = fit(shifted)
    mixed = fit(["photon,,0,1.1,b", *shifted[::-1], *carbon()])
    assert alone.photon["alpha_x"].value == mixed.photon["alpha_x"].value == pytest.approx(0.3)
    assert alone.photon["beta_x"].value == mixed.photon["beta_x"].value == pytest.approx(0.05)
    assert (alone.goodness.n_points, alone.goodness.n_offsets) == (7, 1)


def test_a_control_that_is_one_by_definition_is_no_point(tmp_path):
    rows = [f"{dose},{math.exp(-0.3 * dose - 0.05 * dose**2)!r},{0.02 * math.exp(-0.3 * dose)!r}" for dose in DOSES]
    (tmp_path / "s.csv").write_text("\n".join(["dose_gy,survival,survival_se", "0,1,0", *rows]) + "\n")
    found = fit_cell_line(tmp_path / "s.csv", Assumed("mine"))
    assert (found.goodness.n_points, found.goodness.n_offsets, found.goodness.ndf) == (6, 0, 4)
    assert found.photon["alpha_x"].value == pytest.approx(0.3)


def test_a_dose_range_that_does_not_show_beta_is_warned_of(fit):
    rng = np.random.default_rng(2)
    doses = (0.25, 0.5, 0.75, 1.0, 1.25)
    effects = [0.3 * dose + 0.03 * dose**2 + 0.05 * rng.normal() for dose in doses]
    rows = [f"photon,,{dose},{math.exp(-effect)!r},a" for dose, effect in zip(doses, effects, strict=True)]
    found = fit(rows)
    assert any("beta_x cannot be told from 0 with photon doses up to 1.25 Gy" in text for text in found.warnings)
    assert any("no standard errors in the file" in text for text in found.warnings)


def with_errors(tmp_path, rows, relative=0.05):
    """Fit of rows with a stated standard error of so much of the survival."""
    lines = [f"{row},{relative * float(row.split(',')[3])!r}" for row in rows]
    header = "radiation,energy_mev_u,dose_gy,survival,experiment,survival_se"
    (tmp_path / "survival.csv").write_text("\n".join([header, *lines]) + "\n")
    return fit_cell_line(tmp_path / "survival.csv", Assumed("mine"))


def test_an_ion_model_that_does_not_describe_the_data_is_not_calibrated_and_not_written(tmp_path):
    # slow carbon that acts less than fast carbon at LET where nothing saturates: none of the models does that
    rows = [f"C,{E},{D},{math.exp(-alpha * D)!r},b" for E, alpha in ((100, 1.5), (200, 0.3)) for D in (1.0, 2.0, 3.0)]
    found = with_errors(tmp_path, [*photons(), *rows])
    write_cell_line(found, tmp_path / "mine.toml")
    line, text = cell_line(tmp_path / "mine.toml"), (tmp_path / "mine.toml").read_text()
    for name in ("mkm", "lem"):
        model = found.model(name)
        assert not model.calibrated
        assert model.goodness.p_value < 0.001
        assert (
            f"does not describe the data (chi2 {model.goodness.chi2:.4g} on {model.goodness.ndf} degrees" in model.why
        )
        assert getattr(line, name) is None
        assert f"# {name}: not calibrated: does not describe the data" in text
    assert not any("DO NOT TRUST" in warning for warning in found.warnings)


def test_an_ion_model_that_describes_the_data_is_calibrated_with_stated_errors(tmp_path):
    found = with_errors(tmp_path, [*photons(), *carbon((12.0, 30.0, 100.0, 270.0))])
    assert found.model("mkm").calibrated
    assert found.model("mkm").goodness.p_value > 0.999


@pytest.mark.parametrize(("relative", "words"), [(0.01, "DO NOT TRUST alpha_x AND beta_x"), (0.06, "fit is poor")])
def test_photons_that_no_curve_describes_are_loudly_warned_of(tmp_path, relative, words):
    kicks = (1, -1, 1, -1, -1, 1)
    rows = [
        f"photon,,{dose},{math.exp(-0.3 * dose - 0.05 * dose**2 + 0.1 * kick)!r},a"
        for dose, kick in zip(DOSES, kicks, strict=True)
    ]
    found = with_errors(tmp_path, rows, relative)
    assert words in found.warnings[0]
    assert found.goodness.scale > 1


def scaled(factor, alpha=0.3, beta=0.05):
    """Photon points with doses in a wrong unit."""
    return [f"photon,,{factor * D},{math.exp(-alpha * D - beta * D**2)!r},a" for D in DOSES]


def test_doses_a_hundred_times_too_large_or_too_small_are_refused(fit):
    with pytest.raises(ValueRangeError, match="line 4: dose_gy must be at most 100 Gy, found 200; check"):
        fit(scaled(100))
    with pytest.raises(ValueRangeError, match="alpha_x would be 30 1/Gy, and no cell line has more than 5; check that"):
        fit(scaled(0.01))
    with pytest.raises(ValueRangeError, match=r"beta_x would be 5 1/Gy\^2, and no cell line has more than 2"):
        fit(scaled(0.1))


def test_an_alpha_outside_those_of_known_lines_is_warned_of(fit):
    for rows, value in ((photons(alpha=4.0), "4"), (scaled(15.0, alpha=0.05), "0.00333")):
        (warning,) = (text for text in fit(rows).warnings if "known cell lines" in text)
        assert f"alpha_x of {value} 1/Gy" in warning
        assert "check that doses are in Gy" in warning
    assert not any("known cell lines" in text for text in fit(photons()).warnings)
    # not to be told from 0, and thus nothing against the unit
    assert not any("known cell lines" in text for text in fit(photons(alpha=0.0)).warnings)


def test_a_small_alpha_cannot_be_calibrated_and_nothing_is_written(fit, tmp_path):
    found = fit(photons(alpha=0.02))
    gsm2 = found.model("gsm2")
    assert not gsm2.calibrated
    assert "GSM2 cannot reproduce alpha_x=0.02" in gsm2.why
    assert "alpha_x is not above the 0.0422 1/Gy of directly lethal lesions" in gsm2.why
    with pytest.raises(ValueRangeError, match="nothing written, as a cell line needs GSM2: GSM2 cannot reproduce"):
        write_cell_line(found, tmp_path / "mine.toml")
    assert not (tmp_path / "mine.toml").exists()
    # what the message proposes, a genome below 2.94 Gbp, does it
    assert "a genome below 2.94 Gbp" in gsm2.why
    assert fit(photons(alpha=0.02), genome_gbp=2.9).model("gsm2").calibrated


def test_a_large_beta_needs_fewer_domains(fit):
    gsm2 = fit(photons(alpha=0.1, beta=0.2), r_d=0.2).model("gsm2")
    assert not gsm2.calibrated
    assert "q=" in gsm2.why
    assert "of a larger r_d or a smaller R_n, allow a larger beta_x" in gsm2.why


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (carbon(), "no photon points"),
        (photons()[:2], "survival.csv, photons: a survival curve needs 3 different doses above 0 Gy, found 2"),
        ([f"photon,,{dose},1.1,a" for dose in DOSES], "survival.csv, photons: survival does not fall with dose"),
        ([*photons(), "C,0.001,1,0.5,a"], "line 8: ions need 0.1 MeV/u or more"),
    ],
)
def test_data_that_give_no_cell_line_are_refused(fit, rows, words):
    with pytest.raises(ValueRangeError, match=words):
        fit(rows)


@pytest.mark.parametrize(
    ("assumed", "error", "words"),
    [
        ({"name": "HSG"}, ConfigError, "HSG is a shipped cell line"),
        ({"name": " "}, ConfigError, "name of the cell line must be a text in one line"),
        ({"name": "a", "tissue": "b\nc"}, ConfigError, "tissue of the cell line must be a text in one line"),
        ({"name": "a", "r_d": 0.0}, ValueRangeError, "r_d of the cell line must be above 0"),
        ({"name": "a", "repair_rate": float("nan")}, ValueRangeError, "repair_rate of the cell line"),
    ],
)
def test_what_cannot_be_assumed_is_refused(assumed, error, words):
    with pytest.raises(error, match=words):
        Assumed(**assumed)


def test_the_name_of_the_file_and_an_older_one_are_looked_at(fit, tmp_path):
    found = fit(photons())
    with pytest.raises(ConfigError, match=r"ends in \.toml, found mine\.txt"):
        write_cell_line(found, tmp_path / "mine.txt")
    write_cell_line(found, tmp_path / "mine.toml")
    with pytest.raises(StoreError, match="exists already"):
        write_cell_line(found, tmp_path / "mine.toml")
    write_cell_line(found, tmp_path / "mine.toml", overwrite=True)


def test_the_answer_is_plain_data(fit):
    data = fit([*photons(), "photon,,0,1.0,a", *carbon()]).to_json()
    given = data["input"]
    assert (given["n_photon"], given["n_ion"], given["n_controls"]) == (6, 6, 1)
    assert [each["energy_mev_u"] for each in given["qualities"]] == list(ENERGIES)
    assert json.loads(json.dumps(data))["photon"]["alpha_x"]["unit"] == "1/Gy"


def test_a_fitted_line_is_simulated_with(fit, tmp_path):
    write_cell_line(fit(photons()), tmp_path / "mine.toml")
    axes = SpectrumAxes(("C",), np.array([[29.9, 30.1]]))
    (found,) = Gsm2Fft().simulate([VoxelTask(np.ones((1, 1)), axes, 1.0, (str(tmp_path / "mine.toml"),))])
    assert found.cell_line == "mine"
    assert found.RBE10 > 1.5


def test_every_shipped_line_is_listed_with_what_can_use_it():
    lines = {line["name"]: line for line in list_cell_lines()}
    assert tuple(lines) == cell_lines()
    assert {"gsm2_mc", "mkm", "smk", "zr_table", "mcnamara"} <= set(lines["HSG"]["back_ends"])
    assert not {"lem1", "wilkens"} & set(lines["HSG"]["back_ends"])
    assert {"lem1", "wilkens"} <= set(lines["chordoma"]["back_ends"])
    assert lines["V79"]["alpha_beta_x"] == pytest.approx(9.2)


def test_a_line_is_shown_with_parameters_sources_and_reasons(fit, tmp_path):
    shipped = show_cell_line("HSG")
    assert shipped["models"]["mkm"]["r_d"] == 0.32
    assert all(model["source"] for model in shipped["models"].values())
    assert shipped["file"] is None
    assert set(shipped["back_ends"]) == set(BACKENDS)
    assert "no [lem] parameters" in shipped["unusable"]["lem1"]
    write_cell_line(fit(photons()), tmp_path / "mine.toml")
    own = show_cell_line(str(tmp_path / "mine.toml"))
    assert own["file"] == str(tmp_path / "mine.toml")
    assert own["back_ends"]["gsm2_mc"]
    assert not own["back_ends"]["mkm"]
