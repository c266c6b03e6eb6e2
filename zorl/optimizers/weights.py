"""From returns to one weight per direction; the gradient estimate is Σ weight_i · δ_i.

`contrast` is what a scheme measured along each direction, in units of return: (f⁺ − f⁻)/2 for
antithetic pairs, f⁺ − f(θ) for forward differences, f⁺ for one-sided sampling. Equal returns give
zero weights, never NaN; `Raw` alone, which has no baseline, weighs equal one-sided returns too
(`GradientSearch` takes no step then).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from zorl.common.errors import ConfigurationError
from zorl.common.types import Vector
from zorl.common.validation import at_least

ANTITHETIC = "antithetic"
FORWARD = "forward"
ONE_SIDED = "one-sided"
SCHEMES = (ANTITHETIC, FORWARD, ONE_SIDED)


def candidates_of(scheme: str, m: int) -> int:
    """How many candidates a scheme makes of m directions."""
    return {ANTITHETIC: 2 * m, FORWARD: m + 1, ONE_SIDED: m}[scheme]


def contrast(returns: Vector, scheme: str) -> Vector:
    """(m,) what was measured along each direction, from the (n,) returns in asking order."""
    if scheme == ANTITHETIC:
        m = len(returns) // 2
        return (returns[:m] - returns[m:]) / 2
    if scheme == FORWARD:
        return np.asarray(returns[:-1] - returns[-1])
    return returns


class Weights(Protocol):
    """One weight per direction."""

    def __call__(self, returns: Vector, scheme: str, radius: float) -> Vector:
        """(m,) weights from the (n,) finite returns of one generation."""


@dataclass(frozen=True)
class Raw:
    """contrast / (m · radius): the unbiased estimate of the smoothed gradient."""

    def __call__(self, returns: Vector, scheme: str, radius: float) -> Vector:
        """See `Weights`."""
        values = contrast(returns, scheme)
        return values / (len(values) * radius)


@dataclass(frozen=True)
class Standardised:
    """Contrasts less their mean, over their standard deviation: z / (m · radius).

    Removes the scale of the returns, and with it the shrinking of steps near an optimum.
    """

    def __call__(self, returns: Vector, scheme: str, radius: float) -> Vector:
        """See `Weights`."""
        values = contrast(returns, scheme)
        spread = values.std()
        # Rounding leaves a spread of some ulps where all values are equal; that is no signal.
        if spread <= 1e-12 * np.abs(values).max():
            return np.zeros(len(values))
        return np.asarray((values - values.mean()) / (spread * len(values) * radius))


@dataclass(frozen=True)
class NormalisedReturns:
    """Returns less their mean, over their standard deviation, then the contrast: z / (m · radius).

    The normalised rewards of evolution strategies. One-sided it equals `Standardised`; antithetic
    it keeps the mean contrast, which is signal, and divides by the spread of all 2m returns.
    """

    def __call__(self, returns: Vector, scheme: str, radius: float) -> Vector:
        """See `Weights`."""
        spread = returns.std()
        values = contrast(returns, scheme)
        if spread <= 1e-12 * np.abs(returns).max():
            return np.zeros(len(values))
        if scheme == ONE_SIDED:
            values = values - values.mean()
        return np.asarray(values / (spread * len(values) * radius))


@dataclass(frozen=True)
class CentredRanks:
    """Ranks of all n returns mapped to [−½, ½], then the contrast (Salimans et al. 2017).

    Ties share their mean rank, so equal returns weigh zero.
    """

    def __call__(self, returns: Vector, scheme: str, radius: float) -> Vector:
        """See `Weights`."""
        n = len(returns)
        from scipy.stats import rankdata  # half a second that worker processes do not pay

        ranks = (np.asarray(rankdata(returns), np.float64) - (n + 1) / 2) / max(n - 1, 1)
        values = contrast(ranks, scheme)
        return values / (len(values) * radius)


@dataclass(frozen=True)
class SigmaR:
    """ARS weights: (f⁺ − f⁻) / (b · σ_R) on the b best directions (Mania et al. 2018, alg. 2).

    The best are those with the largest max(f⁺, f⁻), ties by index, exactly b of them; σ_R is the
    population standard deviation of their 2b returns. The radius does not enter. With the forward
    scheme, (f⁺ − f(θ)) / (b · σ_R), and σ_R of the b perturbed returns.

    Args:
        top: b, or None for all directions.
    """

    top: int | None = None

    def __post_init__(self) -> None:
        if self.top is not None:
            at_least("top (the number b of directions used)", self.top, 1)

    def __call__(self, returns: Vector, scheme: str, radius: float) -> Vector:
        """See `Weights`."""
        if scheme == ONE_SIDED:
            raise ConfigurationError("σ_R weights need the antithetic or forward scheme")
        # (rows, m): the perturbed returns of each direction; f(θ) itself is no part of σ_R.
        perturbed = returns.reshape(2, -1) if scheme == ANTITHETIC else returns[None, :-1]
        m = perturbed.shape[1]
        b = m if self.top is None else min(self.top, m)
        best = np.argsort(-perturbed.max(axis=0), kind="stable")[:b]
        used = perturbed[:, best]
        sigma_r = used.std()
        weights = np.zeros(m)
        if sigma_r > 1e-12 * np.abs(used).max():
            difference = used[0] - (used[1] if scheme == ANTITHETIC else returns[-1])
            weights[best] = difference / (b * sigma_r)
        return weights
