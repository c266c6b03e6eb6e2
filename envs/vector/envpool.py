"""EnvPool's environments as lanes: one for each episode, seeded when its block begins.

EnvPool fixes seeds at construction, and resets an environment that was never stepped at its first
step. So an environment that plays one episode starts it from a seed of its own, and a lane goes on
to the next episode by stepping the next environment.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from zorl.common.errors import ConfigurationError, UnknownNameError
from zorl.envs.arguments import Arguments
from zorl.envs.task import Task
from zorl.envs.vector.lanes import Array, StepResult, info_of_one, refuse_wrappers, without


class PoolLanes:
    """EnvPool environments, one for each episode, of which `count` are stepped at a time.

    Args:
        task: without wrappers.
        seeds: of the episodes, in the order in which they will be begun.
        threads: that EnvPool steps them with.

    Raises:
        ConfigurationError: if the task has wrappers, or EnvPool is not installed, does not have
            the environment, or does not know one of its options.
    """

    seeded = True
    late = True

    def __init__(self, task: Task, seeds: Sequence[int], threads: int = 1) -> None:
        self._env = _make_pool(task, seeds, threads)
        with warnings.catch_warnings():  # that EnvPool's bounds lose precision as float32
            warnings.simplefilter("ignore", UserWarning)
            self.single_observation_space = self._env.single_observation_space
            self.single_action_space = self._env.single_action_space
        self._begun = 0
        self._ids = np.zeros(0, np.int32)  # of the rows

    def begin(self, seeds: Sequence[int]) -> Any:
        """See `Lanes`."""
        self._begun = len(seeds)
        self._ids = np.arange(self._begun, dtype=np.int32)
        return self._env.reset(self._ids)[0]

    def step(self, actions: Array) -> StepResult:
        """See `Lanes`."""
        result: StepResult = self._env.step(actions, self._ids)
        return result

    def begin_next(self, rows: Array, seeds: Sequence[int]) -> None:
        """See `Lanes`: an environment that was never stepped starts at its first step."""
        self._ids[rows] = np.arange(self._begun, self._begun + len(rows))
        self._begun += len(rows)

    def remove(self, row: int) -> None:
        """See `Lanes`."""
        self._ids = without(self._ids, row)

    def final_info(self, info: Mapping[str, Any], row: int) -> Mapping[str, Any]:
        """See `Lanes`."""
        return info_of_one(info, row)

    def close(self) -> None:
        """See `Lanes`."""
        self._env = None  # EnvPool frees threads and environments with the object


def _make_pool(task: Task, seeds: Sequence[int], threads: int) -> Any:
    refuse_wrappers(task)
    try:
        envpool = importlib.import_module("envpool")
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f'EnvPool is not installed ({error}); try: pip install "zorl[envpool]"'
        ) from error
    spec = task.find_spec()
    known = envpool.list_all_envs()
    if ":" in task.env_id or spec.id not in known:
        raise UnknownNameError("environment of EnvPool", task.env_id, known)
    kwargs = Arguments(task.env_kwargs).build()
    if spec.max_episode_steps is not None:
        kwargs.setdefault("max_episode_steps", spec.max_episode_steps)
    try:
        return envpool.make(
            spec.id,
            env_type="gymnasium",
            num_envs=len(seeds),
            num_threads=threads,
            env_seed=list(seeds),
            **kwargs,
        )
    except (TypeError, ValueError, AssertionError) as error:
        raise ConfigurationError(
            f"EnvPool cannot make {spec.id} with {kwargs}: {error}; its options may differ from "
            "Gymnasium's"
        ) from error
