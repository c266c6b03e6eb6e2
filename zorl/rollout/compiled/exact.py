"""Arithmetic of exact kernels: double precision, nothing reordered, the C library's functions.

Python's `math` and numpy's sin, cos and sqrt of scalars are the same functions, equal to the bit.
Others of numpy's (tanh, exp, log, arctan2, power) are its own on processors with AVX-512, and then
differ in the last bit.
The network computes in single precision, operation by operation as `MlpPolicy` does (`neuron`).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from zorl.policies.kernels import activate as neuron  # noqa: F401  # for the kernels
from zorl.rollout.compiled.intrinsics import fenced

real = np.float64
inlined: Any = njit(forceinline=True, error_model="numpy")


@inlined
def single(x):
    """Rounded to single precision."""
    return real(np.float32(x))


@inlined
def truth(x):
    """Whether it is not zero."""
    return x != 0


@inlined
def sin(x):
    """The sine."""
    return math.sin(x)


@inlined
def cos(x):
    """The cosine."""
    return math.cos(x)


@inlined
def tanh(x):
    """The hyperbolic tangent."""
    return math.tanh(x)


@inlined
def exp(x):
    """The exponential."""
    return math.exp(x)


@inlined
def sqrt(x):
    """The square root."""
    return math.sqrt(x)


@inlined
def log(x):
    """The natural logarithm."""
    return math.log(x)


@inlined
def atan2(y, x):
    """The angle of (x, y)."""
    return math.atan2(y, x)


@inlined
def floor(x):
    """The largest whole number that is not above x."""
    return np.floor(x)


@inlined
def power(x, y):
    """The C library's pow: not x · x for y = 2, which differs in the last bit at times."""
    return math.pow(x, fenced(y))


@inlined
def squared_power(x):
    """The square x ** 2: Python and numpy call pow."""
    return math.pow(x, fenced(2.0))


@inlined
def single_power(x, y):
    """The C library's powf."""
    return real(math.pow(np.float32(x), fenced(np.float32(y))))


@inlined
def single_squared_power(x):
    """The square np.float32(x) ** 2."""
    return real(math.pow(np.float32(x), fenced(np.float32(2))))


@inlined
def square(x):
    """The product x · x: numpy's square."""
    return x * x


@inlined
def absolute(x):
    """The absolute value."""
    return math.fabs(x)


@inlined
def sign(x):
    """−1, 0 or 1."""
    return x if x != x else real(x > 0) - real(x < 0)


@inlined
def least(x, y):
    """Python's min of two: the first of equals."""
    return y if y < x else x


@inlined
def greatest(x, y):
    """Python's max of two: the first of equals."""
    return y if y > x else x


@inlined
def clipped(x, low, high):
    """Within [low, high]."""
    return least(greatest(x, low), high)


@inlined
def modulo(x, y):
    """Python's x % y: of the sign of y."""
    remainder = np.fmod(x, y)
    if remainder == 0:
        return math.copysign(0.0, y)
    if (y < 0) != (remainder < 0):
        remainder += y
    return remainder
