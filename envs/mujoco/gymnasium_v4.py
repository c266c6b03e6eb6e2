"""Gymnasium's MuJoCo tasks, version 4: where they differ from version 5.

They have fewer options; what keeps healthy pays at every step if falling ends an episode; and
observations hold a little more. Pusher-v4 needs a MuJoCo of the past.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from zorl.envs.mujoco import gymnasium_v5 as v5, humanoids_v5
from zorl.envs.twins.base import register_twin


def fixed(value: Any) -> Any:
    """A field that is no option."""
    return field(default=value, init=False)


@register_twin("HalfCheetah-v4")
@dataclass(frozen=True)
class HalfCheetah(v5.HalfCheetah):
    """HalfCheetah-v4."""

    xml_file: str = fixed("half_cheetah.xml")
    frame_skip: int = fixed(5)


@register_twin("Swimmer-v4")
@dataclass(frozen=True)
class Swimmer(v5.Swimmer):
    """Swimmer-v4."""

    xml_file: str = fixed("swimmer.xml")
    frame_skip: int = fixed(4)


@register_twin("Hopper-v4")
@dataclass(frozen=True)
class Hopper(v5.Hopper):
    """Hopper-v4."""

    xml_file: str = fixed("hopper.xml")
    frame_skip: int = fixed(4)
    forward_reward_weight: float = 1.0

    def survival(self, data: Any) -> Any:
        return (self.terminate_when_unhealthy or self.healthy(data)) * self.healthy_reward


@register_twin("Walker2d-v4")
@dataclass(frozen=True)
class Walker2d(v5.Walker2d):
    """Walker2d-v4."""

    xml_file: str = fixed("walker2d.xml")
    frame_skip: int = fixed(4)

    def survival(self, data: Any) -> Any:
        return (self.terminate_when_unhealthy or self.healthy(data)) * self.healthy_reward


@register_twin("Ant-v4")
@dataclass(frozen=True)
class Ant(v5.Ant):
    """Ant-v4."""

    frame_skip: int = fixed(5)
    forward_reward_weight: float = fixed(1)
    main_body: int | str = fixed("torso")
    include_cfrc_ext_in_observation: bool = fixed(False)
    use_contact_forces: bool = False

    def observe(self, data: Any) -> Any:
        first = 2 * self.exclude_current_positions_from_observation
        if self.use_contact_forces:
            return np.concatenate((data.qpos[first:], data.qvel, self.forces(data).flatten()))
        return np.concatenate((data.qpos[first:], data.qvel))

    def reward(self, data: Any, action: Any, before: Any) -> Any:
        velocity = (data.body(self.main_body).xpos[0] - before) / self.dt
        alive = (self.terminate_when_unhealthy or self.healthy(data)) * self.healthy_reward
        control = np.float32(self.ctrl_cost_weight) * self.squares(action)
        if self.use_contact_forces:
            contact = self.contact_cost_weight * np.sum(np.square(self.forces(data)))
            return velocity + alive - (control + contact)
        return velocity + alive - control


@dataclass(frozen=True)
class _Body(humanoids_v5.HumanoidBody):
    """All that is seen of a body, the world's own entries too."""

    frame_skip: int = fixed(5)
    include_cinert_in_observation: bool = fixed(True)
    include_cvel_in_observation: bool = fixed(True)
    include_qfrc_actuator_in_observation: bool = fixed(True)
    include_cfrc_ext_in_observation: bool = fixed(True)

    def observe(self, data: Any) -> Any:
        first = 2 * self.exclude_current_positions_from_observation
        inertia, velocity, forces = data.cinert.ravel(), data.cvel.ravel(), data.cfrc_ext.ravel()
        parts = (data.qpos[first:], data.qvel, inertia, velocity, data.qfrc_actuator, forces)
        return np.concatenate(parts)


@register_twin("Humanoid-v4")
@dataclass(frozen=True)
class Humanoid(_Body, humanoids_v5.Humanoid):
    """Humanoid-v4."""

    xml_file: str = fixed("humanoid.xml")
    contact_cost_weight: float = fixed(0.0)
    contact_cost_range: Sequence[float] = fixed((0.0, 0.0))

    def reward(self, data: Any, action: Any, before: Any) -> Any:
        velocity = (self.before(data) - before) / self.dt
        alive = (self.terminate_when_unhealthy or self.healthy(data)) * self.healthy_reward
        return self.forward_reward_weight * velocity + alive - self.control_cost(data)


@register_twin("HumanoidStandup-v4")
@dataclass(frozen=True)
class HumanoidStandup(_Body, humanoids_v5.HumanoidStandup):
    """HumanoidStandup-v4."""

    xml_file: str = fixed("humanoidstandup.xml")
    ctrl_cost_weight: float = fixed(0.1)
    reset_noise_scale: float = fixed(0.01)
    exclude_current_positions_from_observation: bool = fixed(True)
    uph_cost_weight: float = fixed(1)
    impact_cost_weight: float = fixed(0.5e-6)
    impact_cost_range: Sequence[float] = fixed((-v5.INF, 10.0))


@register_twin("Reacher-v4")
@dataclass(frozen=True)
class Reacher(v5.Reacher):
    """Reacher-v4: the distance is that before the step."""

    xml_file: str = fixed("reacher.xml")
    frame_skip: int = fixed(2)
    reward_dist_weight: float = fixed(1)
    reward_control_weight: float = fixed(1)

    def observe(self, data: Any) -> Any:
        theta = data.qpos[:2]
        parts = (np.cos(theta), np.sin(theta), data.qpos[2:], data.qvel[:2], self.gap(data))
        return np.concatenate(parts)

    def before(self, data: Any) -> Any:
        return np.linalg.norm(self.gap(data))

    def reward(self, data: Any, action: Any, before: Any) -> Any:
        return -before + -self.squares(action)


@register_twin("InvertedPendulum-v4")
@dataclass(frozen=True)
class InvertedPendulum(v5.InvertedPendulum):
    """InvertedPendulum-v4: the last step pays too."""

    xml_file: str = fixed("inverted_pendulum.xml")
    frame_skip: int = fixed(2)
    reset_noise_scale: float = fixed(0.01)

    def reward(self, data: Any, action: Any, before: Any) -> Any:
        return 1.0


@register_twin("InvertedDoublePendulum-v4")
@dataclass(frozen=True)
class InvertedDoublePendulum(v5.InvertedDoublePendulum):
    """InvertedDoublePendulum-v4: the last step pays too, and all constraint forces are seen."""

    xml_file: str = fixed("inverted_double_pendulum.xml")
    frame_skip: int = fixed(5)
    healthy_reward: float = fixed(10.0)
    reset_noise_scale: float = fixed(0.1)
    constraints: ClassVar[int] = 3

    def alive(self, data: Any) -> Any:
        return self.healthy_reward
