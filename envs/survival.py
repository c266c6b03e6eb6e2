"""What a task pays for a step of mere survival, as its rewards show it."""

from __future__ import annotations

from typing import Any, Final

import gymnasium as gym
import numpy as np
from gymnasium import spaces

EPISODES: Final = 10
STEPS: Final = 100  # of an episode, at the most
_SPREAD: Final = 0.5  # of the first rewards, as a share of their median
_MORE: Final = 1.05  # what counts as more than the bonus, as a multiple of it
_SHARE: Final = 0.02  # of the steps that must pay more


def survival_bonus(env: gym.Env[Any, Any]) -> float:
    """The reward of a step in which nothing is done but to survive; 0 where there is no such bonus.

    A few episodes are played: one step of the action in the middle of the bounds, then random
    actions. There is a bonus if some episodes end by themselves, if all first steps pay about the
    same, more than nothing, and if other steps pay more than that: where they do not, as for poles
    that are to be balanced, surviving is the task.

    Args:
        env: actions are a Box; of any other task 0 is returned. It is reset afterwards.

    Returns:
        The bonus with two significant digits; at most 1,000 steps are played. 0 also where the
        environment raises: training meets the same, and says what it is.
    """
    if not isinstance(env.action_space, spaces.Box):
        return 0.0
    try:
        first, later, ended = _beginnings(env)
    except (Exception, SystemExit):  # its author's code
        return 0.0
    bonus = float(np.median(first))
    if not (np.isfinite(first).all() and np.isfinite(later).all() and ended and bonus > 0):
        return 0.0
    if np.ptp(first) > _SPREAD * bonus or np.mean(later > _MORE * bonus) < _SHARE:
        return 0.0
    return float(f"{bonus:.2g}")


def _beginnings(env: gym.Env[Any, Any]) -> tuple[Any, Any, int]:
    """First rewards, later rewards, and how many episodes terminated."""
    space = env.action_space
    assert isinstance(space, spaces.Box)
    bounded = np.isfinite(space.low) & np.isfinite(space.high)
    low, high = np.where(bounded, space.low, 0), np.where(bounded, space.high, 0)
    middle = ((low + high) / 2).astype(space.dtype)
    space.seed(0)
    first: list[float] = []
    later: list[float] = []
    ended = 0
    for episode in range(EPISODES):
        env.reset(seed=episode)
        for step in range(STEPS):
            action = space.sample() if step else middle
            _, reward, terminated, truncated, _ = env.step(action)
            (later if step else first).append(float(reward))
            ended += terminated
            if terminated or truncated:
                break
    return np.array(first), np.array(later), ended
