"""A MuJoCo task's episodes in Gymnasium and in its compiled twin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from compiled_cases import setting
from gymnasium.utils.seeding import np_random

from zorl.envs import find_twin, make_task
from zorl.rollout.compiled.cache import loaded
from zorl.rollout.compiled.mujoco.backend import MujocoBackend
from zorl.rollout.compiled.mujoco.library import Simulation, addresses
from zorl.rollout.compiled.mujoco.source import kernel_source


def played_by_both(env_id: str, kwargs: Mapping[str, Any], steps: int, seed: int = 0) -> None:
    """Play random actions in both, and assert equality of every bit."""
    task = make_task(env_id, env_kwargs={"max_episode_steps": 200, **kwargs})
    twin = find_twin(task)
    assert twin is not None
    kernel = kernel_source(twin.env)
    trace = loaded(kernel.source).trace
    simulation = Simulation(twin.env.model, kernel.fields)
    env = task.make()
    rng = np.random.default_rng(seed)
    count = 0
    while count < steps:
        seen, rewards, ends, actions = [env.reset(seed=seed)[0]], [], [], []
        over, action = False, env.action_space.sample()
        while not over:
            if rng.random() < 0.3:
                bound = np.maximum(env.action_space.high, -env.action_space.low)  # type: ignore[attr-defined]
                action = (rng.uniform(-1, 1, bound.shape) * bound).astype(np.float32)
            observation, reward, terminated, truncated, _ = env.step(action)
            seen.append(observation)
            rewards.append(float(reward))
            ends.append(bool(terminated))
            actions.append(action.astype(np.float64))
            over = terminated or truncated
        start = np.concatenate(twin.env.reset(np_random(seed)[0]))
        observations = np.zeros((len(seen), len(seen[0])))
        gained, ended = np.zeros(len(rewards)), np.zeros(len(rewards), np.bool_)
        trace(
            addresses(), *simulation.memory, start, np.array(actions), observations, gained, ended
        )
        assert observations.tobytes() == np.array(seen).tobytes()
        assert gained.tolist() == rewards
        assert ended.tolist() == ends
        count += len(rewards)
        seed += 1
    env.close()


def evaluated(env_id: str, hidden: tuple[int, ...], threads: tuple[int, ...]) -> list[Any]:
    """What Gymnasium and the twin on so many threads make of the same candidates."""
    here = setting(make_task(env_id, env_kwargs={"max_episode_steps": 60}), hidden, mode="running")
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
