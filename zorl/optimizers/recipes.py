"""The methods of the field by name: each a line of parts (DESIGN's table of recipes)."""

from __future__ import annotations

from zorl.common.errors import UnknownNameError
from zorl.optimizers.cma_es import CMAES
from zorl.optimizers.directions import Guide
from zorl.optimizers.gradient_search import GradientSearch
from zorl.optimizers.step_rules import SGD, Adam
from zorl.optimizers.weights import (
    ANTITHETIC,
    FORWARD,
    ONE_SIDED,
    CentredRanks,
    SigmaR,
    Standardised,
)

ES_SCHEMES = {"vanilla": ONE_SIDED, "antithetic": ANTITHETIC, "fd": FORWARD}


def two_point(learning_rate: float = 0.1, radius: float = 0.1, m: int = 1) -> GradientSearch:
    """Two-point estimator with directions uniform on the sphere of radius √d."""
    return GradientSearch(SGD(learning_rate), radius, m, "sphere")


def mpge(learning_rate: float = 0.1, radius: float = 0.1, m: int | None = None) -> GradientSearch:
    """MPGE: m random orthogonal directions, two evaluations each; None means m = d.

    Unbiased, unlike the published average over d unit directions, which returns ∇f/d and is
    `published.mpge_average`. For m > d, orthogonal in blocks of d.
    """
    return GradientSearch(SGD(learning_rate), radius, m, "orthogonal")


def es(
    variant: str = ANTITHETIC,
    learning_rate: float = 0.1,
    sigma: float = 0.1,
    m: int = 16,
    noise: str = "gaussian",
) -> GradientSearch:
    """Evolution strategy with standardised returns: "vanilla", "antithetic" or "fd".

    "vanilla" scores θ + σε, "antithetic" θ ± σε, "fd" θ + σε against θ. Standardising subtracts
    the mean contrast, so "fd" differs from "vanilla" by one more evaluation and nothing else.
    """
    if not isinstance(variant, str) or variant not in ES_SCHEMES:
        raise UnknownNameError("ES variant", variant, ES_SCHEMES)
    return GradientSearch(
        SGD(learning_rate), sigma, m, noise, ES_SCHEMES[variant], weights=Standardised()
    )


def guided_es(
    learning_rate: float = 0.1,
    sigma: float = 0.1,
    m: int = 8,
    memory: int | None = None,
    share: float = 0.5,
) -> GradientSearch:
    """Guided ES (Maheswaranathan et al. 2019) on its own recent estimates; see `Guide`.

    Raw antithetic differences along Gaussian directions that favour the span of the last `memory`
    gradient estimates, min(4, d) of them when None. The estimate is preconditioned by that
    covariance: Σ∇f.
    """
    guide = Guide(memory, share)
    return GradientSearch(SGD(learning_rate), sigma, m, "gaussian", guide=guide)


def ars(
    learning_rate: float = 0.02, radius: float = 0.03, m: int = 8, top: int | None = None
) -> GradientSearch:
    """Augmented random search (Mania, Guy and Recht 2018): σ_R scaling over the b = `top` best.

    Their V2 adds observation normalisation, which is the evaluator's part here.
    """
    return GradientSearch(SGD(learning_rate), radius, m, "gaussian", weights=SigmaR(top))


def openai_es(
    learning_rate: float = 0.01, sigma: float = 0.02, m: int = 32, weight_decay: float = 0.0
) -> GradientSearch:
    """OpenAI-ES (Salimans et al. 2017): mirrored Gaussian noise, centred ranks, Adam."""
    return GradientSearch(
        Adam(learning_rate),
        sigma,
        m,
        "gaussian",
        weights=CentredRanks(),
        weight_decay=weight_decay,
    )


def sep_cma_es(
    sigma0: float = 0.5,
    popsize: int | None = None,
    active: bool = True,
    mirrored: bool = True,
    max_memory_gb: float = 4.0,
) -> CMAES:
    """Separable CMA-ES (Ros and Hansen 2008): a diagonal covariance, linear in d.

    The options are those of `CMAES`, but for its `covariance`.
    """
    return CMAES(sigma0, popsize, "separable", active, mirrored, max_memory_gb)
