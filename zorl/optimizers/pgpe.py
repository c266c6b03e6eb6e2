"""PGPE: policy gradients with parameter-based exploration, symmetric sampling.

Sehnke, Osendorfer, Rückstieß, Graves, Peters and Schmidhuber, "Parameter-exploring policy
gradients" (Neural Networks 23, 2010); ranks, ClipUp and the limit on the change of the standard
deviations are those of Toklu, Liskowski and Srivastava, "ClipUp" (PPSN 2020).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from zorl.common.errors import ConfigurationError, UnknownNameError
from zorl.common.types import Matrix, Vector
from zorl.common.validation import at_least, non_negative, positive
from zorl.optimizers.base import Asked
from zorl.optimizers.checks import MAX_SIGMA, MIN_SIGMA
from zorl.optimizers.distribution import DistributionSearch, SeparableState, second_moment
from zorl.optimizers.registry import GROWING_EPISODES, register_method
from zorl.optimizers.step_rules import SGD, Adam, ClipUp, StepRule, StepState
from zorl.optimizers.weights import (
    ANTITHETIC,
    ONE_SIDED,
    CentredRanks,
    Raw,
    SigmaR,
    Standardised,
    Weights,
    contrast,
)

_WEIGHTS: dict[str, Weights] = {
    "ranks": CentredRanks(),
    "standardised": Standardised(),
    "raw": Raw(),
}


@dataclass(frozen=True)
class PGPEState(SeparableState):
    """The search distribution N(theta, diag(sigmas²)) and the state of the step rule.

    Attributes:
        memory: the state of the step rule.
    """

    memory: StepState


@dataclass(frozen=True)
class PGPE(DistributionSearch[PGPEState]):
    """Ascend E[f(x)], x ~ N(theta, diag(sigmas²)), in theta and in sigmas, from mirrored pairs.

    With u⁺, u⁻ the utilities of theta ± e and e = sigmas s, s ~ N(0, I), the m pairs estimate
    Sehnke's gradients, which carry a factor sigmas² as natural gradients do:

        of theta:  mean of (u⁺ − u⁻) / 2 · e
        of sigmas: mean of ((u⁺ + u⁻) / 2 − b) · (e² − sigmas²) / sigmas, b the mean utility

    The step rule turns the first into a step of theta. The second, times `sigma_learning_rate`, is
    added to the sigmas, at most `max_change` of each, so that they stay positive. A generation
    whose returns are all equal changes nothing but `t`: momentum waits as well.

    Args:
        step_rule: turns the gradient of theta into a step.
        sigma: the initial standard deviation of every coordinate.
        m: pairs a generation, at least 2: 2m candidates, all theta + e, then all theta − e.
        weights: utilities of the 2m returns, as with one-sided sampling: `CentredRanks`, in
            [−½, ½], `Standardised`, or `Raw` for the returns themselves.
        sigma_learning_rate: of the sigmas; 0 keeps them.
        max_change: the largest relative change of a sigma in one update, in (0, 1).
    """

    step_rule: StepRule
    sigma: float = 0.5
    m: int = 16
    weights: Weights = field(default_factory=CentredRanks)
    sigma_learning_rate: float = 0.1
    max_change: float = 0.2

    def __post_init__(self) -> None:
        positive("sigma", self.sigma)
        at_least("m (the number of pairs; one pair says nothing about sigma)", self.m, 2)
        non_negative("sigma_learning_rate", self.sigma_learning_rate)
        positive("max_change", self.max_change)
        if self.max_change >= 1:
            raise ConfigurationError(
                f"max_change must be in (0, 1), or sigma could reach zero, got {self.max_change!r}"
            )
        if isinstance(self.weights, SigmaR):
            raise ConfigurationError(
                "PGPE needs a utility of every single candidate, which σ_R weights do not give; "
                "use CentredRanks, Standardised or Raw"
            )

    def population(self, d: int) -> int:
        """See `DistributionSearch`."""
        return 2 * self.m

    def noise_rows(self, n: int) -> int:
        """See `DistributionSearch`."""
        return n // 2

    def init(self, theta: ArrayLike) -> PGPEState:
        """N(theta, sigma² I) around `theta`, shape (d,)."""
        rule_state = self.step_rule.init(np.size(theta))
        return PGPEState.around(theta, self.sigma, memory=rule_state)

    def ask(self, state: PGPEState, rng: np.random.Generator) -> Asked:
        """The m candidates theta + e, then the m theta − e; `directions` holds the s, (m, d)."""
        m, theta = self.m, state.theta
        noise = rng.standard_normal((m, theta.size))
        thetas = np.empty((2 * m, theta.size))
        np.multiply(noise, state.sigmas, out=thetas[:m])
        np.subtract(theta, thetas[:m], out=thetas[m:])
        thetas[:m] += theta
        return Asked(thetas, state.t, noise, sigma=state.sigma)

    def update(self, state: PGPEState, noise: Matrix, values: Vector) -> PGPEState:
        """Ascend both gradients."""
        m = len(noise)
        # One-sided weights of radius 1 are the utilities over their number.
        utilities = 2 * m * self.weights(values, ONE_SIDED, 1.0)
        gradient = state.sigmas * (contrast(utilities, ANTITHETIC) @ noise) / m
        step, rule_state = self.step_rule.step(state.memory, gradient, state.t)

        pairs = (utilities[:m] + utilities[m:]) / 2
        pairs = (pairs - pairs.mean()) / m
        # Σ w (e² − sigmas²) / sigmas = sigmas Σ w (s² − 1), and these w sum to zero.
        change = self.sigma_learning_rate * second_moment(pairs, noise)
        sigmas = state.sigmas * (1 + np.clip(change, -self.max_change, self.max_change))
        sigmas = np.clip(sigmas, MIN_SIGMA, MAX_SIGMA)
        return PGPEState(state.theta + step, state.t + 1, sigmas, rule_state)


@register_method("pgpe", learning_rate=0.5, sigma=1.0, m=8, **GROWING_EPISODES)
def pgpe(
    learning_rate: float = 0.1,
    sigma: float = 0.5,
    m: int = 16,
    optimizer: str = "clipup",
    momentum: float = 0.9,
    max_speed: float | None = None,
    weights: str = "ranks",
    sigma_learning_rate: float = 0.1,
    max_change: float = 0.2,
) -> PGPE:
    """PGPE (Sehnke et al. 2010): mirrored sampling, ranks, a standard deviation per parameter.

    Args:
        learning_rate: step size of the mean. With ClipUp it is the length of a step, in units of
            theta; at most a third of sigma √d is advised.
        sigma: the initial standard deviation, in units of theta.
        m: pairs per generation, two candidates each; at least 2.
        optimizer: step rule of the mean: "clipup", "adam" or "sgd".
        momentum: of ClipUp and SGD, in [0, 1).
        max_speed: of ClipUp: the longest step, in units of theta; 2 · learning_rate when None.
        weights: utilities: "ranks", "standardised" or "raw" returns.
        sigma_learning_rate: step size of the standard deviations; 0 keeps them constant.
        max_change: largest relative change of a standard deviation in one update, in (0, 1).

    Raises:
        UnknownNameError: unknown weights or optimizer.
        ConfigurationError: max_speed without ClipUp, or a number out of range.
    """
    if weights not in _WEIGHTS:
        raise UnknownNameError("weights", weights, _WEIGHTS)
    if max_speed is not None and optimizer != "clipup":
        raise ConfigurationError(f'max_speed is ClipUp\'s, but optimizer is "{optimizer}"')
    if optimizer == "clipup":
        rule: StepRule = ClipUp(learning_rate, momentum, max_speed)
    elif optimizer == "adam":
        rule = Adam(learning_rate)
    elif optimizer == "sgd":
        rule = SGD(learning_rate, momentum)
    else:
        raise UnknownNameError("optimizer", optimizer, ("clipup", "adam", "sgd"))
    return PGPE(rule, sigma, m, _WEIGHTS[weights], sigma_learning_rate, max_change)
