"""Small search agents, quick to train."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from toy_envs import WALK

from zorl.agents.registry import make_agent
from zorl.agents.search.agent import SearchAgent
from zorl.envs import Task, make_task

CART = "CartPole-v1"
# Small, and not the defaults, which may change.
SMALL: dict[str, dict[str, Any]] = {
    "spsa": {"m": 1, "learning_rate": 0.1, "radius": 0.1},
    "mpge": {"learning_rate": 0.1, "radius": 0.1},
    "two-point": {"m": 2},
    "es": {"m": 4},
    "ars": {"m": 2, "top": None},
    "openai-es": {"m": 4},
    "cma-es": {},
    "random-search": {"popsize": 8},
}


def small(name: str = "spsa", env: str | Task = CART, **options: Any) -> SearchAgent:
    """A small agent by name."""
    common = {
        "settings": "default",
        "episodes": 1,
        "normalize": "running",
        "hidden": (8,),
        "max_episodes": None,
    }
    agent = make_agent(name, env, **{**common, **SMALL.get(name, {}), **options})
    assert isinstance(agent, SearchAgent)
    return agent


def walk(**kwargs: Any) -> Task:
    """The toy task, with arguments."""
    return make_task(WALK, env_kwargs=kwargs)


def observations(agent: SearchAgent, count: int = 5) -> NDArray[Any]:
    """Observations of an agent's task: starts, and one from anywhere."""
    env = agent.task.make()
    env.observation_space.seed(1)
    rows = [env.reset(seed=seed)[0] for seed in range(count - 1)]
    rows.append(env.observation_space.sample())
    env.close()
    return np.array(rows)
