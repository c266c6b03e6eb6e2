"""Works and runners on the toy random walk."""

from __future__ import annotations

from typing import Any

import numpy as np
from toy_envs import WALK

from zorl.envs import make_task
from zorl.policies.mlp import MlpPolicy
from zorl.policies.normalization import Normalizer
from zorl.policies.spaces import ActionDecoder
from zorl.rollout.batch import Episodes, Work
from zorl.rollout.local.gymnasium_runner import EpisodeRunner

BOUNDS = np.full(3, np.inf)
RUNNING = Normalizer.create("running", -BOUNDS, BOUNDS)


def runner(lanes: int = 4, **kwargs: Any) -> EpisodeRunner:
    task = make_task(WALK, env_kwargs=kwargs)
    env = task.make()
    policy = MlpPolicy(3, ActionDecoder.for_space(env.action_space))
    env.close()
    return EpisodeRunner(task, policy, lanes, compiled=False)


def work(n: int = 5, seeds: tuple[int, ...] = (7, 8, 9)) -> Work:
    policy = runner().policy
    assert isinstance(policy, MlpPolicy)
    thetas = np.random.default_rng(n).normal(size=(n, policy.dim))
    return Work(thetas.astype(np.float32), seeds, RUNNING)


def bits(episodes: Episodes) -> dict[str, bytes]:
    return {name: values.tobytes() for name, values in vars(episodes).items()}
