"""Baselines that are closed when a test is over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from zorl.agents.sb3.agent import BaselineAgent
from zorl.agents.sb3.config import BaselineConfig
from zorl.envs import Task, make_task

if TYPE_CHECKING:  # it imports stable-baselines3, without which these tests are skipped
    from toy_baselines import Maker


@pytest.fixture
def make() -> Iterator[Maker]:
    """Make a baseline from its name, a task or an environment id, options and fields."""
    made: list[BaselineAgent] = []

    def _make(
        agent: str, env: str | Task, options: Any = (), seed: int = 0, **more: Any
    ) -> BaselineAgent:
        task = env if isinstance(env, Task) else make_task(env)
        made.append(BaselineAgent(BaselineConfig(agent, task, dict(options), seed=seed, **more)))
        return made[-1]

    yield _make
    for agent in made:
        agent.close()
