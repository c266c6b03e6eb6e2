"""What searches share that sample a distribution and move it by the scored samples."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import ArrayLike
from typing_extensions import Self

from zorl.common.errors import ConfigurationError
from zorl.common.types import Matrix, Vector, frozen
from zorl.optimizers.base import Asked, checked_returns, start_vector

S = TypeVar("S", bound=Any)


class DistributionSearch(ABC, Generic[S]):
    """Base of searches that keep the noise behind their candidates in `Asked.directions`.

    A generation whose returns are all equal changes nothing but `t`.
    """

    @abstractmethod
    def population(self, d: int) -> int:
        """How many candidates a generation has in d dimensions."""

    def noise_rows(self, n: int) -> int:
        """How many rows of noise are behind n candidates: half as many when they are in pairs."""
        return n

    @abstractmethod
    def update(self, state: S, noise: Matrix, values: Vector) -> S:
        """The next state.

        Args:
            state: the state that asked.
            noise: (m, d) the rows behind the candidates.
            values: (n,) finite returns, not all equal.
        """

    def tell(self, state: S, asked: Asked, returns: ArrayLike) -> S:
        """Move the distribution towards the better candidates.

        Args:
            state: the state that asked.
            asked: the candidates, as `ask` returned them.
            returns: (n,) one per candidate, higher better; NaN and infinities count as the worst.

        Raises:
            ConfigurationError: `asked` or `returns` does not belong to `state`.
        """
        values = checked_returns(state, asked, returns)
        d = state.theta.size
        n, noise = self.population(d), asked.directions
        fits = isinstance(noise, np.ndarray) and noise.shape == (self.noise_rows(n), d)
        if len(asked) != n or not isinstance(noise, np.ndarray) or not fits:
            raise ConfigurationError(
                f"tell needs the {n} candidates that ask of {type(self).__name__} returned, as is"
            )
        if values.min() == values.max():
            return replace(state, t=state.t + 1)
        return self.update(state, noise, values)


@dataclass(frozen=True)
class SeparableState:
    """The search distribution N(theta, diag(sigmas²)); arrays are read-only.

    Attributes:
        theta: (d,) the distribution's mean.
        t: how many updates led here, flat generations included.
        sigmas: (d,) standard deviations, in [1e-100, 1e30].
    """

    theta: Vector
    t: int
    sigmas: Vector

    def __post_init__(self) -> None:
        for value in vars(self).values():
            if isinstance(value, np.ndarray):
                frozen(value)

    @classmethod
    def around(cls, theta: ArrayLike, sigma: float, **more: Any) -> Self:
        """N(theta, sigma² I) before the first update."""
        mean = start_vector(theta)
        return cls(mean, 0, np.full(mean.size, float(sigma)), **more)

    @property
    def sigma(self) -> float:
        """The geometric mean of the standard deviations."""
        return math.exp(float(np.log(self.sigmas).mean()))

    def sample(self, n: int, rng: np.random.Generator) -> Asked:
        """N candidates theta + sigmas s; `directions` holds the standard normal s, (n, d)."""
        noise = rng.standard_normal((n, self.theta.size))
        thetas = noise * self.sigmas
        thetas += self.theta  # in place: at d = 10^6 every copy is hundreds of megabytes
        return Asked(thetas, self.t, noise, sigma=self.sigma)


def second_moment(weights: Vector, rows: Matrix) -> Vector:
    """Σ wᵢ rowᵢ², shape (d,), without a matrix of squares."""
    return np.asarray(np.einsum("i,ij,ij->j", weights, rows, rows))
