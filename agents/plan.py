"""How a training run is conducted around its agent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from zorl.common.errors import ConfigurationError, FileFormatError, UnknownNameError
from zorl.common.plain import plain, whole
from zorl.common.validation import at_least, is_finite
from zorl.recorders.base import UNLIMITED, budget_words

SELECT = ("last", "best")
POINTS = 20  # of a learning curve


@dataclass(frozen=True)
class TrainingPlan:
    """How a training run is conducted around the agent.

    Attributes:
        total_timesteps: env steps that the agent may spend.
        validate_every: env steps between two points of the learning curve, by default a
            twentieth of the budget, or more where that would take long beside the training.
        validate_episodes: episodes of a point, on the run's validation seeds; they are counted,
            and not charged to the budget.
        held_out: episodes of the final estimate, on seeds that nothing before has seen.
        select: the final policy: the last one, or the best by validation.
        stop_at: stop when validation reaches this mean native return.
        seconds: end the training after so many seconds, validation apart, where its env steps are
            not spent before.
    """

    total_timesteps: int
    validate_every: int | None = None
    validate_episodes: int = 20
    held_out: int = 100
    select: str = "best"
    stop_at: float | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        for item in fields(self):
            object.__setattr__(self, item.name, plain(getattr(self, item.name)))
        for name in ("total_timesteps", "validate_every", "validate_episodes", "held_out"):
            value = whole(getattr(self, name))
            object.__setattr__(self, name, value)
            if value is not None or name != "validate_every":
                at_least(name, value, 1)
        if self.select not in SELECT:
            raise UnknownNameError("selection", self.select, SELECT)
        if isinstance(self.stop_at, bool) or not isinstance(self.stop_at, (int, float, type(None))):
            raise ConfigurationError(f"stop_at must be a return, got {self.stop_at!r}")
        if self.seconds is not None and not (is_finite(self.seconds) and self.seconds > 0):
            raise ConfigurationError(f"seconds must be a number > 0, got {self.seconds!r}")

    @property
    def interval(self) -> int:
        """Env steps between two points of the learning curve."""
        return self.validate_every or max(1, self.total_timesteps // POINTS)

    @property
    def points(self) -> str:
        """How far the points of the learning curve are apart, in words."""
        if self.validate_every is not None or self.seconds is None:
            return budget_words(self.interval, None)
        seconds = self.seconds / POINTS
        if self.total_timesteps >= UNLIMITED:
            return budget_words(UNLIMITED, seconds)
        return budget_words(self.interval, seconds)

    @property
    def budget(self) -> str:
        """The budget in words."""
        return budget_words(self.total_timesteps, self.seconds)

    def extended(self, total_timesteps: int) -> TrainingPlan:
        """The same plan with a larger budget.

        Raises:
            ConfigurationError: it is not larger.
        """
        longer = replace(self, total_timesteps=total_timesteps)
        if longer.total_timesteps <= self.total_timesteps:
            raise ConfigurationError(
                f"the budget is {self.total_timesteps:,} env steps already; "
                f"a new one must be larger, got {total_timesteps:,}"
            )
        return longer

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> TrainingPlan:
        """The plan that `asdict` wrote."""
        try:
            return cls(**values)
        except TypeError as error:
            raise FileFormatError(f"not the plan of a training run: {error}") from error
