"""Make the pictures of docs/direct-simulation.md and print its numbers.

    python scripts/direct_simulation_figures.py [FOLDER]

Seeded; a few minutes on two cores. FOLDER is docs/figures unless given. Published curves are read from
tests/fixtures/literature, whose origin tests/fixtures/README.md states.
"""

from __future__ import annotations

import io
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from direct_simulation_cases import DOSES, ROOT, SEED, D10_of, energy_at, ion, literature, simulate, survival_curves
from direct_simulation_numbers import NUMBERS
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter
from PIL import Image

from surrogate3d.direct.gillespie import photon_effect_in_time, repair_survival
from surrogate3d.direct.tracks_in_time import survival_in_time
from surrogate3d.grid import SPECIES_Z
from surrogate3d.physics import gsm2, smk
from surrogate3d.physics.cell_line import cell_line
from surrogate3d.physics.linear_quadratic import D10, effect
from surrogate3d.physics.microdosimetry import site_moments
from surrogate3d.physics.protraction import exposures, protraction_factor, repair_rate_of
from surrogate3d.physics.stopping_power import stopping_power

Floats = npt.NDArray[np.float64]

ENERGIES = {"H": np.geomspace(0.35, 250, 13), "He": np.geomspace(0.45, 250, 21), "C": np.geomspace(0.8, 400, 23)}
FOLKARD = ((17.0, 1.6), (24.0, 1.9), (32.0, 3.36))
"""LET in keV/um and measured RBE10 of protons, V79 (Folkard et al., Int. J. Radiat. Biol. 1989;56:221, abstract)."""
# Okabe and Ito's colours, told apart by all forms of colour vision; each has its own dashes too
STYLE: dict[str, dict[str, Any]] = {
    "gsm2_mc": {"color": "#000000", "linestyle": "-", "linewidth": 2.0},
    "gsm2_fft": {"color": "#56B4E9", "linestyle": "--"},
    "smkm_mc": {"color": "#0072B2", "linestyle": "-"},
    "smk": {"color": "#56B4E9", "linestyle": (0, (5, 1.5))},
    "mkm": {"color": "#009E73", "linestyle": (0, (1.2, 1.2))},
    "lem1": {"color": "#CC79A7", "linestyle": (0, (6, 1.5, 1.2, 1.5))},
    "mcnamara": {"color": "#E69F00", "linestyle": (0, (6, 1.5, 1.2, 1.5))},
    "mairani": {"color": "#E69F00", "linestyle": (0, (6, 1.5, 1.2, 1.5))},
}
HOLLOW: dict[str, Any] = {"markersize": 4, "markerfacecolor": "none"}
POINT: dict[str, Any] = {"color": "#D55E00", "marker": "o", "linestyle": "none"} | HOLLOW
LET_LABEL, RBE_LABEL, DOSE_LABEL = "LET / (keV/\N{MICRO SIGN}m)", "RBE at 10 % survival", "dose / Gy"


def save(figure: Figure, folder: Path, name: str) -> None:
    """Write the picture and say how large it is."""
    path = folder / f"direct-{name}.png"
    with io.BytesIO() as drawn:
        figure.savefig(drawn, dpi=100)
        Image.open(drawn).convert("RGB").quantize(64).save(path, optimize=True)
    print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB\n", flush=True)


def panels(rows: int, columns: int, size: tuple[float, float], **shared: Any) -> tuple[Figure, list[Axes]]:
    """An empty figure with plain axes."""
    figure = Figure(figsize=size, layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False, **shared).ravel())
    for ax in axes:
        ax.grid(color="#dddddd", linewidth=0.6)
        ax.spines[["top", "right"]].set_visible(False)
    return figure, axes


def LET_axis(ax: Axes) -> None:
    """Logarithmic, with numbers to read."""
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=99))
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlabel(LET_LABEL)


def published_RBE10(line: str, species: str) -> tuple[Floats, Floats]:
    """LET and RBE10 of published lines (MKM 2010 for HSG; D10 read off the SMK's survival curves for V79)."""
    Z, photons = SPECIES_Z[species], cell_line(line)
    D10_x = float(D10(photons.alpha_x, photons.beta_x))
    if line == "HSG":
        rows = literature("inaniwa_2010_D10.csv")
        rows = rows[rows["Z"] == Z]
        return rows["LET_keV_um"], D10_x / rows["D10_Gy"]
    found = [(LET, D10_x / D10_of(D, S)) for LET, D, S in survival_curves(line, Z)]
    return np.array(found).reshape(-1, 2).T[0], np.array(found).reshape(-1, 2).T[1]


def rbe_over_LET(folder: Path) -> None:
    """RBE10 of all back ends over LET, HSG above and V79 below."""
    figure, axes = panels(2, 3, (10.0, 6.4), sharey="row")
    for ax, (line, species) in zip(axes, [(c, s) for c in ("HSG", "V79") for s in ENERGIES], strict=True):
        names = ["gsm2_mc", "smkm_mc", "smk", "mkm", *{"H": ["mcnamara"], "He": ["mairani"]}.get(species, [])]
        LET = stopping_power(SPECIES_Z[species], ENERGIES[species])
        for name in names:
            found = [simulate(name, ion(species, float(E), line)) for E in ENERGIES[species]]
            inside = (20.0 if name == "mcnamara" else 200.0 if name == "mairani" else np.inf) > LET
            ax.plot(LET[inside], np.array([r.RBE10 for r in found])[inside], label=name, **STYLE[name])
        if species != "H":
            ax.plot(
                *published_RBE10(line, species),
                label="line of the " + {"HSG": "MKM, 2010", "V79": "SMK, 2018"}[line],
                **POINT,
            )
        elif line == "V79":
            ax.plot(*np.array(FOLKARD).T, label="measured (Folkard, 1989)", **POINT | {"marker": "s"})
        LET_axis(ax)
        ax.set_title(f"{line}, {species}", loc="left", fontsize=10)
        ax.legend(fontsize=7, frameon=False, loc="upper left")
    for ax in axes[::3]:
        ax.set_ylabel(RBE_LABEL)
    save(figure, folder, "rbe-let")


def lem_over_LET(folder: Path) -> None:
    """LEM I of the chordoma set against gsm2_mc of the same photon pair, carbon."""
    figure, (ax,) = panels(1, 1, (6.0, 3.6))
    LET = stopping_power(6, ENERGIES["C"])
    for name in ("gsm2_mc", "lem1"):
        found = [simulate(name, ion("C", float(E), "chordoma")).RBE10 for E in ENERGIES["C"]]
        ax.plot(LET, found, label=name, **STYLE[name])
        print(f"chordoma, C, {name}: largest RBE10 {max(found):.2f} at {LET[int(np.argmax(found))]:.0f} keV/um")
    LET_axis(ax)
    ax.set_ylabel(RBE_LABEL)
    ax.set_title("chordoma (0.1 1/Gy, 0.05 1/Gy\N{SUPERSCRIPT TWO}), C", loc="left", fontsize=10)
    ax.legend(frameon=False)
    save(figure, folder, "rbe-lem")


def D10_residuals(folder: Path) -> None:
    """D10 of gsm2_mc over the published lines of HSG; Folkard's protons."""
    figure, (ax,) = panels(1, 1, (7.0, 3.6))
    everything = []
    for species, colour, marker in (("He", "#0072B2", "s"), ("C", "#D55E00", "o"), ("Ne", "#009E73", "^")):
        rows = literature("inaniwa_2010_D10.csv")
        rows = rows[rows["Z"] == SPECIES_Z[species]][::2]
        tasks = [ion(species, energy_at(SPECIES_Z[species], L), "HSG") for L in rows["LET_keV_um"]]
        found = np.array([simulate("gsm2_mc", t, 0.005).D10 for t in tasks])
        ratio = found / rows["D10_Gy"]
        everything += [(species, L, np.log(r)) for L, r in zip(rows["LET_keV_um"], ratio, strict=True)]
        ax.plot(rows["LET_keV_um"], 100 * (ratio - 1), color=colour, marker=marker, markersize=4, label=species)
        pairs = zip(rows["LET_keV_um"], ratio, strict=True)
        print(species, "D10 / published:", ", ".join(f"{L:.0f}: {r:.3f}" for L, r in pairs))
    for ions, highest in ((("He", "C"), 400.0), (("He", "C"), np.inf), (("Ne",), 400.0), (("Ne",), np.inf)):
        errors = np.array([error for species, LET, error in everything if highest > LET and species in ions])
        rms, bias, which = np.sqrt(np.mean(errors**2)), errors.mean(), " and ".join(ions)
        print(f"{which} below {highest:g} keV/um: rms of ln D10 {rms:.3f}, bias {bias:+.3f}, n {len(errors)}")
    for LET, measured in FOLKARD:
        response = simulate("gsm2_mc", ion("H", energy_at(1, LET), "V79"))
        print(f"V79 protons {LET:g} keV/um: RBE10 {response.RBE10:.2f} +- {response.RBE10_se:.2f}, measured {measured}")
    ax.axhline(0, color="black", linewidth=0.8)
    LET_axis(ax)
    ax.set_ylabel("D10 of gsm2_mc over that of the\npublished MKM, difference / %")
    ax.legend(frameon=False)
    save(figure, folder, "d10-residuals")


def survival(folder: Path) -> None:
    """The published survival curves of He, C and Ne, simulated and in closed form."""
    figure, axes = panels(2, 3, (12.0, 7.0), sharex=True, sharey=True)
    colours = ("#0072B2", "#D55E00", "#009E73")
    for dashes, name in (("-", "smkm_mc"), (":", "gsm2_mc"), ("o", "line of the SMK, 2018")):
        axes[0].plot([], [], dashes, color="black", label=name, **HOLLOW)
    for ax, (line, species) in zip(axes, [(c, s) for c in ("HSG", "V79") for s in ("He", "C", "Ne")], strict=True):
        parameters = cell_line(line).smk
        assert parameters is not None
        for (LET, D, S), colour in zip(survival_curves(line, SPECIES_Z[species]), colours, strict=True):
            E = energy_at(SPECIES_Z[species], LET)
            doses = tuple(np.linspace(0.25, float(D.max()), 24).tolist())
            mc, damage = (simulate(n, ion(species, E, line), 0.005, doses) for n in ("smkm_mc", "gsm2_mc"))
            closed = smk.survival(D, *smk.moments(SPECIES_Z[species], E, parameters, LET), parameters)
            simulated = np.interp(D, (0, *doses), (0, *np.negative(mc.effect))) / np.log(10)
            errors = np.log10(closed / S), simulated - np.log10(S), (simulated - np.log10(S))[S > 0.1]
            rms = ", ".join(f"{np.sqrt(np.mean(e**2)):.3f}" for e in errors)
            D10_ratio = np.interp(np.log(10), damage.effect, doses) / D10_of(D, S)
            print(f"{line} {species} {LET:g} keV/um, n {len(D)}, D10 of gsm2_mc over published: {D10_ratio:.3f}")
            print(f"    rms of log10 S of smk, smkm_mc, smkm_mc where S > 0.1: {rms}, last {errors[1][-1]:+.3f}")
            ax.plot(D, S, "o", color=colour, label=f"{LET:g} keV/\N{MICRO SIGN}m", **HOLLOW)
            ax.plot(doses, mc.survival, "-", color=colour)
            ax.plot(doses, damage.survival, ":", color=colour)
        ax.set_yscale("log")
        ax.set_ylim(1e-4, 1)
        ax.set_title(f"{line}, {species}", loc="left", fontsize=10)
        ax.legend(frameon=False, fontsize=8)
    for ax in axes[3:]:
        ax.set_xlabel(DOSE_LABEL)
    for ax in axes[::3]:
        ax.set_ylabel("surviving fraction")
    save(figure, folder, "survival")


def saturated_specific_energy(folder: Path) -> None:
    """z* over energy, and its ratio to the published curve."""
    figure, (ax, below) = panels(2, 1, (7.0, 6.4), sharex=True, height_ratios=(2, 1))
    table = literature("inaniwa_2010_z_star.csv")
    colours = ("#000000", "#0072B2", "#56B4E9", "#009E73", "#E69F00", "#D55E00")
    for Z, (species, colour) in enumerate(zip(("H", "He", "Li", "Be", "B", "C"), colours, strict=True), start=1):
        rows = table[table["Z"] == Z]
        energy = np.geomspace(0.1, 1000, 130)
        ax.plot(energy, site_moments(0.32, Z, energy, z0=48.98).z_star, color=colour, label=species)
        ax.plot(rows["energy_mev_u"], rows["z_star_Gy"], "o", color=colour, markersize=3, markerfacecolor="none")
        ratio = site_moments(0.32, Z, rows["energy_mev_u"], z0=48.98).z_star / rows["z_star_Gy"]
        good = rows["z_star_Gy"] > 1.0
        below.plot(rows["energy_mev_u"][good], 100 * (ratio[good] - 1), color=colour)
        fast = np.log(ratio[good & (rows["energy_mev_u"] > 0.3)])
        rms, slow = np.sqrt(np.mean(fast**2)), 100 * (ratio[good] - 1).max()
        head = f"z* {species} above 0.3 MeV/u: n {len(fast)}, mean {fast.mean():+.3f}, rms {rms:.3f}"
        print(f"{head}; below up to {slow:+.0f} %")
    ax.set_xscale("log")
    ax.set_ylabel("saturation-corrected\nspecific energy z* / Gy")
    below.set_ylabel("difference / %")
    below.set_xlabel("energy / (MeV/u)")
    ax.legend(frameon=False, ncols=3)
    save(figure, folder, "z-star")


def lesions(folder: Path) -> None:
    """GSM2 in closed form and Gillespie's simulation: repair of x lesions, and photons."""
    figure, (ax, right) = panels(1, 2, (9.0, 3.8))
    for name, colour, aside in (("HSG", "#0072B2", -0.1), ("V79", "#D55E00", 0.0), ("chordoma", "#009E73", 0.1)):
        p, x = cell_line(name).gsm2, np.array([1, 2, 5, 10, 20])
        found = [repair_survival(int(k), p, 200_000, SEED) for k in x]
        ax.plot(np.arange(26), gsm2.domain_survival(np.arange(26), p), color=colour, label=name)
        ax.errorbar(x, [f.survival for f in found], [3 * f.se for f in found], fmt="o", color=colour, markersize=4)
        sigma = [(f.survival - float(gsm2.domain_survival(int(k), p))) / f.se for k, f in zip(x, found, strict=True)]
        print(name, "Gillespie - closed form, standard errors:", np.round(sigma, 1))
        doses = np.arange(2.0, 9.0)
        simulated = np.array([photon_effect_in_time([D], exposures(0.0, 0.0), p, 3_000_000, SEED) for D in doses]).T
        exact, LQ = gsm2.photon_effect(doses, p), effect(doses, cell_line(name).alpha_x, cell_line(name).beta_x)
        right.plot(doses, 100 * (exact / LQ - 1), color=colour, label=name)
        difference, se = 100 * (simulated[0] / LQ - 1), 100 * simulated[1] / LQ
        right.errorbar(doses + aside, difference, se, fmt="o", color=colour, markersize=4)
        print(name, "photons against LQ at 2, 6, 8 Gy / %:", np.round(100 * (exact / LQ - 1)[[0, 4, 6]], 1))
    ax.set_yscale("log")
    ax.set_xlabel("sub-lethal lesions in a domain")
    ax.set_ylabel("probability that the domain survives")
    right.set_xlabel("dose of photons / Gy")
    right.set_ylabel("effect \N{MINUS SIGN}ln S over that of the\nlinear-quadratic curve, difference / %")
    ax.legend(frameon=False)
    save(figure, folder, "gillespie")


def fft_and_mc(folder: Path) -> None:
    """gsm2_fft over gsm2_mc for ions of one energy."""
    figure, axes = panels(1, 2, (9.0, 3.6), sharey=True)
    for species, colour, marker in (("H", "#000000", "^"), ("He", "#0072B2", "s"), ("C", "#D55E00", "o")):
        energies = ENERGIES[species][1::2]
        LET = stopping_power(SPECIES_Z[species], energies)
        tasks = [ion(species, float(E), "HSG") for E in energies]
        slow, fast = ([simulate(name, task, 0.002) for task in tasks] for name in ("gsm2_mc", "gsm2_fft"))
        k, k_4 = DOSES.index(2.0), DOSES.index(4.0)
        S = np.array([f.survival[k] / m.survival[k] - 1 for f, m in zip(fast, slow, strict=True)])
        S_4 = np.array([f.survival[k_4] / m.survival[k_4] - 1 for f, m in zip(fast, slow, strict=True)])
        S_se = np.array([m.survival_se[k] / m.survival[k] for m in slow])
        d = np.array([f.D10 / m.D10 - 1 for f, m in zip(fast, slow, strict=True)])
        d_se = np.array([m.D10_se / m.D10 for m in slow])
        for ax, value, se in zip(axes, (S, d), (S_se, d_se), strict=True):
            ax.errorbar(LET, 100 * value, 100 * se, color=colour, marker=marker, markersize=4, label=species)
        extremes = [f"{100 * x.min():+.1f} to {100 * x.max():+.1f} %" for x in (S, S_4, d)]
        print(f"FFT over MC, {species}: S(2 Gy) {extremes[0]}, S(4 Gy) {extremes[1]}, D10 {extremes[2]}")
        print(
            "    S(2 Gy):",
            ", ".join(f"{L:.0f}: {100 * v:+.1f}({100 * e:.1f})" for L, v, e in zip(LET, S, S_se, strict=True)),
        )
    for ax, title in zip(axes, ("survival of 2 Gy", "D10"), strict=True):
        LET_axis(ax)
        ax.set_title(title, loc="left", fontsize=10)
    axes[0].set_ylabel("gsm2_fft over gsm2_mc,\ndifference / %")
    axes[0].legend(frameon=False)
    save(figure, folder, "fft-mc")


def in_time(folder: Path) -> None:
    """-ln S over the length of delivery, simulated, and by the dose-protraction factor of Lea and Catcheside."""
    figure, (ax,) = panels(1, 1, (7.0, 4.0))
    p, hours = cell_line("HSG").gsm2, np.array([0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0])
    mu, fine = repair_rate_of(p), np.linspace(0, 8, 81)
    slope = p.kappa_x * (p.a / mu + p.lambda_ratio)
    curvature = p.kappa_x**2 * p.b * p.r**2 / (2 * p.N * mu**2 * (mu + p.b))
    cases = [
        ("photons, 8 Gy", 8.0, None),
        ("photons, 3 Gy", 3.0, None),
        ("H 2 MeV, 3 Gy", 3.0, ("H", 2.0)),
        ("C 10 MeV/u, 2 Gy", 2.0, ("C", 10.0)),
    ]
    for (label, D, which), colour in zip(cases, ("#000000", "#0072B2", "#009E73", "#D55E00"), strict=True):
        if which is None:
            found = np.array([photon_effect_in_time([D], exposures(0.0, T), p, 2_000_000, SEED) for T in hours])
            ends = slope * D, curvature * D**2
        else:
            task, lengths = ion(*which, "HSG"), (*hours, 1e4)
            answers = [survival_in_time(task, [D], exposures(0.0, T), p, 20_000, SEED) for T in lengths]
            found = np.array([(-np.log(a.survival), a.se / a.survival) for a in answers])
            ends = float(found[-1, 0]), float(found[0, 0] - found[-1, 0])
            found = found[:-1]
        factor = np.array([float(protraction_factor([D], exposures(0.0, T), mu)) for T in fine])
        ax.plot(fine, ends[0] + factor * ends[1], color=colour, linewidth=1.2)
        ax.errorbar(hours, found[:, 0], found[:, 1], fmt="o", color=colour, markersize=4, label=label)
        formula = ends[0] + ends[1] * np.interp(hours, fine, factor)
        off, se = 100 * (formula / found[:, 0] - 1), 100 * found[:, 1] / found[:, 0]
        print(f"{label}: formula over simulation - 1 / %: {np.round(off, 1)}, se {np.round(se, 1)}")
    ax.set_ylim(bottom=0)
    ax.set_xlabel("length of delivery / h")
    ax.set_ylabel("effect \N{MINUS SIGN}ln S")
    ax.legend(frameon=False)
    save(figure, folder, "protraction")


PICTURES = (
    saturated_specific_energy,
    lesions,
    D10_residuals,
    survival,
    fft_and_mc,
    in_time,
    lem_over_LET,
    rbe_over_LET,
)


def main() -> None:
    """Make everything."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    for picture in PICTURES:
        start = time.perf_counter()
        picture(folder)
        print(f"[{picture.__name__}: {time.perf_counter() - start:.0f} s]", flush=True)
    for numbers in NUMBERS:
        numbers()


if __name__ == "__main__":
    main()
