"""`check_estimator`: is a gradient estimate unbiased, at the scale that it is declared to have?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from zorl.common.errors import UnknownNameError
from zorl.common.types import Matrix, Vector
from zorl.common.validation import at_least, positive
from zorl.optimizers.base import Asked

_MAX_ERROR = 0.1  # of a slope's standard error: beyond it, a wrong factor could pass
_KURTOSIS = {"gaussian": 3.0, "uniform": 9 / 5, "rademacher": 1.0}  # E[δᵢ⁴] of unit variance


class Estimator(Protocol):
    """What `check_estimator` needs of a search; `GradientSearch` has it."""

    def init(self, theta: ArrayLike) -> Any:
        """The state at a point (d,)."""

    def ask(self, state: Any, rng: np.random.Generator) -> Asked:
        """Candidates, (n, d)."""

    def gradient(self, state: Any, asked: Asked, returns: ArrayLike) -> Vector:
        """(d,) the estimate, from one return per candidate."""


@dataclass(frozen=True)
class EstimatorReport:
    """What was measured on one function.

    Attributes:
        function: "linear" or "quadratic".
        dim: d.
        draws: how many estimates were made.
        slope: of the mean estimate on the gradient g, ĝ·g / |g|²; 1 for an unbiased estimate.
        slope_error: its standard error.
        cosine: between the mean estimate and g.
        relative_mse: E|ĝ − e|² / |e|², with e the expected estimate (slope · g where only the
            direction is declared).
        relative_mse_error: its standard error.
    """

    function: str
    dim: int
    draws: int
    slope: float
    slope_error: float
    cosine: float
    relative_mse: float
    relative_mse_error: float


def check_estimator(
    search: Estimator,
    *,
    dims: tuple[int, ...] = (2, 11, 51),
    draws: int = 1000,
    unbiased: bool = True,
    scale: Callable[[int], float] = lambda dim: 1.0,
    precondition: Callable[[Any], Matrix] | None = None,
    warm_up: int = 0,
    theory: Callable[[int], float] | None = None,
    cosine: float = 0.9,
    z: float = 4.5,
    seed: int = 0,
) -> tuple[EstimatorReport, ...]:
    """Check a gradient estimate on a linear and on a quadratic function of each dimension.

    Declared unbiased, the mean of the estimates must be scale(d) · Σ g, in length and in every
    direction, within `z` standard errors. Else (ranks, standardised or σ_R weights) it must point
    along g, at any length.

    Example:
        >>> from zorl.optimizers import SGD, GradientSearch, mpge_average, openai_es
        >>> search = GradientSearch(SGD(1.0), radius=0.1, directions="rademacher")
        >>> reports = check_estimator(search, theory=lambda d: d - 1)
        >>> reports = check_estimator(mpge_average(m=1), scale=lambda d: 1 / d)
        >>> reports = check_estimator(openai_es(), unbiased=False, draws=200)

    Args:
        search: has `init`, `ask` and `gradient`; see `Estimator`.
        dims: the dimensions d.
        draws: estimates per function and dimension; enough for a standard error of the slope of
            at most 0.1.
        unbiased: whether the mean estimate is declared; False: only its direction is.
        scale: of the declared mean, as a function of d: published conventions are 1/d.
        precondition: Σ, (d, d), of a state, for estimates whose mean is Σ g (guided directions).
        warm_up: updates before the state from which the estimates are made; the search then needs
            `tell` too.
        theory: the relative mean squared error on the linear function, as a function of d.
        cosine: the smallest one between mean estimate and g, where only the direction is declared.
        z: tolerance, in standard errors.
        seed: of all random numbers.

    Returns:
        Two reports for each dimension: on the linear function and on the quadratic one.

    Raises:
        AssertionError: the estimate is not what it is declared to be, or `draws` are too few to
            tell; the message says what was found and expected.
    """
    for dim in dims:
        at_least("each of dims", dim, 1)
    at_least("draws", draws, 2)
    positive("z", z)
    reports = []
    for dim in dims:
        for problem in _problems(dim, seed):
            state, rows = _estimates(search, problem, draws, warm_up, seed)
            g = problem.gradient(state.theta)
            expected = scale(dim) * (g if precondition is None else precondition(state) @ g)
            report = _measured(rows, g, expected if unbiased else None, problem.name)
            reports.append(report)
            name = type(search).__name__
            where = f"{name} on a {problem.name} function, d = {dim}, {draws} draws"
            if unbiased:
                _check_mean(rows, g, expected, report, z, where)
            else:
                _check_direction(report, cosine, z, where)
            if theory is not None and problem.name == "linear":
                _check_variance(report, theory(dim), z, where)
    return tuple(reports)


def linear_relative_mse(directions: str, dim: int, m: int = 1) -> float:
    """E|ĝ − g|² / |g|² of ĝ = (1/m) Σ δᵢ (δᵢ·g): unbiased differences of a linear function.

    For independent rows it is (E[|δ|² (δ·g)²] / |g|² − 1) / m. With independent entries of
    variance 1 and E[δᵢ⁴] = κ, the expectation is Σⱼ gⱼ² (κ + d − 1): all terms with an odd power
    vanish. So (d + κ − 2)/m: Gaussian (d + 1)/m, uniform (d − 1/5)/m, Rademacher (d − 1)/m. On the
    sphere |δ|² = d, so that it is d |g|²: (d − 1)/m.

    Orthogonal or coordinate rows, m ≤ d: ĝ = (d/m) P g, with P the projection on m of d random
    orthogonal axes, E|P g|² = (m/d) |g|²: d/m − 1. For m > d every block of d rows is exact, and
    only the last r = m mod d rows err, with a share r/m of the mean: (r/m)² (d/r − 1).

    Quadratic functions have the same error under antithetic differences, which are g·δ there too.

    Raises:
        UnknownNameError: no closed form is known for these directions.
    """
    at_least("dim", dim, 1)
    at_least("m", m, 1)
    if directions in _KURTOSIS:
        return (dim + _KURTOSIS[directions] - 2) / m
    if directions == "sphere":
        return (dim - 1) / m
    if directions in ("orthogonal", "coordinate"):
        rest = m % dim
        return (rest / m) ** 2 * (dim / rest - 1) if rest else 0.0
    raise UnknownNameError(
        "direction", directions, [*_KURTOSIS, "sphere", "orthogonal", "coordinate"]
    )


@dataclass(frozen=True)
class _Problem:
    """A function of (n, d), and its gradient at a point (d,)."""

    name: str
    dim: int
    function: Callable[[Matrix], Vector]
    gradient: Callable[[Vector], Vector]


def _problems(dim: int, seed: int) -> list[_Problem]:
    """A linear and a concave quadratic function with correlated coordinates."""
    rng = np.random.default_rng((seed, dim))
    g, peak = rng.normal(size=dim), 2 * rng.normal(size=dim)
    root = rng.normal(size=(dim, dim)) / np.sqrt(dim)
    hessian = -(root @ root.T) - 0.1 * np.eye(dim)

    def quadratic(thetas: Matrix) -> Vector:
        offsets = thetas - peak
        return np.asarray(0.5 * np.einsum("ni,ij,nj->n", offsets, hessian, offsets))

    return [
        _Problem("linear", dim, lambda thetas: thetas @ g, lambda theta: g),
        _Problem("quadratic", dim, quadratic, lambda theta: hessian @ (theta - peak)),
    ]


def _estimates(
    search: Estimator, problem: _Problem, draws: int, warm_up: int, seed: int
) -> tuple[Any, Matrix]:
    """A state after some updates, and (draws, d) estimates that are made from it."""
    function = problem.function
    rng = np.random.default_rng((seed, problem.dim, 1))
    state = search.init(rng.normal(size=problem.dim))
    for _ in range(warm_up):
        asked = search.ask(state, rng)
        state = search.tell(state, asked, function(asked.thetas))  # type: ignore[attr-defined]
    there = float(function(state.theta[None])[0])
    rows = np.empty((draws, problem.dim))
    for row in rows:
        asked = search.ask(state, rng)
        # f is zero at theta: one-sided schemes have no baseline of their own.
        row[:] = search.gradient(state, asked, function(asked.thetas) - there)
    return state, rows


def _measured(rows: Matrix, g: Vector, expected: Vector | None, name: str) -> EstimatorReport:
    draws, dim = rows.shape
    mean, slopes = rows.mean(axis=0), rows @ g / (g @ g)
    length = float(np.linalg.norm(mean) * np.linalg.norm(g))
    target = float(slopes.mean()) * g if expected is None else expected
    square = float(target @ target)
    errors = ((rows - target) ** 2).sum(axis=1) / square if square else np.full(draws, np.nan)
    return EstimatorReport(
        function=name,
        dim=dim,
        draws=draws,
        slope=float(slopes.mean()),
        slope_error=float(slopes.std(ddof=1) / np.sqrt(draws)),
        cosine=float(mean @ g) / length if length else 0.0,
        relative_mse=float(errors.mean()),
        relative_mse_error=float(errors.std(ddof=1) / np.sqrt(draws)),
    )


def _check_mean(
    rows: Matrix, g: Vector, expected: Vector, report: EstimatorReport, z: float, where: str
) -> None:
    """The mean is the expected vector: along g by its slope, and in all directions together."""
    declared = float(expected @ g / (g @ g))
    if not abs(report.slope - declared) <= z * report.slope_error + 1e-7 * abs(declared):
        raise AssertionError(
            f"{where}: biased in scale: the mean estimate has slope {_slope(report)} on the "
            f"gradient, expected {declared:.4g}"
        )
    if not report.slope_error <= _MAX_ERROR * abs(declared):
        raise AssertionError(
            f"{where}: slope {_slope(report)} tells too little; expected a standard error of at "
            f"most {_MAX_ERROR * abs(declared):.3g}: raise draws"
        )
    # The squared length of the mean's error has mean tr(S) and variance 2 |S|² (Gaussian, over N).
    draws = len(rows)
    deviation = rows.mean(axis=0) - expected
    covariance = np.atleast_2d(np.cov(rows.T)) / draws
    limit = float(np.trace(covariance) + z * np.sqrt(2 * (covariance**2).sum()))
    # Its norm: at d = 1 or with one dominant axis the square is no Gaussian but a χ².
    limit += 2 * z * float(np.linalg.norm(covariance, 2)) + 1e-14 * float(expected @ expected)
    if not float(deviation @ deviation) <= limit:
        raise AssertionError(
            f"{where}: biased in direction: the mean estimate is {np.linalg.norm(deviation):.3g} "
            f"away from the expected {np.linalg.norm(expected):.3g}-long vector (cosine with the "
            f"gradient {report.cosine:.3f}), expected at most {np.sqrt(limit):.3g} by chance"
        )


def _check_direction(report: EstimatorReport, cosine: float, z: float, where: str) -> None:
    if not report.slope > z * report.slope_error:
        raise AssertionError(
            f"{where}: the mean estimate has slope {_slope(report)} on the gradient, expected "
            f"a positive one, by more than {z} standard errors (higher returns are better)"
        )
    if not report.cosine >= cosine:
        raise AssertionError(
            f"{where}: the mean estimate has cosine {report.cosine:.3f} with the gradient, "
            f"expected at least {cosine}; raise draws if the estimate is noisy"
        )


def _check_variance(report: EstimatorReport, theory: float, z: float, where: str) -> None:
    if not abs(report.relative_mse - theory) <= z * report.relative_mse_error + 1e-9:
        raise AssertionError(
            f"{where}: relative mean squared error {report.relative_mse:.4g} ± "
            f"{report.relative_mse_error:.2g}, expected {theory:.4g} by the declared theory"
        )


def _slope(report: EstimatorReport) -> str:
    return f"{report.slope:.4g} ± {report.slope_error:.2g}"
