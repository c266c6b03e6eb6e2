"""An environment whose pictures tell the step, agents for it, and what is in a GIF."""

from __future__ import annotations

import io
from typing import Any

import gymnasium as gym
import numpy as np
from PIL import Image

from zorl.envs import make_task


class Coloured(gym.Env):
    """An episode of `length` steps whose picture's red is the step; action 1 pays 1."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}  # noqa: RUF012
    observation_space = gym.spaces.Box(0.0, 1e6, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)
    rendered: list[int]
    seeds: list[int]
    closed = 0

    def __init__(
        self, length: int = 10, size: Any = (60, 40), fails: str = "", render_mode: Any = None
    ) -> None:
        self.length, self.size, self.fails, self.render_mode = length, size, fails, render_mode
        self.count = 0

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        Coloured.seeds.append(seed)  # type: ignore[arg-type]
        self.count = 0
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> Any:
        assert type(action) is int
        self.count += 1
        if self.fails == "step":
            raise RuntimeError("stuck")
        observation = np.array([self.count], np.float32)
        return observation, float(action), self.count == self.length, False, {}

    def render(self) -> Any:
        if self.fails == "raise":
            raise RuntimeError("no GL context\nof any kind")
        Coloured.rendered.append(self.count)
        width, height = self.size
        width += self.count * (self.fails == "grow")
        picture = np.zeros((height, width, 3), np.uint8)
        picture[..., 0] = self.count
        return None if self.fails == "none" else picture

    def close(self) -> None:
        Coloured.closed += 1


gym.register(
    "zorl-tests/Coloured-v0",
    entry_point=lambda **kwargs: Coloured(**kwargs),
    max_episode_steps=1000,
)


class OneAgent:
    """Always action 1, as SB3 returns it."""

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
    ) -> Any:
        assert deterministic
        return np.array(1), state


class Counting:
    """An agent with a state: the number of its steps in the episode, which is also its action."""

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
    ) -> Any:
        count = 0 if episode_start[0] else state + 1
        return np.array(int(count == 0)), count


class Swing:
    """Pushes the car the way it moves, which reaches the flag."""

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
    ) -> Any:
        return np.array(2 if observation[1] >= 0 else 0), state


class Clock:
    now = 1000.0

    def __call__(self) -> Any:
        return self.now


def coloured(**kwargs: Any) -> Any:
    return make_task("zorl-tests/Coloured-v0", env_kwargs=kwargs)


def gif_frames(data: Any) -> Any:
    """Pictures and durations in ms of an encoded GIF."""
    image = Image.open(io.BytesIO(data))
    pictures, durations = [], []
    for index in range(image.n_frames):  # type: ignore[attr-defined]
        image.seek(index)
        durations.append(image.info["duration"])
        pictures.append(np.asarray(image.convert("RGB")))
    return pictures, durations


def reds(frames: Any) -> Any:
    return [int(picture[0, 0, 0]) for picture in frames.pictures]


def stripes(count: Any, height: int = 40, width: int = 60) -> Any:
    """Pictures of distinct colours, a stripe moving over them."""
    pictures = []
    for index in range(count):
        picture = np.full((height, width, 3), 255, np.uint8)
        picture[:, index : index + 3] = (200, 10 * index % 256, 30)
        pictures.append(picture)
    return pictures
