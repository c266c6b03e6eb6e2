"""A training environment that can be closed in mid-episode and comes back to where it was.

Of some environments only one may exist: a simulator that listens at a port, or takes gigabytes.
With `lanes=1` a baseline closes that of its training while it is evaluated.
"""

from __future__ import annotations

import logging
from copy import deepcopy
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils.env_checker import data_equivalence

from zorl.envs import Task
from zorl.envs.ids import close_env

log = logging.getLogger("zorl")


class ReleasableEnv(gym.Wrapper[Any, Any, Any, Any]):
    """An environment of a task that is closed by `release` and made again when it is next used.

    The episode under way is then played again: from the state that the environment's generator had
    before the reset, with the actions since. Where an episode is a function of these, training is
    as in an environment that stays open, to the last bit. Where another observation comes out, a
    warning says so, and the next step only truncates the episode, with reward 0.
    """

    def __init__(self, task: Task) -> None:
        super().__init__(task.make())
        self._task = task
        self._open = True
        self._lost = False
        self._begin: dict[str, Any] | None = None  # arguments of the last reset
        self._generator: Any = None  # its state before that; None where a seed was given
        self._actions: list[Any] = []
        self._observation: Any = None

    def release(self) -> None:
        """Close the environment until it is used again."""
        if self._open:
            self._open = False
            close_env(self.env)

    def close(self) -> None:
        """Close the environment, if it is open."""
        self.release()

    def reset(self, **arguments: Any) -> tuple[Any, dict[str, Any]]:
        """Reset the environment."""
        self._reopen()
        seeded = arguments.get("seed") is not None
        generator = None if seeded else self._random().bit_generator.state
        observation, info = self.env.reset(**arguments)
        self._begin, self._generator = arguments, generator
        self._actions, self._lost = [], False
        self._observation = deepcopy(observation)
        return observation, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Step the environment, after it has come back to where it was."""
        self._reopen()
        if self._lost:
            return self._observation, 0.0, False, True, {}
        self._actions.append(deepcopy(action))
        result = self.env.step(action)
        self._observation = deepcopy(result[0])
        return result

    def _reopen(self) -> None:
        """Make the environment again and bring it to where it was."""
        if self._open:
            return
        self.env = self._task.make()
        self._open = True
        if self._begin is None or data_equivalence(
            self._play_again(self._begin), self._observation
        ):
            return
        self._lost = True
        log.warning(
            "%s: the same seed and actions gave another episode after it was made again, which "
            "lanes = 1 needs for each evaluation: the episode of the training that was under way "
            "is cut off",
            self._task.env_id,
        )

    def _play_again(self, begin: dict[str, Any]) -> Any:
        """The last observation of the episode under way; None if it ended before."""
        if self._generator is not None:
            self._random().bit_generator.state = self._generator
        observation, _ = self.env.reset(**begin)
        ended = False
        for action in self._actions:
            if ended:
                return None
            observation, _, terminated, truncated, _ = self.env.step(deepcopy(action))
            ended = bool(terminated or truncated)
        return observation

    def _random(self) -> np.random.Generator:
        return self.env.unwrapped.np_random
