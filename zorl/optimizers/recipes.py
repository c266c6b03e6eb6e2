"""Methods made of the parts of `GradientSearch`: directions × scheme × weights × step rule.

The last four are published conventions that differ from zorl's unbiased ones. They are here to
reproduce reports; each docstring says how it differs. SPSA has its own module.
"""

from __future__ import annotations

import numpy as np

from zorl.common.errors import ConfigurationError, UnknownNameError
from zorl.common.validation import is_finite
from zorl.optimizers.directions import Guide
from zorl.optimizers.gradient_search import GradientSearch
from zorl.optimizers.registry import GROWING_EPISODES, register_method
from zorl.optimizers.step_rules import SGD, Adam
from zorl.optimizers.weights import (
    ANTITHETIC,
    FORWARD,
    ONE_SIDED,
    CentredRanks,
    NormalisedReturns,
    SigmaR,
    Standardised,
)

ES_SCHEMES = {"vanilla": ONE_SIDED, "antithetic": ANTITHETIC, "fd": FORWARD}


@register_method("two-point", learning_rate=0.01, radius=0.3, m=8, **GROWING_EPISODES)
def two_point(learning_rate: float = 0.1, radius: float = 0.1, m: int = 1) -> GradientSearch:
    """Two-point gradient estimate along directions uniform on the sphere of radius √d.

    Args:
        learning_rate: step length per unit of gradient: returns ten times as large make steps ten
            times as long.
        radius: size of the perturbation, in units of theta.
        m: directions per generation, two candidates each.
    """
    return GradientSearch(SGD(learning_rate), radius, m, "sphere")


@register_method("mpge", learning_rate=0.01, radius=0.3, m=8, **GROWING_EPISODES)
def mpge(learning_rate: float = 0.1, radius: float = 0.1, m: int | None = None) -> GradientSearch:
    """MPGE: unbiased gradient estimate along m random orthogonal directions.

    The published average over d unit directions estimates ∇f/d; it is `mpge_average`.

    Args:
        learning_rate: step length per unit of gradient: returns ten times as large make steps ten
            times as long.
        radius: size of the perturbation, in units of theta.
        m: directions per generation, two candidates each; None means d. More than d directions
            are orthogonal in blocks of d.
    """
    return GradientSearch(SGD(learning_rate), radius, m, "orthogonal")


@register_method("es", learning_rate=0.1, sigma=0.3, m=8, **GROWING_EPISODES)
def es(
    variant: str = ANTITHETIC,
    learning_rate: float = 0.1,
    sigma: float = 0.1,
    m: int = 16,
    noise: str = "gaussian",
) -> GradientSearch:
    """Evolution strategy with standardised returns.

    Standardising subtracts the mean contrast, so "fd" differs from "vanilla" by one more
    evaluation and nothing else.

    Args:
        variant: "vanilla" scores θ + σε, "antithetic" θ ± σε, "fd" θ + σε against θ.
        learning_rate: step length per unit of the standardised estimate.
        sigma: standard deviation of the perturbation, in units of theta.
        m: directions per generation, one candidate each ("antithetic": two).
        noise: distribution of the directions ε, a name in `directions.DIRECTIONS`.

    Raises:
        UnknownNameError: unknown variant or noise.
    """
    scheme = _es_scheme(variant)
    return GradientSearch(SGD(learning_rate), sigma, m, noise, scheme, weights=Standardised())


@register_method("guided-es", learning_rate=0.01, sigma=0.3, m=8, **GROWING_EPISODES)
def guided_es(
    learning_rate: float = 0.1,
    sigma: float = 0.1,
    m: int = 8,
    memory: int | None = None,
    share: float = 0.5,
) -> GradientSearch:
    """Guided ES (Maheswaranathan et al. 2019): directions that favour recent gradient estimates.

    Raw antithetic differences. The estimate is preconditioned by the covariance Σ of the
    directions: its mean is Σ∇f; see `Guide`.

    Args:
        learning_rate: step length per unit of gradient: returns ten times as large make steps ten
            times as long.
        sigma: standard deviation of the perturbation, in units of theta.
        m: directions per generation, two candidates each.
        memory: how many gradient estimates are kept, at most d; min(4, d) when None.
        share: share of the variance that lies in the span of these estimates, in [0, 1).
    """
    guide = Guide(memory, share)
    return GradientSearch(SGD(learning_rate), sigma, m, "gaussian", guide=guide)


@register_method("ars", learning_rate=0.3, radius=0.3, m=8, top=0.5, **GROWING_EPISODES)
def ars(
    learning_rate: float = 0.02, radius: float = 0.03, m: int = 8, top: float | None = None
) -> GradientSearch:
    """Augmented random search (Mania, Guy and Recht 2018): best directions, divided by σ_R.

    Observation normalisation, which makes their V2, belongs to the evaluator here.

    Args:
        learning_rate: α, step length per unit of the scaled estimate.
        radius: ν, standard deviation of the perturbation, in units of theta.
        m: directions per generation, two candidates each.
        top: b, how many of the best directions are used, or which share of them, as 0.5; None
            means all.
    """
    b = top if top is None or isinstance(top, (int, np.integer)) else _share_of(m, top)
    return GradientSearch(SGD(learning_rate), radius, m, "gaussian", weights=SigmaR(b))


def _share_of(m: int, share: float) -> int:
    if not (is_finite(share) and 0 < share < 1):
        raise ConfigurationError(f"top must be an integer ≥ 1 or a share in (0, 1), got {share!r}")
    return max(1, round(share * m))


@register_method("openai-es", learning_rate=0.3, sigma=1.0, m=8, **GROWING_EPISODES)
def openai_es(
    learning_rate: float = 0.01, sigma: float = 0.02, m: int = 32, weight_decay: float = 0.0
) -> GradientSearch:
    """OpenAI-ES (Salimans et al. 2017): mirrored Gaussian noise, centred ranks, Adam.

    Args:
        learning_rate: Adam's step size, in units of theta.
        sigma: standard deviation of the perturbation, in units of theta.
        m: directions per generation, two candidates each.
        weight_decay: weight_decay · θ is subtracted from the gradient estimate.
    """
    return GradientSearch(
        Adam(learning_rate),
        sigma,
        m,
        "gaussian",
        weights=CentredRanks(),
        weight_decay=weight_decay,
    )


@register_method("mpge-average", learning_rate=0.25, radius=1.0, m=8, **GROWING_EPISODES)
def mpge_average(
    learning_rate: float = 0.1, radius: float = 0.1, m: int | None = None
) -> GradientSearch:
    """MPGE as published, an average over m orthonormal directions: it estimates ∇f/d.

    ĝ = (1/m) Σ (f(θ + c u) − f(θ − c u)) / 2c · u with unit vectors u. `mpge` uses u√d instead,
    whose estimate is ∇f: equal to this one with learning_rate · d and radius · √d.

    Args:
        learning_rate: step length per unit of the estimate.
        radius: c, length of the perturbation, in units of theta.
        m: directions per generation, two candidates each; None means d, where the published sum,
            rather than average, would be the gradient itself.
    """
    return GradientSearch(SGD(learning_rate), radius, m, "unit-orthogonal")


@register_method("two-point-unit", learning_rate=0.25, radius=1.0, m=8, **GROWING_EPISODES)
def two_point_unit(learning_rate: float = 0.1, radius: float = 0.1, m: int = 1) -> GradientSearch:
    """Two-point gradient estimate on the unit sphere, without its factor d: it estimates ∇f/d.

    ĝ = (f(θ + c u) − f(θ − c u)) / 2c · u with u uniform on the unit sphere. `two_point` with
    learning_rate · d and radius · √d takes the same steps.

    Args:
        learning_rate: step length per unit of the estimate.
        radius: c, length of the perturbation, in units of theta.
        m: directions per generation, two candidates each.
    """
    return GradientSearch(SGD(learning_rate), radius, m, "unit-sphere")


@register_method("sigma-r-forward", learning_rate=0.3, radius=0.3, m=8, top=4, **GROWING_EPISODES)
def sigma_r_forward(
    learning_rate: float = 0.02, radius: float = 0.03, m: int = 8, top: int | None = None
) -> GradientSearch:
    """σ_R scaling of F(θ + v) − F(θ), as one report prints it under an antithetic heading.

    θ += (α / b σ_R) Σ (F(θ + v) − F(θ)) δ with v = radius · δ, δ standard normal, over the b = top
    best; σ_R is the standard deviation of the b perturbed returns. ARS (`ars`) uses
    F(θ + v) − F(θ − v), which cancels curvature, and σ_R of the 2b returns used.

    Args:
        learning_rate: α, step length per unit of the scaled estimate.
        radius: standard deviation of the perturbation, in units of theta.
        m: directions per generation, one candidate each, and θ.
        top: b, how many of the best directions are used; None means all.
    """
    return GradientSearch(SGD(learning_rate), radius, m, "gaussian", FORWARD, SigmaR(top))


@register_method("es-normalised", learning_rate=0.1, sigma=0.3, m=8, **GROWING_EPISODES)
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
        learning_rate: step length per unit of the standardised estimate.
        sigma: standard deviation of the perturbation, in units of theta.
        m: directions per generation, one candidate each ("antithetic": two).
        noise: distribution of the directions, a name in `directions.DIRECTIONS`.

    Raises:
        UnknownNameError: unknown variant or noise.
    """
    scheme = _es_scheme(variant)
    return GradientSearch(SGD(learning_rate), sigma, m, noise, scheme, NormalisedReturns())


def _es_scheme(variant: str) -> str:
    if not isinstance(variant, str) or variant not in ES_SCHEMES:
        raise UnknownNameError("ES variant", variant, ES_SCHEMES)
    return ES_SCHEMES[variant]
