"""SPSA: the recipe, with Spall's variants, and the calibration of its gain sequences."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from zorl.common.errors import ConfigurationError
from zorl.common.types import Matrix, Vector
from zorl.common.validation import at_least, check_flag, non_negative, positive
from zorl.optimizers.base import start_vector
from zorl.optimizers.directions import rademacher
from zorl.optimizers.gradient_search import GradientSearch
from zorl.optimizers.registry import GROWING_EPISODES, register_method
from zorl.optimizers.step_rules import SGD, Clipped, GainSequence, StepRule
from zorl.optimizers.weights import ANTITHETIC, ONE_SIDED

ALPHA, GAMMA = 0.602, 0.101  # Spall 1998, section III.B: the practically best decay exponents
STABILITY_SHARE = 0.1  # A, as a share of the expected iterations (ibid.)


@register_method("spsa", learning_rate=0.01, radius=0.3, m=8, **GROWING_EPISODES)
def spsa(
    learning_rate: float = 0.1,
    radius: float = 0.1,
    m: int = 1,
    gains: bool = False,
    stability: float = 0.0,
    weight_decay: float = 0.0,
    measurements: int = 2,
    max_step: float | None = None,
) -> GradientSearch:
    """SPSA (Spall 1992): Rademacher directions, two evaluations each.

    Its iterates can be averaged by `Averaged`, and blocked by the gate "blocking".

    Args:
        learning_rate: step length per unit of gradient: constant, or a of the gain sequence.
            Returns ten times as large make steps ten times as long; `max_step` bounds them.
        radius: c, the size of the perturbation, in units of theta.
        m: directions averaged per update (gradient averaging).
        gains: whether gains decrease as a/(A + t + 1)^0.602 and c/(t + 1)^0.101 (Spall 1998).
        stability: A of the gain sequence, in updates: about a tenth of those expected.
        weight_decay: weight_decay · θ is subtracted from the gradient estimate.
        measurements: candidates per direction: 2, f(θ + cΔ) − f(θ − cΔ), or 1, f(θ + cΔ) alone
            (Spall 1997), whose variance has a term f² that does not vanish: centre f about zero.
        max_step: largest Euclidean length of an update, in units of theta; None for any.

    Raises:
        ConfigurationError: stability without gains, or a setting out of range.
    """
    check_flag("gains", gains)
    non_negative("stability (Spall's A)", stability)
    if stability and not gains:
        raise ConfigurationError("stability is the A of the gain sequence; it needs gains=True")
    if isinstance(measurements, bool) or measurements not in (1, 2):
        raise ConfigurationError(f"measurements must be 1 or 2 per direction, got {measurements!r}")
    rule: StepRule = GainSequence(learning_rate, stability, ALPHA) if gains else SGD(learning_rate)
    return GradientSearch(
        rule if max_step is None else Clipped(rule, max_step),
        radius,
        m,
        "rademacher",
        ANTITHETIC if measurements == 2 else ONE_SIDED,
        radius_decay=GAMMA if gains else 0.0,
        weight_decay=weight_decay,
    )


def calibrated_spsa(
    measure: Callable[[Matrix], ArrayLike],
    theta: ArrayLike,
    rng: np.random.Generator,
    iterations: int,
    first_step: float,
    radius: float | None = None,
    pairs: int = 25,
    m: int = 1,
) -> GradientSearch:
    """SPSA whose gain sequences follow Spall's guidelines (Spall 1998, section III.B).

    A is a tenth of the iterations; c is about the standard deviation of one measurement; a is such
    that the first updates move each coordinate by about `first_step`: the mean |ĝᵢ| is that of
    averages of m measured pairs, since how much smaller they are than single ones depends on m, d,
    the gradient and the noise.

    Args:
        measure: returns (n,) of candidates (n, d), higher better; called once or twice.
        theta: (d,) the starting point.
        rng: draws the directions of the calibration.
        iterations: how many updates are expected.
        first_step: wanted change of each coordinate in the first updates, in units of theta.
        radius: c; None to measure the noise at theta `pairs` times first.
        pairs: how many pairs θ ± cΔ the mean size of the gradient is taken from, rounded up to a
            multiple of m.
        m: directions averaged per update.

    Raises:
        ConfigurationError: a setting out of range, returns that are not n finite numbers, or a
            function that shows neither noise (with radius=None) nor any response to the
            perturbations.
    """
    start = start_vector(theta)
    if not callable(measure):
        raise ConfigurationError(f"measure must be a function of (n, d) thetas, got {measure!r}")
    at_least("iterations", iterations, 1)
    at_least("pairs", pairs, 2)
    positive("first_step", first_step)
    at_least("the number of directions m", m, 1)
    if radius is None:
        repeats = _measured(measure, np.tile(start, (pairs, 1)))
        radius = float(repeats.std(ddof=1))
        if not radius > 0:
            raise ConfigurationError(
                f"{pairs} measurements at theta are all equal, so the noise that radius is taken "
                "from cannot be told; give a radius"
            )
    positive("radius", radius)
    pairs = -(-pairs // m) * m
    deltas = rademacher(rng, pairs, start.size)
    offsets = radius * deltas
    returns = _measured(measure, np.concatenate([start + offsets, start - offsets]))
    estimates = (returns[:pairs] - returns[pairs:])[:, None] * deltas
    averages = estimates.reshape(-1, m, start.size).mean(axis=1)
    size = float(np.abs(averages).mean()) / (2 * radius)
    non_negative("the mean size of the measured gradient", size)
    if size == 0:
        raise ConfigurationError(
            f"no perturbation of radius {radius:g} changed the function: it is flat around theta; "
            "use a larger radius or another start"
        )
    stability = STABILITY_SHARE * iterations
    a = first_step * (stability + 1) ** ALPHA / size
    return spsa(a, radius, m, gains=True, stability=stability)


def _measured(measure: Callable[[Matrix], ArrayLike], thetas: Matrix) -> Vector:
    """(n,) finite returns of (n, d) candidates, or an error that says what was measured instead."""
    values = measure(thetas)
    try:
        returns = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise ConfigurationError(f"measure must return numbers, got {values!r}") from None
    if returns.shape != (len(thetas),):
        raise ConfigurationError(
            f"measure must return one number per candidate, shape ({len(thetas)},), got "
            f"{returns.shape}"
        )
    faults = int((~np.isfinite(returns)).sum())
    if faults:
        raise ConfigurationError(
            f"{faults} of {len(thetas)} measurements are NaN or infinite, and gains cannot be told "
            "from them; start where the function is finite, or use a smaller radius"
        )
    return returns
