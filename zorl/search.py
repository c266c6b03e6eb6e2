"""The training loop: a generator that yields one record per generation.

It logs nothing, writes nothing and prints nothing; recorders consume the records, and stopping
early is `break`. Each generation is a function of the state before it and of its own number, so a
run resumed from any state continues to the same bits.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zorl.errors import ConfigurationError
from zorl.gates import AlwaysAccept, Decision, Gate, GateState
from zorl.normalization import Normalizer
from zorl.optimizers.base import Matrix, Optimizer, Vector
from zorl.rollout.evaluation import Evaluation, Evaluator
from zorl.streams import Streams


@dataclass(frozen=True)
class Counters:
    """Exact counts since the start of a run.

    Attributes:
        search_steps: env steps of candidates.
        gate_steps: env steps of gate decisions.
        search_episodes: episodes of candidates.
        gate_episodes: episodes of gate decisions.
        accepted: generations whose update was kept.
        non_finite: returns that were NaN or infinite.
    """

    search_steps: int = 0
    gate_steps: int = 0
    search_episodes: int = 0
    gate_episodes: int = 0
    accepted: int = 0
    non_finite: int = 0

    @property
    def env_steps(self) -> int:
        """Env steps charged to the search: candidates and gate."""
        return self.search_steps + self.gate_steps

    @property
    def episodes(self) -> int:
        """Episodes charged to the search: candidates and gate."""
        return self.search_episodes + self.gate_episodes


@dataclass(frozen=True)
class SearchState:
    """All that a search needs to go on.

    Attributes:
        generation: the number of the next generation.
        optimizer: the optimizer's state.
        gate: the gate's state.
        normalizer: observation statistics, frozen during a generation.
        counters: see `Counters`.
    """

    generation: int
    optimizer: Any
    gate: GateState
    normalizer: Normalizer
    counters: Counters

    @property
    def theta(self) -> Vector:
        """(d,) the incumbent."""
        return np.asarray(self.optimizer.theta)


@dataclass(frozen=True)
class Timing:
    """Seconds spent in one generation, by part."""

    ask: float
    rollout: float
    tell: float
    gate: float

    @property
    def total(self) -> float:
        """The whole generation."""
        return self.ask + self.rollout + self.tell + self.gate


@dataclass(frozen=True)
class Generation:
    """What happened in one generation.

    Attributes:
        index: its number, from 0.
        state: after it.
        previous: (d,) theta before it.
        evaluation: of all candidates.
        decision: the gate's.
        timing: where its time went.
    """

    index: int
    state: SearchState
    previous: Vector
    evaluation: Evaluation
    decision: Decision
    timing: Timing

    @property
    def env_steps(self) -> int:
        """Env steps charged to the search so far."""
        return self.state.counters.env_steps

    @cached_property
    def scalars(self) -> dict[str, float]:
        """Named figures in groups, as recorders write them."""
        evaluation, counters = self.evaluation, self.state.counters
        scores = evaluation.returns.mean(axis=1)
        update = self.state.theta - self.previous
        steps = evaluation.env_steps
        figures = {
            "search/return_mean": scores.mean(),
            "search/return_max": scores.max(),
            "search/return_std": scores.std(),
            "search/theta_norm": np.linalg.norm(self.state.theta),
            "search/update_norm": np.linalg.norm(update),
            "search/env_steps": counters.search_steps,
            "search/episodes": counters.search_episodes,
            "search/non_finite_returns": counters.non_finite,
            "gate/accepted": self.decision.accepted,
            "gate/acceptance_rate": counters.accepted / (self.index + 1),
            "gate/episodes": counters.gate_episodes,
            "gate/env_steps": counters.gate_steps,
            "task/native_return_mean": evaluation.native_returns.mean(),
            "task/native_return_max": evaluation.native_returns.mean(axis=1).max(),
            "task/success_rate": evaluation.successes.mean(),
            "task/episode_length": evaluation.lengths.mean(),
            "time/generation_seconds": self.timing.total,
            "time/optimizer_share": (self.timing.ask + self.timing.tell) / self.timing.total,
            "time/env_steps_per_second": steps / max(self.timing.rollout, 1e-9),
        }
        if hasattr(self.state.optimizer, "sigma"):
            figures["search/sigma"] = self.state.optimizer.sigma
        if np.isfinite(self.decision.claimed):
            figures["gate/claimed_return"] = self.decision.claimed
        return {name: float(value) for name, value in figures.items()}

    @cached_property
    def histograms(self) -> dict[str, NDArray[np.float64]]:
        """Named distributions, as recorders write them."""
        return {
            "search/returns": self.evaluation.returns.mean(axis=1),
            "search/theta": self.state.theta,
            "search/update": self.state.theta - self.previous,
        }


@dataclass(frozen=True)
class Search:
    """An optimizer, an evaluator and a gate, and the random numbers that drive them.

    Args:
        optimizer: see `zorl.optimizers`.
        evaluator: see `zorl.rollout.evaluator`.
        streams: the run's random numbers.
        gate: which updates are kept.
        episodes: episodes per candidate, on seeds common to the generation.
    """

    optimizer: Optimizer[Any]
    evaluator: Evaluator
    streams: Streams
    gate: Gate = AlwaysAccept()
    episodes: int = 1

    def __post_init__(self) -> None:
        if self.episodes < 1:
            raise ConfigurationError(f"episodes must be ≥ 1, got {self.episodes}")

    def init(self, theta: ArrayLike, normalizer: Normalizer | None = None) -> SearchState:
        """The state before generation 0."""
        if normalizer is None:
            normalizer = Normalizer.create("off", np.zeros(0), np.zeros(0))
        state = self.optimizer.init(theta)
        return SearchState(0, state, GateState(), normalizer, Counters())

    def run(self, state: SearchState) -> Iterator[Generation]:
        """Generations without end, from `state` on."""
        while True:
            generation = self.step(state)
            yield generation
            state = generation.state

    def step(self, state: SearchState) -> Generation:
        """One generation."""
        g, normalizer, counters = state.generation, state.normalizer, state.counters
        clock = time.perf_counter
        t0 = clock()
        asked = self.optimizer.ask(state.optimizer, self.streams.search(g))
        t1 = clock()
        seeds = self.streams.episodes(g, self.episodes)
        evaluation = self.evaluator.evaluate(asked.thetas, seeds, normalizer)
        t2 = clock()
        scores = evaluation.returns.mean(axis=1)
        proposal = self.optimizer.tell(state.optimizer, asked, scores)
        t3 = clock()
        gate_lengths: list[int] = []

        def measure(thetas: Matrix, start: int, stop: int) -> Matrix:
            fresh = self.streams.gate(g, stop)[start:]
            result = self.evaluator.evaluate(thetas, fresh, normalizer)
            gate_lengths.append(result.env_steps)
            return result.returns

        old = state.optimizer.theta
        if np.array_equal(proposal.theta, old):
            decision = Decision(True, state.gate)  # nothing to compare, nothing to pay for
        else:
            decision = self.gate.decide(state.gate, old, proposal.theta, measure)
        t4 = clock()
        counters = replace(
            counters,
            search_steps=counters.search_steps + evaluation.env_steps,
            gate_steps=counters.gate_steps + sum(gate_lengths),
            search_episodes=counters.search_episodes + evaluation.episodes,
            gate_episodes=counters.gate_episodes + decision.episodes,
            accepted=counters.accepted + decision.accepted,
            non_finite=counters.non_finite + int((~np.isfinite(evaluation.returns)).sum()),
        )
        for moments in evaluation.moments or ():
            normalizer = normalizer.merge(moments)
        after = SearchState(
            g + 1,
            proposal if decision.accepted else state.optimizer,
            decision.state,
            normalizer,
            counters,
        )
        timing = Timing(t1 - t0, t2 - t1, t3 - t2, t4 - t3)
        return Generation(g, after, old, evaluation, decision, timing)
