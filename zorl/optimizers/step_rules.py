"""Step rules: from a gradient estimate to a step. Ascent everywhere: the step is added."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from zorl.common.errors import ConfigurationError
from zorl.common.types import Vector, frozen
from zorl.common.validation import at_least, check_flag, is_finite, non_negative, positive


@dataclass(frozen=True)
class StepState:
    """State of a step rule; arrays of shape (d,), or (0,) where a rule needs none."""

    first: Vector
    second: Vector


def _none() -> Vector:
    return frozen(np.zeros(0))


class StepRule(Protocol):
    """How a gradient estimate becomes a step."""

    def init(self, dim: int) -> StepState:
        """State before the first update."""

    def step(self, state: StepState, gradient: Vector, t: int) -> tuple[Vector, StepState]:
        """The step (d,) to add to theta at update t (0, 1, …), and the new state."""


@dataclass(frozen=True)
class SGD:
    """step = learning_rate · gradient, or Polyak's heavy ball with momentum > 0.

    Args:
        learning_rate: step length per unit of gradient.
        momentum: share of the last velocity that is kept, in [0, 1).
        nesterov: step along the velocity that the same gradient would give once more (Sutskever et
            al. 2013); needs momentum.
    """

    learning_rate: float
    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        positive("learning_rate", self.learning_rate)
        _check_share("momentum", self.momentum)
        check_flag("nesterov", self.nesterov)
        if self.nesterov and not self.momentum:
            raise ConfigurationError("nesterov needs a momentum > 0")

    def init(self, dim: int) -> StepState:
        """See `StepRule`."""
        velocity = frozen(np.zeros(dim)) if self.momentum else _none()
        return StepState(velocity, _none())

    def step(self, state: StepState, gradient: Vector, t: int) -> tuple[Vector, StepState]:
        """See `StepRule`."""
        if not self.momentum:
            return self.learning_rate * gradient, state
        velocity = frozen(self.momentum * state.first + gradient)
        ahead = self.momentum * velocity + gradient if self.nesterov else velocity
        return self.learning_rate * ahead, StepState(velocity, _none())


@dataclass(frozen=True)
class GainSequence:
    """SPSA's decreasing gains a / (A + t + 1)^alpha (Spall 1998, eq. 2)."""

    a: float
    stability: float = 0.0
    alpha: float = 0.602

    def __post_init__(self) -> None:
        positive("a", self.a)
        non_negative("stability (Spall's A)", self.stability)
        positive("alpha", self.alpha)

    def init(self, dim: int) -> StepState:
        """See `StepRule`."""
        return StepState(_none(), _none())

    def step(self, state: StepState, gradient: Vector, t: int) -> tuple[Vector, StepState]:
        """See `StepRule`."""
        return self.a / (self.stability + t + 1) ** self.alpha * gradient, state


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma and Ba 2015, alg. 1), with bias correction."""

    learning_rate: float
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        positive("learning_rate", self.learning_rate)
        positive("epsilon", self.epsilon)
        for name, beta in (("beta1", self.beta1), ("beta2", self.beta2)):
            _check_share(name, beta)

    def init(self, dim: int) -> StepState:
        """See `StepRule`."""
        return StepState(frozen(np.zeros(dim)), frozen(np.zeros(dim)))

    def step(self, state: StepState, gradient: Vector, t: int) -> tuple[Vector, StepState]:
        """See `StepRule`."""
        first = frozen(self.beta1 * state.first + (1 - self.beta1) * gradient)
        second = frozen(self.beta2 * state.second + (1 - self.beta2) * gradient**2)
        mean = first / (1 - self.beta1 ** (t + 1))
        variance = second / (1 - self.beta2 ** (t + 1))
        step = self.learning_rate * mean / (np.sqrt(variance) + self.epsilon)
        return step, StepState(first, second)


@dataclass(frozen=True)
class ClipUp:
    """ClipUp (Toklu, Liskowski and Srivastava 2020, alg. 2): normalised gradient, bounded speed.

    velocity ← momentum · velocity + learning_rate · gradient / ‖gradient‖, shortened to
    `max_speed`; the step is the velocity. Only the gradient's direction is used.

    Args:
        learning_rate: length that every gradient adds, in units of theta.
        momentum: share of the last velocity that is kept, in [0, 1).
        max_speed: largest length of a step; 2 · learning_rate, as published, when None.
    """

    learning_rate: float
    momentum: float = 0.9
    max_speed: float | None = None

    def __post_init__(self) -> None:
        positive("learning_rate", self.learning_rate)
        _check_share("momentum", self.momentum)
        if self.max_speed is not None:
            positive("max_speed", self.max_speed)

    def init(self, dim: int) -> StepState:
        """See `StepRule`."""
        return StepState(frozen(np.zeros(dim)), _none())

    def step(self, state: StepState, gradient: Vector, t: int) -> tuple[Vector, StepState]:
        """See `StepRule`."""
        length = float(np.linalg.norm(gradient))
        push = self.learning_rate * (gradient / length) if length else gradient
        limit = 2 * self.learning_rate if self.max_speed is None else self.max_speed
        velocity = frozen(_shortened(self.momentum * state.first + push, limit))
        return velocity, StepState(velocity, _none())


@dataclass(frozen=True)
class Clipped:
    """Another rule, with no step longer than `max_norm`; its state is not clipped.

    Args:
        rule: the other rule.
        max_norm: largest Euclidean length of a step, in units of theta.
    """

    rule: StepRule
    max_norm: float

    def __post_init__(self) -> None:
        check_step_rule("rule", self.rule)
        positive("max_norm", self.max_norm)

    def init(self, dim: int) -> StepState:
        """See `StepRule`."""
        return self.rule.init(dim)

    def step(self, state: StepState, gradient: Vector, t: int) -> tuple[Vector, StepState]:
        """See `StepRule`."""
        step, rule_state = self.rule.step(state, gradient, t)
        return _shortened(step, self.max_norm), rule_state


@dataclass(frozen=True)
class Annealed:
    """Another rule, whose steps shrink linearly to nothing.

    The step of update t is multiplied by min(1, (1 − t/updates) / (1 − hold)), and by 0 from
    `updates` on. The state of the other rule is not affected.

    Args:
        rule: the other rule.
        updates: after how many there are no more steps.
        hold: share of them whose steps have their full length, in [0, 1).
    """

    rule: StepRule
    updates: int
    hold: float = 0.0

    def __post_init__(self) -> None:
        check_step_rule("rule", self.rule)
        at_least("updates", self.updates, 1)
        _check_share("hold", self.hold)

    def init(self, dim: int) -> StepState:
        """See `StepRule`."""
        return self.rule.init(dim)

    def step(self, state: StepState, gradient: Vector, t: int) -> tuple[Vector, StepState]:
        """See `StepRule`."""
        step, rule_state = self.rule.step(state, gradient, t)
        factor = min(1.0, max(0.0, 1 - t / self.updates) / (1 - self.hold))
        return factor * step, rule_state


def _shortened(vector: Vector, limit: float) -> Vector:
    """The vector, at most `limit` long."""
    length = float(np.linalg.norm(vector))
    return vector * (limit / length) if length > limit else vector


def check_step_rule(name: str, rule: Any) -> None:
    """Raise unless `rule` is a `StepRule`: an instance, not its class and not a number."""
    methods = (getattr(rule, method, None) for method in ("init", "step"))
    if isinstance(rule, type) or not all(map(callable, methods)):
        raise ConfigurationError(f"{name} must be a step rule such as SGD(0.1), got {rule!r}")


def _check_share(name: str, share: float) -> None:
    """Raise unless `share` is a number in [0, 1)."""
    if not (is_finite(share) and 0 <= share < 1):
        raise ConfigurationError(f"{name} must be a number in [0, 1), got {share!r}")
