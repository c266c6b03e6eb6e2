"""What kernels compute on arrays has numpy's bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numba import njit

from zorl.rollout.compiled.mujoco import arrays

compiled: Any = njit(error_model="numpy")
assign: Any = arrays.assign
total: Any = arrays.total


@compiled
def shifted(values, number):  # type: ignore[no-untyped-def]
    assign(values[1:], values[:-1])
    assign(values[3:5], number)


@compiled
def copied(target, value):  # type: ignore[no-untyped-def]
    assign(target, value)


def test_an_array_is_assigned_as_numpy_does_it() -> None:
    values = np.arange(8.0)
    shifted(values, 7.5)  # parts that overlap, and a number
    assert values.tolist() == [0, 0, 1, 7.5, 7.5, 4, 5, 6]
    copied(values, np.array([2.0]))  # one number for all
    assert values.tolist() == [2.0] * 8
    with pytest.raises(ValueError, match="another size"):
        copied(values, np.zeros(3))


def test_sums_have_numpys_order() -> None:
    numbers = np.random.default_rng(0).normal(size=5000) * 10.0 ** np.arange(-2, 3).repeat(1000)
    for size in (0, 1, 7, 8, 127, 128, 129, 136, 255, 1023, 2049, 5000):
        values = numbers[::-1][:size].copy()
        assert total(values) == np.sum(values), size
