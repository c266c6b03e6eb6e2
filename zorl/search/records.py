"""What a search is between generations, and the record of one generation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zorl.common.types import Vector
from zorl.policies.normalization import Normalizer
from zorl.rollout.evaluation import Evaluation
from zorl.search.episode_count import reliability
from zorl.search.gates import Decision
from zorl.search.signal_to_noise import UpdateSignal


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

    def plus(
        self, candidates: Evaluation, gate: Sequence[Evaluation], moved: bool, accepted: bool
    ) -> Counters:
        """With one more generation.

        Args:
            candidates: their evaluation.
            gate: what the gate measured.
            moved: whether the update moved theta.
            accepted: whether the gate kept it.
        """
        return Counters(
            search_steps=self.search_steps + candidates.env_steps,
            gate_steps=self.gate_steps + sum(result.env_steps for result in gate),
            search_episodes=self.search_episodes + candidates.episodes,
            gate_episodes=self.gate_episodes + sum(result.episodes for result in gate),
            updates=self.updates + moved,
            accepted=self.accepted + (moved and accepted),
            non_finite=self.non_finite
            + sum(int((~np.isfinite(result.returns)).sum()) for result in (candidates, *gate)),
        )


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
    gate: Any
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
        sigma: the size of its perturbations; see `zorl.optimizers.Asked`.
        evaluation: of all candidates.
        decision: the gate's.
        timing: where its time went.
        figures: what callbacks add to `scalars`.
    """

    index: int
    state: SearchState
    previous: Vector
    sigma: float
    evaluation: Evaluation
    decision: Decision[Any]
    timing: Timing
    figures: Mapping[str, float] = field(default_factory=dict)

    @property
    def env_steps(self) -> int:
        """Env steps charged to the search so far."""
        return self.state.counters.env_steps

    @cached_property
    def scalars(self) -> dict[str, float]:
        """Named figures in groups, as recorders write them."""
        with np.errstate(invalid="ignore"):  # of infinite returns, which are counted
            return {**self._figures(), **self.figures}

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
            "search/sigma": self.sigma,
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
