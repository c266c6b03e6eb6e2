"""Toy environments and wrappers of the tests, named "toy_envs:…": worker processes import them too.

`Walk` is a random walk of every kind of space, with an episode length that depends on its seed, and
with faults on demand.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
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
            "wrong-shape", "raise-step", "raise-reset", "hang", "exit" or "kill" (of a worker
            process), "exit-anywhere".
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
        if self._ledger is not None:
            with Path(self._ledger).open("ab") as file:
                if file.tell() == self._fails:
                    return observation, reward
                file.write(b"x")
        if self._fault == "raise-step":
            raise RuntimeError("the step is broken")
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


class Countdown(gym.Env[Any, Any]):
    """An episode with start x in [0, 1) and action a at every step, which everything tells of.

    It is over after 2 + ⌊8x⌋ + 3a steps of reward x + 1000a, the last one 100 more: terminated
    where x > ½, else truncated. Observations are [x, steps taken].
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012
    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float64)
    action_space = spaces.Discrete(3)

    def __init__(self, **of_the_vector: Any) -> None:
        """Arguments are those of `CountdownVector`, and change nothing here."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._x, self._t = np.random.default_rng(seed).random(), 0
        return np.array([self._x, self._t]), {}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        self._t += 1
        over = self._t >= 2 + int(8 * self._x) + 3 * action
        reward = self._x + 1000.0 * action + 100.0 * over
        observation = np.array([self._x, self._t])
        wins = bool(self._x > 0.5)
        return observation, reward, over and wins, over and not wins, {"is_success": not wins}


class CountdownVector(gym.vector.VectorEnv[Any, Any, Any]):
    """Its native vector environment.

    Args:
        num_envs: number of sub-environments.
        mode: of resets, a value of `AutoresetMode`.
        own_seeds: take a seed for each, as `Countdown` does; else one generator for all.
        fault: what goes wrong: "nan-reward", "nan-observation" or "nan-reset" (where x < ⅓),
            "raise", "wrong-shape", "one-reward", "float-flags", "four-values", "ignores-mask",
            "no-mask", "no-mode", "list-for-all" (one generator that takes a list of seeds).
    """

    def __init__(
        self,
        num_envs: int = 1,
        mode: str = "NextStep",
        own_seeds: bool = False,
        fault: str = "none",
    ) -> None:
        self.num_envs = num_envs
        self._mode = gym.vector.AutoresetMode(mode)
        self.metadata = {} if fault == "no-mode" else {"autoreset_mode": self._mode}
        self._own, self._fault = own_seeds, fault
        self.single_observation_space = Countdown.observation_space
        self.single_action_space = Countdown.action_space
        self.observation_space = gym.vector.utils.batch_space(Countdown.observation_space, num_envs)
        self.action_space = gym.vector.utils.batch_space(Countdown.action_space, num_envs)
        self._over = np.zeros(num_envs, np.bool_)
        self._x, self._t = np.zeros(num_envs), np.zeros(num_envs)
        self._broken = False

    def _start(self, some: Any, seed: Any) -> None:
        if self._own and isinstance(seed, list):
            assert len(seed) == self.num_envs
            values = np.array([np.random.default_rng(s).random() for s in seed])
        else:
            values = self.np_random.random(self.num_envs)
        self._x[some], self._t[some], self._over[some] = values[some], 0, False

    def _observe(self) -> Any:
        observations = np.stack([self._x, self._t], axis=1)
        if self._fault == "nan-observation":
            observations[(self._x < 1 / 3) & (self._t == 2)] = np.nan
        if self._fault == "nan-reset":
            observations[(self._x < 1 / 3) & (self._t == 0)] = np.nan
        return observations[:, :1] if self._fault == "wrong-shape" else observations

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        if self._broken:
            raise RuntimeError("it was broken before")
        if self._fault == "list-for-all" and isinstance(seed, list):
            self._np_random = np.random.default_rng(seed)
        elif isinstance(seed, list) and not self._own:
            raise ValueError("one seed for all")
        super().reset(seed=seed if isinstance(seed, int) else None)
        some = np.ones(self.num_envs, np.bool_)
        if options is not None:
            if self._fault == "no-mask":
                raise KeyError("reset_mask")
            if self._fault != "ignores-mask":
                some = options.pop("reset_mask")
                assert some.dtype == np.bool_ and some.shape == (self.num_envs,) and some.any()
        self._start(some, seed)
        return self._observe(), {}

    def step(self, actions: Any) -> Any:
        assert self.action_space.contains(actions), actions
        idle = self._over.copy()  # only reset in this step
        if self._mode is gym.vector.AutoresetMode.DISABLED:
            assert not idle.any(), "a finished one was stepped"
        if self._fault == "raise":
            self._broken = True
            raise RuntimeError("the step is broken")
        self._t += 1
        over = self._t >= 2 + (8 * self._x).astype(int) + 3 * actions
        rewards = self._x + 1000.0 * actions + 100.0 * over
        wins = self._x > 0.5
        if self._fault == "nan-reward":
            rewards[(self._x < 1 / 3) & (self._t == 2)] = np.nan
        info: dict[str, Any] = {"is_success": ~wins, "_is_success": np.ones_like(wins)}
        if idle.any():
            self._start(idle, None)
            rewards[idle], over[idle] = -1e9, False  # nobody is to look at that
        self._over = over
        if self._mode is gym.vector.AutoresetMode.SAME_STEP and over.any():
            info = {"is_success": wins, "final_info": info, "_final_info": over.copy()}
            over = over.copy()
            self._start(over, None)
        results = (self._observe(), rewards, (over & wins) | idle, over & ~wins)
        if self._fault == "one-reward":
            results = (results[0], rewards[:1], *results[2:])
        if self._fault == "float-flags":
            results = (*results[:3], results[3].astype(float))
        return results if self._fault == "four-values" else (*results, info)


gym.register(
    "toy/Countdown-v0",
    Countdown,
    vector_entry_point=CountdownVector,  # type: ignore[arg-type]
    disable_env_checker=True,
)
COUNTDOWN = "toy_envs:toy/Countdown-v0"


def walk_vector(num_envs: int, max_episode_steps: int, **kwargs: Any) -> gym.vector.VectorEnv:
    """Walks side by side, each with a seed of its own."""

    def walk() -> gym.Env[Any, Any]:
        return gym.make("toy/Walk-v0", max_episode_steps=max_episode_steps, **kwargs)

    mode = gym.vector.AutoresetMode.DISABLED
    return gym.vector.SyncVectorEnv([walk] * num_envs, autoreset_mode=mode)


gym.register(
    "toy/VectorWalk-v0",
    Walk,  # type: ignore[arg-type]
    vector_entry_point=walk_vector,  # type: ignore[arg-type]
    max_episode_steps=25,
    disable_env_checker=True,
)
VECTOR_WALK = "toy_envs:toy/VectorWalk-v0"


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
