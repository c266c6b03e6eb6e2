"""Reward shaping for Mountain Car."""

from __future__ import annotations

import math
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box
from gymnasium.utils import RecordConstructorArgs

from zorl.common.errors import ConfigurationError
from zorl.envs.wrappers.registry import register_wrapper


@register_wrapper("momentum")
class MomentumReward(gym.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Pays Mountain Car for speed and height, so that random policies already differ in return.

    The native reward, −1 a step, is the same for every policy that does not reach the goal. This
    wrapper replaces it, after each step, by::

        goal_reward·[terminated] + speed_weight·|v| + height_weight·(sin(3x) + 1) − step_cost

    with x the position and v the velocity in the new observation. In Mountain Car `terminated`
    means the goal; a time limit truncates and earns nothing. Source: the momentum reward of the
    EPFL reports on zeroth-order policy search, whose coefficients are the defaults.

    Args:
        env: MountainCar-v0 or MountainCarContinuous-v0: observations (2,) are [position, velocity],
            velocity in units of position per step.
        goal_reward: paid once, on the step that reaches the goal.
        speed_weight: per unit of |velocity|; the car's top speed is 0.07.
        height_weight: per unit of sin(3x) + 1, which is in [0, 2] and rises with the hill.
        step_cost: taken off at every step.

    Raises:
        ConfigurationError: if the observations are not [position, velocity], or if a coefficient
            is not a finite number.

    Example:
        >>> import gymnasium as gym
        >>> env = MomentumReward(gym.make("MountainCar-v0"), speed_weight=0, height_weight=0)
        >>> _ = env.reset(seed=1)
        >>> observation, reward, terminated, truncated, info = env.step(2)
        >>> reward
        -1.0
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        *,
        goal_reward: float = 100.0,
        speed_weight: float = 5.0,
        height_weight: float = 0.2,
        step_cost: float = 1.0,
    ) -> None:
        coefficients = {
            "goal_reward": goal_reward,
            "speed_weight": speed_weight,
            "height_weight": height_weight,
            "step_cost": step_cost,
        }
        for name, value in coefficients.items():
            if (
                isinstance(value, bool)
                or not isinstance(value, (int, float, np.integer, np.floating))
                or not math.isfinite(value)
            ):
                raise ConfigurationError(
                    f"MomentumReward: {name} must be a finite number, got {value!r}"
                )
        # Plain floats, so that the recorded arguments go to JSON whatever number type was given.
        self._goal_reward = float(goal_reward)
        self._speed_weight = float(speed_weight)
        self._height_weight = float(height_weight)
        self._step_cost = float(step_cost)
        RecordConstructorArgs.__init__(
            self,
            goal_reward=self._goal_reward,
            speed_weight=self._speed_weight,
            height_weight=self._height_weight,
            step_cost=self._step_cost,
        )
        super().__init__(env)
        space = env.observation_space
        if not (isinstance(space, Box) and space.shape == (2,)):
            raise ConfigurationError(
                "MomentumReward needs observations [position, velocity], a Box of shape (2,), as "
                f"in MountainCar-v0 and MountainCarContinuous-v0; {env.unwrapped} has {space}"
            )

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Step the environment and replace its reward."""
        observation, _, terminated, truncated, info = self.env.step(action)
        # Python floats: scalar arithmetic on numpy values costs several times as much.
        position, velocity = observation.tolist()
        reward = (
            self._speed_weight * abs(velocity)
            + self._height_weight * (math.sin(3.0 * position) + 1.0)
            - self._step_cost
        )
        if terminated:
            reward += self._goal_reward
        return observation, reward, terminated, truncated, info
