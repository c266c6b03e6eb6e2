"""Small tasks made of MuJoCo models, named "toy_mujoco:…"."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from zorl.envs import CompiledMujoco, register_mujoco, register_twin
from zorl.envs.mujoco.environment import environment_of

# A mass on a spring in the plane, which is driven to a place that is drawn anew in each episode.
MODEL = """
<mujoco>
  <option timestep="0.01"/>
  <size nuserdata="2"/>
  <worldbody>
    <body name="mass">
      <joint name="x" type="slide" axis="1 0 0" stiffness="2" damping="0.3"/>
      <joint name="y" type="slide" axis="0 1 0" stiffness="2" damping="0.3"/>
      <geom size="0.1" mass="1"/>
      <site name="tip" pos="0.1 0 0"/>
    </body>
    <body name="goal" mocap="true"><geom size="0.05" contype="0" conaffinity="0"/></body>
  </worldbody>
  <actuator>
    <motor joint="x" gear="3" ctrllimited="true" ctrlrange="-1 1"/>
    <motor joint="y" gear="3" ctrllimited="true" ctrlrange="-1 2"/>
  </actuator>
  <sensor><velocimeter name="speed" site="tip"/></sensor>
</mujoco>
"""


def offset(data: Any) -> Any:
    """From the goal to the tip."""
    return data.site("tip").xpos - data.body("goal").xpos


@register_mujoco("Spring-v0", max_episode_steps=50, reward_threshold=30.0)
@dataclass(frozen=True)
class Spring(CompiledMujoco):
    """It uses numpy and MuJoCo in many ways."""

    xml_file: str = MODEL
    frame_skip: int = 2
    far: float = 1.2
    bonus: float = 0.0  # of each step of an episode

    def reset(self, rng: np.random.Generator) -> Any:
        goal = rng.uniform(-1, 1, (1, 3)) * (1, 1, 0)
        return {
            "userdata": np.array([10 * self.bonus, rng.normal()]),
            "mocap_pos": goal,
            "qpos": self.init_qpos + rng.uniform(-0.1, 0.1, self.model.nq),
        }

    def observe(self, data: Any) -> Any:
        gap = offset(data)[:2]
        angle = np.arctan2(gap[1], gap[0])
        more = np.array([angle, np.hypot(gap[0], gap[1]), np.mean(np.cos(data.qpos))])
        speed = data.sensor("speed").data
        own = data.userdata[1:]
        return np.hstack([np.tanh(data.qvel), gap, speed, own, more, data.site_xpos[:, 0]])

    def before(self, data: Any) -> Any:
        return data.qpos

    def reward(self, data: Any, action: Any, before: Any) -> Any:
        moved = np.linalg.norm(data.qpos - before)
        near = np.exp(-2 * np.linalg.norm(offset(data)))
        effort = 0.01 * moved + 0.001 * np.sum(np.square(action)) * math.exp(-near)
        return near - effort + data.userdata[0]

    def terminated(self, data: Any) -> Any:
        for number in data.qpos:  # noqa: SIM110
            if abs(number) > self.far:
                return True
        return False


class LouderEnv(environment_of(Spring)):  # type: ignore[misc]
    """Its rewards differ from those of its twin in the last bits."""

    def step(self, action: Any) -> Any:
        seen, reward, *others = super().step(action)
        return seen, reward * (1 + 1e-15), *others


gym.register("Louder-v0", LouderEnv, max_episode_steps=50)
register_twin("Louder-v0", Spring)


@register_mujoco("Unwritten-v0", max_episode_steps=20)
@dataclass(frozen=True)
class Unwritten(Spring):
    """Its reward cannot be translated."""

    def reward(self, data: Any, action: Any, before: Any) -> Any:
        return sum([abs(number) for number in data.qpos])
