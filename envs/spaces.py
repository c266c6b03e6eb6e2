"""Which observation and action spaces policies can handle."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple

from zorl.errors import UnsupportedSpaceError


def check_spaces(env: gym.Env[Any, Any]) -> None:
    """Refuse an environment whose spaces no policy can handle.

    Observations may be Box (numbers, any shape: flattened later) or Discrete (one-hot later);
    actions may be Discrete, MultiDiscrete, MultiBinary, or Box of floats.

    Raises:
        UnsupportedSpaceError: naming the space, what is supported, and the likely cure.
    """
    space = env.observation_space
    numeric = isinstance(space, Box) and space.dtype is not None and space.dtype.kind in "fiu"
    if not (numeric or isinstance(space, Discrete)):
        cure = ""
        if isinstance(space, (Dict, Tuple, MultiDiscrete, MultiBinary)):
            cure = "; wrap the environment with flatten-observation"
        raise UnsupportedSpaceError(
            f"{env.unwrapped}: the observation space {space} is not supported; policies read a Box "
            f"of numbers (any shape) or Discrete{cure}"
        )
    action = env.action_space
    floats = isinstance(action, Box) and action.dtype is not None and action.dtype.kind == "f"
    if not (floats or isinstance(action, (Discrete, MultiDiscrete, MultiBinary))):
        cure = "a wrapper that maps one of these to it (gymnasium.ActionWrapper) would do"
        if isinstance(action, Box):
            cure = "for integers, MultiDiscrete; or wrap it with a gymnasium.ActionWrapper"
        raise UnsupportedSpaceError(
            f"{env.unwrapped}: the action space {action} is not supported; policies give Discrete, "
            f"MultiDiscrete, MultiBinary or a Box of floats; {cure}"
        )
