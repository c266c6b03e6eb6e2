"""When something that is done now and then during a run is due."""

from __future__ import annotations

import time
from collections.abc import Callable

from zorl.common.errors import ConfigurationError

Clock = Callable[[], float]


class Pace:
    """Due at once, and then after `steps` env steps or `seconds`, whichever comes first.

    The steps spread a fixed number of points over a run's budget however fast it is; the seconds
    see to it that a run which is stopped early has points too.

    Args:
        steps: env steps between two points.
        seconds: time between two points.
        clock: seconds from any origin.
    """

    def __init__(self, steps: float, seconds: float, clock: Clock = time.perf_counter) -> None:
        if not steps > 0 or not seconds > 0:
            raise ConfigurationError(f"a pace must be > 0, got {steps} steps, {seconds} s")
        self._steps = steps
        self._seconds = seconds
        self._clock = clock
        self._next_step = float("-inf")
        self._next_time = float("-inf")

    def due(self, env_steps: int) -> bool:
        """Whether it is time."""
        return env_steps >= self._next_step or self._clock() >= self._next_time

    def mark(self, env_steps: int) -> None:
        """It was done at `env_steps`, now."""
        self._next_step = env_steps + self._steps
        self._next_time = self._clock() + self._seconds
