"""Environments that are not Gymnasium's, or not environments: one sentence with the cure."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import pytest
from toy_envs import WALK

from zorl.agents.registry import make_agent, make_config
from zorl.common.errors import ConfigurationError, EnvironmentFailure
from zorl.envs import make_task

PPO: dict[str, Any] = {"settings": "default", "n_steps": 16, "batch_size": 16}
ARS: dict[str, Any] = {"settings": "default", "episodes": 1}
OLD = "which the old gym did not: wrap the environment with shimmy.GymV21CompatibilityV0"


@pytest.mark.parametrize(("agent", "options"), [("ars", ARS), ("ppo", PPO)], ids=["ars", "ppo"])
@pytest.mark.parametrize("wrappers", [(), ("clip-reward(min_reward=0)",)], ids=["bare", "wrapped"])
@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("none", "reward is None"),
        ("vector", r"the reward has shape \(2,\), expected a single number: add its parts up"),
        ("one", r"the reward has shape \(1,\), expected a single number: return float"),
        ("word", "the reward is 'much', expected a number"),
        ("four", OLD),
        ("bare", OLD),
        ("old reset", "unexpected keyword argument 'seed'.*that of the old gym did not: wrap"),
        ("no options", "unexpected keyword argument 'options'; Gymnasium's reset takes both"),
        ("inside", "too many values to unpack .expected 2.$"),  # the environment's own fault
    ],
)
def test_what_is_not_gymnasiums_api_is_said_with_its_cure(
    how: str, message: str, wrappers: Any, agent: str, options: dict[str, Any]
) -> None:
    if wrappers and how not in ("vector", "one", "word"):
        pytest.skip("the wrapper itself fails")
    task = make_task("toy_envs:toy/Another-v0", wrappers, {"how": how})
    made = make_agent(agent, task, **options)
    with pytest.raises(EnvironmentFailure, match=message):
        made.learn(50)
    made.close()


def test_a_reward_of_none_is_no_candidates_doing() -> None:
    task = make_task("toy_envs:toy/Another-v0", env_kwargs={"how": "none"})
    with pytest.raises(EnvironmentFailure, match="a reward is None, not a number"):
        make_agent("ars", task, non_finite="worst", **ARS).learn(50)


def vector() -> Any:
    return gym.make_vec("CartPole-v1", num_envs=2)


def sb3_vector() -> Any:
    from stable_baselines3.common.vec_env import DummyVecEnv

    return DummyVecEnv([lambda: gym.make("CartPole-v1")])


def raises() -> Any:
    raise RuntimeError("mine")


@pytest.mark.parametrize("agent", ["ars", "ppo"])
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (vector, "must be a single environment, got the vector environment gymnasium.*id"),
        (sb3_vector, "must be a single environment, got .*DummyVecEnv: give the id"),
        (lambda: int, "must be an environment's id, or a class derived from gymnasium.Env, got"),
        (lambda: 3, "must be an environment's id, a task, .* got 3 of builtins.int"),
        (lambda: lambda: 3, "should make a gymnasium.Env, but returned <class 'int'>"),
        (lambda: raises, "should make an environment raised RuntimeError: mine"),
    ],
)
def test_what_is_no_environment_is_said_with_what_to_give(
    make: Any, message: str, agent: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make_config(agent, make())


def test_a_function_that_makes_an_environment_is_taken() -> None:
    closed: list[Any] = []

    def make() -> Any:
        env = gym.make(WALK)
        env.close = lambda: closed.append(env)  # type: ignore[method-assign]
        return gym.wrappers.ClipReward(env, -1.0, 0.0)

    assert make_config("ars", make).task == make_config("ars", make()).task
    assert len(closed) == 1
