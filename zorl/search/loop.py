"""The training loop: a generator that yields one record per generation.

It logs nothing, writes nothing and prints nothing; recorders consume the records, and stopping
early is `break`. Each generation is a function of the state before it and of its own number, so a
run resumed from any state continues to the same bits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from zorl.common.errors import (
    ConfigurationError,
    DivergedError,
    GenerationGivenUp,
    Interrupted,
    TooManySteps,
)
from zorl.common.streams import Seeds, Streams
from zorl.common.types import Matrix, Stop, Vector
from zorl.optimizers.base import Asked, Optimizer
from zorl.policies.normalization import Normalizer
from zorl.rollout.evaluation import Evaluation, Evaluator
from zorl.rollout.origin import CandidateOrigin
from zorl.search.budget import Allowance, Budget
from zorl.search.episode_count import next_episodes
from zorl.search.gates import AlwaysAccept, Decision, Gate, checked_gate
from zorl.search.records import Counters, Generation, SearchState, Timing
from zorl.search.signal_to_noise import UpdateSignal


@dataclass(frozen=True)
class Search:
    """An optimizer, an evaluator and a gate, and the random numbers that drive them.

    Args:
        optimizer: see `zorl.optimizers`.
        evaluator: see `zorl.rollout.evaluator`.
        streams: the run's random numbers.
        gate: which updates are kept; see `zorl.search.gates`.
        episodes: episodes per candidate, on seeds common to the generation.
        max_episodes: where this is larger, episodes per candidate grow up to it whenever noise
            drowns the differences between candidates, and shrink again; see `reliability`.
        target: the reliability to aim at then, in (0, 1).
    """

    optimizer: Optimizer[Any]
    evaluator: Evaluator
    streams: Streams
    gate: Gate[Any] = field(default_factory=AlwaysAccept)
    episodes: int = 1
    max_episodes: int | None = None
    target: float = 0.5

    def __post_init__(self) -> None:
        checked_gate(self.gate)
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
        """The state before generation 0.

        Args:
            theta: (d,) where the search starts.
            normalizer: of the observations; none of plain functions.

        Raises:
            ConfigurationError: the optimizer refuses the start, or it is beyond float32.
        """
        if normalizer is None:
            normalizer = Normalizer.create("off", np.zeros(0), np.zeros(0))
        state = self.optimizer.init(theta)
        if not _in_range(state.theta):
            raise ConfigurationError(
                f"the start has a parameter of {np.abs(state.theta).max():.3g}; searches keep "
                "theirs within the range of float32, 3.4e38: scale the problem"
            )
        return SearchState(
            generation=0,
            optimizer=state,
            gate=self.gate.init(),
            normalizer=normalizer,
            counters=Counters(),
            episodes=float(self._least),
            signal=UpdateSignal.create(state.theta.size),
        )

    @property
    def _least(self) -> int:
        """Episodes per candidate to start with and to come back to.

        At least two where they may grow: one episode does not show how much of it is noise.
        """
        return self.episodes if self.max_episodes is None else max(self.episodes, 2)

    def run(
        self,
        state: SearchState,
        until: Callable[[SearchState], bool] | None = None,
        stop: Stop | None = None,
    ) -> Iterator[Generation]:
        """Generations from `state` on; the one training loop, which `break` leaves too.

        Args:
            state: of `init`, or where a search was interrupted.
            until: whether it is over, as `Budget(generations=100)`; asked before every generation,
                the first too. None: it never is. A `Budget` of env steps also says when a
                generation under way is given up.
            stop: whether to stop, asked after every generation. A generation that is under way when
                a signal comes may be given up; see `zorl.common.stop_signals`.

        Raises:
            GenerationGivenUp: one went far beyond the budget of env steps. Whether one does
                is a function of its episodes alone; `state` is as it was before.
        """
        budget = until if isinstance(until, Budget) else None
        while until is None or not until(state):
            try:
                generation = self.step(state, budget)
            except Interrupted:  # it will be the same again, from the same state
                return
            yield generation
            state = generation.state
            if stop is not None and stop():
                return

    def step(self, state: SearchState, budget: Budget | None = None) -> Generation:
        """One generation.

        Args:
            state: before it.
            budget: the generation is given up if it goes far beyond it.

        Raises:
            DivergedError: the parameters grew beyond the range of float32.
            GenerationGivenUp: see `run`.
        """
        allowance = Allowance(budget, state.counters.env_steps)
        try:
            return self._step(state, allowance)
        except TooManySteps as error:
            raise GenerationGivenUp(
                f"generation {state.generation} took the search more than {allowance.grace:,.0f} "
                f"env steps beyond its budget{allowance.words} and was given up"
            ) from error

    def _step(self, state: SearchState, allowance: Allowance) -> Generation:
        if (spent := allowance.spent) is not None:
            self.evaluator.begin(spent)
        clock = time.perf_counter
        times = [clock()]
        asked = self.optimizer.ask(state.optimizer, self.streams.search(state.generation))
        times.append(clock())
        evaluation = self._evaluate(state, asked, allowance)
        times.append(clock())
        proposal = self._propose(state, asked, evaluation)
        times.append(clock())
        decision, measured = self._decide(state, proposal, allowance)
        times.append(clock())
        after = self._advance(state, asked, evaluation, proposal, decision, measured)
        timing = Timing(*(later - earlier for earlier, later in pairwise(times)))
        before = state.optimizer.theta
        return Generation(
            state.generation, after, before, asked.sigma, evaluation, decision, timing
        )

    def _evaluate(self, state: SearchState, asked: Asked, allowance: Allowance) -> Evaluation:
        """Every candidate on the generation's seeds."""
        seeds = self.streams.episodes(state.generation, round(state.episodes))
        candidates: Any = asked.candidates if self.evaluator.structured else asked.thetas
        more: dict[str, Any] = {}
        if self.evaluator.takes_origin:
            more["origin"] = CandidateOrigin(
                self.optimizer, state.optimizer, self.streams, state.generation
            )
        return self._measure(allowance, candidates, seeds, state.normalizer, **more)

    def _measure(
        self,
        allowance: Allowance,
        candidates: Any,
        seeds: Seeds,
        normalizer: Normalizer,
        **more: Any,
    ) -> Evaluation:
        """An evaluation within what the generation may take."""
        if self.evaluator.takes_most_steps:
            more["most_steps"] = allowance.of(candidates.shape[0] * len(seeds))
        evaluation = self.evaluator.evaluate(candidates, seeds, normalizer, **more)
        allowance.charge(evaluation)
        return evaluation

    def _propose(self, state: SearchState, asked: Asked, evaluation: Evaluation) -> Any:
        """The optimizer's state after the returns."""
        with np.errstate(invalid="ignore"):  # the mean of +∞ and −∞ is NaN
            returns = evaluation.returns.mean(axis=1)
        proposal = self.optimizer.tell(state.optimizer, asked, returns)
        if not _in_range(proposal.theta):
            raise DivergedError(
                f"the parameters grew beyond all bounds in generation {state.generation}: the step "
                "size is too large for these returns; lower the learning rate, or use "
                "standardised, ranked or σ_R weights, which do not carry the scale of the returns"
            )
        return proposal

    def _decide(
        self, state: SearchState, proposal: Any, allowance: Allowance
    ) -> tuple[Decision[Any], list[Evaluation]]:
        """The gate's decision and what it measured."""
        measured: list[Evaluation] = []

        def measure(thetas: Matrix, start: int, stop: int) -> Matrix:
            seeds = self.streams.gate(state.generation, stop)[start:]
            measured.append(self._measure(allowance, thetas, seeds, state.normalizer))
            return measured[-1].returns

        incumbent = state.optimizer.theta
        if np.array_equal(proposal.theta, incumbent):  # nothing to compare, nothing to pay for
            return Decision(True, state.gate), measured
        return self.gate.decide(state.gate, incumbent, proposal.theta, measure), measured

    def _advance(
        self,
        state: SearchState,
        asked: Asked,
        evaluation: Evaluation,
        proposal: Any,
        decision: Decision[Any],
        measured: list[Evaluation],
    ) -> SearchState:
        """The state of the next generation."""
        update = proposal.theta - state.optimizer.theta
        moved = not np.array_equal(proposal.theta, state.optimizer.theta)
        normalizer = state.normalizer
        if evaluation.moments is not None:
            normalizer = normalizer.merge(evaluation.moments)
        return SearchState(
            generation=state.generation + 1,
            optimizer=proposal if decision.accepted else state.optimizer,
            gate=decision.state,
            normalizer=normalizer,
            counters=state.counters.plus(evaluation, measured, moved, decision.accepted),
            episodes=self._next_episodes(state.episodes, evaluation),
            signal=state.signal.take(update, asked.sigma),
            claimed=decision.claimed if np.isfinite(decision.claimed) else state.claimed,
        )

    def _next_episodes(self, episodes: float, evaluation: Evaluation) -> float:
        """Episodes per candidate of the next generation."""
        if self.max_episodes is None:
            return episodes
        bounds = self._least, self.max_episodes
        return next_episodes(episodes, evaluation.returns, bounds, self.target)


def _in_range(theta: Vector) -> bool:
    """Whether all parameters are numbers of float32, which networks are made of."""
    return bool(np.abs(theta).max() < np.finfo(np.float32).max)
