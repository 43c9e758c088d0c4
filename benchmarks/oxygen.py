"""Cells short of oxygen: the network's head against closed forms, by the number of simulated voxels.

    python benchmarks/oxygen.py STORES WORK [--kernels BUNDLE] [--spread 0.3] [--labels 25 50 100 200] [--final]

STORES holds `<plan>_low.field.zarr` and `<plan>_high.field.zarr` as `scripts/reference_runs.py` makes them. Labels are
`gsm2_mc` on the high-statistics spectra under the pressures of `oxygen_map`, kept in the ledger of WORK; inputs are the
low runs, denoised by grouped pooling, or with `--kernels` by the first network of a bundle. `--spread` gives the nuclei
of the cells a log-normal distribution of radii, for which there is no closed form. The head is that of
`model.head`, its correction alone, fitted to the spectra of the high runs. A closed form is also scaled by its mean
error at each dose over the same labels. `--final` judges on what nothing was chosen on: `proton_shallow`, and the
deepest third of `carbon_slab` with the tumour moved there. RBE is against photons at full oxygen.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from oxygen_forms import FORMS, Forms, closed_forms, fractions_at
from oxygen_map import drawn, moved_deeper, tumour_oxygen
from torch import Tensor

from surrogate3d.direct.conditions import Conditions
from surrogate3d.direct.curve import analyse
from surrogate3d.direct.gsm2_mc import Gsm2MonteCarlo
from surrogate3d.direct.task import DOSE_LADDER
from surrogate3d.grid import SpectrumAxes
from surrogate3d.io.field_store import read_field
from surrogate3d.model.bundle import load_bundle
from surrogate3d.model.groups import BAND_EDGES_MEV_U, field_inputs
from surrogate3d.model.head import CLOSED_FORM, Denoised, EffectHead
from surrogate3d.model.network import KernelNetwork
from surrogate3d.physics.cell_line import cell_line
from surrogate3d.physics.mixing import mono_table
from surrogate3d.physics.oxygen import relative_yield
from surrogate3d.physics.oxygen_mixing import OxygenTables
from surrogate3d.pipeline.design import SimulationSettings, campaign
from surrogate3d.sampling import SelectedVoxel
from surrogate3d.training.head import denoise
from surrogate3d.training.loss import correction_loss

Floats = npt.NDArray[np.float64]

LINE = cell_line("HSG")
PHOTON = torch.tensor([[LINE.alpha_x], [LINE.beta_x**0.5]])
DOSES = np.array(DOSE_LADDER)
DEEPEST_THIRD = 2 / 3
DEEPER = 12
"""Voxels by which the tumour is moved to lie in the deepest third."""

MAP_SEED = {"proton_slab": 11, "proton_deep": 12, "proton_shallow": 13, "carbon_slab": 14}

CONDITIONS = {"closed form": (*CLOSED_FORM, "log_oxygen_yield"), "pressure alone": ("log_oxygen_yield",)}
"""What the head is told, by variant."""

STEPS, RATE, DECAY = 300, 5e-3, 1e-2


@dataclass(frozen=True, eq=False)
class Part:
    """Simulated voxels of a plan, or of a part of it.

    Attributes:
        name: of the part.
        axes: species and energy bins.
        pressure: (voxel,) mmHg.
        effect: (voxel, dose) simulated -ln S.
        se: (voxel, dose) its relative standard error.
        forms: closed forms, on grouped-pooled spectra of the low run ("low") and on those of the high run ("high").
        kernels: what a network's kernels make of the low run; None where there are none.
    """

    name: str
    axes: SpectrumAxes
    pressure: Floats
    effect: Floats
    se: Floats
    forms: dict[str, Forms]
    kernels: Denoised | None

    def cut(self, voxels: slice) -> Part:
        """Some of the voxels."""
        forms = {
            run: Forms(
                of.fractions[..., voxels],
                of.alpha[voxels],
                of.sqrt_beta[voxels],
                {name: factor[:, voxels] for name, factor in of.factors.items()},
            )
            for run, of in self.forms.items()
        }
        kernels = None if self.kernels is None else _cut(self.kernels, voxels)
        return Part(self.name, self.axes, self.pressure[voxels], self.effect[voxels], self.se[voxels], forms, kernels)


def _cut(denoised: Denoised, voxels: slice) -> Denoised:
    return Denoised(
        denoised.share[:, voxels], denoised.state[voxels], denoised.alpha[:, voxels], denoised.sqrt_beta[:, voxels]
    )


def part_of(
    options: argparse.Namespace,
    plan: str,
    n: int,
    seed: int,
    tables: dict[str, OxygenTables],
    network: KernelNetwork | None,
    held_out: bool = False,
) -> Part:
    """Draw, simulate and prepare `n` voxels of a plan; of `carbon_slab`, of its first two thirds or of the rest."""
    high, low = (read_field(options.stores / f"{plan}_{run}.field.zarr") for run in ("high", "low"))
    pO2, within = tumour_oxygen(high, MAP_SEED[plan]), np.ones(high.grid.shape, dtype=bool)
    pO2 = moved_deeper(pO2, DEEPER) if held_out else pO2
    if plan == "carbon_slab":
        within[:, :, int(DEEPEST_THIRD * high.grid.shape[2]) :] = False
    voxels = drawn(high, pO2, n, seed, ~within if held_out else within)
    done = campaign(
        [SelectedVoxel(plan, (int(i), int(j), int(k)), "chosen", None) for i, j, k in voxels],
        {plan: high},
        options.work / "ledger",
        SimulationSettings("gsm2_mc", (LINE.name,), 0, options.target_se),
        backend=Gsm2MonteCarlo(nucleus_spread=options.spread),
        conditions=lambda _, __, at: Conditions(float(pO2[at])),
    ).complete()
    effect, error = np.array([r.effect for r in done]), np.array([r.effect_se for r in done])
    pressure, axes = pO2[tuple(voxels.T)], high.spectra.axes
    forms = {
        run: closed_forms(axes, fractions_at(field, voxels, run == "low"), pressure, tables)
        for run, field in (("low", low), ("high", high))
    }
    kernels = None
    if network is not None:
        inputs = field_inputs(low, [tables[next(iter(tables))].oxic])
        assert (low.beam_axis, low.beam_sign) == (2, 1), "the voxels would have to be turned downstream"
        charge = torch.from_numpy(np.asarray(axes.Z, dtype=np.int64))
        kernels = denoise(network, torch.from_numpy(inputs), torch.from_numpy(voxels), charge, PHOTON[0, 0])
    name = f"{plan}, deepest third" if held_out else plan
    return Part(name, axes, pressure, effect, error / effect, forms, kernels)


def denoised(part: Part, run: str) -> Denoised:
    """The kernels' answer for the low run if there is one, else what stands in its place: the pooled spectra."""
    if run == "low" and part.kernels is not None:
        return part.kernels
    forms, Z = part.forms[run], np.asarray(part.axes.Z)
    band = np.searchsorted(np.array(BAND_EDGES_MEV_U), part.axes.energy_mev_u, side="right")
    shares = np.array(
        [
            np.einsum("sb,sbv->v", (kind[:, None] & (band == n)).astype(float), forms.fractions)
            for kind in (Z == 1, Z == 2, Z > 2)
            for n in range(len(BAND_EDGES_MEV_U) + 1)
        ]
    )
    share, alpha, sqrt_beta = (torch.from_numpy(x).float() for x in (shares, forms.alpha, forms.sqrt_beta))
    return Denoised(share, torch.zeros(share.shape[1], 1), alpha[None], sqrt_beta[None])


def asked(part: Part, run: str, variant: str) -> tuple[Denoised, Tensor]:
    """The denoised field under the closed form, if the variant has one, and the conditions."""
    told = [np.log(relative_yield(0.0, part.pressure))]
    if variant == "closed form":
        told = [*np.log(part.forms[run].factors["OER of every ion"]), *told]
    conditions = torch.from_numpy(np.stack(told)).float()
    return denoised(part, run).under(CONDITIONS[variant], conditions), conditions


def fitted(parts: Sequence[Part], variant: str, seed: int) -> EffectHead:
    """A head fitted to parts, on the spectra of the high runs: on noisy ones it learns the noise of its few voxels."""
    torch.manual_seed(seed)
    head = EffectHead(1, 24, len(DOSES), len(CONDITIONS[variant]), 1.0 if variant == "closed form" else 2.0)
    features, ratios, errors = [], [], []
    for part in parts:
        under, conditions = asked(part, "high", variant)
        features.append(torch.cat([under.features(PHOTON), conditions.T[None]], dim=-1))
        true = torch.from_numpy(part.effect.T[None].copy()).float()
        ratios.append(torch.log(true / under.effect(torch.from_numpy(DOSES).float())))
        errors.append(torch.from_numpy(part.se.T[None].copy()).float())
    seen, ratio, error = torch.cat(features, dim=1), torch.cat(ratios, dim=2), torch.cat(errors, dim=2)
    optimiser = torch.optim.AdamW(head.correction.parameters(), lr=RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=STEPS)
    for _ in range(STEPS):
        found = head.max_log * torch.tanh(head.correction(seen)).transpose(1, 2)
        loss = 100 * correction_loss(found, ratio, error, torch.ones(ratio.shape[2]))
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(head.correction.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    return head


@torch.no_grad()
def predicted(head: EffectHead, part: Part, variant: str) -> Floats:
    """(voxel, dose) effect of a part on its low run."""
    under, conditions = asked(part, "low", variant)
    effect = under.effect(torch.from_numpy(DOSES).float()) * torch.exp(head(under, PHOTON, conditions)[0])
    return np.asarray(effect[0].T.double().numpy())


def closed(part: Part) -> dict[str, Floats]:
    """(voxel, dose) effect by every closed form, on the same denoised spectra as the head's."""
    given = denoised(part, "low")
    alpha, sqrt_beta = (x[0].double().numpy() for x in (given.alpha, given.sqrt_beta))
    return part.forms["low"].effects(DOSES, alpha, sqrt_beta)


def scaled(trained_on: Sequence[Part], part: Part, form: str) -> Floats:
    """(voxel, dose) effect by a closed form times the mean ratio of truth to form at each dose, of other parts."""
    ratios = np.concatenate([np.log(other.effect / closed(other)[form]) for other in trained_on])
    return np.asarray(closed(part)[form] * np.exp(ratios.mean(axis=0)))


def judged(effect: Floats, true: Floats) -> dict[str, tuple[float, float, float, float]]:
    """R2, NRMSE over the range (%), RMS and bias of the relative error (%), by output."""
    two = int(np.flatnonzero(DOSES == 2.0)[0])
    got, want = (analyse(DOSES, np.exp(-x), LINE) for x in (effect, true))
    pairs = {"-ln S(2 Gy)": (effect[:, two], true[:, two])} | {n: (got[n], want[n]) for n in ("RBE10", "alpha")}
    return {
        name: (
            float(1 - np.sum((x - y) ** 2) / np.sum((y - y.mean()) ** 2)),
            float(100 * np.sqrt(np.mean((x - y) ** 2)) / np.ptp(y)),
            float(100 * np.sqrt(np.mean((x / y - 1) ** 2))),
            float(100 * np.mean(x / y - 1)),
        )
        for name, (x, y) in pairs.items()
    }


def tell(plan: str, method: str, labels: str, rows: Sequence[dict[str, tuple[float, float, float, float]]]) -> None:
    """One row of the table: medians over the seeds; of R2 the worst output."""
    mean = {name: np.median([row[name] for row in rows], axis=0) for name in rows[0]}
    worst = min(float(values[0]) for values in mean.values())
    cells = [f"{v[2]:.2f} ({v[3]:+.2f})" for v in mean.values()] + [f"{max(v[1] for v in mean.values()):.2f}"]
    print(f"| {plan} | {method} | {labels} | {worst:.4f} | {' | '.join(cells)} |", flush=True)


def table(trained_on: Sequence[Part], judged_on: Sequence[Part], labels: Sequence[int], seeds: int) -> None:
    """Closed forms, then the head by its number of labels a plan."""
    for part in judged_on:
        for name, effect in closed(part).items():
            tell(part.name, name, "", [judged(effect, part.effect)])
    for n in labels:
        for part in judged_on:
            effect = scaled([other.cut(slice(n)) for other in trained_on], part, "tables at pressures")
            tell(part.name, "tables at pressures, scaled", f"{n} x {len(trained_on)}", [judged(effect, part.effect)])
    for variant in CONDITIONS:
        for n in labels:
            heads = [fitted([part.cut(slice(n)) for part in trained_on], variant, seed) for seed in range(seeds)]
            for part in judged_on:
                rows = [judged(predicted(head, part, variant), part.effect) for head in heads]
                tell(part.name, f"head, {variant}", f"{n} x {len(trained_on)}", rows)


def main() -> None:
    """Simulate what is missing, print tables."""
    options = _options()
    torch.set_num_threads(1)
    oxic = mono_table(LINE.name)
    tables = {name: make(oxic) for name, make in FORMS.items()}
    network = load_bundle(options.kernels).networks[0] if options.kernels else None

    def part(plan: str, n: int, seed: int, held_out: bool = False) -> Part:
        print(f"{plan}: {n} voxels", file=sys.stderr, flush=True)
        return part_of(options, plan, n, seed, tables, network, held_out)

    most = max(options.labels)
    slab, carbon = part("proton_slab", most, 1), part("carbon_slab", most + options.others, 3)
    deep = part("proton_deep", max(most, 2 * options.others), 2)
    print("| plan | method | labels | worst R2 | -ln S(2 Gy) | RBE10 | alpha | worst NRMSE |")
    print("|---|---|---|---|---|---|---|---|")
    near, rest = carbon.cut(slice(most)), replace(carbon.cut(slice(most, None)), name="carbon_slab, other voxels")
    table([slab], [deep], options.labels, options.seeds)
    table([near], [rest], options.labels, options.seeds)
    if options.final:
        shallow = part("proton_shallow", options.judged[0], 4)
        table([slab, deep], [shallow], options.labels, options.seeds)
        table([near], [part("carbon_slab", options.judged[1], 5, held_out=True)], options.labels, options.seeds)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("stores", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--kernels", type=Path, help="bundle whose first network denoises")
    parser.add_argument("--spread", type=float, default=0.0, help="relative standard deviation of the nucleus radius")
    parser.add_argument("--labels", type=int, nargs="+", default=[25, 50, 100, 200], help="simulated voxels a plan")
    parser.add_argument("--others", type=int, default=100, help="further voxels of carbon_slab, to be judged on")
    parser.add_argument("--judged", type=int, nargs=2, default=[150, 60], help="voxels of both parts of --final")
    parser.add_argument("--target-se", type=float, default=0.003)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--final", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
