"""Methods by name: what agents, `zorl.minimize`, help texts and tests draw on.

Each recipe or class is registered beside its definition, with the settings that a search agent
starts from: arguments of the recipe, and fields of `SearchConfig` such as `episodes`. What is not
given there keeps its own default, so a method registered without settings trains too.

These settings are for networks with normalised inputs. Parameters of an MLP start within ±1, and a
perturbation must be large enough to change what the policy does. They were chosen on
MountainCar-v0 and checked on CartPole-v1, Acrobot-v1, Pendulum-v1 and MountainCarContinuous-v0, by
validation episodes with seeds from 100 on; held-out seeds were not used. In methods with raw
differences (spsa, two-point, mpge) the learning rate depends on the scale of the returns: theirs
suits returns of about a hundred.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypedDict

from zorl.common.registry import Registry
from zorl.optimizers.base import Optimizer

METHODS: Registry[Callable[..., Optimizer[Any]]] = Registry("method", "zorl.optimizers")
register_method = METHODS.register


class Episodes(TypedDict):
    """Episodes per candidate: how many at first, and up to how many they may grow."""

    episodes: int
    max_episodes: int


# Episodes that follow the measured noise. CMA-ES does better with two, always (see
# docs/mountain_car.md); the other methods have not been compared yet.
GROWING_EPISODES = Episodes(episodes=2, max_episodes=50)
