"""All random numbers of a run, as a function of (seed, purpose, generation, index).

No generator has a state that advances. So a checkpoint stores no generator state, and the number of
workers, their order or a crash cannot change a result.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np

from zorl.common.errors import ConfigurationError

Seeds = tuple[int, ...]

_SEED_BITS = 28  # episode seeds are 31-bit: 3 bits of purpose, 28 random bits


class Purpose(IntEnum):
    """The purpose of a random number; purposes never share a stream or an episode seed."""

    INIT = 0
    SEARCH = 1
    EPISODES = 2
    GATE = 3
    VALIDATION = 4
    HELD_OUT = 5
    VIDEO = 6
    ACTIONS = 7


@dataclass(frozen=True)
class Streams:
    """The random numbers of one run.

    Args:
        seed: the run's seed, a non-negative integer.
    """

    seed: int

    def __post_init__(self) -> None:
        if isinstance(self.seed, bool) or not isinstance(self.seed, (int, np.integer)):
            raise ConfigurationError(f"a seed must be an integer, got {self.seed!r}")
        if self.seed < 0:
            raise ConfigurationError(f"a seed must be ≥ 0, got {self.seed}")
        object.__setattr__(self, "seed", int(self.seed))

    def rng(self, purpose: Purpose, generation: int = 0, index: int = 0) -> np.random.Generator:
        """Return a new generator for (purpose, generation, index); equal arguments, equal bits."""
        sequence = np.random.SeedSequence(self.seed, spawn_key=(int(purpose), generation, index))
        return np.random.Generator(np.random.PCG64(sequence))

    def init(self) -> np.random.Generator:
        """Return the generator of the initial parameters."""
        return self.rng(Purpose.INIT)

    def search(self, generation: int) -> np.random.Generator:
        """Return the generator of a generation's directions."""
        return self.rng(Purpose.SEARCH, generation)

    def episodes(self, generation: int, count: int) -> Seeds:
        """Return the seeds of the episodes that all candidates of a generation share."""
        return self.seeds(Purpose.EPISODES, generation, count)

    def gate(self, generation: int, count: int) -> Seeds:
        """Return new seeds for a generation's gate; a longer list begins with the shorter one."""
        return self.seeds(Purpose.GATE, generation, count)

    def validation(self, count: int) -> Seeds:
        """Return the seeds on which a run measures its progress; the search never sees them."""
        return self.seeds(Purpose.VALIDATION, 0, count)

    def seeds(self, purpose: Purpose, generation: int, count: int) -> Seeds:
        """Return `count` episode seeds in [0, 2³¹); different purposes never share a seed."""
        draws = self.rng(purpose, generation).integers(0, 1 << _SEED_BITS, size=count)
        return tuple((int(purpose) << _SEED_BITS) | int(draw) for draw in draws)


def held_out_seeds(count: int) -> Seeds:
    """Return the seeds of the final estimate, the same for every run and every agent.

    They do not depend on the run's seed, so agents are compared in pairs on the same starts.
    """
    return Streams(0).seeds(Purpose.HELD_OUT, 0, count)


def checked_seeds(seeds: Any) -> Seeds:
    """Episode seeds as a user gives them, as a tuple of Python's integers.

    Raises:
        ConfigurationError: it is no sequence of integers ≥ 0; says how many episodes are asked for.
    """
    try:
        return tuple(Streams(seed).seed for seed in seeds)
    except TypeError:
        raise ConfigurationError(
            "evaluate takes the seeds of the episodes, as agent.evaluate(range(10)) for ten, got "
            f"{'nothing' if seeds is None else repr(seeds)}"
        ) from None


def action_rng(episode_seed: int) -> np.random.Generator:
    """Return the generator of a stochastic policy's choices in one episode."""
    return Streams(episode_seed).rng(Purpose.ACTIONS)
