"""The training loop: a generator that yields one record per generation.

It logs nothing, writes nothing and prints nothing; recorders consume the records, and stopping
early is `break`. Each generation is a function of the state before it and of its own number, so a
run resumed from any state continues to the same bits.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zorl.common.errors import ConfigurationError, DivergedError
from zorl.common.streams import Streams
from zorl.common.types import Matrix, Vector
from zorl.optimizers.base import Optimizer
from zorl.policies.normalization import Normalizer
from zorl.rollout.evaluation import Evaluation, Evaluator
from zorl.rollout.origin import CandidateOrigin
from zorl.search.gates import AlwaysAccept, Decision, Gate, GateState
from zorl.search.signal_to_noise import UpdateSignal

_GAIN = 0.3  # how fast episodes per candidate follow the measured reliability


@dataclass(frozen=True)
class Counters:
    """Exact counts since the start of a run.

    Attributes:
        search_steps: env steps of candidates.
        gate_steps: env steps of gate decisions.
        search_episodes: episodes of candidates.
        gate_episodes: episodes of gate decisions.
        updates: generations whose update moved theta; equal returns, for one, move nothing.
        accepted: how many of these the gate kept.
        non_finite: returns that were NaN or infinite, of candidates and of gate decisions.
    """

    search_steps: int = 0
    gate_steps: int = 0
    search_episodes: int = 0
    gate_episodes: int = 0
    updates: int = 0
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
        episodes: episodes per candidate of the next generation, before rounding.
        signal: running moments of the proposed updates.
        claimed: the score that the gate holds of the incumbent, NaN while it holds none.
    """

    generation: int
    optimizer: Any
    gate: GateState
    normalizer: Normalizer
    counters: Counters
    episodes: float
    signal: UpdateSignal
    claimed: float = np.nan

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
        with np.errstate(invalid="ignore"):  # of infinite returns, which are counted
            return self._figures()

    def _figures(self) -> dict[str, float]:
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
            "search/episodes_per_candidate": evaluation.returns.shape[1],
            "search/env_steps": counters.search_steps,
            "search/episodes": counters.search_episodes,
            "search/non_finite_returns": counters.non_finite,
            "gate/accepted": self.decision.accepted,
            "gate/acceptance_rate": counters.accepted / max(counters.updates, 1),
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
        signal = self.state.signal.ratio
        if np.isfinite(signal):
            figures["search/signal_to_noise"] = signal
        reliable = reliability(evaluation.returns)
        if reliable is not None:
            figures["search/reliability"] = reliable
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
        max_episodes: where this is larger, episodes per candidate grow up to it whenever noise
            drowns the differences between candidates, and shrink again; see `reliability`.
        target: the reliability to aim at then, in (0, 1).
    """

    optimizer: Optimizer[Any]
    evaluator: Evaluator
    streams: Streams
    gate: Gate = field(default_factory=AlwaysAccept)
    episodes: int = 1
    max_episodes: int | None = None
    target: float = 0.5

    def __post_init__(self) -> None:
        if self.episodes < 1:
            raise ConfigurationError(f"episodes must be ≥ 1, got {self.episodes}")
        if self.max_episodes is not None and self.max_episodes < max(self.episodes, 2):
            raise ConfigurationError(
                f"max_episodes must be ≥ 2 and ≥ episodes = {self.episodes}, got "
                f"{self.max_episodes}"
            )
        if not 0 < self.target < 1:
            raise ConfigurationError(f"target must be in (0, 1), got {self.target!r}")

    def init(self, theta: ArrayLike, normalizer: Normalizer | None = None) -> SearchState:
        """The state before generation 0."""
        if normalizer is None:
            normalizer = Normalizer.create("off", np.zeros(0), np.zeros(0))
        state = self.optimizer.init(theta)
        if not np.abs(state.theta).max() < np.finfo(np.float32).max:
            raise ConfigurationError(
                f"the start has a parameter of {np.abs(state.theta).max():.3g}; searches keep "
                "theirs within the range of float32, 3.4e38: scale the problem"
            )
        signal = UpdateSignal.create(state.theta.size)
        episodes = float(self._least)
        return SearchState(0, state, GateState(), normalizer, Counters(), episodes, signal)

    @property
    def _least(self) -> int:
        """Episodes per candidate to start with and to come back to.

        Where they may grow, two at least: one cannot tell noise from difference.
        """
        return self.episodes if self.max_episodes is None else max(self.episodes, 2)

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
        seeds = self.streams.episodes(g, round(state.episodes))
        structured = getattr(self.evaluator, "structured", False)
        candidates: Any = asked.candidates if structured else asked.thetas
        more: dict[str, Any] = {}
        if getattr(self.evaluator, "regenerates", False):
            more["origin"] = CandidateOrigin(self.optimizer, state.optimizer, self.streams, g)
        evaluation = self.evaluator.evaluate(candidates, seeds, normalizer, **more)
        t2 = clock()
        with np.errstate(invalid="ignore"):  # the mean of +∞ and −∞ is NaN
            scores = evaluation.returns.mean(axis=1)
        proposal = self.optimizer.tell(state.optimizer, asked, scores)
        if not np.abs(proposal.theta).max() < np.finfo(np.float32).max:
            raise DivergedError(
                f"the parameters grew beyond all bounds in generation {g}: the step size is too "
                "large for these returns; lower the learning rate, or use standardised, ranked or "
                "σ_R weights, which do not carry the scale of the returns"
            )
        t3 = clock()
        gate_results: list[Evaluation] = []

        def measure(thetas: Matrix, start: int, stop: int) -> Matrix:
            fresh = self.streams.gate(g, stop)[start:]
            result = self.evaluator.evaluate(thetas, fresh, normalizer)
            gate_results.append(result)
            return result.returns

        old = state.optimizer.theta
        moved = not np.array_equal(proposal.theta, old)
        if not moved:
            decision = Decision(True, state.gate)  # nothing to compare, nothing to pay for
        else:
            decision = self.gate.decide(state.gate, old, proposal.theta, measure)
        t4 = clock()
        counters = replace(
            counters,
            search_steps=counters.search_steps + evaluation.env_steps,
            gate_steps=counters.gate_steps + sum(result.env_steps for result in gate_results),
            search_episodes=counters.search_episodes + evaluation.episodes,
            gate_episodes=counters.gate_episodes + decision.episodes,
            updates=counters.updates + moved,
            accepted=counters.accepted + (moved and decision.accepted),
            non_finite=counters.non_finite
            + sum(int((~np.isfinite(r.returns)).sum()) for r in (evaluation, *gate_results)),
        )
        if evaluation.moments is not None:
            normalizer = normalizer.merge(evaluation.moments)
        after = SearchState(
            g + 1,
            proposal if decision.accepted else state.optimizer,
            decision.state,
            normalizer,
            counters,
            self._next_episodes(state.episodes, evaluation),
            state.signal.take(proposal.theta - old, getattr(state.optimizer, "sigma", 1.0)),
            decision.claimed if np.isfinite(decision.claimed) else state.claimed,
        )
        timing = Timing(t1 - t0, t2 - t1, t3 - t2, t4 - t3)
        return Generation(g, after, old, evaluation, decision, timing)

    def _next_episodes(self, episodes: float, evaluation: Evaluation) -> float:
        """Episodes per candidate of the next generation: an integrator on a log scale."""
        if self.max_episodes is None:
            return episodes
        measured = reliability(evaluation.returns)
        if measured is None:
            return episodes
        wanted = episodes * np.exp(_GAIN * (self.target - measured))
        return float(np.clip(wanted, self._least, self.max_episodes))


def reliability(returns: NDArray[np.float64]) -> float | None:
    """The share of the variance of the candidates' means that is theirs, not the episodes'.

    A two-way layout without replication (n candidates × e common episodes): the residual after
    candidates' and episodes' means is what a ranking of the candidates suffers from. At 1 the
    ranking is certain; at 0 or below it is chance.

    Args:
        returns: (n, e).

    Returns:
        1 − (residual variance / e) / variance of the candidates' means, at least −1; None where
        that cannot be told: n or e below 2, no variance, or a value that is not finite.
    """
    n, e = returns.shape
    if n < 2 or e < 2 or not np.isfinite(returns).all():
        return None
    means = returns.mean(axis=1)
    between = means.var(ddof=1)
    if between <= 0:
        return None
    residual = returns - means[:, None] - returns.mean(axis=0) + returns.mean()
    noise = (residual**2).sum() / ((n - 1) * (e - 1))
    return float(max(1 - noise / e / between, -1.0))
