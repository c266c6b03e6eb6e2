"""Arithmetic of fast kernels: single precision, and approximations that become SIMD instructions.

Largest errors, measured by `tests/rollout/compiled/test_fast.py`: tanh 1.3·10⁻⁶ relative,
everywhere; exp 2.5·10⁻⁷ relative, from e⁻⁸⁷ to e⁸⁸ and constant beyond; sin and cos 1.5·10⁻⁷ within
±10⁵ and 2.5·10⁻⁷ within ±10⁶, beyond which they grow: from 10⁷ on they are no sine any more, and
not even within ±1. NaN stays NaN. Other functions are the C library's, in single precision and
without SIMD.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

real = np.float32
inlined: Any = njit(forceinline=True, error_model="numpy", fastmath={"contract", "nsz", "arcp"})


@inlined
def single(x):
    """The number itself: all are single here."""
    return x


@inlined
def truth(x):
    """Whether it is not zero."""
    return x != 0


@inlined
def _sine_within_quarter_turns(r, turns):
    """The sine of r in ±π/2, with the sign that `turns` half turns give it."""
    y = r * r
    p = real(2.60578259e-06)
    p = p * y + real(-0.000198096035)
    p = p * y + real(0.00833306625)
    p = p * y + real(-0.166666596)
    odd = turns - real(2) * np.floor(turns * real(0.5))
    return (r + r * y * p) * (real(1) - real(2) * odd)


@inlined
def sin(x):
    """The sine, by an odd polynomial of degree 9 after a reduction in three steps."""
    turns = np.floor(x * real(0.3183098861837907) + real(0.5))
    r = x - turns * real(3.140625)
    r = r - turns * real(0.0009675025939941406)
    r = r - turns * real(1.5099579897537296e-07)
    return _sine_within_quarter_turns(r, turns)


@inlined
def cos(x):
    """The cosine: a sine about the nearest odd multiple of a quarter turn."""
    turns = np.floor(x * real(0.3183098861837907))
    half = turns + real(0.5)
    r = x - half * real(3.140625)
    r = r - half * real(0.0009675025939941406)
    r = r - half * real(1.5099579897537296e-07)
    return -_sine_within_quarter_turns(r, turns)


@inlined
def tanh(x):
    """A rational of degree 7 over 6 by least relative error on ±7, constant beyond."""
    z = min(max(x, real(-7)), real(7))
    y = z * z
    p = real(3.99576267e-06)
    p = p * y + real(0.0022930674)
    p = p * y + real(0.123220322)
    p = p * y + real(0.999998968)
    q = real(0.000143982046)
    q = q * y + real(0.0211515173)
    q = q * y + real(0.456545922)
    q = q * y + real(1)
    return z * p / q


@inlined
def exp(x):
    """2ᵏ · 2ᶠ with a polynomial of degree 6 for the fraction; from e⁻⁸⁷ to e⁸⁸."""
    z = min(max(x, real(-87)), real(88))
    k = np.floor(z * real(1.4426950408889634) + real(0.5))
    f = z - k * real(0.69287109375)
    f = f - k * real(0.0002760868099452862)
    p = real(1 / 720)
    p = p * f + real(1 / 120)
    p = p * f + real(1 / 24)
    p = p * f + real(1 / 6)
    p = p * f + real(1 / 2)
    p = p * f + real(1)
    p = p * f + real(1)
    power_of_two = np.int32((np.int32(k) + np.int32(127)) << np.int32(23)).view(np.float32)
    return p * power_of_two


@inlined
def sqrt(x):
    """The square root."""
    return real(math.sqrt(x))


@inlined
def log(x):
    """The natural logarithm."""
    return real(math.log(x))


@inlined
def atan2(y, x):
    """The angle of (x, y)."""
    return real(math.atan2(y, x))


@inlined
def floor(x):
    """The largest whole number that is not above x."""
    return np.floor(x)


@inlined
def power(x, y):
    """The C library's pow."""
    return real(math.pow(x, y))


@inlined
def squared_power(x):
    """The square."""
    return x * x


square = single_squared_power = squared_power
single_power = power


@inlined
def absolute(x):
    """The absolute value."""
    return abs(x)


@inlined
def sign(x):
    """−1, 0 or 1."""
    return x if x != x else real(x > 0) - real(x < 0)


@inlined
def least(x, y):
    """The smaller of two."""
    return y if y < x else x


@inlined
def greatest(x, y):
    """The larger of two."""
    return y if y > x else x


@inlined
def clipped(x, low, high):
    """Within [low, high]."""
    return least(greatest(x, low), high)


@inlined
def modulo(x, y):
    """Python's x % y: of the sign of y."""
    return x - y * np.floor(x / y)
