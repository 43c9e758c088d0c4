"""RBE maps that OpenTOPAS itself scored, from the dose and LET of the same run as they are converted."""

import re

import numpy as np
import pytest

from surrogate3d.io.convert import convert
from surrogate3d.io.prescribe import PrescribeRequest
from surrogate3d.io.topas_grid import read_values
from surrogate3d.io.topas_header import read_header
from surrogate3d.physics.rbe import RBE_from_limits

AGREEMENT = 1e-4
EPSILON = np.finfo(float).eps

# RBEmax and RBEmin of OpenTOPAS-RBE by LET (keV/um) and alpha_x / beta_x (Gy); 0.834 where Carabe's paper has 0.843.
LIMITS = {
    "McNamara": lambda L, ab: (0.99064 + 0.35605 * L / ab, 1.1012 - 0.0038703 * np.sqrt(ab) * L),
    "Wedenberg": lambda L, ab: (1 + 0.434 * L / ab, np.ones_like(L)),
    "Carabe": lambda L, ab: (0.834 + 0.413644 * L / ab, 1.09 + 0.01612 * L / ab),
}


@pytest.fixture(scope="module")
def run(topas_data):
    return topas_data("proton_rbe_v79")


@pytest.fixture(scope="module")
def stated(run):
    """alpha_x / beta_x and prescribed doses, as the parameter file has them, Gy."""
    text = (run / "p_sobp.txt").read_text()
    ratio = re.search(r"^d:Sc/CellLineV79/AlphaBetaRatiox = (\S+) Gy", text, re.MULTILINE)
    doses = re.findall(r"^d:Sc/(\w+)/PrescribedDose = (\S+) Gy", text, re.MULTILINE)
    return float(ratio[1]), {name: float(dose) for name, dose in doses}


@pytest.fixture(scope="module")
def converted(run, stated):
    """The run with its largest voxel at the prescribed dose, which is what the RBE scorers do by default."""
    field, _ = convert([run], prescribe=PrescribeRequest(stated[1]["McNamara"], at="max"))
    return field


@pytest.fixture(scope="module")
def scored(run):
    def values(name):
        path = run / f"p_sobp_{name}_RBE.csv"
        return read_values(path, read_header(path)).column("Sum")[..., 0]

    return values


def computed(name, field, ab):
    LET_d = np.nan_to_num(field.volumes["LET_d"].values)  # TOPAS takes 0 where nothing was scored to divide by
    RBEmax, RBEmin = LIMITS[name](LET_d, ab)
    return RBE_from_limits(field.volumes["dose_to_water"].values, RBEmax, RBEmin, ab)


@pytest.mark.parametrize("name", LIMITS)
def test_the_scored_maps_follow_from_converted_dose_and_let(converted, scored, stated, name):
    ab, prescribed = stated
    assert (ab, prescribed[name]) == (1.412, 2.0)
    expected, dose = scored(name), converted.volumes["dose_to_water"].values
    answered = expected > 0
    off = np.abs(computed(name, converted, ab)[answered] / expected[answered] - 1)
    with_let = np.isfinite(converted.volumes["LET_d"].values[answered])
    assert (answered.sum(), with_let.sum()) == (15_049, 13_243)
    assert off[with_let].max() <= AGREEMENT / 10  # every voxel in which LET was scored
    # In the others TOPAS writes RBE at LET 0, by (sqrt(ab^2 + ...) - ab) / (2 D), which loses digits at almost no dose.
    lost = 2 * EPSILON * ab / (dose[answered] * expected[answered])
    assert (off <= AGREEMENT + lost).all()
    assert off[dose[answered] > 1e-11].max() <= AGREEMENT
    assert ((off > AGREEMENT) & with_let).sum() == 0
    assert (off > AGREEMENT).sum() < 10


@pytest.mark.parametrize("name", LIMITS)
def test_the_scored_maps_are_zero_where_there_is_no_dose_and_not_where_there_is_no_let(converted, scored, name):
    zero, dose = scored(name) == 0, converted.volumes["dose_to_water"].values
    no_let = np.isnan(converted.volumes["LET_d"].values)
    np.testing.assert_array_equal(zero, dose == 0)
    assert (zero.sum(), no_let.sum(), (no_let & ~zero).sum()) == (1_335, 3_141, 1_806)


def test_the_maps_themselves_are_left_out_of_the_field_and_say_what_reads_them(run):
    _, report = convert([run])
    left_out = {file.name: file.reason for file in report.files_not_read}
    assert sorted(left_out) == [f"p_sobp_{name}_RBE.csv" for name in sorted(LIMITS)]
    assert all("surrogate3d topas image --as rbe" in reason for reason in left_out.values())


def test_linear_bins_of_protons_and_alphas_are_those_of_the_binaries(converted, run):
    axes, scale = converted.spectra.axes, converted.prescription.dose_scale
    for row, (particle, A, high) in enumerate((("proton", 1, 140.0), ("alpha", 4, 64.0))):
        np.testing.assert_allclose(axes.edges_mev_u[row], np.linspace(0, high / A, 65), rtol=1e-12)
        written = np.fromfile(run / f"p_sobp_Fluence_{particle}.bin", "<f8").reshape(64, 16, 16, 66)
        found = converted.spectra.fluence[row].transpose(3, 2, 1, 0)
        np.testing.assert_allclose(found, scale * written[..., 1:-1], rtol=1e-6, atol=0)
