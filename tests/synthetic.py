"""Small made-up plans, responses and surrogates for the tests of the upper rooms; nothing here is physics truth."""

from dataclasses import asdict, replace

import numpy as np
import torch

from surrogate3d.direct.curve import response
from surrogate3d.direct.task import DOSE_LADDER, VoxelTask
from surrogate3d.grid import (
    Field,
    Grid,
    LetDefinition,
    Prescription,
    Spectra,
    SpectrumAxes,
    Volume,
    VolumeSet,
    quantity,
)
from surrogate3d.inference.spectrum_distance import field_features
from surrogate3d.inference.spectrum_domain import SpectrumDomain
from surrogate3d.model.bundle import ModelCard, Surrogate
from surrogate3d.model.channels import channel_names
from surrogate3d.model.network import KernelNetwork, NetworkConfig
from surrogate3d.physics.cell_line import cell_line
from surrogate3d.physics.let import dose_from_spectra
from surrogate3d.physics.mixing import mono_table, zr_table

torch.set_num_threads(1)  # the sums of several threads may differ in the last digit

AXES = SpectrumAxes.logarithmic(("H", "He"), n_bins=12, low_mev_u=0.5, high_mev_u=250.0)
SHAPE = (9, 8, 12)
SPACING_MM = (2.0, 2.0, 2.5)
LINE = cell_line("HSG")
TABLE = mono_table("HSG")
LET_DEFINITION = LetDefinition("dose", "protons", "water", False, None, "made up")
EXPLAINED = 0.95
N_DOSES = len(DOSE_LADDER)
HISTORIES_PER_TRACK = 10  # so that runs of different statistics have the same dose per history


def expected_counts(tracks=400.0, shape=SHAPE, axes=AXES):
    """(species, bin, i, j, k) expected tracks of a beam that slows down along the last axis; skewed across it."""
    x, y, z = (np.linspace(0, 1, n) for n in shape)
    lateral = np.exp(-(((x[:, None] - 0.45) / 0.5) ** 2) - ((y[None] - 0.6) / 0.4) ** 2)
    centre = 120.0 * (1 - 0.97 * z)  # MeV/u
    spectrum = np.exp(-0.5 * (np.log(axes.energy_mev_u[..., None] / centre) / 0.35) ** 2)  # (species, bin, k)
    spectrum /= spectrum.sum(axis=1, keepdims=True)
    share = np.array([1.0, 0.03, 0.02])[: len(axes.species), None, None]
    return tracks * (share * spectrum)[:, :, None, None] * lateral[..., None]


def make_field(seed=None, tracks=400.0, shape=SHAPE, axes=AXES, halves=False, prescription=None, files=("a",)):
    """A field with the beam along the last axis; without a seed it has no noise."""
    grid = Grid(shape, SPACING_MM, (0.0, 0.0, 0.0))
    counts = expected_counts(tracks, shape, axes)
    rng = np.random.default_rng(seed)
    parts = [counts, counts] if seed is None else [2.0 * rng.poisson(counts / 2) for _ in range(2)]
    scale = 1.0 if prescription is None else prescription.dose_scale
    fluences = [(scale * part / grid.face_area_mm2(2)).astype(np.float32) for part in parts]
    spectra = [_spectra(axes, f) for f in (fluences[0] / 2 + fluences[1] / 2, *fluences)]
    doses = [dose_from_spectra(axes, s.fluence) / EXPLAINED for s in spectra]
    return Field(
        grid=grid,
        volumes=VolumeSet(grid, {"dose_to_water": Volume(grid, doses[0], quantity("dose_to_water"))}),
        spectra=spectra[0],
        beam_axis=2,
        beam_sign=1,
        histories=round(HISTORIES_PER_TRACK * tracks),
        halves=tuple(spectra[1:]) if halves else (),
        halves_dose=tuple(doses[1:]) if halves else (),
        let_definitions={"LET_d": LET_DEFINITION},
        prescription=prescription,
        provenance={"runs": [{"files": [{"name": f"{name}.bin", "sha256": name} for name in files]}]},
    )


def prescribed(field, dose_gy, fractions_dose=None):
    """The same field scaled so that its largest dose is `dose_gy`."""
    scale = dose_gy / float(field.dose.max())
    dose = Volume(field.grid, field.dose * scale, quantity(field.dose_name))
    spectra = _spectra(field.spectra.axes, field.spectra.fluence * np.float32(scale))
    return replace(
        field,
        volumes=VolumeSet(field.grid, {field.dose_name: dose}),
        spectra=spectra,
        prescription=Prescription(scale, f"{dose_gy} Gy at the maximum", fractions_dose or dose_gy),
    )


def reoriented(field, permutation, beam_sign):
    """The same plan scored on a grid with permuted axes, mirrored along the beam where `beam_sign` is -1."""
    beam_axis = permutation.index(field.beam_axis)

    def turn(values):
        lead = values.ndim - 3
        turned = values.transpose(*range(lead), *(lead + axis for axis in permutation))
        return np.ascontiguousarray(turned if beam_sign > 0 else np.flip(turned, lead + beam_axis))

    shape, spacing = (tuple(x[axis] for axis in permutation) for x in (field.grid.shape, field.grid.spacing_mm))
    grid = Grid(shape, spacing, (0.0, 0.0, 0.0))
    volumes = {name: Volume(grid, turn(volume.values), volume.quantity) for name, volume in field.volumes.items()}
    return replace(
        field,
        grid=grid,
        volumes=VolumeSet(grid, volumes),
        spectra=_spectra(field.spectra.axes, turn(field.spectra.fluence)),
        beam_axis=beam_axis,
        beam_sign=beam_sign,
    ), turn


def _spectra(axes, fluence):
    outside = np.zeros((len(axes.species), *fluence.shape[2:]), np.float32)
    return Spectra(axes, fluence, outside, outside)


def lq_response(voxel, alpha, beta, field_id="high", doses=DOSE_LADDER, relative_se=0.0, line=LINE):
    """The response of a voxel whose survival curve is linear-quadratic."""
    D = np.asarray(doses)
    S = np.exp(-alpha * D - beta * D**2)
    task = VoxelTask(np.ones((1, 1)), SpectrumAxes(("H",), np.array([[1.0, 2.0]])), 1.0, (line.name,), voxel, field_id)
    exact = response(task, line, doses, S, S[None], 1, 0, "made_up/1")
    return replace(exact, effect_se=tuple(relative_se * e for e in exact.effect))


def table_responses(field, voxels, field_id="high", factor=1.0):
    """Responses of voxels as the mixing rule has them, the effect multiplied by `factor`."""
    alpha, beta = zr_table(field.spectra.axes, field.spectra.fluence, TABLE)
    return [
        lq_response(tuple(map(int, v)), factor * alpha[tuple(v)], factor * beta[tuple(v)], field_id) for v in voxels
    ]


def random_network(seed=0, n_doses=N_DOSES, width=6, corrected=True):
    """A network with random weights everywhere (also in the head that training starts at zero)."""
    torch.manual_seed(seed)
    network = KernelNetwork(NetworkConfig(width, 2, likeness=4, head_width=8, n_doses=n_doses))
    with torch.no_grad():
        network.weights.weight.normal_(0, 1.0)
        network.prior.normal_(0, 1.0)
        network.channel_mean.normal_(0, 0.1)
        network.channel_std.uniform_(0.8, 1.2)
        if corrected:
            network.head.correction[-1].weight.normal_(0, 1.0)
            network.head.spread[-1].weight.normal_(0, 0.3)
    return network.eval()


def make_card(field, **changes):
    """A card that accepts `field`, whatever its channels."""
    axes = field.spectra.axes
    across = sorted(s for axis, s in enumerate(field.grid.spacing_mm) if axis != field.beam_axis)
    card = ModelCard(
        network={},
        channels=channel_names(),
        doses=DOSE_LADDER,
        cell_lines=((LINE.name, LINE.alpha_x, LINE.beta_x),),
        edges_mev_u={s: row.tolist() for s, row in zip(axes.species, axes.edges_mev_u, strict=True)},
        species_sets=(axes.species,),
        primaries=("H",),
        let_definitions={"LET_d": asdict(LET_DEFINITION)},
        dose_name="dose_to_water",
        spacing_mm=((*across, field.grid.spacing_mm[field.beam_axis]),),
        members=2,
    )
    return replace(card, **changes)


def make_surrogate(field, networks=None, tables=(TABLE,), **changes):
    """An ensemble of two random networks that accepts `field`."""
    networks = networks or (random_network(1), random_network(2))
    card = make_card(field, network=asdict(networks[0].config), members=len(networks), **changes)
    seen = field_features(field, field.spectra.fluence.any(axis=(0, 1)))
    return Surrogate(tuple(networks), card, tables, SpectrumDomain.fit([seen], [seen]).to_arrays())
