"""Toy environments and wrappers of the tests, named "toy_envs:…": worker processes import them too.

`Walk` is a random walk of every kind of space, with an episode length that depends on its seed, and
with faults on demand.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium import spaces

OBSERVATIONS: dict[str, spaces.Space[Any]] = {
    "box": spaces.Box(-np.inf, np.inf, (3,), np.float64),
    "image": spaces.Box(0, 255, (2, 3), np.uint8),
    "discrete": spaces.Discrete(5, start=2),
    "multi-discrete": spaces.MultiDiscrete(
        np.array([[3, 2], [2, 4]]), start=np.array([[0, 5], [-1, 0]])
    ),
    "multi-binary": spaces.MultiBinary([1, 3]),
    "bits": spaces.MultiBinary(3),
    "choices": spaces.MultiDiscrete([3, 2]),
    "number": spaces.Box(-9, 9, (), np.int64),
    "whole": spaces.Box(-9, 9, (2, 1), np.int16),
    "from-0": spaces.Discrete(7),
    "tuple": spaces.Tuple([spaces.MultiBinary([1, 3]), spaces.Box(-9, 9, (), np.int64)]),
    "sequence": spaces.Sequence(spaces.Discrete(2)),
    "dict": spaces.Dict({"x": spaces.Box(-1, 1, (2,))}),
    "text": spaces.Dict({"x": spaces.Box(-1, 1, (2,)), "mission": spaces.Text(5)}),
}
OBSERVATIONS["nested"] = spaces.Dict(
    {
        "z": OBSERVATIONS["tuple"],
        "pixels": OBSERVATIONS["image"],
        "state": spaces.Dict(
            {name: OBSERVATIONS[name] for name in ("box", "discrete", "multi-discrete")}
        ),
    }
)
ACTIONS: dict[str, spaces.Space[Any]] = {
    "discrete": spaces.Discrete(3, start=-1),
    "multi-discrete": spaces.MultiDiscrete([2, 4], start=[0, 3]),
    "multi-binary": spaces.MultiBinary(4),
    "box": spaces.Box(np.array([-1.0, 0.0]), np.array([1.0, 5.0]), dtype=np.float64),
    "open-box": spaces.Box(
        np.array([-1, 0, -np.inf], np.float32), np.array([2, np.inf, np.inf], np.float32)
    ),
    "tuple": spaces.Tuple([spaces.Discrete(2), spaces.Discrete(2)]),
}


class Walk(gym.Env[Any, Any]):
    """A random walk.

    Args:
        observation: a name in `OBSERVATIONS`.
        action: a name in `ACTIONS`.
        fault: what goes wrong: "nan-reward", "inf-reward", "nan-observation", "inf-observation",
            "wrong-shape", "raise-step", "sys-exit", "raise-reset", "hang", "exit" or "kill" (of a
            worker process), "exit-anywhere".
        at: the step at which it does.
        fault_seed: the only episode in which it does; None: in every one.
        single: give rewards as numpy's float32.
        fails: how many times it goes wrong, counted in the file `ledger`; None: every time.
        ledger: a file that gets a byte for each time.
        nap: sleep up to so many seconds in a reset, by no seed: episodes end in any order.
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
        fails: int | None = None,
        ledger: str | None = None,
        nap: float = 0.0,
    ) -> None:
        self._fails, self._ledger, self._nap = fails, ledger, nap
        self.observation_space = OBSERVATIONS[observation]
        self.action_space = ACTIONS[action]
        self._observation = observation
        self._fault, self._at, self._fault_seed = fault, at, fault_seed
        self._single = single
        self._bad = False

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._bad = self._fault_seed is None or seed == self._fault_seed
        if self._nap:
            time.sleep(self._nap * random.random())
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
        return self._seen_as(self._observation)

    def _seen_as(self, kind: str) -> Any:
        x = self._x
        if kind == "discrete":
            return int(np.floor(abs(x[0]) * 3)) % 5 + 2
        if kind == "image":
            return (np.abs(np.outer(x[:2], x)) * 100 % 256).astype(np.uint8)
        if kind == "multi-discrete":
            space: Any = OBSERVATIONS[kind]
            return (np.abs(np.outer(x[:2], x[1:])) * 9).astype(np.int64) % space.nvec + space.start
        if kind == "multi-binary":
            return (x > 0)[None].astype(np.int8)
        if kind == "dict":
            return {"x": np.tanh(x[:2]).astype(np.float32)}
        if kind in ("whole", "number"):
            whole = np.clip(x[:2, None] * 5, -9, 9).astype(OBSERVATIONS[kind].dtype)
            return whole if kind == "whole" else whole[0, 0]
        if kind == "bits":
            return self._seen_as("multi-binary")[0]
        if kind == "choices":
            return self._seen_as("multi-discrete")[0] - [0, 5]
        if kind == "from-0":
            return self._seen_as("discrete")
        if kind == "tuple":
            return self._seen_as("multi-binary"), self._seen_as("number")
        if kind == "nested":
            state = {name: self._seen_as(name) for name in ("multi-discrete", "box", "discrete")}
            return {
                "state": state,
                "pixels": self._seen_as("image"),
                "z": self._seen_as("tuple"),
            }
        return x.copy()

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
        if self._ledger is not None:
            with Path(self._ledger).open("ab") as file:
                if file.tell() == self._fails:
                    return observation, reward
                file.write(b"x")
        if self._fault == "raise-step":
            raise RuntimeError("the step is broken")
        if self._fault == "sys-exit":
            sys.exit("the window was closed")
        if self._fault == "exit-anywhere":
            os._exit(7)
        if multiprocessing.parent_process() is not None:  # never this process
            if self._fault == "exit":
                os._exit(7)
            if self._fault == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if self._fault == "hang":
                time.sleep(600)
        if self._fault.endswith("-observation"):
            observation = observation.copy()
            observation[1] = np.nan if self._fault.startswith("nan") else np.inf
        if self._fault.endswith("-reward"):
            reward = np.nan if self._fault.startswith("nan") else np.inf
        return observation, reward


gym.register("toy/Walk-v0", Walk, max_episode_steps=25, disable_env_checker=True)  # type: ignore[arg-type]
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


class Loose(gym.Env[Any, Any]):
    """Says that its observations are float32; `how` says what they are."""

    observation_space = spaces.Box(-np.inf, np.inf, (3,), np.float32)
    action_space = spaces.Discrete(3, start=-1)

    def __init__(self, how: str = "single") -> None:
        self._how = how

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._steps, self._x = 0, np.array([1, 2, 3])
        return self._observe(), {}

    def _observe(self) -> Any:
        exact = self._x.astype(np.float32)
        if self._how == "alternating":
            return exact.astype(np.float64) if self._steps % 2 else exact
        if self._how == "double":
            return exact.astype(np.float64)
        if self._how == "nan-reset" and not self._steps:
            return exact * np.nan
        if self._how == "list":
            return exact.tolist()
        if self._how == "short" or (self._how == "short-later" and self._steps):
            return self._x.astype(np.int32)  # as long as float32
        return self._x if self._how == "integer" else exact

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        self._steps += 1
        self._x = self._x + self.np_random.integers(-3, 4, 3) + action
        return self._observe(), int(self._x[0]), self._steps >= 9, False, {}


class Endless(gym.Env[Any, Any]):
    """An episode of it never ends."""

    observation_space = spaces.Box(-1, 1, (1,), np.float32)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return np.zeros(1, np.float32), float(action), False, False, {}


gym.register("toy/Endless-v0", Endless)  # type: ignore[arg-type]
ENDLESS = "toy_envs:toy/Endless-v0"


gym.register("toy/Loose-v0", Loose, disable_env_checker=True)  # type: ignore[arg-type]


class Shared(gym.Env[Any, Any]):
    """All instances write into one observation, and into one info."""

    observation_space = spaces.Box(-np.inf, np.inf, (3,), np.float32)
    action_space = spaces.Discrete(3, start=-1)
    buffers: ClassVar[dict[str, Any]] = {
        "single": np.zeros(3, np.float32),
        "double": np.zeros(3),
        "list": [0.0, 0.0, 0.0],
        "view": np.zeros((2, 3), np.float32)[1],
        "strided": np.zeros((3, 2), np.float32)[:, 0],
    }
    info: ClassVar[dict[str, Any]] = {}

    def __init__(self, buffer: str = "single") -> None:
        self._buffer = self.buffers[buffer]

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._steps, self._x = 0, self.np_random.normal(size=3)
        return self._observe(), {}

    def _observe(self) -> Any:
        self._buffer[:] = self._x
        return self._buffer

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        self._steps += 1
        self._x = 0.9 * self._x + 0.1 * action + 0.1 * self.np_random.normal(size=3)
        self.info["is_success"] = bool(self._x[0] > 0)
        return self._observe(), float(self._x[0]), self._steps >= 9, False, self.info


gym.register("toy/Shared-v0", Shared, disable_env_checker=True)  # type: ignore[arg-type]


class Another(gym.Env[Any, Any]):
    """Does not keep to Gymnasium's API; `how` says in what."""

    observation_space = spaces.Box(-np.inf, np.inf, (3,), np.float32)
    action_space = spaces.Discrete(3)
    rewards: ClassVar[dict[str, Any]] = {
        "none": None,
        "vector": np.ones(2),
        "one": np.ones(1),
        "word": "much",
    }

    def __init__(self, how: str) -> None:
        self._how = how

    def __getattribute__(self, name: str) -> Any:
        if name == "reset" and object.__getattribute__(self, "_how") == "old reset":
            return lambda: np.zeros(3, np.float32)
        if name == "reset" and object.__getattribute__(self, "_how") == "no options":
            return lambda seed=None: (np.zeros(3, np.float32), {})
        return super().__getattribute__(name)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return np.zeros(3, np.float32) if self._how == "bare" else (np.zeros(3, np.float32), {})

    def step(self, action: Any) -> Any:
        if self._how == "inside":
            _, _ = (1, 2, 3)  # type: ignore[misc]
        reward = self.rewards.get(self._how, 1.0)
        result: Any = np.zeros(3, np.float32), reward, False, False, {}
        return (*result[:3], {}) if self._how == "four" else result


gym.register("toy/Another-v0", Another, disable_env_checker=True, order_enforce=False)  # type: ignore[arg-type]


class BadClose(Walk):
    """Raises in close; keeps account of the calls."""

    calls = 0

    def __init__(self, good: int = 0) -> None:
        super().__init__(action="box")
        self._good = good

    def close(self) -> None:
        BadClose.calls += 1
        if BadClose.calls > self._good:
            raise AttributeError("'NoneType' object has no attribute 'viewer'")


gym.register("toy/BadClose-v0", BadClose, max_episode_steps=25, disable_env_checker=True)  # type: ignore[arg-type]


class Huge(gym.Env[Any, Any]):
    """Pays for actions near 0.5, in a space that states the largest float32 for infinity."""

    observation_space = spaces.Box(-1.0, 1.0, (1,))
    action_space = spaces.Box(-3.4e38, 3.4e38, (1,))

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return np.ones(1, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return np.ones(1, np.float32), -float((action[0] - 0.5) ** 2), False, False, {}


gym.register("toy/Huge-v0", Huge, max_episode_steps=5)  # type: ignore[arg-type]
