"""Bounds around any optimizer: every candidate that is scored lies in the box.

"reflect" searches x ↦ f(R(x)), where R folds the whole space into the box like mirrors at its
faces. R is the identity inside, keeps lengths, and needs no margin to be chosen. Its kinks at the
faces are rounded by the search itself, which sees a function only through candidates a radius or a
standard deviation apart; a fixed rounding of R (quadratic corners) would instead flatten an optimum
on a face from second to fourth order, and distort the box at a length that knows nothing of f.

"penalty" searches f(P(x)) − γ h(x − P(x)) with P the projection onto the box, as in Hansen,
Niederberger, Guzzella and Koumoutsakos (IEEE Trans. Evol. Comput. 13, 2009, sec. IV-B), adapted to
optimizers of which nothing but their candidates is known. For every γ > 0 its maximum is that of f
over the box, so γ decides only how closely the search follows the faces.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zorl.common.errors import ConfigurationError, UnknownNameError
from zorl.common.types import Matrix, Vector, frozen
from zorl.optimizers.base import Asked, Optimizer, checked_returns, layers
from zorl.optimizers.checks import check_wrapped
from zorl.optimizers.lra import LearningRateAdaptation

Bound: TypeAlias = "float | tuple[float | None, ...] | list[float | None] | Vector | None"

_MEMORY = 0.9  # how much of a generation's spread of returns the penalty remembers in the next one


@dataclass(frozen=True)
class BoundedState:
    """State of a bounded search.

    Attributes:
        theta: (d,) the inner theta, folded or projected into the box.
        inner: the state of the optimizer inside, whose theta may lie anywhere.
        spread: the remembered standard deviation of a generation's returns; 0 before the first
            signal, and always with "reflect", which needs none.
    """

    theta: Vector
    inner: Any
    spread: float

    @property
    def t(self) -> int:
        """How many updates led here."""
        return int(self.inner.t)


@dataclass(frozen=True)
class Bounded:
    """Any optimizer, with candidates and theta inside low ≤ x ≤ high.

    With "penalty", a candidate x costs spread · Σᵢ h(uᵢ) / √d, where uᵢ is its distance from the
    box along coordinate i in root mean square distances of the candidates from the inner theta, and
    h(u) = u² up to 1, continued by its tangent so that a gradient method that has left the box is
    called back by a bounded slope: about the one that a typical coordinate has inside. The penalty
    follows every transform a f + b with a > 0. It needs two candidates a generation at least, for
    the returns of a single one have no spread.

    With "reflect", a coordinate that starts on a bound starts on a mirror, where f(R(x + cδ)) and
    f(R(x − cδ)) do not differ along it: antithetic gradient methods want a start inside, or
    "penalty". Learning-rate adaptation has to have "penalty": where steps are as wide as the box, a
    mirrored landscape is noise to it, and it answers noise with a smaller learning rate of the mean
    and a larger sigma, without end.

    Equal returns change nothing but `t` while the inner theta is in the box. When it is outside,
    equal returns may just mean that every candidate was projected onto one face; then the penalty,
    which leads back, is told.

    Args:
        optimizer: what searches.
        low: the least value, one for all coordinates or (d,); None or −inf where there is none.
        high: the greatest value, likewise.
        handling: "reflect" or "penalty".
    """

    optimizer: Optimizer[Any]
    low: Bound = None
    high: Bound = None
    handling: Literal["reflect", "penalty"] = "reflect"

    def __post_init__(self) -> None:
        check_wrapped("Bounded", self.optimizer)
        if self.handling not in ("reflect", "penalty"):
            raise UnknownNameError("handling", str(self.handling), ("reflect", "penalty"))
        adapts = any(isinstance(layer, LearningRateAdaptation) for layer in layers(self.optimizer))
        if self.handling == "reflect" and adapts:
            raise ConfigurationError(
                'LearningRateAdaptation cannot search with handling="reflect": mirrors repeat the '
                "landscape without end, and steps as wide as the box then look like noise, at "
                'which it raises sigma ever more; use handling="penalty"'
            )
        # Tuples, so that the description compares and hashes whatever it was built from.
        object.__setattr__(self, "low", entries("low", self.low, -np.inf))
        object.__setattr__(self, "high", entries("high", self.high, np.inf))
        box(self.low, self.high)

    def init(self, theta: ArrayLike) -> BoundedState:
        """The state at a starting point (d,).

        Raises:
            ConfigurationError: `theta` lies outside the box, or has another length than its bounds.
        """
        inner = self.optimizer.init(theta)
        low, high = box(self.low, self.high, inner.theta.size)
        outside = np.flatnonzero((inner.theta < low) | (inner.theta > high))
        if outside.size:
            i = int(outside[0])
            raise ConfigurationError(
                f"the search must start inside its bounds, but theta[{i}] = {inner.theta[i]} lies "
                f"outside [{low[i]}, {high[i]}]"
            )
        return BoundedState(inner.theta, inner, 0.0)

    def ask(self, state: BoundedState, rng: np.random.Generator) -> Asked:
        """The inner optimizer's candidates, folded or projected into the box.

        Raises:
            ConfigurationError: "penalty" with a single candidate a generation.
        """
        source = self.optimizer.ask(state.inner, rng)
        if self.handling == "penalty" and len(source) < 2:
            raise ConfigurationError(
                'handling="penalty" measures the cost of leaving the box by the spread of a '
                "generation's returns, and a generation of one candidate has none; use two "
                'candidates or more, or handling="reflect"'
            )
        return Asked(self._inside(source.thetas), state.t, source=source, sigma=source.sigma)

    def tell(self, state: BoundedState, asked: Asked, returns: ArrayLike) -> BoundedState:
        """The next state from one return per candidate (n,), higher better."""
        values = checked_returns(state, asked, returns)
        if asked.source is None:
            raise ConfigurationError(
                "tell needs the candidates that ask of Bounded returned, as is"
            )
        spread = state.spread
        if self.handling == "penalty":
            flat = values.min() == values.max()
            if not flat:
                # At least 0.9 times the last one: neither chance nor an optimum along the
                # coordinates inside the box may take away the pull on those outside.
                spread = max(float(values.std()), _MEMORY * spread)
            if not flat or not np.array_equal(state.theta, state.inner.theta):
                values = values - spread * self._penalties(state.inner.theta, asked.source.thetas)
        inner = self.optimizer.tell(state.inner, asked.source, values)
        return BoundedState(self._inside(inner.theta), inner, spread)

    def _inside(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        low, high = box(self.low, self.high, x.shape[-1])
        return frozen(reflected(x, low, high) if self.handling == "reflect" else x.clip(low, high))

    def _penalties(self, theta: Vector, x: Matrix) -> Vector:
        """(n,) Σᵢ h(uᵢ) / √d of inner candidates x (n, d)."""
        low, high = box(self.low, self.high, theta.size)
        excess = np.abs(x - x.clip(low, high))
        scale = np.sqrt(((x - theta) ** 2).mean(axis=0))
        # A coordinate in which no candidate leaves theta tells none from another.
        u = np.divide(excess, scale, out=np.zeros_like(excess), where=scale > 0)
        costs = np.where(u <= 1, u**2, 2 * u - 1).sum(axis=1)
        return np.asarray(costs / np.sqrt(theta.size))


def reflected(x: NDArray[np.float64], low: Vector, high: Vector) -> NDArray[np.float64]:
    """R(x), each coordinate of x (…, d) folded into [low, high] by mirrors at the finite ends."""
    folded = x.copy()
    closed = np.isfinite(low) & np.isfinite(high)
    start, width = low[closed], (high - low)[closed]
    phase = np.mod(x[..., closed] - start, 2 * width)
    folded[..., closed] = start + np.minimum(phase, 2 * width - phase)
    folded = np.where(folded < low, 2 * low - folded, folded)
    folded = np.where(folded > high, 2 * high - folded, folded)
    # What is inside stays, bit for bit; the clip is for rounding only.
    return np.where((x >= low) & (x <= high), x, folded).clip(low, high)


def box(low: Bound, high: Bound, dim: int | None = None) -> tuple[Vector, Vector]:
    """Both ends of a box as vectors (dim,), infinite where open; `dim` None checks alone.

    Raises:
        ConfigurationError: a bound that is no number, of another length, or low ≥ high.
    """
    ends = [
        np.atleast_1d(np.array(entries(name, value, nothing), dtype=np.float64))
        for name, value, nothing in (("low", low, -np.inf), ("high", high, np.inf))
    ]
    sizes = {end.size for end in ends} - {1}
    if len(sizes) > 1 or (dim is not None and not sizes <= {dim}):
        expected = "as many numbers" if dim is None else f"one number or d = {dim} of them"
        raise ConfigurationError(
            f"bounds need {expected}, got {ends[0].size} for low and {ends[1].size} for high"
        )
    shape = (dim or max(end.size for end in ends),)
    least, greatest = (np.broadcast_to(end, shape) for end in ends)
    wrong = np.flatnonzero(~(least < greatest))
    if wrong.size:
        i = int(wrong[0])
        raise ConfigurationError(
            f"low must be < high, but low[{i}] = {least[i]} and high[{i}] = {greatest[i]}"
        )
    return least, greatest


def entries(name: str, value: Bound, nothing: float) -> float | tuple[float, ...]:
    """A bound as a float or a tuple of floats, with `nothing` for None."""
    numbers: float | tuple[float, ...]
    try:
        if value is None or isinstance(value, (int, float, np.number)):
            numbers = nothing if value is None else float(value)
        else:
            numbers = tuple(nothing if entry is None else float(entry) for entry in value)
    except (TypeError, ValueError):
        raise ConfigurationError(
            f"{name} must be a number, a vector (d,) of numbers, or None, got {value!r}"
        ) from None
    if not np.size(numbers) or np.isnan(numbers).any():
        raise ConfigurationError(f"{name} must hold numbers, got {value!r}")
    return numbers
