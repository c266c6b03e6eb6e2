"""Lanes: environments that are stepped together, and Gymnasium's native vector ones behind them.

A vector environment hides how an episode begins. One with autoreset mode DISABLED that takes a seed
for each sub-environment and a reset mask, as `gymnasium.vector.SyncVectorEnv` does, starts every
episode from its own seed. Any other, CartPole-v1's own for one, has a single generator that is
seeded as a whole: where an episode starts depends on its sub-environment and on the episodes beside
and before it.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete, flatten
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import iterate
from numpy.typing import NDArray

from zorl.common.errors import ConfigurationError, EnvironmentFailure
from zorl.envs.arguments import Arguments
from zorl.envs.ids import close_env, option_names
from zorl.envs.task import Task

Array = NDArray[Any]
StepResult = tuple[Any, Any, Any, Any, Mapping[str, Any]]  # what `step` returns, one entry per lane


class Lanes(Protocol):
    """Rows that play one episode after another and are stepped together.

    Attributes:
        seeded: whether every episode starts from its own seed.
        late: the step after an episode's end only starts the next one: it takes any action, and
            its reward is of no episode.
        single_observation_space, single_action_space: of one row.
    """

    seeded: bool
    late: bool
    single_observation_space: gym.Space[Any]
    single_action_space: gym.Space[Any]

    def begin(self, seeds: Sequence[int]) -> Any:
        """Start one episode in each of as many rows as seeds; their observations."""

    def step(self, actions: Array) -> StepResult:
        """Take one step in every row."""

    def begin_next(self, rows: Array, seeds: Sequence[int]) -> Any:
        """Start the next episodes in rows whose last ones are over.

        Returns:
            The observations of all rows if these have changed since `step`, else None.
        """

    def remove(self, row: int) -> None:
        """End a row whose last episode is over, and move the last row into its place."""

    def final_info(self, info: Mapping[str, Any], row: int) -> Mapping[str, Any]:
        """From what `step` gave: a row's own info at the step that ended its episode."""

    def close(self) -> None:
        """Free the environments."""


class NativeLanes:
    """A vector environment that is registered as its task's `vector_entry_point`.

    Its sub-environments cannot be left out of a step: those without a row play on, for nothing.

    Args:
        task: without wrappers.
        count: number of sub-environments.

    Raises:
        ConfigurationError: if the task has wrappers or no such environment, or if that does not
            say how it resets.
        EnvironmentFailure: if its constructor raises.
    """

    def __init__(self, task: Task, count: int) -> None:
        self._env = _make_native(task, count)
        self._count = count
        self._mode = _autoreset_mode(task, self._env)
        self.late = self._mode is AutoresetMode.NEXT_STEP
        self.single_observation_space = self._env.single_observation_space
        self.single_action_space = self._env.single_action_space
        self._ids = np.arange(count)  # of the rows
        self._ended = np.zeros(count, np.bool_)  # outside of the rows, and not yet reset
        self._seeds = [0] * count
        self.seeded = False
        if self._mode is AutoresetMode.DISABLED:
            self._check_mask(task)
            self.seeded = self._takes_seeds()

    def _check_mask(self, task: Task) -> None:
        """Refuse an environment that resets others than it is told to."""
        call = "reset(options={'reset_mask': …})"
        try:
            before = self._flat(self._env.reset(seed=0)[0])
            after = self._flat(self._reset_some([0], None))
        except Exception as error:  # whatever its author chose to raise
            raise EnvironmentFailure(
                f"the vector environment of {task.env_id} has autoreset mode DISABLED, but raised "
                f"{type(error).__name__} at {call}: {error}"
            ) from error
        if not np.array_equal(before[1:], after[1:]):
            raise ConfigurationError(
                f"the vector environment of {task.env_id} has autoreset mode DISABLED, but {call} "
                "changed observations of sub-environments outside of the mask"
            )

    def _takes_seeds(self) -> bool:
        """Whether a list of seeds is one for each; one shared generator may take a list too."""
        try:
            ones = self._flat(self._reset([1] * self._count))
            twos = self._flat(self._reset([2] * self._count))
            mixed = self._flat(self._reset_some([0], [1] * self._count))
        except Exception:  # whatever its author chose to raise
            return False
        alike = bool((ones == ones[0]).all() and (twos == twos[0]).all())
        return alike and np.array_equal(mixed, np.concatenate([ones[:1], twos[1:]]))

    def _flat(self, observations: Any) -> Array:
        """(count, …) the numbers of all observations, in memory of their own."""
        each = iterate(self._env.observation_space, observations)
        return np.array([flatten(self.single_observation_space, item) for item in each])

    def _reset(self, seed: Any) -> Any:
        return self._env.reset(seed=seed)[0]

    def _reset_some(self, ids: Any, seed: Any) -> Any:
        mask = np.zeros(self._count, np.bool_)
        mask[ids] = True
        return self._env.reset(seed=seed, options={"reset_mask": mask})[0]

    def begin(self, seeds: Sequence[int]) -> Any:
        """See `Lanes`; a shared generator is seeded with the first of the seeds."""
        self._ids = np.arange(len(seeds))
        self._ended[:] = False
        self._seeds[: len(seeds)] = seeds
        observations = self._reset(list(self._seeds) if self.seeded else seeds[0])
        return _rows(observations, self._ids)

    def step(self, actions: Array) -> StepResult:
        """See `Lanes`."""
        ids = self._ids
        if len(ids) == self._count:
            return self._env.step(actions)
        if self._mode is AutoresetMode.DISABLED and self._ended.any():  # or it refuses the step
            self._reset_some(self._ended, list(self._seeds) if self.seeded else None)
        everyone = np.repeat(actions[:1], self._count, axis=0)  # an action that the space has
        everyone[ids] = actions
        observations, *results, info = self._env.step(everyone)
        rewards, terminated, truncated = map(np.asarray, results)
        self._ended = terminated | truncated
        self._ended[ids] = False
        return _rows(observations, ids), rewards[ids], terminated[ids], truncated[ids], info

    def begin_next(self, rows: Array, seeds: Sequence[int]) -> Any:
        """See `Lanes`; every sub-environment has a row as long as there are jobs."""
        if self._mode is not AutoresetMode.DISABLED:
            return None
        ids = self._ids[rows]
        for index, seed in zip(ids, seeds, strict=True):
            self._seeds[index] = seed
        return self._reset_some(ids, list(self._seeds) if self.seeded else None)

    def remove(self, row: int) -> None:
        """See `Lanes`."""
        self._ended[self._ids[row]] = True
        self._ids = without(self._ids, row)

    def final_info(self, info: Mapping[str, Any], row: int) -> Mapping[str, Any]:
        """See `Lanes`."""
        if self._mode is AutoresetMode.SAME_STEP:
            info = info.get("final_info", {})
        return info_of_one(info, int(self._ids[row]))

    def close(self) -> None:
        """See `Lanes`."""
        close_env(self._env)


def _rows(observations: Any, ids: Array) -> Any:
    """Those of some sub-environments, in every array of a Dict or Tuple."""
    if isinstance(observations, Mapping):
        return {name: _rows(part, ids) for name, part in observations.items()}
    if isinstance(observations, tuple):
        return tuple(_rows(part, ids) for part in observations)
    return np.asarray(observations)[ids]


def without(ids: Array, row: int) -> Array:
    """The ids with the last one in the place of one that is left out."""
    rest = ids[:-1].copy()
    if row < len(rest):
        rest[row] = ids[-1]
    return rest


def info_of_one(info: Mapping[str, Any], index: int) -> Mapping[str, Any]:
    """One sub-environment's share of the infos of all: arrays, or an array of its mapping."""
    if not isinstance(info, Mapping):
        one: Mapping[str, Any] = info[index]
        return one
    return {
        name: values[index]
        for name, values in info.items()
        if isinstance(values, np.ndarray)
        and len(values) > index
        and not (f"_{name}" in info and not info[f"_{name}"][index])  # not there for this one
    }


def refuse_wrappers(task: Task) -> None:
    """Refuse a task with wrappers.

    Raises:
        ConfigurationError: naming them.
    """
    if task.wrappers:
        names = ", ".join(name for name, _ in task.wrappers)
        raise ConfigurationError(
            f"vector environments take no wrappers of single ones, and the task {task.env_id} has "
            f"{names}; leave them out, or use another backend"
        )


def _make_native(task: Task, count: int) -> VectorEnv[Any, Any, Any]:
    refuse_wrappers(task)
    spec = task.find_spec()
    if spec.vector_entry_point is None:
        raise ConfigurationError(
            f"{task.env_id} has no vector environment of its own (a vector_entry_point): of "
            "Gymnasium's environments only CartPole has one that can be used; use another backend"
        )
    if str(spec.vector_entry_point).startswith("gymnasium.envs.phys2d"):
        raise ConfigurationError(
            f"the vector environment of {task.env_id} does not move its other lanes in a step "
            "that resets one (seen in Gymnasium 1.4.0): its returns would be wrong; use another "
            "backend"
        )
    kwargs = Arguments(task.env_kwargs).build()
    if spec.max_episode_steps is None and "max_episode_steps" not in option_names(
        spec.vector_entry_point
    ):
        kwargs.pop("max_episode_steps", None)  # it ends its episodes itself, or never
    try:
        with warnings.catch_warnings():  # of a missing autoreset mode, which is refused below
            warnings.simplefilter("ignore", UserWarning)
            return gym.make_vec(
                spec, num_envs=count, vectorization_mode="vector_entry_point", **kwargs
            )
    except (gym.error.DependencyNotInstalled, ModuleNotFoundError) as error:
        raise ConfigurationError(f"cannot make vectors of {task.env_id}: {error}") from error
    # A constructor runs its author's code, which may raise anything.
    except Exception as error:
        raise EnvironmentFailure(
            f"cannot make vectors of {task.env_id} with {kwargs}: {type(error).__name__}: {error}"
        ) from error


def _autoreset_mode(task: Task, env: VectorEnv[Any, Any, Any]) -> AutoresetMode:
    try:
        return AutoresetMode(env.metadata["autoreset_mode"])
    except (KeyError, ValueError):
        raise ConfigurationError(
            f"the vector environment of {task.env_id} must say in metadata['autoreset_mode'] how "
            "it resets, a gymnasium.vector.AutoresetMode; its metadata are "
            f"{dict(env.metadata)}"
        ) from None


def check_same_spaces(task: Task, lanes: Lanes) -> None:
    """Refuse lanes that are another task: their policy could not act in Gymnasium's.

    Raises:
        ConfigurationError: naming both spaces.
    """
    single = task.make()
    close_env(single)
    pairs = (
        ("observation", single.observation_space, lanes.single_observation_space),
        ("action", single.action_space, lanes.single_action_space),
    )
    for name, ours, theirs in pairs:
        if isinstance(ours, Box) and isinstance(theirs, Box) and ours.shape == theirs.shape:
            bounds = ((ours.low, theirs.low), (ours.high, theirs.high))
            # Bounds of observations are seldom exact; actions are scaled by theirs.
            if name == "observation" or all(np.allclose(a, b) for a, b in bounds):
                continue
        elif isinstance(ours, Discrete) and isinstance(theirs, Discrete):
            if (ours.n, ours.start) == (theirs.n, theirs.start):
                continue
        elif ours == theirs:
            continue
        raise ConfigurationError(
            f"{task.env_id}: the {name} space of the vector environment's lanes is {theirs}, but "
            f"that of the single environment, in which policies are validated, is {ours}"
        )
