"""An environment whose steps take a fixed time, asleep or busy. Worker processes import it too."""

from __future__ import annotations

import time
from typing import Any

import gymnasium as gym
import numpy as np


class Burning(gym.Env[Any, Any]):
    """An environment whose episode length depends only on the seed.

    Args:
        seconds: duration of a step.
        busy: compute during a step instead of sleeping.
        shortest: steps of the shortest episode.
        longest: steps of the longest episode.
    """

    observation_space = gym.spaces.Box(-1.0, 1.0, (2,), np.float64)
    action_space = gym.spaces.Discrete(2)

    def __init__(
        self, seconds: float, busy: bool = False, shortest: int = 10, longest: int = 20
    ) -> None:
        self._seconds, self._busy = seconds, busy
        self._range = shortest, longest + 1

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        """See `gymnasium.Env.reset`."""
        super().reset(seed=seed)
        self._left = int(self.np_random.integers(*self._range))
        return np.zeros(2), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """See `gymnasium.Env.step`."""
        if self._busy:
            end = time.perf_counter() + self._seconds
            while time.perf_counter() < end:
                pass
        else:
            time.sleep(self._seconds)
        self._left -= 1
        return np.zeros(2), 1.0, self._left <= 0, False, {}


gym.register("bench/Burning-v0", "burning:Burning", disable_env_checker=True)
