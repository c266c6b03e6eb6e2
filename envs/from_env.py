"""From an environment that was already made to the task that makes it again."""

from __future__ import annotations

from typing import Any, Final

import gymnasium as gym
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker, TimeLimit

from zorl.common.errors import ConfigurationError
from zorl.envs.ids import close_env, find_spec
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


def as_task(env: Any) -> Task:
    """The task that a user means.

    Args:
        env: a task, an environment's id, an environment as for `task_of`, or a function without
            arguments that makes one; what it made is closed again.

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
    register = (
        'register it, as gymnasium.register("Mine-v0", "module:Class", max_episode_steps=200), and '
        'give its id, "module:Mine-v0"'
    )
    if isinstance(env, type):
        raise ConfigurationError(
            f"env must be an environment's id, got the class {env}: {register}"
        )
    if not callable(env):
        raise ConfigurationError(
            "env must be an environment's id, a task, an environment of gymnasium.make, or a "
            f"function that makes one, got {env!r} of {what}"
        )
    try:
        made = env()
    except Exception as error:  # the user's code
        raise ConfigurationError(
            f"the function {env!r} that should make an environment raised {type(error).__name__}: "
            f"{error}"
        ) from error
    if not isinstance(made, gym.Env):
        raise ConfigurationError(
            f"the function {env!r} should make a gymnasium.Env, but returned {type(made)}"
        )
    try:
        return task_of(made)
    finally:
        close_env(made)


def task_of(env: gym.Env[Any, Any]) -> Task:
    """Recover the task of an environment, so that workers can make it again from a plain value.

    The environment itself is left alone. Wrappers that only watch (video, statistics, SB3's
    Monitor) and the render mode are left out: they are no part of a task.

    Args:
        env: from `gymnasium.make`, with wrappers that record their arguments. An id that is
            registered by a module of your own must be registered in every process: pass
            "module:Id-v0" by name instead where that is not so.

    Raises:
        ConfigurationError: if the environment has no spec, a wrapper does not record its
            arguments, or an argument is not a JSON value.

    Example:
        >>> import gymnasium as gym
        >>> task_of(gym.make("CartPole-v1", max_episode_steps=50)).env_kwargs
        Options({'max_episode_steps': 50})
    """
    spec = env.spec
    if spec is None:
        raise ConfigurationError(
            f"{env} has no spec, so that no worker could make it again; register it and use "
            "gymnasium.make, or pass its id"
        )
    registered = find_spec(spec.id)
    env_kwargs = {
        key: value
        for key, value in spec.kwargs.items()
        if key != "render_mode"
        and (key not in registered.kwargs or registered.kwargs[key] != value)
    }
    if spec.max_episode_steps != registered.max_episode_steps:
        # −1 is Gymnasium's word for no limit.
        limit = -1 if spec.max_episode_steps is None else spec.max_episode_steps
        env_kwargs["max_episode_steps"] = limit
    if spec.disable_env_checker != registered.disable_env_checker:
        env_kwargs["disable_env_checker"] = spec.disable_env_checker
    names = {f"{cls.__module__}:{cls.__name__}": name for name, cls in WRAPPERS.items()}
    wrappers = []
    own = max(_built_in(env), len(registered.additional_wrappers))
    for wrapper in spec.additional_wrappers[own:]:
        if wrapper.entry_point in BYSTANDERS:
            continue
        if wrapper.kwargs is None:
            raise ConfigurationError(
                f"wrapper {wrapper.entry_point} does not record its arguments, so that no worker "
                "could make it again; derive it from gymnasium.utils.RecordConstructorArgs"
            )
        wrappers.append((names.get(wrapper.entry_point, wrapper.entry_point), wrapper.kwargs))
    return make_task(spec.id, wrappers, env_kwargs)


def _built_in(env: gym.Env[Any, Any]) -> int:
    """Count the wrappers that the environment's own constructor puts on.

    They are inside those of `gymnasium.make` and come back with the environment: naming them in
    the task would put them on twice.
    """
    inside = count = 0
    while isinstance(env, gym.Wrapper):
        if isinstance(env, (TimeLimit, OrderEnforcing, PassiveEnvChecker)):
            inside, count = 1, 0
        else:
            count += inside
        env = env.env
    return count
