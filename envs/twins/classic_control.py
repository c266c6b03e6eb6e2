"""Gymnasium's classic control as compiled twins: its arithmetic, operation by operation.

What looks odd here follows Gymnasium: which operations run in single precision, squares that are
powers, the order of sums. `tests/envs/twins/test_classic_control.py` compares every bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from zorl.envs.twins.base import CompiledEnv, CompiledReward, register_reward_twin, register_twin


@register_twin("MountainCar-v0")
@dataclass(frozen=True)
class MountainCar(CompiledEnv):
    """MountainCar-v0."""

    goal_velocity: float = 0

    def reset(self, rng: np.random.Generator) -> tuple[float, ...]:
        return rng.uniform(low=-0.6, high=-0.4), 0.0

    def observe(self, position: Any, velocity: Any) -> Any:
        return position, velocity

    def step(self, position: Any, velocity: Any, action: Any) -> Any:
        velocity += (action - 1) * 0.001 + math.cos(3 * position) * (-0.0025)
        velocity = min(max(velocity, -0.07), 0.07)
        position += velocity
        position = min(max(position, -1.2), 0.6)
        if position == -1.2 and velocity < 0:
            velocity = 0
        terminated = position >= 0.5 and velocity >= self.goal_velocity
        return (position, velocity), -1.0, terminated


@register_twin("MountainCarContinuous-v0")
@dataclass(frozen=True)
class MountainCarContinuous(CompiledEnv):
    """MountainCarContinuous-v0: the state is single precision after the first step."""

    goal_velocity: float = 0

    def reset(self, rng: np.random.Generator) -> tuple[float, ...]:
        return rng.uniform(low=-0.6, high=-0.4), 0.0, 1.0

    def observe(self, position: Any, velocity: Any, first: Any) -> Any:
        return position, velocity

    def step(self, position: Any, velocity: Any, first: Any, action: Any) -> Any:
        pull = 0.0025 * math.cos(self.tripled(position, first))
        push = np.float32(np.float32(action * np.float32(0.0015)) - np.float32(pull))
        velocity = velocity + push
        if first != 1:
            velocity = np.float32(velocity)
        if velocity > 0.07:
            velocity = 0.07
        if velocity < -0.07:
            velocity = -0.07
        if first == 1:
            position = position + velocity
        else:
            position = np.float32(position + np.float32(velocity))
        if position > 0.6:
            position = 0.6
        if position < -1.2:
            position = -1.2
        if position == -1.2 and velocity < 0:
            velocity = 0
        terminated = position >= np.float32(0.45) and velocity >= self.goal_velocity
        reward = 0 - math.pow(action, 2) * 0.1
        if terminated:
            reward = 100 - math.pow(action, 2) * 0.1
        return (np.float32(position), np.float32(velocity), 0.0), reward, terminated

    def tripled(self, position: Any, first: Any) -> Any:
        if first == 1:
            return 3 * position
        return np.float32(3 * position)


@register_twin("CartPole-v0")
@register_twin("CartPole-v1")
@dataclass(frozen=True)
class CartPole(CompiledEnv):
    """CartPole-v0 and -v1."""

    sutton_barto_reward: bool = False

    def reset(self, rng: np.random.Generator) -> tuple[float, ...]:
        return tuple(rng.uniform(low=-0.05, high=0.05, size=(4,)))

    def observe(self, x: Any, x_dot: Any, theta: Any, theta_dot: Any) -> Any:
        return x, x_dot, theta, theta_dot

    def step(self, x: Any, x_dot: Any, theta: Any, theta_dot: Any, action: Any) -> Any:
        force = 10.0 if action == 1 else -10.0
        costheta = math.cos(theta)
        sintheta = math.sin(theta)
        temp = (force + _POLEMASS_LENGTH * (theta_dot * theta_dot) * sintheta) / _TOTAL_MASS
        thetaacc = (9.8 * sintheta - costheta * temp) / (
            0.5 * (_FOUR_THIRDS - 0.1 * (costheta * costheta) / _TOTAL_MASS)
        )
        xacc = temp - _POLEMASS_LENGTH * thetaacc * costheta / _TOTAL_MASS
        x = x + 0.02 * x_dot
        x_dot = x_dot + 0.02 * xacc
        theta = theta + 0.02 * theta_dot
        theta_dot = theta_dot + 0.02 * thetaacc
        terminated = x < -2.4 or x > 2.4 or theta < -_THRESHOLD or theta > _THRESHOLD
        reward = 1.0
        if self.sutton_barto_reward == 1:
            reward = -1.0 if terminated else 0.0
        return (x, x_dot, theta, theta_dot), reward, terminated


_TOTAL_MASS = 0.1 + 1.0
_POLEMASS_LENGTH = 0.1 * 0.5
_FOUR_THIRDS = 4.0 / 3.0
_THRESHOLD = 12 * 2 * math.pi / 360


@register_twin("Pendulum-v1")
@dataclass(frozen=True)
class Pendulum(CompiledEnv):
    """Pendulum-v1: what comes from the action alone is single precision."""

    g: float = 10.0

    def reset(self, rng: np.random.Generator) -> tuple[float, ...]:
        high = np.array([np.pi, 1.0])
        return tuple(rng.uniform(low=-high, high=high))

    def observe(self, theta: Any, speed: Any) -> Any:
        return math.cos(theta), math.sin(theta), speed

    def step(self, theta: Any, speed: Any, torque: Any) -> Any:
        angle = (theta + math.pi) % (2 * math.pi) - math.pi
        effort = np.float32(np.float32(0.001) * np.float32(torque) ** 2)
        costs = angle**2 + 0.1 * speed**2 + effort
        drive = np.float32(3 * torque)
        speed = speed + (3 * self.g / 2 * math.sin(theta) + drive) * 0.05
        speed = min(max(speed, -8), 8)
        theta = theta + speed * 0.05
        return (theta, speed), -costs, False


@register_twin("Acrobot-v1")
@dataclass(frozen=True)
class Acrobot(CompiledEnv):
    """Acrobot-v1: a Runge–Kutta step of the double pendulum."""

    def reset(self, rng: np.random.Generator) -> tuple[float, ...]:
        return tuple(map(float, rng.uniform(low=-0.1, high=0.1, size=(4,)).astype(np.float32)))

    def observe(self, theta1: Any, theta2: Any, speed1: Any, speed2: Any) -> Any:
        return (
            math.cos(theta1),
            math.sin(theta1),
            math.cos(theta2),
            math.sin(theta2),
            speed1,
            speed2,
        )

    def step(self, theta1: Any, theta2: Any, speed1: Any, speed2: Any, action: Any) -> Any:
        torque = action - 1
        a1, a2, a3, a4 = self.slopes(theta1, theta2, speed1, speed2, torque)
        b1, b2, b3, b4 = self.slopes(
            theta1 + 0.1 * a1, theta2 + 0.1 * a2, speed1 + 0.1 * a3, speed2 + 0.1 * a4, torque
        )
        c1, c2, c3, c4 = self.slopes(
            theta1 + 0.1 * b1, theta2 + 0.1 * b2, speed1 + 0.1 * b3, speed2 + 0.1 * b4, torque
        )
        d1, d2, d3, d4 = self.slopes(
            theta1 + 0.2 * c1, theta2 + 0.2 * c2, speed1 + 0.2 * c3, speed2 + 0.2 * c4, torque
        )
        theta1 = self.wrapped(theta1 + _SIXTH * (a1 + 2 * b1 + 2 * c1 + d1))
        theta2 = self.wrapped(theta2 + _SIXTH * (a2 + 2 * b2 + 2 * c2 + d2))
        speed1 = speed1 + _SIXTH * (a3 + 2 * b3 + 2 * c3 + d3)
        speed2 = speed2 + _SIXTH * (a4 + 2 * b4 + 2 * c4 + d4)
        speed1 = min(max(speed1, -4 * math.pi), 4 * math.pi)
        speed2 = min(max(speed2, -9 * math.pi), 9 * math.pi)
        terminated = -math.cos(theta1) - math.cos(theta2 + theta1) > 1.0
        reward = 0.0 if terminated else -1.0
        return (theta1, theta2, speed1, speed2), reward, terminated

    def slopes(self, theta1: Any, theta2: Any, speed1: Any, speed2: Any, torque: Any) -> Any:
        """Time derivatives of the state: the equations of Sutton and Barto's book."""
        d1 = 0.25 + (1.25 + 1.0 * math.cos(theta2)) + 1 + 1
        d2 = 0.25 + 0.5 * math.cos(theta2) + 1
        phi2 = _WEIGHT * math.cos(theta1 + theta2 - math.pi / 2)
        phi1 = (
            -0.5 * speed2**2 * math.sin(theta2)
            - 1.0 * speed2 * speed1 * math.sin(theta2)
            + 1.5 * 9.8 * math.cos(theta1 - math.pi / 2)
            + phi2
        )
        slope4 = (torque + d2 / d1 * phi1 - 0.5 * speed1**2 * math.sin(theta2) - phi2) / (
            0.25 + 1 - d2**2 / d1
        )
        slope3 = -(d2 * slope4 + phi1) / d1
        return speed1, speed2, slope3, slope4

    def wrapped(self, angle: Any) -> Any:
        """Within ±π, a round at a time; a step turns a link by less than five (4.3 at most)."""
        return self.nearer(self.nearer(self.nearer(self.nearer(self.nearer(angle)))))

    def nearer(self, angle: Any) -> Any:
        """A round nearer to ±π, if beyond."""
        if angle > math.pi:
            angle = angle - 2 * math.pi
        if angle < -math.pi:
            angle = angle + 2 * math.pi
        return angle


_SIXTH = 0.2 / 6.0
_WEIGHT = 0.5 * 9.8


@register_reward_twin("momentum")
@dataclass(frozen=True)
class Momentum(CompiledReward):
    """The twin of `zorl.envs.MomentumReward`."""

    goal_reward: float = 100.0
    speed_weight: float = 5.0
    height_weight: float = 0.2
    step_cost: float = 1.0

    def reward(self, position: Any, velocity: Any, reward: Any, terminated: Any) -> Any:
        shaped = (
            self.speed_weight * abs(velocity)
            + self.height_weight * (math.sin(3.0 * position) + 1.0)
            - self.step_cost
        )
        return shaped + self.goal_reward if terminated else shaped
