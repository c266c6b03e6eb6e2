"""Wrappers by name: those that zorl lists, and any importable one as "module:Class"."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import gymnasium as gym
from gymnasium import wrappers

from zorl.common.errors import ConfigurationError, UnknownNameError
from zorl.common.options import Options
from zorl.common.references import import_for
from zorl.envs.wrappers.momentum_reward import MomentumReward

Wrapper = gym.Wrapper[Any, Any, Any, Any]

# Only wrappers whose arguments are JSON values and which come back from `env.spec` (tested). Two
# are left out on purpose: a second TimeLimit (`max_episode_steps` in env_kwargs does it), and
# RescaleAction (policies map [−1, 1] to the bounds; given Python floats it warns of precision).
WRAPPERS: Final[Mapping[str, type[Wrapper]]] = MappingProxyType(
    {
        "clip-reward": wrappers.ClipReward,
        "flatten-observation": wrappers.FlattenObservation,
        "frame-stack": wrappers.FrameStackObservation,
        "momentum": MomentumReward,
        "time-aware-observation": wrappers.TimeAwareObservation,
    }
)


def parse_wrapper(text: str) -> tuple[str, Options]:
    """Read a wrapper from text: "name" or "name(option=value, …)".

    Values are Python literals: numbers, quoted text, True or False. Nothing is evaluated. Whether
    the name and the options exist is `check_wrapper`'s business.

    Raises:
        ConfigurationError: if the text is not of that form.

    Example:
        >>> parse_wrapper("momentum(speed_weight=10, step_cost=1)")
        ('momentum', Options({'speed_weight': 10, 'step_cost': 1}))
    """
    match = re.fullmatch(r"\s*([^\s()=,]+)\s*(?:\((.*)\))?\s*", text, flags=re.DOTALL)
    form = f"expected name or name(option=value, …), got {text!r}"
    if match is None:
        raise ConfigurationError(f"not a wrapper: {form}")
    name, arguments = match.groups()
    try:
        call = ast.parse(f"f({arguments or ''})", mode="eval").body
    except (SyntaxError, ValueError) as error:
        raise ConfigurationError(f"wrapper {name!r}: {form}") from error
    # The second test refuses text that closes the bracket early, such as "name(a=1)(b=2)".
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.args:
        raise ConfigurationError(f"wrapper {name!r}: {form}")
    options: dict[str, Any] = {}
    for keyword in call.keywords:
        if keyword.arg is None or keyword.arg in options:
            raise ConfigurationError(f"wrapper {name!r}: each option once, by name; {form}")
        try:
            value = ast.literal_eval(keyword.value)
        except ValueError:
            value = None
        if not isinstance(value, (bool, int, float, str)):
            raise ConfigurationError(
                f"wrapper {name!r}: {keyword.arg} must be a number, quoted text, True or False, "
                f"got {ast.unparse(keyword.value)}"
            )
        options[keyword.arg] = value
    return name, Options(options)


def find_wrapper(name: str) -> type[Wrapper]:
    """Find the class of a wrapper's name, from `WRAPPERS` or as "module:Class".

    Raises:
        UnknownNameError: for a name that is not in `WRAPPERS`; names the nearest ones.
        ConfigurationError: if the module or the class cannot be found, or is no wrapper.
    """
    if name in WRAPPERS:
        return WRAPPERS[name]
    module_name, colon, class_name = name.partition(":")
    if not colon:
        hint = "(a wrapper of your own is named 'module:Class')"
        raise UnknownNameError("wrapper", name, WRAPPERS, hint)
    module = import_for(module_name, f"wrapper {name!r}")
    found = getattr(module, class_name, None)
    if found is None:
        classes = [key for key, value in vars(module).items() if _is_wrapper(value)]
        if not classes:
            raise ConfigurationError(f"wrapper {name!r}: {module_name!r} has no {class_name!r}")
        raise UnknownNameError(f"wrapper of module {module_name!r}", class_name, classes)
    if not _is_wrapper(found):
        raise ConfigurationError(f"wrapper {name!r}: {found!r} is not a gymnasium.Wrapper class")
    wrapper: type[Wrapper] = found
    return wrapper


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


def apply_wrapper(env: gym.Env[Any, Any], name: str, options: Options) -> gym.Env[Any, Any]:
    """Put a wrapper on an environment.

    Raises:
        ConfigurationError: if the wrapper does not exist, or does not fit the environment or its
            options.
    """
    check_wrapper(name, options)
    try:
        return find_wrapper(name)(env, **options.thaw())
    except ConfigurationError:
        raise
    except (TypeError, ValueError, AssertionError, gym.error.Error) as error:
        raise ConfigurationError(
            f"wrapper {name!r} cannot be put on {env.unwrapped}: {error}"
        ) from error


def _is_wrapper(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, gym.Wrapper)


def _unknown_option(wrapper: str, option: str, known: list[str]) -> ConfigurationError:
    if not known:
        return ConfigurationError(f"wrapper {wrapper!r} takes no options, got {option!r}")
    return UnknownNameError(f"option of wrapper {wrapper!r}", option, known)
