"""A search's policy becomes a model of stable-baselines3 that acts the same and learns on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stable_baselines3 import PPO
from toy_envs import WALK

from zorl.agents.registry import make_agent
from zorl.common.errors import ConfigurationError, UnknownNameError
from zorl.envs import make_task

# Actions within [-1, 1] and [0, 5].
LOPSIDED = make_task(WALK, env_kwargs={"observation": "box", "action": "box"})


def searched(env: Any, **options: Any) -> Any:
    agent: Any = make_agent("openai-es", env, backend="gymnasium", **options)
    return agent.learn(1500)


@pytest.mark.parametrize(
    ("algorithm", "env", "options"),
    [
        ("ppo", LOPSIDED, {"hidden": (6, 5), "activation": "elu"}),
        ("a2c", "MountainCar-v0", {"normalize": "bounds"}),
        ("ppo", "FrozenLake-v1", {"normalize": "off", "hidden": ()}),
    ],
)
def test_the_model_acts_as_the_search_and_learns_on(
    algorithm: str, env: Any, options: Any, tmp_path: Path
) -> None:
    agent = searched(env, **options)
    space = agent.task.make().observation_space
    space.seed(0)
    rows = np.array([space.sample() for _ in range(300)])
    model = agent.to_sb3(algorithm, n_steps=64, seed=0)
    expected = np.asarray(agent.predict(rows)[0])
    found = model.predict(rows, deterministic=True)[0]
    if expected.dtype.kind == "f":
        np.testing.assert_allclose(found, expected, rtol=0, atol=3e-6)
    else:
        np.testing.assert_array_equal(found, expected)
    model.learn(64)
    assert model.num_timesteps == 64
    if algorithm == "ppo":
        model.save(tmp_path / "model.zip")
        again = PPO.load(tmp_path / "model.zip", device="cpu").predict(rows, deterministic=True)[0]
        np.testing.assert_array_equal(again, model.predict(rows, deterministic=True)[0])


def test_what_no_actor_can_be_is_refused() -> None:
    agent = make_agent("random-search", "Pendulum-v1", squash=True)
    with pytest.raises(ConfigurationError, match="the policy has squash, which no actor of ppo"):
        agent.to_sb3("ppo")  # type: ignore[attr-defined]
    with pytest.raises(UnknownNameError, match=r"unknown algorithm .* 'sac'"):
        agent.to_sb3("sac")  # type: ignore[attr-defined]
