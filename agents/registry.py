"""Agents by name: made from options, loaded from files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import gymnasium as gym

from zorl.agents.base import Agent
from zorl.agents.published import Settings, tuned
from zorl.agents.sb3 import agent as baselines
from zorl.agents.sb3.agent import BASELINES, BaselineAgent, BaselineConfig
from zorl.agents.search import agent as search_agent
from zorl.agents.search.agent import SearchAgent
from zorl.agents.search.backend_choice import Resources
from zorl.agents.search.config import SearchConfig
from zorl.common.errors import ConfigurationError, FileFormatError, UnknownNameError
from zorl.common.storage import load_archive
from zorl.envs import Task, make_task, task_of
from zorl.optimizers.registry import METHODS

Config = SearchConfig | BaselineConfig
SETTINGS = ("tuned", "default")

# What `options` of a search agent are not: they are fields of its configuration.
_FIELDS = {item.name for item in fields(SearchConfig)} - {"agent", "task", "options", "source"}


def list_agents() -> dict[str, str]:
    """Every agent's name, and what it is in one line."""
    baselines = {name: f"stable-baselines3 {name.upper()}." for name in BASELINES}
    return {**METHODS.summaries(), **baselines}


def make_config(
    agent: str, env: str | Task | gym.Env[Any, Any], settings: str = "tuned", **options: Any
) -> Config:
    """The resolved configuration of an agent.

    Args:
        agent: a name in `list_agents()`.
        env: an environment id, a task, or an environment made by `gymnasium.make`.
        settings: "tuned" for settings tuned for this agent and environment where there are some
            (RL Baselines3 Zoo's), "default" for the agent's defaults.
        options: fields of `SearchConfig` (hidden, gate, episodes, seed, …) and arguments of the
            optimizer's recipe; for a baseline `seed` and arguments of its SB3 class.

    Raises:
        UnknownNameError: an unknown agent, environment or option, with the nearest names.
    """
    if agent not in {*METHODS, *BASELINES}:
        raise UnknownNameError("agent", agent, {*METHODS, *BASELINES})
    if settings not in SETTINGS:
        raise UnknownNameError("settings", settings, SETTINGS)
    task = env if isinstance(env, Task) else task_of(env) if isinstance(env, gym.Env) else None
    task = make_task(str(env)) if task is None else task
    published = tuned(agent, task.env_id) if settings == "tuned" else None
    if agent in BASELINES:
        return _baseline(agent, task, published, options)
    if published is None:
        chosen, source = dict(METHODS.defaults(agent)), "zorl defaults"
    else:
        chosen, source = dict(published.settings), published.source
    known = {name: options.pop(name) for name in list(options) if name in _FIELDS}
    own = {name: chosen.pop(name) for name in list(chosen) if name in _FIELDS}
    if known.get("policy") is not None:
        for name in ("hidden", "activation", "bias"):
            own.pop(name, None)
            if name in known:
                raise ConfigurationError(f"{name} is for zorl's own network, not beside a policy")
    if "episodes" in known:  # exactly so many, unless they are told to grow
        own.pop("max_episodes", None)
    values = {**own, **known}
    return SearchConfig(agent, task, options={**chosen, **options}, source=source, **values)


def _baseline(
    agent: str, task: Task, published: Settings | None, options: dict[str, Any]
) -> BaselineConfig:
    own = {item.name for item in fields(BaselineConfig)} - {"agent", "task", "options", "source"}
    for name in options:
        if name in _FIELDS - own:
            raise ConfigurationError(
                f"{agent} is a baseline of stable-baselines3, and {name!r} is for search agents "
                "alone; a baseline's network and updates are set by arguments of its SB3 class"
            )
    values: dict[str, Any] = {}
    chosen: dict[str, Any] = {}
    if published is not None:
        chosen = dict(published.settings)
        values = {
            "n_envs": published.n_envs,
            "normalize": published.normalize,
            "source": published.source,
        }
    values |= {name: options.pop(name) for name in list(options) if name in own}
    return BaselineConfig(agent, task, options={**chosen, **options}, **values)


def make_agent(
    agent: str,
    env: str | Task | gym.Env[Any, Any],
    settings: str = "tuned",
    workers: int | None = None,
    timeout: float | None = None,
    ray: str | None = None,
    **options: Any,
) -> Agent:
    """An agent by name, ready to learn.

    Args:
        agent: a name in `list_agents()`, as "cma-es" or "ppo".
        env: an environment id, a task, or an environment made by `gymnasium.make`.
        settings: see `make_config`.
        workers: see `Resources`, as for the next two; for search agents only.
        timeout: likewise.
        ray: likewise; `backend="ray"` is `ray="local"`.
        options: see `make_config`.
    """
    if options.get("backend") == "ray":
        options["backend"], ray = "gymnasium", ray or "local"
    resources = Resources(workers, timeout, ray)
    return agent_of(make_config(agent, env, settings, **options), resources)


def agent_of(config: Config, resources: Resources = Resources()) -> Agent:  # noqa: B008  # frozen
    """The agent that a configuration describes."""
    if isinstance(config, SearchConfig):
        return SearchAgent(config, resources)
    if resources.ray is not None or resources.timeout is not None:
        raise ConfigurationError(
            f"{config.agent} is a baseline of stable-baselines3, which runs in this process: "
            "neither on Ray nor with a timeout"
        )
    return BaselineAgent(config)


def load_agent(path: str | Path, policy: Any = None, **resources: Any) -> Agent:
    """The agent that `save` wrote to a file.

    Args:
        path: of the file.
        policy: the network again, where it was given in Python and has no name to import.
        resources: fields of `zorl.agents.Resources`: workers, timeout, ray, lanes.

    Raises:
        FileFormatError: the file is missing, corrupt, truncated, newer, or not an agent's.
    """
    _, metadata, arrays = load_archive(path, "agent")
    if metadata.get("family") == search_agent.FAMILY:
        return SearchAgent.from_archive(metadata, arrays, Resources(**resources), policy)
    if metadata.get("family") == baselines.FAMILY:
        return BaselineAgent.from_archive(metadata, arrays)
    raise FileFormatError(f"{path}: unknown family of agents {metadata.get('family')!r}")


def config_from_json(values: Mapping[str, Any]) -> Config:
    """The configuration that `Agent.config` gave."""
    if not isinstance(values, Mapping):
        raise FileFormatError(f"not the configuration of an agent: {values!r}")
    values = dict(values)
    family = values.pop("family", None)
    if family == search_agent.FAMILY:
        return SearchConfig.from_json(values)
    if family == baselines.FAMILY:
        return BaselineConfig.from_json(values)
    raise FileFormatError(f"unknown family of agents {family!r}")
