"""Gates: which updates are kept.

A gate sees the incumbent and the proposal as parameter vectors and measures them through
`measure(thetas, start, stop)`, which runs the generation's gate seeds [start, stop) and returns
their (n, stop − start) returns. The search counts those episodes and charges them to the budget.
A NaN or infinite return counts as −inf: it is a fault, so it never speaks for the side that it
happened to.

A gate may remember things between generations: `init` gives the state that it starts from, a
frozen dataclass of numbers and arrays, and each decision gives the next one. The state is saved
and restored with the search's.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from zorl.common.errors import ConfigurationError, UnknownNameError
from zorl.common.registry import Registry
from zorl.common.types import Matrix, Vector
from zorl.common.validation import at_least, non_negative

Measure = Callable[[Matrix, int, int], Matrix]
G = TypeVar("G")


@dataclass(frozen=True)
class Decision(Generic[G]):
    """A gate's answer.

    Attributes:
        accepted: whether the proposal becomes the incumbent.
        state: the gate's next state.
        claimed: the score that the gate holds of the policy that it kept, NaN if it holds none.
    """

    accepted: bool
    state: G
    claimed: float = np.nan


class Gate(Protocol[G]):
    """Decides between an incumbent and a proposal, both (d,); G is the type of its state."""

    def init(self) -> G:
        """The state before the first decision, a frozen dataclass; `NoMemory()` if it needs none.

        A restored state has the same fields, and arrays of the same shapes.
        """

    def decide(
        self, state: G, incumbent: Vector, proposal: Vector, measure: Measure
    ) -> Decision[G]:
        """Keep the proposal or not.

        Args:
            state: of `init` or of the decision before.
            incumbent: (d,) what is kept otherwise; read-only.
            proposal: (d,) read-only.
            measure: (n, d) parameters and a range [start, stop) of this generation's gate seeds
                → (n, stop − start) returns. Each seed at most once for each side.
        """


@dataclass(frozen=True)
class NoMemory:
    """The state of a gate that remembers nothing."""


@dataclass(frozen=True)
class ScoreToBeat:
    """The state of a gate that stores a score.

    Attributes:
        best: the score to beat, −inf at the start.
    """

    best: float = -np.inf


GATES: Registry[Callable[..., Gate[Any]]] = Registry("gate", "zorl.search")
register_gate = GATES.register


@register_gate("off")
@dataclass(frozen=True)
class AlwaysAccept:
    """Every update is kept; costs nothing."""

    def init(self) -> NoMemory:
        """See `Gate`."""
        return NoMemory()

    def decide(
        self, state: NoMemory, incumbent: Vector, proposal: Vector, measure: Measure
    ) -> Decision[NoMemory]:
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

    def init(self) -> ScoreToBeat:
        """See `Gate`."""
        return ScoreToBeat()

    def decide(
        self, state: ScoreToBeat, incumbent: Vector, proposal: Vector, measure: Measure
    ) -> Decision[ScoreToBeat]:
        """See `Gate`."""
        score = _score(proposal, measure, self.episodes)
        best = max(score, state.best)
        return Decision(score > state.best, ScoreToBeat(best), best)


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

    def init(self) -> ScoreToBeat:
        """See `Gate`."""
        return ScoreToBeat()

    def decide(
        self, state: ScoreToBeat, incumbent: Vector, proposal: Vector, measure: Measure
    ) -> Decision[ScoreToBeat]:
        """See `Gate`."""
        score = _score(proposal, measure, self.episodes)
        if np.isfinite(score) and score >= state.best - self.tolerance:
            return Decision(True, ScoreToBeat(score), score)
        return Decision(False, state, state.best)


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

    def init(self) -> NoMemory:
        """See `Gate`."""
        return NoMemory()

    def decide(
        self, state: NoMemory, incumbent: Vector, proposal: Vector, measure: Measure
    ) -> Decision[NoMemory]:
        """See `Gate`."""
        pair = np.stack([incumbent, proposal])
        old, new = scored(measure(pair, 0, self.episodes))
        accepted = _mean_difference(old, new) >= 0
        kept = new if accepted else old
        return Decision(accepted, state, float(kept.mean()))


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

    def init(self) -> NoMemory:
        """See `Gate`."""
        return NoMemory()

    def decide(
        self, state: NoMemory, incumbent: Vector, proposal: Vector, measure: Measure
    ) -> Decision[NoMemory]:
        """See `Gate`."""
        both = np.stack([incumbent, proposal])
        pairs = np.zeros((2, 0))
        better = worse = False
        while not (better or worse) and pairs.shape[1] < self.max_episodes:
            done = pairs.shape[1]
            fresh = scored(measure(both, done, min(done + self.batch, self.max_episodes)))
            pairs = np.concatenate([pairs, fresh], axis=1)
            old, new = pairs
            better = self._proven(new, old) and _mean_difference(old, new) > 0
            worse = self._proven(old, new)
        kept = pairs[1] if better else pairs[0]
        return Decision(better, state, float(kept.mean()))

    def _proven(self, winner: Vector, loser: Vector) -> bool:
        """Whether the martingale that bets on `winner` being the higher ever reached 1/δ."""
        signs = (winner > loser).astype(np.float64) - (winner < loser)
        with np.errstate(over="ignore"):  # infinite evidence is evidence enough
            wealth = np.cumprod(1 + _STAKES[:, None] * signs, axis=1).mean(axis=0)
        return bool(wealth.max() >= 1 / self.error_rate)


def make_gate(gate: str | Gate[Any], **options: Any) -> Gate[Any]:
    """A gate from its name.

    Args:
        gate: a name in `GATES`, "module:Class", or a gate, which is returned as it is.
        options: arguments of the named gate.

    Raises:
        UnknownNameError: no gate has the name, or it has no such option.
        ConfigurationError: an option is out of range, or the object is no gate.
    """
    if not isinstance(gate, str):
        if options:
            raise ConfigurationError("options belong to a gate given by name, not to an object")
        return checked_gate(gate)
    make = GATES.resolve(gate)
    known = inspect.signature(make).parameters
    for option in options:
        if option not in known:
            raise UnknownNameError(f"option of the gate {gate!r}:", option, known)
    return checked_gate(make(**options))


def checked_gate(gate: Any) -> Gate[Any]:
    """The object, if it is a gate.

    Raises:
        ConfigurationError: it lacks `init` or `decide`, or is a class.
    """
    verbs = all(callable(getattr(gate, verb, None)) for verb in ("init", "decide"))
    if not verbs or isinstance(gate, type):
        raise ConfigurationError(
            f"a gate is an object with `init` and `decide`, as Paired(), got {gate!r}"
        )
    found: Gate[Any] = gate
    return found


def _score(theta: Vector, measure: Measure, episodes: int) -> float:
    """The mean return of one policy over the first seeds."""
    return float(scored(measure(theta[None], 0, episodes)).mean())


def scored(returns: Matrix) -> Matrix:
    """The returns, with −inf for those that are NaN or infinite."""
    return np.where(np.isfinite(returns), returns, -np.inf)


def _mean_difference(old: Vector, new: Vector) -> float:
    """Mean of new − old, 0 for pairs that are equal, two failures included."""
    with np.errstate(invalid="ignore"):
        return float(np.where(new == old, 0.0, new - old).mean())
