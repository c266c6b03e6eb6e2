"""How many episodes each candidate plays: more where noise drowns their differences."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_RATE = 0.3  # how fast episodes per candidate follow the measured reliability


def next_episodes(
    episodes: float, returns: NDArray[np.float64], bounds: tuple[int, int], target: float
) -> float:
    """Episodes per candidate of the next generation: an integrator on a log scale.

    Args:
        episodes: of this generation, before rounding.
        returns: (n, e) of its candidates.
        bounds: the fewest and the most.
        target: the reliability to aim at.
    """
    measured = reliability(returns)
    if measured is None:
        return episodes
    wanted = episodes * np.exp(_RATE * (target - measured))
    return float(np.clip(wanted, *bounds))


def reliability(returns: NDArray[np.float64]) -> float | None:
    """The share of the variance of the candidates' means that is theirs, not the episodes'.

    A two-way layout without replication (n candidates × e common episodes): the residual after
    candidates' and episodes' means is what a ranking of the candidates suffers from. At 1 the
    ranking is certain; at 0 or below it is chance.

    Args:
        returns: (n, e).

    Returns:
        1 − (residual variance / e) / variance of the candidates' means, at least −1; None where
        that cannot be computed: n or e below 2, no variance, or a value that is not finite.
    """
    n, e = returns.shape
    if n < 2 or e < 2 or not np.isfinite(returns).all():
        return None
    means = returns.mean(axis=1)
    between = means.var(ddof=1)
    if between <= 0:
        return None
    residual = returns - means[:, None] - returns.mean(axis=0) + returns.mean()
    noise = (residual**2).sum() / ((n - 1) * (e - 1))
    return float(max(1 - noise / e / between, -1.0))
