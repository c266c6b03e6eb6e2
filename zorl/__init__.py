"""zorl: policy search without gradients, on Gymnasium, beside Stable-Baselines3.

`import zorl` is light: agents, environments and everything heavier load at first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from zorl.agents.registry import list_agents, load_agent, make_agent
    from zorl.agents.training import train
    from zorl.envs import Task, make_task
    from zorl.minibatch import MinibatchObjective
    from zorl.optimize import maximize, minimize
    from zorl.rollout.evaluation import FunctionEvaluator
    from zorl.search import Search
    from zorl.streams import Streams

_HOMES = {
    "make_agent": "zorl.agents.registry",
    "load_agent": "zorl.agents.registry",
    "list_agents": "zorl.agents.registry",
    "train": "zorl.agents.training",
    "Task": "zorl.envs",
    "make_task": "zorl.envs",
    "MinibatchObjective": "zorl.minibatch",
    "minimize": "zorl.optimize",
    "maximize": "zorl.optimize",
    "FunctionEvaluator": "zorl.rollout.evaluation",
    "Search": "zorl.search",
    "Streams": "zorl.streams",
}

_MODULES = ("agents", "envs", "optimizers", "testing")

__all__ = [
    "FunctionEvaluator",
    "MinibatchObjective",
    "Search",
    "Streams",
    "Task",
    "__version__",
    "list_agents",
    "load_agent",
    "make_agent",
    "make_task",
    "maximize",
    "minimize",
    "train",
]


def __getattr__(name: str) -> Any:
    import importlib

    if name in _MODULES:
        return importlib.import_module(f"zorl.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'zorl' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
