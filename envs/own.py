"""Environments of a program's own: classes, functions and objects instead of a registered id."""

from __future__ import annotations

import copy
import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec, load_env_creator
from gymnasium.wrappers import TimeLimit

from zorl.common.errors import ConfigurationError
from zorl.common.references import is_unnamed, name_of
from zorl.envs.ids import close_env

log = logging.getLogger("zorl")


@dataclass(frozen=True)
class Copies:
    """Makes copies of an environment that somebody has made by hand."""

    env: gym.Env[Any, Any]

    def __call__(self) -> gym.Env[Any, Any]:
        """A new copy."""
        return copy.deepcopy(self.env)

    def __deepcopy__(self, memo: Any) -> Copies:
        return self


@dataclass(frozen=True)
class OwnEnv:
    """What makes an environment without a registered id.

    Attributes:
        name: "module:Class" or "module:function" where it can be imported again, else "<Class>".
        spec: for `gymnasium.make`.
        limit: env steps of its own time limit, if it has one.
    """

    name: str
    spec: EnvSpec
    limit: int | None = None


def own_env(source: Any) -> OwnEnv:
    """The environment that a program gives as a class, a function or an object.

    Args:
        source: a class derived from `gymnasium.Env`, a function without arguments that makes an
            environment (it is called once, and what it made is closed), or an environment, of
            which copies are played.

    Raises:
        ConfigurationError: it is none of these, the function raises, or the object cannot be
            copied.
    """
    if isinstance(source, gym.Env):
        return OwnEnv(f"<{type(source).__name__}>", _spec(_copies(source), source), _limit(source))
    if isinstance(source, type):
        if not issubclass(source, gym.Env):
            raise ConfigurationError(
                f"env must be an environment's id, or a class derived from gymnasium.Env, got the "
                f"class {source}"
            )
        return OwnEnv(name_of(source), _spec(source, source))
    made = made_by(source)
    try:
        return OwnEnv(name_of(source), _spec(source, made), _limit(made))
    finally:
        close_env(made)


def made_by(source: Callable[[], Any]) -> gym.Env[Any, Any]:
    """What a function makes.

    Raises:
        ConfigurationError: it raises, or makes something else than an environment.
    """
    try:
        made = source()
    except (Exception, SystemExit) as error:  # the user's code
        raise ConfigurationError(
            f"the function {source!r} that should make an environment raised "
            f"{type(error).__name__}: {error}"
        ) from error
    if not isinstance(made, gym.Env):
        raise ConfigurationError(
            f"the function {source!r} should make a gymnasium.Env, but returned {type(made)}"
        )
    return made


def carried(env_id: str, spec: EnvSpec) -> EnvSpec | None:
    """The spec of an id that only this program has registered, which other processes need.

    Args:
        env_id: what names it: with a module, importing that registers it anywhere.
        spec: what it stands for.
    """
    entry = spec.entry_point
    if ":" in env_id or str(entry).startswith(("gymnasium.", "zorl.")):
        return None
    spec = copy.copy(spec)
    if isinstance(entry, str) and entry.startswith("__main__:"):  # of another program, elsewhere
        creator: Any = load_env_creator(entry)
        spec.entry_point = creator
    return spec


@cache
def tell_if_unnamed(env_id: str) -> None:
    """Warn, once, that a file with this environment cannot be loaded without more."""
    if is_unnamed(env_id):
        log.warning(
            "the environment %s was given in Python and has no name to import: load the files of "
            "this agent with zorl.load_agent(path, env=…)",
            env_id,
        )


def layers(env: gym.Env[Any, Any]) -> Iterator[gym.Wrapper[Any, Any, Any, Any]]:
    """The wrappers of an environment, outermost first."""
    while isinstance(env, gym.Wrapper):
        yield env
        env = env.env


def _spec(creator: Any, named: Any) -> EnvSpec:
    """A spec with which `gymnasium.make` calls the creator."""
    name = named.__name__ if isinstance(named, type) else type(named.unwrapped).__name__
    return EnvSpec(re.sub(r"[^\w.-]", "", name), entry_point=creator)


def _limit(env: gym.Env[Any, Any]) -> int | None:
    limits = [layer._max_episode_steps for layer in layers(env) if isinstance(layer, TimeLimit)]
    return min(limits, default=None)


def _copies(env: gym.Env[Any, Any]) -> Copies:
    try:
        return Copies(copy.deepcopy(env))  # what is done to it from now on changes nothing
    except Exception as error:
        raise ConfigurationError(
            f"the environment {env} cannot be copied ({type(error).__name__}: {error}): give its "
            "class, or a function without arguments that makes one"
        ) from error
