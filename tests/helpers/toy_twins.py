"""Toy environments with compiled twins, named "toy_twins:…".

`Echo` rewards with the action itself, and its observations do not depend on actions: what a network
computes shows in the return. `Drift` is a plain task, of which there are wrong twins too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from zorl.envs import CompiledEnv, register_twin

ACTIONS: dict[str, spaces.Space[Any]] = {
    "two": spaces.Discrete(2),
    "seven": spaces.Discrete(7, start=-3),
    "wide": spaces.Box(np.array([-1.0, -2.0]), np.array([3.0, np.inf]), dtype=np.float64),
    "box": spaces.Box(
        np.array([-1.0, 0.0, -np.inf, -2.5, -np.inf], np.float32),
        np.array([1.0, 5.0, np.inf, 0.5, 3.0], np.float32),
    ),
}


def echo_start(rng: np.random.Generator) -> tuple[float, ...]:
    """x, y, z, which part of the action is the reward, and how many steps are left."""
    return (*rng.normal(size=3).tolist(), 0.0, float(rng.integers(1, 12)))


class Echo(gym.Env[Any, Any]):
    """Rewards with one number of the action, the next one at every step.

    Args:
        action: a name in `ACTIONS`.
        single: whether observations are single precision.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012

    def __init__(self, action: str = "box", single: bool = True) -> None:
        self._dtype = np.float32 if single else np.float64
        low, high = np.array([-2, -1, -np.inf]), np.array([2, 3, np.inf])
        self.observation_space = spaces.Box(
            low.astype(self._dtype), high.astype(self._dtype), dtype=self._dtype
        )
        self.action_space = ACTIONS[action]

    def _observe(self) -> Any:
        return np.array(self._state[:3], self._dtype)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._state = echo_start(self.np_random)
        return self._observe(), {}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        x, y, z, which, left = self._state
        parts = np.ravel(action).tolist()
        reward = float(parts[int(which)])
        which = (which + 1) % len(parts)
        left -= 1
        self._state = (0.5 * x + 0.25 * y, 0.75 * y - 0.5 * x, 0.875 * z + 0.125, which, left)
        return self._observe(), reward, left == 0, False, {}


@dataclass(frozen=True)
class EchoOne(CompiledEnv):
    single: bool = True

    def reset(self, rng: Any) -> Any:
        return echo_start(rng)

    def observe(self, x: Any, y: Any, z: Any, which: Any, left: Any) -> Any:
        return x, y, z

    def moved(self, x: Any, y: Any, z: Any) -> Any:
        return 0.5 * x + 0.25 * y, 0.75 * y - 0.5 * x, 0.875 * z + 0.125

    def step(self, x: Any, y: Any, z: Any, which: Any, left: Any, action: Any) -> Any:
        x, y, z = self.moved(x, y, z)
        return (x, y, z, which, left - 1), action, left - 1 == 0


@dataclass(frozen=True)
class EchoTwo(EchoOne):
    def step(  # type: ignore[override]
        self, x: Any, y: Any, z: Any, which: Any, left: Any, a: Any, b: Any
    ) -> Any:
        x, y, z = self.moved(x, y, z)
        return (x, y, z, 1 - which, left - 1), b if which == 1 else a, left - 1 == 0


@dataclass(frozen=True)
class EchoFive(EchoOne):
    def step(  # type: ignore[override]
        self, x: Any, y: Any, z: Any, which: Any, left: Any, a: Any, b: Any, c: Any, d: Any, e: Any
    ) -> Any:
        x, y, z = self.moved(x, y, z)
        if which < 2:
            reward = a if which == 0 else b
        elif which == 2:
            reward = c
        else:
            reward = d if which == 3 else e
        return (x, y, z, (which + 1) % 5, left - 1), reward, left - 1 == 0


def echo_twin(action: str = "box", single: bool = True) -> EchoOne:
    """The twin of Echo with this action space."""
    return {"two": EchoOne, "seven": EchoOne, "wide": EchoTwo, "box": EchoFive}[action](single)


gym.register("toy/Echo-v0", Echo, max_episode_steps=8, disable_env_checker=True)  # type: ignore[arg-type]
register_twin("toy/Echo-v0", echo_twin)
ECHO = "toy_twins:toy/Echo-v0"


def drift_start(rng: np.random.Generator, spread: float = 1.0) -> tuple[float, ...]:
    """Position and speed."""
    return float(rng.uniform(-spread, spread)), 0.0


class Drift(gym.Env[Any, Any]):
    """A point that is pushed left or right, and ends beyond ±2 with a reward of 10.

    Args:
        twin: which twin takes its place, a name in `DRIFTS`.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012
    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float64)
    action_space = spaces.Discrete(3)

    def __init__(self, twin: str = "right") -> None:
        self._task = DRIFTS["right"]()

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._state = drift_start(self.np_random)
        return np.array(self._state), {}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        self._state, reward, over = self._task.step(*self._state, float(action))
        return np.array(self._state), reward, bool(over), False, {}


@dataclass(frozen=True)
class RightDrift(CompiledEnv):
    push: float = 0.1

    def reset(self, rng: Any) -> Any:
        return drift_start(rng)

    def observe(self, x: Any, speed: Any) -> Any:
        return x, speed

    def step(self, x: Any, speed: Any, action: Any) -> Any:
        speed = 0.9 * speed + (self.push * (action - 1) + 0.03 * math.sin(x))
        x = x + speed
        over = x > 2 or x < -2
        return (x, speed), (10.0 if over else -abs(x)), over


@dataclass(frozen=True)
class OtherOrder(RightDrift):
    """The same sum in another order: it differs in the last bit, at times."""

    def step(self, x: Any, speed: Any, action: Any) -> Any:
        speed = (0.9 * speed + self.push * (action - 1)) + 0.03 * math.sin(x)
        x = x + speed
        over = x > 2 or x < -2
        return (x, speed), (10.0 if over else -abs(x)), over


@dataclass(frozen=True)
class OtherEnd(RightDrift):
    """It does not end on the left."""

    def step(self, x: Any, speed: Any, action: Any) -> Any:
        speed = 0.9 * speed + (self.push * (action - 1) + 0.03 * math.sin(x))
        x = x + speed
        return (x, speed), (10.0 if x > 2 or x < -2 else -abs(x)), x > 2


@dataclass(frozen=True)
class OtherLastReward(RightDrift):
    def step(self, x: Any, speed: Any, action: Any) -> Any:
        speed = 0.9 * speed + (self.push * (action - 1) + 0.03 * math.sin(x))
        x = x + speed
        return (x, speed), -abs(x), x > 2 or x < -2


@dataclass(frozen=True)
class OtherStart(RightDrift):
    def reset(self, rng: Any) -> Any:
        return drift_start(rng, 1.0000001)


@dataclass(frozen=True)
class Cancelling(RightDrift):
    """Right in double precision; in single the small number is lost beside the large one."""

    def reset(self, rng: Any) -> Any:
        x, speed = drift_start(rng)
        return x, speed, 2.0**20

    def observe(self, x: Any, speed: Any, large: Any) -> Any:  # type: ignore[override]
        return x, speed

    def step(self, x: Any, speed: Any, large: Any, action: Any) -> Any:  # type: ignore[override]
        speed = 0.9 * speed + (self.push * (action - 1) + 0.03 * math.sin(x))
        x = x + speed
        over = x > 2 or x < -2
        reward = 10.0 if over else -abs(x)
        return (x, speed, large), (reward + large) - large, over


@dataclass(frozen=True)
class ShortState(RightDrift):
    def step(self, x: Any, speed: Any, action: Any) -> Any:
        return (x,), 0.0, False


@dataclass(frozen=True)
class LongObservation(RightDrift):
    def observe(self, x: Any, speed: Any) -> Any:
        return x, speed, speed


@dataclass(frozen=True)
class FewParameters(RightDrift):
    def step(self, x: Any, speed: Any) -> Any:  # type: ignore[override]
        return (x, speed), 0.0, False


@dataclass(frozen=True)
class NoTuple(RightDrift):
    def step(self, x: Any, speed: Any, action: Any) -> Any:
        return x, speed


@dataclass(frozen=True)
class TextReward(RightDrift):
    def step(self, x: Any, speed: Any, action: Any) -> Any:
        return (x, speed), "much", False


@dataclass(frozen=True)
class NoReset(RightDrift):
    def reset(self, rng: Any) -> Any:
        return drift_start(rng)[0]


@dataclass(frozen=True)
class Loops(RightDrift):
    def step(self, x: Any, speed: Any, action: Any) -> Any:
        for _ in range(3):
            x = x + speed
        return (x, speed), 0.0, False


@dataclass(frozen=True)
class Undefined(RightDrift):
    """`push` has a value in one case only, which numba finds out."""

    def step(self, x: Any, speed: Any, action: Any) -> Any:
        if x > -100:
            return (x, speed), 0.0, False
        return x


def _other_push(**options: Any) -> RightDrift:
    return RightDrift(push=0.1000001)


DRIFTS: dict[str, Callable[..., CompiledEnv]] = {
    "right": RightDrift,
    "other-constant": _other_push,
    "other-order": OtherOrder,
    "other-end": OtherEnd,
    "other-last-reward": OtherLastReward,
    "other-start": OtherStart,
    "cancelling": Cancelling,
    "short-state": ShortState,
    "long-observation": LongObservation,
    "few-parameters": FewParameters,
    "no-tuple": NoTuple,
    "text-reward": TextReward,
    "no-reset": NoReset,
    "loops": Loops,
    "undefined": Undefined,
}
gym.register("toy/Drift-v0", Drift, max_episode_steps=50, disable_env_checker=True)  # type: ignore[arg-type]


@register_twin("toy/Drift-v0")
def drift_twin(twin: str = "right") -> CompiledEnv:
    """The right twin of Drift, or one with a fault."""
    return DRIFTS[twin]()


DRIFT = "toy_twins:toy/Drift-v0"


class Fault(gym.Env[Any, Any]):
    """A place for `FaultTwin`, which goes wrong after three steps where its start is below 0.2.

    Args:
        fault: 0: never; 1: a NaN reward; 2: an infinite one; 3: NaN observations from then on;
            4: an infinite one, once; 5: likewise, in the last step; 6: after the reset.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012
    observation_space = spaces.Box(-np.inf, np.inf, (1,), np.float64)
    action_space = spaces.Discrete(2)

    def __init__(self, fault: int = 0) -> None:
        self._twin = FaultTwin(fault)

    def _observe(self) -> Any:
        return np.array(self._twin.observe(*self._state))

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._state = self._twin.reset(self.np_random)
        return self._observe(), {}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        x, t = self._state
        self._state, reward, over = self._twin.step(x, t, float(action))
        return self._observe(), reward, over, False, {}


@dataclass(frozen=True)
class FaultTwin(CompiledEnv):
    fault: int = 0

    def reset(self, rng: Any) -> Any:
        return float(rng.random()), 0.0

    def observe(self, x: Any, t: Any) -> Any:
        at = 0 if self.fault == 6 else 3
        if self.fault >= 4 and t == at and x < 0.2:
            return (math.inf,)
        return (x,)

    def step(self, x: Any, t: Any, action: Any) -> Any:
        t = t + 1
        bad = t == 3 and x < 0.2
        reward = 0.25 * t + action
        if bad and self.fault == 1:
            reward = math.nan
        if bad and self.fault == 2:
            reward = math.inf
        if bad and self.fault == 3:
            x = math.nan
        return (x, t), reward, bad and self.fault == 5


gym.register("toy/Fault-v0", Fault, max_episode_steps=6, disable_env_checker=True)  # type: ignore[arg-type]
register_twin("toy/Fault-v0", FaultTwin)
FAULT = "toy_twins:toy/Fault-v0"
