"""Compiled twins: environments written as functions of scalars, which zorl turns into fast kernels.

A twin is the same task as a Gymnasium environment: initial states from Gymnasium's own seeding, the
same rewards and terminations. It is written once, in plain Python, and serves in two precisions:
`zorl.rollout.compiled` translates it. `zorl.testing.check_compiled_twin` compares the two tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from zorl.envs.registry import find_spec
from zorl.envs.task import Task
from zorl.errors import ConfigurationError


class CompiledEnv:
    """The dynamics of an environment with a state of a few numbers.

    Subclasses (frozen dataclasses, if they have parameters) define three methods. `reset` is
    ordinary Python. `observe` and `step` are compiled: they may use arithmetic, comparisons, `and`,
    `or`, `not`, `if`, `min`, `max`, `abs`, functions of `math` (or numpy's of the same meaning),
    numbers of their module, parameters of `self`, and helper functions and methods written alike;
    no loops. `np.float32(x)` rounds to single precision, as an environment does that stores its
    state so; where a kernel computes in single precision anyway it does nothing.

    Every number is a real one: a Discrete action 2 arrives as 2.0.

    Example:
        >>> @dataclass(frozen=True)
        ... class Drift(CompiledEnv):
        ...     speed: float = 0.1
        ...     def reset(self, rng):
        ...         return (rng.uniform(-1, 1),)
        ...     def observe(self, x):
        ...         return (x,)
        ...     def step(self, x, action):
        ...         x = x + self.speed * (action - 1)
        ...         return (x,), -abs(x), x > 2 or x < -2
    """

    reset: Callable[[np.random.Generator], tuple[float, ...]]
    """The initial state, from the generator that Gymnasium's `reset(seed=…)` would seed."""

    observe: Callable[..., tuple[Any, ...]]
    """The observation, from the state's numbers as positional arguments."""

    step: Callable[..., tuple[tuple[Any, ...], Any, Any]]
    """(state, reward, terminated) after a step, from the state's numbers and the action's (one for
    Discrete, one per dimension of a Box, within its bounds)."""


class CompiledReward:
    """The compiled twin of a wrapper that changes rewards and nothing else.

    Subclasses define `reward(*observation, reward, terminated)`, compiled as `CompiledEnv.step` is:
    the new reward, from the observation after the step and the wrapped environment's reward.
    """

    reward: Callable[..., Any]


@dataclass(frozen=True)
class Twin:
    """What takes a task's place in compiled rollouts.

    Attributes:
        env: the dynamics.
        rewards: of the wrappers, from the innermost to the outermost.
        limit: env steps at which an episode is truncated.
    """

    env: CompiledEnv
    rewards: tuple[CompiledReward, ...]
    limit: int


TWINS: dict[str, Callable[..., CompiledEnv]] = {}
REWARD_TWINS: dict[str, Callable[..., CompiledReward]] = {}


def register_twin(env_id: str, twin: Callable[..., CompiledEnv]) -> None:
    """Let a twin take an environment's place from now on.

    Args:
        env_id: the Gymnasium id, with its version and without a module.
        twin: called with the task's `env_kwargs`; a TypeError from it means that the twin does not
            cover these, and the environment itself is used.
    """
    if not callable(twin):
        raise ConfigurationError(f"the twin of {env_id} must be a class or function, got {twin!r}")
    TWINS[env_id] = twin


def register_reward_twin(wrapper: str, twin: Callable[..., CompiledReward]) -> None:
    """Let a twin take a wrapper's place; `twin` is called with the wrapper's options."""
    if not callable(twin):
        raise ConfigurationError(f"the twin of {wrapper} must be callable, got {twin!r}")
    REWARD_TWINS[wrapper] = twin


def find_twin(task: Task) -> Twin | None:
    """The twin of a task, or None: no twin is registered, or it does not cover the options."""
    import zorl.envs.twins  # noqa: F401  # registers zorl's own

    spec = find_spec(task.env_id)
    kwargs: dict[str, Any] = dict(task.env_kwargs)
    limit = kwargs.pop("max_episode_steps", spec.max_episode_steps)
    if spec.id not in TWINS or not limit or limit < 1 or task.success == "info":
        return None
    env = _made(TWINS[spec.id], {**spec.kwargs, **kwargs})
    rewards = []
    for name, options in task.wrappers:
        reward = _made(REWARD_TWINS[name], options) if name in REWARD_TWINS else None
        if reward is None:
            return None
        rewards.append(reward)
    return None if env is None else Twin(env, tuple(rewards), int(limit))


def _made(twin: Callable[..., Any], options: Mapping[str, Any]) -> Any:
    try:
        return twin(**options)
    except TypeError:  # it has no such option
        return None
