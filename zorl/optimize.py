"""`minimize` and `maximize`: plain functions, in the manner of `scipy.optimize.minimize`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from zorl.errors import ConfigurationError
from zorl.gates import make_gate
from zorl.normalization import Normalizer
from zorl.optimizers.base import Matrix, Optimizer, Vector, at_least, non_negative, start_vector
from zorl.optimizers.bounds import Bounded
from zorl.optimizers.registry import recipe
from zorl.optimizers.restarts import Restarts
from zorl.options import resolve_options
from zorl.rollout.evaluation import Evaluation, FunctionEvaluator
from zorl.search import Generation, Search, SearchState
from zorl.streams import Purpose, Seeds, Streams

if TYPE_CHECKING:
    from scipy.optimize import OptimizeResult

_HISTORY = 20  # generations over which `tol` wants no progress, at least
_FRESH = 20  # evaluations of the final point where values are noisy
TARGET, CONVERGED, BUDGET, STOPPED, STALLED = range(5)
_MESSAGES = {
    TARGET: "the target was reached",
    CONVERGED: "converged: values differed by less than tol in and across generations",
    BUDGET: "the budget is spent",
    STOPPED: "the callback asked to stop",
    STALLED: "no signal: every generation of late had equal values; widen the search",
}


def minimize(
    fun: Callable[..., Any],
    x0: ArrayLike,
    method: str | Optimizer[Any] = "cma-es",
    *,
    options: Mapping[str, Any] | None = None,
    bounds: Sequence[tuple[float | None, float | None]] | None = None,
    max_evaluations: int | None = None,
    target: float | None = None,
    tol: float | None = 1e-11,
    seed: int = 0,
    batched: bool = False,
    noisy: bool = False,
    seeded: bool = False,
    repeats: int = 1,
    gate: str = "off",
    gate_options: Mapping[str, Any] | None = None,
    callback: Callable[[OptimizeResult], Any] | None = None,
    _sign: float = -1.0,
) -> OptimizeResult:
    """Minimise a function of d numbers without its gradient.

    Args:
        fun: f(x) with x of shape (d,), a number; see `batched` and `seeded`. A NaN or infinite
            value counts as the worst finite one of its generation.
        x0: (d,) where to start.
        method: a name in `zorl.optimizers.METHODS`, or an optimizer made of its parts.
        options: arguments of the named method, as {"sigma0": 0.3}.
        bounds: d pairs (low, high) as scipy has them, None for an open side. Every candidate lies
            inside; see `zorl.optimizers.Bounded`.
        max_evaluations: the budget; 1,000 · (d + 1) when None. Whole generations only: it may be
            overspent by less than one.
        target: stop after the first value ≤ this.
        tol: stop when neither a generation's values nor the best ones of the last generations
            differ by more than this; None never. A noisy function does not converge this way, and
            methods that start anew when they converge use the whole budget.
        seed: of all random numbers; equal seeds give equal bits.
        batched: fun takes all candidates of a generation, (n, d), and returns (n,).
        noisy: values differ from call to call. `x` is then the search's own point, rather than the
            candidate with the luckiest value, and `fun` the mean of fresh evaluations there.
        seeded: fun takes a seed as second argument, fun(x, seed), and all noise is a function of
            it: candidates of a generation share their seeds (common random numbers). Implies noisy.
        repeats: evaluations a candidate; the search follows their mean.
        gate: which updates are kept, a name in `zorl.gates.GATES`; its evaluations count.
        gate_options: arguments of the gate.
        callback: called after every generation with an `OptimizeResult` of how things stand
            (x, fun, nit, nfev, signal_to_noise); True or StopIteration stops.

    Returns:
        A `scipy.optimize.OptimizeResult`: `x` (d,), `fun`, `nfev`, `nit` (generations),
        `success` (target reached, or converged), `status` and `message`; of noisy functions
        `fun_error`, the standard error of `fun`; besides, `theta` (d,),
        the search's own point (an incumbent, or a distribution's mean), `signal_to_noise` of the
        last updates, `non_finite`, how many values were no finite number, and `state`.

    Raises:
        ConfigurationError: bad input: what was wrong, and what was expected.
        DivergedError: the parameters grew beyond all bounds.
    """
    start = start_vector(x0)
    noisy = noisy or seeded
    optimizer = _optimizer(method, options)
    restarts = isinstance(optimizer, Restarts)
    if bounds is not None:
        optimizer = Bounded(optimizer, *_sides(bounds, start.size))
    budget = 1000 * (start.size + 1) if max_evaluations is None else max_evaluations
    at_least("max_evaluations", budget, 1)
    if tol is not None:
        non_negative("tol", tol)
    values = FunctionEvaluator(fun, _sign < 0, batched, seeded, noisy)
    watch = _Watch(values, noisy)
    search = Search(
        optimizer, watch, Streams(seed), make_gate(gate, **(gate_options or {})), episodes=repeats
    )
    goal = None if target is None else _sign * target
    progress = _Progress(None if restarts else tol)
    state, status = search.init(start), None
    if not noisy:
        watch.evaluate(start[None], (0,), state.normalizer)  # no result is worse than x0
    while status is None:
        if goal is not None and watch.best >= goal:
            status = TARGET
        elif progress.status is not None:
            status = progress.status
        elif watch.calls >= budget:
            status = BUDGET
        else:
            generation = search.step(state)
            state = generation.state
            progress.take(generation)
            if callback is not None and _stops(callback, _standing(state, watch, _sign)):
                status = STOPPED
    return _finished(state, watch, _sign, status, search)


def maximize(
    fun: Callable[..., Any], x0: ArrayLike, method: str | Optimizer[Any] = "cma-es", **settings: Any
) -> OptimizeResult:
    """Maximise a function: as `minimize`, with the same settings; `target` is a value to reach."""
    return minimize(fun, x0, method, **settings, _sign=1.0)


class _Watch:
    """The objective, its calls counted and its best candidate kept; an `Evaluator`."""

    def __init__(self, inner: FunctionEvaluator, noisy: bool) -> None:
        self._inner = inner
        self.noisy = noisy
        self.calls = 0
        self.best = -np.inf
        self.x: Vector | None = None

    def evaluate(self, thetas: Matrix, seeds: Seeds, normalizer: Normalizer) -> Evaluation:
        """See `Evaluator`."""
        result = self._inner.evaluate(thetas, seeds, normalizer)
        self.calls += result.returns.size if self.noisy else len(thetas)
        with np.errstate(invalid="ignore"):
            means = result.returns.mean(axis=1)
        means = np.where(np.isfinite(means), means, -np.inf)
        best = int(means.argmax())
        if means[best] > self.best:
            self.best, self.x = float(means[best]), np.array(thetas[best])
        return result


class _Progress:
    """Whether a search goes on finding anything new (TolFun and TolHistFun of CMA-ES)."""

    def __init__(self, tol: float | None) -> None:
        self._tol = tol
        self._ranges: deque[tuple[float, float]] = deque()  # worst and best of each generation
        self.status: int | None = None

    def take(self, generation: Generation) -> None:
        """Look at one more generation."""
        if self._tol is None:
            return
        returns = generation.evaluation.returns
        if not np.isfinite(returns).all():
            self._ranges.clear()
            return
        n, d = len(returns), generation.state.theta.size
        self._ranges.append((float(returns.min()), float(returns.max())))
        if len(self._ranges) < _HISTORY + 30 * d / n:
            return
        low, high = self._ranges[-1]
        peaks = [peak for _, peak in self._ranges]
        if high - low <= self._tol and max(peaks) - min(peaks) <= self._tol:
            flat = all(worst == best for worst, best in self._ranges)
            self.status = STALLED if flat else CONVERGED
        self._ranges.popleft()


def _optimizer(method: str | Optimizer[Any], options: Mapping[str, Any] | None) -> Optimizer[Any]:
    if isinstance(method, str):
        make = recipe(method)
        return make(**resolve_options(make, options or {}, f"option of {method}"))
    if options:
        raise ConfigurationError("options belong to a method given by name, not to an optimizer")
    return method


def _sides(bounds: Any, d: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Low and high sides (d,) of scipy's bounds: pairs, or an object with `lb` and `ub`."""
    if hasattr(bounds, "lb") and hasattr(bounds, "ub"):
        low, high = np.broadcast_to(bounds.lb, d), np.broadcast_to(bounds.ub, d)
    else:
        pairs = list(bounds)
        if len(pairs) != d or any(np.ndim(pair) != 1 or len(pair) != 2 for pair in pairs):
            raise ConfigurationError(
                f"bounds must be one (low, high) pair for each of the d = {d} coordinates, got "
                f"{bounds!r}"
            )
        low = np.array([-np.inf if side is None else side for side, _ in pairs], np.float64)
        high = np.array([np.inf if side is None else side for _, side in pairs], np.float64)
    return tuple(map(float, low)), tuple(map(float, high))


def _stops(callback: Callable[[OptimizeResult], Any], standing: OptimizeResult) -> bool:
    try:
        return callback(standing) is True
    except StopIteration:
        return True


def _standing(state: SearchState, watch: _Watch, sign: float) -> OptimizeResult:
    """How things stand, as the callback sees them."""
    from scipy.optimize import OptimizeResult

    result = OptimizeResult()
    result.update(
        x=state.theta.copy() if watch.x is None else watch.x.copy(),
        fun=sign * watch.best,
        theta=state.theta.copy(),
        nit=state.generation,
        nfev=watch.calls,
        signal_to_noise=state.signal.ratio,
    )
    return result


def _finished(
    state: SearchState, watch: _Watch, sign: float, status: int, search: Search
) -> OptimizeResult:
    """The result: the better of the best candidate and theta, or theta if values are noisy."""
    seeds = search.streams.seeds(Purpose.HELD_OUT, 0, _FRESH if watch.noisy else 1)
    fresh = watch.evaluate(state.theta[None], seeds, state.normalizer).returns[0]
    result = _standing(state, watch, sign)
    if watch.noisy:
        result.update(x=state.theta.copy(), fun=sign * float(fresh.mean()))
        result.update(fun_error=float(fresh.std(ddof=1) / np.sqrt(len(fresh))))
    bad = state.counters.non_finite
    message = _MESSAGES[status] + (f"; {bad} values were not finite" if bad else "")
    result.update(
        success=status in (TARGET, CONVERGED),
        status=status,
        message=message,
        non_finite=bad,
        state=state,
    )
    return result
