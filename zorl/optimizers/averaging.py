"""Iterate averaging around any optimizer: the search goes on as before, `theta` is the average.

Polyak and Juditsky (SIAM J. Control Optim. 30, 1992), Ruppert (1988); Spall (2003, sec. 4.5.3) for
SPSA. Where noise keeps the iterates on the move around the optimum, their average comes closer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from zorl.common.errors import UnknownNameError
from zorl.common.types import Vector, frozen
from zorl.common.validation import at_least, check_fraction
from zorl.optimizers.base import Asked, Optimizer, checked_returns
from zorl.optimizers.checks import check_wrapped


@dataclass(frozen=True)
class AveragedState:
    """State of an averaged search.

    Attributes:
        theta: (d,) the average; the inner theta itself until averaging begins.
        count: how many inner thetas it averages.
        inner: the state of the optimizer inside, which the average never touches.
    """

    theta: Vector
    count: int
    inner: Any

    @property
    def t(self) -> int:
        """How many updates led here."""
        return int(self.inner.t)


@dataclass(frozen=True)
class Averaged:
    """Any optimizer, with the running average of its thetas for `theta`.

    A generation whose returns are all equal says nothing, so what it leads to is not averaged.

    Args:
        optimizer: what searches; candidates lie around its theta, not around the average.
        kind: "polyak" weighs the thetas after the updates start + 1, start + 2, … equally; "ema"
            by decay^age (Σ decay^age θ / Σ decay^age: no bias towards the first one).
        start: how many updates to let pass first: the way to the optimum is no part of the noise.
        decay: what an update's weight loses with each update after it, in (0, 1); for "ema" only.
    """

    optimizer: Optimizer[Any]
    kind: Literal["polyak", "ema"] = "polyak"
    start: int = 0
    decay: float = 0.99

    def __post_init__(self) -> None:
        check_wrapped("Averaged", self.optimizer)
        if self.kind not in ("polyak", "ema"):
            raise UnknownNameError("kind of average", str(self.kind), ("polyak", "ema"))
        at_least("start", self.start, 0)
        check_fraction("decay", self.decay)

    def init(self, theta: ArrayLike) -> AveragedState:
        """The state at a starting point (d,), which is no part of the average to come."""
        inner = self.optimizer.init(theta)
        return AveragedState(inner.theta, 0, inner)

    def ask(self, state: AveragedState, rng: np.random.Generator) -> Asked:
        """The inner optimizer's candidates, as they are."""
        return self.optimizer.ask(state.inner, rng)

    def tell(self, state: AveragedState, asked: Asked, returns: ArrayLike) -> AveragedState:
        """The next state from one return per candidate (n,), higher better."""
        values = checked_returns(state, asked, returns)
        inner = self.optimizer.tell(state.inner, asked, values)
        if len(values) > 1 and values.min() == values.max():
            return AveragedState(state.theta, state.count, inner)
        if inner.t <= self.start:
            return AveragedState(inner.theta, 0, inner)
        count = state.count + 1
        theta = state.theta + self._weight(count) * (inner.theta - state.theta)
        # The first theta is taken as it is: a + (b - a) need not be b in floating point.
        return AveragedState(frozen(theta) if count > 1 else inner.theta, count, inner)

    def _weight(self, count: int) -> float:
        """The share of the newest of `count` thetas in their average."""
        if self.kind == "polyak":
            return 1 / count
        return (1 - self.decay) / (1 - self.decay**count)
