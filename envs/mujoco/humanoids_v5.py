"""Gymnasium's humanoids, version 5, as compiled twins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from zorl.envs.mujoco.gymnasium_v5 import CHEAPER, INF, GymnasiumMujoco
from zorl.envs.mujoco.task import State
from zorl.envs.twins.base import register_twin


@dataclass(frozen=True)
class HumanoidBody(GymnasiumMujoco):
    """What Humanoid and HumanoidStandup share: a body, and what is seen of it."""

    frame_skip: int = 5
    ctrl_cost_weight: float = 0.1
    reset_noise_scale: float = 1e-2
    exclude_current_positions_from_observation: bool = True
    include_cinert_in_observation: bool = True
    include_cvel_in_observation: bool = True
    include_qfrc_actuator_in_observation: bool = True
    include_cfrc_ext_in_observation: bool = True

    def reset(self, rng: np.random.Generator) -> State:
        return self.noisy(rng, self.reset_noise_scale, normal=False)

    def observe(self, data: Any) -> Any:
        first = 2 * self.exclude_current_positions_from_observation
        seen = np.concatenate((data.qpos[first:], data.qvel))
        if self.include_cinert_in_observation:
            seen = np.concatenate((seen, data.cinert[1:].ravel()))
        if self.include_cvel_in_observation:
            seen = np.concatenate((seen, data.cvel[1:].ravel()))
        if self.include_qfrc_actuator_in_observation:
            seen = np.concatenate((seen, data.qfrc_actuator[6:]))
        if self.include_cfrc_ext_in_observation:
            seen = np.concatenate((seen, data.cfrc_ext[1:].ravel()))
        return seen

    def control_cost(self, data: Any) -> Any:
        return self.ctrl_cost_weight * np.sum(np.square(data.ctrl))


@register_twin("Humanoid-v5")
@dataclass(frozen=True)
class Humanoid(HumanoidBody):
    """Humanoid-v5."""

    xml_file: str = "humanoid.xml"
    fast_options: ClassVar[Mapping[str, Any]] = CHEAPER
    forward_reward_weight: float = 1.25
    contact_cost_weight: float = 5e-7
    contact_cost_range: Sequence[float] = (-INF, 10.0)
    healthy_reward: float = 5.0
    terminate_when_unhealthy: bool = True
    healthy_z_range: Sequence[float] = (1.0, 2.0)

    def healthy(self, data: Any) -> Any:
        return self.healthy_z_range[0] < data.qpos[2] < self.healthy_z_range[1]

    @property
    def mass(self) -> float:
        """Of all bodies."""
        return float(self.model.body_mass.sum())

    def before(self, data: Any) -> Any:
        """Where the centre of mass is, along x."""
        moment = 0.0
        for body in range(len(self.model.body_mass)):
            moment += self.model.body_mass[body] * data.xipos[body, 0]
        return moment / self.mass

    def reward(self, data: Any, action: Any, before: Any) -> Any:
        velocity = (self.before(data) - before) / self.dt
        gain = self.forward_reward_weight * velocity + self.healthy(data) * self.healthy_reward
        contact = self.contact_cost_weight * np.sum(np.square(data.cfrc_ext))
        contact = min(max(contact, self.contact_cost_range[0]), self.contact_cost_range[1])
        return gain - (self.control_cost(data) + contact)

    def terminated(self, data: Any) -> Any:
        return self.terminate_when_unhealthy and not self.healthy(data)


@register_twin("HumanoidStandup-v5")
@dataclass(frozen=True)
class HumanoidStandup(HumanoidBody):
    """HumanoidStandup-v5; `uph_cost_weight` has no effect in Gymnasium either."""

    xml_file: str = "humanoidstandup.xml"
    uph_cost_weight: float = 1
    impact_cost_weight: float = 0.5e-6
    impact_cost_range: Sequence[float] = (-INF, 10.0)

    def reward(self, data: Any, action: Any, before: Any) -> Any:
        height = (data.qpos[2] - 0) / self.model.opt.timestep
        impact = self.impact_cost_weight * np.sum(np.square(data.cfrc_ext))
        impact = min(max(impact, self.impact_cost_range[0]), self.impact_cost_range[1])
        return height - self.control_cost(data) - impact + 1
