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

    There is a bonus if all episodes begin alike where nothing is done, with about the same reward,
    more than nothing; if some episodes of random actions end by themselves; and if some of their
    steps pay more. Where none do, as for poles that are to be balanced, surviving is the task.

    Args:
        env: actions are a Box; of any other task 0 is returned. It is reset afterwards.

    Returns:
        The bonus with two significant digits. Ten steps are played, and up to 1,000 more only where
        these pay a bonus. 0 also where the environment raises: training meets the same, and says
        what it is.
    """
    if not isinstance(env.action_space, spaces.Box):
        return 0.0
    try:
        return _survival_bonus(env, env.action_space)
    except (Exception, SystemExit):  # its author's code
        return 0.0


def _survival_bonus(env: gym.Env[Any, Any], actions: spaces.Box) -> float:
    bounded = np.isfinite(actions.low) & np.isfinite(actions.high)
    low, high = np.where(bounded, actions.low, 0), np.where(bounded, actions.high, 0)
    middle = ((low + high) / 2).astype(actions.dtype)
    first = []
    for episode in range(EPISODES):
        env.reset(seed=episode)
        first.append(float(env.step(middle)[1]))
    bonus = float(np.median(first))
    if not (np.isfinite(first).all() and bonus > 0 and np.ptp(first) <= _SPREAD * bonus):
        return 0.0
    actions.seed(0)
    rewards = []
    ended = False
    for episode in range(EPISODES):
        env.reset(seed=episode)
        for _ in range(STEPS):
            _, reward, terminated, truncated, _ = env.step(actions.sample())
            rewards.append(float(reward))
            ended |= bool(terminated)
            if terminated or truncated:
                break
    more = np.mean(np.array(rewards) > _MORE * bonus)
    return float(f"{bonus:.2g}") if ended and more >= _SHARE else 0.0
