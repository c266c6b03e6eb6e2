"""Gates: which updates are kept. Each says how many episodes a decision costs.

A gate sees the incumbent and the proposal as parameter vectors and measures them through
`measure(thetas, start, stop)`, which runs the generation's gate seeds [start, stop) and returns
their (n, stop − start) returns. The caller charges those episodes to the budget. A NaN or infinite
return counts as −inf: it is a fault, so it never speaks for the side that it happened to.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from zorl.common.errors import ConfigurationError, UnknownNameError
from zorl.common.registry import Registry
from zorl.common.types import Matrix, Vector
from zorl.common.validation import at_least, non_negative

Measure = Callable[[Matrix, int, int], Matrix]


@dataclass(frozen=True)
class GateState:
    """What a gate remembers between generations.

    Attributes:
        best: the score to beat of a gate that stores one, −inf at the start.
    """

    best: float = -np.inf


@dataclass(frozen=True)
class Decision:
    """A gate's answer.

    Attributes:
        accepted: whether the proposal becomes the incumbent.
        state: the gate's next state.
        claimed: the score that the gate holds of the policy that it kept, NaN if it holds none.
        episodes: how many episodes it ran for that.
    """

    accepted: bool
    state: GateState
    claimed: float = np.nan
    episodes: int = 0


class Gate(Protocol):
    """Decides between an incumbent and a proposal, both (d,)."""

    def decide(
        self, state: GateState, incumbent: Vector, proposal: Vector, measure: Measure
    ) -> Decision:
        """Keep the proposal or not."""


GATES: Registry[Callable[..., Gate]] = Registry("gate")
register_gate = GATES.register


@register_gate("off")
@dataclass(frozen=True)
class AlwaysAccept:
    """Every update is kept; costs nothing."""

    def decide(
        self, state: GateState, incumbent: Vector, proposal: Vector, measure: Measure
    ) -> Decision:
        """See `Gate`."""
        return Decision(True, state)


@register_gate("stale-best")
@dataclass(frozen=True)
class StaleBest:
    """The published keep-only-improving gate: beat the best mean seen so far, never re-measured.

    Its stored score is the maximum of noisy means, so it claims more than its policy earns, and
    one lucky measurement can stop a search for good. Kept for reproduction and as a warning.

    Args:
        episodes: episodes per decision; the publication uses five.
    """

    episodes: int = 5

    def __post_init__(self) -> None:
        at_least("episodes", self.episodes, 1)

    def decide(
        self, state: GateState, incumbent: Vector, proposal: Vector, measure: Measure
    ) -> Decision:
        """See `Gate`."""
        score = float(_scored(measure(proposal[None], 0, self.episodes)).mean())
        best = max(score, state.best)
        return Decision(score > state.best, GateState(best), best, self.episodes)


@register_gate("blocking")
@dataclass(frozen=True)
class Blocking:
    """SPSA's blocking (Spall 1998, section III.B): refuse a proposal that is worse by too much.

    A proposal is kept when its score is not more than `tolerance` below that of the last one kept.
    The stored score follows what is kept, down too, so that luck does not stop the search for good.

    Args:
        tolerance: how much worse a kept proposal may score, in units of return; about two standard
            deviations of a score. 0 keeps only what is not worse.
        episodes: episodes per decision.
    """

    tolerance: float = 0.0
    episodes: int = 1

    def __post_init__(self) -> None:
        non_negative("tolerance", self.tolerance)
        at_least("episodes", self.episodes, 1)

    def decide(
        self, state: GateState, incumbent: Vector, proposal: Vector, measure: Measure
    ) -> Decision:
        """See `Gate`."""
        score = float(_scored(measure(proposal[None], 0, self.episodes)).mean())
        if np.isfinite(score) and score >= state.best - self.tolerance:
            return Decision(True, GateState(score), score, self.episodes)
        return Decision(False, state, state.best, self.episodes)


@register_gate("paired")
@dataclass(frozen=True)
class Paired:
    """Incumbent and proposal on the same fresh seeds; kept when its mean is not worse.

    Args:
        episodes: episodes of each side per decision.
    """

    episodes: int = 5

    def __post_init__(self) -> None:
        at_least("episodes", self.episodes, 1)

    def decide(
        self, state: GateState, incumbent: Vector, proposal: Vector, measure: Measure
    ) -> Decision:
        """See `Gate`."""
        pair = np.stack([incumbent, proposal])
        old, new = _scored(measure(pair, 0, self.episodes))
        accepted = _mean_difference(old, new) >= 0
        kept = new if accepted else old
        return Decision(accepted, state, float(kept.mean()), 2 * self.episodes)


# Bets of the sequential test: the share of its wealth that it stakes on the next pair.
_STAKES = np.array([0.1, 0.25, 0.5, 0.75, 0.95])


@register_gate("sequential")
@dataclass(frozen=True)
class Sequential:
    """Paired episodes only while undecided: an anytime-valid sign test with a cap.

    The proposal is kept when, on common fresh seeds, it wins so often more than it loses that a
    betting martingale (Shafer 2021; Waudby-Smith and Ramdas 2024) reaches 1/δ, and its mean is
    higher too. By Ville's inequality a proposal that is not more likely to win than to lose is
    kept with probability at most δ, however often the test looks. It is dropped as soon as the
    opposite martingale reaches 1/δ, or when `max_episodes` pairs leave it undecided.

    Args:
        max_episodes: the cap, in pairs.
        error_rate: δ, in (0, 1).
        batch: pairs measured between two looks.
    """

    max_episodes: int = 30
    error_rate: float = 0.1
    batch: int = 5

    def __post_init__(self) -> None:
        at_least("max_episodes", self.max_episodes, 1)
        at_least("batch", self.batch, 1)
        if not 0 < self.error_rate < 1:
            raise ConfigurationError(f"error_rate must be in (0, 1), got {self.error_rate!r}")
        with np.errstate(over="ignore"):
            wealth = np.mean((1 + _STAKES) ** self.max_episodes)
        if wealth < 1 / self.error_rate:
            raise ConfigurationError(
                f"max_episodes = {self.max_episodes} can never accept at an error rate of "
                f"{self.error_rate}: even winning every pair the evidence reaches only "
                f"{wealth:.3g} of {1 / self.error_rate:.3g}"
            )

    def decide(
        self, state: GateState, incumbent: Vector, proposal: Vector, measure: Measure
    ) -> Decision:
        """See `Gate`."""
        both = np.stack([incumbent, proposal])
        pairs = np.zeros((2, 0))
        better = worse = False
        while not (better or worse) and pairs.shape[1] < self.max_episodes:
            done = pairs.shape[1]
            fresh = _scored(measure(both, done, min(done + self.batch, self.max_episodes)))
            pairs = np.concatenate([pairs, fresh], axis=1)
            old, new = pairs
            better = self._proven(new, old) and _mean_difference(old, new) > 0
            worse = self._proven(old, new)
        kept = pairs[1] if better else pairs[0]
        return Decision(better, state, float(kept.mean()), pairs.size)

    def _proven(self, winner: Vector, loser: Vector) -> bool:
        """Whether the martingale that bets on `winner` being the higher ever reached 1/δ."""
        signs = (winner > loser).astype(np.float64) - (winner < loser)
        with np.errstate(over="ignore"):  # infinite evidence is evidence enough
            wealth = np.cumprod(1 + _STAKES[:, None] * signs, axis=1).mean(axis=0)
        return bool(wealth.max() >= 1 / self.error_rate)


def make_gate(name: str, **options: float) -> Gate:
    """The gate registered under `name`, or that "module:Class" leads to."""
    gate = GATES.resolve(name)
    known = inspect.signature(gate).parameters
    for option in options:
        if option not in known:
            raise UnknownNameError(f"option of the gate {name!r}:", option, known)
    return gate(**options)


def _scored(returns: Matrix) -> Matrix:
    """The returns, with −inf for those that are NaN or infinite."""
    return np.where(np.isfinite(returns), returns, -np.inf)


def _mean_difference(old: Vector, new: Vector) -> float:
    """Mean of new − old, 0 for pairs that are equal, two failures included."""
    with np.errstate(invalid="ignore"):
        return float(np.where(new == old, 0.0, new - old).mean())
