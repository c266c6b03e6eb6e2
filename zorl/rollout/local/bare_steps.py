"""Environments without what would slow their steps down: checkers, and a time limit outermost."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import gymnasium as gym
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker, TimeLimit


def steps_and_limit(envs: list[gym.Env[Any, Any]]) -> tuple[float, list[Callable[[Any], Any]]]:
    """The `step` of every environment, without a time limit that is outermost, and that limit."""
    if all(type(env) is TimeLimit for env in envs):
        limits = {env._max_episode_steps for env in envs if isinstance(env, TimeLimit)}
        if len(limits) == 1:
            return limits.pop(), [env.env.step for env in envs if isinstance(env, TimeLimit)]
    return math.inf, [env.step for env in envs]


def reported(step: Callable[[Any], Any], heartbeat: Callable[[], object]) -> Callable[[Any], Any]:
    """A step that calls `heartbeat` when it is done."""

    def made(action: Any) -> Any:
        result = step(action)
        heartbeat()
        return result

    return made


def without_checkers(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    """An environment without the wrappers that only check how it is used."""
    if isinstance(env, gym.Wrapper):
        inner = without_checkers(env.env)
        if isinstance(env, (PassiveEnvChecker, OrderEnforcing)):
            return inner
        env.env = inner
    return env
