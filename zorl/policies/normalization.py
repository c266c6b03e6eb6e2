"""Observation statistics: exact mergeable moments, and a normalizer that is frozen while in use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zorl.common.errors import ConfigurationError, UnknownNameError
from zorl.common.types import Vector, frozen

# How observations are normalised, by name.
MODES: Final[Mapping[str, str]] = {
    "off": "observations as they are",
    "bounds": "to [−1, 1] by the bounds of the observation space, where they are finite",
    "running": "to mean 0 and standard deviation 1 of the observations so far",
}
# Spaces of unbounded quantities often state a huge number instead of infinity.
HUGE: Final = 1e6
_LEAST_STD = 1e-4  # ARS: a variance below 1e-8 counts as infinite, so a dead input stays silent


def are_bounds(low: Vector, high: Vector) -> NDArray[np.bool_]:
    """Where both bounds of a space, each (k,), are bounds: smaller than 1e6, either way."""
    return np.asarray((np.abs(low) < HUGE) & (np.abs(high) < HUGE))


@dataclass(frozen=True)
class Moments:
    """Count, mean and sum of squared deviations of observations.

    Attributes:
        count: number of observations.
        mean: (o,) their mean.
        m2: (o,) Σ (x − mean)².
    """

    count: int
    mean: Vector
    m2: Vector

    @staticmethod
    def empty(size: int) -> Moments:
        """The moments of no observation."""
        return Moments(0, frozen(np.zeros(size)), frozen(np.zeros(size)))

    @staticmethod
    def of_shifted_sums(count: int, shift: Vector, total: Vector, squares: Vector) -> Moments:
        """Moments from Σ (x − shift) and Σ (x − shift)²; `shift` near the mean keeps the digits."""
        if count == 0:
            return Moments.empty(shift.size)
        offset = total / count
        m2 = np.maximum(squares - count * offset**2, 0.0)
        return Moments(count, frozen(shift + offset), frozen(m2))

    def merge(self, other: Moments) -> Moments:
        """The moments of both sets together (Chan, Golub and LeVeque 1979)."""
        if other.count == 0:
            return self
        if self.count == 0:
            return other
        count = self.count + other.count
        delta = other.mean - self.mean
        mean = self.mean + delta * (other.count / count)
        m2 = self.m2 + other.m2 + delta**2 * (self.count * other.count / count)
        return Moments(count, frozen(mean), frozen(m2))

    @property
    def std(self) -> Vector:
        """(o,) population standard deviation."""
        return np.asarray(np.sqrt(self.m2 / max(self.count, 1)))


@dataclass(frozen=True)
class Normalizer:
    """x ↦ clip((x − center) / scale): frozen during a generation, merged after it.

    Attributes:
        mode: a name in `MODES`; until there are observations, "running" does as "bounds".
        moments: what was seen.
        low, high: (o,) bounds of the observation space, ±inf where there are none.
        clip: largest absolute value of a normalised observation.
    """

    mode: str
    moments: Moments
    low: Vector
    high: Vector
    clip: float = 10.0

    @staticmethod
    def create(mode: str, low: ArrayLike, high: ArrayLike) -> Normalizer:
        """A normalizer that has seen nothing, for observations within [low, high], each (o,)."""
        if mode not in MODES:
            raise UnknownNameError("normalisation", mode, MODES)
        low = frozen(np.array(low, dtype=np.float64))
        high = frozen(np.array(high, dtype=np.float64))
        if low.ndim != 1 or low.shape != high.shape:
            raise ConfigurationError(
                f"bounds must be two vectors of one length, got shapes {low.shape} and {high.shape}"
            )
        return Normalizer(mode, Moments.empty(low.size), low, high)

    @property
    def active(self) -> bool:
        """Whether it changes observations at all."""
        return self.mode != "off"

    @property
    def learns(self) -> bool:
        """Whether it wants the moments of what was seen."""
        return self.mode == "running"

    def merge(self, moments: Moments) -> Normalizer:
        """The normalizer that has also seen `moments`."""
        return Normalizer(self.mode, self.moments.merge(moments), self.low, self.high, self.clip)

    def affine(self) -> tuple[Vector, Vector]:
        """(center, factor), each (o,): normalised = clip((x − center) · factor)."""
        if self.learns and self.moments.count > 1:
            std = self.moments.std
            alive = std > _LEAST_STD
            return self.moments.mean, np.where(alive, 1 / np.where(alive, std, 1.0), 0.0)
        bounded = are_bounds(self.low, self.high) & (self.high > self.low)
        if not self.active:
            bounded = np.zeros_like(bounded)
        low = np.where(bounded, self.low, -1.0)
        high = np.where(bounded, self.high, 1.0)
        return (low + high) / 2, 2 / (high - low)

    def __call__(self, observations: ArrayLike) -> Vector:
        """Normalised float64 observations, shape (..., o)."""
        values = np.asarray(observations, dtype=np.float64)
        if not self.active:
            return values
        center, factor = self.affine()
        return np.asarray(np.clip((values - center) * factor, -self.clip, self.clip))
