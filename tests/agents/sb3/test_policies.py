"""SB3's policies by its own rules, its arguments and classes, and its environments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3 import HerReplayBuffer
from stable_baselines3.common import envs
from torch import nn

from zorl.agents.registry import load_agent, make_agent
from zorl.agents.sb3.options import policy_for
from zorl.common.errors import ConfigurationError, UnknownNameError
from zorl.envs import make_task

PPO: dict[str, Any] = {"settings": "default", "n_steps": 32, "batch_size": 16, "n_epochs": 1}
SEARCH: dict[str, Any] = {"settings": "default", "episodes": 1, "hidden": ()}


def image(*shape: int) -> spaces.Box:
    return spaces.Box(0, 255, shape, np.uint8)


@pytest.mark.parametrize(
    ("space", "policy"),
    [
        (spaces.Box(-1, 1, (3,)), "MlpPolicy"),
        (spaces.Discrete(3), "MlpPolicy"),
        (spaces.Dict({"a": image(64, 64, 3)}), "MultiInputPolicy"),
        (image(36, 40, 3), "CnnPolicy"),
        (image(4, 84, 84), "CnnPolicy"),
        (image(35, 64, 3), "MlpPolicy"),
        (image(64, 64), "MlpPolicy"),
        (spaces.Box(0, 1, (64, 64, 3)), "MlpPolicy"),
    ],
    ids=str,
)
def test_the_policy_is_sb3_s_own_for_the_space(space: Any, policy: str) -> None:
    assert policy_for(space) == policy


@pytest.mark.parametrize(
    ("env", "kwargs"),
    [
        (envs.IdentityEnv, {"dim": 3}),
        (envs.IdentityEnvBox, {}),
        (envs.IdentityEnvMultiDiscrete, {"dim": 3}),
        (envs.IdentityEnvMultiBinary, {"dim": 3}),
        (envs.SimpleMultiObsEnv, {"channel_last": True}),
        (envs.FakeImageEnv, {"screen_height": 36, "screen_width": 36}),
        (envs.BitFlippingEnv, {"n_bits": 3, "continuous": True}),
    ],
)
@pytest.mark.parametrize(("agent", "options"), [("openai-es", SEARCH), ("ppo", PPO)])
def test_sb3_s_environments_are_played(
    env: Any, kwargs: dict[str, Any], agent: str, options: dict[str, Any], tmp_path: Path
) -> None:
    if env is envs.SimpleMultiObsEnv and agent == "ppo":
        options = {**options, "policy_kwargs": {"net_arch": [4]}}
    kwargs = {**kwargs, "disable_env_checker": True}  # it warns of what SB3 lets pass
    task = make_task(env, env_kwargs=kwargs, max_episode_steps=10)
    made = make_agent(agent, task, **options).learn(32)
    made.save(tmp_path / "agent.zip")
    again = load_agent(tmp_path / "agent.zip")
    assert made.evaluate((1, 2)).returns.shape == (1, 2)
    space = task.make().observation_space
    for _ in range(3):
        observation = space.sample()
        action = made.predict(observation)[0]
        np.testing.assert_array_equal(again.predict(observation)[0], action)
    if agent == "ppo":
        wanted = {envs.SimpleMultiObsEnv: "MultiInputPolicy", envs.FakeImageEnv: "CnnPolicy"}
        wanted[envs.BitFlippingEnv] = "MultiInputPolicy"
        assert made.config["options"]["policy"] == wanted.get(env, "MlpPolicy")
    made.close()
    again.close()


def test_arguments_are_those_of_sb3() -> None:
    task = make_task(envs.FakeImageEnv, env_kwargs={"screen_height": 36, "screen_width": 36})
    kwargs = {"activation_fn": nn.ELU, "net_arch": [5], "features_extractor_kwargs": {}}
    agent = make_agent("ppo", task, policy="MlpPolicy", policy_kwargs=kwargs, **PPO)
    options = agent.config["options"]
    assert options["policy"] == "MlpPolicy"
    assert options["policy_kwargs"]["activation_fn"] == "torch.nn.modules.activation:ELU"
    policy = agent.model.policy  # type: ignore[attr-defined]
    assert isinstance(policy.mlp_extractor.policy_net[1], nn.ELU)
    assert policy.mlp_extractor.policy_net[0].out_features == 5
    agent.close()
    with pytest.raises(UnknownNameError, match="policy of ppo"):
        make_agent("ppo", task, policy="CnPolicy", **PPO)
    local = type("Local", (nn.Module,), {"__qualname__": "f.<locals>.Local"})
    with pytest.raises(ConfigurationError, match="activation_fn: the class <Local> has no name"):
        make_agent("ppo", task, policy_kwargs={"activation_fn": local}, **PPO)


def test_goals_are_relabelled_by_sb3_s_buffer(tmp_path: Path) -> None:
    """Hindsight experience replay on a Dict of goals, as SB3's documentation has it."""
    task = make_task(envs.BitFlippingEnv, env_kwargs={"n_bits": 4, "continuous": True})
    agent = make_agent(
        "td3",
        task,
        replay_buffer_class=HerReplayBuffer,
        replay_buffer_kwargs={"n_sampled_goal": 2},
        learning_starts=20,
        buffer_size=1000,
        policy_kwargs={"net_arch": [8]},
    ).learn(40)
    agent.save(tmp_path / "agent.zip")
    loaded = load_agent(tmp_path / "agent.zip")
    observation = task.make().reset(seed=1)[0]
    np.testing.assert_array_equal(loaded.predict(observation)[0], agent.predict(observation)[0])
    together = {name: np.stack([part, part]) for name, part in observation.items()}
    assert loaded.predict(together)[0].shape == (2, 4)
    agent.close()
    loaded.close()
