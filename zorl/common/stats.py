"""Interval estimates for a few runs or many episodes: IQM, bootstrap, Wilson, paired differences.

Agarwal et al. 2021 (arXiv 2108.13264) ask for intervals and the interquartile mean. The percentile
bootstrap covers too rarely at 3 to 10 runs; `bootstrap` repairs much of that, and says how much.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import scipy.stats
from numpy.typing import ArrayLike, NDArray

from zorl.common.errors import ConfigurationError, UnknownNameError

Array = NDArray[np.float64]
Statistic = Literal["mean", "iqm", "median"] | Callable[[Array], float]

_STATISTICS: dict[str, Callable[[Array], Array]] = {  # over axis 1
    "mean": lambda samples: samples.mean(axis=1),
    "iqm": lambda samples: np.asarray(scipy.stats.trim_mean(samples, 0.25, axis=1)),
    "median": lambda samples: np.asarray(np.median(samples, axis=1)),
}
_BLOCK = 2_000_000  # floats per temporary array (16 MB), whatever the number of runs and resamples


@dataclass(frozen=True)
class Interval:
    """A point estimate and its confidence interval; infinite bounds mean an unknown interval.

    `str()` gives the interval's width two significant digits, "-104.6 [-105.3, -103.9]", and
    "[n/a]" for infinite bounds; `format(interval, ".3f")` formats all three numbers alike.
    """

    estimate: float
    low: float
    high: float
    level: float

    def within(self, low: float, high: float) -> Interval:
        """The part of the interval that is possible; the estimate is in the range anyway."""
        bounds = min(max(self.low, low), self.estimate), max(min(self.high, high), self.estimate)
        return replace(self, low=bounds[0], high=bounds[1])

    def __format__(self, spec: str) -> str:
        width = self.high - self.low
        if not spec:  # a width below 1e-9 is a rounding error of equal values
            known = 1e-9 < width < math.inf
            spec = f".{max(1 - math.floor(math.log10(width)), 0)}f" if known else ".4g"
        bounds = f"{self.low:{spec}}, {self.high:{spec}}" if math.isfinite(width) else "n/a"
        return f"{self.estimate:{spec}} [{bounds}]"

    def __str__(self) -> str:
        return format(self, "")


def iqm(values: ArrayLike) -> float:
    """Return the interquartile mean: without the ⌊n/4⌋ lowest and highest of all n values."""
    return float(scipy.stats.trim_mean(_finite(values, "values").ravel(), 0.25))


def bootstrap(
    values: ArrayLike,
    statistic: Statistic = "mean",
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Interval:
    """Return the bootstrap interval of a statistic of n independent runs, stretched for small n.

    The percentile interval is stretched around the estimate by k = √(n / (n - 1)) · t(n - 1) / z.
    This replaces n in the plug-in variance by n - 1, and the normal quantile by Student's. The
    interval is then as wide as Student's but follows the skew. (Both corrections are those of
    Hesterberg's expanded percentiles, arXiv 1411.5279, which cannot leave the data's range: 75 % at
    n = 3.) For the IQM of n ≥ 4 k = t / z, because resampling does not understate a trimmed mean's
    spread.

    Measured coverage of nominal 95 % (10,000 samples; in brackets the plain percentiles), n =::

                                3          5           10          20
        mean, normal         95 (74)     94 (84)     95 (90)     95 (92)
        mean, lognormal      84 (63)     82 (72)     85 (80)     87 (85)
        IQM, normal          95 (74)     95 (90)     96 (93)     95 (94)
        IQM, lognormal       93 (74)     95 (89)     96 (93)     96 (94)
        IQM, 30 % failures   78 (63)     84 (80)     96 (93)     95 (94)

    Equal runs give an interval of width 0, which says nothing about events that they did not show
    (for success rates use `proportion_interval`). One run gives ±∞. Bounds may be returns that
    cannot occur.

    Args:
        values: one number per independent run (n,).
        statistic: a name, or a function from an (n,) sample to a number.
        level: in (0, 1).
        resamples: at least 2 / (1 - level), so that each tail has one.
        seed: seed of the resamples; equal arguments give bit-identical results.
    """
    sample = _finite(values, "values", ndim=1)
    center, low, high = _bootstrap(sample[:, None], statistic, level, resamples, seed)
    return Interval(float(center[0]), float(low[0]), float(high[0]), level)


def mean_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """Return Student's t interval for the mean of independent episodes (n,); ±∞ for n = 1."""
    sample = _finite(values, "values", ndim=1)
    _check_level(level)
    mean, half, n = float(sample.mean()), math.inf, sample.size
    if n > 1:
        half = float(scipy.stats.t.ppf((1 + level) / 2, n - 1) * sample.std(ddof=1) / n**0.5)
    return Interval(mean, mean - half, mean + half, level)


def proportion_interval(successes: int, n: int, level: float = 0.95) -> Interval:
    """Return Wilson's interval (1927) for a success rate; its width is never 0."""
    _check_level(level)
    whole = isinstance(successes, (int, np.integer)) and isinstance(n, (int, np.integer))
    if not (whole and 0 <= successes <= n and n >= 1):
        raise ConfigurationError(f"expected whole 0 ≤ successes ≤ n ≥ 1, got {successes} of {n}")
    bounds = scipy.stats.binomtest(int(successes), int(n)).proportion_ci(level, method="wilson")
    return Interval(successes / n, float(bounds.low), float(bounds.high), level)


def paired_difference(a: ArrayLike, b: ArrayLike, level: float = 0.95, seed: int = 0) -> Interval:
    """Return `bootstrap` of the mean of a - b (n,), where a[i] and b[i] share run i's seeds."""
    first, second = _finite(a, "a", ndim=1), _finite(b, "b", ndim=1)
    if first.size != second.size:
        raise ConfigurationError(f"a and b must be pairs, got {first.size} and {second.size} runs")
    return bootstrap(first - second, level=level, seed=seed)


def curve_band(
    curves: ArrayLike, level: float = 0.95, statistic: Literal["iqm", "mean"] = "iqm", seed: int = 0
) -> tuple[Array, Array, Array]:
    """Return the pointwise `bootstrap` over runs, with the same 2,000 resamples at all points.

    `curves` is (runs, points) and finite: start the grid where every run has a value. Returns
    center, low and high, each (points,); the level is each point's, not the whole curve's.
    """
    return _bootstrap(_finite(curves, "curves", ndim=2), statistic, level, 2_000, seed)


def step_interpolate(x_run: ArrayLike, y_run: ArrayLike, grid: ArrayLike) -> Array:
    """Return one run's last known value at each point of a grid; NaN before its first value.

    `x_run` (k,) and `grid` (points,) are environment steps; among equal steps the last one counts.
    """
    x, y = _finite(x_run, "x_run", ndim=1), _finite(y_run, "y_run", ndim=1)
    if x.size != y.size:
        raise ConfigurationError(f"x_run and y_run differ in length: {x.size} and {y.size}")
    if np.any(np.diff(x) < 0):
        raise ConfigurationError("x_run must not decrease; were two runs joined?")
    last = np.searchsorted(x, _finite(grid, "grid", ndim=1), side="right") - 1
    return np.where(last >= 0, y[last], np.nan)


def _bootstrap(
    columns: Array, statistic: Statistic, level: float, resamples: int, seed: int
) -> tuple[Array, Array, Array]:
    """Return center, low and high, each (points,), of columns (runs, points)."""
    _check_level(level)
    if not resamples >= 2 / (1 - level) - 1e-6:  # 1 - 0.9 is a little less than a tenth
        raise ConfigurationError(f"level {level} needs at least {2 / (1 - level):.0f} resamples")
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ConfigurationError(f"seed must be an integer ≥ 0, got {seed!r}")
    n, points = columns.shape
    center = _apply(statistic, columns[None])[0]
    if n == 1:
        return center, np.full(points, -math.inf), np.full(points, math.inf)
    tails = [(1 - level) / 2, (1 + level) / 2]
    stretch = scipy.stats.t.ppf(tails[1], n - 1) / scipy.stats.norm.ppf(tails[1])
    stretch *= 1 if statistic == "iqm" and n >= 4 else math.sqrt(n / (n - 1))
    quantiles = []
    for block in np.array_split(columns, min(points, -(-points * resamples // _BLOCK)), axis=1):
        rng = np.random.default_rng(seed)  # the same resamples for all points
        rows = max(1, _BLOCK // block.size)
        estimates = [
            _apply(statistic, block[rng.integers(n, size=(min(rows, resamples - done), n))])
            for done in range(0, resamples, rows)
        ]
        quantiles.append(np.quantile(np.concatenate(estimates), tails, axis=0))
    low, high = center + stretch * (np.hstack(quantiles) - center)
    return center, low, high


def _apply(statistic: Statistic, samples: Array) -> Array:
    """Reduce axis 1 by the statistic: (resamples, n, points) to (resamples, points)."""
    if callable(statistic):
        result = np.apply_along_axis(lambda sample: np.float64(statistic(sample)), 1, samples)
    elif statistic in _STATISTICS:
        result = _STATISTICS[statistic](samples)
    else:
        raise UnknownNameError("statistic", str(statistic), _STATISTICS)
    if result.shape != samples[:, 0].shape or not np.isfinite(result).all():
        raise ConfigurationError("a statistic must return one finite number for every resample")
    return result


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ConfigurationError(f"level must lie between 0 and 1, got {level}; 95 % is 0.95")


def _finite(values: ArrayLike, name: str, ndim: int | None = None) -> Array:
    """Return the values as float64 or raise a ConfigurationError that says what is wrong."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{name} must be an array of numbers: {error}") from error
    if ndim is not None and array.ndim != ndim:
        raise ConfigurationError(f"{name} must have {ndim} dimension(s), got shape {array.shape}")
    if array.size == 0:
        raise ConfigurationError(f"{name} is empty; expected at least one number")
    if bad := int(array.size - np.isfinite(array).sum()):
        raise ConfigurationError(f"{name}: {bad} of {array.size} numbers are NaN or infinite")
    return array
