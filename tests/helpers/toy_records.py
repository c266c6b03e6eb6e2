"""A run and records that recorders are told of."""

from __future__ import annotations

from typing import Any

from zorl.envs import make_task
from zorl.recorders.base import PlainRecord, Run

CART = make_task("CartPole-v1")


class NoAgent:
    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None,
        deterministic: bool = True,
    ) -> tuple[Any, Any]:  # fmt: skip
        raise AssertionError("nobody asked for an action")


def a_run(task: Any = CART, total: int = 1000, **options: Any) -> Run:
    return Run("a-run", NoAgent(), task, {}, total, **options)


def record(index: int, env_steps: int, **scalars: float) -> PlainRecord:
    figures = {name.replace("__", "/"): value for name, value in scalars.items()}
    return PlainRecord(index, env_steps, {"task/native_return_mean": -150.0, **figures})
