"""CMA-ES: a Gaussian that learns its own mean, step size and covariance from ranks.

Equation numbers are those of Hansen, "The CMA Evolution Strategy: A Tutorial" (arXiv 1604.00772);
the separable variant is that of Ros and Hansen (PPSN 2008). Only the order of the returns is used,
so every strictly increasing transform of the objective gives the same search, bit for bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from zorl.errors import ConfigurationError, UnknownNameError
from zorl.optimizers.base import Asked, Matrix, Vector, checked_returns, positive, start_vector

_MAX_FULL_DIM = 20_000
_MAX_CONDITION = 1e14  # of C: beyond it float64 cannot tell the short axes from rounding
_MIN_REACH, _MAX_REACH = 1e-100, 1e30  # of sigma x longest axis; 1e30 still fits a float32 network
_MAX_SHIFT = 64  # how many powers of two C's longest axis may drift before sigma takes them over


@dataclass(frozen=True)
class CMAESState:
    """The search distribution N(theta, sigma² C) and its memory; arrays are read-only.

    Attributes:
        theta: (d,) the distribution's mean.
        t: how many updates led here, flat generations included.
        sigma: the step size.
        covariance: C, (d, d), or its diagonal (d,) when separable.
        path_c: (d,) the evolution path of the covariance, p_c.
        path_sigma: (d,) the evolution path of the step size, p_sigma.
        eigenbasis: (d, d) B with C = B diag(scales²) B^T at update `eigen_t`; (0, 0), standing for
            the identity, when separable.
        scales: (d,) the standard deviations along the axes B.
        eigen_t: the update at which `eigenbasis` and `scales` were computed.
    """

    theta: Vector
    t: int
    sigma: float
    covariance: Matrix
    path_c: Vector
    path_sigma: Vector
    eigenbasis: Matrix
    scales: Vector
    eigen_t: int

    def __post_init__(self) -> None:
        for value in vars(self).values():
            if isinstance(value, np.ndarray):
                value.setflags(write=False)


@dataclass(frozen=True)
class CMAES:
    """CMA-ES with weighted recombination, cumulative step-size adaptation and active covariance.

    Ties between returns are broken by candidate index. A generation whose returns are all equal
    says nothing about any direction, so it changes nothing but `t`.

    Args:
        sigma0: the initial step size, about a third of the distance to the optimum expected.
        popsize: candidates per generation, at least 4; 4 + floor(3 ln d) when None (eq. 48).
        covariance: "full", or "separable" for a diagonal C, which is linear in d in time and memory
            and learns (d + 2) / 3 times as fast, but does not see correlations.
        active: whether the worst half shrinks the variance along its directions.
    """

    sigma0: float = 0.5
    popsize: int | None = None
    covariance: Literal["full", "separable"] = "full"
    active: bool = True

    def __post_init__(self) -> None:
        positive("sigma0", self.sigma0)
        n = self.popsize
        if n is not None and not (isinstance(n, (int, np.integer)) and n >= 4):
            raise ConfigurationError(
                f"popsize must be an integer >= 4, or None for 4 + floor(3 ln d), got {n!r}"
            )
        if self.covariance not in ("full", "separable"):
            raise UnknownNameError("covariance", str(self.covariance), ("full", "separable"))

    def init(self, theta: ArrayLike) -> CMAESState:
        """N(theta, sigma0² I) around `theta`, shape (d,), with empty evolution paths.

        Raises:
            ConfigurationError: `theta` is no finite vector, or too long for a full covariance.
        """
        mean = start_vector(theta)
        d, separable = mean.size, self.covariance == "separable"
        if not separable and d > _MAX_FULL_DIM:
            raise ConfigurationError(
                f"a full covariance at d = {d:,} > {_MAX_FULL_DIM:,} needs {16e-9 * d * d:,.1f} GB "
                f'for C and its eigenvectors; use covariance="separable", which needs O(d)'
            )
        return CMAESState(
            theta=mean,
            t=0,
            sigma=float(self.sigma0),
            covariance=np.ones(d) if separable else np.eye(d),
            path_c=np.zeros(d),
            path_sigma=np.zeros(d),
            eigenbasis=np.empty((0, 0)) if separable else np.eye(d),
            scales=np.ones(d),
            eigen_t=0,
        )

    def ask(self, state: CMAESState, rng: np.random.Generator) -> Asked:
        """Candidates theta + sigma y with y ~ N(0, C) (eq. 38-40); `directions` holds the y."""
        d = state.theta.size
        n = self.popsize or 4 + int(3 * math.log(d))
        y = _times(rng.standard_normal((n, d)) * state.scales, state.eigenbasis.T)
        return Asked(state.theta + state.sigma * y, state.t, y)

    def tell(self, state: CMAESState, asked: Asked, returns: ArrayLike) -> CMAESState:
        """Move the distribution towards the better of the n candidates.

        Args:
            state: the state that asked.
            asked: the candidates, as `ask` returned them.
            returns: (n,) one per candidate, higher better; NaN and infinities count as the worst.

        Raises:
            ConfigurationError: `asked` or `returns` does not belong to `state`.
        """
        values = checked_returns(state, asked, returns)
        y = asked.directions
        if not isinstance(y, np.ndarray) or y.shape != asked.candidates.shape:
            raise ConfigurationError("tell needs the candidates that ask of CMAES returned, as is")
        if values.min() == values.max():
            return replace(state, t=state.t + 1)

        d, t, separable = state.theta.size, state.t + 1, state.covariance.ndim == 1
        k = _constants(d, len(asked), separable, self.active)
        y = y[np.argsort(-values, kind="stable")]  # best first
        step = k.weights[: k.mu] @ y[: k.mu]  # eq. 41
        theta = state.theta + state.sigma * step  # eq. 42 with c_m = 1

        # The coordinates D^-1 B^T y differ from C^-1/2 y by the rotation B only: same lengths.
        white = _times(np.vstack((step, y[k.mu :])), state.eigenbasis) / state.scales
        shift = _times(white[0], state.eigenbasis.T)  # C^-1/2 step
        path_sigma = (1 - k.c_sigma) * state.path_sigma + k.gain_sigma * shift  # eq. 43
        length = float(np.linalg.norm(path_sigma)) / k.chi
        sigma = state.sigma * math.exp(k.c_sigma / k.d_sigma * (length - 1))  # eq. 44

        # h_sigma stalls p_c while sigma still has to grow, lest C take over sigma's part.
        unbiased = length / math.sqrt(1 - (1 - k.c_sigma) ** (2 * t))
        h_sigma = float(unbiased < 1.4 + 2 / (d + 1))
        path_c = (1 - k.c_c) * state.path_c + h_sigma * k.gain_c * step  # eq. 45

        # Eq. 46: a bad direction may take away at most what a typical length takes, or C could
        # lose its positive definiteness. Eq. 47 is then one product of p_c and all directions.
        weights = k.weights.copy()
        weights[k.mu :] *= d / np.maximum((white[1:] ** 2).sum(axis=1), np.finfo(np.float64).tiny)
        variance_loss = (1 - h_sigma) * k.c_c * (2 - k.c_c)
        decay = 1 + k.c_1 * variance_loss - k.c_1 - k.c_mu * float(k.weights.sum())
        coefficients = np.append(k.c_mu * weights, k.c_1)
        rows = np.vstack((y, path_c))
        if separable:
            covariance = decay * state.covariance + coefficients @ rows**2
        else:
            covariance = decay * state.covariance + (rows.T * coefficients) @ rows

        moved = replace(state, theta=theta, t=t, sigma=sigma, covariance=covariance)
        moved = replace(moved, path_c=path_c, path_sigma=path_sigma)
        # B and D lag behind C so that the O(d³) decomposition costs O(d²) a candidate (B.2).
        due = separable or t - state.eigen_t >= k.eigen_gap
        return _bounded(_decomposed(moved) if due else moved)


class _Constants:
    """The strategy parameters of table 1; `weights` is (n,), non-increasing, never written."""

    def __init__(self, d: int, n: int, separable: bool, active: bool) -> None:
        raw = math.log((n + 1) / 2) - np.log(np.arange(1, n + 1))  # eq. 49
        self.mu = mu = n // 2
        self.mu_eff = mu_eff = _effective(raw[:mu])
        # d variances are learned faster than d (d + 1) / 2 numbers (Ros and Hansen).
        rate = 2 * (d + 2) / 3 if separable else 2.0
        self.c_1 = c_1 = rate / ((d + 1.3) ** 2 + mu_eff)  # eq. 57
        c_mu = rate * (0.25 + mu_eff + 1 / mu_eff - 2) / ((d + 2) ** 2 + mu_eff)  # eq. 58
        self.c_mu = c_mu = min(1 - c_1, c_mu)
        weights = np.maximum(raw, 0) / raw[:mu].sum()  # eq. 53
        if active:
            no_decay = 1 + c_1 / c_mu  # eq. 50
            reliable = 1 + 2 * _effective(raw[mu:]) / (mu_eff + 2)  # eq. 51
            definite = (1 - c_1 - c_mu) / (d * c_mu)  # eq. 52
            weights[mu:] = min(no_decay, reliable, definite) * raw[mu:] / -raw[mu:].sum()
        self.weights = weights
        self.c_sigma = c_sigma = (mu_eff + 2) / (d + mu_eff + 5)  # eq. 55
        self.d_sigma = 1 + 2 * max(0.0, math.sqrt((mu_eff - 1) / (d + 1)) - 1) + c_sigma
        self.c_c = c_c = (4 + mu_eff / d) / (d + 4 + 2 * mu_eff / d)  # eq. 56
        self.gain_sigma = math.sqrt(c_sigma * (2 - c_sigma) * mu_eff)
        self.gain_c = math.sqrt(c_c * (2 - c_c) * mu_eff)
        # E|N(0, I)| exactly, where the tutorial approximates: log sigma has no drift at any d.
        self.chi = math.sqrt(2) * math.exp(math.lgamma((d + 1) / 2) - math.lgamma(d / 2))
        self.eigen_gap = max(1, int(1 / (10 * d * (c_1 + c_mu))))


_constants = lru_cache(maxsize=64)(_Constants)


def _effective(weights: Vector) -> float:
    return float(weights.sum() ** 2 / (weights**2).sum())  # variance effective number, eq. 8


def _times(rows: Matrix, basis: Matrix) -> Matrix:
    return rows @ basis if basis.size else rows  # a separable state stores no basis: identity


def _decomposed(state: CMAESState) -> CMAESState:
    """`state` with the axes of its C computed anew, and made safe for float64.

    Variances below 1e-14 of the largest are raised to that, in C too. When the longest axis has
    left [2^-64, 2^64], sigma takes the power of two over: the same distribution, exactly.
    """
    covariance, basis = state.covariance, state.eigenbasis
    if covariance.ndim == 1:
        variances = covariance = np.maximum(covariance, covariance.max() / _MAX_CONDITION)
    else:
        covariance = (covariance + covariance.T) / 2
        variances, basis = np.linalg.eigh(covariance)
        floor = variances[-1] / _MAX_CONDITION
        if variances[0] < floor:
            variances = np.maximum(variances, floor)
            covariance = (basis * variances) @ basis.T
    scales = np.sqrt(variances)
    exponent = math.frexp(scales.max())[1]
    unit = 2.0**exponent if abs(exponent) > _MAX_SHIFT else 1.0
    return replace(
        state,
        sigma=state.sigma * unit,
        covariance=covariance / unit**2,
        path_c=state.path_c / unit,
        eigenbasis=basis,
        scales=scales / unit,
        eigen_t=state.t,
    )


def _bounded(state: CMAESState) -> CMAESState:
    """`state` with sigma clipped so that sigma x the longest axis stays in [1e-100, 1e30]."""
    longest = float(state.scales.max())
    return replace(state, sigma=min(max(state.sigma, _MIN_REACH / longest), _MAX_REACH / longest))
