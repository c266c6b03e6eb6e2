"""Published conventions that differ from zorl's unbiased ones, by name, to reproduce reports.

Each docstring says how it differs. For new work use the recipes of `recipes.py`.
"""

from __future__ import annotations

from zorl.common.errors import UnknownNameError
from zorl.optimizers.gradient_search import GradientSearch
from zorl.optimizers.recipes import ES_SCHEMES
from zorl.optimizers.step_rules import SGD
from zorl.optimizers.weights import ANTITHETIC, FORWARD, NormalisedReturns, SigmaR


def mpge_average(
    learning_rate: float = 0.1, radius: float = 0.1, m: int | None = None
) -> GradientSearch:
    """MPGE as the average over m orthonormal directions: it estimates ∇f/d.

    ĝ = (1/m) Σ (f(θ + c u) − f(θ − c u)) / 2c · u with unit vectors u. `mpge` uses u√d instead,
    whose estimate is ∇f: equal to this one with learning_rate · d and radius · √d. None means
    m = d, where the published sum, rather than average, would be the gradient itself.
    """
    return GradientSearch(SGD(learning_rate), radius, m, "unit-orthogonal")


def two_point_unit(learning_rate: float = 0.1, radius: float = 0.1, m: int = 1) -> GradientSearch:
    """Two-point estimator on the unit sphere, without its factor d: it estimates ∇f/d.

    ĝ = (f(θ + c u) − f(θ − c u)) / 2c · u with u uniform on the unit sphere. `two_point` with
    learning_rate · d and radius · √d takes the same steps.
    """
    return GradientSearch(SGD(learning_rate), radius, m, "unit-sphere")


def sigma_r_forward(
    learning_rate: float = 0.02, radius: float = 0.03, m: int = 8, top: int | None = None
) -> GradientSearch:
    """σ_R scaling of F(θ + v) − F(θ), as one report prints it under an antithetic heading.

    θ += (α / b σ_R) Σ (F(θ + v) − F(θ)) δ with v = radius · δ, δ standard normal, over the b = top
    best; σ_R is the standard deviation of the b perturbed returns. ARS (`ars`) uses
    F(θ + v) − F(θ − v), which cancels curvature, and σ_R of the 2b returns used.
    """
    return GradientSearch(SGD(learning_rate), radius, m, "gaussian", FORWARD, SigmaR(top))


def es_normalised(
    variant: str = ANTITHETIC,
    learning_rate: float = 0.001,
    sigma: float = 0.002,
    m: int = 10,
    noise: str = "gaussian",
) -> GradientSearch:
    """Evolution strategy with normalised rewards: z-scores of all returns, then differences.

    `es` standardises the differences instead, and so removes their mean, which for antithetic
    pairs is signal. The step does not shrink near an optimum: on a linear function, with Gaussian
    antithetic pairs, the root of its mean squared length is
    learning_rate · √(1 + (d − 1)/m) / sigma, whatever the slope.

    Args:
        variant: "vanilla", "antithetic" or "fd", as in `es`.
        learning_rate: step size.
        sigma: standard deviation of the perturbation.
        m: directions a generation.
        noise: a name in `directions.DIRECTIONS`.
    """
    if not isinstance(variant, str) or variant not in ES_SCHEMES:
        raise UnknownNameError("ES variant", variant, ES_SCHEMES)
    scheme = ES_SCHEMES[variant]
    return GradientSearch(SGD(learning_rate), sigma, m, noise, scheme, NormalisedReturns())
