"""`check_estimator`: estimates that are biased, or vary otherwise than declared, fail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from zorl.common.errors import ConfigurationError, UnknownNameError
from zorl.optimizers import SGD, GradientSearch, spsa
from zorl.testing import check_estimator, linear_relative_mse


@dataclass(frozen=True)
class Wrong(GradientSearch):
    """A gradient search whose estimate is changed by a function of (estimate, state)."""

    change: Any = None

    def gradient(self, state: Any, asked: Any, returns: Any) -> Any:
        return self.change(super().gradient(state, asked, returns), state)


def wrong(change: Any, **options: Any) -> Any:
    return Wrong(SGD(1.0), 0.3, 4, **{"directions": "rademacher", **options}, change=change)


def without_first(estimate: Any, state: Any) -> Any:
    return np.concatenate([[0.0], estimate[1:]])


def turned(estimate: Any, state: Any) -> Any:
    """A fifth of its length is added at a right angle: its slope on the gradient stays."""
    pairs = estimate[:-1].reshape(-1, 2)
    return estimate + 0.2 * np.append(np.stack([-pairs[:, 1], pairs[:, 0]], axis=1).ravel(), 0.0)


@pytest.mark.parametrize(
    ("search", "options", "message"),
    [
        (wrong(turned), {"dims": (11,)}, "biased in direction"),
        (wrong(lambda g, s: 2 * g), {}, r"linear.*biased in scale.*slope 2.*expected 1"),
        (wrong(lambda g, s: g / 4), {}, r"biased in scale.*slope 0\.2"),
        (wrong(lambda g, s: -g), {}, r"biased in scale.*slope -1"),
        (wrong(lambda g, s: -g), {"unbiased": False}, "expected a positive one"),
        (wrong(lambda g, s: g * np.where(g > 0, 1.2, 0.8)), {}, "biased in"),
        (wrong(without_first), {"dims": (11,)}, "biased in"),
        (wrong(lambda g, s: g + 1.0), {"dims": (11,)}, "biased in"),
        (wrong(lambda g, s: np.roll(g, 1)), {"dims": (11,)}, "biased in"),
        (wrong(lambda g, s: np.roll(g, 1) + 2 * g), {"unbiased": False}, "cosine 0"),
        (wrong(lambda g, s: 0 * g), {}, "biased in scale.*slope 0 "),
        (wrong(lambda g, s: g), {"draws": 10}, "tells too little.*raise draws"),
        (wrong(lambda g, s: g), {"theory": lambda d: d / 4}, "error .* by the declared theory"),
        (
            wrong(lambda g, s: g, directions="gaussian"),
            {"theory": lambda d: linear_relative_mse("rademacher", d, 4), "dims": (2, 11)},
            "by the declared theory",
        ),
    ],
)
def test_a_broken_estimator_fails_with_the_fault_named(
    search: Any, options: Any, message: str
) -> None:
    with pytest.raises(AssertionError, match=message):
        check_estimator(search, **{"draws": 500, **options})


def test_an_error_of_curvature_shows_on_the_quadratic_alone() -> None:
    """A forward difference whose directions are not symmetric about zero."""

    def lopsided(rng: Any, m: Any, dim: Any) -> Any:
        return rng.standard_exponential((m, dim)) - 1  # zero mean, unit variance, but skewed

    check_estimator(GradientSearch(SGD(1.0), 0.7, 20, lopsided), dims=(2, 11), draws=500)
    message = r"quadratic function, d = 2.*biased in"
    with pytest.raises(AssertionError, match=message):
        check_estimator(GradientSearch(SGD(1.0), 0.7, 20, lopsided, "forward"), draws=2000)


@pytest.mark.parametrize("options", [{"dims": (0,)}, {"draws": 1}, {"z": 0.0}])
def test_bad_arguments_of_the_estimator_check(options: Any) -> None:
    with pytest.raises(ConfigurationError):
        check_estimator(spsa(), **options)


def test_no_closed_form_is_claimed_where_none_is_known() -> None:
    with pytest.raises(
        UnknownNameError, match="unknown direction 'spheres'; did you mean 'sphere'"
    ):
        linear_relative_mse("spheres", 3)
