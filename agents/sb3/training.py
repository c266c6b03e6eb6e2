"""What surrounds SB3's training: environments that know both returns, reports, private randomness.

This module imports SB3 and torch; `zorl.agents.sb3.agent` imports it when a baseline is made.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecNormalize

from zorl.agents.sb3.callbacks import FiguresLogger
from zorl.agents.sb3.one_env import ReleasableEnv
from zorl.common.errors import EnvironmentFailure, NonFiniteRewardError
from zorl.common.types import Stop
from zorl.common.validation import api_hint, as_reward
from zorl.envs import Task, native_recorder
from zorl.envs.ids import close_env
from zorl.recorders.base import PlainRecord, Recorder

REPORT_STEPS = 500  # the fewest env steps between two records
_EPISODE = "zorl"


@dataclass(frozen=True)
class EpisodeFigures:
    """One finished episode of the training."""

    shaped_return: float
    native_return: float
    length: int
    success: bool


class TrainingEnv(gym.Wrapper[Any, Any, Any, Any]):
    """Puts an episode's figures into its last `info`, and gives an environment's failures a name.

    A vector environment of SB3 resets a finished environment at once; afterwards its native
    return could no longer be read.
    """

    def __init__(self, task: Task, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self._task = task
        self._total, self._length = 0.0, 0

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """Reset the environment and the figures."""
        self._total, self._length = 0.0, 0
        try:
            observation, info = self.env.reset(**kwargs)
            return self._checked(observation), info
        except (Exception, SystemExit) as error:
            raise self._failure("reset", error) from error

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Step the environment, unchanged but for the last `info` of an episode."""
        if isinstance(action, np.integer):  # SB3's, which not every environment takes
            action = int(action)
        try:
            observation, reward, terminated, truncated, info = self.env.step(action)
            info = {**info}  # SB3 and this class write into it; the environment may use it again
            reward = as_reward(reward)
            observation = self._checked(observation)
        except (Exception, SystemExit) as error:
            raise self._failure("step", error) from error
        self._total += reward
        self._length += 1
        if not (np.isfinite(self._total) and _is_finite(observation)):
            raise NonFiniteRewardError(
                f"{self._task.env_id} returned a NaN or infinite reward or observation at step "
                f"{self._length} of a training episode; mend the environment or its wrappers"
            )
        if terminated or truncated:
            recorder = native_recorder(self.env)  # looked up here: it may have been made again
            native = self._total if recorder is None else recorder.episode_return
            success = self._task.succeeded(native, bool(terminated), info)
            info[_EPISODE] = EpisodeFigures(self._total, native, self._length, success)
        return observation, reward, bool(terminated), bool(truncated), info

    def _checked(self, observation: Any) -> Any:
        """The observation, of numbers; raises where it has another shape than the space."""
        space = self.observation_space
        if not isinstance(space, gym.spaces.Box):
            return observation
        shape = np.shape(observation)
        if shape != space.shape:
            raise EnvironmentFailure(
                f"an observation has shape {shape}, but the space says {space.shape}"
            )
        objects = isinstance(observation, np.ndarray) and observation.dtype == object
        return observation.astype(space.dtype) if objects else observation

    def close(self) -> None:
        """Close the environment; the others beside it are closed in any case."""
        close_env(self.env)

    def _failure(self, verb: str, error: BaseException) -> EnvironmentFailure:
        where = f"{verb}() after {self._length} steps of a training episode"
        if isinstance(error, EnvironmentFailure):  # its message says what is wrong
            return EnvironmentFailure(f"{self._task.env_id}, in {where}: {error}")
        what = f"raised {type(error).__name__} in {where}: {error}{api_hint(error)}"
        return EnvironmentFailure(f"{self._task.env_id} {what}")


def make_training_env(
    task: Task, n_envs: int, normalize: bool, gamma: float, releasable: bool = False
) -> VecEnv:
    """The vector environment that SB3 trains in.

    Args:
        task: what every environment is made from.
        n_envs: how many.
        normalize: VecNormalize for observations and rewards, with the algorithm's discount, as
            the Zoo does it.
        gamma: that discount.
        releasable: whether its method "release" closes an environment until it is used again.
    """

    def make() -> gym.Env[Any, Any]:
        env = ReleasableEnv(task) if releasable else task.make()
        return Monitor(TrainingEnv(task, env))  # SB3's own callbacks look for Monitor's figures

    env: VecEnv = DummyVecEnv([make] * n_envs)
    return VecNormalize(env, gamma=gamma) if normalize else env


class Reporter(BaseCallback):
    """Turns SB3's training into records and asks whether to stop.

    A record is made between two rollouts, once `REPORT_STEPS` have passed since the last one, and
    at the end. Its task/ figures are means over the episodes that ended since the last record;
    where none did, the former ones stand and "task/episodes" is 0. "time/env_steps_per_second"
    includes SB3's gradient steps. train/ figures are SB3's, where it trained since;
    others are what callbacks recorded in its logger.
    """

    def __init__(
        self,
        recorder: Recorder,
        stop: Stop | None,
        first_index: int,
        on_episodes: Callable[[int], None],
    ) -> None:
        super().__init__()
        self.index = first_index
        self._recorder = recorder
        self._stop = stop
        self._on_episodes = on_episodes
        self._episodes: list[EpisodeFigures] = []
        self._task_figures: dict[str, float] = {}

    def _on_training_start(self) -> None:
        self._steps, self._clock = self.num_timesteps, time.perf_counter()

    def _on_rollout_start(self) -> None:
        if self.model.num_timesteps - self._steps >= REPORT_STEPS:
            self._report()

    def _on_training_end(self) -> None:
        if self.model.num_timesteps > self._steps:
            self._report()

    def _on_step(self) -> bool:
        ended = [info[_EPISODE] for info in self.locals["infos"] if _EPISODE in info]
        if ended:
            self._episodes += ended
            self._on_episodes(len(ended))
        return self._stop is None or not self._stop()

    def _report(self) -> None:
        episodes, steps, now = self._episodes, self.model.num_timesteps, time.perf_counter()
        if episodes:
            self._task_figures = {
                "task/native_return_mean": _mean(e.native_return for e in episodes),
                "task/return_mean": _mean(e.shaped_return for e in episodes),
                "task/success_rate": _mean(e.success for e in episodes),
                "task/episode_length": _mean(e.length for e in episodes),
            }
        scalars = {
            **self._task_figures,
            "task/episodes": float(len(episodes)),
            "time/env_steps_per_second": (steps - self._steps) / max(now - self._clock, 1e-9),
        }
        if isinstance(self.logger, FiguresLogger):
            scalars.update(self.logger.take())
        else:  # the user's own
            self.logger.dump(steps)
        record = PlainRecord(self.index, steps, scalars)
        self.index += 1
        self._episodes, self._steps, self._clock = [], steps, now
        self._recorder.record(record)


class PrivateRandomness:
    """The process-wide generators of Python, numpy and torch, one agent's own while it is inside.

    SB3 draws from these. Without this, what an agent learns would depend on whatever else drew
    from them since its seed was set, and it would disturb others.
    """

    def __init__(self) -> None:
        self._state: tuple[Any, ...] | None = None

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Swap this agent's generators in, and back out whatever happens."""
        others = _get_generators()
        if self._state is not None:
            _set_generators(self._state)
        try:
            yield
        finally:
            self._state = _get_generators()
            _set_generators(others)


def _get_generators() -> tuple[Any, ...]:
    return random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002


def _set_generators(state: tuple[Any, ...]) -> None:
    random.setstate(state[0])
    np.random.set_state(state[1])  # noqa: NPY002
    torch.set_rng_state(state[2])


def _is_finite(observation: Any) -> bool:
    """Whether all its numbers are finite, also those of a Dict's parts."""
    if isinstance(observation, Mapping):
        return all(map(_is_finite, observation.values()))
    return bool(np.isfinite(observation).all())


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))
