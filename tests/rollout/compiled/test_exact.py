"""Exact arithmetic is the C library's, numpy's and Python's, to the bit."""

from __future__ import annotations

import math

import numpy as np
import pytest

from zorl.rollout.compiled import exact

SINGLES = np.float32

NUMBERS = np.concatenate(
    [np.random.default_rng(1).normal(0, scale, 3000) for scale in (1e-3, 1, 30, 1e6)]
).tolist()


@pytest.mark.parametrize("name", ["sin", "cos", "tanh", "atan2", "exp", "sqrt", "log", "power"])
def test_exact_functions_are_the_c_librarys_to_the_bit(name: str) -> None:
    others = NUMBERS[::-1]
    reference = getattr(math, {"power": "pow"}.get(name, name))
    mine = getattr(exact, name)
    for x, y in zip(NUMBERS, others, strict=True):
        if name in ("sqrt", "log"):
            arguments: tuple[float, ...] = (abs(x),)
        elif name == "power":
            arguments = (abs(x) % 20, y % 10)
        elif name == "atan2":
            arguments = (x, y)
        else:
            arguments = (min(x, 700.0),)
        assert mine(*arguments) == reference(*arguments), arguments


@pytest.mark.parametrize("name", ["sin", "cos", "sqrt", "floor"])
def test_exact_functions_are_numpys_of_scalars_to_the_bit(name: str) -> None:
    for x in NUMBERS:
        x = np.float64(abs(x)) if name == "sqrt" else np.float64(x)
        assert getattr(exact, name)(x) == getattr(np, name)(x)


def test_exact_squares_are_powers_and_products_are_products() -> None:
    singles = [SINGLES(x) for x in NUMBERS]
    for x, single in zip(NUMBERS, singles, strict=True):
        assert exact.squared_power(x) == x**2
        assert exact.square(x) == x * x == np.square(np.float64(x))
        assert exact.single_squared_power(x) == single**2
        assert exact.single(x) == single
        assert exact.single_power(abs(x) % 9, 3.0) == SINGLES(abs(x) % 9) ** SINGLES(3)


def test_exact_remainders_are_pythons_and_numpys() -> None:
    for x, y in zip(NUMBERS, NUMBERS[::-1], strict=True):
        assert exact.modulo(x, y) == x % y == np.float64(x) % np.float64(y)
    for x in (-4.0, 4.0, 0.0, -0.0):
        for y in (2.0, -2.0, math.inf, -math.inf):
            mine = exact.modulo(x, y)
            assert mine == x % y
            assert math.copysign(1, mine) == math.copysign(1, x % y)
    assert math.isnan(exact.modulo(1.0, 0.0))  # where Python raises
