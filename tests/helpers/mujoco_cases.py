"""A MuJoCo task's episodes in Gymnasium and in its compiled twin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from compiled_cases import setting

from zorl.envs import find_twin, make_task
from zorl.rollout.compiled.mujoco.backend import MujocoBackend


def evaluated(
    env_id: str,
    hidden: tuple[int, ...],
    threads: tuple[int, ...],
    wrappers: Sequence[Any] = (),
    memory: str | None = None,
) -> list[Any]:
    """What Gymnasium and the twin on so many threads make of the same candidates."""
    task = make_task(env_id, wrappers, {"max_episode_steps": 60})
    here = setting(task, hidden, mode="running", memory=memory)
    o = here.encoder.size
    here = replace(here, mean=(0.1,) * o, std=(1.0,) * o)
    thetas, seeds = 0.5 * here.thetas(7), range(2)
    found = [here.evaluate(here.in_lockstep(), thetas, seeds)]
    twin = find_twin(here.task)
    assert twin is not None
    for n in threads:
        backend = MujocoBackend(here.task, twin, here.policy, here.encoder, threads=n)
        found.append(here.evaluate(backend, thetas, seeds))
    return found
