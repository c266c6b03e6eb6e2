"""The configuration of a baseline."""

from __future__ import annotations

import pytest
from toy_baselines import PPO, Maker

from zorl.agents.sb3.config import BaselineConfig
from zorl.common.errors import FileFormatError
from zorl.envs import make_task


def test_a_configuration_comes_back_from_json(make: Maker) -> None:
    task = make_task("MountainCar-v0", ["momentum"])
    config = BaselineConfig("ppo", task, PPO, 3, True, 11, "a paper")
    assert BaselineConfig.from_json(config.to_json()) == config
    values = config.to_json()
    for harmed in ({**values, "more": 1}, {k: v for k, v in values.items() if k != "task"}):
        with pytest.raises(FileFormatError, match="not the configuration of a baseline"):
            BaselineConfig.from_json(harmed)


def test_the_configuration_of_an_agent_is_complete(make: Maker) -> None:
    agent = make("ppo", "CartPole-v1", {"n_steps": 64})
    spelled = make("ppo", "CartPole-v1", {"n_steps": 64, "gamma": 0.99, "batch_size": 64})
    assert agent.config["options"]["gae_lambda"] == agent.model.gae_lambda == 0.95
    assert agent.config["options"]["n_steps"] == agent.model.n_steps == 64
    assert agent.config == spelled.config
    values = dict(agent.config)
    assert values.pop("family") == "sb3"
    rebuilt = BaselineConfig.from_json(values)
    assert make("ppo", "CartPole-v1", rebuilt.options).config == agent.config
