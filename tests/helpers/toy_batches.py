"""Works and runners on the toy random walk."""

from __future__ import annotations

from typing import Any

import numpy as np
from toy_envs import WALK

from zorl.envs import make_task
from zorl.policies.mlp import MlpPolicy
from zorl.policies.normalization import Normalizer
from zorl.policies.spaces import ActionDecoder
from zorl.rollout.batch import EpisodeBatch, EpisodeResults
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
