"""Short training runs of a toy task, begun and stopped at will."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from toy_envs import WALK

from zorl.agents.plan import TrainingPlan
from zorl.agents.registry import make_agent
from zorl.agents.search.agent import SearchAgent
from zorl.agents.training import run_config
from zorl.envs import make_task
from zorl.recorders.base import Recorder
from zorl.recorders.jsonl import JsonlRecorder
from zorl.runs.folder import RunFolder

PLAN = TrainingPlan(6000, validate_every=1100, validate_episodes=4, held_out=6, select="last")
TASK = make_task(WALK, ["toy_envs:Doubled"], {"action": "multi-binary"}, threshold=-9.0)
OPTIONS: dict[str, Any] = {
    "settings": "default",
    "normalize": "running",
    "gate": "paired",
    "gate_options": {"episodes": 3},
    "stochastic": True,
    "hidden": (4,),
    "m": 2,
    "top": None,
    "episodes": 2,
    "max_episodes": 5,
    "seed": 4,
}


def fresh(**changes: Any) -> SearchAgent:
    """The agent of these runs, before it has learned."""
    agent = make_agent("ars", changes.pop("task", TASK), **{**OPTIONS, **changes})
    assert isinstance(agent, SearchAgent)
    return agent


def begin(path: Path, plan: TrainingPlan = PLAN, **changes: Any) -> tuple[SearchAgent, RunFolder]:
    """The agent and a new folder for its run."""
    agent = fresh(**changes)
    return agent, RunFolder.create(path, run_config(agent, plan))


def recorders(folder: RunFolder) -> list[Recorder]:
    """The recorders of these runs."""
    return [JsonlRecorder(folder.generations)]


class StopAfter:
    """Asks to stop after some generations."""

    def __init__(self, count: int) -> None:
        self.left = count

    def __call__(self) -> bool:
        self.left -= 1
        return self.left <= 0
