"""Wrappers by name: those that zorl lists, and any importable one as "module:Class"."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, TypeAlias

import gymnasium as gym
from gymnasium import wrappers

from zorl.common.errors import ConfigurationError, UnknownNameError
from zorl.common.options import parse_call
from zorl.common.registry import Registry
from zorl.envs.arguments import Arguments

Wrapper: TypeAlias = gym.Wrapper[Any, Any, Any, Any]

_KEEP_REWARDS = (
    gym.ObservationWrapper,
    gym.ActionWrapper,
    wrappers.FrameStackObservation,
    wrappers.TimeLimit,
)

# Wrappers that are refused, and what to use instead.
_STATISTICS: Mapping[type[Wrapper], str] = {
    wrappers.NormalizeObservation: "--normalize running does it right for a search agent, and "
    "--set normalize=true for a baseline",
    wrappers.NormalizeReward: "most searches rank or standardise returns, and need none; a "
    "baseline has it with --set normalize=true",
}

WRAPPERS: Registry[type[Wrapper]] = Registry("wrapper", "zorl.envs.wrappers")
register_wrapper = WRAPPERS.register

# Gymnasium's wrappers whose arguments are JSON values and which come back from `env.spec` (tested).
# Two are left out on purpose: TimeLimit (`max_episode_steps` in env_kwargs does it; outside of
# other wrappers it is named by its class), and RescaleAction (policies map [−1, 1] to the bounds;
# given Python floats it warns of precision).
for _name, _class in {
    "clip-reward": wrappers.ClipReward,
    "flatten-observation": wrappers.FlattenObservation,
    "frame-stack": wrappers.FrameStackObservation,
    "time-aware-observation": wrappers.TimeAwareObservation,
}.items():
    WRAPPERS.add(_name, _class)


def parse_wrapper(text: str) -> tuple[str, Arguments]:
    """Read a wrapper from text: "name" or "name(option=value, …)".

    See `zorl.common.options.parse_call`; `check_wrapper` says whether name and options exist.

    Raises:
        ConfigurationError: the text is not of that form, or a value is none that JSON can hold.

    Example:
        >>> parse_wrapper("frame-stack(stack_size=4, padding_type=zero)")
        ('frame-stack', Arguments({'stack_size': 4, 'padding_type': 'zero'}))
    """
    name, options = parse_call(text, "wrapper")
    return name, Arguments(options)


def find_wrapper(name: str) -> type[Wrapper]:
    """The class registered under a name, or the one that "module:Class" leads to.

    Raises:
        UnknownNameError: nothing has the name; the nearest ones are named.
        ConfigurationError: the module cannot be imported, or what it has is not a wrapper.
    """
    if name not in WRAPPERS and name in wrappers.__all__:
        refuse_statistics(f"gymnasium.wrappers:{name}")
        raise ConfigurationError(
            f"unknown wrapper {name!r}; Gymnasium's is named 'gymnasium.wrappers:{name}'"
        )
    found: Any = WRAPPERS.resolve(name)
    if not _is_wrapper(found):
        raise ConfigurationError(f"wrapper {name!r}: {found!r} is not a gymnasium.Wrapper class")
    wrapper: type[Wrapper] = found
    return wrapper


def keeps_rewards(name: str) -> bool:
    """Whether a wrapper leaves rewards alone, as those that only change observations or actions."""
    try:
        wrapper = find_wrapper(name)
    except ConfigurationError:  # it is not installed here: it may do anything
        return False
    return issubclass(wrapper, _KEEP_REWARDS)


def check_wrapper(name: str, options: Mapping[str, Any]) -> None:
    """Check a wrapper's name and the names of its options, without building it.

    Raises:
        UnknownNameError: for an unknown wrapper or option; names the nearest ones.
        ConfigurationError: for an option that is required and missing.
    """
    parameters = inspect.signature(find_wrapper(name)).parameters
    # The first parameter is the environment, whatever its author called it.
    known = {
        key: parameter
        for key, parameter in list(parameters.items())[1:]
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }
    if not any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters.values()):
        for option in options:
            if option not in known:
                raise _unknown_option(name, option, list(known))
    for option, parameter in known.items():
        if parameter.default is parameter.empty and option not in options:
            raise ConfigurationError(f"wrapper {name!r} needs the option {option!r}")


def refuse_statistics(name: str) -> None:
    """Refuse Gymnasium's wrappers that normalise by statistics of all episodes before.

    Raises:
        ConfigurationError: says what to use instead.
    """
    wrapper = find_wrapper(name)
    for kind, cure in _STATISTICS.items():
        if issubclass(wrapper, kind):
            raise ConfigurationError(
                f"{name} keeps statistics from episode to episode: results would depend on the "
                f"number of environments, and a saved policy would lack them; {cure}"
            )


def apply_wrapper(env: gym.Env[Any, Any], name: str, options: Arguments) -> gym.Env[Any, Any]:
    """Put a wrapper on an environment.

    Raises:
        ConfigurationError: if the wrapper does not exist, or does not fit the environment or its
            options.
    """
    check_wrapper(name, options)
    try:
        return find_wrapper(name)(env, **options.build())
    except ConfigurationError:
        raise
    except (Exception, SystemExit) as error:  # its author's code
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ConfigurationError(
            f"wrapper {name!r} cannot be put on {env.unwrapped}: {reason}"
        ) from error


def _is_wrapper(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, gym.Wrapper)


def _unknown_option(wrapper: str, option: str, known: list[str]) -> ConfigurationError:
    if not known:
        return ConfigurationError(f"wrapper {wrapper!r} takes no options, got {option!r}")
    return UnknownNameError(f"option of wrapper {wrapper!r}", option, known)
