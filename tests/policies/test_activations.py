"""Activations against references in double precision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from zorl.policies.activations import ACTIVATIONS

REFERENCE: dict[str, Callable[[Any], Any]] = {
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
    "elu": lambda x: np.where(x < 0, np.expm1(np.minimum(x, 0)), x),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_err_by_a_few_units_in_the_last_place(name: str) -> None:
    x = np.linspace(-30, 30, 400_001).astype(np.float32)
    extremes = np.array([1e-30, -1e-30, 0, 80, -80, 1e30, -1e30], np.float32)
    x = np.concatenate([x, x / 1000, extremes])
    out = np.empty_like(x)
    ACTIVATIONS[name](x, out)
    with np.errstate(over="ignore"):
        exact = REFERENCE[name](x.astype(np.float64))
    normal = np.abs(exact) > 1e-35  # below, an absolute error of nothing
    units = np.abs(out - exact)[normal] / np.spacing(np.abs(exact[normal]).astype(np.float32))
    assert units.max() < 3.3
    assert np.abs(out - exact)[~normal].max(initial=0) < 1e-35


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_of_what_is_not_finite(name: str) -> None:
    x = np.array([np.nan, np.inf, -np.inf], np.float32)
    with np.errstate(all="ignore"):
        ACTIVATIONS[name](x, x)  # in place
        expected: Any = REFERENCE[name](np.array([np.nan, 1e30, -1e30]))
    np.testing.assert_allclose(x[:1], expected[:1])
    limits: dict[str, Any] = {
        "relu": [np.inf, 0],
        "elu": [np.inf, -1],
        "tanh": [1, -1],
        "sigmoid": [1, 0],
    }
    if name in limits:
        np.testing.assert_allclose(x[1:], limits[name], atol=1e-37)


def test_each_has_a_number_and_a_line_of_its_own() -> None:
    assert sorted(activation.number for activation in ACTIVATIONS.values()) == list(range(5))
    lines = [activation.summary for activation in ACTIVATIONS.values()]
    assert len(set(lines)) == len(lines) and all(line.endswith(".") for line in lines)
