"""The constants of CMA-ES: the tutorial's, and those of mirrored orthogonal candidates.

Equation numbers are those of Hansen, "The CMA Evolution Strategy: A Tutorial" (arXiv 1604.00772);
its table 1 has these constants. `tutorial` is that table and nothing else. `mirrored` differs from
it in four numbers found by trial, which are named and explained below, and in the variance of the
mean's step, which is computed exactly. With `damped`, d_sigma grows faster with n / d, and the
first of the four numbers falls.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from zorl.common.types import Vector, frozen

# Of `mirrored` alone.
# α_cov in eq. 57 and 58: orthogonal directions tell more of C in each generation than independent
# ones, so C may be learned 1.5 times as fast. More directions than dimensions are no longer all
# orthogonal, and learning C fast makes a large population converge to the next best optimum: where
# damped, the number falls to the tutorial's 2 as mu_eff grows beyond d.
_ALPHA = 3.0
# Weight of the worse half in the mean's step, which the tutorial leaves out; flat from 0.2 to 0.5.
_RECOIL = 0.3
# Divides the d + 5 of eq. 55: with less noise in the step, the path need not look back as far.
_SHORTER = 1.5
# In place of the 1 in d_sigma, eq. 55: with less noise in the path, sigma may follow it faster.
_DAMPING = 0.7
# In place of `_INERTIA`, by trial on sharp ridges and Schaffer functions at d = 10 and 20: 5 is too
# little for ridges, where sigma shrinks before C has learned them. Then the 1 above is kept, and
# there is no recoil, which drives the mean out of BBOB's Schwefel function at d = 5.
_MIRRORED_INERTIA = 8.0

# Of both: the share of C that may be new before its axes are computed again, where the tutorial
# (section B.2) has its own rule. Up to 0.1 costs no evaluations.
_STALE = 0.05
# Of both where `damped`: what multiplies √((mu_eff − 1) / (d + 1)) of eq. 55 in many dimensions. It
# is a number of pycma 4.5's.
_INERTIA = 3.0


@dataclass(frozen=True, eq=False)
class Constants:
    """The strategy parameters for n candidates in d dimensions; arrays are read-only.

    Attributes:
        mu: how many candidates, from the best on, are the better half.
        weights: (n,) from the best rank on, of the outer products that make C (eq. 53).
        total: their sum.
        recombination: (n,) from the best rank on, of the steps that make the mean's.
        pair: (n,) each candidate's direction, an index.
        sign: (n,) 1, or -1 for the mirrored candidates.
        c_1: learning rate of the rank-one update (eq. 57).
        c_mu: learning rate of the rank-µ update (eq. 58).
        c_sigma: how fast the path of sigma forgets (eq. 55).
        d_sigma: damping of sigma (eq. 55).
        c_c: how fast the path of C forgets (eq. 56).
        gain_sigma: what scales the step in the path of sigma (eq. 43).
        gain_c: what scales the step in the path of C (eq. 45).
        chi: E‖N(0, I)‖, exactly, where the tutorial approximates: with random ranks log sigma has
            no drift at any d; with pairs, whose path is not quite normal, 0.001 a generation.
        eigen_gap: updates from one computation of C's axes to the next.
    """

    mu: int
    weights: Vector
    total: float
    recombination: Vector
    pair: NDArray[np.intp]
    sign: Vector
    c_1: float
    c_mu: float
    c_sigma: float
    d_sigma: float
    c_c: float
    gain_sigma: float
    gain_c: float
    chi: float
    eigen_gap: int


@lru_cache(maxsize=64)
def constants(
    d: int, n: int, separable: bool, active: bool, in_pairs: bool, damped: bool = False
) -> Constants:
    """The constants of a search, computed once.

    Args:
        d: the dimension.
        n: candidates per generation.
        separable: whether C is diagonal.
        active: whether the worse half has negative weights in C.
        in_pairs: whether the candidates are opposite pairs along orthogonal directions.
        damped: whether sigma follows its path more slowly, the more so the larger n is, and pairs
            have the tutorial's step and, the larger n is for d, nearly its rates of C.
    """
    return (mirrored if in_pairs else tutorial)(d, n, separable, active, damped)


def tutorial(
    d: int, n: int, separable: bool = False, active: bool = True, damped: bool = False
) -> Constants:
    """Table 1 of the tutorial, for n independent candidates; but for d_sigma if damped."""
    mu, raw, mu_eff = _raw_weights(n)
    c_1, c_mu = _covariance_rates(d, mu_eff, 2.0, separable)
    better, _ = _halves(mu, raw)
    c_sigma = (mu_eff + 2) / (mu_eff + (d + 5))  # eq. 55
    return _completed(
        d, n, mu_eff,
        mu=mu,
        weights=_weights(d, mu, raw, c_1, c_mu, active),
        recombination=better,  # eq. 41
        variance=float((better**2).sum()),  # of the step: 1 / mu_eff, eq. 8
        c_1=c_1,
        c_mu=c_mu,
        c_sigma=c_sigma,
        d_sigma=1.0 + _excess(d, mu_eff, _INERTIA * damped) + c_sigma,  # eq. 55
    )  # fmt: skip


def mirrored(
    d: int, n: int, separable: bool = False, active: bool = True, damped: bool = False
) -> Constants:
    """For n candidates in opposite pairs along orthogonal directions: see the numbers above."""
    mu, raw, mu_eff = _raw_weights(n)
    alpha = 2.0 + (_ALPHA - 2.0) * min(1.0, d / mu_eff) if damped else _ALPHA
    c_1, c_mu = _covariance_rates(d, mu_eff, alpha, separable)
    better, worse = _halves(mu, raw)
    recoil, least = (0.0, 1.0) if damped else (_RECOIL, _DAMPING)
    w = better + recoil * worse
    # E‖step‖² / d with random ranks: Σ w², less the product of the weights of either of a pair,
    # for a share of 1 / (n - 1) of all couples are pairs (1 / n for odd n).
    squares = float((w**2).sum())
    variance = squares - (float(w.sum()) ** 2 - squares) / (n - 1 + n % 2)
    c_sigma = (mu_eff + 2) / (mu_eff + (d + 5) / _SHORTER)  # eq. 55 with another span
    return _completed(
        d, (n + 1) // 2, mu_eff,
        mu=mu,
        weights=_weights(d, mu, raw, c_1, c_mu, active),
        recombination=w,
        variance=variance,
        c_1=c_1,
        c_mu=c_mu,
        c_sigma=c_sigma,
        # eq. 55 with another first term
        d_sigma=least + _excess(d, mu_eff, _MIRRORED_INERTIA * damped) + c_sigma,
    )  # fmt: skip


def _raw_weights(n: int) -> tuple[int, Vector, float]:
    """mu, the n weights w' of eq. 49, and mu_eff."""
    raw = math.log((n + 1) / 2) - np.log(np.arange(1, n + 1))
    mu = n // 2
    return mu, raw, _effective(raw[:mu])


def _effective(weights: Vector) -> float:
    return float(weights.sum() ** 2 / (weights**2).sum())  # variance effective number, eq. 8


def _covariance_rates(d: int, mu_eff: float, alpha: float, separable: bool) -> tuple[float, float]:
    """c_1 and c_mu (eq. 57 and 58)."""
    # d variances are learned faster than d (d + 1) / 2 numbers (Ros and Hansen, PPSN 2008).
    rate = (d + 2) / 3 if separable else 1.0
    c_1 = rate * alpha / ((d + 1.3) ** 2 + mu_eff)  # eq. 57
    c_mu = alpha * (0.25 + mu_eff + 1 / mu_eff - 2) / ((d + 2) ** 2 + alpha * mu_eff / 2)
    return c_1, min(1 - c_1, rate * c_mu)  # eq. 58


def _halves(mu: int, raw: Vector) -> tuple[Vector, Vector]:
    """(n,) the weights of the better half, which sum to 1, and of the worse, to -1; else 0."""
    return np.maximum(raw, 0) / raw[:mu].sum(), np.minimum(raw, 0) / -raw[mu:].sum()


def _weights(d: int, mu: int, raw: Vector, c_1: float, c_mu: float, active: bool) -> Vector:
    """(n,) the weights of the outer products in C (eq. 53); of the worse half 0 unless active."""
    better, worse = _halves(mu, raw)
    least = 0.0
    if active:
        no_decay = 1 + c_1 / c_mu  # eq. 50
        reliable = 1 + 2 * _effective(raw[mu:]) / (_effective(raw[:mu]) + 2)  # eq. 51
        definite = (1 - c_1 - c_mu) / (d * c_mu)  # eq. 52
        least = min(no_decay, reliable, definite)
    return better + least * worse  # eq. 53


def _excess(d: int, mu_eff: float, inertia: float) -> float:
    """The part of d_sigma that grows with the population (eq. 55).

    With inertia the root counts up to that many times; fewer times in few dimensions.
    """
    times = max(1.0, inertia * (1 - math.pow(0.5, d / 9)))
    return 2 * max(0.0, times * math.sqrt((mu_eff - 1) / (d + 1)) - 1)


def _completed(
    d: int,
    directions: int,
    mu_eff: float,
    *,
    mu: int,
    weights: Vector,
    recombination: Vector,
    variance: float,
    c_1: float,
    c_mu: float,
    c_sigma: float,
    d_sigma: float,
) -> Constants:
    """With what follows from the others alike; `variance` is E‖step‖² / d with random ranks."""
    c_c = (4 + mu_eff / d) / (d + 4 + 2 * mu_eff / d)  # eq. 56
    index = np.arange(weights.size)
    return Constants(
        mu=mu,
        weights=frozen(weights),
        total=float(weights.sum()),
        recombination=frozen(recombination),
        pair=frozen(index % directions),
        sign=frozen(np.where(index < directions, 1.0, -1.0)),
        c_1=c_1,
        c_mu=c_mu,
        c_sigma=c_sigma,
        d_sigma=d_sigma,
        c_c=c_c,
        gain_sigma=math.sqrt(c_sigma * (2 - c_sigma) / variance),  # eq. 43
        gain_c=math.sqrt(c_c * (2 - c_c) / variance),  # eq. 45
        chi=math.sqrt(2) * math.exp(math.lgamma((d + 1) / 2) - math.lgamma(d / 2)),
        eigen_gap=max(1, int(_STALE / (c_1 + c_mu))),
    )
