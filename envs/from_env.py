"""From an environment that was already made to the task that makes it again."""

from __future__ import annotations

import logging
from contextlib import closing
from dataclasses import replace
from typing import Any, Final

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec, WrapperSpec
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker, TimeLimit

from zorl.common.errors import ConfigurationError
from zorl.envs.arguments import Arguments
from zorl.envs.ids import close_env, find_spec
from zorl.envs.own import layers, made_by
from zorl.envs.task import Task, make_task
from zorl.envs.wrappers.registry import WRAPPERS

# Wrappers that only watch: the same observations, rewards and episode ends with or without them.
BYSTANDERS: Final = frozenset(
    {
        "gymnasium.wrappers.common:RecordEpisodeStatistics",
        "gymnasium.wrappers.rendering:HumanRendering",
        "gymnasium.wrappers.rendering:RecordVideo",
        "gymnasium.wrappers.rendering:RenderCollection",
        "stable_baselines3.common.monitor:Monitor",
        "zorl.envs.wrappers.native_return:NativeReturn",
    }
)

TIME_LIMIT: Final = "gymnasium.wrappers.common:TimeLimit"

log = logging.getLogger("zorl")


def as_task(env: Any) -> Task:
    """The task that a user means.

    Args:
        env: a task, an environment's id or `EnvSpec`, an environment as for `task_of`, a class, or
            a function without arguments that makes one; what it made is closed again.

    Raises:
        ConfigurationError: something else, with what to give instead; or as `task_of` and
            `make_task`.
    """
    if isinstance(env, Task):
        return env
    if isinstance(env, str):
        return make_task(env)
    if isinstance(env, gym.Env):
        return task_of(env)
    what = f"{type(env).__module__}.{type(env).__name__}"
    if isinstance(env, gym.vector.VectorEnv) or hasattr(env, "num_envs"):
        raise ConfigurationError(
            f"env must be a single environment, got the vector environment {what}: give the id or "
            "the environment that it is made of; zorl makes as many of it as it needs"
        )
    if isinstance(env, EnvSpec):
        env = env.make
    if not callable(env):
        raise ConfigurationError(
            "env must be an environment's id, a task, an environment, its class, or a function "
            f"that makes one, got {env!r} of {what}"
        )
    if not isinstance(env, type):
        made = made_by(env)
        try:
            if made.spec is not None:
                return task_of(made)
        except ConfigurationError:
            pass  # only the function can make it again
        finally:
            close_env(made)
    return make_task(env)


def given_again(saved: Task, env: Any) -> Task:
    """The task of a file, whose environment has no name to import, with that environment.

    Raises:
        ConfigurationError: the environment has another name.
    """
    task = as_task(env)
    if task.env_id != saved.env_id:
        raise ConfigurationError(
            f"the saved environment is {saved.env_id}, which is not the given {task.env_id}"
        )
    return replace(saved, spec=task.spec)


def task_of(env: gym.Env[Any, Any]) -> Task:
    """Recover the task of an environment, so that workers can make it again from a plain value.

    The environment itself is left alone. Wrappers that only watch (video, statistics, SB3's
    Monitor) and the render mode are left out: they are no part of a task. Nor is what somebody has
    set on the environment since it was made, of which a warning is given.

    Args:
        env: from `gymnasium.make`, with wrappers that record their arguments; one that was made by
            hand, without a spec, is copied instead.

    Raises:
        ConfigurationError: if a wrapper does not record its arguments, an argument is not a JSON
            value, or the environment has no spec and cannot be copied.

    Example:
        >>> import gymnasium as gym
        >>> task_of(gym.make("CartPole-v1", max_episode_steps=50)).env_kwargs
        Arguments({'max_episode_steps': 50})
    """
    spec = env.spec
    if spec is None:
        return make_task(env)
    registered = find_spec(spec.id)
    env_kwargs = {
        key: value
        for key, value in spec.kwargs.items()
        if key != "render_mode"
        and (key not in registered.kwargs or registered.kwargs[key] != value)
    }
    limit, wrappers = _limit_and_wrappers(env, spec, registered)
    if limit != registered.max_episode_steps:
        # −1 is Gymnasium's word for no limit.
        env_kwargs["max_episode_steps"] = -1 if limit is None else limit
    if spec.disable_env_checker != registered.disable_env_checker:
        env_kwargs["disable_env_checker"] = spec.disable_env_checker
    task = make_task(spec.id, wrappers, env_kwargs)
    _tell_what_is_lost(env, task)
    return task


def _limit_and_wrappers(
    env: gym.Env[Any, Any], spec: EnvSpec, registered: EnvSpec
) -> tuple[int | None, list[tuple[str, Any]]]:
    """The time limit of `gymnasium.make`, and the wrappers outside of it, innermost first.

    Time limits directly around the innermost one are one with it: the shortest counts. Any other
    is a wrapper like all others, in its place.
    """
    own = max(_built_in(env), len(registered.additional_wrappers))
    names = {f"{cls.__module__}:{cls.__name__}": name for name, cls in WRAPPERS.items()}
    named = iter(spec.additional_wrappers)  # all but Gymnasium's own three, innermost first
    limits: list[int] = []
    wrappers: list[tuple[str, Any]] = []
    passed = 0
    for layer in reversed(list(layers(env))):
        if type(layer) is TimeLimit:
            if wrappers or (limits and passed):
                limit = {"max_episode_steps": layer._max_episode_steps}
                wrappers.append((TIME_LIMIT, limit))
            else:
                limits.append(layer._max_episode_steps)
        elif not isinstance(layer, (OrderEnforcing, PassiveEnvChecker)):
            wrapper = next(named)
            if passed < own:
                passed += 1
            elif wrapper.entry_point not in BYSTANDERS:
                if wrapper.kwargs is None:
                    raise ConfigurationError(
                        f"wrapper {wrapper.entry_point} does not record its arguments, so that no "
                        "worker could make it again; derive it from "
                        "gymnasium.utils.RecordConstructorArgs, or give a function that makes the "
                        "environment"
                    )
                name = names.get(wrapper.entry_point, wrapper.entry_point)
                wrappers.append((name, _arguments(wrapper)))
    return min(limits, default=None), wrappers


def _arguments(wrapper: WrapperSpec) -> Arguments:
    """The arguments of a wrapper; raises where no task can hold them."""
    try:
        return Arguments(wrapper.kwargs)
    except ConfigurationError as error:
        raise ConfigurationError(
            f"wrapper {wrapper.entry_point}: {error}; give a function that makes the "
            "environment, or a wrapper of your own"
        ) from error


def _built_in(env: gym.Env[Any, Any]) -> int:
    """Count the wrappers that the environment's own constructor puts on.

    They are inside those of `gymnasium.make` and come back with the environment: naming them in
    the task would put them on twice.
    """
    inside = count = 0
    for layer in layers(env):
        if isinstance(layer, (TimeLimit, OrderEnforcing, PassiveEnvChecker)):
            inside, count = 1, 0
        else:
            count += inside
    return count


def _tell_what_is_lost(env: gym.Env[Any, Any], task: Task) -> None:
    """Warn of plain attributes that somebody has set on the environment: a new one lacks them.

    Attributes that reset and step change, or that differ between two new environments, are left
    out. Where no other environment can be made, nothing is said.
    """
    given = _plain_attributes(env)
    if not given:
        return
    try:
        with closing(task.make()) as first, closing(task.make()) as second:
            fresh = _plain_attributes(first)
            first.reset(seed=0)
            first.action_space.seed(0)
            first.step(first.action_space.sample())
            steady = [_plain_attributes(first), _plain_attributes(second)]
    except (
        Exception,
        SystemExit,
    ):  # its author's code; training meets the same, and says what it is
        return
    set_by_hand = {
        name: value
        for name, value in fresh.items()
        if given.get(name, value) != value and all(other.get(name) == value for other in steady)
    }
    if set_by_hand:
        log.warning(
            "%s: the environment that was given has %s, one that is made again has %s; zorl makes "
            "its own environments: pass such values to gymnasium.make, or register an environment "
            "that has them",
            task.env_id,
            ", ".join(f"{name} = {given[name]}" for name in set_by_hand),
            ", ".join(f"{name} = {value}" for name, value in set_by_hand.items()),
        )


def _plain_attributes(env: gym.Env[Any, Any]) -> dict[str, str]:
    """The numbers, texts and arrays that are attributes of the innermost environment, as text."""
    plain = (bool, int, float, str, np.number, np.ndarray)
    return {
        name: repr(value)
        for name, value in vars(env.unwrapped).items()
        if isinstance(value, plain) and np.size(value) <= 1000
    }
