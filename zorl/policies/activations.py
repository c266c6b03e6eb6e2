"""Activations in float32, from additions, multiplications and divisions alone.

A library's tanh or exp gives other last bits on another processor or in another version. These
are elementary operations that IEEE 754 rounds in one way, in a fixed order, so that a network's
output is the same to the last bit on every machine, in numpy and compiled. They err by at most 3.3
units in the last place.

Each activation has three forms. The function below is numpy's. `kernels.activate` is the same
formula for one number, found by the activation's number. `fast` is an expression for the fast
kernels of `zorl.rollout.compiled`, which derive all of them from the hyperbolic tangent.

To add an activation, write its number and its function here, and a branch in `kernels.activate`
and in `kernels._all`; names, help and checks come from `ACTIVATIONS`. Programs that use zorl cannot
add one, because compiled code has no place for a function that it does not know; a network with
another activation is a `ModulePolicy`.

numba's cache on disk looks at the age of `kernels.py` alone: touch it when this file changes.

With y ≤ 0 split as y = k·ln 2 + r, |r| ≤ ln 2 / 2, the series of exp(r) − 1 = p needs seven terms,
and exp(y) = 2^k (1 + p). NaN stays NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zorl.common.registry import summary

Float32 = NDArray[np.float32]
Formula = Callable[[Float32], Float32]

ONE, TWO, ZERO = np.float32(1), np.float32(2), np.float32(0)
LOWEST = np.float32(-87)  # exp of less is no normal number, and nothing beside 1
LOG2_E = np.float32(1 / np.log(2))
# 1.5 · 2^23: added to a number and subtracted again it rounds it to an integer, whose low bits
# meanwhile stand at the end of the significand.
ROUNDER = np.float32(12582912)
EXPONENT = np.int32(ROUNDER.view(np.int32) - 127)  # less this, these bits are k + 127
LN2_HIGH = np.float32(0.693359375)  # its product with k is exact
LN2_LOW = np.float32(np.log(2) - 0.693359375)
C1, C2, C3, C4, C5, C6, C7 = (np.float32(1 / n) for n in (1, 2, 6, 24, 120, 720, 5040))
# All of them by name, for programs in other languages.
CONSTANTS = {
    "lowest": LOWEST,
    "log2_e": LOG2_E,
    "rounder": ROUNDER,
    "ln2_high": LN2_HIGH,
    "ln2_low": LN2_LOW,
    **{f"c{n}": c for n, c in enumerate((C1, C2, C3, C4, C5, C6, C7), 1)},
}

TANH, RELU, ELU, SIGMOID, SILU = range(5)  # their numbers in compiled code
SQUASHED = 16  # more: the network's outputs go through a tanh


@dataclass(frozen=True)
class Activation:
    """One activation in each of its forms.

    Attributes:
        number: its number in `kernels.activate`.
        formula: float32 array in, float32 array of the same shape out; NaN need not stay NaN.
        fast: an expression of `x`, `tanh` and `f4` (float32) for fast kernels.
    """

    number: int
    formula: Formula
    fast: str

    def __call__(self, x: Float32, out: Float32) -> None:
        """Write the activation of x to `out`, which may be x."""
        out[...] = np.where(np.isnan(x), x, self.formula(x))

    @property
    def summary(self) -> str:
        """What it computes, in a line."""
        return summary(self.formula)


ACTIVATIONS: dict[str, Activation] = {}


def _activation(number: int, fast: str) -> Callable[[Formula], Formula]:
    """Enter a formula into `ACTIVATIONS` under its name."""

    def enter(formula: Formula) -> Formula:
        ACTIVATIONS[formula.__name__] = Activation(number, formula, fast)
        return formula

    return enter


def _split(y: Float32) -> tuple[Float32, Float32]:
    """(2^k, p) of y ≤ 0, with exp(y) = 2^k (1 + p); of y below `LOWEST` (0, p)."""
    within = np.fmax(y, LOWEST)
    shifted = within * LOG2_E + ROUNDER
    k = shifted - ROUNDER
    r = within - k * LN2_HIGH - k * LN2_LOW
    p = r * (C1 + r * (C2 + r * (C3 + r * (C4 + r * (C5 + r * (C6 + r * C7))))))
    scale = ((shifted.view(np.int32) - EXPONENT) << np.int32(23)).view(np.float32)
    return np.where(y < LOWEST, ZERO, scale), p


@_activation(TANH, fast="tanh(x)")
def tanh(x: Float32) -> Float32:
    """−e / (2 + e) with e = exp(−2|x|) − 1, and the sign of x."""
    scale, p = _split(TWO * -np.abs(x))
    e = scale * p + (scale - ONE)
    size = -e / (TWO + e)
    return np.where(x < ZERO, -size, size)


@_activation(RELU, fast="max(x, f4(0))")
def relu(x: Float32) -> Float32:
    """The larger of x and 0."""
    return np.where(x > ZERO, x, ZERO)


# e^x − 1 = 2t / (1 − t) with t = tanh(x/2)
@_activation(ELU, fast="x if x > 0 else f4(2) * tanh(f4(0.5) * x) / (f4(1) - tanh(f4(0.5) * x))")
def elu(x: Float32) -> Float32:
    """Below 0 exp(x) − 1, else x."""
    scale, p = _split(-np.abs(x))
    return np.where(x < ZERO, scale * p + (scale - ONE), x)


@_activation(SIGMOID, fast="f4(0.5) + f4(0.5) * tanh(f4(0.5) * x)")
def sigmoid(x: Float32) -> Float32:
    """1 / (1 + exp(−x))."""
    scale, p = _split(-np.abs(x))
    t = scale * p + scale
    value: Float32 = np.where(x < ZERO, t, ONE) / (ONE + t)
    return value


@_activation(SILU, fast="x * (f4(0.5) + f4(0.5) * tanh(f4(0.5) * x))")
def silu(x: Float32) -> Float32:
    """The product of x and sigmoid(x)."""
    product: Float32 = sigmoid(x) * x
    return product
