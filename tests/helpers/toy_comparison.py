"""A small comparison."""

from __future__ import annotations

from zorl.agents.plan import TrainingPlan
from zorl.comparison import (
    Comparison,
)
from zorl.envs import Task, make_task

CARTPOLE = make_task("CartPole-v1", threshold=30)


AGENTS = ["cma-es(episodes=1, popsize=6)", "random-search(hidden=none, episodes=1)"]


PLAN = TrainingPlan(1500, validate_every=500, validate_episodes=3, held_out=5)


OPTIONS = [
    *("--agents", *AGENTS, "--env", "CartPole-v1", "--threshold", "30", "--seeds", "2"),
    *("--timesteps", "1500", "--validate-every", "500", "--validate-episodes", "3"),
    *("--held-out", "5", "--jobs", "2"),
]


def comparison(task: Task = CARTPOLE, agents: list[str] = AGENTS, seeds: int = 2) -> Comparison:
    return Comparison.create(task, agents, PLAN, range(seeds))
