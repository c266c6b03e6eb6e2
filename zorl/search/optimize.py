"""`minimize` and `maximize`: plain functions, in the manner of `scipy.optimize.minimize`."""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Concatenate, Literal

import numpy as np
from numpy.typing import ArrayLike
from typing_extensions import ParamSpec

from zorl.common.errors import ConfigurationError
from zorl.common.options import resolve_options
from zorl.common.plain import whole
from zorl.common.streams import Purpose, Seeds, Streams
from zorl.common.types import Matrix, Vector
from zorl.common.validation import at_least, is_finite, non_negative
from zorl.optimizers.base import (
    Optimizer,
    finite_returns,
    layers,
    missing_methods,
    start_vector,
)
from zorl.optimizers.bounds import Bounded
from zorl.optimizers.lra import LearningRateAdaptation
from zorl.optimizers.registry import METHODS
from zorl.optimizers.restarts import Restarts
from zorl.policies.normalization import Normalizer
from zorl.rollout.evaluation import Evaluation, Evaluator, FunctionEvaluator
from zorl.search.gates import Gate, make_gate
from zorl.search.loop import Search
from zorl.search.records import Generation, SearchState

if TYPE_CHECKING:
    from scipy.optimize import OptimizeResult

P = ParamSpec("P")

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


def _optimize(  # noqa: D417  # the public functions have all arguments but `sense`
    sense: float,
    fun: Callable[..., Any],
    x0: ArrayLike,
    method: str | Optimizer[Any] = "cma-es",
    *,
    options: Mapping[str, Any] | None = None,
    bounds: Any = None,
    max_evaluations: int | None = None,
    target: float | None = None,
    tol: float | None = 1e-11,
    seed: int = 0,
    batched: bool = False,
    noisy: bool = False,
    seeded: bool = False,
    repeats: int = 1,
    gate: str | Gate[Any] = "off",
    gate_options: Mapping[str, Any] | None = None,
    callback: Callable[[OptimizeResult], Any] | None = None,
) -> OptimizeResult:
    """Minimise a function of d numbers without its gradient.

    Args:
        fun: f(x) with x of shape (d,), a number; see `batched` and `seeded`. A NaN or infinite
            value counts as the worst finite one of its generation.
        x0: (d,) where to start.
        method: a name in `zorl.optimizers.METHODS`, or an optimizer made of its parts.
        options: arguments of the named method, as {"sigma0": 0.3}.
        bounds: d pairs (low, high) as scipy has them, None for an open side, or scipy's `Bounds`.
            Every candidate lies inside; see `zorl.optimizers.Bounded`.
        max_evaluations: the budget; 1,000 · (d + 1) when None. Whole generations only, so that it
            may be overspent by part of one, and by the evaluation of the final point (20 if noisy).
        target: stop after the first value ≤ this; of noisy functions, when a generation's mean and
            20 fresh values of the search's own point have such a mean.
        tol: stop when neither a generation's values nor the best ones of the last generations
            differ by more than this; None never. A noisy function does not converge this way, and
            methods that restart when they converge use the whole budget.
        seed: of all random numbers; equal seeds give equal bits.
        batched: fun takes all candidates of a generation, (n, d), and returns (n,).
        noisy: values differ from call to call. `x` is then the search's own point, rather than the
            candidate with the luckiest value, and `fun` the mean of 20 fresh evaluations there.
        seeded: fun takes a seed as second argument, fun(x, seed), and all noise is a function of
            it: candidates of a generation share their seeds (common random numbers). Implies noisy.
        repeats: evaluations a candidate; the search follows their mean.
        gate: which updates are kept, a name in `zorl.search.GATES` or a gate; its evaluations
            count.
        gate_options: arguments of a gate given by name.
        callback: called after every generation with an `OptimizeResult` of how things stand
            (x, fun, theta, nit, nfev, signal_to_noise; of noisy functions `fun` is the generation's
            mean); True or StopIteration stops.

    Returns:
        A `scipy.optimize.OptimizeResult`: `x` (d,), `fun`, `nfev`, `nit` (generations),
        `success` (target reached, or converged), `status` and `message`; of noisy functions
        `fun_error`, the standard error of `fun`; also `theta` (d,), the search's own point (an
        incumbent, or a distribution's mean), `signal_to_noise` of the last updates, `non_finite`,
        how many values were no finite number, and `state`.

    Raises:
        ConfigurationError: bad input: what was wrong, and what was expected.
        DivergedError: the parameters grew beyond all bounds.
    """
    max_evaluations = whole(max_evaluations)
    _check(fun, max_evaluations, target, tol, repeats, callback)
    for name, value in (("options", options), ("gate_options", gate_options)):
        if value is not None and not isinstance(value, Mapping):
            raise ConfigurationError(
                f"{name} must be names with values, as {{'sigma0': 0.3}}, got {value!r}"
            )
    start = start_vector(x0)
    noisy = noisy or seeded
    optimizer = _optimizer(method, options)
    if any(isinstance(layer, Restarts) for layer in layers(optimizer)):
        tol = None
    if bounds is not None:
        optimizer = _bounded(optimizer, bounds, start)
    objective = FunctionEvaluator(
        fun, minimise=sense < 0, batched=batched, seeded=seeded, noisy=noisy
    )
    watch = _Watch(objective, noisy)
    search = Search(
        optimizer,
        watch,
        Streams(seed),
        make_gate(gate, **(gate_options or {})),
        episodes=repeats,
    )
    state = search.init(start)
    if not noisy:
        watch.evaluate(start[None], (0,), state.normalizer)  # no result is worse than x0
    goal = None if target is None else sense * target
    ending = _Ending(search, watch, goal, max_evaluations or 1000 * (start.size + 1), tol)
    for generation in search.run(state, until=ending):
        state = generation.state
        ending.take(generation)
        if callback is not None and _stops(callback, _standing(state, watch, sense)):
            ending.status = STOPPED
    assert ending.status is not None
    return _finished(state, watch, sense, ending.status, search)


def _check(
    fun: Any, max_evaluations: Any, target: Any, tol: Any, repeats: Any, callback: Any
) -> None:
    if not callable(fun):
        raise ConfigurationError(f"fun must be a function of (d,), got {fun!r}")
    if max_evaluations is not None:
        at_least("max_evaluations", max_evaluations, 1)
    at_least("repeats", repeats, 1)
    if tol is not None:
        non_negative("tol", tol)
    if target is not None and not is_finite(target):
        raise ConfigurationError(f"target must be a finite number, got {target!r}")
    if callback is not None and not callable(callback):
        raise ConfigurationError(f"callback must be a function, got {callback!r}")


def _with_sense(
    function: Callable[Concatenate[float, P], OptimizeResult], sense: float, name: str, doc: str
) -> Callable[P, OptimizeResult]:
    """`_optimize` in one sense, −1 for minimising and 1 for maximising, as a public function."""

    def public(*args: P.args, **kwargs: P.kwargs) -> OptimizeResult:
        signature.bind(*args, **kwargs)  # a TypeError that does not count `sense`
        return function(sense, *args, **kwargs)

    whole = inspect.signature(function)
    signature = whole.replace(parameters=list(whole.parameters.values())[1:])
    public.__name__ = public.__qualname__ = name
    public.__doc__ = doc
    vars(public)["__signature__"] = signature
    return public


minimize = _with_sense(_optimize, -1.0, "minimize", _optimize.__doc__ or "")
maximize = _with_sense(
    _optimize,
    1.0,
    "maximize",
    "Maximise a function: as `minimize`, with the same settings; stops at values ≥ `target`.",
)


class _Watch(Evaluator):
    """The objective, its calls counted and its best candidate kept."""

    def __init__(self, inner: FunctionEvaluator, noisy: bool) -> None:
        self._inner = inner
        self.noisy = noisy
        self.calls = 0
        self.best = -np.inf
        self.x: Vector | None = None
        self.latest = -np.inf  # mean of the last generation

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

    def reached(self, goal: float, search: Search, state: SearchState) -> bool:
        """Whether the goal is reached; of noisy values by fresh ones at theta, not by luck."""
        if not self.noisy:
            return self.best >= goal
        if self.latest < goal:
            return False
        seeds = search.streams.seeds(Purpose.VALIDATION, state.generation, _FRESH)
        fresh = self.evaluate(state.theta[None], seeds, state.normalizer).returns
        return bool(fresh.mean() >= goal)


class _Ending:
    """Whether a search is over, and why; asked before every generation.

    Args:
        search: what runs.
        watch: its evaluator.
        goal: the value to reach, higher better; None for none.
        budget: evaluations to spend.
        tol: see `minimize`; the rules are TolFun and TolHistFun of CMA-ES.
    """

    def __init__(
        self, search: Search, watch: _Watch, goal: float | None, budget: int, tol: float | None
    ) -> None:
        self._search = search
        self._watch = watch
        self._goal = goal
        self._budget = budget
        self._tol = tol
        self._ranges: deque[tuple[float, float]] = deque()  # worst and best of each generation
        self._progress: int | None = None
        self.status: int | None = None

    def __call__(self, state: SearchState) -> bool:
        if self.status is None:
            self.status = self._reason(state)
        return self.status is not None

    def _reason(self, state: SearchState) -> int | None:
        if self._goal is not None and self._watch.reached(self._goal, self._search, state):
            return TARGET
        if self._progress is not None:
            return self._progress
        return BUDGET if self._watch.calls >= self._budget else None

    def take(self, generation: Generation) -> None:
        """Look at one more generation."""
        returns = finite_returns(generation.evaluation.returns)
        self._watch.latest = float(returns.mean())
        if self._tol is None:
            return
        n, d = len(returns), generation.state.theta.size
        self._ranges.append((float(returns.min()), float(returns.max())))
        if len(self._ranges) < _HISTORY + 30 * d / n:
            return
        low, high = self._ranges[-1]
        peaks = [peak for _, peak in self._ranges]
        if high - low <= self._tol and max(peaks) - min(peaks) <= self._tol:
            # A spread of some ulps is rounding, not signal.
            flat = all(best - worst <= 1e-12 * abs(best) for worst, best in self._ranges)
            self._progress = STALLED if flat else CONVERGED
        self._ranges.popleft()


def _optimizer(method: str | Optimizer[Any], options: Mapping[str, Any] | None) -> Optimizer[Any]:
    if isinstance(method, str):
        make = METHODS.resolve(method)
        return make(**resolve_options(make, options or {}, f"option of {method}"))
    if missing_methods(method):
        raise ConfigurationError(
            f"method must be a name or an optimizer, as 'cma-es' or CMAES(), got {method!r}"
        )
    if options:
        raise ConfigurationError("options belong to a method given by name, not to an optimizer")
    return method


def _bounded(optimizer: Optimizer[Any], bounds: Any, start: Vector) -> Bounded:
    """The optimizer inside scipy's bounds: pairs, or an object with `lb` and `ub`.

    Candidates are folded into the box, which costs the search least. Not so for a start on a
    bound, where mirrored candidates would coincide and tell nothing, and for learning rates that
    adapt, which a folded space fools: there candidates are projected, at a penalty.
    """
    low, high = _sides(bounds, start.size)
    touches = bool(((start == low) | (start == high)).any())
    adapts = any(isinstance(layer, LearningRateAdaptation) for layer in layers(optimizer))
    handling: Literal["penalty", "reflect"] = "penalty" if touches or adapts else "reflect"
    return Bounded(optimizer, tuple(low.tolist()), tuple(high.tolist()), handling)


def _sides(bounds: Any, d: int) -> tuple[Vector, Vector]:
    try:
        if hasattr(bounds, "lb") and hasattr(bounds, "ub"):
            sides = [np.broadcast_to(np.asarray(side, np.float64), d).copy() for side in
                     (bounds.lb, bounds.ub)]  # fmt: skip
        else:
            pairs = [tuple(pair) for pair in bounds]
            if len(pairs) != d or any(len(pair) != 2 for pair in pairs):
                raise ValueError
            sides = [
                np.array([nothing if pair[k] is None else pair[k] for pair in pairs], np.float64)
                for k, nothing in ((0, -np.inf), (1, np.inf))
            ]
    except (TypeError, ValueError):
        raise ConfigurationError(
            f"bounds must be one (low, high) pair of numbers or None for each of the d = {d} "
            f"coordinates, got {bounds!r}"
        ) from None
    return sides[0], sides[1]


def _stops(callback: Callable[[OptimizeResult], Any], standing: OptimizeResult) -> bool:
    try:
        answer = callback(standing)
    except StopIteration:
        return True
    return isinstance(answer, (bool, np.bool_)) and bool(answer)


def _standing(state: SearchState, watch: _Watch, sense: float) -> OptimizeResult:
    """How things stand, as the callback sees them."""
    from scipy.optimize import OptimizeResult

    result = OptimizeResult()
    best = state.theta if watch.noisy or watch.x is None else watch.x
    result.update(
        x=best.copy(),
        fun=sense * (watch.latest if watch.noisy else watch.best) + 0.0,  # no −0
        theta=state.theta.copy(),
        nit=state.generation,
        nfev=watch.calls,
        signal_to_noise=state.signal.ratio,
    )
    return result


def _finished(
    state: SearchState, watch: _Watch, sense: float, status: int, search: Search
) -> OptimizeResult:
    """The result: the better of the best candidate and theta, or theta if values are noisy."""
    seeds = search.streams.seeds(Purpose.HELD_OUT, 0, _FRESH if watch.noisy else 1)
    fresh = watch.evaluate(state.theta[None], seeds, state.normalizer).returns[0]
    result = _standing(state, watch, sense)
    if watch.noisy:
        result.update(fun=sense * float(fresh.mean()) + 0.0)
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
