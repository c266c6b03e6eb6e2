"""Agents by name: made from options, loaded from files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from zorl.agents.agent import Agent, AgentConfig
from zorl.agents.base import DEFAULT_RESOURCES, FAMILIES, family_of, read_agent
from zorl.common.errors import FileFormatError, UnknownNameError
from zorl.common.references import named_by
from zorl.envs import Task, as_task
from zorl.optimizers.base import Optimizer
from zorl.rollout.backend import Resources
from zorl.search.gates import Gate

AnyEnv: TypeAlias = str | Task | EnvSpec | gym.Env[Any, Any] | Callable[[], gym.Env[Any, Any]]

SETTINGS = ("tuned", "default")


def list_agents() -> dict[str, str]:
    """Every agent's name, and what it is in one line."""
    return {
        name: line for family in FAMILIES.values() for name, line in family.list_agents().items()
    }


def make_config(
    agent: str | Optimizer[Any],
    env: AnyEnv,
    settings: str = "tuned",
    **options: Any,
) -> AgentConfig:
    """The resolved configuration of an agent.

    Args:
        agent: a name in `list_agents()`; a recipe of an optimizer as "module:function"; or an
            optimizer, which a search agent then uses.
        env: an environment id, a task, an environment, its class, or a function without arguments
            that makes one.
        settings: "tuned" for settings tuned for this agent and environment where there are some
            (RL Baselines3 Zoo's), "default" for the agent's defaults. Objects have neither.
        options: fields of `SearchConfig` (hidden, gate, episodes, seed, …) and arguments of the
            optimizer's recipe; for a baseline `seed` and arguments of its SB3 class.

    Raises:
        UnknownNameError: an unknown agent, environment or option, with the nearest names.
    """
    family = family_of(agent)
    if settings not in SETTINGS:
        raise UnknownNameError("settings", settings, SETTINGS)
    return family.config_class.create(agent, as_task(env), settings == "tuned", options)


def make_agent(
    agent: str | Optimizer[Any],
    env: AnyEnv,
    settings: str = "tuned",
    workers: int | None = None,
    timeout: float | None = None,
    ray: str | None = None,
    lanes: int | None = None,
    **options: Any,
) -> Agent:
    """An agent, ready to learn.

    Args:
        agent: a name in `list_agents()`, as "cma-es" or "ppo"; a recipe of an optimizer as
            "module:function"; or an optimizer, which a search agent then uses.
        env: an environment id, a task, an environment, its class, or a function without arguments
            that makes one.
        settings: see `make_config`.
        workers: see `Resources`, as for the next three; for search agents only.
        timeout: likewise.
        ray: likewise; `backend="ray"` is `ray="local"`.
        lanes: likewise, but for baselines too: those of their evaluations.
        options: see `make_config`; `gate` and `policy` may be objects.
    """
    if options.get("backend") == "ray":
        options["backend"], ray = "gymnasium", ray or "local"
    resources = Resources(workers, timeout, ray, lanes)
    return agent_of(make_config(agent, env, settings, **options), resources)


def agent_of(config: AgentConfig, resources: Resources = DEFAULT_RESOURCES) -> Agent:
    """The agent that a configuration describes.

    Args:
        config: from `make_config` or `config_from_json`.
        resources: where episodes run.

    Raises:
        ConfigurationError: the agent cannot run there.
    """
    for family in FAMILIES.values():
        if isinstance(config, family.config_class):
            return family.from_config(config, resources)
    raise TypeError(f"not the configuration of an agent: {config!r}")


def load_agent(
    path: str | Path,
    policy: Any = None,
    optimizer: Optimizer[Any] | None = None,
    gate: Gate[Any] | None = None,
    env: AnyEnv | None = None,
    trust: bool | None = None,
    **resources: Any,
) -> Agent:
    """The agent that `save` wrote to a file.

    A file holds no code, but it may name modules to import: those of the environment, of wrappers,
    of a network, optimizer or gate of your own.

    Args:
        path: of the file.
        policy: the network again, where it was given in Python and has no name to import.
        optimizer: the optimizer again, where it was given as an object that no file can hold.
        gate: likewise the gate.
        env: likewise the environment, where it was given in Python and has no name to import.
        trust: whether the modules that the file names may be imported. True: yes; False: none but
            those of zorl, Gymnasium and Stable-Baselines3; None: yes, with a warning that names
            each one that the program has not imported itself.
        resources: fields of `zorl.Resources`: workers, timeout, ray, lanes.

    Raises:
        FileFormatError: the file is missing, corrupt, truncated, newer, or not an agent's.
        ConfigurationError: an object is needed again and is not given, or is not needed; a module
            is named and the file is not trusted.
    """
    metadata, arrays = read_agent(path)
    family = FAMILIES[metadata["family"]]
    objects = given_objects(policy=policy, optimizer=optimizer, gate=gate, env=env)
    with named_by(path, trust):
        return family.from_archive(metadata, arrays, Resources(**resources), objects)


def given_objects(**objects: Any) -> dict[str, Any]:
    """The objects that were given."""
    return {name: value for name, value in objects.items() if value is not None}


def config_from_json(values: Mapping[str, Any]) -> AgentConfig:
    """The configuration that `Agent.config` gave.

    Raises:
        FileFormatError: it is of no known family, or a field is missing or unknown.
    """
    if not isinstance(values, Mapping):
        raise FileFormatError(f"not the configuration of an agent: {values!r}")
    values = dict(values)
    family = values.pop("family", None)
    if family not in FAMILIES:
        raise FileFormatError(f"unknown family of agents {family!r}")
    return FAMILIES[family].config_class.from_json(values)
