"""Is an episode a function of its seed? Wrappers with a memory of earlier episodes break that."""

from __future__ import annotations

import logging
from typing import Any, Final

import gymnasium as gym
import numpy as np
from gymnasium.spaces import flatten

from zorl.envs.task import Task

_STEPS: Final = 3

log = logging.getLogger("zorl")


def warn_if_not_repeatable(env: gym.Env[Any, Any], task: Task) -> None:
    """Warn if the same seed and actions give another episode the second time.

    Tried with an environment that has wrappers which zorl does not know; it plays a few steps.

    Args:
        env: of the task; closed or reset afterwards.
        task: its task.
    """
    foreign = [name for name, _ in task.wrappers if ":" in name and "gymnasium." not in name]
    if not foreign:
        return
    try:
        first, second = _beginning(env), _beginning(env)
    except (
        Exception,
        SystemExit,
    ):  # its author's code; training meets the same, and says what it is
        return
    if not all(np.array_equal(a, b, equal_nan=True) for a, b in zip(first, second, strict=False)):
        log.warning(
            "%s: the same seed and actions gave another observation or reward the second time; a "
            "wrapper (%s) or the environment remembers earlier episodes, or does not use its seed: "
            "results will depend on the number of environments, and runs cannot be repeated",
            task.env_id,
            ", ".join(foreign),
        )


def _beginning(env: gym.Env[Any, Any]) -> list[Any]:
    """Observations and rewards of the first steps from seed 0, with seeded actions."""
    env.action_space.seed(0)
    space = env.observation_space
    seen = [np.asarray(flatten(space, env.reset(seed=0)[0]), np.float64)]
    for _ in range(_STEPS):
        observation, reward, terminated, truncated, _ = env.step(env.action_space.sample())
        seen += [np.asarray(part, np.float64) for part in (flatten(space, observation), reward)]
        if terminated or truncated:
            break
    return seen
