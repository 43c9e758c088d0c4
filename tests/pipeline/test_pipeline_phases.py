"""Phases of one fraction on a common grid: combined, then predicted, they are the mixture of their tracks."""

from dataclasses import replace

import numpy as np
import pytest
from synthetic import LINE, make_field

from surrogate3d.direct.campaign import in_process
from surrogate3d.direct.simulator import simulator
from surrogate3d.errors import GridMismatchError, QuantityError
from surrogate3d.grid import Prescription, Volume, VolumeSet, quantity
from surrogate3d.inference.maps import Fractionation
from surrogate3d.io.field_store import field_id, read_field, write_field
from surrogate3d.physics.let import dose_from_spectra
from surrogate3d.physics.linear_quadratic import RBE_at_dose
from surrogate3d.pipeline.direct_maps import DirectSettings, direct_maps
from surrogate3d.pipeline.fields import combine_stores
from surrogate3d.pipeline.spectrum_checks import checked

WEIGHTS = {"exhale": 0.5, "between": 0.3, "inhale": 0.2}
TRACKS = (4000, 2500, 3000)
SCALE = 400.0
TABLE = DirectSettings(simulator("zr_table"), "HSG", min_dose_fraction=0.1)


def phase(number, tracks):
    """A plan of some Gy whose spectra are softer the later the phase, with the dose that they explain."""
    field = make_field(seed=number, tracks=tracks, files=(str(number),), prescription=Prescription(SCALE, "given"))
    softer = np.exp(-0.1 * number * np.arange(field.spectra.axes.n_bins))[:, None, None, None]
    field = replace(field, spectra=replace(field.spectra, fluence=(field.spectra.fluence * softer).astype(np.float32)))
    dose = field.dose * checked(field).volumes["explained_corrected"].values
    volumes = {"dose_to_water": dose, "dose_std": 0.01 * number * dose}
    on_grid = {name: Volume(field.grid, values, quantity(name)) for name, values in volumes.items()}
    return replace(field, volumes=VolumeSet(field.grid, on_grid))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The phases, their sum, and the folder of their stores."""
    folder = tmp_path_factory.mktemp("phases")
    phases = [phase(number, tracks) for number, tracks in enumerate(TRACKS, start=1)]
    paths = [folder / f"{name}.field.zarr" for name in WEIGHTS]
    for field, path in zip(phases, paths, strict=True):
        write_field(field, path)
    combine_stores(paths, folder / "fraction.field.zarr", weights=list(WEIGHTS.values()))
    return phases, read_field(folder / "fraction.field.zarr"), folder


@pytest.fixture(scope="module")
def predicted(made):
    """Maps of the sum and of each phase by the mixing rule, and the voxels that all of them answer."""
    _, _, folder = made
    maps = [direct(folder / f"{name}.field.zarr", folder / "ledger") for name in ("fraction", *WEIGHTS)]
    answered = np.all([np.isfinite(each["alpha"]) for each in maps], axis=0)
    assert answered.sum() > 50
    return [{name: values[answered].astype(float) for name, values in each.items()} for each in maps], answered


def direct(store, ledger):
    names = ("alpha", "beta", "D_RBE")
    found = direct_maps(read_field(store), field_id(store), TABLE, Fractionation(2.0), ledger, in_process, names)
    return {name: found.volumes[name].values for name in names}


def weighted(values):
    return sum(weight * each for weight, each in zip(WEIGHTS.values(), values, strict=True))


def test_dose_fluence_and_histories_add_with_the_weights(made):
    phases, fraction, _ = made
    np.testing.assert_allclose(fraction.dose, weighted(field.dose for field in phases), rtol=1e-12)
    mixed = weighted(field.spectra.fluence.astype(float) for field in phases)
    np.testing.assert_allclose(fraction.spectra.fluence, mixed, rtol=1e-6)
    assert fraction.histories == sum(field.histories for field in phases)
    assert [(beam.name, beam.weight, beam.histories) for beam in fraction.beams] == [
        (name, weight, field.histories) for (name, weight), field in zip(WEIGHTS.items(), phases, strict=True)
    ]
    assert not fraction.several_directions, "the network answers for phases of one beam"


def test_noise_adds_in_quadrature_and_no_history_twice(made):
    phases, fraction, folder = made
    squares = weighted(
        weight * f.volumes["dose_std"].values ** 2 for weight, f in zip(WEIGHTS.values(), phases, strict=True)
    )
    np.testing.assert_allclose(fraction.volumes["dose_std"].values, np.sqrt(squares), rtol=1e-12)
    exhale, twice = folder / "exhale.field.zarr", folder / "twice.field.zarr"
    with pytest.raises(QuantityError, match="same"):
        combine_stores([exhale, exhale], twice, weights=[0.5, 0.5], names=["in", "out"])
    with pytest.raises(QuantityError, match="same"):
        combine_stores([folder / "fraction.field.zarr", exhale], twice, weights=[1.0, 1.0])


def test_the_prediction_of_the_sum_is_the_mixture_by_hand(made, predicted):
    """alpha and sqrt(beta) of the mixing rule are averages over the dose of the tracks, so over phases too."""
    (whole, *own), answered = predicted
    axes = made[1].spectra.axes
    doses = [
        weight * dose_from_spectra(axes, field.spectra.fluence)[answered]
        for weight, field in zip(WEIGHTS.values(), made[0], strict=True)
    ]
    shares = [dose / sum(doses) for dose in doses]
    alpha = sum(share * each["alpha"] for share, each in zip(shares, own, strict=True))
    root_beta = sum(share * np.sqrt(each["beta"]) for share, each in zip(shares, own, strict=True))
    np.testing.assert_allclose(whole["alpha"], alpha, rtol=1e-5)
    np.testing.assert_allclose(np.sqrt(whole["beta"]), root_beta, rtol=1e-4)
    assert np.abs(own[0]["alpha"] / own[2]["alpha"] - 1).max() > 0.02, "the phases differ"


def test_the_weighted_dose_is_that_of_the_whole_fraction_and_not_the_mean_of_the_phases(made, predicted):
    (whole, *own), answered = predicted
    dose = made[1].dose[answered]
    effect = whole["alpha"] * dose + whole["beta"] * dose**2
    np.testing.assert_allclose(whole["D_RBE"], dose * RBE_at_dose(dose, effect, LINE.alpha_x, LINE.beta_x), rtol=1e-4)
    mean = weighted(each["D_RBE"] for each in own)
    assert np.abs(mean / whole["D_RBE"] - 1).max() > 1e-3


def test_a_phase_that_was_scored_elsewhere_is_refused(made, tmp_path):
    phases, _, folder = made
    moved = replace(phases[0].grid, origin_mm=tuple(np.add(phases[0].grid.origin_mm, (0.0, 0.0, 2.5))))
    volumes = {name: Volume(moved, each.values, each.quantity) for name, each in phases[0].volumes.items()}
    write_field(replace(phases[0], grid=moved, volumes=VolumeSet(moved, volumes)), tmp_path / "moved.field.zarr")
    paths = [folder / "between.field.zarr", tmp_path / "moved.field.zarr"]
    with pytest.raises(GridMismatchError, match="of the dose of field moved lies outside the grid of the sum"):
        combine_stores(paths, tmp_path / "sum.field.zarr", weights=[1, 1])
