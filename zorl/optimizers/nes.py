"""Natural evolution strategies: SNES and xNES, natural gradients on a Gaussian's parameters.

Wierstra, Schaul, Glasmachers, Sun, Peters and Schmidhuber, "Natural Evolution Strategies" (JMLR 15,
2014); equations, algorithms and table 1 are theirs. Only the order of the returns is used, so every
strictly increasing transform of the objective gives the same search, bit for bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from zorl.common.types import Matrix, Vector, frozen
from zorl.common.validation import positive
from zorl.optimizers.base import Asked, check_popsize, default_popsize, start_vector
from zorl.optimizers.checks import MAX_SIGMA, MIN_SIGMA, check_memory, clipped_sigma
from zorl.optimizers.distribution import DistributionSearch, SeparableState, second_moment
from zorl.optimizers.registry import GROWING_EPISODES, register_method

_MAX_AXIS_RATIO = 1e7  # beyond it float64 cannot tell the short axes from rounding


@dataclass(frozen=True)
class XNESState:
    """The search distribution N(theta, sigma² B Bᵀ); arrays are read-only.

    Attributes:
        theta: (d,) the distribution's mean.
        t: how many updates led here, flat generations included.
        sigma: the step size.
        root: (d, d) B, with |det B| = 1 up to rounding.
    """

    theta: Vector
    t: int
    sigma: float
    root: Matrix

    def __post_init__(self) -> None:
        frozen(self.theta)
        frozen(self.root)


@register_method("snes", sigma0=1.0, **GROWING_EPISODES)
@dataclass(frozen=True)
class SNES(DistributionSearch[SeparableState]):
    """Separable NES (algorithm 6): each coordinate learns its own standard deviation.

    Time and memory are linear in d: a generation holds its noise and its candidates, (n, d) each.
    Ties between returns are broken by candidate index. A generation whose returns are all equal
    changes nothing but `t`.

    Args:
        sigma0: the initial standard deviation, about a third of the distance to the optimum.
        popsize: candidates per generation, at least 2; 4 + floor(3 ln d) when None.
    """

    sigma0: float = 0.5
    popsize: int | None = None

    def __post_init__(self) -> None:
        positive("sigma0", self.sigma0)
        check_popsize(self.popsize, 2)

    def population(self, d: int) -> int:
        """See `DistributionSearch`."""
        return self.popsize or default_popsize(d)

    def init(self, theta: ArrayLike) -> SeparableState:
        """N(theta, sigma0² I) around `theta`, shape (d,)."""
        return SeparableState.around(theta, self.sigma0)

    def ask(self, state: SeparableState, rng: np.random.Generator) -> Asked:
        """Candidates theta + sigmas s; `directions` holds the standard normal s, (n, d)."""
        return state.sample(self.population(state.theta.size), rng)

    def update(self, state: SeparableState, noise: Matrix, values: Vector) -> SeparableState:
        """Follow the natural gradient in theta and log sigmas; rates of table 1."""
        d = state.theta.size
        rate = (3 + math.log(d)) / (5 * math.sqrt(d))
        weights = _by_rank(values)
        theta = state.theta + state.sigmas * (weights @ noise)
        growth = second_moment(weights, noise)  # Σ u (s² − 1): the utilities u sum to zero
        sigmas = state.sigmas * np.exp(rate / 2 * growth)
        return SeparableState(theta, state.t + 1, np.clip(sigmas, MIN_SIGMA, MAX_SIGMA))


@register_method("xnes", sigma0=1.0, **GROWING_EPISODES)
@dataclass(frozen=True)
class XNES(DistributionSearch[XNESState]):
    """Exponential NES (algorithm 5): a full covariance, updated by a matrix exponential.

    The exponent is a multiple of I plus a matrix of rank n at most, so its exponential is taken
    exactly, from the eigenvalues on the span of the n samples: O(n d²) a generation, and one O(d³)
    decomposition every d generations to keep B well conditioned. Memory is O(d²).

    Ties between returns are broken by candidate index. A generation whose returns are all equal
    changes nothing but `t`.

    Args:
        sigma0: the initial step size, about a third of the distance to the optimum.
        popsize: candidates per generation, at least 2; 4 + floor(3 ln d) when None.
        max_memory_gb: the most that a search may take, in units of 1e9 bytes; see `memory_bytes`.
    """

    sigma0: float = 0.5
    popsize: int | None = None
    max_memory_gb: float = 4.0

    def __post_init__(self) -> None:
        positive("sigma0", self.sigma0)
        check_popsize(self.popsize, 2)
        positive("max_memory_gb", self.max_memory_gb)

    def population(self, d: int) -> int:
        """See `DistributionSearch`."""
        return self.popsize or default_popsize(d)

    def memory_bytes(self, d: int) -> int:
        """Bytes that a search in d dimensions takes at its peak: states, candidates, work arrays.

        B and the B to come, and while the axes are computed LAPACK's copy, factors and work space,
        which are eight more (d, d) matrices.
        """
        return 8 * (10 * d * d + (4 * self.population(d) + 8) * d)

    def init(self, theta: ArrayLike) -> XNESState:
        """N(theta, sigma0² I) around `theta`, shape (d,).

        Raises:
            ConfigurationError: `theta` is not a finite vector, or a search with that many
                parameters would take more than `max_memory_gb`.
        """
        mean = start_vector(theta)
        d = mean.size
        instead = 'the methods "snes" or "lm-ma-es", which take O(d)'
        check_memory("xNES", d, self.memory_bytes(d), self.max_memory_gb, instead)
        return XNESState(mean, 0, float(self.sigma0), np.eye(d))

    def ask(self, state: XNESState, rng: np.random.Generator) -> Asked:
        """Candidates theta + sigma B s; `directions` holds the standard normal s, (n, d)."""
        noise = rng.standard_normal((self.population(state.theta.size), state.theta.size))
        thetas = state.theta + state.sigma * (noise @ state.root.T)
        return Asked(thetas, state.t, noise, sigma=state.sigma)

    def update(self, state: XNESState, noise: Matrix, values: Vector) -> XNESState:
        """Follow the natural gradient in theta, log sigma and log B; rates of table 1."""
        d = state.theta.size
        rate = (9 + 3 * math.log(d)) / (5 * d * math.sqrt(d))
        weights = _by_rank(values)
        theta = state.theta + state.sigma * (state.root @ (weights @ noise))

        # G_M = Σ u (s sᵀ − I) = Σ u s sᵀ, as the utilities u sum to zero: eigenvalues g on the
        # orthonormal columns V, zero elsewhere. So exp(G_M) = I + V (exp(g) − 1) Vᵀ exactly.
        basis, triangle = np.linalg.qr(noise.T)
        gains, vectors = np.linalg.eigh((triangle * weights) @ triangle.T)
        axes = basis @ vectors
        mean_gain = float(gains.sum()) / d  # G_sigma = tr(G_M) / d, and G_B = G_M − G_sigma I
        root = state.root + (state.root @ axes * np.expm1(rate / 2 * gains)) @ axes.T
        root *= math.exp(-rate / 2 * mean_gain)
        sigma = state.sigma * math.exp(rate / 2 * mean_gain)
        return _bounded(XNESState(theta, state.t + 1, sigma, root))


@lru_cache(maxsize=64)
def utilities(n: int) -> Vector:
    """(n,) utilities of the best to the worst candidate, summing to zero (section 3.1)."""
    raw = np.maximum(0, math.log(n / 2 + 1) - np.log(np.arange(1, n + 1)))
    return frozen(raw / raw.sum() - 1 / n)


def _by_rank(values: Vector) -> Vector:
    """(n,) each candidate's utility, ties by index."""
    weights = np.empty(len(values))
    weights[np.argsort(-values, kind="stable")] = utilities(len(values))
    return weights


def _bounded(state: XNESState) -> XNESState:
    """`state` made safe for float64: axis ratios up to 1e7, axes of B sigma in [1e-100, 1e30].

    The axes are computed every d-th update, which leaves O(d²) a generation; B then has
    determinant ±1 again.
    """
    root, sigma, d = state.root, state.sigma, state.theta.size
    if state.t % d == 0:
        left, scales, right = np.linalg.svd(root)
        floor = scales[0] / _MAX_AXIS_RATIO
        if scales[-1] < floor:
            scales = np.maximum(scales, floor)
            root = (left * scales) @ right
        unit = math.exp(float(np.log(scales).mean()))
        root, sigma = root / unit, sigma * unit
    length = float(np.linalg.norm(root)) / math.sqrt(d)  # root mean square of the axes
    return replace(state, sigma=clipped_sigma(sigma, length), root=root)
