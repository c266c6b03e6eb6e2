"""Searches on test functions: does an optimizer climb, and which invariances has it?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from zorl.common.types import Matrix, Vector, frozen
from zorl.optimizers.base import Asked, Optimizer
from zorl.testing.rules import Breach, require, require_same

Function = Callable[[Matrix], Vector]

_SEEDS = 3  # of the searches whose median has to climb
_GENERATIONS = 12  # of the searches that must agree to rounding
_RUNS, _CONDITION, _Z = 12, 1e4, 4.0  # of the test for rotation
_LEAST_EVALUATIONS, _LEAST_GENERATIONS = 800, 100  # of each of its searches


@dataclass(frozen=True)
class Case:
    """An optimizer under check, and the problem that it is checked on.

    Attributes:
        optimizer: what is checked.
        dim: d.
        seed: of all random numbers.
        budget: evaluations of a search that has to climb.
        distance: of the start from the optimum, in every coordinate.
        progress: the share of that which has to be covered.
        generations: of the searches that are interrupted and resumed.
    """

    optimizer: Optimizer[Any]
    dim: int
    seed: int
    budget: int
    distance: float
    progress: float
    generations: int = 10

    @property
    def start(self) -> Vector:
        """(d,) a fresh copy of the start: nothing zero, equal or symmetric about it."""
        return np.random.default_rng(self.seed).normal(0.5, 1.0, self.dim)

    @property
    def signs(self) -> Vector:
        """(d,) ±1: the orthant in which the optimum lies, as seen from the start."""
        return np.random.default_rng((self.seed, 1)).choice([-1.0, 1.0], self.dim)

    def rng(self, generation: int, run: int = 0) -> np.random.Generator:
        """A fresh generator for one generation of one run."""
        return np.random.default_rng((self.seed, 2, run, generation))

    @cached_property
    def peak(self) -> Vector:
        """(d,) the optimum of the sphere, `distance` from the start in every coordinate."""
        return frozen(self.start + self.distance * self.signs)

    def sphere(self, thetas: Matrix) -> Vector:
        """(n,) −|x − peak|² of the (n, d) points x."""
        return np.asarray(-((thetas - self.peak) ** 2).sum(axis=1))

    def returns(self, asked: Asked) -> Vector:
        """(n,) the sphere's values of candidates, in a fresh array."""
        return self.sphere(asked.thetas)

    def search(self, optimizer: Optimizer[Any], generations: int, state: Any = None) -> list[Any]:
        """The states of a search on the sphere, from the start or from a state of it."""
        states = [optimizer.init(self.start) if state is None else state]
        for _ in range(generations):
            asked = optimizer.ask(states[-1], self.rng(states[-1].t))
            states.append(optimizer.tell(states[-1], asked, self.returns(asked)))
        return states


def climbed(case: Case, function: Function, state: Any, run: int) -> Any:
    """The last state of a search on `function` with the case's budget."""
    spent = generation = 0
    while spent < case.budget:
        asked = case.optimizer.ask(state, case.rng(generation, 100 + run))
        state = case.optimizer.tell(state, asked, function(asked.thetas))
        spent, generation = spent + len(asked), generation + 1
    return state


def ascent(case: Case, start: Any = None, when: str = "") -> None:
    """Breach unless the median search gets up a sphere and a linear function; see `Case`."""
    state = case.optimizer.init(case.start) if start is None else start
    signs, runs = case.signs, range(_SEEDS if start is None else 1)
    away = (
        case.distance**2 * case.dim if start is None else -float(case.sphere(state.theta[None])[0])
    )
    ends = [climbed(case, case.sphere, state, run).theta for run in runs]
    left = float(np.median([-case.sphere(theta[None])[0] for theta in ends])) / away
    within = f"{case.budget} evaluations on a sphere {when}".rstrip()
    require(
        left <= 1 - case.progress,
        f"{left:.3g} of the squared distance to the optimum left after {within}",
        f"at most {1 - case.progress:.3g} (progress): a wrong sign (higher is better), or "
        f"steps that do not suit a distance of {case.distance} in each coordinate",
    )
    if start is not None:
        return
    # The slope is 1 in every coordinate; only the side to climb is unknown.
    ends = [climbed(case, lambda thetas: thetas @ signs, state, run).theta for run in runs]
    rise = float(np.median([(theta - state.theta) @ signs for theta in ends])) / case.dim
    require(
        rise >= case.progress * case.distance,
        f"a linear function climbed by {rise:.3g} per coordinate in {case.budget} evaluations",
        f"at least progress · distance = {case.progress * case.distance:.3g}",
    )


# -- invariances ---------------------------------------------------------------------------------


def _compared(
    case: Case, shift: float, transform: Callable[[Vector], Vector], exactly: bool, tolerance: float
) -> None:
    """Compare a search with one from a start shifted by `shift`, told transformed returns.

    Both are told about the same candidates, those of the first search, so that rounding in a
    candidate cannot grow through the function.
    """
    optimizer = case.optimizer
    offset = shift * (1 + np.arange(case.dim))
    plain, other = optimizer.init(case.start), optimizer.init(case.start + offset)
    for generation in range(_GENERATIONS):
        asked = optimizer.ask(plain, case.rng(generation))
        also = optimizer.ask(other, case.rng(generation))
        # Multiples of 2^-30: the affine transforms below are then exact.
        returns = np.round(case.returns(asked) * 2.0**30) / 2.0**30
        plain = optimizer.tell(plain, asked, returns)
        other = optimizer.tell(other, also, transform(returns))
        where = f"at t = {generation + 1}"
        if exactly:
            bits = {"state.theta": other.theta.copy()}
            require_same({"state.theta": plain.theta.copy()}, bits, where, "bit for bit")
            continue
        difference = float(np.abs(other.theta - offset - plain.theta).max())
        limit = tolerance * max(1.0, float(np.abs(other.theta).max()))
        require(
            difference <= limit,
            f"{where} theta differs by {difference:.3g}",
            f"a difference of rounding, at most {limit:.3g}",
        )


def _monotone(case: Case) -> None:
    """Told g(f) with an increasing g, the search is the same, bit for bit."""
    for transform in (lambda f: 8 * f, lambda f: f**3, np.exp, lambda f: -np.log1p(-f)):
        _compared(case, 0.0, transform, exactly=True, tolerance=0.0)


def _affine(case: Case) -> None:
    """Told a·f + b with a > 0, the search is the same to rounding."""
    for a, b in ((1024.0, 0.0), (2.0**-8, 0.0), (1.0, 256.0), (4.0, -1024.0)):
        _compared(case, 0.0, _line(a, b), exactly=False, tolerance=1e-6)


def _scale(case: Case) -> None:
    """Told a·f with a > 0, the search is the same to rounding."""
    for a in (1024.0, 2.0**-8):
        _compared(case, 0.0, _line(a, 0.0), exactly=False, tolerance=1e-6)


def _offset(case: Case) -> None:
    """Told f + b, the search is the same to rounding."""
    for b in (256.0, -1024.0):
        _compared(case, 0.0, _line(1.0, b), exactly=False, tolerance=1e-6)


def _line(a: float, b: float) -> Callable[[Vector], Vector]:
    return lambda values: a * values + b


def _translation(case: Case) -> None:
    """Started at x + s on f(x − s), the search is the same, moved by s, to rounding."""
    for shift in (1.0, -30.0):
        _compared(case, shift, lambda f: f, exactly=False, tolerance=1e-9)


def _rotation(case: Case) -> None:
    """The search is as good on a rotated, ill-conditioned quadratic as on the plain one."""
    if case.dim > 40:
        raise Breach(f"found: dim = {case.dim}; expected: at most 40 for the rotation test")
    scales = _CONDITION ** -np.linspace(0, 1, case.dim)  # the largest is 1: steps stay stable
    start = np.random.default_rng((case.seed, 4)).normal(0.0, 1.0, case.dim)
    logs = np.array(
        [
            [_log_progress(case, scales, start, run, turned) for run in range(_RUNS)]
            for turned in (False, True)
        ]
    )
    plain, turned = logs.mean(axis=1)
    error = float(np.sqrt(logs.var(axis=1, ddof=1).sum() / _RUNS))
    require(
        abs(plain - turned) <= _Z * error + 1e-9,
        f"mean log10 of the remaining loss {turned:.3f} on rotated quadratics",
        f"{plain:.3f} ± {error:.3f} (standard error), as on the axis-parallel one",
    )


def _log_progress(case: Case, scales: Vector, start: Vector, run: int, turned: bool) -> float:
    rng = np.random.default_rng((case.seed, 3, run))
    basis = np.eye(case.dim)
    if turned:
        q, r = np.linalg.qr(rng.standard_normal((case.dim, case.dim)))
        basis = q * np.sign(np.diag(r))
    optimizer, spent, generation = case.optimizer, 0, 0
    state = optimizer.init(basis @ start)
    while spent < _LEAST_EVALUATIONS or generation < _LEAST_GENERATIONS:
        asked = optimizer.ask(state, case.rng(generation, 1000 + 2 * run + turned))
        state = optimizer.tell(state, asked, -((asked.thetas @ basis) ** 2 @ scales))
        spent, generation = spent + len(asked), generation + 1
    loss = float((state.theta @ basis) ** 2 @ scales)
    return float(np.log10(max(loss, 1e-300) / ((start**2) @ scales)))


INVARIANCES: dict[str, Callable[[Case], None]] = {
    "monotone": _monotone,
    "affine": _affine,
    "scale": _scale,
    "offset": _offset,
    "translation": _translation,
    "rotation": _rotation,
}
