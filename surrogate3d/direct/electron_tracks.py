"""Electrons in liquid water, collision by collision, and the ionisations that fall into sites: compiled functions.

The cross-sections are those of `physics.nano_electrons`; `ionisation_tracks` calls these functions. Binding and
excitation energies are compiled in: after a change here or in `physics.ionisation`, delete the `__pycache__` of this
folder (see `counter_rng`).
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from surrogate3d.direct.counter_rng import GOLDEN, mix, unit
from surrogate3d.physics.ionisation import BINDING_LIQUID_EV, EXCITATION_EV
from surrogate3d.physics.nano_electrons import N_QUANTILES

LOWEST_BINDING_EV = float(BINDING_LIQUID_EV[0])
"""Slower electrons do not ionise."""
ISOTROPIC_BELOW_EV = 100.0
"""Slower electrons are ejected in any direction, faster ones as in a collision with a free electron."""


@njit(cache=True, inline="always")
def draw(rng):  # type: ignore[no-untyped-def]  # compiled
    """The next number in [0, 1) of the stream in rng[0]."""
    rng[0] += GOLDEN
    return unit(mix(rng[0]))


@njit(cache=True, inline="always")
def quantile(nodes, u):  # type: ignore[no-untyped-def]  # compiled
    """Value at probability u of a table whose nodes lie at 1 - (1 - s)^4."""
    s = (1.0 - math.sqrt(math.sqrt(1.0 - u))) * (N_QUANTILES - 1)
    k = min(int(s), N_QUANTILES - 2)
    return nodes[k] + (s - k) * (nodes[k + 1] - nodes[k])


@njit(cache=True, inline="always")
def pick(cumulative, u):  # type: ignore[no-untyped-def]  # compiled
    """First index whose cumulative share exceeds u."""
    k = 0
    while k < cumulative.shape[0] - 1 and u >= cumulative[k]:
        k += 1
    return k


@njit(cache=True, inline="always")
def _reach(T):  # type: ignore[no-untyped-def]  # compiled
    """Distance in nm that electrons of T eV hardly ever exceed: above their whole path from 1 keV on."""
    return 5.0 + 80.0 * (T * 1e-3) ** 1.6


@njit(cache=True, inline="always")
def turn(direction, cosine, azimuth):  # type: ignore[no-untyped-def]  # compiled
    """Turn a unit vector by a polar angle and an azimuth, in place."""
    sine = math.sqrt(max(0.0, 1.0 - cosine * cosine))
    x, y, z = direction[0], direction[1], direction[2]
    a, b = sine * math.cos(azimuth), sine * math.sin(azimuth)
    if abs(z) > 0.99999:
        direction[0], direction[1], direction[2] = a, b, math.copysign(cosine, z * cosine)
        return
    rho = math.sqrt(1.0 - z * z)
    direction[0] = x * cosine + (x * z * a - y * b) / rho
    direction[1] = y * cosine + (y * z * a + x * b) / rho
    direction[2] = z * cosine - rho * a
    norm = 1.0 / math.sqrt(direction[0] ** 2 + direction[1] ** 2 + direction[2] ** 2)
    direction[0] *= norm
    direction[1] *= norm
    direction[2] *= norm


@njit(cache=True, inline="always")
def place(rng, shape, length, sites):  # type: ignore[no-untyped-def]  # compiled
    """Centres (x, y) and axes of all sites of all rows, sites[row, j] = x, y, axis."""
    for f in range(shape.shape[0]):
        for j in range(int(length / shape[f, 3])):
            rho = shape[f, 2] * math.sqrt(draw(rng))
            phi = 2.0 * math.pi * draw(rng)
            sites[f, j, 0], sites[f, j, 1] = rho * math.cos(phi), rho * math.sin(phi)
            c = 2.0 * draw(rng) - 1.0 if shape[f, 4] > 0.0 else 0.0
            s, phi = math.sqrt(1.0 - c * c), 2.0 * math.pi * draw(rng)
            sites[f, j, 2], sites[f, j, 3], sites[f, j, 4] = s * math.cos(phi), s * math.sin(phi), c


@njit(cache=True, inline="always")
def record(x, y, z, shape, length, sites, counts):  # type: ignore[no-untyped-def]  # compiled
    """Count one ionisation in every site that holds it."""
    for f in range(shape.shape[0]):
        pitch = shape[f, 3]
        j = math.floor(z / pitch)
        if j < 0 or j >= int(length / pitch):
            continue
        dx, dy, dz = x - sites[f, j, 0], y - sites[f, j, 1], z - (j + 0.5) * pitch
        r2 = dx * dx + dy * dy + dz * dz
        if shape[f, 1] > 0.0:
            along = dx * sites[f, j, 2] + dy * sites[f, j, 3] + dz * sites[f, j, 4]
            inside = abs(along) < shape[f, 1] and r2 - along * along < shape[f, 0] ** 2
        else:
            inside = r2 < shape[f, 0] ** 2
        if inside:
            counts[f, j] += 1


@njit(cache=True)
def follow(  # type: ignore[no-untyped-def]  # compiled
    rng, stack, length, bound, shape, sites, counts, log_low, log_step, cumulative, eta, shells, states, ejected
):  # fmt: skip
    """Follow the electron in stack[0] and all that it sets free; returns the number of ionisations.

    Without bound (negative) electrons are followed wherever they go.
    """
    n, ionisations = 1, 0
    direction = np.empty(3)
    while n > 0:
        n -= 1
        x, y, z, T = stack[n, 0], stack[n, 1], stack[n, 2], stack[n, 6]
        direction[:] = stack[n, 3:6]
        while T > LOWEST_BINDING_EV:
            if bound >= 0.0:
                reach = _reach(T)
                if math.sqrt(x * x + y * y) > bound + reach or z < -reach or z > length + reach:
                    break
            at = (math.log(T) - log_low) / log_step
            k = min(int(at), eta.shape[0] - 2)
            part = at - k
            elastic = cumulative[0, k] + part * (cumulative[0, k + 1] - cumulative[0, k])
            ionised = cumulative[1, k] + part * (cumulative[1, k + 1] - cumulative[1, k])
            total = cumulative[2, k] + part * (cumulative[2, k + 1] - cumulative[2, k])
            step = -math.log(1.0 - draw(rng)) / total
            x += step * direction[0]
            y += step * direction[1]
            z += step * direction[2]
            choice = draw(rng) * total
            nearest = k + 1 if part > 0.5 else k
            if choice < elastic:
                u, screen = draw(rng), eta[k] + part * (eta[k + 1] - eta[k])
                turn(direction, 1.0 - 2.0 * screen * u / (1.0 + screen - u), 2.0 * math.pi * draw(rng))
            elif choice < ionised:
                shell = pick(shells[nearest], draw(rng))
                B = BINDING_LIQUID_EV[shell]
                if T <= B:  # the nearest node lies above the threshold, this electron below
                    continue
                u = draw(rng)
                low, high = quantile(ejected[shell, k], u), quantile(ejected[shell, k + 1], u)
                W = B * math.expm1((low + part * (high - low)) * math.log1p(0.5 * (T - B) / B))
                ionisations += 1
                record(x, y, z, shape, length, sites, counts)
                azimuth = 2.0 * math.pi * draw(rng)
                if n < stack.shape[0]:
                    stack[n, 0], stack[n, 1], stack[n, 2], stack[n, 6] = x, y, z, W
                    out = direction.copy()
                    binary = W >= ISOTROPIC_BELOW_EV
                    turn(out, math.sqrt(W / T) if binary else 2.0 * draw(rng) - 1.0, azimuth)
                    stack[n, 3:6] = out
                    n += 1
                if W >= ISOTROPIC_BELOW_EV:
                    turn(direction, math.sqrt(1.0 - W / T), azimuth + math.pi)
                T -= B + W
            else:
                T -= EXCITATION_EV[pick(states[nearest], draw(rng))]
    return ionisations
