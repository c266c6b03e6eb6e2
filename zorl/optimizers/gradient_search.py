"""Gradient search: directions × scheme × weights × step rule, in one frozen value.

SPSA, MPGE, the two-point estimator, the evolution strategies, ARS and OpenAI-ES are all
combinations of these parts; `recipes.py` names them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike

from zorl.common.errors import ConfigurationError, UnknownNameError
from zorl.common.types import Matrix, Vector, frozen
from zorl.common.validation import at_least, non_negative, positive
from zorl.optimizers.base import Asked, Directions, checked_returns, start_vector
from zorl.optimizers.directions import UNIT_DIRECTIONS, Guide, Sampler, sampler
from zorl.optimizers.step_rules import StepRule, StepState, check_step_rule
from zorl.optimizers.weights import (
    ANTITHETIC,
    FORWARD,
    ONE_SIDED,
    SCHEMES,
    CentredRanks,
    NormalisedReturns,
    Raw,
    SigmaR,
    Standardised,
    Weights,
    candidates_of,
)


@dataclass(frozen=True)
class GradientState:
    """State of a gradient search.

    Attributes:
        theta: (d,) the incumbent.
        t: number of updates.
        memory: the state of the step rule.
        recent: (k, d) the last gradient estimates, where they guide the directions; (0, 0) else.
    """

    theta: Vector
    t: int
    memory: StepState
    recent: Matrix


@dataclass(frozen=True)
class Perturbed:
    """Candidates θ ± c δ or θ + c δ, as what they are made of; see `Candidates`.

    Attributes:
        theta: (d,) what is perturbed.
        radius: c.
        directions: (m, d).
        scheme: "antithetic" (2m candidates: all θ + cδ, then all θ − cδ), "forward" (m + 1: all
            θ + cδ, then θ) or "one-sided" (m).
    """

    theta: Vector
    radius: float
    directions: Matrix | Directions
    scheme: str

    @property
    def shape(self) -> tuple[int, int]:
        """(n, d)."""
        m, dim = self.directions.shape
        return candidates_of(self.scheme, int(m)), int(dim)

    def dense(self) -> Matrix:
        """(n, d) the candidates as a matrix."""
        directions, theta = self.directions, self.theta
        offsets = directions if isinstance(directions, np.ndarray) else directions.dense()
        offsets = self.radius * offsets
        if self.scheme == ANTITHETIC:
            return np.concatenate([theta + offsets, theta - offsets])
        if self.scheme == FORWARD:
            return np.concatenate([theta + offsets, theta[None]])
        return np.asarray(theta + offsets)


@dataclass(frozen=True)
class GradientSearch:
    """θ ← θ + step(Σ wᵢ δᵢ), with weights w from returns at θ ± c δ or θ + c δ.

    A generation of two or more returns that are all equal says nothing about any direction, so it
    changes nothing but `t`, whatever the weights.

    Args:
        step_rule: turns the gradient estimate into a step.
        radius: c, ν or σ: how far candidates lie from theta, per unit of direction.
        m: number of directions a generation; None means d (all of an orthogonal basis).
        directions: a name in `directions.DIRECTIONS`, or your own function (rng, m, d) that
            gives (m, d) directions, as a matrix or any other `Directions`.
        scheme: "antithetic", "forward" or "one-sided"; see `Perturbed`.
        weights: from returns to weights.
        radius_decay: γ in c_t = c / (t + 1)^γ (Spall 1998, eq. 2); 0 keeps the radius constant.
        weight_decay: L2 coefficient: weight_decay · θ is subtracted from the gradient estimate.
        guide: stretches the directions along recent estimates; see `directions.Guide`. Not for
            unit directions, whose scale it would not share.
    """

    step_rule: StepRule
    radius: float
    m: int | None = 1
    directions: str | Sampler = "gaussian"
    scheme: str = ANTITHETIC
    weights: Weights = field(default_factory=Raw)
    radius_decay: float = 0.0
    weight_decay: float = 0.0
    guide: Guide | None = None

    def __post_init__(self) -> None:
        check_step_rule("step_rule", self.step_rule)
        positive("radius", self.radius)
        if self.m is not None:
            at_least("the number of directions m", self.m, 1)
        if self.scheme not in SCHEMES:
            raise UnknownNameError("scheme", self.scheme, SCHEMES)
        non_negative("radius_decay", self.radius_decay)
        non_negative("weight_decay", self.weight_decay)
        if not callable(self.directions):
            sampler(self.directions)
        self._check_guide()
        self._check_weights()

    def _check_guide(self) -> None:
        """Refuse what is no guide, and directions that one would stretch out of all proportion."""
        if self.guide is None:
            return
        if not isinstance(self.guide, Guide):
            raise ConfigurationError(f"guide must be a Guide() or None, got {self.guide!r}")
        if self.directions in (*UNIT_DIRECTIONS, *UNIT_DIRECTIONS.values()):
            raise ConfigurationError(
                "a guide needs directions of mean squared length d, and unit directions have 1: "
                'use "sphere" for "unit-sphere", "orthogonal" for "unit-orthogonal"'
            )

    def _check_weights(self) -> None:
        """Refuse weights that could never say anything with this scheme and m."""
        weights = self.weights
        if isinstance(weights, type) or not callable(weights):
            raise ConfigurationError(
                f"weights must be weights such as Raw() or CentredRanks(), got {weights!r}"
            )
        normalised = isinstance(weights, NormalisedReturns) and self.scheme == ONE_SIDED
        if (isinstance(weights, Standardised) or normalised) and self.m == 1:
            raise ConfigurationError(
                "standardised weights need m ≥ 2 directions: one value has no spread"
            )
        if isinstance(weights, CentredRanks) and self.m == 1 and self.scheme == ONE_SIDED:
            raise ConfigurationError(
                "one-sided ranks need m ≥ 2 directions: one value has no rank among others"
            )
        if isinstance(weights, SigmaR):
            if self.scheme == ONE_SIDED:
                raise ConfigurationError("σ_R weights need the antithetic or forward scheme")
            if self.scheme == FORWARD and 1 in (self.m, weights.top):
                raise ConfigurationError(
                    "forward σ_R weights need m ≥ 2 and top ≥ 2: one value has no spread"
                )
            if self.m is not None and weights.top is not None and weights.top > self.m:
                raise ConfigurationError(
                    f"top = {weights.top} of m = {self.m} directions: top must be ≤ m"
                )

    def init(self, theta: ArrayLike) -> GradientState:
        """The state at a starting point (d,)."""
        theta = start_vector(theta)
        recent = frozen(np.zeros((0, 0))) if self.guide is None else self.guide.init(theta.size)
        return GradientState(theta, 0, self.step_rule.init(theta.size), recent)

    def ask(self, state: GradientState, rng: np.random.Generator) -> Asked:
        """The candidates around `state.theta`, in the order that `scheme` says.

        Raises:
            ConfigurationError: your own sampler gave directions of another shape than (m, d).
        """
        dim = state.theta.size
        m = dim if self.m is None else self.m
        draw = sampler(self.directions) if isinstance(self.directions, str) else self.directions
        deltas = draw(rng, m, dim)
        shape = getattr(deltas, "shape", None)
        if shape != (m, dim):
            raise ConfigurationError(
                f"the directions must have shape (m, d) = {(m, dim)}, got "
                f"{f'no array but a {type(deltas).__name__}' if shape is None else shape}"
            )
        if self.guide is not None:
            dense = deltas if isinstance(deltas, np.ndarray) else deltas.dense()
            deltas = self.guide.stretch(dense, state.recent, rng)
        radius = self.radius_at(state.t)
        perturbed = Perturbed(state.theta, radius, deltas, self.scheme)
        structured = not isinstance(deltas, np.ndarray)
        candidates = perturbed if structured else perturbed.dense()
        return Asked(candidates, state.t, deltas, sigma=radius)

    def gradient(self, state: GradientState, asked: Asked, returns: ArrayLike) -> Vector:
        """The (d,) estimate of the ascent direction; unbiased with `Raw` weights."""
        values = checked_returns(state, asked, returns)
        return self._gradient(state, self._own_directions(asked), values)

    def _own_directions(self, asked: Asked) -> Matrix | Directions:
        """The directions of candidates, unless they are another search's by their number."""
        directions = asked.directions
        if directions is None:
            raise ConfigurationError("these candidates carry no directions; ask this optimizer")
        n, dim = asked.candidates.shape
        m = dim if self.m is None else self.m
        if directions.shape != (m, dim) or n != candidates_of(self.scheme, m):
            raise ConfigurationError(
                f"tell got {n} candidates with directions of shape {directions.shape}, but this "
                f"{self.scheme} search asks for {candidates_of(self.scheme, m)} with directions "
                f"of shape {(m, dim)}; tell the search that asked"
            )
        return directions

    def _gradient(
        self, state: GradientState, directions: Matrix | Directions, values: Vector
    ) -> Vector:
        weights = self.weights(values, self.scheme, self.radius_at(state.t))
        if isinstance(directions, np.ndarray):
            return np.asarray(weights @ directions)
        return directions.combine(weights)

    def tell(self, state: GradientState, asked: Asked, returns: ArrayLike) -> GradientState:
        """The next state from one return per candidate (n,), higher better.

        Raises:
            ConfigurationError: `asked` is not this search's and state's, or `returns` has the wrong
                shape.
        """
        values = checked_returns(state, asked, returns)
        directions = self._own_directions(asked)
        if len(values) > 1 and values.min() == values.max():
            return replace(state, t=state.t + 1)
        gradient = self._gradient(state, directions, values)
        recent = state.recent if self.guide is None else self.guide.remember(state.recent, gradient)
        if self.weight_decay:
            gradient = gradient - self.weight_decay * state.theta
        step, rule_state = self.step_rule.step(state.memory, gradient, state.t)
        return GradientState(frozen(state.theta + step), state.t + 1, rule_state, recent)

    def radius_at(self, t: int) -> float:
        """The radius of update t."""
        return float(self.radius / (t + 1) ** self.radius_decay)
