"""The methods of the field by name: each a line of parts (DESIGN's table of recipes)."""

from __future__ import annotations

from zorl.errors import ConfigurationError, UnknownNameError
from zorl.optimizers.gradient_search import GradientSearch
from zorl.optimizers.step_rules import SGD, Adam, GainSequence
from zorl.optimizers.weights import (
    ANTITHETIC,
    FORWARD,
    ONE_SIDED,
    CentredRanks,
    SigmaR,
    Standardised,
)


def spsa(
    learning_rate: float = 0.1,
    radius: float = 0.1,
    m: int = 1,
    gains: bool = False,
    stability: float = 0.0,
    weight_decay: float = 0.0,
) -> GradientSearch:
    """SPSA (Spall 1992): Rademacher directions, two evaluations each.

    Args:
        learning_rate: constant step size, or a of the gain sequence.
        radius: c, the size of the perturbation.
        m: directions averaged per update.
        gains: decreasing gains a/(A + t + 1)^0.602 and c/(t + 1)^0.101 (Spall 1998).
        stability: A of the gain sequence, about a tenth of the expected updates.
        weight_decay: see `GradientSearch`.
    """
    if stability and not gains:
        raise ConfigurationError("stability is the A of the gain sequence; it needs gains=True")
    rule = GainSequence(learning_rate, stability) if gains else SGD(learning_rate)
    return GradientSearch(
        rule,
        radius,
        m,
        "rademacher",
        radius_decay=0.101 if gains else 0.0,
        weight_decay=weight_decay,
    )


def two_point(learning_rate: float = 0.1, radius: float = 0.1, m: int = 1) -> GradientSearch:
    """Two-point estimator with directions uniform on the sphere of radius √d."""
    return GradientSearch(SGD(learning_rate), radius, m, "sphere")


def mpge(learning_rate: float = 0.1, radius: float = 0.1, m: int | None = None) -> GradientSearch:
    """MPGE: m ≤ d random orthogonal directions, two evaluations each; None means m = d.

    Unbiased, unlike the published average over d unit directions, which returns ∇f/d.
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
    schemes = {"vanilla": ONE_SIDED, "antithetic": ANTITHETIC, "fd": FORWARD}
    if variant not in schemes:
        raise UnknownNameError("ES variant", variant, schemes)
    return GradientSearch(
        SGD(learning_rate), sigma, m, noise, schemes[variant], weights=Standardised()
    )


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
