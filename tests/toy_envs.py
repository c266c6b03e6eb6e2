"""Toy environments and wrappers of the tests, named "toy_envs:…": worker processes import them too.

`Walk` is a random walk of every kind of space, with an episode length that depends on its seed, and
with faults on demand.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

OBSERVATIONS: dict[str, spaces.Space[Any]] = {
    "box": spaces.Box(-np.inf, np.inf, (3,), np.float64),
    "image": spaces.Box(0, 255, (2, 3), np.uint8),
    "discrete": spaces.Discrete(5, start=2),
    "dict": spaces.Dict({"x": spaces.Box(-1, 1, (2,))}),
}
ACTIONS: dict[str, spaces.Space[Any]] = {
    "discrete": spaces.Discrete(3, start=-1),
    "multi-discrete": spaces.MultiDiscrete([2, 4], start=[0, 3]),
    "multi-binary": spaces.MultiBinary(4),
    "box": spaces.Box(np.array([-1.0, 0.0]), np.array([1.0, 5.0]), dtype=np.float64),
    "tuple": spaces.Tuple([spaces.Discrete(2), spaces.Discrete(2)]),
}


class Walk(gym.Env[Any, Any]):
    """A random walk.

    Args:
        observation: a name in `OBSERVATIONS`.
        action: a name in `ACTIONS`.
        fault: what goes wrong: "nan-reward", "inf-reward", "nan-observation", "inf-observation",
            "wrong-shape", "raise-step", "raise-reset", "exit" or "kill" (of a worker process).
        at: the step at which it does.
        fault_seed: the only episode in which it does; None: in every one.
        single: give rewards as numpy's float32.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012

    def __init__(
        self,
        observation: str = "box",
        action: str = "discrete",
        fault: str = "none",
        at: int = 3,
        fault_seed: int | None = None,
        single: bool = False,
    ) -> None:
        self.observation_space = OBSERVATIONS[observation]
        self.action_space = ACTIONS[action]
        self._observation = observation
        self._fault, self._at, self._fault_seed = fault, at, fault_seed
        self._single = single
        self._bad = False

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._bad = self._fault_seed is None or seed == self._fault_seed
        if self._bad and self._fault == "raise-reset":
            raise RuntimeError("the reset is broken")
        self._x = self.np_random.normal(size=3)
        self._steps = 0
        self._length = int(self.np_random.integers(4, 30))
        observation = self._observe()
        if self._bad and self._fault == "wrong-shape":
            observation = np.zeros(7)
        return observation, {}

    def _observe(self) -> Any:
        if self._observation == "discrete":
            return int(np.floor(abs(self._x[0]) * 3)) % 5 + 2
        if self._observation == "image":
            return (np.abs(np.outer(self._x[:2], self._x)) * 100 % 256).astype(np.uint8)
        if self._observation == "dict":
            return {"x": np.tanh(self._x[:2]).astype(np.float32)}
        return self._x.copy()

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(
            np.int64(action) if isinstance(action, int) else action
        ), action
        self._steps += 1
        push = float(np.asarray(action, dtype=np.float64).sum())
        self._x = 0.9 * self._x + 0.3 * self.np_random.normal(size=3) + 0.01 * push
        reward: Any = -abs(self._x[0]) + 0.001 * push
        observation = self._observe()
        if self._bad and self._steps == self._at:
            observation, reward = self._go_wrong(observation, reward)
        over = self._steps >= self._length
        wins = self._x[1] > 0
        return observation, np.float32(reward) if self._single else reward, over and wins, over, {}

    def _go_wrong(self, observation: Any, reward: float) -> tuple[Any, float]:
        if self._fault == "raise-step":
            raise RuntimeError("the step is broken")
        if multiprocessing.parent_process() is not None:  # never this process
            if self._fault == "exit":
                os._exit(7)
            if self._fault == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
        if self._fault.endswith("-observation"):
            observation = observation.copy()
            observation[1] = np.nan if self._fault.startswith("nan") else np.inf
        if self._fault.endswith("-reward"):
            reward = np.nan if self._fault.startswith("nan") else np.inf
        return observation, reward


gym.register("toy/Walk-v0", Walk, max_episode_steps=25, disable_env_checker=True)
WALK = "toy_envs:toy/Walk-v0"


class CountReal(gym.Wrapper[Any, Any, Any, Any]):
    """Counts the steps and the finished episodes that environments of this process really make."""

    steps = 0
    episodes = 0

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        result = self.env.step(action)
        CountReal.steps += 1
        CountReal.episodes += bool(result[2] or result[3])
        return result


class Doubled(gym.Wrapper[Any, Any, Any, Any]):
    """Twice the reward."""

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        return observation, 2 * float(reward), terminated, truncated, info
