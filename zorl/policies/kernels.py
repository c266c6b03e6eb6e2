"""Compiled twins of what numpy does at every step of the hot loop, to the same last bit.

Importing this module loads numba. The machine code is kept on disk by numba, beside this file or
in the user's cache.
"""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
from numba import config as _config, njit

from zorl.common.cache_folder import writable_folder
from zorl.common.errors import ConfigurationError
from zorl.policies.activations import (
    C1,
    C2,
    C3,
    C4,
    C5,
    C6,
    C7,
    ELU,
    EXPONENT,
    LN2_HIGH,
    LN2_LOW,
    LOG2_E,
    LOWEST,
    ONE,
    RELU,
    ROUNDER,
    SIGMOID,
    SILU,
    SQUASHED,
    TANH,
    TWO,
    ZERO,
)
from zorl.policies.memory import ELMAN, NONE

config: Any = _config
# error_model: a division by zero raises in numba's own, and branches forbid SIMD.
inlined: Any = njit(forceinline=True, error_model="numpy")


def _kept(function: Any) -> Any:
    """Compile a function when it is first called, and keep its code wherever that can be."""
    kept: Any = njit(cache=True, error_model="numpy")
    with contextlib.suppress(RuntimeError):  # numba may write neither beside this file nor at home
        return kept(function)
    before = config.CACHE_DIR
    try:
        config.CACHE_DIR = str(writable_folder())
        return kept(function)
    except (ConfigurationError, RuntimeError):
        return njit(error_model="numpy")(function)
    finally:
        config.CACHE_DIR = before


@inlined
def _split(y):  # type: ignore[no-untyped-def]
    """See `zorl.policies.activations._split`."""
    within = y if y > LOWEST else LOWEST
    shifted = within * LOG2_E + ROUNDER
    k = shifted - ROUNDER
    r = within - k * LN2_HIGH - k * LN2_LOW
    p = r * (C1 + r * (C2 + r * (C3 + r * (C4 + r * (C5 + r * (C6 + r * C7))))))
    bits = np.float32(shifted).view(np.int32) - EXPONENT
    scale = np.int32(bits << np.int32(23)).view(np.float32)
    return ZERO if y < LOWEST else scale, p


@inlined
def activate(x, activation):  # type: ignore[no-untyped-def]
    """One activation of one number; with a constant `activation` only its branch is left."""
    negative = x if x < ZERO else -x
    if activation == TANH:
        scale, p = _split(TWO * negative)
        e = scale * p + (scale - ONE)
        size = -e / (TWO + e)
        value = -size if x < ZERO else size
    elif activation == RELU:
        value = x if x > ZERO else ZERO
    elif activation == ELU:
        scale, p = _split(negative)
        value = scale * p + (scale - ONE) if x < ZERO else x
    else:
        scale, p = _split(negative)
        t = scale * p + scale
        value = (t if x < ZERO else ONE) / (ONE + t)
        if activation == SILU:
            value = value * x
    return value if x == x else x


@inlined
def _all(h, activation):  # type: ignore[no-untyped-def]
    """Every activation has a loop of its own, without branches, for SIMD."""
    n = h.size
    if activation == TANH:
        for o in range(n):
            h[o] = activate(h[o], TANH)
    elif activation == RELU:
        for o in range(n):
            h[o] = activate(h[o], RELU)
    elif activation == ELU:
        for o in range(n):
            h[o] = activate(h[o], ELU)
    elif activation == SIGMOID:
        for o in range(n):
            h[o] = activate(h[o], SIGMOID)
    else:
        for o in range(n):
            h[o] = activate(h[o], SILU)


@inlined
def _layer(theta, x, h, fan_in, fan_out, bias):  # type: ignore[no-untyped-def]
    """H = bias + W x, summed input by input: outputs side by side fill SIMD's lanes.

    Four inputs at a time, so that h need not be stored in between; the order of the sums remains.
    """
    end = fan_in * fan_out
    if bias:
        first = theta[end : end + fan_out]
        for o in range(fan_out):
            h[o] = first[o]
    else:
        for o in range(fan_out):
            h[o] = ZERO
    rest = fan_in % 4
    for i in range(0, fan_in - rest, 4):
        w = theta[i * fan_out : (i + 4) * fan_out]
        # Slices, because numba looks at the sign of every computed index.
        w0, w1 = w[:fan_out], w[fan_out : 2 * fan_out]
        w2, w3 = w[2 * fan_out : 3 * fan_out], w[3 * fan_out :]
        x0, x1, x2, x3 = x[i], x[i + 1], x[i + 2], x[i + 3]
        for o in range(fan_out):
            h[o] = (((h[o] + x0 * w0[o]) + x1 * w1[o]) + x2 * w2[o]) + x3 * w3[o]
    for i in range(fan_in - rest, fan_in):
        w = theta[i * fan_out : (i + 1) * fan_out]
        x0 = x[i]
        for o in range(fan_out):
            h[o] += x0 * w[o]


@inlined
def _remember(theta, x, memory, h, inputs, units, bias, cell):  # type: ignore[no-untyped-def]
    """The state of a cell after the features in x, into memory and h; see `RecurrentPolicy`.

    What is behind the features in x, and behind the state in h, is overwritten. Returns the number
    of the cell's parameters.
    """
    both = inputs + units
    for i in range(units):
        x[inputs + i] = memory[i]
    if cell == ELMAN:
        size = units * (both + bias)
        _layer(theta[:size], x, h, both, units, bias)
        _all(h[:units], TANH)
        for o in range(units):
            memory[o] = h[o]
        return size
    gates = h[: 2 * units]
    candidate, remembered = h[2 * units : 3 * units], h[3 * units : 4 * units]
    end = 2 * units * (both + bias)
    _layer(theta[:end], x, gates, both, 2 * units, bias)
    _all(gates, SIGMOID)
    size = end + units * (inputs + bias)
    _layer(theta[end:size], x, candidate, inputs, units, bias)
    end = size + units * units
    _layer(theta[size:end], memory, remembered, units, units, False)
    for o in range(units):
        candidate[o] += gates[o] * remembered[o]
    _all(candidate, TANH)
    for o in range(units):
        memory[o] = candidate[o] + gates[units + o] * (memory[o] - candidate[o])
    for o in range(units):
        h[o] = memory[o]
    return end


@inlined
def _observe(n, width, singles, doubles, rewards, state):  # type: ignore[no-untyped-def]
    """Write n observations and add n rewards to the state; whether it is finite."""
    finite = True
    for row in range(n):
        if singles.size:
            for i in range(width):
                state[row, i] = singles[row, i]
        elif doubles.size:
            for i in range(width):
                state[row, i] = doubles[row, i]
        if rewards.size:
            state[row, width] += rewards[row]
        for i in range(width + 1):
            finite &= np.isfinite(state[row, i])
    return finite


@inlined
def _features(  # type: ignore[no-untyped-def]
    row, width, state, sums, squares, center, factor, clip, normalise, learns, x
):
    """Write a row's normalised observation to x, and add it to the moments."""
    for i in range(width):
        value = state[row, i]
        if normalise:
            shifted = value - center[i]
            if learns:
                sums[row, i] += shifted
                squares[row, i] += shifted * shifted
            value = shifted * factor[i]
            value = value if value > -clip[i] else -clip[i]
            value = value if value < clip[i] else clip[i]
        x[i] = np.float32(value)


@inlined
def _network(  # type: ignore[no-untyped-def]
    row, thetas, sizes, bias, activation, cell, memory, scratch
):
    """The outputs for the features in scratch[0], and for what a cell has in its memory."""
    at = first = 0
    if cell != NONE:
        x, h = scratch[0], scratch[1]
        at = _remember(thetas[row], x, memory, h, sizes[0], sizes[1], bias, cell)
        first = 1
    return _layers(row, thetas, sizes, bias, activation, first, at, scratch)


@inlined
def _layers(  # type: ignore[no-untyped-def]
    row, thetas, sizes, bias, activation, first, at, scratch
):
    """The outputs for the features in scratch: of the layers from `first` on, from θ[at] on."""
    layers = sizes.size - 1
    for layer in range(first, layers):
        fan_in, fan_out = sizes[layer], sizes[layer + 1]
        size = fan_out * (fan_in + bias)
        h = scratch[(layer + 1) % 2, :fan_out]
        _layer(thetas[row, at : at + size], scratch[layer % 2], h, fan_in, fan_out, bias)
        at += size
        if layer < layers - 1:
            _all(h, activation % SQUASHED)
        elif activation >= SQUASHED:
            _all(h, TANH)
    return scratch[layers % 2, : sizes[layers]]


@inlined
def _largest(row, h, outputs):  # type: ignore[no-untyped-def]
    """Copy h to the outputs; the index of its largest number, or of the first NaN."""
    best = 0
    for o in range(h.size):
        outputs[row, o] = h[o]
        if h[o] > h[best] or (h[o] != h[o] and h[best] == h[best]):
            best = o
    return best


@inlined
def _decide(  # type: ignore[no-untyped-def]
    n, singles, doubles, rewards, state, moments, affine, thetas, layout, scratch, outputs, choices,
    cell,
):  # fmt: skip
    """See `decide`; a cell of None is known when it is compiled, and leaves out what it needs."""
    normalise, learns, bias, activation = layout[0] > 0, layout[1] > 0, layout[2] > 0, layout[3]
    sizes = layout[5:]
    center, factor, clip = affine
    sums, squares = moments
    width = sizes[0]
    if not _observe(n, width, singles, doubles, rewards, state):
        return False
    for row in range(n):
        _features(
            row, width, state, sums, squares, center, factor, clip, normalise, learns, scratch[0]
        )
        if cell is None:
            h = _layers(row, thetas, sizes, bias, activation, 0, 0, scratch)
        else:
            memory = outputs[row, sizes[-1] :]
            h = _network(row, thetas, sizes, bias, activation, cell, memory, scratch)
        choices[row] = _largest(row, h, outputs)
    return True


@_kept
def decide(  # type: ignore[no-untyped-def]
    n, singles, doubles, rewards, state, moments, affine, thetas, layout, scratch, outputs, choices
):
    """Take in n observations, normalise them, take their moments, and run every row's network.

    Few arguments, because each costs a tenth of a microsecond.

    Args:
        n: rows to do.
        singles: (n, o) float32, observations, if there are any to take in, and
        doubles: (n, o) float64, else; what is not there is empty.
        rewards: (n,) float64, rewards.
        state: (L, o + 1) float64, written: observations, and beside each the sum of the rewards.
        moments: (2, L, o) float64, added to: sums about the center, and squares.
        affine: (3, o) float64: center, factor and bound of the normalizer.
        thetas: (L, d) float32, in the order of `MlpPolicy.packing`.
        layout: int64: whether observations are normalised, whether their moments are wanted, and
            then `MlpPolicy.layout`.
        scratch: (2, `MlpPolicy.width`) float32.
        outputs: (L, outputs + m) float32, written: outputs, and beside them the memory.
        choices: (L,) int64, written: index of the largest output, or of the first NaN.

    Returns:
        Whether the state is finite; if not, nothing was done but to take it in.
    """
    return _decide(
        n, singles, doubles, rewards, state, moments, affine, thetas, layout, scratch, outputs,
        choices, None,
    )  # fmt: skip


@_kept
def decide_with_memory(  # type: ignore[no-untyped-def]
    n, singles, doubles, rewards, state, moments, affine, thetas, layout, scratch, outputs, choices
):
    """The same for policies with a memory; apart, because it takes as long again to compile."""
    return _decide(
        n, singles, doubles, rewards, state, moments, affine, thetas, layout, scratch, outputs,
        choices, layout[4],
    )  # fmt: skip
