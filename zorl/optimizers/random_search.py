"""Random search: the floor that every method has to beat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from zorl.common.types import Vector, frozen
from zorl.common.validation import at_least, positive
from zorl.optimizers.base import Asked, checked_returns, start_vector
from zorl.optimizers.registry import register_method


@dataclass(frozen=True)
class RandomSearchState:
    """State of a random search.

    Attributes:
        theta: (d,) the best candidate so far, by its own generation's returns.
        t: number of updates.
        start: (d,) the centre of the sampling distribution.
        best: the return at which `theta` was kept, −inf before the first generation.
    """

    theta: Vector
    t: int
    start: Vector
    best: float


@register_method("random-search", radius=1.0, popsize=16, episodes=5)
@dataclass(frozen=True)
class RandomSearch:
    """Random search: candidates from N(start, radius² I); the best one is kept.

    Args:
        radius: standard deviation of the candidates around the starting point, in units of theta.
        popsize: candidates per generation.
    """

    radius: float = 1.0
    popsize: int = 16

    def __post_init__(self) -> None:
        positive("radius", self.radius)
        at_least("popsize", self.popsize, 1)

    def init(self, theta: ArrayLike) -> RandomSearchState:
        """The state at a starting point (d,)."""
        theta = start_vector(theta)
        return RandomSearchState(theta, 0, theta, -np.inf)

    def ask(self, state: RandomSearchState, rng: np.random.Generator) -> Asked:
        """`popsize` independent candidates."""
        noise = rng.standard_normal((self.popsize, state.start.size))
        return Asked(state.start + self.radius * noise, state.t, sigma=self.radius)

    def tell(self, state: RandomSearchState, asked: Asked, returns: ArrayLike) -> RandomSearchState:
        """Keep the best candidate if its return beats the kept one's."""
        values = checked_returns(state, asked, returns)
        best = int(np.argmax(values))
        # Equal returns carry no signal: nothing is kept from a flat generation. A single candidate
        # is never flat, but its return has to be one: NaN and infinity are replaced above.
        single = len(values) == 1 and bool(np.isfinite(np.asarray(returns, np.float64)[0]))
        if values[best] > state.best and (single or values[best] > values.min()):
            theta = frozen(asked.thetas[best].copy())
            return RandomSearchState(theta, state.t + 1, state.start, float(values[best]))
        return RandomSearchState(state.theta, state.t + 1, state.start, state.best)
