from __future__ import annotations

import json
import math
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env

from zorl.common.errors import ConfigurationError
from zorl.envs import MomentumReward

PUBLISHED = (100.0, 5.0, 0.2, 1.0)


def formula(position: Any, velocity: Any, terminated: Any, coefficients: Any = PUBLISHED) -> Any:
    goal, speed, height, cost = coefficients
    return (
        goal * terminated + speed * abs(velocity) + height * (math.sin(3 * position) + 1.0) - cost
    )


def step_from(env: Any, position: Any, velocity: Any, action: Any) -> Any:
    env.reset(seed=0)
    env.unwrapped.state = (position, velocity)
    return env.step(action)


@pytest.mark.parametrize(
    ("position", "velocity", "action"),
    [(-0.5, 0.0, 1), (-0.5, 0.03, 2), (-1.1, -0.05, 0), (0.2, 0.05, 2), (0.48, 0.06, 2)],
)
def test_reward_is_the_published_formula_at_the_new_observation(
    position: float, velocity: float, action: int
) -> None:
    env = MomentumReward(gym.make("MountainCar-v0"))
    observation, reward, terminated, _, _ = step_from(env, position, velocity, action)
    x, v = map(float, observation)
    assert reward == pytest.approx(formula(x, v, terminated), abs=1e-12)
    assert isinstance(reward, float)


def test_reward_by_hand_in_the_valley() -> None:
    env = MomentumReward(gym.make("MountainCar-v0"))
    _, reward, _, _, _ = step_from(env, -0.5, 0.0, 1)
    # v = −0.0025·cos(−1.5) = −0.000176843; x = −0.500176843; sin(3x) = −0.997532
    assert reward == pytest.approx(5 * 0.000176843 + 0.2 * (1 - 0.997532) - 1, abs=1e-6)


def test_goal_pays_once_reached() -> None:
    env = MomentumReward(gym.make("MountainCar-v0"))
    observation, reward, terminated, truncated, _ = step_from(env, 0.48, 0.06, 2)
    assert terminated and not truncated
    assert observation[0] >= 0.5
    assert 99.0 < reward < 101.0


def test_running_out_of_time_earns_no_goal_reward() -> None:
    env = MomentumReward(gym.make("MountainCar-v0", max_episode_steps=1))
    _, reward, terminated, truncated, _ = step_from(env, -0.5, 0.0, 1)
    assert truncated and not terminated
    assert reward < 0.0


def test_continuous_mountain_car() -> None:
    env = MomentumReward(gym.make("MountainCarContinuous-v0"))
    env.reset(seed=3)
    observation, reward, terminated, _, _ = env.step(np.array([1.0], np.float32))
    x, v = map(float, observation)
    assert reward == pytest.approx(formula(x, v, terminated), abs=1e-12)


def test_each_coefficient_has_its_own_term() -> None:
    coefficients = (7.0, 11.0, 13.0, 17.0)
    names = ("goal_reward", "speed_weight", "height_weight", "step_cost")
    env = MomentumReward(gym.make("MountainCar-v0"), **dict(zip(names, coefficients, strict=True)))
    for state in [(-0.6, 0.02, 0), (0.48, 0.06, 2)]:
        observation, reward, terminated, _, _ = step_from(env, *state)
        x, v = map(float, observation)
        assert reward == pytest.approx(formula(x, v, terminated, coefficients), abs=1e-12)


@pytest.mark.parametrize("name", ["goal_reward", "speed_weight", "height_weight", "step_cost"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "5", None, True])
def test_coefficients_must_be_finite_numbers(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} must be a finite number"):
        MomentumReward(gym.make("MountainCar-v0"), **{name: value})


@pytest.mark.parametrize("env_id", ["CartPole-v1", "FrozenLake-v1"])
def test_other_observations_are_refused_by_naming_the_expected_environments(env_id: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        MomentumReward(gym.make(env_id))
    assert "MountainCar-v0" in str(caught.value)
    assert "MountainCarContinuous-v0" in str(caught.value)
    assert env_id in str(caught.value)


def test_round_trip_through_the_json_spec_gives_the_same_rewards() -> None:
    env = MomentumReward(gym.make("MountainCar-v0"), speed_weight=np.float32(10), step_cost=2)  # type: ignore[arg-type]
    text = env.spec.to_json()  # type: ignore[union-attr]
    kwargs = json.loads(text)["additional_wrappers"][0]["kwargs"]
    assert kwargs == {
        "goal_reward": 100.0,
        "speed_weight": 10.0,
        "height_weight": 0.2,
        "step_cost": 2.0,
    }
    again = gym.make(EnvSpec.from_json(text))
    assert isinstance(again, MomentumReward)
    env.reset(seed=5)
    again.reset(seed=5)
    for action in [0, 0, 1, 2, 2, 2]:
        assert env.step(action)[1] == again.step(action)[1]


# The checker prefers raw environments; here the wrapper is what is checked.
@pytest.mark.filterwarnings("ignore:.*is different from the unwrapped version.*:UserWarning")
def test_gymnasiums_own_checker_passes() -> None:
    check_env(MomentumReward(gym.make("MountainCar-v0")), skip_render_check=True)
