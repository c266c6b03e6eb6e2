"""zorl's twins of classic control are Gymnasium's tasks, bit for bit."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from zorl.envs import MomentumReward
from zorl.envs.twins.classic_control import Acrobot, Momentum
from zorl.testing import check_compiled_twin

# Errors of the fast twin after one step: of an observation, of a reward.
TASKS: dict[str, tuple[float, float]] = {
    "MountainCar-v0": (3e-7, 0.0),
    "MountainCarContinuous-v0": (3e-7, 1e-5),
    "CartPole-v1": (1e-6, 0.0),
    "Acrobot-v1": (5e-6, 0.0),
    "Pendulum-v1": (1e-5, 5e-5),
}


@pytest.mark.parametrize("env_id", TASKS)
def test_a_hundred_thousand_steps_are_equal_to_the_bit(env_id: str) -> None:
    observation, reward = TASKS[env_id]
    report = check_compiled_twin(env_id, steps=100_000, fast_tolerance=1e-5)
    assert report.steps >= 100_000
    assert report.exact_differences == 0
    assert report.episodes > 100
    assert report.observation_error <= observation
    assert report.reward_error <= reward
    assert report.termination_error < 1e-4


@pytest.mark.parametrize(
    ("env_id", "kwargs"),
    [
        ("MountainCar-v0", {"goal_velocity": 0.03}),
        ("MountainCarContinuous-v0", {"goal_velocity": 0.02, "max_episode_steps": 300}),
        ("CartPole-v1", {"sutton_barto_reward": True}),
        ("CartPole-v0", {}),
        ("Pendulum-v1", {"g": 9.81}),
    ],
)
def test_options_are_the_environments(env_id: str, kwargs: dict[str, Any]) -> None:
    report = check_compiled_twin(env_id, steps=4000, env_kwargs=kwargs, seed=50)
    assert report.exact_differences == 0


def test_acrobot_at_its_highest_speeds_is_wrapped_as_often_as_in_gymnasium() -> None:
    env: Any = gym.make("Acrobot-v1").unwrapped
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    highest = np.array([np.pi, np.pi, env.MAX_VEL_1, env.MAX_VEL_2])
    for _ in range(3000):
        state = rng.uniform(-highest, highest)
        state[2:] = np.copysign(highest[2:], state[2:])
        action = int(rng.integers(3))
        env.state = state
        env.step(action)
        mine, _, _ = Acrobot().step(*state.tolist(), float(action))  # type: ignore[call-arg]
        assert list(mine) == list(env.state)


@pytest.mark.parametrize(
    "options",
    [{}, {"goal_reward": 7.0, "speed_weight": 11.0, "height_weight": 13.0, "step_cost": 17.0}],
)
def test_the_twin_of_the_momentum_reward_pays_what_the_wrapper_pays(
    options: dict[str, float],
) -> None:
    env = MomentumReward(gym.make("MountainCar-v0"), **options)
    bare: Any = env.unwrapped
    rng = np.random.default_rng(0)
    ended = 0
    env.reset(seed=0)
    for _ in range(2000):
        bare.state = (rng.uniform(-1.2, 0.55), rng.uniform(-0.07, 0.07))
        _, reward, terminated, _, _ = env.step(int(rng.integers(3)))
        # The state itself: the wrapper sees it in single precision.
        position, velocity = (float(np.float32(number)) for number in bare.state)
        assert Momentum(**options).reward(position, velocity, -1.0, terminated) == reward
        ended += terminated
    assert ended > 20
