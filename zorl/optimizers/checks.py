"""What several optimizers hold to: the limits of float64, of memory, and of what can be wrapped."""

from __future__ import annotations

from typing import Any

from zorl.common.errors import ConfigurationError
from zorl.optimizers.base import missing_methods

MAX_CONDITION = 1e14  # of a covariance: beyond it float64 cannot tell the short axes from rounding
# Of a standard deviation along the longest axis: theta within its reach still fits a float32.
MIN_SIGMA, MAX_SIGMA = 1e-100, 1e30


def clipped_sigma(sigma: float, longest: float) -> float:
    """`sigma`, moved so that sigma · longest lies in [1e-100, 1e30]."""
    return min(max(sigma, MIN_SIGMA / longest), MAX_SIGMA / longest)


def check_memory(search: str, d: int, needed: int, limit_gb: float, instead: str) -> None:
    """Raise if a search would take more than the memory that it may.

    Args:
        search: what searches, for the message.
        d: the dimension.
        needed: bytes at its peak.
        limit_gb: its max_memory_gb, in units of 1e9 bytes.
        instead: what to use instead.
    """
    if needed / 1e9 > limit_gb:
        raise ConfigurationError(
            f"{search} at d = {d:,} needs {needed / 1e9:,.3g} GB, more than max_memory_gb = "
            f"{limit_gb:g}; use {instead}, or raise max_memory_gb if this machine has the memory"
        )


def check_wrapped(wrapper: str, optimizer: Any, kind: type | None = None) -> None:
    """Raise unless `optimizer` can be wrapped.

    Args:
        wrapper: what would wrap it, for the message.
        optimizer: anything with `init`, `ask` and `tell`.
        kind: the class that it must be an instance of, where not every optimizer will do.
    """
    if missing_methods(optimizer):
        raise ConfigurationError(
            f"{wrapper} needs an optimizer, e.g. CMAES(), not its name or its class, got "
            f"{optimizer!r}"
        )
    if kind is not None and not isinstance(optimizer, kind):
        raise ConfigurationError(
            f"{wrapper} works around {kind.__name__}(…) alone, got {optimizer!r}"
        )
