"""A crawler on two legs, whose feet feel the ground: a task made of the model crawler.xml.

zorl train --env crawler:Crawler-v0 --timesteps 1_000_000
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from zorl.envs import CompiledMujoco, register_mujoco


@register_mujoco("Crawler-v0", max_episode_steps=400, reward_threshold=250.0)
@dataclass(frozen=True)
class Crawler(CompiledMujoco):
    """It is to crawl to the right; an episode ends when it lies on its back."""

    xml_file: str = "crawler.xml"
    frame_skip: int = 4
    effort: float = 0.1

    camera: ClassVar[Mapping[str, Any]] = {"camera_name": "side"}

    def reset(self, rng: np.random.Generator) -> Any:
        """Standing, and a little disturbed."""
        noise = rng.uniform(-0.05, 0.05, (2, self.model.nq))
        return self.init_qpos + noise[0], self.init_qvel + noise[1]

    def observe(self, data: Any) -> Any:
        """Height, angles, velocities, and how hard each foot presses on the ground."""
        feet = np.array([data.sensor("hind").data[0], data.sensor("fore").data[0]])
        return np.concatenate((data.qpos[1:], data.qvel, np.tanh(feet / 20)))

    def before(self, data: Any) -> Any:
        """Where it is."""
        return data.body("torso").xpos[0]

    def reward(self, data: Any, action: Any, before: Any) -> Any:
        """Its velocity in metres a second, less the effort."""
        speed = (data.body("torso").xpos[0] - before) / self.dt
        return speed - self.effort * np.sum(np.square(action))

    def terminated(self, data: Any) -> Any:
        """Whether it has turned over."""
        return np.abs(data.joint("pitch").qpos[0]) > 1.5
