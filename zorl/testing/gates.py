"""`check_gate`: the contract of `zorl.search.gates.Gate`, rule by rule."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, is_dataclass
from typing import Any

import numpy as np

from zorl.common.errors import ConfigurationError
from zorl.common.types import Matrix, Vector, frozen
from zorl.common.validation import at_least, positive
from zorl.search.gates import Decision, Gate
from zorl.testing.rules import (
    Breach,
    global_randomness,
    require,
    require_same,
    restored,
    run_rules,
    snapshot,
)

INCUMBENT, PROPOSAL = np.array([1.0, 2.0, -1.0]), np.array([3.0, 5.0, 0.5])
_FAULTS = (np.nan, np.inf, -np.inf)
_TRIALS, _Z = 400, 3.0  # of the test of the error rate


def check_gate(
    gate: Gate[Any],
    *,
    always: bool = False,
    margin: float = 1000.0,
    error_rate: float | None = None,
    max_episodes: int = 10_000,
    skip: Collection[str] = (),
    seed: int = 0,
) -> None:
    """Check that a gate keeps the contract of `zorl.search.gates.Gate`.

    The rules, by name: "decision" (types), "purity", "determinism", "ranges" (each seed at most
    once for each side, in increasing order), "state" (round-trips `zorl.common.storage`),
    "better", "worse", "faults" and "error-rate". A gate may take its first decision on trust:
    "worse" is asked of states that have kept a policy.

    Example:
        >>> from zorl.search.gates import AlwaysAccept, Paired
        >>> check_gate(Paired(episodes=5))
        >>> check_gate(AlwaysAccept(), always=True)

    Args:
        gate: what is checked.
        always: declares a gate that keeps everything; it then must.
        margin: by how much a clearly better or worse proposal differs in every episode. The noise
            of the returns has a standard deviation of 1.
        error_rate: the declared probability of keeping a proposal whose returns have the
            incumbent's distribution; `gate.error_rate` when None, where the gate has one.
        max_episodes: more episodes of one side in one decision are a breach.
        skip: rules not to check.
        seed: of all random numbers.

    Raises:
        AssertionError: a rule is broken; the message says which, what was found and expected.
        ConfigurationError: an argument of the check itself is out of range.
    """
    at_least("max_episodes", max_episodes, 1)
    positive("margin", margin)
    rate = getattr(gate, "error_rate", None) if error_rate is None else error_rate
    if rate is not None and not 0 < rate < 1:
        raise ConfigurationError(f"error_rate must be in (0, 1), got {rate!r}")
    case = _Case(gate, always, margin, rate, max_episodes, seed)
    run_rules(type(gate).__name__, RULES, case, skip)


class _Measure:
    """A `measure` with reproducible returns that keeps account of what was asked of it.

    Args:
        old: (k,) the incumbent's returns on the seeds 0, 1, …
        new: (k,) the proposal's.
    """

    def __init__(self, old: Vector, new: Vector) -> None:
        self._sides = {"incumbent": old, "proposal": new}
        self.next = {"incumbent": 0, "proposal": 0}
        self.given: list[tuple[Matrix, Matrix]] = []

    def __call__(self, thetas: Matrix, start: int, stop: int) -> Matrix:
        """(n, stop − start) returns, after the rules that every call has to keep."""
        shape = np.shape(thetas)
        known = len(shape) == 2 and shape[1] == len(INCUMBENT)
        require(known, f"measure got thetas of shape {shape}", "(n, d), incumbent or proposal")
        limit = len(self._sides["proposal"])
        whole = all(isinstance(i, (int, np.integer)) for i in (start, stop))
        require(
            whole and 0 <= start < stop,
            f"measure was asked for the seeds [{start!r}, {stop!r})",
            "integers 0 ≤ start < stop",
        )
        require(
            stop <= limit, f"measure was asked for {stop} seeds", f"at most {limit} (max_episodes)"
        )
        rows = []
        for theta in thetas:
            side = _side(theta)
            require(
                start >= self.next[side],
                f"measure ran the seeds [{start}, {stop}) of the {side} after it had run those "
                f"up to {self.next[side]}",
                "each seed at most once for each side, in increasing order",
            )
            self.next[side] = stop
            rows.append(self._sides[side][start:stop])
        self.given.append((np.stack(rows), np.stack(rows)))
        return self.given[-1][0]


def _side(theta: Vector) -> str:
    for name, vector in (("incumbent", INCUMBENT), ("proposal", PROPOSAL)):
        if np.array_equal(theta, vector):
            return name
    raise Breach(f"found: measure got theta = {theta}; expected: the incumbent or the proposal")


@dataclass(frozen=True)
class _Case:
    """A gate to check, and what its author says of it."""

    gate: Gate[Any]
    always: bool
    margin: float
    error_rate: float | None
    max_episodes: int
    seed: int

    def noise(self, trial: int = 0) -> tuple[Vector, Vector]:
        """(old, new): returns of two policies as good as each other, with noise in common."""
        rng = np.random.default_rng((self.seed, trial))
        # 10,000 fresh numbers for each trial would be slow; a period of 500 is as good.
        common, old, new = np.tile(rng.normal(0.0, 1.0, (3, 500)), -(-self.max_episodes // 500))
        cut = slice(self.max_episodes)
        return (0.7 * common + 0.7 * old)[cut], (0.7 * common + 0.7 * new)[cut]

    def decide(
        self, old: Vector, new: Vector, state: Any = None, gate: Any = None
    ) -> tuple[Decision[Any], _Measure]:
        """A decision and the account of its measurements."""
        measure = _Measure(old, new)
        state = self.gate.init() if state is None else state
        decision = (gate or self.gate).decide(state, INCUMBENT.copy(), PROPOSAL.copy(), measure)
        return decision, measure

    def states(self) -> list[Any]:
        """States that have kept a policy: one with a first score, one after noisy decisions."""
        first = self.decide(*self.noise(1))[0].state
        later = first
        for trial in range(2, 6):
            later = self.decide(*self.noise(trial), later)[0].state
        return [first, later]


# -- the rules -----------------------------------------------------------------------------------


def _decision(case: _Case) -> None:
    """`init` gives a frozen dataclass; a decision has a bool, a float and such a state."""
    state = case.gate.init()
    frozen_class = is_dataclass(state) and not isinstance(state, type)
    frozen_class = frozen_class and type(state).__dataclass_params__.frozen
    found = f"init returned a {type(state).__name__}"
    require(frozen_class, found, "a frozen dataclass, as NoMemory()")
    kind = type(state)
    for trial in range(4):
        for shift in (0.0, case.margin):
            old, new = case.noise(trial)
            decision, _ = case.decide(old, new + shift, state)
            require(isinstance(decision, Decision), f"a {type(decision).__name__}", "a Decision")
            _plain(decision)
            found = f"a state of type {type(decision.state).__name__}"
            require(type(decision.state) is kind, found, f"a {kind.__name__}, as init returns")
        state = decision.state


def _plain(decision: Decision[Any]) -> None:
    for name, kind in (("accepted", bool), ("claimed", float)):
        value = getattr(decision, name)
        found = f"{name} = {value!r} of type {type(value).__name__}"
        require(type(value) is kind, found, f"a plain {kind.__name__}")


def _purity(case: _Case) -> None:
    """A decision changes neither the policies, the state nor the returns that it measured."""
    for state in (case.gate.init(), *case.states()):
        before = snapshot(state, "state")
        incumbent, proposal = INCUMBENT.copy(), PROPOSAL.copy()
        measure = _Measure(*case.noise())
        case.gate.decide(state, incumbent, proposal, measure)
        for name, now, was in (
            ("incumbent", incumbent, INCUMBENT),
            ("proposal", proposal, PROPOSAL),
        ):
            require(np.array_equal(now, was), f"decide changed the {name} to {now}", f"{was}")
        require_same(before, snapshot(state, "state"), "after decide", "as before")
        for given, kept in measure.given:
            unchanged = np.array_equal(given, kept, equal_nan=True)
            require(unchanged, "decide changed the returns that measure gave", "as measured")
        # Search hands out read-only parameters.
        case.gate.decide(state, frozen(incumbent), frozen(proposal), _Measure(*case.noise()))


def _determinism(case: _Case) -> None:
    """Equal states and returns give equal decisions, without a global random state."""
    first, second = (snapshot(case.gate.init(), "state") for _ in range(2))
    require_same(first, second, "the second state of init", "as the first")
    with global_randomness("decide"):
        case.decide(*case.noise())
    with global_randomness("decide"):
        for state in (case.gate.init(), *case.states()):
            answers = []
            for _ in range(3):
                answers.append(snapshot(case.decide(*case.noise(), state)[0], "decision"))
                case.decide(*case.noise(9), state)
            for again in answers[1:]:
                because = "deciding once more on the same returns"
                require_same(answers[0], again, because, "as at first")


def _ranges(case: _Case) -> None:
    """The seeds of each side are measured at most once, in increasing order, up to a cap."""
    for trial, shift in enumerate((0.0, 0.5, case.margin, -case.margin)):
        old, new = case.noise(trial)
        for state in (case.gate.init(), *case.states()):
            case.decide(old, new + shift, state)


def _state(case: _Case) -> None:
    """A state kept by `zorl.common.storage` takes the same decisions."""
    for state in case.states():
        back = restored(state, case.gate.init(), "gate")
        require_same(snapshot(state, "state"), snapshot(back, "state"), "restored", "as kept")
        for trial in (0, 7):
            answer, again = (
                snapshot(case.decide(*case.noise(trial), s)[0], "decision") for s in (state, back)
            )
            require_same(answer, again, "decided from the restored state", "as from the kept one")


def _better(case: _Case) -> None:
    """A proposal that is far better in every episode is kept."""
    for state in (case.gate.init(), *case.states()):
        old, new = case.noise()
        accepted = case.decide(old, new + case.margin, state)[0].accepted
        require(accepted, f"a proposal better by {case.margin:g} in every episode refused", "kept")


def _worse(case: _Case) -> None:
    """A proposal that is far worse in every episode is refused (or always kept, if declared)."""
    for state in case.states():
        old, new = case.noise()
        decision, _ = case.decide(old, new - case.margin, state)
        what = f"a proposal worse by {case.margin:g} in every episode"
        if case.always:
            require(decision.accepted, f"{what} refused", "kept, as declared by always=True")
            continue
        require(not decision.accepted, f"{what} kept", "refused (always=True declares otherwise)")
        accepted = case.decide(old, new + case.margin, decision.state)[0].accepted
        require(accepted, "after that, a far better one refused", "kept")


def _faults(case: _Case) -> None:
    """A NaN or infinite return never speaks for the side that it happened to."""
    if case.always:
        return
    old, new = case.noise()
    better, worse = new + case.margin, new - case.margin
    for fault in _FAULTS:
        broken = np.full(case.max_episodes, fault)
        once = worse.copy()
        once[0] = fault  # the first episode: no gate can avoid it
        for state in (case.gate.init(), *case.states()):
            decision, _ = case.decide(old, broken, state)
            found = f"a proposal that returned {fault} in every episode kept"
            require(not decision.accepted, found, "refused")
            after = decision.state
            for both in (False, True):
                if both:
                    after = case.decide(broken, broken, state)[0].state
                found = f"after {fault} in every episode, a far better proposal refused for good"
                require(case.decide(old, better, after)[0].accepted, found, "kept")
        for state in case.states():
            found = f"a far worse proposal kept for the {fault} of its first episode"
            require(not case.decide(old, once, state)[0].accepted, found, "refused")
            found = f"a far better proposal refused while the incumbent returned {fault}"
            require(case.decide(broken, better, state)[0].accepted, found, "kept")


def _error_rate(case: _Case) -> None:
    """Under the null, proposals are kept at most as often as declared."""
    if case.error_rate is None or case.always:
        return
    kept = [case.decide(*case.noise(100 + trial))[0].accepted for trial in range(_TRIALS)]
    share, rate = float(np.mean(kept)), case.error_rate
    limit = rate + _Z * np.sqrt(rate * (1 - rate) / _TRIALS)
    require(
        share <= limit,
        f"{share:.3f} of {_TRIALS} proposals no better than the incumbent kept",
        f"at most error_rate = {rate:g} (up to {limit:.3f} by chance)",
    )


RULES: dict[str, Callable[[_Case], None]] = {
    "decision": _decision,
    "purity": _purity,
    "determinism": _determinism,
    "ranges": _ranges,
    "state": _state,
    "better": _better,
    "worse": _worse,
    "faults": _faults,
    "error-rate": _error_rate,
}
