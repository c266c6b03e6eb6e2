"""Observations without some of their numbers."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray

from zorl.common.errors import ConfigurationError
from zorl.envs.wrappers.registry import register_wrapper


@register_wrapper("mask-observation")
class MaskObservation(gym.ObservationWrapper[Any, Any, Any], RecordConstructorArgs):
    """Hides all numbers of the observation but some, such as velocities: the task needs memory.

    Args:
        env: observations are a Box of one dimension.
        keep: indices of the numbers that remain, in this order: [0, 2] of CartPole are the
            position and the angle, without their velocities.

    Raises:
        ConfigurationError: other observations, or indices that they do not have.

    Example:
        >>> import gymnasium as gym
        >>> env = MaskObservation(gym.make("CartPole-v1"), keep=(0, 2))
        >>> env.observation_space.shape
        (2,)
    """

    def __init__(self, env: gym.Env[Any, Any], keep: list[int] | tuple[int, ...]) -> None:
        space = env.observation_space
        if not (isinstance(space, Box) and len(space.shape) == 1):
            raise ConfigurationError(
                "MaskObservation needs observations that are a Box of one dimension; "
                f"{env.unwrapped} has {space}; flatten-observation, inside, makes it one"
            )
        indices = kept_indices(keep)
        if max(indices) >= space.shape[0]:
            raise ConfigurationError(
                f"MaskObservation: keep must be indices from 0 to {space.shape[0] - 1} of the "
                f"observations of {env.unwrapped}, got {list(indices)}"
            )
        RecordConstructorArgs.__init__(self, keep=list(indices))
        super().__init__(env)
        self._keep = np.array(indices, np.intp)
        dtype: Any = space.dtype
        self.observation_space = Box(space.low[self._keep], space.high[self._keep], dtype=dtype)

    def observation(self, observation: NDArray[Any]) -> NDArray[Any]:
        """The numbers that remain, as a new array."""
        return observation[self._keep]


def kept_indices(keep: Any) -> tuple[int, ...]:
    """The indices that a mask keeps.

    Raises:
        ConfigurationError: they are no different whole numbers from 0 on, or there are none.
    """
    try:
        indices = tuple(keep)
    except TypeError:
        indices = ()
    whole = all(isinstance(i, (int, np.integer)) and not isinstance(i, bool) for i in indices)
    if not indices or not whole or min(indices) < 0 or len(set(indices)) < len(indices):
        raise ConfigurationError(
            "MaskObservation: keep must be the indices of the numbers that remain, each once, as "
            f"[0, 2], got {keep!r}"
        )
    return tuple(map(int, indices))
