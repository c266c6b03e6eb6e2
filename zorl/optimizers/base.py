"""What an optimizer is: a frozen description with `init`, `ask` and `tell`.

States are frozen values that are returned and never mutated, so keeping or rejecting an update is
one assignment and a checkpoint is the value itself. Higher is better everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zorl.common.errors import ConfigurationError
from zorl.common.types import Matrix, Vector, frozen


class State(Protocol):
    """What every optimizer's state offers."""

    @property
    def theta(self) -> Vector:
        """(d,) the point that the search stands for: an incumbent or a distribution's mean."""

    @property
    def t(self) -> int:
        """How many updates led here."""


S = TypeVar("S", bound=Any)


class Directions(Protocol):
    """m directions in d dimensions that need not exist as a matrix.

    Structured perturbations (low-rank ones of large networks, for one) implement this instead of
    handing out (m, d) numbers; a plain (m, d) array serves wherever `Directions` do.
    """

    @property
    def shape(self) -> tuple[int, int]:
        """(m, d)."""

    def dense(self) -> Matrix:
        """The (m, d) matrix itself, for code that needs it."""

    def combine(self, weights: Vector) -> Vector:
        """Σ wᵢ δᵢ, shape (d,), from (m,) weights."""


class Candidates(Protocol):
    """n candidates that need not exist as a matrix; evaluators that know the kind may use it."""

    @property
    def shape(self) -> tuple[int, int]:
        """(n, d)."""

    def dense(self) -> Matrix:
        """The (n, d) matrix, one candidate per row."""


@dataclass(frozen=True)
class Asked:
    """Candidates to be scored, made by `ask` for one state; arrays are read-only.

    Attributes:
        candidates: (n, d), one per row, as a matrix or in a structured form.
        t: the update count of the state that asked; `tell` refuses another one's.
        directions: (m, d) the perturbation directions where the method has some.
        source: what an optimizer that wraps another one was asked to transform.
        sigma: the size of the perturbations, in units of theta: what multiplies the directions. Of
            a distribution with a standard deviation per coordinate, their geometric mean.
    """

    candidates: Matrix | Candidates
    t: int
    directions: Matrix | Directions | None = None
    source: Asked | None = None
    sigma: float = field(kw_only=True)

    def __post_init__(self) -> None:
        for array in (self.candidates, self.directions):
            if isinstance(array, np.ndarray):
                array.setflags(write=False)

    @cached_property
    def thetas(self) -> Matrix:
        """(n, d) the candidates as a matrix, built when it is first asked for."""
        if isinstance(self.candidates, np.ndarray):
            return self.candidates
        return frozen(self.candidates.dense())

    def __len__(self) -> int:
        n, _ = self.candidates.shape
        return int(n)


class Optimizer(Protocol[S]):
    """A zeroth-order method that maximises; frozen, without environments or randomness of its own.

    `rng` in `ask` is consumed only there; the same (state, rng) gives the same candidates.
    """

    def init(self, theta: ArrayLike) -> S:
        """The state at the starting point `theta`, shape (d,)."""

    def ask(self, state: S, rng: np.random.Generator) -> Asked:
        """Candidates to be scored."""

    def tell(self, state: S, asked: Asked, returns: ArrayLike) -> S:
        """The next state, given one return per candidate, shape (n,), higher better."""


def missing_methods(thing: Any) -> list[str]:
    """Which of init, ask and tell a thing lacks as an optimizer; a class lacks all of them."""
    return [
        name
        for name in ("init", "ask", "tell")
        if isinstance(thing, type) or not callable(getattr(thing, name, None))
    ]


def layers(optimizer: Any) -> Iterator[Any]:
    """An optimizer, and the ones that it wraps (in their field `optimizer`), to the innermost."""
    while optimizer is not None:
        yield optimizer
        optimizer = getattr(optimizer, "optimizer", None)


def start_vector(theta: ArrayLike) -> Vector:
    """A read-only float64 copy of a starting point, checked to be a finite, non-empty vector."""
    try:
        vector = np.array(theta)
        vector = vector.astype(np.float64, casting="safe" if vector.dtype.kind == "c" else "unsafe")
    except (TypeError, ValueError):
        raise ConfigurationError(f"theta must be a vector of numbers, got {theta!r}") from None
    if vector.ndim != 1 or vector.size == 0:
        raise ConfigurationError(
            f"theta must be a non-empty vector of shape (d,), got shape {vector.shape}"
        )
    if not np.all(np.isfinite(vector)):
        bad = int(np.flatnonzero(~np.isfinite(vector))[0])
        raise ConfigurationError(f"theta must be finite, but theta[{bad}] is {vector[bad]}")
    return frozen(vector)


def checked_returns(state: State, asked: Asked, returns: ArrayLike) -> Vector:
    """The returns as a finite (n,) vector, after the rules that every `tell` shares.

    A NaN or infinite return counts as the worst finite return of its generation (+inf too: an
    overflow is a fault, not a success). When none is finite, all count as equal (zero).

    Raises:
        ConfigurationError: `asked` is not this state's, or `returns` has the wrong shape.
    """
    try:
        values = np.array(returns, dtype=np.float64)
    except (TypeError, ValueError):
        raise ConfigurationError(f"returns must be numbers, got {returns!r}") from None
    if values.shape != (len(asked),):
        raise ConfigurationError(
            f"tell needs one return per candidate, shape ({len(asked)},), got {values.shape}"
        )
    dim = asked.candidates.shape[1]
    if asked.t != state.t or dim != state.theta.size:
        raise ConfigurationError(
            f"tell got candidates asked at update {asked.t} (d = {dim}), but the state is at "
            f"update {state.t} (d = {state.theta.size}); tell the state that asked"
        )
    return finite_returns(values)


def finite_returns(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The values themselves where they are finite, the worst finite one (or zero) elsewhere."""
    finite = np.isfinite(values)
    if finite.all():
        return values
    return np.where(finite, values, values[finite].min() if finite.any() else 0.0)


def default_popsize(d: int) -> int:
    """4 + floor(3 ln d), CMA-ES's (Hansen, arXiv 1604.00772, eq. 48)."""
    return 4 + int(3 * math.log(d))


def check_popsize(popsize: int | None, least: int) -> None:
    """Raise unless `popsize` is None or an integer ≥ `least`."""
    integer = isinstance(popsize, (int, np.integer)) and not isinstance(popsize, bool)
    if popsize is not None and not (integer and popsize >= least):
        raise ConfigurationError(
            f"popsize must be an integer >= {least}, or None for 4 + floor(3 ln d), got {popsize!r}"
        )
