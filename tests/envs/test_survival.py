"""Bonuses for survival: found where they hide what is to be learned, and nowhere else."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from zorl.envs.survival import EPISODES, STEPS, survival_bonus


class Walk(gym.Env[Any, Any]):
    """Pays `bonus` and `speed` times the action; ends where the actions sum up to 3."""

    observation_space = gym.spaces.Box(-1, 1, (1,))

    def __init__(
        self, bonus: float, speed: float = 1.0, noise: float = 0.0, end: float = 3
    ) -> None:
        self.bonus, self.speed, self.noise, self.end = bonus, speed, noise, end
        self.action_space = gym.spaces.Box(-1, 1, (1,))
        self.steps = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.at = 0.0
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        self.at += float(action[0])
        reward = self.bonus + self.speed * action[0] + self.noise * self.np_random.normal()
        return np.zeros(1, np.float32), float(reward), abs(self.at) > self.end, False, {}


def test_a_bonus_is_found_whatever_the_unit_of_rewards() -> None:
    for unit in (1e-3, 1.0, 1e4):
        env = Walk(1.04 * unit, 2 * unit, 0.01 * unit)
        assert survival_bonus(env) == pytest.approx(1.0 * unit, rel=0.06)
        assert env.steps <= EPISODES * (1 + STEPS)


@pytest.mark.parametrize(
    "env",
    [
        Walk(1.0, speed=0.0),  # nothing but survival
        Walk(1.0, speed=-0.0, noise=0.001),
        Walk(1.0, end=1e9),  # nothing ends
        Walk(0.0),
        Walk(-1.0),
        Walk(1.0, noise=1.0),  # not the same in the first steps
        Walk(float("nan")),
    ],
    ids=lambda env: str(vars(env))[:60],
)
def test_other_tasks_have_none(env: Walk) -> None:
    assert survival_bonus(env) == 0


def test_a_task_without_a_bonus_costs_ten_steps() -> None:
    env = Walk(0.0)
    assert survival_bonus(env) == 0
    assert env.steps == EPISODES == 10


def test_discrete_actions_and_environments_that_raise_have_none() -> None:
    assert survival_bonus(gym.make("CartPole-v1")) == 0
    env = Walk(1.0)
    env.step = None  # type: ignore[assignment, method-assign]
    assert survival_bonus(env) == 0


@pytest.mark.parametrize(
    ("env_id", "bonus"),
    [
        ("Hopper-v5", 1.0),
        ("Walker2d-v5", 1.0),
        ("InvertedDoublePendulum-v5", 0.0),
        ("InvertedPendulum-v5", 0.0),
        ("Swimmer-v5", 0.0),
    ],
)
def test_mujoco_s_bonuses(env_id: str, bonus: float) -> None:
    pytest.importorskip("mujoco")
    env = gym.make(env_id)
    assert survival_bonus(env) == bonus
    env.close()
