from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec

from zorl.envs import MomentumReward, NativeReturn, native_recorder


def rollout(env: Any, seed: int, steps: int = 120) -> Any:
    """(sum of what `step` returned, rewards) of fixed pseudo-random actions."""
    env.reset(seed=seed)
    actions = np.random.default_rng(seed).integers(3, size=steps)
    rewards = []
    for action in actions.tolist():
        _, reward, terminated, truncated, _ = env.step(action)
        rewards.append(float(reward))
        if terminated or truncated:
            break
    return sum(rewards)


def test_native_return_is_that_of_the_unwrapped_environment() -> None:
    plain = gym.make("Acrobot-v1")
    shaped = gym.wrappers.ClipReward(NativeReturn(gym.make("Acrobot-v1")), -0.25, 0.25)
    for seed in (1, 2):  # the second episode starts from zero again
        native, searched = rollout(plain, seed), rollout(shaped, seed)
        assert native_recorder(shaped).episode_return == native == -120.0  # type: ignore[union-attr]
        assert searched == native / 4


def test_native_return_is_zero_after_a_reset_and_before_the_first_one() -> None:
    env = NativeReturn(gym.make("MountainCar-v0"))
    assert env.episode_return == 0.0
    env.reset(seed=0)
    env.step(0)
    assert env.episode_return == -1.0
    env.reset(seed=0)
    assert env.episode_return == 0.0


def test_native_return_is_a_float_even_for_numpy_rewards() -> None:
    env = NativeReturn(gym.make("Pendulum-v1"))
    env.reset(seed=0)
    for _ in range(3):
        env.step(np.zeros(1, np.float32))
    assert type(env.episode_return) is float
    assert env.episode_return < 0.0


def test_reset_passes_seed_and_options() -> None:
    env = NativeReturn(gym.make("MountainCar-v0"))
    observation, _ = env.reset(seed=4, options={"low": -0.41, "high": -0.40})
    assert -0.41 <= observation[0] <= -0.40
    same, _ = env.reset(seed=4, options={"low": -0.41, "high": -0.40})
    assert np.array_equal(observation, same)


def test_recorder_is_found_in_the_stack_and_comes_back_from_the_spec() -> None:
    env = MomentumReward(NativeReturn(gym.make("MountainCar-v0")))
    again = gym.make(EnvSpec.from_json(env.spec.to_json()))  # type: ignore[union-attr]
    for stack in (env, again):
        assert native_recorder(stack) is stack.env  # type: ignore[attr-defined]
        stack.reset(seed=1)
        assert stack.step(0)[1] != -1.0
        assert native_recorder(stack).episode_return == -1.0  # type: ignore[union-attr]


@pytest.mark.parametrize("env_id", ["CartPole-v1", "MountainCar-v0"])
def test_there_is_no_recorder_in_a_plain_environment(env_id: str) -> None:
    assert native_recorder(gym.make(env_id)) is None
    assert native_recorder(gym.make(env_id).unwrapped) is None
