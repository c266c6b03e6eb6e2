"""When a run of CMA-ES has nothing more to gain.

The criteria of Auger and Hansen (CEC 2005, sec. II) and Hansen (GECCO 2009 workshops, sec. 2), with
their constants; n is the population, d the dimension, t the run's generations.
"""

from __future__ import annotations

import math

import numpy as np

from zorl.common.types import Matrix, Vector, frozen
from zorl.optimizers.checks import MAX_CONDITION
from zorl.optimizers.cma_es import CMAESState

REASONS = {
    "flat": "the best return of all the latest 10 + 30 d / n generations is the same",
    "tolfun": "these and the latest generation's returns span no more than tolfun",
    "ties": "in a third of the latest d generations the best quarter of the candidates tie",
    "stagnation": "best and median are no better than a fifth of the run ago",
    "tolx": "all standard deviations have become tiny",
    "tolupsigma": "the step size grows far beyond what the covariance can follow",
    "condition": "the covariance is as ill-conditioned as float64 can bear",
    "no effect": "steps of a tenth of a standard deviation vanish in the mean's rounding",
    "max iterations": "100 + 50 (d + 3)² / √n generations have passed",
    "budget": "a small run has spent its allowance",
}

_LONGEST = 20_000  # generations that are remembered, as in Hansen 2009
_LEAST_TIES = 10  # generations looked at for ties: the published d of them is hasty at d = 1 or 2
_CONDITION = 0.999 * MAX_CONDITION  # of C, which CMAES itself holds at MAX_CONDITION
_MAX_GROWTH = 1e20  # of sigma, beyond what the longest axis of C has grown


def max_iterations(d: int, n: int) -> float:
    """The most generations of a run."""
    return 100 + 50 * (d + 3) ** 2 / math.sqrt(n)


def history_length(d: int, n: int) -> int:
    """How many generations any criterion looks back on, with at least n candidates each."""
    stagnation = max(120 + 30 * d / n, 0.2 * max_iterations(d, n))
    return min(_LONGEST, math.ceil(max(stagnation, d)))


def with_generation(history: Matrix, values: Vector) -> Matrix:
    """(3, H) `history` with one more generation at its end and without its oldest.

    Its rows are the best return, the median, and 1 where the best return and the k-th best, with
    k = 1 + ⌈0.1 + n / 4⌉, are the same (0 where not).
    """
    n = values.size
    k = 1 + math.ceil(0.1 + n / 4)
    kth, best = np.partition(values, (n - k, n - 1))[[n - k, n - 1]]
    new = np.array([[best], [np.median(values)], [float(best == kth)]])
    return frozen(np.concatenate([history[:, 1:], new], axis=1))


def reason_to_stop(
    state: CMAESState, history: Matrix, values: Vector, sigma0: float, tolfun: float, tolx: float
) -> str:
    """The name in `REASONS` of the first criterion that a run meets, or "".

    Args:
        state: the run's, after its latest update.
        history: (3, H), the latest generation last; only the latest `state.t` columns count.
        values: (n,) the latest returns.
        sigma0: the search's initial step size.
        tolfun: see `REASONS`.
        tolx: relative to sigma0.
    """
    return (
        _of_returns(state.theta.size, state.t, history, values, tolfun)
        or _of_distribution(state, sigma0, tolx)
        or ("max iterations" if state.t >= max_iterations(state.theta.size, values.size) else "")
    )


def _of_returns(d: int, t: int, history: Matrix, values: Vector, tolfun: float) -> str:
    n, longest = values.size, history.shape[1]
    best, _, tied = history
    window = min(10 + math.ceil(30 * d / n), longest)
    if t >= window:
        low, high = best[-window:].min(), best[-window:].max()
        if low == high:
            return "flat"
        if max(high, values.max()) - min(low, values.min()) <= tolfun:
            return "tolfun"
    window = min(max(d, _LEAST_TIES), longest)
    if t >= window and tied[-window:].sum() > window / 3:
        return "ties"
    window = min(math.ceil(max(120 + 30 * d / n, 0.2 * t)), longest)
    if t >= window:
        part = math.ceil(0.3 * window)
        recent = history[:2, -window:]
        now, then = np.median(recent[:, -part:], axis=1), np.median(recent[:, :part], axis=1)
        if (now <= then).all():
            return "stagnation"
    return ""


def _of_distribution(state: CMAESState, sigma0: float, tolx: float) -> str:
    theta, sigma, scales = state.theta, state.sigma, state.scales
    separable = state.covariance.ndim == 1
    variances = state.covariance if separable else np.diag(state.covariance)
    deviations = sigma * np.sqrt(variances)
    if (deviations < tolx * sigma0).all():
        return "tolx"
    if sigma > _MAX_GROWTH * sigma0 * scales.max():
        return "tolupsigma"
    if scales.max() ** 2 > _CONDITION * scales.min() ** 2:
        return "condition"
    if (theta == theta + 0.2 * deviations).any():
        return "no effect"
    if not separable:
        i = state.t % theta.size
        if (theta == theta + 0.1 * sigma * scales[i] * state.eigenbasis[:, i]).all():
            return "no effect"
    return ""
