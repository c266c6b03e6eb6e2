"""Options of the SB3 baselines: JSON values in, arguments of the SB3 class out.

What JSON cannot say directly is said by a mapping or a name:

- learning_rate, clip_range, clip_range_vf: a number, or {"schedule": "linear", "initial": 0.001},
  which falls to 0 at the end of the training;
- action_noise: {"type": "normal" or "ornstein-uhlenbeck", "std": 0.1};
- policy: "auto" is MultiInputPolicy for Dict observations, CnnPolicy for images of at least 36 × 36
  pixels, and MlpPolicy for all else;
- classes, as replay_buffer_class or policy_kwargs' features_extractor_class: "module:Class";
  "activation_fn" also by a name ("relu", "tanh", …);
- train_freq: a number of steps, or [1, "episode"].

SB3 is imported where it is used.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from gymnasium import spaces

from zorl.agents.sb3.algorithms import BASELINES
from zorl.common.errors import ConfigurationError, UnknownNameError
from zorl.common.options import Option, Options, describe_options
from zorl.common.references import is_unnamed, name_of
from zorl.policies.source import find_source

if TYPE_CHECKING:
    from stable_baselines3.common.noise import ActionNoise

# Arguments of the classes that are not the user's to set here: the configuration's own, and where
# output goes (recorders see to that).
_NOT_OPTIONS = {
    "self",
    "env",
    "seed",
    "device",
    "verbose",
    "tensorboard_log",
    "_init_setup_model",
}
_NOT_POLICY_OPTIONS = {"self", "observation_space", "action_space", "lr_schedule"}
_LEAST_IMAGE: Final = 36  # pixels of a side, below which SB3's convolutions have no output
_SCHEDULED = ("learning_rate", "clip_range", "clip_range_vf")
_ACTIVATIONS = {
    "elu": "ELU",
    "gelu": "GELU",
    "leaky-relu": "LeakyReLU",
    "relu": "ReLU",
    "silu": "SiLU",
    "tanh": "Tanh",
}


@dataclass(frozen=True)
class LinearSchedule:
    """From `initial` at the start of a training to 0 at its end, as SB3 calls schedules."""

    initial: float

    def __call__(self, progress_remaining: float) -> float:
        """The value when this fraction of the training remains."""
        # The last rollout may end beyond the end, where SB3 would go on below 0.
        return self.initial * max(progress_remaining, 0.0)


def check_action_space(agent: str, env_id: str, space: spaces.Space[Any]) -> None:
    """Refuse an action space that an algorithm cannot act in.

    Raises:
        ConfigurationError: naming the agents that can.
    """
    kinds = BASELINES[agent].actions
    if not isinstance(space, kinds):
        fitting = [name for name, other in BASELINES.items() if isinstance(space, other.actions)]
        needs = " or ".join(kind.__name__ for kind in kinds)
        raise ConfigurationError(
            f"{agent} needs {needs} actions, but those of {env_id} are {space}; baselines that "
            f"fit: {', '.join(fitting) or 'none'}"
        )
    if isinstance(space, spaces.Box) and not space.is_bounded():
        raise ConfigurationError(
            f"baselines need finite action bounds, but those of {env_id} are {space}; use a search "
            "agent"
        )
    if isinstance(space, spaces.Box) and BASELINES[agent].scales:
        with np.errstate(over="ignore"):
            width = space.high - space.low
        if not np.isfinite(width).all():
            raise ConfigurationError(
                f"{agent} scales actions to the width of their space, which overflows for {space} "
                f"of {env_id}; state bounds that are meant, or use ppo or a search agent"
            )
    if np.any(getattr(space, "start", 0)):
        raise ConfigurationError(
            f"baselines number actions from 0, but those of {env_id} are {space}; use a search "
            "agent"
        )


def check_observation_space(env_id: str, space: spaces.Space[Any]) -> None:
    """Refuse an observation space that the networks of SB3 cannot read.

    Raises:
        ConfigurationError: naming what would help.
    """
    cure = "wrap the environment with flatten-observation, or use a search agent"
    parts = space.spaces.values() if isinstance(space, spaces.Dict) else [space]
    for part in parts:
        if not isinstance(
            part, (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)
        ):
            raise ConfigurationError(
                "baselines read Box, Discrete, MultiDiscrete and MultiBinary observations, and a "
                f"Dict of these, but those of {env_id} are {space}; {cure}"
            )
        if np.any(getattr(part, "start", 0)):
            raise ConfigurationError(
                f"baselines number observations from 0, but those of {env_id} are {space}; {cure}"
            )
        if part.shape == () and not isinstance(part, spaces.Discrete):
            raise ConfigurationError(
                f"baselines need observations with an axis, but those of {env_id} are single "
                f"numbers, {space}; {cure}"
            )
        if isinstance(part, (spaces.MultiDiscrete, spaces.MultiBinary)) and len(part.shape) > 1:
            raise ConfigurationError(
                f"baselines need numbers in one row, but those of {env_id} are {space}; {cure}"
            )


def policy_for(space: spaces.Space[Any]) -> str:
    """SB3's policy that "auto" stands for."""
    from stable_baselines3.common.preprocessing import (
        is_image_space,
        is_image_space_channels_first,
    )

    if isinstance(space, spaces.Dict):
        return "MultiInputPolicy"
    if isinstance(space, spaces.Box) and is_image_space(space):
        sides = space.shape[1:] if is_image_space_channels_first(space) else space.shape[:2]
        if min(sides) >= _LEAST_IMAGE:
            return "CnnPolicy"
    return "MlpPolicy"


def by_name(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options with "module:Class" in place of classes.

    Raises:
        ConfigurationError: a class has no name to import.
    """
    named = {}
    for name, value in options.items():
        if isinstance(value, type):
            value = name_of(value)
            if is_unnamed(value):
                raise ConfigurationError(
                    f"{name}: the class {value} has no name to import, so that no file could hold "
                    "it; define it at the top of a module"
                )
        elif isinstance(value, Mapping):
            value = by_name(value)
        named[name] = value
    return named


def _whole(agent: str, name: str, value: Any, parameter: inspect.Parameter) -> Any:
    """A number like 1e4 as an integer, where the class wants one and would fail much later."""
    wants_integer = type(parameter.default) is int and parameter.annotation not in (float, "float")
    if not (wants_integer and isinstance(value, float)):
        return value
    if not value.is_integer():
        raise ConfigurationError(f"{name} of {agent} must be an integer, got {value!r}")
    return int(value)


def resolve(agent: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """`options` as plain JSON values, completed with the defaults of the SB3 class.

    Raises:
        UnknownNameError: an option that the class or its policy does not have, with the nearest.
        ConfigurationError: a value that JSON cannot hold.
    """
    parameters = _parameters(BASELINES[agent].load(), _NOT_OPTIONS)
    given = Options(options).thaw()
    _check_names(f"option of {agent}", given, parameters)
    given = {name: _whole(agent, name, value, parameters[name]) for name, value in given.items()}
    defaults = {
        name: "auto" if name == "policy" else item.default for name, item in parameters.items()
    }
    return Options(by_name({**defaults, **given})).thaw()


def describe(agent: str) -> list[Option]:
    """The options of a baseline, with the defaults of its SB3 class."""
    defaults = resolve(agent, {})
    return [
        replace(option, default=defaults[option.name])
        for option in describe_options(BASELINES[agent].load())
        if option.name in defaults
    ]


def keywords(
    agent: str, options: Mapping[str, Any], action_space: spaces.Space[Any], n_envs: int
) -> dict[str, Any]:
    """Arguments of the SB3 class from resolved options.

    Raises:
        UnknownNameError: an unknown policy, policy option, schedule, noise or activation.
        ConfigurationError: a mapping that lacks what it needs, or training by the episode in
            several environments.
    """
    aliases = BASELINES[agent].load().policy_aliases
    if options["policy"] not in aliases:
        raise UnknownNameError(f"policy of {agent}", str(options["policy"]), aliases)
    # Deep: SB3 writes into some of its arguments.
    arguments = _with_classes(Options(options).thaw())
    for name in _SCHEDULED:
        if isinstance(arguments.get(name), Mapping):
            arguments[name] = _schedule(name, arguments[name])
    if arguments.get("action_noise") is not None:
        arguments["action_noise"] = _noise(arguments["action_noise"], action_space)
    if isinstance(arguments.get("train_freq"), list):
        arguments["train_freq"] = tuple(arguments["train_freq"])
        if n_envs > 1 and arguments["train_freq"][1:] == ("episode",):
            raise ConfigurationError(f"train_freq in episodes needs n_envs 1, got {n_envs}")
    if arguments["policy_kwargs"] is not None:
        parameters = _parameters(aliases[options["policy"]], _NOT_POLICY_OPTIONS)
        arguments["policy_kwargs"] = _policy_keywords(agent, arguments["policy_kwargs"], parameters)
    return arguments


def _parameters(of: type[Any], without: set[str]) -> dict[str, inspect.Parameter]:
    # The class is callable, but its own signature would be hidden by a metaclass.
    parameters = inspect.signature(of.__init__).parameters
    return {name: item for name, item in parameters.items() if name not in without}


def _check_names(kind: str, given: Iterable[str], known: Iterable[str]) -> None:
    known = list(known)
    for name in given:
        if name not in known:
            raise UnknownNameError(kind, name, known)


def _policy_keywords(
    agent: str, options: Any, parameters: Mapping[str, inspect.Parameter]
) -> dict[str, Any]:
    if not isinstance(options, Mapping):
        raise ConfigurationError(f"policy_kwargs must be a mapping, got {options!r}")
    _check_names(f"entry of {agent}'s policy_kwargs", options, parameters)
    arguments = _with_classes(options)
    name = arguments.get("activation_fn")
    if isinstance(name, str):
        from torch import nn

        if name not in _ACTIVATIONS:
            raise UnknownNameError("activation", name, _ACTIVATIONS)
        arguments["activation_fn"] = getattr(nn, _ACTIVATIONS[name])
    return arguments


def _with_classes(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options with the classes that "module:Class" names."""
    return {
        name: find_source(value)
        if isinstance(value, str) and ":" in value and name.endswith(("_class", "_fn"))
        else value
        for name, value in options.items()
    }


def _schedule(name: str, value: Mapping[str, Any]) -> LinearSchedule:
    kind, initial = _pair(name, value, "schedule", "initial")
    if kind != "linear":
        raise UnknownNameError("schedule", str(kind), ["linear"])
    return LinearSchedule(initial)


def _noise(value: Any, action_space: spaces.Space[Any]) -> ActionNoise:
    from stable_baselines3.common import noise

    kinds = {
        "normal": noise.NormalActionNoise,
        "ornstein-uhlenbeck": noise.OrnsteinUhlenbeckActionNoise,
    }
    kind, std = _pair("action_noise", value, "type", "std")
    if kind not in kinds:
        raise UnknownNameError("action noise", str(kind), kinds)
    mean = np.zeros(action_space.shape or ())
    made: ActionNoise = kinds[kind](mean, np.full_like(mean, std))
    return made


def _pair(option: str, value: Any, kind: str, number: str) -> tuple[Any, float]:
    """The two entries that a mapping must have and no other."""
    if not isinstance(value, Mapping) or set(value) != {kind, number}:
        raise ConfigurationError(f"{option} must have the entries {kind} and {number}, got {value}")
    if isinstance(value[number], bool) or not isinstance(value[number], (int, float)):
        raise ConfigurationError(f"{number} of {option} must be a number, got {value[number]!r}")
    return value[kind], float(value[number])
