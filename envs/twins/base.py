"""Compiled twins: environments written as functions of scalars, which zorl turns into fast kernels.

A twin is the same task as a Gymnasium environment: initial states from Gymnasium's own seeding, the
same rewards and terminations. It is written once, in plain Python, and serves in two precisions:
`zorl.rollout.compiled` translates it. `zorl.testing.check_compiled_twin` compares the two tasks.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, overload

import numpy as np

from zorl.common.errors import ConfigurationError
from zorl.common.registry import Registry
from zorl.envs.arguments import Arguments
from zorl.envs.mujoco.task import CompiledMujoco
from zorl.envs.task import Task
from zorl.envs.wrappers.mask_observation import kept_indices

T = TypeVar("T")


class CompiledEnv:
    """The dynamics of an environment with a state of a few numbers.

    Subclasses (frozen dataclasses, if they have parameters) define three methods. `reset` is
    ordinary Python. `observe` and `step` are compiled: they may use arithmetic, comparisons, `and`,
    `or`, `not`, `if`, `min`, `max`, `abs`, numbers of their module, parameters of `self`, helper
    functions and methods written alike, and sin, cos, tanh, exp, sqrt, log, atan2, floor, pow and
    fabs of `math` (or numpy's of the same meaning); no loops. `and` and `or` compute all their
    parts and give a truth value. `np.float32(x)` rounds to single precision, as an environment does
    that stores its state so; what is made of such numbers is double again, until it is rounded.
    Where a kernel computes in single precision anyway it does nothing.

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
        env: the dynamics: a `CompiledEnv`, or a `CompiledMujoco`.
        rewards: of the wrappers, from the innermost to the outermost.
        limit: env steps at which an episode is truncated.
        kept: indices of the observation's numbers that the policy sees; None: all of them.
    """

    env: Any
    rewards: tuple[CompiledReward, ...]
    limit: int
    kept: tuple[int, ...] | None = None


AnyTwin = CompiledEnv | CompiledMujoco
TWINS: Registry[Callable[..., AnyTwin]] = Registry("twin", "zorl.envs.twins", "zorl.envs.mujoco")
REWARD_TWINS: Registry[Callable[..., CompiledReward]] = Registry(
    "twin of a wrapper", "zorl.envs.twins"
)


@overload
def register_twin(env_id: str) -> Callable[[T], T]: ...
@overload
def register_twin(env_id: str, twin: Callable[..., AnyTwin]) -> None: ...
def register_twin(env_id: str, twin: Callable[..., AnyTwin] | None = None) -> Any:
    """Let a twin take an environment's place from now on; without `twin`, a decorator of a class.

    Args:
        env_id: the Gymnasium id, with its version and without a module.
        twin: called with the task's `env_kwargs`; where its signature does not take these, the
            twin does not cover them, and the environment itself is used.

    Raises:
        ConfigurationError: `twin` is not callable, or the environment has another twin already.
    """
    return TWINS.register(env_id) if twin is None else TWINS.add(env_id, twin)


@overload
def register_reward_twin(wrapper: str) -> Callable[[T], T]: ...
@overload
def register_reward_twin(wrapper: str, twin: Callable[..., CompiledReward]) -> None: ...
def register_reward_twin(wrapper: str, twin: Callable[..., CompiledReward] | None = None) -> Any:
    """Let a twin take a wrapper's place; without `twin`, a decorator of a class.

    Args:
        wrapper: the name of the wrapper.
        twin: called with the wrapper's options.

    Raises:
        ConfigurationError: `twin` is not callable, or the wrapper has another twin already.
    """
    return REWARD_TWINS.register(wrapper) if twin is None else REWARD_TWINS.add(wrapper, twin)


def find_twin(task: Task) -> Twin | None:
    """The twin of a task, or None: no twin is registered, or it does not cover the options."""
    spec = task.find_spec()
    kwargs = Arguments(task.env_kwargs).build()
    limit = kwargs.pop("max_episode_steps", spec.max_episode_steps)
    if type(limit) is not int or not 1 <= limit < 2**31:
        return None
    if spec.id not in TWINS or task.success == "info" or spec.additional_wrappers:
        return None
    of_zorl = getattr(TWINS[spec.id], "__module__", "").startswith("zorl.")
    if of_zorl and not str(spec.entry_point).startswith(("gymnasium.envs.", "zorl.")):
        return None  # somebody has registered another environment under this id
    env = _made(TWINS[spec.id], {**spec.kwargs, **kwargs})
    rewards = []
    kept: tuple[int, ...] | None = None
    for name, options in task.wrappers:
        if name == "mask-observation":
            keep = kept_indices(Arguments(options).build()["keep"])
            kept = keep if kept is None else tuple(kept[i] for i in keep)
            continue
        reward = (
            _made(REWARD_TWINS[name], Arguments(options).build()) if name in REWARD_TWINS else None
        )
        if reward is None or kept is not None:  # outside of a mask it would see less
            return None
        rewards.append(reward)
    if env is None or (rewards and isinstance(env, CompiledMujoco)):
        return None
    return Twin(env, tuple(rewards), limit, kept)


def rehearse(twin: Twin, action: Sequence[float], observations: int) -> None:
    """Play a twin's first step in plain Python, to see that its parts fit together.

    Args:
        twin: the task's twin.
        action: numbers that `step` is to take.
        observations: numbers that the policy is to see.

    Raises:
        ConfigurationError: a method takes or returns other numbers; says which and how many.
    """
    env = twin.env
    name = type(env).__name__
    with np.errstate(all="ignore"):
        state = env.reset(np.random.default_rng(0))
        count = _count(state)
        if not count:
            raise ConfigurationError(f"{name}.reset must return a tuple of numbers, got {state!r}")
        parts = f"{count} of the state that reset returns"
        _expect(name, env.observe, count, parts)
        _expect(name, env.step, count + len(action), f"{parts} and {len(action)} of the action")
        seen = env.observe(*state)
        kept = twin.kept
        if kept is None:
            fits, wanted = _count(seen) == observations, f"{observations}"
        else:
            fits = len(kept) == observations and _count(seen) > max(kept)
            wanted = f"more than {max(kept)}"
        if not fits:
            raise ConfigurationError(
                f"{name}.observe must return a tuple of {wanted} numbers, the size of the "
                f"observation space, got {seen!r}"
            )
        result = env.step(*state, *action)
        if not isinstance(result, tuple) or len(result) != 3 or _count(result[0]) != count:
            raise ConfigurationError(
                f"{name}.step must return (state, reward, terminated) with a state of {count} "
                f"numbers, as reset does, got {result!r}"
            )
        if not _count(result[1:]):
            raise ConfigurationError(
                f"{name}.step must return numbers as reward and terminated, got {result[1:]!r}"
            )
    for reward in twin.rewards:
        parts = f"{len(seen)} of the observation, the reward and terminated"
        _expect(type(reward).__name__, reward.reward, len(seen) + 2, parts)


def _count(values: Any) -> int:
    """How many numbers a tuple has; 0 for what is no tuple of numbers."""
    if not isinstance(values, (tuple, list, np.ndarray)):
        return 0
    numbers = (bool, int, float, np.number, np.bool_)
    return len(values) if all(isinstance(value, numbers) for value in values) else 0


def _expect(owner: str, method: Callable[..., Any], count: int, parts: str) -> None:
    found = len(inspect.signature(method).parameters)
    if found != count:
        raise ConfigurationError(
            f"{owner}.{method.__name__} takes {found} numbers, expected {count}: {parts}"
        )


def _made(twin: Callable[..., Any], options: Mapping[str, Any]) -> Any:
    """The twin with these options, or None if it has no such option; what it raises is an error."""
    try:
        inspect.signature(twin).bind(**options)
    except TypeError:
        return None
    return twin(**options)
