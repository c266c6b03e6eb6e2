"""Checks of arguments; each raises a `ConfigurationError` that says what was expected."""

from __future__ import annotations

from typing import Any

import numpy as np

from zorl.common.errors import ConfigurationError


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
    if not integer or value < least:
        raise ConfigurationError(f"{name} must be an integer ≥ {least}, got {value!r}")


def is_finite(value: object) -> bool:
    """Whether a value is a finite number; True and False are not numbers here."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        return False
    return bool(np.isfinite(value))


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
