"""What each gate accepts and measures; `test_gates_sequential.py` has the sequential one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gate_toys import FAULTS, Patient, decide

from zorl.common.errors import ConfigurationError, UnknownNameError
from zorl.search import Search
from zorl.search.gates import (
    GATES,
    AlwaysAccept,
    Blocking,
    Gate,
    NoMemory,
    Paired,
    ScoreToBeat,
    Sequential,
    StaleBest,
    make_gate,
)


def test_always_accept_measures_nothing() -> None:
    decision, measured = decide(AlwaysAccept(), [])
    assert decision.accepted and measured.ranges == []
    assert decision.state == NoMemory() and np.isnan(decision.claimed)


# -- stale best ----------------------------------------------------------------------------------


def test_stale_best_measures_the_proposal_alone_and_remembers_the_maximum() -> None:
    gate = StaleBest(episodes=2)
    state = gate.init()
    assert state == ScoreToBeat(-np.inf)
    history = []
    for new in ([-3, -1], [-2, -2], [-5, 3], [-1, -1], [0, -1], [0, 0]):
        decision, measured = decide(gate, new, state=state)
        assert (measured.episodes, measured.ranges) == (2, [(0, 2)])
        state = decision.state
        history.append((decision.accepted, state.best, decision.claimed))
    assert history == [
        (True, -2.0, -2.0),  # anything beats nothing
        (False, -2.0, -2.0),  # a tie is no improvement
        (True, -1.0, -1.0),
        (False, -1.0, -1.0),
        (True, -0.5, -0.5),
        (True, 0.0, 0.0),
    ]


def test_one_lucky_measurement_stops_a_stale_best_search_for_good() -> None:
    gate = StaleBest(episodes=1)
    state = decide(gate, [10.0])[0].state
    for _ in range(5):
        decision, _ = decide(gate, [9.0], old=[-100.0], state=state)  # far better than the kept
        state = decision.state
        assert not decision.accepted
        assert (state.best, decision.claimed) == (10.0, 10.0)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_not_the_best_for_ever(fault: float) -> None:
    gate = StaleBest(episodes=2)
    decision, _ = decide(gate, [5.0, fault])
    assert not decision.accepted and decision.state.best == -np.inf
    after, _ = decide(gate, [-7.0, -7.0], state=decision.state)
    assert after.accepted and after.state.best == -7.0


# -- blocking ------------------------------------------------------------------------------------


def test_blocking_refuses_what_is_worse_by_more_than_the_tolerance() -> None:
    gate = Blocking(tolerance=1.5, episodes=2)
    state = gate.init()
    history = []
    for new in ([-3, -1], [-4, -3], [-5, -5], [-6, -4.5], [2, 4], [1, 2], [1, 1.5]):
        decision, measured = decide(gate, new, state=state)
        assert (measured.episodes, measured.ranges) == (2, [(0, 2)])
        state = decision.state
        assert decision.claimed == state.best
        history.append((decision.accepted, state.best))
    assert history == [
        (True, -2.0),  # anything beats nothing
        (True, -3.5),  # worse by the tolerance exactly; the score to beat follows, down too
        (True, -5.0),
        (True, -5.25),
        (True, 3.0),
        (True, 1.5),
        (True, 1.25),
    ]
    refused, _ = decide(gate, [-0.5, -0.25], state=state)  # −0.375, and 1.25 − 1.5 = −0.25
    assert not refused.accepted
    assert refused.state == state and refused.claimed == 1.25


def test_blocking_without_tolerance_keeps_what_is_not_worse() -> None:
    gate = Blocking()
    state = decide(gate, [1.0])[0].state
    assert decide(gate, [1.0], state=state)[0].accepted
    assert not decide(gate, [np.nextafter(1.0, 0.0)], state=state)[0].accepted


@pytest.mark.parametrize("fault", FAULTS)
def test_blocking_keeps_no_fault_not_even_as_the_first(fault: float) -> None:
    gate = Blocking(tolerance=5.0, episodes=2)
    decision, _ = decide(gate, [5.0, fault])
    assert not decision.accepted and decision.state == gate.init()


# -- paired --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("new", "old", "accepted", "claimed"),
    [
        ([1, 2, 3], [1, 2, 2], True, 2.0),
        ([1, 2, 3], [1, 2, 4], False, 7 / 3),
        ([3, 2, 1], [1, 2, 3], True, 2.0),  # a tie is kept: the search may drift on a plateau
        ([-200, -200, -200], [-200, -200, -200], True, -200.0),
        ([100, 0, 0], [1, 1, 1], True, 100 / 3),  # the mean decides, not the number of wins
    ],
)
def test_paired_keeps_what_is_not_worse_on_the_same_seeds(
    new: list[int], old: list[int], accepted: bool, claimed: float
) -> None:
    decision, measured = decide(Paired(episodes=3), new, old)
    assert decision.accepted is accepted
    assert decision.claimed == pytest.approx(claimed, rel=1e-12)
    assert (measured.episodes, measured.ranges) == (6, [(0, 3)])


def test_paired_differences_do_not_see_what_both_sides_share() -> None:
    common = np.random.default_rng(0).normal(0, 1000, 50)
    for shift, accepted in ((0.01, True), (-0.01, False)):
        assert decide(Paired(episodes=50), common + shift, common)[0].accepted is accepted


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(
    "gate", [Paired(episodes=8), Sequential(max_episodes=8, batch=1, error_rate=0.3)]
)
def test_a_fault_speaks_against_the_side_that_it_happened_to(gate: Gate[Any], fault: float) -> None:
    good, bad = np.full(8, -5.0), np.full(8, fault)
    assert decide(gate, good, bad)[0].accepted is True
    worse = decide(gate, bad, good)[0]
    assert worse.accepted is False and worse.claimed == -5.0
    mixed = np.where(np.arange(8) < 4, bad, good)
    assert decide(gate, mixed, good)[0].accepted is False
    assert decide(gate, mixed, mixed[::-1])[0].accepted is False


# -- settings and names --------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0, -1, 2.0, True, "5", None])
@pytest.mark.parametrize(
    ("gate", "option"),
    [
        (StaleBest, "episodes"),
        (Blocking, "episodes"),
        (Paired, "episodes"),
        (Sequential, "max_episodes"),
        (Sequential, "batch"),
    ],
)
def test_counts_must_be_positive_integers(gate: Any, option: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"{option} must be an integer ≥ 1"):
        gate(**{option: value})


def test_a_negative_tolerance_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="tolerance must be"):
        Blocking(tolerance=-1.0)


def test_gates_are_made_by_name() -> None:
    assert make_gate("off") == AlwaysAccept()
    assert make_gate("stale-best", episodes=3) == StaleBest(3)
    assert make_gate("blocking", tolerance=2.0) == Blocking(2.0, 1)
    assert make_gate("paired") == Paired(5)
    assert make_gate("sequential", error_rate=0.2, batch=2) == Sequential(30, 0.2, 2)
    assert make_gate("gate_toys:Patient", patience=3) == Patient(3)
    assert set(GATES) >= {"off", "stale-best", "blocking", "paired", "sequential"}


def test_a_gate_is_taken_as_it_is() -> None:
    gate = Patient()
    assert make_gate(gate) is gate
    with pytest.raises(ConfigurationError, match="options belong to a gate given by name"):
        make_gate(gate, patience=3)


class Forgot:
    """No `init`."""

    def decide(self, *arguments: Any) -> None:
        raise AssertionError


@pytest.mark.parametrize("what", [Forgot(), Paired, 3, None])
def test_what_is_no_gate_is_refused(what: Any) -> None:
    with pytest.raises(ConfigurationError, match="an object with `init` and `decide`"):
        make_gate(what)
    with pytest.raises(ConfigurationError, match="an object with `init` and `decide`"):
        Search(None, None, None, what)  # type: ignore[arg-type]


def test_unknown_gates_and_options_are_named_with_their_neighbours() -> None:
    with pytest.raises(UnknownNameError, match="unknown gate 'pared'; did you mean 'paired'"):
        make_gate("pared")
    with pytest.raises(UnknownNameError, match=r"gate 'paired': 'episode'.*mean 'episodes'"):
        make_gate("paired", episode=3)
    with pytest.raises(UnknownNameError, match="gate 'off': 'episodes'; known: none"):
        make_gate("off", episodes=3)
