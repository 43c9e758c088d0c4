"""Counter-based random numbers inside compiled kernels.

SplitMix64 (Steele, Lea and Flood, OOPSLA 2014, doi 10.1145/2660193.2660195): the n-th number of a stream is a hash of
start + n * golden ratio, so a stream is one 64-bit word, costs nothing to start, and never depends on threads.

These functions are compiled into their callers, and numba's cache watches only the callers' files: after a change here,
delete the `__pycache__` of this folder.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, uint64

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_M1 = np.uint64(0xBF58476D1CE4E5B9)
_M2 = np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S11 = (np.uint64(n) for n in (30, 27, 31, 11))
_TO_UNIT = 1.0 / 9007199254740992.0  # 2^-53


@njit(cache=True, inline="always")
def mix(word):  # type: ignore[no-untyped-def]  # compiled
    """The finaliser of SplitMix64: a bijective hash of a uint64."""
    word = (word ^ (word >> _S30)) * _M1
    word = (word ^ (word >> _S27)) * _M2
    return word ^ (word >> _S31)


@njit(cache=True, inline="always")
def unit(word):  # type: ignore[no-untyped-def]  # compiled
    """Upper 53 bits as a number in [0, 1)."""
    return (word >> _S11) * _TO_UNIT


@njit(cache=True)
def stream(seed, key, index):  # type: ignore[no-untyped-def]  # compiled
    """Start of the stream of one (seed, key, index), each uint64."""
    return mix(mix(mix(uint64(seed)) ^ uint64(key)) + uint64(index) * GOLDEN)


@njit(cache=True)
def poisson(mean, state):  # type: ignore[no-untyped-def]  # compiled
    """One Poisson number and the advanced stream.

    Multiplication of uniforms below a mean of 10, else the transformed rejection PTRS of Hormann, Insurance:
    Mathematics and Economics 1993;12:39, doi 10.1016/0167-6687(93)90997-4.
    """
    if mean < 10.0:
        limit = math.exp(-mean)
        product, count = 1.0, -1
        while True:
            state += GOLDEN
            product *= unit(mix(state))
            count += 1
            if product <= limit:
                return count, state
    b = 0.931 + 2.53 * math.sqrt(mean)
    a = -0.059 + 0.02483 * b
    log_inverse_alpha = math.log(1.1239 + 1.1328 / (b - 3.4))
    v_r = 0.9277 - 3.6224 / (b - 2.0)
    log_mean = math.log(mean)
    while True:
        state += GOLDEN
        u = unit(mix(state)) - 0.5
        state += GOLDEN
        v = 1.0 - unit(mix(state))
        us = 0.5 - abs(u)
        k = math.floor((2.0 * a / us + b) * u + mean + 0.43) if us > 0.0 else -1.0
        if us >= 0.07 and v <= v_r:
            return int(k), state
        if k < 0.0 or (us < 0.013 and v > us):
            continue
        if math.log(v) + log_inverse_alpha - math.log(a / (us * us) + b) <= k * log_mean - mean - math.lgamma(k + 1.0):
            return int(k), state
