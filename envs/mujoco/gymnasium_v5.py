"""Gymnasium's MuJoCo tasks, version 5, as compiled twins: its arithmetic, operation by operation.

What looks odd here follows Gymnasium: control costs in single precision, powers of numbers and
squares of arrays, the order of sums, what a range includes.
`tests/envs/mujoco/test_gymnasium.py` compares every bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from zorl.envs.mujoco.task import CompiledMujoco, State
from zorl.envs.twins.base import register_twin

INF = float("inf")
# A quarter of the evaluations of the models' own fourth-order Runge–Kutta; see docs/compiled.md.
CHEAPER = {"integrator": "Euler", "disableflags": "island"}


@dataclass(frozen=True)
class GymnasiumMujoco(CompiledMujoco):
    """What Gymnasium's tasks have in common; options of the camera change nothing."""

    default_camera_config: Any = None
    width: int = 480
    height: int = 480
    camera_id: int | None = None
    camera_name: str | None = None
    max_geom: int = 1000
    visual_options: Any = None

    def model_path(self) -> Path:
        """As Gymnasium finds it."""
        from gymnasium.envs.mujoco.mujoco_env import expand_model_path

        return Path(expand_model_path(self.xml_file))

    def noisy(self, rng: np.random.Generator, scale: float, normal: bool) -> State:
        """Positions with uniform noise, velocities with normal or uniform noise."""
        qpos = self.init_qpos + rng.uniform(low=-scale, high=scale, size=self.model.nq)
        if normal:
            return qpos, self.init_qvel + scale * rng.standard_normal(self.model.nv)
        return qpos, self.init_qvel + rng.uniform(low=-scale, high=scale, size=self.model.nv)

    def squares(self, action: Any) -> Any:
        """The sum of squares of an action, in single precision."""
        return np.sum(np.square(action.astype(np.float32)))


@dataclass(frozen=True)
class Runner(GymnasiumMujoco):
    """Forward velocity, less the cost of control."""

    forward_reward_weight: float = 1.0
    ctrl_cost_weight: float = 0.1
    reset_noise_scale: float = 0.1
    exclude_current_positions_from_observation: bool = True
    skipped: ClassVar[int] = 1  # positions that an observation leaves out

    def reset(self, rng: np.random.Generator) -> State:
        return self.noisy(rng, self.reset_noise_scale, normal=False)

    def observe(self, data: Any) -> Any:
        if self.exclude_current_positions_from_observation:
            return np.concatenate((data.qpos[self.skipped :], data.qvel))
        return np.concatenate((data.qpos, data.qvel))

    def before(self, data: Any) -> Any:
        return data.qpos[0]

    def forward(self, data: Any, before: Any) -> Any:
        return self.forward_reward_weight * ((data.qpos[0] - before) / self.dt)

    def cost(self, action: Any) -> Any:
        return np.float32(self.ctrl_cost_weight) * self.squares(action)

    def reward(self, data: Any, action: Any, before: Any) -> Any:
        return self.forward(data, before) - self.cost(action)


@register_twin("HalfCheetah-v5")
@dataclass(frozen=True)
class HalfCheetah(Runner):
    """HalfCheetah-v5."""

    xml_file: str = "half_cheetah.xml"
    frame_skip: int = 5

    def reset(self, rng: np.random.Generator) -> State:
        return self.noisy(rng, self.reset_noise_scale, normal=True)


@register_twin("Swimmer-v5")
@dataclass(frozen=True)
class Swimmer(Runner):
    """Swimmer-v5."""

    xml_file: str = "swimmer.xml"
    frame_skip: int = 4
    fast_options: ClassVar[Mapping[str, Any]] = CHEAPER
    ctrl_cost_weight: float = 0.0001
    skipped: ClassVar[int] = 2


@dataclass(frozen=True)
class Walker(Runner):
    """A runner on legs, which may fall."""

    frame_skip: int = 4
    fast_options: ClassVar[Mapping[str, Any]] = CHEAPER
    ctrl_cost_weight: float = 0.001
    reset_noise_scale: float = 0.005
    healthy_reward: float = 1.0
    terminate_when_unhealthy: bool = True
    healthy_z_range: Sequence[float] = (0.8, 2.0)
    healthy_angle_range: Sequence[float] = (-1.0, 1.0)

    def observe(self, data: Any) -> Any:
        velocity = np.clip(data.qvel, -10, 10)
        if self.exclude_current_positions_from_observation:
            return np.concatenate((data.qpos[1:], velocity))
        return np.concatenate((data.qpos, velocity))

    def healthy(self, data: Any) -> Any:
        z, angle = data.qpos[1], data.qpos[2]
        return (
            self.healthy_z_range[0] < z < self.healthy_z_range[1]
            and self.healthy_angle_range[0] < angle < self.healthy_angle_range[1]
        )

    def survival(self, data: Any) -> Any:
        return self.healthy(data) * self.healthy_reward

    def reward(self, data: Any, action: Any, before: Any) -> Any:
        return self.forward(data, before) + self.survival(data) - self.cost(action)

    def terminated(self, data: Any) -> Any:
        return self.terminate_when_unhealthy and not self.healthy(data)


@register_twin("Walker2d-v5")
@dataclass(frozen=True)
class Walker2d(Walker):
    """Walker2d-v5."""

    xml_file: str = "walker2d_v5.xml"


@register_twin("Hopper-v5")
@dataclass(frozen=True)
class Hopper(Walker):
    """Hopper-v5."""

    xml_file: str = "hopper.xml"
    healthy_z_range: Sequence[float] = (0.7, INF)
    healthy_angle_range: Sequence[float] = (-0.2, 0.2)
    healthy_state_range: Sequence[float] = (-100.0, 100.0)

    def healthy(self, data: Any) -> Any:
        state = np.concatenate((data.qpos, data.qvel))[2:]
        low, high = self.healthy_state_range[0], self.healthy_state_range[1]
        for number in state:
            if not low < number < high:
                return False
        z, angle = data.qpos[1], data.qpos[2]
        return (
            self.healthy_z_range[0] < z < self.healthy_z_range[1]
            and self.healthy_angle_range[0] < angle < self.healthy_angle_range[1]
        )


@register_twin("Ant-v5")
@dataclass(frozen=True)
class Ant(GymnasiumMujoco):
    """Ant-v5."""

    xml_file: str = "ant.xml"
    frame_skip: int = 5
    fast_options: ClassVar[Mapping[str, Any]] = CHEAPER
    forward_reward_weight: float = 1
    ctrl_cost_weight: float = 0.5
    contact_cost_weight: float = 5e-4
    healthy_reward: float = 1.0
    main_body: int | str = 1
    terminate_when_unhealthy: bool = True
    healthy_z_range: Sequence[float] = (0.2, 1.0)
    contact_force_range: Sequence[float] = (-1.0, 1.0)
    reset_noise_scale: float = 0.1
    exclude_current_positions_from_observation: bool = True
    include_cfrc_ext_in_observation: bool = True

    def reset(self, rng: np.random.Generator) -> State:
        return self.noisy(rng, self.reset_noise_scale, normal=True)

    def forces(self, data: Any) -> Any:
        return np.clip(data.cfrc_ext, self.contact_force_range[0], self.contact_force_range[1])

    def observe(self, data: Any) -> Any:
        first = 2 * self.exclude_current_positions_from_observation
        if self.include_cfrc_ext_in_observation:
            forces = self.forces(data)[1:].flatten()
            return np.concatenate((data.qpos[first:], data.qvel, forces))
        return np.concatenate((data.qpos[first:], data.qvel))

    def healthy(self, data: Any) -> Any:
        sound = np.all(np.isfinite(data.qpos)) and np.all(np.isfinite(data.qvel))
        return sound and self.healthy_z_range[0] <= data.qpos[2] <= self.healthy_z_range[1]

    def before(self, data: Any) -> Any:
        return data.body(self.main_body).xpos[0]

    def reward(self, data: Any, action: Any, before: Any) -> Any:
        velocity = (data.body(self.main_body).xpos[0] - before) / self.dt
        gain = velocity * self.forward_reward_weight + self.healthy(data) * self.healthy_reward
        control = np.float32(self.ctrl_cost_weight) * self.squares(action)
        contact = self.contact_cost_weight * np.sum(np.square(self.forces(data)))
        return gain - (control + contact)

    def terminated(self, data: Any) -> Any:
        return self.terminate_when_unhealthy and not self.healthy(data)


@register_twin("Reacher-v5")
@dataclass(frozen=True)
class Reacher(GymnasiumMujoco):
    """Reacher-v5."""

    xml_file: str = "reacher.xml"
    frame_skip: int = 2
    fast_options: ClassVar[Mapping[str, Any]] = CHEAPER
    reward_dist_weight: float = 1
    reward_control_weight: float = 1

    def reset(self, rng: np.random.Generator) -> State:
        qpos = rng.uniform(low=-0.1, high=0.1, size=self.model.nq) + self.init_qpos
        while True:
            goal = rng.uniform(low=-0.2, high=0.2, size=2)
            if np.linalg.norm(goal) < 0.2:
                break
        qpos[-2:] = goal
        qvel = self.init_qvel + rng.uniform(low=-0.005, high=0.005, size=self.model.nv)
        qvel[-2:] = 0
        return qpos, qvel

    def gap(self, data: Any) -> Any:
        return data.body("fingertip").xpos - data.body("target").xpos

    def observe(self, data: Any) -> Any:
        theta = data.qpos[:2]
        parts = (np.cos(theta), np.sin(theta), data.qpos[2:], data.qvel[:2], self.gap(data)[:2])
        return np.concatenate(parts)

    def reward(self, data: Any, action: Any, before: Any) -> Any:
        distance = -np.linalg.norm(self.gap(data)) * self.reward_dist_weight
        return distance + -self.squares(action) * np.float32(self.reward_control_weight)


@register_twin("Pusher-v5")
@dataclass(frozen=True)
class Pusher(GymnasiumMujoco):
    """Pusher-v5."""

    xml_file: str = "pusher_v5.xml"
    frame_skip: int = 5
    reward_near_weight: float = 0.5
    reward_dist_weight: float = 1
    reward_control_weight: float = 0.1

    def reset(self, rng: np.random.Generator) -> State:
        qpos, goal = self.init_qpos, np.asarray([0, 0])
        while True:
            cylinder = np.concatenate(
                [rng.uniform(low=-0.3, high=0, size=1), rng.uniform(low=-0.2, high=0.2, size=1)]
            )
            if np.linalg.norm(cylinder - goal) > 0.17:
                break
        qpos[-4:-2] = cylinder
        qpos[-2:] = goal
        qvel = self.init_qvel + rng.uniform(low=-0.005, high=0.005, size=self.model.nv)
        qvel[-4:] = 0
        return qpos, qvel

    def observe(self, data: Any) -> Any:
        bodies = (data.body("tips_arm").xpos, data.body("object").xpos, data.body("goal").xpos)
        return np.concatenate((data.qpos[:7], data.qvel[:7], bodies[0], bodies[1], bodies[2]))

    def reward(self, data: Any, action: Any, before: Any) -> Any:
        thing = data.body("object").xpos
        near = -np.linalg.norm(thing - data.body("tips_arm").xpos) * self.reward_near_weight
        distance = -np.linalg.norm(thing - data.body("goal").xpos) * self.reward_dist_weight
        control = -self.squares(action) * np.float32(self.reward_control_weight)
        return distance + control + near


@register_twin("InvertedPendulum-v5")
@dataclass(frozen=True)
class InvertedPendulum(GymnasiumMujoco):
    """InvertedPendulum-v5."""

    xml_file: str = "inverted_pendulum.xml"
    frame_skip: int = 2
    fast_options: ClassVar[Mapping[str, Any]] = CHEAPER
    reset_noise_scale: float = 0.01

    def reset(self, rng: np.random.Generator) -> State:
        return self.noisy(rng, self.reset_noise_scale, normal=False)

    def observe(self, data: Any) -> Any:
        return np.concatenate((data.qpos, data.qvel))

    def terminated(self, data: Any) -> Any:
        seen = self.observe(data)
        return not np.all(np.isfinite(seen)) or np.abs(seen[1]) > 0.2

    def reward(self, data: Any, action: Any, before: Any) -> Any:
        return 0.0 if self.terminated(data) else 1.0


@register_twin("InvertedDoublePendulum-v5")
@dataclass(frozen=True)
class InvertedDoublePendulum(GymnasiumMujoco):
    """InvertedDoublePendulum-v5."""

    xml_file: str = "inverted_double_pendulum.xml"
    frame_skip: int = 5
    fast_options: ClassVar[Mapping[str, Any]] = CHEAPER
    healthy_reward: float = 10.0
    reset_noise_scale: float = 0.1
    constraints: ClassVar[int] = 1  # forces of constraints that are seen

    def reset(self, rng: np.random.Generator) -> State:
        scale = self.reset_noise_scale
        qpos = self.init_qpos + rng.uniform(low=-scale, high=scale, size=self.model.nq)
        return qpos, self.init_qvel + rng.standard_normal(self.model.nv) * scale

    def observe(self, data: Any) -> Any:
        angles = data.qpos[1:]
        forces = np.clip(data.qfrc_constraint, -10, 10)[: self.constraints]
        parts = (np.sin(angles), np.cos(angles), np.clip(data.qvel, -10, 10), forces)
        return np.concatenate((data.qpos[:1], parts[0], parts[1], parts[2], parts[3]))

    def terminated(self, data: Any) -> Any:
        return data.site_xpos[0, 2] <= 1

    def alive(self, data: Any) -> Any:
        return 0.0 if self.terminated(data) else self.healthy_reward

    def reward(self, data: Any, action: Any, before: Any) -> Any:
        x, y = data.site_xpos[0, 0], data.site_xpos[0, 2]
        v1, v2 = data.qvel[1], data.qvel[2]
        distance = 0.01 * x**2 + (y - 2) ** 2
        velocity = 1e-3 * v1**2 + 5e-3 * v2**2
        return self.alive(data) - distance - velocity
