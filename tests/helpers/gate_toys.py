"""Decisions of gates over fixed returns, and a gate with a memory of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from zorl.common.types import Matrix, Vector, frozen
from zorl.search.gates import Decision, Gate, Measure

OLD, NEW = np.array([1.0, 2.0]), np.array([3.0, 5.0])
FAULTS = (np.nan, np.inf, -np.inf)


class Measured:
    """A `measure` over fixed returns that records what was asked of it.

    Args:
        new: (k,) returns of the proposal on each of the seeds.
        old: (k,) returns of the incumbent; zeros when None.
    """

    def __init__(self, new: ArrayLike, old: ArrayLike | None = None) -> None:
        self.new = np.asarray(new, dtype=float)
        self.old = np.zeros(len(self.new)) if old is None else np.asarray(old, dtype=float)
        self.ranges: list[tuple[int, int]] = []
        self.episodes = 0

    def __call__(self, thetas: Matrix, start: int, stop: int) -> Matrix:
        assert 0 <= start < stop <= len(self.new)
        sides = {1.0: self.old, 3.0: self.new}
        rows = np.stack([sides[theta[0]][start:stop] for theta in thetas])
        assert all(theta.tolist() in ([1, 2], [3, 5]) for theta in thetas)
        self.ranges.append((start, stop))
        self.episodes += rows.size
        return rows


def decide(
    gate: Gate[Any], new: ArrayLike, old: ArrayLike | None = None, state: Any = None
) -> tuple[Decision[Any], Measured]:
    """A decision, by default the first, after the checks that hold for every gate."""
    measured = Measured(new, old)
    decision = gate.decide(gate.init() if state is None else state, OLD, NEW, measured)
    assert type(decision.accepted) is bool  # numpy's would turn the run's counters into numpy's
    assert type(decision.claimed) is float
    assert type(decision.state) is type(gate.init())
    stops = [0, *(stop for _, stop in measured.ranges)]
    assert [start for start, _ in measured.ranges] == stops[:-1]  # each seed once, in order
    return decision, measured


@dataclass(frozen=True)
class Scripted:
    """A gate that measures `cost` episodes of the proposal and gives its answers in turn."""

    answers: tuple[bool, ...]
    cost: int = 1

    def init(self) -> Turn:
        return Turn()

    def decide(
        self, state: Turn, incumbent: Vector, proposal: Vector, measure: Measure
    ) -> Decision[Turn]:
        result = measure(proposal[None], 0, self.cost)
        assert result.shape == (1, self.cost)
        return Decision(self.answers[state.number], Turn(state.number + 1), 7.5)


@dataclass(frozen=True)
class Turn:
    number: int = 0


@dataclass(frozen=True)
class Memory:
    """A state with a count, a number and an array."""

    refusals: int
    mean: float
    last: Vector


@dataclass(frozen=True)
class Patient:
    """Keeps what beats the last returns and a mean, and anything after some refusals in a row."""

    patience: int = 2

    def init(self) -> Memory:
        return Memory(0, 0.0, frozen(np.zeros(2)))

    def decide(
        self, state: Memory, incumbent: Vector, proposal: Vector, measure: Measure
    ) -> Decision[Memory]:
        returns = measure(proposal[None], 0, 2)[0]
        score = float(returns.mean())
        better = bool((returns > state.last).all()) and score > state.mean
        accepted = better or state.refusals >= self.patience
        refusals = 0 if accepted else state.refusals + 1
        mean = 0.8 * state.mean + 0.2 * score
        return Decision(accepted, Memory(refusals, mean, frozen(returns.copy())), score)


def first_crossing(signs: Sequence[float], level: float) -> int | None:
    """After how many pairs the evidence for "wins more" reaches a level, by hand; None if never."""
    fortunes = dict.fromkeys((0.1, 0.25, 0.5, 0.75, 0.95), 1.0)
    for count, sign in enumerate(signs, 1):
        for stake in fortunes:
            fortunes[stake] *= 1 + stake * sign
        if sum(fortunes.values()) / 5 >= level:
            return count
    return None
