"""Gradient search: directions × scheme × weights × step rule, in one frozen value.

SPSA, MPGE, the two-point estimator, the evolution strategies, ARS and OpenAI-ES are all
combinations of these parts; `recipes.py` names them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from zorl.errors import ConfigurationError, UnknownNameError
from zorl.optimizers.base import (
    Asked,
    Vector,
    at_least,
    checked_returns,
    frozen,
    non_negative,
    positive,
    start_vector,
)
from zorl.optimizers.directions import sampler
from zorl.optimizers.step_rules import StepRule, StepState
from zorl.optimizers.weights import (
    ANTITHETIC,
    FORWARD,
    ONE_SIDED,
    SCHEMES,
    CentredRanks,
    Raw,
    SigmaR,
    Standardised,
    Weights,
)


@dataclass(frozen=True)
class GradientState:
    """State of a gradient search.

    Attributes:
        theta: (d,) the incumbent.
        t: number of updates.
        memory: what the step rule remembers.
    """

    theta: Vector
    t: int
    memory: StepState


@dataclass(frozen=True)
class GradientSearch:
    """θ ← θ + step(Σ wᵢ δᵢ), with weights w from returns at θ ± c δ or θ + c δ.

    Args:
        step_rule: turns the gradient estimate into a step.
        radius: c, ν or σ: how far candidates lie from theta, per unit of direction.
        m: number of directions a generation; None means d (all of an orthogonal basis).
        directions: a name in `directions.DIRECTIONS`.
        scheme: "antithetic" (2m candidates: all θ + cδ, then all θ − cδ), "forward" (m + 1: all
            θ + cδ, then θ) or "one-sided" (m).
        weights: from returns to weights.
        radius_decay: γ in c_t = c / (t + 1)^γ (Spall 1998, eq. 2); 0 keeps the radius constant.
        weight_decay: L2 coefficient: weight_decay · θ is subtracted from the gradient estimate.
    """

    step_rule: StepRule
    radius: float
    m: int | None = 1
    directions: str = "gaussian"
    scheme: str = ANTITHETIC
    weights: Weights = field(default_factory=Raw)
    radius_decay: float = 0.0
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        positive("radius", self.radius)
        if self.m is not None:
            at_least("the number of directions m", self.m, 1)
        if self.scheme not in SCHEMES:
            raise UnknownNameError("scheme", self.scheme, SCHEMES)
        non_negative("radius_decay", self.radius_decay)
        non_negative("weight_decay", self.weight_decay)
        sampler(self.directions)
        self._check_weights()

    def _check_weights(self) -> None:
        """Refuse weights that could never say anything with this scheme and m."""
        weights = self.weights
        if isinstance(weights, Standardised) and self.m == 1:
            raise ConfigurationError(
                "standardised weights need m ≥ 2 directions: one value has no spread"
            )
        if isinstance(weights, CentredRanks) and self.m == 1 and self.scheme == ONE_SIDED:
            raise ConfigurationError(
                "one-sided ranks need m ≥ 2 directions: one value has no rank among others"
            )
        if isinstance(weights, SigmaR):
            if self.scheme != ANTITHETIC:
                raise ConfigurationError(
                    f"σ_R weights need the antithetic scheme, got {self.scheme!r}"
                )
            if self.m is not None and weights.top is not None and weights.top > self.m:
                raise ConfigurationError(
                    f"top = {weights.top} of m = {self.m} directions: top must be ≤ m"
                )

    def init(self, theta: ArrayLike) -> GradientState:
        """The state at a starting point (d,)."""
        theta = start_vector(theta)
        return GradientState(theta, 0, self.step_rule.init(theta.size))

    def ask(self, state: GradientState, rng: np.random.Generator) -> Asked:
        """The candidates around `state.theta`, in the order that `scheme` says."""
        theta = state.theta
        m = theta.size if self.m is None else self.m
        deltas = sampler(self.directions)(rng, m, theta.size)
        offsets = self.radius_at(state.t) * deltas
        if self.scheme == ANTITHETIC:
            thetas = np.concatenate([theta + offsets, theta - offsets])
        elif self.scheme == FORWARD:
            thetas = np.concatenate([theta + offsets, theta[None]])
        else:
            thetas = theta + offsets
        return Asked(thetas, state.t, deltas)

    def gradient(self, state: GradientState, asked: Asked, returns: ArrayLike) -> Vector:
        """The (d,) estimate of the ascent direction; unbiased with `Raw` weights."""
        values = checked_returns(state, asked, returns)
        if asked.directions is None:
            raise ConfigurationError("these candidates carry no directions; ask this optimizer")
        weights = self.weights(values, self.scheme, self.radius_at(state.t))
        directions = asked.directions
        if isinstance(directions, np.ndarray):
            return np.asarray(weights @ directions)
        return directions.combine(weights)

    def tell(self, state: GradientState, asked: Asked, returns: ArrayLike) -> GradientState:
        """The next state from one return per candidate (n,), higher better."""
        gradient = self.gradient(state, asked, returns)
        if self.weight_decay:
            gradient = gradient - self.weight_decay * state.theta
        step, memory = self.step_rule.step(state.memory, gradient, state.t)
        return GradientState(frozen(state.theta + step), state.t + 1, memory)

    def radius_at(self, t: int) -> float:
        """The radius of update t."""
        return float(self.radius / (t + 1) ** self.radius_decay)
