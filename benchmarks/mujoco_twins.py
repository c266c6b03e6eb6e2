"""Compare the compiled twins of all MuJoCo tasks with Gymnasium, bit by bit.

Each task is played with its default options, with other numbers in all its options, and with all
its switches the other way; with random actions, and with the actions of a policy that has been
learned on the twin. Every observation, reward and termination is compared. The return is that of
the policy learned with the default options.

    python benchmarks/mujoco_twins.py --steps 100_000
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # must be set before numpy is imported

import argparse
from collections.abc import Mapping
from dataclasses import fields
from functools import partial
from typing import Any

import numpy as np

import zorl
from zorl.envs.mujoco.task import CompiledMujoco
from zorl.envs.twins.base import TWINS
from zorl.testing import check_compiled_twin

# Other values of options, and those that differ from task to task.
OTHERS: dict[str, Any] = {
    "contact_cost_range": (0.5, 0.7),
    "contact_cost_weight": 0.01,
    "contact_force_range": (-0.1, 0.2),
    "ctrl_cost_weight": 0.3,
    "forward_reward_weight": 2.5,
    "frame_skip": 3,
    "healthy_angle_range": (-0.15, 0.1),
    "healthy_reward": 0.3,
    "healthy_state_range": (-3.0, 3.0),
    "impact_cost_range": (0.5, 0.7),
    "impact_cost_weight": 1.0,
    "main_body": "front_left_leg",
    "reset_noise_scale": 0.03,
    "reward_control_weight": 0.7,
    "reward_dist_weight": 0.3,
    "reward_near_weight": 0.2,
    "uph_cost_weight": 2.0,
}
RANGES = {"Ant": (0.3, 0.9), "Hopper": (0.9, 1.5), "Humanoid": (1.2, 1.5), "Walker2d": (1.1, 1.4)}


def task_ids() -> list[str]:
    """Return the ids of all MuJoCo tasks that have a twin, in alphabetical order."""
    twins = ((name, twin) for name, twin in TWINS.items() if isinstance(twin, type))
    return sorted(name for name, twin in twins if issubclass(twin, CompiledMujoco))


def variants(env_id: str) -> list[dict[str, Any]]:
    """Return the options to compare a task with: none, other numbers, switches reversed."""
    twin: Any = TWINS[env_id]
    options = {field.name: field.default for field in fields(twin) if field.init}
    others = {**OTHERS, "healthy_z_range": RANGES.get(env_id.partition("-")[0])}
    numbers = {name: others[name] for name in options if name in others}
    switches = {name: not value for name, value in options.items() if isinstance(value, bool)}
    return [{}, *(kwargs for kwargs in (numbers, switches) if kwargs)]


def learned(env_id: str, kwargs: Mapping[str, Any], budget: int) -> Any:
    """Return an agent that has searched for some steps on the twin."""
    task = zorl.make_task(env_id, env_kwargs=kwargs)
    agent: Any = zorl.make_agent("ars", task, hidden=(), seed=1)
    agent.learn(budget)
    assert agent.config["backend"] == "compiled", "see the warning above"
    return agent


def act(agent: Any, observation: Any) -> Any:
    """Return an agent's action."""
    return agent.predict(observation)[0]


def main() -> None:
    """Print a row for each task."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--envs", nargs="+", default=task_ids())
    parser.add_argument("--steps", type=int, default=100_000, help="env steps to compare per task")
    parser.add_argument("--train", type=int, default=30_000, help="env steps that are learned")
    args = parser.parse_args()
    print(
        "| task | sets of options | random steps | learned: steps | its return | differing bits |"
    )
    print("|---|---|---|---|---|---|")
    total = 0
    for env_id in args.envs:
        chosen = variants(env_id)
        steps = max(1, args.steps // (2 * len(chosen)))
        returns, reports = [], []
        for kwargs in chosen:
            agent = learned(env_id, kwargs, args.train)
            acted: list[dict[str, Any]] = [{}, {"seed": 10_000, "policy": partial(act, agent)}]
            reports.append(
                [
                    check_compiled_twin(env_id, steps=steps, env_kwargs=kwargs, **how)
                    for how in acted
                ]
            )
            returns.append(np.mean(agent.evaluate((1, 2, 3)).native_returns))
            agent.close()
        random, policy = (
            sum(report.steps for report in kind) for kind in zip(*reports, strict=True)
        )
        bits = sum(report.exact_differences for pair in reports for report in pair)
        total += random + policy
        print(
            f"| {env_id} | {len(chosen)} | {random:,} | {policy:,} | {returns[0]:.0f} | {bits} |",
            flush=True,
        )
    print(f"\n{total:,} env steps.")


if __name__ == "__main__":
    main()
