"""A task: an environment, the wrappers on it, and what counts as solving it, as one value."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal, TypeAlias, get_args

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from zorl.common.errors import ConfigurationError, UnknownNameError
from zorl.common.references import is_unnamed
from zorl.common.validation import at_least
from zorl.envs.arguments import Arguments
from zorl.envs.ids import close_env, find_spec, make_env
from zorl.envs.own import carried, own_env
from zorl.envs.wrappers.native_return import NativeReturn
from zorl.envs.wrappers.registry import (
    apply_wrapper,
    check_wrapper,
    keeps_rewards,
    parse_wrapper,
    refuse_statistics,
)

Success: TypeAlias = Literal["terminated", "threshold", "info", "none"]
SUCCESS: Final = get_args(Success)

# Env steps after which an episode is truncated where neither environment nor user set a limit.
DEFAULT_LIMIT: Final = 10_000

log = logging.getLogger("zorl")

# Gymnasium's environments that terminate at their goal and nowhere else. For all others
# `terminated` may be a failure (CartPole, Hopper), so that success is a return at or above the
# threshold. An environment of your own says it with `success="terminated"`.
GOAL_TASKS: Final = frozenset({"MountainCar", "MountainCarContinuous", "Acrobot"})


@dataclass(frozen=True)
class Task:
    """What is trained on: a value that is compared, hashed, pickled and written to JSON.

    `make_task` builds one with names checked and defaults filled in; this class only checks types,
    so that a run folder can be read where the environment is not installed.

    Args:
        env_id: a Gymnasium id, or "module:Id-v0".
        env_kwargs: arguments of `gymnasium.make` and of the environment; JSON values.
        wrappers: (name, options) from the innermost to the outermost.
        success: how an episode is judged; see `succeeded`.
        threshold: the native return that counts as solved, if there is one.
        spec: what the id stands for, where other processes cannot find it; in no file.

    Raises:
        ConfigurationError: for a value of the wrong type.
    """

    env_id: str
    env_kwargs: Mapping[str, Any] = Arguments()
    wrappers: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    success: Success = "none"
    threshold: float | None = None
    spec: EnvSpec | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.env_id, str):
            raise ConfigurationError(f"env_id must be text, got {self.env_id!r}")
        if self.success not in SUCCESS:
            raise UnknownNameError("kind of success", str(self.success), SUCCESS)
        if self.threshold is not None:
            object.__setattr__(self, "threshold", _finite(self.threshold))
        elif self.success == "threshold":
            raise ConfigurationError(
                f"task {self.env_id}: success 'threshold' needs a threshold, a native return"
            )
        object.__setattr__(self, "env_kwargs", Arguments(self.env_kwargs))
        if "render_mode" in self.env_kwargs:
            raise ConfigurationError("render_mode is no part of a task; pass it to Task.make")
        if not isinstance(self.wrappers, (list, tuple)):
            raise ConfigurationError(
                f"wrappers must be a list of (name, options) pairs, got {self.wrappers!r}"
            )
        object.__setattr__(self, "wrappers", tuple(_pair(item) for item in self.wrappers))

    @property
    def shaped(self) -> bool:
        """Whether a wrapper may change rewards, so that searched and native return may differ."""
        return not all(keeps_rewards(name) for name, _ in self.wrappers)

    def find_spec(self) -> EnvSpec:
        """What the id stands for; raises as `zorl.envs.find_spec`."""
        return self.spec or find_spec(self.env_id)

    def make(self, render_mode: str | None = None) -> gym.Env[Any, Any]:
        """Build the environment: `gymnasium.make`, then `NativeReturn`, then the wrappers.

        Without wrappers the environment's return is the native one, and nothing records it twice.

        Args:
            render_mode: as for `gymnasium.make`.

        Raises:
            ConfigurationError: for an id, option or wrapper that does not exist or does not fit,
                or a dependency that is not installed.
            EnvironmentFailure: if the environment's constructor raises.
        """
        kwargs = Arguments(self.env_kwargs).build()
        if render_mode is not None:  # some environments do not know the argument
            kwargs["render_mode"] = render_mode
        base = make_env(self.env_id, kwargs, self.find_spec())
        if not self.wrappers:
            return base
        env: gym.Env[Any, Any] = NativeReturn(base)
        try:
            for name, options in self.wrappers:
                env = apply_wrapper(env, name, Arguments(options))
        except Exception:
            close_env(base)
            raise
        return env

    def succeeded(
        self, native_return: float, terminated: bool, info: Mapping[str, Any] | None = None
    ) -> bool:
        """Whether an episode succeeded.

        "terminated": it ended at the goal; running out of time is no success, whatever the return.
        "threshold": its native return is at least the threshold. "info": its last `info` says so
        under "is_success". "none": the task has no notion of success, and no episode succeeds.

        Args:
            native_return: the sum of the environment's own rewards.
            terminated: from the last step; `truncated` plays no part.
            info: from the last step.

        Raises:
            ConfigurationError: if `info` lacks "is_success" where the task asks for it.
        """
        if self.success == "terminated":
            return bool(terminated)
        if self.success == "threshold":
            return bool(native_return >= self.require_threshold())
        if self.success == "none":
            return False
        if info is None or "is_success" not in info:
            raise ConfigurationError(
                f"task {self.env_id}: success 'info' needs 'is_success' in the last step's info, "
                f"which has {sorted(info or {})}"
            )
        return bool(info["is_success"])

    def require_threshold(self) -> float:
        """Return the threshold, a native return.

        Raises:
            ConfigurationError: if the task has none.
        """
        if self.threshold is None:
            raise ConfigurationError(f"task {self.env_id} has no threshold; pass --threshold")
        return self.threshold

    def to_json(self) -> dict[str, Any]:
        """Return a plain dict of JSON types, for `from_json`."""
        return {
            "env_id": self.env_id,
            "env_kwargs": Arguments(self.env_kwargs).thaw(),
            "wrappers": [[name, Arguments(options).thaw()] for name, options in self.wrappers],
            "success": self.success,
            "threshold": self.threshold,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Task:
        """Read the task that `to_json` wrote; fields left out have their defaults.

        Raises:
            ConfigurationError: for an unknown or missing field, or a value of the wrong type.
        """
        if not isinstance(data, Mapping):
            raise ConfigurationError(f"a task is a mapping of its fields, got {data!r}")
        known = [item.name for item in fields(cls) if item.name != "spec"]
        for key in data:
            if key not in known:
                raise UnknownNameError("field of a task", str(key), known)
        if "env_id" not in data:
            raise ConfigurationError("a task needs the field 'env_id'")
        return cls(**data)


def make_task(
    env_id: Any,
    wrappers: Iterable[str | tuple[str, Mapping[str, Any]]] = (),
    env_kwargs: Mapping[str, Any] | None = None,
    threshold: float | None = None,
    success: Success | None = None,
    max_episode_steps: int | None = None,
) -> Task:
    """Build a task, its names checked and its idea of success filled in.

    Args:
        env_id: a Gymnasium id or "module:Id-v0"; without a version, the newest, which the task
            then names. Or a class, a function or an environment, as `own_env` takes them.
        wrappers: each as text, "momentum" or "momentum(speed_weight=10)", or (name, options);
            from the innermost to the outermost.
        env_kwargs: arguments of `gymnasium.make` and of the environment.
        threshold: the native return that counts as solved; None for Gymnasium's, if it has one.
        success: None for "terminated" where the environment ends at its goal, else "threshold"
            where there is one, else "none".
        max_episode_steps: env steps after which an episode is truncated; −1 for no limit. None
            for the environment's own limit, or `DEFAULT_LIMIT` if it has none, with a warning.

    Raises:
        UnknownNameError: for an unknown environment, wrapper or wrapper option.
        ConfigurationError: for values that cannot work.

    Example:
        >>> task = make_task("MountainCar-v0", ["momentum"])
        >>> task.success, task.threshold
        ('terminated', -110.0)
    """
    if isinstance(wrappers, str):
        raise ConfigurationError(f"wrappers must be a list; did you mean [{wrappers!r}]?")
    own = own_env(env_id) if isinstance(env_id, gym.Env) or callable(env_id) else None
    spec = find_spec(env_id) if own is None else own.spec
    pairs = tuple(
        parse_wrapper(item) if isinstance(item, str) else _pair(item) for item in wrappers
    )
    for name, options in pairs:
        check_wrapper(name, options)
        refuse_statistics(name)
    kwargs = Arguments(env_kwargs).thaw()
    if max_episode_steps is not None:
        kwargs["max_episode_steps"] = max_episode_steps
    if own is not None and own.limit is not None:
        kwargs.setdefault("max_episode_steps", own.limit)
    if spec.max_episode_steps is None and "max_episode_steps" not in kwargs:
        kwargs["max_episode_steps"] = DEFAULT_LIMIT
        log.warning(
            "%s has no time limit, and zorl plays whole episodes: here they are truncated after "
            "%s steps; set another limit with --max-episode-steps, or max_episode_steps= in Python "
            "(-1: none)",
            spec.id if own is None else own.name,
            f"{DEFAULT_LIMIT:,}",
        )
    _check_limit(kwargs.get("max_episode_steps", 1))
    if threshold is None:
        threshold = spec.reward_threshold
    if success is None:
        success = _default_success(spec, threshold)
    if own is None:
        module, colon, _ = env_id.rpartition(":")
        name, travels = f"{module}{colon}{spec.id}", carried(env_id, spec)
    else:
        name, travels = own.name, spec if is_unnamed(own.name) else None
    return Task(
        env_id=name,
        env_kwargs=Arguments(kwargs),
        wrappers=pairs,
        success=success,
        threshold=threshold,
        spec=travels,
    )


def has_time_limit(env: gym.Env[Any, Any]) -> bool:
    """Whether the environment's episodes are truncated, its own or set by a user or a wrapper."""
    return env.spec is not None and env.spec.max_episode_steps is not None


def _default_success(spec: EnvSpec, threshold: float | None) -> Success:
    if spec.namespace is None and spec.name in GOAL_TASKS:
        return "terminated"
    return "none" if threshold is None else "threshold"


def _check_limit(limit: Any) -> None:
    if limit is None or isinstance(limit, bool) or limit != -1:
        at_least("max_episode_steps", limit, 1)


def _finite(threshold: Any) -> float:
    if isinstance(threshold, bool):
        raise ConfigurationError(f"a threshold must be a number, got {threshold!r}")
    try:
        value = float(threshold)
    except (OverflowError, TypeError, ValueError) as error:
        raise ConfigurationError(f"a threshold must be a number, got {threshold!r}") from error
    if not math.isfinite(value):
        raise ConfigurationError(f"a threshold must be finite, got {threshold!r}")
    return value


def _pair(item: Any) -> tuple[str, Arguments]:
    if not (isinstance(item, (list, tuple)) and len(item) == 2 and isinstance(item[0], str)):
        raise ConfigurationError(f"a wrapper is a (name, options) pair, got {item!r}")
    return item[0], Arguments(item[1])
