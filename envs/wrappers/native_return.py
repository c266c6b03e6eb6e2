"""The recorder of the environment's own rewards, underneath any shaping."""

from __future__ import annotations

from typing import Any, SupportsFloat

import gymnasium as gym
from gymnasium.utils import RecordConstructorArgs

from zorl.common.validation import as_reward


class NativeReturn(gym.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Keeps the sum of the environment's own rewards since the last reset.

    Put it inside every wrapper that changes the reward: the shaped return is then what comes out
    of `step`, the native one is what this wrapper holds.

    Attributes:
        episode_return: the undiscounted sum of the native rewards of the current episode.

    Example:
        >>> import gymnasium as gym
        >>> env = NativeReturn(gym.make("MountainCar-v0"))
        >>> _ = env.reset(seed=1)
        >>> for _ in range(3):
        ...     _ = env.step(0)
        >>> env.episode_return
        -3.0
    """

    episode_return: float

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        RecordConstructorArgs.__init__(self)
        super().__init__(env)
        self.episode_return = 0.0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Reset the environment and the sum."""
        self.episode_return = 0.0
        return self.env.reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Step the environment, unchanged, and add its reward to the sum."""
        result = self.env.step(action)
        try:
            self.episode_return += float(result[1])
        except (TypeError, ValueError):
            self.episode_return += as_reward(result[1])  # says what is wrong
        return result


def native_recorder(env: gym.Env[Any, Any]) -> NativeReturn | None:
    """Find the `NativeReturn` in a stack of wrappers; None where there is none.

    Look it up once per environment: reading `episode_return` from the result is a plain attribute
    access, while `get_wrapper_attr` would walk the stack every time.
    """
    while isinstance(env, gym.Wrapper):
        if isinstance(env, NativeReturn):
            return env
        env = env.env
    return None
