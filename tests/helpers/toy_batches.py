"""Batches and runners on the toy random walk, and a runner of no environment."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

import numpy as np
from toy_envs import WALK

from zorl.common.errors import (
    EnvironmentFailure,
)
from zorl.envs import make_task
from zorl.policies.mlp import MlpPolicy
from zorl.policies.normalization import Normalizer
from zorl.policies.spaces import ActionDecoder
from zorl.rollout.batch import EpisodeBatch, EpisodeResults
from zorl.rollout.env_runner import EnvRunner
from zorl.rollout.local.gymnasium_runner import GymnasiumRunner

BOUNDS = np.full(3, np.inf)
RUNNING = Normalizer.create("running", -BOUNDS, BOUNDS)


def runner(lanes: int = 4, **kwargs: Any) -> GymnasiumRunner:
    task = make_task(WALK, env_kwargs=kwargs)
    env = task.make()
    policy = MlpPolicy(3, ActionDecoder.for_space(env.action_space))
    env.close()
    return GymnasiumRunner(task, policy, lanes, compiled=False)


def batch(n: int = 5, seeds: tuple[int, ...] = (7, 8, 9)) -> EpisodeBatch:
    policy = runner().policy
    assert isinstance(policy, MlpPolicy)
    thetas = np.random.default_rng(n).normal(size=(n, policy.dim))
    return EpisodeBatch(thetas.astype(np.float32), seeds, RUNNING)


def bits(episodes: EpisodeResults) -> dict[str, bytes]:
    return {name: values.tobytes() for name, values in vars(episodes).items()}


class Playing(EnvRunner):
    """A runner of no environment: an episode's return is its job's number."""

    def __init__(self, lanes: int, broken: tuple[int, ...] = (), named: bool = False) -> None:
        self.lanes, self.broken, self.named = lanes, broken, named
        self.calls: list[list[int]] = []

    def run(self, batch: EpisodeBatch, jobs: Iterable[int], results: EpisodeResults) -> None:
        queue, played = iter(jobs), list[int]()
        self.calls.append(played)
        flying = list(islice(queue, self.lanes))
        while flying:
            job = flying.pop(0)
            if job in self.broken:
                error = EnvironmentFailure(f"job {job} is broken")
                error.job = job if self.named else None
                raise error
            played.append(job)
            results.returns[job], results.lengths[job] = job, 1
            flying += islice(queue, 1)

    def close(self) -> None:
        self.calls.append([-1])


def nothing(k: int) -> tuple[EpisodeBatch, EpisodeResults, np.ndarray[Any, Any]]:
    task = EpisodeBatch(np.zeros((k, 1), np.float32), (5,), Normalizer.create("off", [], []))
    return task, EpisodeResults.empty(task), np.zeros(k, np.uint8)
