"""Baselines that are quick to train, and what their tests look at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.classic_control.cartpole import CartPoleEnv
from numpy.typing import NDArray
from stable_baselines3.common.callbacks import BaseCallback

from zorl.agents.sb3.agent import BaselineAgent
from zorl.envs import NativeReturn
from zorl.recorders.base import BaseRecorder, Record

Maker = Callable[..., BaselineAgent]

SMALL: dict[str, Any] = {"policy_kwargs": {"net_arch": [8]}}
PPO: dict[str, Any] = {**SMALL, "n_steps": 64, "batch_size": 64, "n_epochs": 2}
REPLAY: dict[str, Any] = {**SMALL, "buffer_size": 500, "learning_starts": 50, "batch_size": 8}
NOISE = {"action_noise": {"type": "normal", "std": 0.1}}

# One of each algorithm, with and without normalisation and gSDE; short to train.
KINDS: dict[str, tuple[str, str, dict[str, Any], dict[str, Any]]] = {
    "ppo": ("ppo", "CartPole-v1", PPO, {"n_envs": 2}),
    "ppo-normalised": (
        "ppo",
        "Pendulum-v1",
        # So wide that torch rounds a row of a batch differently from the row alone.
        {**PPO, "policy_kwargs": {"net_arch": [64, 64]}},
        {"normalize": True, "n_envs": 2},
    ),
    "a2c-gsde": (
        "a2c",
        "MountainCarContinuous-v0",
        {**SMALL, "use_sde": True},
        {"normalize": True},
    ),
    "dqn": ("dqn", "CartPole-v1", REPLAY, {}),
    "sac-normalised": ("sac", "Pendulum-v1", REPLAY, {"normalize": True}),
    "td3": ("td3", "Pendulum-v1", {**REPLAY, **NOISE}, {}),
}


class Collector(BaseRecorder):
    """Keeps the records."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def record(self, record: Record) -> None:
        self.records.append(record)


class Broken(gym.Env[Any, Any]):
    """Fails, or returns NaN, at a chosen step; spaces are chosen as well."""

    def __init__(
        self, fault: str = "none", actions: str = "discrete", start: int = 0, sees: str = "box"
    ) -> None:
        self.observation_space: gym.Space[Any] = {
            "box": gym.spaces.Box(-1.0, 1.0, (2, 3), np.float32),
            "number": gym.spaces.Box(-1.0, 1.0, (), np.float32),
            "discrete": gym.spaces.Discrete(3, start=1),
        }[sees]
        self.info: dict[str, Any] = {}
        spaces: dict[str, gym.Space[Any]] = {
            "discrete": gym.spaces.Discrete(2, start=start),
            "unbounded": gym.spaces.Box(-np.inf, np.inf, (1,)),
            "huge": gym.spaces.Box(-3e38, 3e38, (1,)),
            "binary": gym.spaces.MultiBinary(3),
            "many": gym.spaces.MultiDiscrete([2, 3]),
        }
        self.action_space = spaces[actions]
        self.fault = fault

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps = 0
        return self._observation(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert action in self.action_space
        assert self.fault != "int alone" or type(action) is int
        self.steps += 1
        if self.fault == "raise" and self.steps == 5:
            raise RuntimeError("the simulator is lost")
        bad = self.fault == "nan" and self.steps == 5
        reward = float("nan") if bad else float(np.sum(action))
        info = self.info if self.fault == "one info" else {}
        return self._observation(), reward, False, self.steps == 20, info

    def _observation(self) -> Any:
        if isinstance(self.observation_space, gym.spaces.Discrete):
            return self.np_random.integers(1, 4)
        if self.observation_space.shape == ():
            return np.float32(self.np_random.uniform(-1, 1))
        shape = (3, 2) if self.fault == "shape" and self.steps == 5 else (2, 3)
        kind = object if self.fault == "objects" else np.float32
        return self.np_random.uniform(-1, 1, shape).astype(kind)


gym.register("zorltest/Broken-v0", "toy_baselines:Broken")


class Alone(CartPoleEnv):
    """A cart pole of which there may be one at a time; with `drift` each instance is another."""

    open_now = made = 0

    def __init__(self, drift: bool = False, render_mode: str | None = None) -> None:
        super().__init__(render_mode=render_mode)
        if Alone.open_now:
            raise RuntimeError("the port is in use")
        Alone.open_now, Alone.made = 1, Alone.made + 1
        self.gravity += Alone.made if drift else 0.0

    def close(self) -> None:
        Alone.open_now = 0
        super().close()  # type: ignore[no-untyped-call]


gym.register("zorltest/Alone-v0", "toy_baselines:Alone", max_episode_steps=60)
ALONE = "toy_baselines:zorltest/Alone-v0"


class StepCounter(BaseCallback):
    """Counts for itself, and stops after `limit` vector steps."""

    def __init__(self, limit: int = 10**9) -> None:
        super().__init__()
        self.env_steps = self.episodes = self.calls = 0
        self.shaped: list[float] = []
        self.lengths: list[int] = []
        self.limit = limit

    def _on_step(self) -> bool:
        self.calls += 1
        self.env_steps += len(self.locals["dones"])
        self.episodes += int(np.sum(self.locals["dones"]))
        ends = [info["episode"] for info in self.locals["infos"] if "episode" in info]
        self.shaped += [end["r"] for end in ends]
        self.lengths += [end["l"] for end in ends]
        return self.calls < self.limit


def of_kind(make: Maker, kind: str, **more: Any) -> BaselineAgent:
    """One of `KINDS`."""
    agent, env, options, fields = KINDS[kind]
    return make(agent, env, options, **fields, **more)


def weights(agent: BaselineAgent) -> dict[str, NDArray[Any]]:
    """A copy of all parameters."""
    return {name: value.numpy().copy() for name, value in agent.model.policy.state_dict().items()}


def same(left: dict[str, NDArray[Any]], right: dict[str, NDArray[Any]]) -> bool:
    """Whether two sets of parameters are equal."""
    assert left.keys() == right.keys()
    return all(np.array_equal(left[name], right[name]) for name in left)


def play(agent: BaselineAgent, env: Any, seed: int) -> tuple[float, float, int, bool]:
    """One episode by hand: shaped return, native return, length, terminated."""
    recorder = env
    while not isinstance(recorder, NativeReturn) and hasattr(recorder, "env"):
        recorder = recorder.env
    observation, _ = env.reset(seed=seed)
    shaped, length, over, terminated = 0.0, 0, False, False
    while not over:
        action = agent.predict(observation)[0]
        observation, reward, terminated, truncated, _ = env.step(action)
        shaped, length, over = shaped + float(reward), length + 1, terminated or truncated
    native = recorder.episode_return if isinstance(recorder, NativeReturn) else shaped
    return shaped, native, length, bool(terminated)
