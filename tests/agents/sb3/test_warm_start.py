"""A search starts from networks of stable-baselines3, torch and zorl, and acts as they do."""

from __future__ import annotations

import os
import pickle
import runpy
from pathlib import Path
from types import MappingProxyType
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3 import A2C, DQN, PPO, SAC, TD3
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize
from torch import nn
from toy_envs import WALK

from zorl.agents.registry import load_agent, make_agent
from zorl.cli import main
from zorl.common.errors import ConfigurationError
from zorl.envs import make_task

SMALL: Any = MappingProxyType({"net_arch": [12, 7]})  # SB3 writes into what it is given


def shaken(model: Any) -> Any:
    """The model with parameters as after a training: its own first outputs are nearly zero."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.policy.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.6)
    return model


def ppo(env: Any = "CartPole-v1", kwargs: Any = SMALL) -> Any:
    return PPO("MlpPolicy", env, policy_kwargs={**kwargs}, device="cpu")


def observations(space: Any, n: int = 300) -> Any:
    space.seed(1)
    if isinstance(space, gym.spaces.Discrete):
        return np.array([space.sample() for _ in range(n)])
    shape = (n, *space.shape)
    return np.random.default_rng(1).normal(size=shape).astype(space.dtype) * 2


def search(env: str, **options: Any) -> Any:
    return make_agent("random-search", env, backend="gymnasium", **options)


def assert_same_actions(agent: Any, expected: Any, rows: Any) -> None:
    actions = agent.predict(rows)[0]
    assert len(np.unique(expected)) > 1
    if expected.dtype.kind == "f":
        assert actions.dtype == expected.dtype
        np.testing.assert_allclose(actions, expected, rtol=0, atol=3e-6)
    else:
        np.testing.assert_array_equal(actions, expected)


@pytest.mark.parametrize(
    ("algorithm", "env", "kwargs"),
    [
        (PPO, "CartPole-v1", SMALL),
        (PPO, "Pendulum-v1", {**SMALL, "activation_fn": nn.ELU}),
        (A2C, "Pendulum-v1", SMALL),
        (PPO, "CliffWalking-v1", {"net_arch": []}),
        (DQN, "CartPole-v1", SMALL),
        (SAC, "Pendulum-v1", SMALL),
        (TD3, "Pendulum-v1", {**SMALL, "activation_fn": nn.Tanh}),
    ],
)
def test_a_search_acts_as_the_model_that_it_starts_from(
    algorithm: Any, env: str, kwargs: Any, tmp_path: Path
) -> None:
    small = {"buffer_size": 10} if algorithm in (DQN, SAC, TD3) else {}
    model = shaken(algorithm("MlpPolicy", env, policy_kwargs={**kwargs}, device="cpu", **small))
    model.save(tmp_path / "model.zip")
    agent = search(env, init=tmp_path / "model.zip")
    rows = observations(model.observation_space)
    assert_same_actions(agent, model.predict(rows, deterministic=True)[0], rows)
    agent.save(tmp_path / "agent.zip")
    (tmp_path / "model.zip").unlink()  # the agent's file holds all that is needed
    again = load_agent(tmp_path / "agent.zip")
    assert np.array_equal(np.asarray(again.predict(rows)[0]), agent.predict(rows)[0])


def test_actions_between_uneven_bounds_are_clipped_as_there(tmp_path: Path) -> None:
    task = make_task(WALK, env_kwargs={"observation": "box", "action": "box"})
    model = shaken(ppo(task.make()))
    model.save(tmp_path / "model.zip")
    rows = observations(model.observation_space)
    agent: Any = make_agent("random-search", task, init=tmp_path / "model.zip")
    expected = model.predict(rows, deterministic=True)[0]
    np.testing.assert_allclose(agent.predict(rows)[0], expected, rtol=0, atol=3e-6)
    assert len(np.unique(expected)) > 100


def test_statistics_of_vec_normalize_come_along(tmp_path: Path) -> None:
    env: Any = VecNormalize(DummyVecEnv([lambda: gym.make("Pendulum-v1")]), clip_obs=1.5)
    env.obs_rms.mean, env.obs_rms.var = np.array([0.3, -0.2, 1.0]), np.array([0.5, 2.0, 9.0])
    env.obs_rms.count = 1000.0
    model = shaken(ppo(env))
    model.save(tmp_path / "model.zip")
    env.save(str(tmp_path / "vecnormalize.pkl"))
    agent = search(
        "Pendulum-v1", init=tmp_path / "model.zip", init_stats=tmp_path / "vecnormalize.pkl"
    )
    rows = observations(model.observation_space)
    expected = model.predict(env.normalize_obs(rows), deterministic=True)[0]
    assert_same_actions(agent, expected, rows)
    assert agent.state.normalizer.moments.count == 1000  # and are learned further
    agent.learn(400)
    assert agent.state.normalizer.moments.count > 1000


def test_a_pickle_runs_no_code(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "ran"),)

    (tmp_path / "evil.pkl").write_bytes(pickle.dumps({"obs_rms": Evil()}))
    model = ppo()
    model.save(tmp_path / "model.zip")
    with pytest.raises(ConfigurationError, match=r"evil\.pkl is no pickle of .*VecNormalize"):
        search("CartPole-v1", init=tmp_path / "model.zip", init_stats=tmp_path / "evil.pkl")
    torch.save({"x": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(ConfigurationError, match="more than a state_dict of tensors"):
        search("CartPole-v1", init=tmp_path / "evil.pt")
    assert not (tmp_path / "ran").exists()


def test_a_search_starts_from_a_saved_search_or_baseline(tmp_path: Path) -> None:
    rows = observations(gym.make("Pendulum-v1").observation_space)
    first: Any = make_agent("openai-es", "Pendulum-v1", hidden=(5,), activation="silu")
    first.learn(2000)
    first.save(tmp_path / "search.zip")
    second = search("Pendulum-v1", init=tmp_path / "search.zip")
    assert second.predict(rows)[0].tobytes() == first.predict(rows)[0].tobytes()
    baseline: Any = make_agent("ppo", "Pendulum-v1", normalize=True, policy_kwargs={**SMALL})
    shaken(baseline.model).get_vec_normalize_env().obs_rms.update(rows.astype(float))
    baseline.save(tmp_path / "ppo.zip")
    third = search("Pendulum-v1", init=tmp_path / "ppo.zip")
    expected = baseline.predict(rows)[0]
    assert_same_actions(third, expected, rows)
    exported = runpy.run_path(str(baseline.export(tmp_path / "ppo.py")))
    np.testing.assert_allclose(exported["act"](rows), expected, rtol=0, atol=3e-6)


def test_a_search_starts_from_a_state_dict(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    module = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))
    rows = observations(gym.make("CartPole-v1").observation_space)
    expected = module(torch.from_numpy(rows)).argmax(dim=1).numpy()
    torch.save(module.state_dict(), tmp_path / "module.pt")
    save_file(module.state_dict(), tmp_path / "module.safetensors")
    for name in ("module.pt", "module.safetensors"):
        own = search("CartPole-v1", init=tmp_path / name, activation="relu")
        assert_same_actions(own, expected, rows)
    fresh = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))
    given = search("CartPole-v1", init=tmp_path / "module.pt", policy=fresh, normalize="off")
    assert_same_actions(given, expected, rows)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden": (3,)}, r"it is 4-12-7-2, and the agent's is 4-3-2 \(23 parameters\)"),
        ({"normalize": "running"}, "takes observations as they are, and normalize=running"),
        ({"zero_policy": True}, "two different starts"),
        ({"policy": nn.Linear}, r"its tensors have the shapes \[\(12, 4\)"),
    ],
)
def test_what_does_not_fit_is_told(options: Any, message: str, tmp_path: Path) -> None:
    ppo().save(tmp_path / "m.zip")
    with pytest.raises(ConfigurationError, match=message):
        search("CartPole-v1", init=tmp_path / "m.zip", **options)


def test_another_task_and_another_file_are_told(tmp_path: Path) -> None:
    ppo().save(tmp_path / "m.zip")
    with pytest.raises(ConfigurationError, match=r"4-12-7-2, and the agent's is 2-12-7-3"):
        search("MountainCar-v0", init=tmp_path / "m.zip")
    gelu: Any = {"activation_fn": nn.GELU}
    ppo("CartPole-v1", gelu).save(tmp_path / "g.zip")
    with pytest.raises(ConfigurationError, match="it has the activation GELU"):
        search("CartPole-v1", init=tmp_path / "g.zip")
    (tmp_path / "text.zip").write_text("no zip")
    with pytest.raises(ConfigurationError, match="is no file of zorl's, no zip"):
        search("CartPole-v1", init=tmp_path / "text.zip")
    with pytest.raises(ConfigurationError, match="there is no file"):
        search("CartPole-v1", init=tmp_path / "none.zip")


def test_the_command_line_starts_warm(tmp_path: Path) -> None:
    ppo().save(tmp_path / "m.zip")
    line = ["train", "--agent", "random-search", "--env", "CartPole-v1", "--timesteps", "100"]
    line += ["--init", str(tmp_path / "m.zip"), "--run", str(tmp_path / "run"), "--quiet"]
    line += ["--no-tensorboard", "--video-budget", "0", "--backend", "gymnasium"]
    assert main(line) == 0
    agent: Any = load_agent(tmp_path / "run" / "best.zip")
    assert agent.config["hidden"] == [12, 7]
    assert agent.config["init"] == str(tmp_path / "m.zip")
