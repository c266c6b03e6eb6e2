"""Options of the SB3 baselines: JSON values in, arguments of the SB3 class out.

What JSON cannot say directly is said by a mapping or a name:

- learning_rate, clip_range, clip_range_vf: a number, or {"schedule": "linear", "initial": 0.001},
  which falls to 0 at the end of the training;
- action_noise: {"type": "normal" or "ornstein-uhlenbeck", "std": 0.1};
- policy_kwargs: "activation_fn" by name ("relu", "tanh", …);
- train_freq: a number of steps, or [1, "episode"].

SB3 is imported where it is used.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium import spaces

from zorl.agents.sb3.algorithms import BASELINES
from zorl.common.errors import ConfigurationError, UnknownNameError
from zorl.common.options import Option, Options, describe_options

if TYPE_CHECKING:
    from stable_baselines3.common.noise import ActionNoise

# Arguments of the classes that are not the user's to set here: the configuration's own, where
# output goes (recorders see to that), and classes, which JSON cannot name.
_NOT_OPTIONS = {
    "self",
    "env",
    "seed",
    "device",
    "verbose",
    "tensorboard_log",
    "stats_window_size",
    "_init_setup_model",
    "rollout_buffer_class",
    "replay_buffer_class",
}
_NOT_POLICY_OPTIONS = {
    "self",
    "observation_space",
    "action_space",
    "lr_schedule",
    "features_extractor_class",
    "optimizer_class",
}
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
    if not isinstance(space, (spaces.Box, spaces.Discrete)):
        raise ConfigurationError(
            f"baselines read Box or Discrete observations, but those of {env_id} are {space}; "
            f"{cure}"
        )
    if isinstance(space, spaces.Discrete) and space.start != 0:
        raise ConfigurationError(
            f"baselines number observations from 0, but those of {env_id} are {space}; {cure}"
        )
    if isinstance(space, spaces.Box) and space.shape == ():
        raise ConfigurationError(
            f"baselines need observations with an axis, but those of {env_id} are single numbers, "
            f"{space}; {cure}"
        )


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
        name: "MlpPolicy" if name == "policy" else item.default for name, item in parameters.items()
    }
    return Options({**defaults, **given}).thaw()


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
    arguments = Options(options).thaw()  # deep: SB3 writes into some of its arguments
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
    arguments = dict(options)
    if "activation_fn" in arguments:
        from torch import nn

        name = arguments["activation_fn"]
        if name not in _ACTIVATIONS:
            raise UnknownNameError("activation", str(name), _ACTIVATIONS)
        arguments["activation_fn"] = getattr(nn, _ACTIVATIONS[name])
    return arguments


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
