"""CMA-ES with restarts: IPOP and BIPOP.

IPOP (Auger and Hansen, CEC 2005) restarts with a larger population whenever a run has nothing more
to gain. BIPOP (Hansen, GECCO 2009 workshops, "Benchmarking a BI-population CMA-ES on the
BBOB-2009 function testbed") spends as many evaluations on short runs with small populations and
small step sizes in between. Both find the global optimum of multimodal functions that a single run
misses: a large population sees the global structure, a small one searches where there is none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike

from zorl.common.errors import ConfigurationError, UnknownNameError
from zorl.common.options import takes_options_of
from zorl.common.types import Matrix, Vector, frozen
from zorl.common.validation import at_least, check_factor, non_negative
from zorl.optimizers.base import Asked, checked_returns
from zorl.optimizers.bounds import Bound, box, entries
from zorl.optimizers.checks import check_wrapped
from zorl.optimizers.cma_es import CMAES, CMAESOptions, CMAESState
from zorl.optimizers.registry import GROWING_EPISODES, register_method
from zorl.optimizers.stopping import history_length, reason_to_stop, with_generation

if TYPE_CHECKING:
    from typing_extensions import Unpack


@dataclass(frozen=True)
class RestartRun:
    """One run of CMA-ES among the restarts.

    Attributes:
        popsize: candidates per generation.
        small: whether it is one of BIPOP's small runs; its first run counts as one.
        allowance: how many evaluations it may take, 0 for any number.
        evaluations: how many it has taken.
        best: the highest median of a generation's returns, −inf before the first signal.
        history: (3, H) of its generations, see `stopping`.
        stop: why it is over (a name in `stopping.REASONS`), "" while it goes on.
    """

    popsize: int
    small: bool
    allowance: int
    evaluations: int
    best: float
    history: Matrix
    stop: str


@dataclass(frozen=True)
class RestartsState:
    """All runs so far, and the one under way.

    Attributes:
        theta: (d,) the mean of the best run: of the one under way, or where an earlier one ended.
        t: how many updates led here, over all runs.
        start: (d,) where the first run started.
        best: the best `RestartRun.best` among the earlier runs.
        current: the distribution of the run under way.
        run: the run under way.
        restarts: how many there have been.
        doublings: how many of them enlarged the population.
        large_evaluations: of all earlier runs but the small ones.
        small_evaluations: of all earlier small runs.
        last_large: evaluations of the latest earlier run that was not small.
    """

    theta: Vector
    t: int
    start: Vector
    best: float
    current: CMAESState
    run: RestartRun
    restarts: int
    doublings: int
    large_evaluations: int
    small_evaluations: int
    last_large: int


@dataclass(frozen=True)
class RestartAsked(Asked):
    """Candidates of a search with restarts.

    Attributes:
        begun: the state that they belong to: the one that asked, or the one after the restart that
            was due.
    """

    begun: RestartsState | None = None


@dataclass(frozen=True)
class Restarts:
    """CMA-ES, restarted whenever a run is over.

    Runs are compared by the best median of a generation's returns, which tells what the mean's
    surroundings earn: a single lucky candidate of a new, wide distribution is no reason to leave
    the mean of a better run. `theta` passes to the run under way when that beats all earlier ones.
    A generation of equal returns never moves `theta`; it counts towards the run's end, though.

    The first run is the optimizer as it is, made for speed where there is one optimum. A restart
    says that this did not do, so that all later runs are `damped`.

    The population grows no further than the optimizer's `max_memory_gb` allows: where a larger one
    would need more, the run under way goes on without end, as after the last restart.

    Starting points are uniform in [low, high] where these are given, as in both papers, and
    N(start, spread² I) else. They bound nothing but restarts; see `Bounded` for that.

    Args:
        optimizer: the first run; the later ones are damped, and differ in population and, when
            small, in sigma0.
        schedule: "ipop", or "bipop": a restart is small while the small runs together, the first
            run among them, have taken fewer evaluations than the others. Of a small one, popsize is
            popsize₀ (½ popsize_l / popsize₀)^(U²), but at least popsize₀, with popsize_l the latest
            large population, sigma0 is scaled by 10^(−2U'), and it may take half as many
            evaluations as the latest large run; U and U' are uniform on [0, 1].
        max_restarts: how often the population may grow; small runs do not count. The run after the
            last restart goes on without end.
        factor: by how much the population grows.
        low: the least coordinates of a restart, one number or (d,); needs `high`.
        high: the greatest coordinates of a restart, likewise.
        spread: standard deviation of restarts around the first start, 0 for that very point;
            sigma0 when None. Not used with low and high.
        tolfun: a run is over when its latest returns do not differ by more.
        tolx: a run is over when all its standard deviations are below tolx · sigma0.
    """

    optimizer: CMAES = field(default_factory=CMAES)
    schedule: Literal["ipop", "bipop"] = "ipop"
    max_restarts: int = 9
    factor: float = 2.0
    low: Bound = None
    high: Bound = None
    spread: float | None = None
    tolfun: float = 1e-12
    tolx: float = 1e-12

    def __post_init__(self) -> None:
        check_wrapped("Restarts", self.optimizer, CMAES)
        if self.schedule not in ("ipop", "bipop"):
            raise UnknownNameError("restart schedule", str(self.schedule), ("ipop", "bipop"))
        at_least("max_restarts", self.max_restarts, 0)
        check_factor("factor", self.factor)
        if (self.low is None) != (self.high is None):
            raise ConfigurationError("restarts between bounds need both low and high, or neither")
        if self.low is not None:
            object.__setattr__(self, "low", entries("low", self.low, -np.inf))
            object.__setattr__(self, "high", entries("high", self.high, np.inf))
            if not np.isfinite(box(self.low, self.high)).all():
                raise ConfigurationError("restarts between bounds need finite bounds")
        if self.spread is not None:
            non_negative("spread", self.spread)
        non_negative("tolfun", self.tolfun)
        non_negative("tolx", self.tolx)

    def init(self, theta: ArrayLike) -> RestartsState:
        """The first run, around `theta`, shape (d,)."""
        current = self.optimizer.init(theta)
        d = current.theta.size
        if self.low is not None:
            box(self.low, self.high, d)
        popsize = self.optimizer.population(d)
        history = frozen(np.zeros((3, history_length(d, popsize))))
        small = self.schedule == "bipop"
        run = RestartRun(popsize, small, 0, 0, -math.inf, history, "")
        return RestartsState(
            current.theta, 0, current.theta, -math.inf, current, run, 0, 0, 0, 0, 0
        )

    def ask(self, state: RestartsState, rng: np.random.Generator) -> RestartAsked:
        """Candidates of the run under way, or of a new one where it is over."""
        begun = self._restarted(state, rng) if state.run.stop else state
        source = self._optimizer_of(begun).ask(begun.current, rng)
        return RestartAsked(
            source.candidates, state.t, source.directions, source, begun, sigma=source.sigma
        )

    def tell(self, state: RestartsState, asked: Asked, returns: ArrayLike) -> RestartsState:
        """The next state from one return per candidate (n,), higher better."""
        values = checked_returns(state, asked, returns)
        if not isinstance(asked, RestartAsked) or asked.source is None or asked.begun is None:
            raise ConfigurationError(
                "tell needs the candidates that ask of Restarts returned, as they are"
            )
        begun, run = asked.begun, asked.begun.run
        current = self._optimizer_of(begun).tell(begun.current, asked.source, values)
        flat = values.min() == values.max()
        run = replace(
            run,
            evaluations=run.evaluations + len(values),
            best=run.best if flat else max(run.best, float(np.median(values))),
            history=with_generation(run.history, values),
        )
        stop = reason_to_stop(
            current, run.history, values, self.optimizer.sigma0, self.tolfun, self.tolx
        )
        if run.allowance and run.evaluations >= run.allowance:
            stop = "budget"
        # Only a generation that is not flat can raise run.best, so theta moves in no other.
        ahead = run.best > begun.best
        return replace(
            begun,
            theta=current.theta if ahead else begun.theta,
            t=state.t + 1,
            current=current,
            run=replace(run, stop=stop),
        )

    def _restarted(self, state: RestartsState, rng: np.random.Generator) -> RestartsState:
        """`state` with a new run, unless there have been enough or it would not fit in memory."""
        over, d = state.run, state.theta.size
        large, small = state.large_evaluations, state.small_evaluations
        if over.small:
            small += over.evaluations
        else:
            large += over.evaluations
        last_large = state.last_large if over.small else over.evaluations
        is_small = self.schedule == "bipop" and small < large
        doublings = state.doublings + (not is_small)
        if doublings > self.max_restarts:
            return state

        first, sigma0 = self.optimizer.population(d), self.optimizer.sigma0
        popsize = int(first * self.factor**doublings)
        # Before a small run, popsize is still the latest large one's, which did fit.
        larger = replace(self.optimizer, popsize=popsize)
        if larger.memory_bytes(d) / 1e9 > self.optimizer.max_memory_gb:
            return state
        if is_small:
            ratio = max(popsize / first / 2, 1.0)
            popsize = int(first * ratio ** (rng.random() ** 2))
            sigma0 *= 10 ** (-2 * rng.random())
        if self.low is not None:
            start = rng.uniform(*box(self.low, self.high, d))
        else:
            spread = self.optimizer.sigma0 if self.spread is None else self.spread
            start = state.start + spread * rng.standard_normal(d)
        history = frozen(np.zeros_like(over.history))
        allowance = max(last_large // 2, 1) if is_small else 0
        return replace(
            state,
            best=max(state.best, over.best),
            current=replace(self.optimizer, sigma0=sigma0).init(start),
            run=RestartRun(popsize, is_small, allowance, 0, -math.inf, history, ""),
            restarts=state.restarts + 1,
            doublings=doublings,
            large_evaluations=large,
            small_evaluations=small,
            last_large=last_large,
        )

    def _optimizer_of(self, state: RestartsState) -> CMAES:
        """The optimizer of the run under way."""
        damped = self.optimizer.damped or state.restarts > 0
        return replace(self.optimizer, popsize=state.run.popsize, damped=damped)


class IPOPOptions(CMAESOptions, total=False):
    """The options of `ipop_cma_es`, for `bipop_cma_es`."""

    max_restarts: int
    factor: float
    low: float | None
    high: float | None
    spread: float | None
    tolfun: float
    tolx: float


@register_method("ipop-cma-es", sigma0=1.0, **GROWING_EPISODES)
@takes_options_of(CMAES)
def ipop_cma_es(
    *,
    max_restarts: int = 9,
    factor: float = 2.0,
    low: float | None = None,
    high: float | None = None,
    spread: float | None = None,
    tolfun: float = 1e-12,
    tolx: float = 1e-12,
    **cmaes: Unpack[CMAESOptions],
) -> Restarts:
    """IPOP-CMA-ES (Auger and Hansen 2005): every restart with a population twice as large.

    Args:
        popsize: candidates per generation of the first run; 4 + floor(3 ln d) when None.
        max_restarts: how often the population may grow.
        factor: by how much the population grows.
        low: the least coordinate of a restart, in units of theta; needs `high`.
        high: the greatest coordinate of a restart, likewise.
        spread: standard deviation of restarts around the first start; sigma0 when None. Not used
            with low and high.
        tolfun: a run is over when its latest returns do not differ by more, in units of return.
        tolx: a run is over when its standard deviations are all below tolx · sigma0.
        cmaes: options of `CMAES`; the population grows no further than `max_memory_gb` allows.
    """
    return Restarts(CMAES(**cmaes), "ipop", max_restarts, factor, low, high, spread, tolfun, tolx)


@register_method("bipop-cma-es", sigma0=1.0, **GROWING_EPISODES)
@takes_options_of(ipop_cma_es)
def bipop_cma_es(**ipop: Unpack[IPOPOptions]) -> Restarts:
    """BIPOP-CMA-ES (Hansen 2009): runs with large populations, and short runs with small ones.

    Args:
        ipop: options of `ipop_cma_es`.
    """
    return replace(ipop_cma_es(**ipop), schedule="bipop")
