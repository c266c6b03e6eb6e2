"""The cross-entropy method with a diagonal Gaussian: refit to the elites of each generation.

Rubinstein, "The Cross-Entropy Method for Combinatorial and Continuous Optimization" (1999), with
the decreasing extra variance of Szita and Lőrincz, "Learning Tetris Using the Noisy Cross-Entropy
Method" (Neural Computation 18, 2006). Only the order of the returns is used, so every strictly
increasing transform of the objective gives the same search, bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from zorl.common.errors import ConfigurationError
from zorl.common.types import Matrix, Vector
from zorl.common.validation import at_least, non_negative, positive
from zorl.optimizers.base import Asked
from zorl.optimizers.checks import MAX_SIGMA, MIN_SIGMA
from zorl.optimizers.distribution import DistributionSearch, SeparableState
from zorl.optimizers.registry import GROWING_EPISODES, register_method


@register_method("cem", sigma0=1.0, popsize=20, **GROWING_EPISODES)
@dataclass(frozen=True)
class CEM(DistributionSearch[SeparableState]):
    """Cross-entropy method: mean and variances move towards those of the best candidates.

    theta ← (1 − α) theta + α mean, sigmas² ← (1 − α) sigmas² + α variance + extra, per coordinate,
    with the mean and the (population) variance of the elites and α = `smoothing`. The extra
    variance of update t = 0, 1, … is noise · max(0, 1 − t / noise_updates): without it, variances
    may vanish before the optimum is near.

    Ties between returns are broken by candidate index. A generation whose returns are all equal
    changes nothing but `t`.

    Args:
        sigma0: the initial standard deviation, in units of theta.
        popsize: candidates per generation, at least 4.
        elite: the fraction of candidates that are elites, in (0, 1); at least two are.
        smoothing: α in (0, 1]; 1 is the plain method.
        noise: the extra variance of the first update, in units of theta squared.
        noise_updates: after how many updates the extra variance is zero.
    """

    sigma0: float = 0.5
    popsize: int = 50
    elite: float = 0.2
    smoothing: float = 0.5
    noise: float = 0.0
    noise_updates: int = 50

    def __post_init__(self) -> None:
        positive("sigma0", self.sigma0)
        at_least("popsize", self.popsize, 4)
        positive("elite", self.elite)
        if self.elite >= 1:
            raise ConfigurationError(
                f"elite is a fraction of the candidates, in (0, 1), got {self.elite!r}"
            )
        positive("smoothing", self.smoothing)
        if self.smoothing > 1:
            raise ConfigurationError(f"smoothing must be in (0, 1], got {self.smoothing!r}")
        non_negative("noise", self.noise)
        at_least("noise_updates", self.noise_updates, 1)

    @property
    def elites(self) -> int:
        """How many candidates are elites: floor(elite · popsize), and at least two."""
        return max(2, int(self.elite * self.popsize))

    def population(self, d: int) -> int:
        """See `DistributionSearch`."""
        return self.popsize

    def init(self, theta: ArrayLike) -> SeparableState:
        """N(theta, sigma0² I) around `theta`, shape (d,)."""
        return SeparableState.around(theta, self.sigma0)

    def ask(self, state: SeparableState, rng: np.random.Generator) -> Asked:
        """Candidates theta + sigmas s; `directions` holds the standard normal s, (n, d)."""
        return state.sample(self.popsize, rng)

    def update(self, state: SeparableState, noise: Matrix, values: Vector) -> SeparableState:
        """Refit the distribution to the elites."""
        # In units of the sigmas: no digits are lost where the sigmas are small beside theta.
        elites = noise[np.argsort(-values, kind="stable")[: self.elites]]
        theta = state.theta + self.smoothing * state.sigmas * elites.mean(axis=0)
        factor = 1 - self.smoothing + self.smoothing * elites.var(axis=0)
        extra = self.noise * max(0.0, 1 - state.t / self.noise_updates)
        sigmas = state.sigmas * np.sqrt(factor)
        if extra:
            sigmas = np.hypot(sigmas, np.sqrt(extra))
        return SeparableState(theta, state.t + 1, np.clip(sigmas, MIN_SIGMA, MAX_SIGMA))
