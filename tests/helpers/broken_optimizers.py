"""An optimizer that keeps the contract, and many that break it in one way each."""

from __future__ import annotations

import random
from dataclasses import dataclass, make_dataclass, replace
from typing import Any

import numpy as np

from zorl.common.errors import ConfigurationError
from zorl.common.types import frozen
from zorl.optimizers.base import Asked, checked_returns, start_vector


@dataclass(frozen=True)
class State:
    theta: np.ndarray
    t: int
    sigma: float
    extra: Any = 0.0


@dataclass(frozen=True)
class Right:
    """The mean of the better half, with steps that shrink on a schedule."""

    sigma: float = 0.3
    n: int = 10

    def init(self, theta: Any) -> Any:
        return State(start_vector(theta), 0, self.sigma)

    def ask(self, state: Any, rng: Any) -> Any:
        noise = rng.standard_normal((self.n, state.theta.size))
        return Asked(state.theta + state.sigma * noise, state.t, sigma=state.sigma)

    def tell(self, state: Any, asked: Any, returns: Any) -> Any:
        return self.told(state, asked, checked_returns(state, asked, returns))

    def told(self, state: Any, asked: Any, values: Any) -> Any:
        if values.min() == values.max():
            return replace(state, t=state.t + 1)
        best = np.argsort(-values, kind="stable")[: self.n // 2]
        return self.moved(state, frozen(asked.thetas[best].mean(axis=0)))

    def moved(self, state: Any, theta: Any) -> Any:
        return State(theta, state.t + 1, state.sigma * 0.99)


class OnlyMutableState(Right):
    def init(self, theta: Any) -> Any:
        mutable = make_dataclass("Mutable", ["theta", "t", "sigma"])
        return mutable(start_vector(theta), 0, self.sigma)


class WritableState(Right):
    def moved(self, state: Any, theta: Any) -> Any:
        return super().moved(state, theta.copy())


class Single(Right):
    def moved(self, state: Any, theta: Any) -> Any:
        return super().moved(state, frozen(theta.astype(np.float32)))


class Unstorable(Right):
    def init(self, theta: Any) -> Any:
        return replace(super().init(theta), extra=[1.0])


class NoneInState(Right):
    def init(self, theta: Any) -> Any:
        return replace(super().init(theta), extra=None)


class WrongTag(Right):
    def ask(self, state: Any, rng: Any) -> Any:
        return replace(super().ask(state, rng), t=state.t + 1)


class KeepsTheStart(Right):
    def init(self, theta: Any) -> Any:
        return State(frozen(theta[:]), 0, self.sigma)


class FreezesTheStart(Right):
    def init(self, theta: Any) -> Any:
        return State(frozen(theta), 0, self.sigma)


class SortsReturns(Right):
    def tell(self, state: Any, asked: Any, returns: Any) -> Any:
        told = super().tell(state, asked, returns)
        if isinstance(returns, np.ndarray) and returns.flags.writeable:
            returns.sort()
        return told


class MutatesState(Right):
    def moved(self, state: Any, theta: Any) -> Any:
        told = super().moved(state, theta)
        state.theta.setflags(write=True)
        state.theta[0] += 1.0
        state.theta.setflags(write=False)
        return told


class MutatesCandidates(Right):
    def told(self, state: Any, asked: Any, values: Any) -> Any:
        told = super().told(state, asked, values)
        asked.thetas.setflags(write=True)
        asked.thetas[:] = 0.0
        asked.thetas.setflags(write=False)
        return told


class ReusesItsBuffer(Right):
    buffers: dict[Any, Any] = {}  # noqa: RUF012

    def moved(self, state: Any, theta: Any) -> Any:
        buffer = self.buffers.setdefault(theta.size, np.zeros_like(theta))
        buffer[:] = theta
        view = buffer[:]
        return super().moved(state, frozen(view))


class GlobalNumpy(Right):
    def ask(self, state: Any, rng: Any) -> Any:
        noise = np.random.standard_normal((self.n, state.theta.size))  # noqa: NPY002
        return Asked(state.theta + state.sigma * noise, state.t, sigma=state.sigma)


class GlobalPython(Right):
    def told(self, state: Any, asked: Any, values: Any) -> Any:
        return super().told(state, asked, values + 1e-9 * random.random())


class OwnGenerator(Right):
    generator = np.random.default_rng(0)

    def ask(self, state: Any, rng: Any) -> Any:
        return super().ask(state, self.generator)


class IgnoresGenerator(Right):
    def ask(self, state: Any, rng: Any) -> Any:
        return super().ask(state, np.random.default_rng(state.t))


class NoteInSelf(Right):
    """`ask` leaves a note for `tell`."""

    def ask(self, state: Any, rng: Any) -> Any:
        asked = super().ask(state, rng)
        object.__setattr__(self, "note", asked.thetas)
        return asked

    def told(self, state: Any, asked: Any, values: Any) -> Any:
        return super().told(state, Asked(self.note, asked.t, sigma=asked.sigma), values)  # type: ignore[attr-defined]


class CountsInSelf(Right):
    """The step length depends on how often this object was told."""

    count = 0

    def moved(self, state: Any, theta: Any) -> Any:
        object.__setattr__(self, "count", self.count + 1)
        return replace(super().moved(state, theta), sigma=0.3 * 0.99**self.count)


class StartsAtOne(Right):
    def init(self, theta: Any) -> Any:
        return replace(super().init(theta), t=1)


class CountsTwice(Right):
    def moved(self, state: Any, theta: Any) -> Any:
        return replace(super().moved(state, theta), t=state.t + 2)


class FlatDoesNotCount(Right):
    def told(self, state: Any, asked: Any, values: Any) -> Any:
        return state if values.min() == values.max() else super().told(state, asked, values)


class GrowingHistory(Right):
    def init(self, theta: Any) -> Any:
        return replace(super().init(theta), extra=frozen(np.zeros(0)))

    def moved(self, state: Any, theta: Any) -> Any:
        return replace(super().moved(state, theta), extra=frozen(np.append(state.extra, 1.0)))


class AcceptsBadStarts(Right):
    def init(self, theta: Any) -> Any:
        return State(frozen(np.array(theta, np.float64)), 0, self.sigma)


class AcceptsAnyReturns(Right):
    def tell(self, state: Any, asked: Any, returns: Any) -> Any:
        values = np.resize(np.array(returns, np.float64), len(asked))
        return self.told(state, asked, checked_returns(state, asked, values))


class RaisesAnotherError(Right):
    def tell(self, state: Any, asked: Any, returns: Any) -> Any:
        if len(returns) != len(asked):
            raise IndexError("too short")
        return super().tell(state, asked, returns)


class AcceptsForeignCandidates(Right):
    def tell(self, state: Any, asked: Any, returns: Any) -> Any:
        dim = asked.thetas.shape[1]
        if dim != state.theta.size:
            raise ConfigurationError("another dimension")
        return super().tell(state, Asked(asked.thetas, state.t, sigma=asked.sigma), returns)


class LeaksNaN(Right):
    def tell(self, state: Any, asked: Any, returns: Any) -> Any:
        checked_returns(state, asked, returns)
        values = np.array(returns, np.float64)
        told = self.told(state, asked, values)
        return replace(told, theta=frozen(told.theta + 0 * values.sum()))


class InfinityWins(Right):
    def tell(self, state: Any, asked: Any, returns: Any) -> Any:
        checked_returns(state, asked, returns)
        values = np.nan_to_num(np.array(returns, np.float64), nan=-1e9)
        return self.told(state, asked, values)


class MovesOnFlat(Right):
    def told(self, state: Any, asked: Any, values: Any) -> Any:
        best = np.argsort(-values, kind="stable")[: self.n // 2]
        return self.moved(state, frozen(asked.thetas[best].mean(axis=0)))


class DividesByTheSpread(Right):
    def told(self, state: Any, asked: Any, values: Any) -> Any:
        with np.errstate(all="ignore"):
            z = (values - values.mean()) / values.std()
        step = z @ (asked.thetas - state.theta) / len(z)
        return self.moved(state, frozen(state.theta + step))


class StopsAfterFlat(Right):
    def told(self, state: Any, asked: Any, values: Any) -> Any:
        if values.min() == values.max():
            return replace(state, t=state.t + 1, sigma=state.sigma / 1000)
        return super().told(state, asked, values)


class Descends(Right):
    def told(self, state: Any, asked: Any, values: Any) -> Any:
        return super().told(state, asked, -values)


class Stays(Right):
    def moved(self, state: Any, theta: Any) -> Any:
        return super().moved(state, state.theta)


class StartsElsewhere(Right):
    def init(self, theta: Any) -> Any:
        return State(frozen(start_vector(theta) + 1.0), 0, self.sigma)


class ListTheta(Right):
    def init(self, theta: Any) -> Any:
        return State(list(theta), 0, self.sigma)  # type: ignore[arg-type]


class InfiniteTheta(Right):
    def moved(self, state: Any, theta: Any) -> Any:
        return super().moved(state, frozen(np.full(theta.size, np.inf)))


class AsksAMatrix(Right):
    def ask(self, state: Any, rng: Any) -> Any:
        return super().ask(state, rng).thetas


class Transposed(Right):
    def ask(self, state: Any, rng: Any) -> Any:
        return replace(super().ask(state, rng), candidates=np.zeros((self.n, 3)))


class Uncounted(Asked):
    def __len__(self) -> Any:
        return 3


class NoSigma(Right):
    def ask(self, state: Any, rng: Any) -> Any:
        return replace(super().ask(state, rng), sigma=np.nan)


class WrongLength(Right):
    def ask(self, state: Any, rng: Any) -> Any:
        asked = super().ask(state, rng)
        return Uncounted(asked.candidates, asked.t, sigma=asked.sigma)


class SingleCandidates(Right):
    def ask(self, state: Any, rng: Any) -> Any:
        asked = super().ask(state, rng)
        return Asked(asked.thetas.astype(np.float32), asked.t, sigma=asked.sigma)


class NaNCandidate(Right):
    def ask(self, state: Any, rng: Any) -> Any:
        thetas = super().ask(state, rng).thetas.copy()
        thetas[-1] = np.nan
        return Asked(thetas, state.t, sigma=state.sigma)


class WritableCandidates(Right):
    def ask(self, state: Any, rng: Any) -> Any:
        asked = super().ask(state, rng)
        asked.thetas.setflags(write=True)
        return asked


class MovesTheStart(Right):
    def init(self, theta: Any) -> Any:
        state = super().init(theta)
        if isinstance(theta, np.ndarray) and theta.flags.writeable:
            theta *= 2
        return state


class ChangesStateInAsk(Right):
    def ask(self, state: Any, rng: Any) -> Any:
        asked = super().ask(state, rng)
        object.__setattr__(state, "sigma", state.sigma * 0.9)
        return asked


class FreezesReturns(Right):
    def tell(self, state: Any, asked: Any, returns: Any) -> Any:
        if isinstance(returns, np.ndarray):
            returns.setflags(write=False)
        return super().tell(state, asked, returns)


class RingOfBuffers(Right):
    """Each state's theta is overwritten three updates later."""

    rings: dict[Any, Any] = {}  # noqa: RUF012

    def moved(self, state: Any, theta: Any) -> Any:
        shape = (3, theta.size)
        buffer = self.rings.setdefault(theta.size, np.zeros(shape))[state.t % 3]
        buffer[:] = theta
        return super().moved(state, frozen(buffer[:]))


class RingOfCandidates(Right):
    """Candidates are overwritten when the next state asks."""

    buffers: dict[Any, Any] = {}  # noqa: RUF012

    def ask(self, state: Any, rng: Any) -> Any:
        asked = super().ask(state, rng)
        buffer = self.buffers.setdefault(asked.thetas.shape, asked.thetas.copy())
        buffer[:] = asked.thetas
        return Asked(buffer[:], state.t, sigma=state.sigma)


@dataclass(frozen=True)
class LaterState(State):
    pass


class AnotherType(Right):
    def moved(self, state: Any, theta: Any) -> Any:
        told = super().moved(state, theta)
        return LaterState(told.theta, told.t, told.sigma)


class RoundsInStorage(Right):
    """An attribute that no file keeps decides how the search goes on."""

    def moved(self, state: Any, theta: Any) -> Any:
        told = super().moved(state, theta)
        calls = getattr(state, "calls", 0) + 1
        object.__setattr__(told, "calls", calls)
        object.__setattr__(told, "sigma", 0.3 * 0.99**calls)
        return told


class ChangesDtype(Right):
    def init(self, theta: Any) -> Any:
        return replace(super().init(theta), extra=frozen(np.zeros(2)))

    def moved(self, state: Any, theta: Any) -> Any:
        return replace(super().moved(state, theta), extra=frozen(np.arange(2)))


class ListsAreWorse(Right):
    def tell(self, state: Any, asked: Any, returns: Any) -> Any:
        if isinstance(returns, list):
            returns = returns[::-1]
        return super().tell(state, asked, returns)


class AcceptsAnotherDimension(Right):
    def tell(self, state: Any, asked: Any, returns: Any) -> Any:
        if np.shape(returns) == (len(asked),) and asked.thetas.shape[1] != state.theta.size:
            return state
        return super().tell(state, asked, returns)


class AllFaultsAreNaN(Right):
    """What was no number in every candidate becomes no number in theta."""

    def tell(self, state: Any, asked: Any, returns: Any) -> Any:
        told = super().tell(state, asked, returns)
        if np.ndim(returns) and not np.isfinite(returns).any():
            return replace(told, theta=frozen(told.theta * np.nan))
        return told


class MovesOnTheSecondFlat(Right):
    def told(self, state: Any, asked: Any, values: Any) -> Any:
        told = super().told(state, asked, values)
        if values.min() != values.max():
            return replace(told, extra=0.0)
        theta = told.theta if state.extra == 0 else frozen(told.theta + 0.1)
        return replace(told, theta=theta, extra=1.0)


class WidensOnFlat(Right):
    def told(self, state: Any, asked: Any, values: Any) -> Any:
        if values.min() == values.max():
            sigma = state.sigma * 1e200 if state.sigma < 1e200 else np.inf
            return replace(state, t=state.t + 1, sigma=sigma)
        return super().told(state, asked, values)


class StopsAbove(Right):
    """Content with any positive return: a sphere that has its top at zero does not tell."""

    def told(self, state: Any, asked: Any, values: Any) -> Any:
        if values.max() > 0:
            return replace(state, t=state.t + 1)
        return super().told(state, asked, values)
