"""Runs of a comparison that are made up."""

from __future__ import annotations

from collections.abc import Sequence

from zorl.agents.plan import TrainingPlan
from zorl.common.stats import Interval
from zorl.comparison import ComparedRun, Comparison
from zorl.envs import make_task
from zorl.runs.curves import Row
from zorl.runs.folder import RunFolder
from zorl.runs.result import HeldOut, RunResult, Spent

CARTPOLE = make_task("CartPole-v1", threshold=30)


PLAN = TrainingPlan(1500)


LABELS = ["ars", "ppo"]


def fake(label: str, seed: int, held_out: float, reached: float | None = None) -> ComparedRun:
    """A finished run, made up."""
    curve: list[Row] = [{"env_steps": 0.0, "seconds": 0.1, "native_return": 9.0}]
    if reached is not None:
        curve.append({"env_steps": reached, "seconds": reached / 100, "native_return": 30.0})
    end = {"env_steps": 500.0, "seconds": 0.1 + seed, "native_return": held_out}
    curve.append(end if reached is None else {**end, "env_steps": 950.0, "seconds": 9.5})
    some = Interval(held_out, held_out, held_out, 0.95)
    rate = Interval(held_out / 100, 0.0, 1.0, 0.95)
    result = RunResult(
        status="finished",
        agent=label,
        env_id=CARTPOLE.env_id,
        shaped=False,
        success=CARTPOLE.success,
        seed=seed,
        parameters=51,
        threshold=30.0,
        total_timesteps=PLAN.total_timesteps,
        resumable=True,
        seconds=2.0 + seed,
        curve=tuple(curve),
        env_steps=Spent(1000 + seed, 0, 0),
        episodes=Spent(10, 0, 1),
        held_out=HeldOut(1, some, some, rate, (held_out,), (1,), (True,)),
    )
    return ComparedRun(label, seed, RunFolder(f"out/runs/{label}__{seed}"), result)


def lost(label: str, seed: int, error: str | None = None) -> ComparedRun:
    return ComparedRun(label, seed, RunFolder(f"out/runs/{label}__{seed}"), error=error)


def mixed(
    reached: Sequence[float | None] = (None, None, 400.0, 100.0, 900.0),
) -> tuple[Comparison, list[ComparedRun]]:
    ars = [10.0, 29.0, 30.0, 60.0, 100.0]
    runs = [fake("ars", s, value, reached[s]) for s, value in enumerate(ars)]
    runs += [fake("ppo", 4, 50.0), lost("ppo", 2, "EnvironmentFailure: broken\nmore")]
    runs += [fake("ppo", 1, 20.0), lost("ppo", 0), fake("ppo", 3, 70.0)]
    return Comparison.create(CARTPOLE, LABELS, PLAN, range(5)), runs
