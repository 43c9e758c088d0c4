"""Small made-up plans of dose and LET, and a model without spectra for them; nothing here is physics truth."""

from dataclasses import asdict, replace

import numpy as np
import torch
from synthetic import AXES, make_field

from surrogate3d.direct.task import DOSE_LADDER
from surrogate3d.grid import Beam, DoseField, Field, LetDefinition, Volume, VolumeSet, quantity
from surrogate3d.model.dose_channels import CHANNEL_SETS
from surrogate3d.model.reduced_bundle import ReducedCard, ReducedModel, VariantCard
from surrogate3d.model.regression import RegressionNetwork, RegressionShape, SmoothPrior
from surrogate3d.physics.let import LET_d, LET_t

DEFINITIONS = {
    "LET_d": LetDefinition("dose", "protons", "water", False, None, "made up"),
    "LET_t": LetDefinition("track", "protons", "water", False, None, "made up"),
}
LINES = (("HSG", 0.313, 0.0615), ("V79", 0.184, 0.020))


def field_with_LET(seed=None, **options):
    """A field with spectra, LET_d and LET_t of them, and a proton beam along the last axis."""
    field = make_field(seed, **options)
    maps = {"LET_d": LET_d(AXES, field.spectra.fluence), "LET_t": LET_t(AXES, field.spectra.fluence)}
    volumes = {**field.volumes, **{n: Volume(field.grid, values, quantity(n)) for n, values in maps.items()}}
    return replace(
        field,
        volumes=VolumeSet(field.grid, volumes),
        primary="H",
        beams=(Beam(name="one", direction=(0.0, 0.0, 1.0)),),
        let_definitions=DEFINITIONS,
    )


def reduced(field: Field, names=("dose_to_water", "LET_d", "LET_t"), direction=(0.0, 0.0, 1.0), **changes):
    """Dose and LET of a field, as a planning system would give them."""
    return replace(
        DoseField(
            grid=field.grid,
            volumes=VolumeSet(field.grid, {name: field.volumes[name] for name in names}),
            primary="H",
            beams=(Beam(name="one", direction=direction),),
            let_definitions={name: DEFINITIONS[name] for name in names if name in DEFINITIONS},
            prescription=field.prescription,
        ),
        **changes,
    )


def flat_prior(alpha_ratio=1.2, sqrt_beta_ratio=1.1):
    """A prior that gives the same ratios at every LET, for every line."""
    none = (0.0,) * 29
    return SmoothPrior((float(np.log(alpha_ratio)), *none), (float(np.log(sqrt_beta_ratio)), *none), (0.1, 50.0))


def random_regression(n_channels, seed=0, width=6):
    torch.manual_seed(seed)
    network = RegressionNetwork(RegressionShape(n_channels, width))
    with torch.no_grad():
        for head in (network.correction, network.spread):
            head.weight.normal_(0, 3.0)
        network.channel_mean.normal_(0, 0.1)
        network.channel_std.uniform_(0.8, 1.2)
    return network.eval()


def make_model(field, prior=None, **changes):
    """A model of random networks that accepts `field`, whatever its channels."""
    networks = tuple(random_regression(len(each.channels), n) for n, each in enumerate(CHANNEL_SETS))
    variants = []
    for each in CHANNEL_SETS:
        low, high = ((sign * 1e6,) * len(each.channels) for sign in (-1, 1))
        variants.append(VariantCard(each, each.channels, low, high, 6, prior or flat_prior(), 1.5))
    card = ReducedCard(
        variants=tuple(variants),
        doses=DOSE_LADDER,
        cell_lines=LINES,
        primaries=("H",),
        let_definitions={name: asdict(definition) for name, definition in DEFINITIONS.items()},
        dose_name="dose_to_water",
        spacing_mm=(field.grid.spacing_mm,),
    )
    return ReducedModel(networks, replace(card, **changes), "b" * 64)
