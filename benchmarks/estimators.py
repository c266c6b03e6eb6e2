"""Measure the scale and error of gradient estimators, and compare them with theory.

The Markdown table shows for every estimator and dimension the slope of the mean estimate on the
gradient g (1 if the estimate is unbiased), on a linear and on a quadratic function. It also shows
the relative mean squared error E|ĝ − e|² / |e|² on the linear function. Here e is the expected
estimate (slope · g if the weights lose the scale). `zorl.testing.check_estimator` checks every
estimate.

    python benchmarks/estimators.py --draws 4000
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from zorl.optimizers import (
    SGD,
    CentredRanks,
    GradientSearch,
    NormalisedReturns,
    SigmaR,
    Standardised,
    guided_es,
    mpge,
    mpge_average,
    two_point_unit,
)
from zorl.optimizers.directions import DIRECTIONS
from zorl.optimizers.weights import ONE_SIDED, SCHEMES, Weights
from zorl.testing import check_estimator, linear_relative_mse

DIMS = (2, 11, 51)
RADIUS = 0.3
MEMORY, SHARE = 2, 0.5


@dataclass(frozen=True)
class Row:
    """One estimator, and how `check_estimator` is to check it.

    Attributes:
        name: printed name.
        search: the estimator.
        estimates: its expected value, as printed.
        options: options of `check_estimator`.
        fewer: divisor of the number of draws, for estimators with many directions.
    """

    name: str
    search: GradientSearch
    estimates: str
    options: dict[str, Any]
    fewer: int = 1


def theory_of(directions: str, m: int | None) -> Callable[[int], float]:
    """Return the closed-form error on a linear function, as a function of d; None means m = d."""
    return lambda dim: linear_relative_mse(directions, dim, dim if m is None else m)


def raw_rows() -> list[Row]:
    """List every combination of direction and scheme with raw weights."""
    found = []
    for directions in DIRECTIONS:
        for scheme in SCHEMES:
            for m in (1, 8) if scheme == SCHEMES[0] else (8,):
                search = GradientSearch(SGD(1.0), RADIUS, m, directions, scheme)
                name = f"{directions}, {scheme}, m = {m}"
                found.append(Row(name, search, "∇f", {"theory": theory_of(directions, m)}, m))
    found.append(
        Row("MPGE, m = d", mpge(radius=RADIUS), "∇f", {"theory": theory_of("orthogonal", None)}, 8)
    )
    return found


def published_rows() -> list[Row]:
    """List conventions that estimate ∇f/d, and guided directions, which estimate Σ∇f."""
    guided = guided_es(learning_rate=1e-3, sigma=RADIUS, m=8, memory=MEMORY, share=SHARE)

    def covariance(state: Any) -> Any:
        dim = state.theta.size
        guide = guided.guide
        basis = guide.basis(state.recent) if guide is not None else np.zeros((1, dim))
        return (1 - SHARE) * np.eye(dim) + SHARE * dim / len(basis) * basis.T @ basis

    per_dim = {"scale": lambda dim: 1 / dim}
    return [
        Row(
            "two-point on the unit sphere, m = 1",
            two_point_unit(radius=RADIUS),
            "∇f/d",
            {**per_dim, "theory": theory_of("sphere", 1)},
        ),
        Row(
            "MPGE average, m = d",
            mpge_average(radius=RADIUS),
            "∇f/d",
            {**per_dim, "theory": theory_of("orthogonal", None)},
            8,
        ),
        Row("guided, m = 8", guided, "Σ∇f", {"warm_up": 3, "precondition": covariance}, 2),
    ]


def scaleless_rows() -> list[Row]:
    """List weights that lose the scale of the returns, so that only the direction is estimated."""
    weightings: dict[str, Weights] = {
        "standardised": Standardised(),
        "normalised returns": NormalisedReturns(),
        "centred ranks": CentredRanks(),
        "σ_R": SigmaR(),
        "σ_R, top 4": SigmaR(4),
    }
    found = []
    for name, weights in weightings.items():
        for scheme in SCHEMES:
            if isinstance(weights, SigmaR) and scheme == ONE_SIDED:
                continue
            search = GradientSearch(SGD(1.0), RADIUS, 8, "gaussian", scheme, weights)
            label = f"Gaussian, {scheme}, m = 8, {name}"
            found.append(Row(label, search, "∝ ∇f", {"unbiased": False}, 8))
    return found


def cell(value: float, error: float) -> str:
    """Format a figure and its standard error; "exact" if only rounding varies."""
    if error < 1e-9:
        return f"{round(value, 9):.4g}, exact"
    return f"{value:.4g} ± {error:.1g}"


def main() -> None:
    """Measure everything and print a Markdown table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--draws", type=int, default=4000, help="directions per figure")
    parser.add_argument("--dims", type=int, nargs="+", default=list(DIMS))
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print("| estimator | mean | d | slope, linear | slope, quadratic | relative MSE | theory |")
    print("|---|---|---|---|---|---|---|")
    for row in (*raw_rows(), *published_rows(), *scaleless_rows()):
        draws = max(200, args.draws // row.fewer)
        for dim in args.dims:
            linear, quadratic = check_estimator(
                row.search, dims=(dim,), draws=draws, seed=args.seed, **row.options
            )
            closed = row.options.get("theory")
            print(
                f"| {row.name} | {row.estimates} | {dim} "
                f"| {cell(linear.slope, linear.slope_error)} "
                f"| {cell(quadratic.slope, quadratic.slope_error)} "
                f"| {cell(linear.relative_mse, linear.relative_mse_error)} "
                f"| {'–' if closed is None else f'{closed(dim):.4g}'} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
