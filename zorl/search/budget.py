"""What a search may spend, and when a generation that spends far more is given up."""

from __future__ import annotations

import math
from dataclasses import dataclass

from zorl.common.validation import at_least, positive
from zorl.rollout.evaluation import Evaluation
from zorl.search.records import SearchState

GRACE = 100_000  # env steps beyond a budget that any generation may take
GRACE_PER_EPISODE = 1_000


@dataclass(frozen=True)
class Budget:
    """What a search may spend in all; it ends after the generation that reaches one of these.

    Whole generations are run, so that env steps and episodes may be overspent by part of one.

    A generation that goes far beyond `total_timesteps` is given up, for it would not pay, or never
    end: one that takes more than the budget again, more than `GRACE` env steps and more than
    `GRACE_PER_EPISODE` for each of its episodes.

    Args:
        generations: since the start of the run; None is no bound, here and below.
        total_timesteps: env steps, of candidates and gate.
        total_episodes: episodes, of candidates and gate.
    """

    generations: int | None = None
    total_timesteps: float | None = None
    total_episodes: float | None = None

    def __post_init__(self) -> None:
        if self.generations is not None:
            at_least("generations", self.generations, 1)
        for name in ("total_timesteps", "total_episodes"):
            if getattr(self, name) is not None:
                positive(name, getattr(self, name))

    def __call__(self, state: SearchState) -> bool:
        """Whether it is spent."""
        counters = state.counters
        pairs = (
            (self.generations, state.generation),
            (self.total_timesteps, counters.env_steps),
            (self.total_episodes, counters.episodes),
        )
        return any(bound is not None and spent >= bound for bound, spent in pairs)

    def grace(self, episodes: int) -> float:
        """Env steps beyond `total_timesteps` at which a generation is given up; infinite: none.

        Args:
            episodes: of the generation, candidates and gate.
        """
        if self.total_timesteps is None:
            return math.inf
        return max(self.total_timesteps, GRACE, GRACE_PER_EPISODE * episodes)


class Allowance:
    """The env steps that the evaluations of one generation may take.

    Args:
        budget: of the run; None: any number.
        taken: env steps of the run before the generation.
    """

    def __init__(self, budget: Budget | None, taken: int) -> None:
        self._budget = budget
        self._taken = taken
        self._episodes = 0
        self.grace = math.inf

    @property
    def spent(self) -> float | None:
        """The share of the budget of env steps that is spent; None: there is none."""
        steps = self._budget and self._budget.total_timesteps
        return self._taken / steps if steps else None

    @property
    def words(self) -> str:
        """How much the budget is."""
        steps = self._budget and self._budget.total_timesteps
        return f" of {steps:,.0f}" if steps else ""

    def of(self, episodes: int) -> int | None:
        """What so many more episodes may take; None: any number."""
        self._episodes += episodes
        if self._budget is None or self._budget.total_timesteps is None:
            return None
        self.grace = self._budget.grace(self._episodes)
        return int(self._budget.total_timesteps + self.grace) - self._taken

    def charge(self, evaluation: Evaluation) -> None:
        """Count what an evaluation took."""
        self._taken += evaluation.env_steps
