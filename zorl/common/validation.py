"""Checks of arguments; each raises a `ConfigurationError` that says what was expected."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import numpy as np

from zorl.common.errors import ConfigurationError, EnvironmentFailure, UnknownNameError


def positive(name: str, value: float) -> None:
    """Raise unless `value` is a finite number > 0."""
    if not (is_finite(value) and value > 0):
        raise ConfigurationError(f"{name} must be a finite number > 0, got {value!r}")


def non_negative(name: str, value: float) -> None:
    """Raise unless `value` is a finite number ≥ 0."""
    if not (is_finite(value) and value >= 0):
        raise ConfigurationError(f"{name} must be a finite number ≥ 0, got {value!r}")


def at_least(name: str, value: int, least: int) -> None:
    """Raise unless `value` is an integer ≥ `least`."""
    integer = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not integer or not least <= value < 2**63:
        raise ConfigurationError(f"{name} must be an integer ≥ {least}, got {value!r}")


def is_finite(value: object) -> bool:
    """Whether a value is a finite number; True and False are not numbers here."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond all floats
        return False


def check_name(kind: str, value: object, known: Collection[str]) -> None:
    """Raise unless `value` is one of the known names of a kind."""
    if not isinstance(value, str) or value not in known:
        raise UnknownNameError(kind, str(value), known)


def check_flag(name: str, value: Any) -> None:
    """Raise unless `value` is True or False, because text such as "no" would count as true."""
    if not isinstance(value, (bool, np.bool_)):
        raise ConfigurationError(f"{name} must be True or False, got {value!r}")


def check_fraction(name: str, value: Any) -> None:
    """Raise unless `value` is a number in (0, 1)."""
    if not (is_finite(value) and 0 < value < 1):
        raise ConfigurationError(f"{name} must be in (0, 1), got {value!r}")


def check_factor(name: str, value: Any) -> None:
    """Raise unless `value` is a finite number ≥ 1."""
    if not (is_finite(value) and value >= 1):
        raise ConfigurationError(f"{name} must be a finite number ≥ 1, got {value!r}")


def as_reward(value: Any) -> float:
    """The number that an environment returned as a reward.

    Raises:
        EnvironmentFailure: it is none, with what to return instead.
    """
    if value is None:
        raise EnvironmentFailure("the reward is None, expected a number: does step() return it?")
    shape = np.shape(value)
    if shape:
        cure = "return float(reward[0])" if np.size(value) == 1 else "add its parts up in a wrapper"
        raise EnvironmentFailure(f"the reward has shape {shape}, expected a single number: {cure}")
    try:
        return float(value)
    except (TypeError, ValueError):
        raise EnvironmentFailure(f"the reward is {value!r}, expected a number") from None


def api_hint(error: BaseException) -> str:
    """What to do about a `reset` or `step` that is not Gymnasium's; "" where that is not the cause.

    Args:
        error: raised by the call itself, or when what it returned was unpacked.
    """
    # Where it was raised: here, in a wrapper that unpacked what it got, or in an environment.
    trace = error.__traceback__
    inside = trace is not None and trace.tb_next is not None
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = "" if trace is None else str(trace.tb_frame.f_globals.get("__name__"))
    inside = inside and not place.startswith("gymnasium.wrappers.")
    cure = "wrap the environment with shimmy.GymV21CompatibilityV0, or change it"
    if isinstance(error, TypeError) and "unexpected keyword argument 'options'" in str(error):
        return "; Gymnasium's reset takes both: def reset(self, *, seed=None, options=None)"
    if isinstance(error, TypeError) and "unexpected keyword argument 'seed'" in str(error):
        return (
            "; Gymnasium's reset(seed=…, options=…) returns (observation, info), that of the old "
            f"gym did not: {cure}"
        )
    if isinstance(error, (TypeError, ValueError)) and "unpack" in str(error) and not inside:
        return (
            "; reset() must return (observation, info), and step() (observation, reward, "
            f"terminated, truncated, info), which the old gym did not: {cure}"
        )
    return ""
