"""Optimizers and gates that are given to agents as objects, or by reference."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike

from zorl.common.types import Vector
from zorl.optimizers.base import Asked
from zorl.search.gates import Decision, Measure, NoMemory


@dataclass(frozen=True)
class Place:
    """A state: where the search is."""

    theta: Vector
    t: int = 0


@dataclass(frozen=True)
class Jump:
    """Jumps to the best of a few Gaussian candidates."""

    sigma: float = 1.0
    popsize: int = 4

    def init(self, theta: ArrayLike) -> Place:
        return Place(np.array(theta, np.float64))

    def ask(self, state: Place, rng: Generator) -> Asked:
        noise = rng.standard_normal((self.popsize, state.theta.size))
        return Asked(state.theta + self.sigma * noise, state.t, sigma=self.sigma)

    def tell(self, state: Place, asked: Asked, returns: ArrayLike) -> Place:
        return Place(np.array(asked.thetas[int(np.argmax(np.asarray(returns)))]), state.t + 1)


@dataclass(frozen=True)
class Halved(Jump):
    """Changes what it is given, so that its fields make another one."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "sigma", self.sigma / 2)


def jump(length: float = 2.0) -> Jump:
    """Jumps of a length."""
    return Jump(sigma=length)


@dataclass(frozen=True)
class Table:
    """An optimizer with an array, which no configuration holds."""

    weights: Vector = field(default_factory=lambda: np.ones(3))
    inner: Jump = field(default_factory=Jump)

    def init(self, theta: ArrayLike) -> Place:
        return self.inner.init(theta)

    def ask(self, state: Place, rng: Generator) -> Asked:
        return self.inner.ask(state, rng)

    def tell(self, state: Place, asked: Asked, returns: ArrayLike) -> Place:
        return self.inner.tell(state, asked, returns)


@dataclass(frozen=True)
class Often:
    """A gate that keeps every n-th update; costs nothing."""

    every: int = 2

    def init(self) -> NoMemory:
        return NoMemory()

    def decide(
        self, state: NoMemory, incumbent: Vector, proposal: Vector, measure: Measure
    ) -> Decision[NoMemory]:
        return Decision(self.every == 1, state)


class Never:
    """A gate without a dataclass's fields: no file holds it."""

    def init(self) -> NoMemory:
        return NoMemory()

    def decide(
        self, state: Any, incumbent: Vector, proposal: Vector, measure: Measure
    ) -> Decision[NoMemory]:
        return Decision(False, state)
