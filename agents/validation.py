"""Validation: the learning curve of an agent, and which of its policies is the best."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from zorl.agents.agent import Agent
from zorl.agents.plan import POINTS, TrainingPlan
from zorl.common.errors import TooManySteps
from zorl.common.streams import Streams
from zorl.runs.curves import Row, best_row, score

log = logging.getLogger("zorl")

COLUMNS = (
    "env_steps",
    "episodes",
    "seconds",
    "native_return",
    "return",
    "success_rate",
    "validation_steps",
)  # of a learning curve


class Validator:
    """Measures an agent's policies on validation seeds while it learns, and keeps the best.

    Args:
        agent: is measured.
        plan: when, on how many episodes, and whether the best is kept.
        best: the file where it is kept.
        rows: the learning curve so far.
    """

    def __init__(
        self, agent: Agent, plan: TrainingPlan, best: Path, rows: Iterable[Row] = ()
    ) -> None:
        self.rows: list[Row] = list(rows)
        self._agent, self._plan, self._best = agent, plan, best
        self._told = False

    def due(self, seconds: float) -> bool:
        """Whether the next point of the curve is to be measured now.

        The last point is none of these: it is measured after learning, because PPO still updates
        after its last step.

        Args:
            seconds: of training so far.
        """
        plan, steps, last = self._plan, self._agent.num_timesteps, self.rows[-1]
        following: float = (int(last["env_steps"]) // plan.interval + 1) * plan.interval
        if plan.validate_every is None:
            cost = self._agent.training_per_validation * last["validation_steps"]
            following = max(following, last["env_steps"] + cost)
            if plan.seconds is not None and seconds - last["seconds"] >= plan.seconds / POINTS:
                following = last["env_steps"] + cost
        return following <= steps < plan.total_timesteps

    def measure(self, seconds: float) -> Row:
        """Add a point to the curve; where episodes have no end, one of NaN, with a warning.

        Args:
            seconds: of training so far.
        """
        agent, plan = self._agent, self._plan
        row: Row = {
            "env_steps": agent.num_timesteps,
            "episodes": agent.num_episodes,
            "seconds": seconds,
            **self._figures(),
        }
        # A NaN, which --non-finite worst lets through too, is never better than what there is.
        best = best_row(self.rows)
        if plan.select == "best" and score(row) >= (-np.inf if best is None else score(best)):
            agent.save(self._best)  # before the row, which says that this was considered
        self.rows.append(row)
        return row

    def _figures(self) -> dict[str, float]:
        agent = self._agent
        seeds = Streams(agent.seed).validation(self._plan.validate_episodes)
        try:
            evaluation = agent.evaluate(seeds)
        except TooManySteps as error:
            if not self._told:
                log.warning("a validation, which has no figures now: %s", error)
            self._told = True
            unknown = dict.fromkeys(("native_return", "return", "success_rate"), np.nan)
            return {**unknown, "validation_steps": error.most_steps}
        return {
            "native_return": float(evaluation.native_returns.mean()),
            "return": float(evaluation.returns.mean()),
            "success_rate": float(evaluation.successes.mean()),
            "validation_steps": evaluation.env_steps,
        }
