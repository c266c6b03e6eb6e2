"""LM-MA-ES: matrix adaptation with O(log d) direction vectors, for many thousand parameters.

Loshchilov, Glasmachers and Beyer, "Large Scale Black-Box Optimization by Limited-Memory Matrix
Adaptation" (IEEE Transactions on Evolutionary Computation 23, 2019; arXiv 1705.06693).
Only the order of the returns is used, so every strictly increasing transform of the objective gives
the same search, bit for bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from zorl.common.types import Matrix, Vector, frozen
from zorl.common.validation import at_least, positive
from zorl.optimizers.base import Asked, check_popsize, default_popsize, start_vector
from zorl.optimizers.checks import clipped_sigma
from zorl.optimizers.distribution import DistributionSearch
from zorl.optimizers.registry import GROWING_EPISODES, register_method


@dataclass(frozen=True)
class LMMAESState:
    """The search distribution and its memory; arrays are read-only.

    Attributes:
        theta: (d,) the distribution's mean.
        t: how many updates led here, flat generations included.
        sigma: the step size.
        path: (d,) the evolution path of the step size, p_sigma.
        vectors: (m, d) the direction vectors m_1, …, m_m, fading ever more slowly.
    """

    theta: Vector
    t: int
    sigma: float
    path: Vector
    vectors: Matrix

    def __post_init__(self) -> None:
        for array in (self.theta, self.path, self.vectors):
            frozen(array)


@register_method("lm-ma-es", sigma0=1.0, **GROWING_EPISODES)
@dataclass(frozen=True)
class LMMAES(DistributionSearch[LMMAESState]):
    """LM-MA-ES: O(m d) memory and O(m d) time per candidate, m = 4 + floor(3 ln d).

    Made for thousands of parameters and more, where a full covariance is out of reach; below,
    CMAES needs fewer evaluations.

    Ties between returns are broken by candidate index. A generation whose returns are all equal
    changes nothing but `t`.

    Args:
        sigma0: the initial step size, about a third of the distance to the optimum expected.
        popsize: candidates per generation, at least 4; 4 + floor(3 ln d) when None.
        vectors: the number m of direction vectors; 4 + floor(3 ln d) when None.
    """

    sigma0: float = 0.5
    popsize: int | None = None
    vectors: int | None = None

    def __post_init__(self) -> None:
        positive("sigma0", self.sigma0)
        check_popsize(self.popsize, 4)
        if self.vectors is not None:
            at_least("vectors (how many directions are remembered)", self.vectors, 1)

    def population(self, d: int) -> int:
        """See `DistributionSearch`."""
        return self.popsize or default_popsize(d)

    def _vectors(self, d: int) -> int:
        """The number m of direction vectors, which happens to default to that of candidates."""
        return self.vectors or 4 + int(3 * math.log(d))

    def memory_bytes(self, d: int) -> int:
        """Bytes that a search in d dimensions needs at its peak.

        Two states (the old and the new one, and as many bytes while the latter is made), and the
        noise and the candidates of one generation. The rest does not grow with d.
        """
        return 8 * d * (3 * self._vectors(d) + 2 * self.population(d) + 6)

    def init(self, theta: ArrayLike) -> LMMAESState:
        """N(theta, sigma0² I) around `theta`, shape (d,), with an empty memory."""
        mean = start_vector(theta)
        d = mean.size
        vectors = np.zeros((self._vectors(d), d))
        return LMMAESState(mean, 0, float(self.sigma0), np.zeros(d), vectors)

    def ask(self, state: LMMAESState, rng: np.random.Generator) -> Asked:
        """Candidates theta + sigma d_i; `directions` holds the z_i ~ N(0, I), (n, d)."""
        noise = rng.standard_normal((self.population(state.theta.size), state.theta.size))
        thetas = _Transform(state)(noise)
        thetas *= state.sigma
        thetas += state.theta
        return Asked(thetas, state.t, noise, sigma=state.sigma)

    def update(self, state: LMMAESState, noise: Matrix, values: Vector) -> LMMAESState:
        """Move the distribution towards the better half of the n candidates."""
        d, m = state.theta.size, len(state.vectors)
        k = _constants(d, len(values), m)
        weights = np.zeros(len(values))
        weights[np.argsort(-values, kind="stable")[: len(k.weights)]] = k.weights
        mean = weights @ noise  # Σ w z; the transform is linear, so that of it is Σ w d
        transform = _Transform(state)
        theta = state.theta + state.sigma * transform(mean[None])[0]
        path = (1 - k.c_sigma) * state.path + k.gain_sigma * mean
        vectors = (1 - k.c_c)[:, None] * state.vectors
        vectors += k.gain_c[:, None] * mean
        sigma = state.sigma * math.exp(k.c_sigma / 2 * (float(path @ path) / d - 1))
        sigma = clipped_sigma(sigma, transform.reach)
        return LMMAESState(theta, state.t + 1, sigma, path, vectors)


class _Transform:
    """z ↦ d: the product over j of z ← (1 − c_j) z + c_j m_j (m_jᵀ z).

    A product of k rank-one maps I + γ_j m_j m_jᵀ, γ_j = c_j / (1 − c_j), is I + Mᵀ S M with an
    upper triangular (k, k) S, S⁻¹ = diag(1 / γ) − (the part of M Mᵀ above the diagonal), for z
    in rows: the compact form known from products of Householder reflections. So two matrix products
    serve all candidates, in place of k passes over them.

    Attributes:
        reach: an upper bound of what the transform multiplies a length with.
    """

    def __init__(self, state: LMMAESState) -> None:
        m, d = state.vectors.shape
        self.used = state.vectors[: min(state.t, m)]
        c = _rates(1 / d, 1.5, m, most=0.5)[: len(self.used)]
        gram = self.used @ self.used.T
        inverse = np.diag(1 / c - 1) - np.triu(gram, 1)
        self.core = np.linalg.inv(inverse)
        self.scale = float(np.prod(1 - c))
        self.reach = float(np.prod(1 - c + c * np.diagonal(gram)))

    def __call__(self, rows: Matrix) -> Matrix:
        """The transform of each row, in a new (n, d) array."""
        if not len(self.used):
            return rows.copy()
        result = (rows @ self.used.T @ self.core) @ self.used
        result += rows
        result *= self.scale
        return result


class _Constants:
    """The parameters of the paper's initialisation; arrays are never written."""

    def __init__(self, d: int, n: int, m: int) -> None:
        mu = n // 2
        raw = math.log(mu + 0.5) - np.log(np.arange(1, mu + 1))
        self.weights = raw / raw.sum()
        mu_w = 1 / float((self.weights**2).sum())
        self.c_sigma = float(_rates(2 * n / d, 1.0, 1)[0])
        self.c_c = _rates(n / d, 4.0, m)
        self.gain_sigma = math.sqrt(mu_w * self.c_sigma * (2 - self.c_sigma))
        self.gain_c = np.sqrt(mu_w * self.c_c * (2 - self.c_c))


_constants = lru_cache(maxsize=64)(_Constants)


def _rates(first: float, base: float, m: int, most: float = 1.0) -> Vector:
    """(m,) rates first / base^(j − 1), at most `most`.

    The published rates are meant for large d, where the limits change nothing: c_sigma reaches 1
    below d = 30, c_c below d = 10, and c_d, whose 1 would forget z, at d = 1.
    """
    return np.asarray(np.minimum(first / base ** np.arange(m), most))
