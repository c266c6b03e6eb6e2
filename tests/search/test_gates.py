"""What each gate accepts, what it costs, and the error rate that one of them promises."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from zorl.common.errors import ConfigurationError, UnknownNameError
from zorl.search.gates import (
    GATES,
    AlwaysAccept,
    GateState,
    Paired,
    Sequential,
    StaleBest,
    make_gate,
)

OLD, NEW = np.array([1.0, 2.0]), np.array([3.0, 5.0])
START = GateState()


class Measured:
    """A `measure` over fixed returns that records what was asked of it.

    `old` and `new` are the returns of the incumbent and the proposal on each of the seeds.
    """

    def __init__(self, new, old=None):
        self.new = np.asarray(new, dtype=float)
        self.old = np.zeros(len(self.new)) if old is None else np.asarray(old, dtype=float)
        self.ranges = []
        self.episodes = 0

    def __call__(self, thetas, start, stop):
        assert 0 <= start < stop <= len(self.new)
        sides = {1.0: self.old, 3.0: self.new}
        rows = np.stack([sides[theta[0]][start:stop] for theta in thetas])
        assert all(theta.tolist() in ([1, 2], [3, 5]) for theta in thetas)
        self.ranges.append((start, stop))
        self.episodes += rows.size
        return rows


def decide(gate, new, old=None, state=START):
    """The decision, after the checks that hold for every gate."""
    measure = Measured(new, old)
    decision = gate.decide(state, OLD, NEW, measure)
    assert type(decision.accepted) is bool  # numpy's would turn the run's counters into numpy's
    assert type(decision.claimed) is float and type(decision.state.best) is float
    assert decision.episodes == measure.episodes
    stops = [0, *(stop for _, stop in measure.ranges)]
    assert [start for start, _ in measure.ranges] == stops[:-1]  # each seed once, in order
    return decision, measure


# -- always, stale best, paired ------------------------------------------------------------------


def test_always_accept_measures_nothing():
    decision, measure = decide(AlwaysAccept(), [])
    assert decision.accepted and decision.episodes == 0 and measure.ranges == []
    assert decision.state is START and np.isnan(decision.claimed)


def test_stale_best_measures_the_proposal_alone_and_remembers_the_maximum():
    gate, state = StaleBest(episodes=2), START
    history = []
    for new in ([-3, -1], [-2, -2], [-5, 3], [-1, -1], [0, -1], [0, 0]):
        decision, measure = decide(gate, new, state=state)
        assert (decision.episodes, measure.ranges) == (2, [(0, 2)])
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


def test_one_lucky_measurement_stops_a_stale_best_search_for_good():
    gate = StaleBest(episodes=1)
    state = decide(gate, [10.0])[0].state
    for _ in range(5):
        decision, _ = decide(gate, [9.0], old=[-100.0], state=state)  # far better than the kept
        state = decision.state
        assert not decision.accepted
        assert (state.best, decision.claimed) == (10.0, 10.0)


@pytest.mark.parametrize("fault", [np.nan, np.inf, -np.inf])
def test_a_fault_is_not_the_best_for_ever(fault):
    gate = StaleBest(episodes=2)
    decision, _ = decide(gate, [5.0, fault])
    assert not decision.accepted and decision.state.best == -np.inf
    after, _ = decide(gate, [-7.0, -7.0], state=decision.state)
    assert after.accepted and after.state.best == -7.0


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
def test_paired_keeps_what_is_not_worse_on_the_same_seeds(new, old, accepted, claimed):
    decision, measure = decide(Paired(episodes=3), new, old)
    assert decision.accepted is accepted
    assert decision.claimed == pytest.approx(claimed, rel=1e-12)
    assert (decision.episodes, measure.ranges) == (6, [(0, 3)])
    assert decision.state is START


def test_paired_differences_do_not_see_what_both_sides_share():
    common = np.random.default_rng(0).normal(0, 1000, 50)
    for gain, accepted in ((0.01, True), (-0.01, False)):
        assert decide(Paired(episodes=50), common + gain, common)[0].accepted is accepted


@pytest.mark.parametrize("fault", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    "gate", [Paired(episodes=8), Sequential(max_episodes=8, batch=1, error_rate=0.3)]
)
def test_a_fault_speaks_against_the_side_that_it_happened_to(gate, fault):
    good, bad = np.full(8, -5.0), np.full(8, fault)
    assert decide(gate, good, bad)[0].accepted is True
    worse = decide(gate, bad, good)[0]
    assert worse.accepted is False and worse.claimed == -5.0
    mixed = np.where(np.arange(8) < 4, bad, good)
    assert decide(gate, mixed, good)[0].accepted is False
    assert decide(gate, mixed, mixed[::-1])[0].accepted is False


# -- sequential ----------------------------------------------------------------------------------


def first_crossing(signs, delta):
    """After how many pairs the evidence for "wins more" reaches 1/δ, by hand; None if never."""
    fortunes = dict.fromkeys((0.1, 0.25, 0.5, 0.75, 0.95), 1.0)
    for count, sign in enumerate(signs, 1):
        for stake in fortunes:
            fortunes[stake] *= 1 + stake * sign
        if sum(fortunes.values()) / 5 >= 1 / delta:
            return count
    return None


def test_winning_every_pair_convinces_after_five_and_losing_every_pair_too():
    assert first_crossing([1] * 30, 0.1) == 5
    gate = Sequential(max_episodes=30, error_rate=0.1, batch=1)
    won, measure = decide(gate, np.ones(30))
    assert won.accepted and won.episodes == 10 and won.claimed == 1.0
    assert measure.ranges == [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]
    lost, _ = decide(gate, -np.ones(30))
    assert not lost.accepted and lost.episodes == 10 and lost.claimed == 0.0
    coarse, measure = decide(Sequential(max_episodes=30, error_rate=0.1, batch=4), np.ones(30))
    assert coarse.accepted and measure.ranges == [(0, 4), (4, 8)]


def test_an_undecided_test_stops_at_its_cap_and_never_measures_beyond():
    gate = Sequential(max_episodes=12, error_rate=0.1, batch=5)
    alternating = np.tile([1.0, -1.0], 6)
    decision, measure = decide(gate, alternating)
    assert not decision.accepted and decision.episodes == 24
    assert measure.ranges == [(0, 5), (5, 10), (10, 12)]
    ties, measure = decide(gate, np.zeros(12))
    assert not ties.accepted and ties.episodes == 24


def test_ties_bet_nothing():
    gate = Sequential(max_episodes=30, error_rate=0.1, batch=1)
    new = np.zeros(30)
    new[[3, 8, 9, 17, 25]] = 2.0
    decision, _ = decide(gate, new)
    assert decision.accepted and decision.episodes == 2 * 26


def test_wins_that_lose_on_the_mean_are_not_kept():
    gate = Sequential(max_episodes=12, error_rate=0.1, batch=6)
    often = np.array([1, 1, 1, 1, 1, -100] + [1] * 6, dtype=float)
    assert first_crossing(np.sign(often), 0.1) == 5
    decision, _ = decide(gate, often)
    assert not decision.accepted and decision.episodes == 24
    recovers = np.array([1, 1, 1, 1, 1, -100] + [50] * 6, dtype=float)
    assert decide(gate, recovers)[0].accepted


@pytest.mark.parametrize(("delta", "batch"), [(0.1, 1), (0.3, 1), (0.1, 4)])
def test_false_acceptances_stay_below_delta_over_all_sequences_of_signs(delta, batch):
    """The null in full: every sequence of ten fair wins and losses, each with chance 2⁻¹⁰."""
    gate = Sequential(max_episodes=10, error_rate=delta, batch=batch)
    accepted = 0
    for signs in itertools.product([1.0, -1.0], repeat=10):
        decision, _ = decide(gate, signs)
        for_it, against = first_crossing(signs, delta), first_crossing(np.negative(signs), delta)
        looks = decision.episodes // 2
        if decision.accepted:
            assert for_it is not None and for_it <= looks
        elif looks < 10:
            assert against is not None and against <= looks
        accepted += decision.accepted
    assert 0.2 * delta < accepted / 2**10 <= delta  # and the bound is not met by never accepting


@pytest.mark.parametrize("ties", [0.0, 0.7])
@pytest.mark.parametrize("batch", [2, 5])
def test_false_acceptances_stay_below_delta_with_optional_stopping(ties, batch):
    rng = np.random.default_rng(0)
    gate = Sequential(max_episodes=30, error_rate=0.1, batch=batch)
    common = rng.normal(0, 50, (2000, 30))
    noise = rng.standard_t(2, (2000, 30)) * (rng.random((2000, 30)) >= ties)
    pairs = zip(common, noise, strict=True)
    accepted = [decide(gate, old + difference, old)[0].accepted for old, difference in pairs]
    assert 0.01 < np.mean(accepted) <= 0.1


def test_a_clear_improvement_is_seen_in_few_episodes():
    rng = np.random.default_rng(1)
    gate = Sequential(max_episodes=30, error_rate=0.1, batch=5)
    common = rng.normal(0, 50, (300, 30))
    better = [decide(gate, c + rng.normal(2, 1, 30), c)[0] for c in common]
    worse = [decide(gate, c + rng.normal(-2, 1, 30), c)[0] for c in common]
    assert np.mean([d.accepted for d in better]) > 0.99
    assert np.mean([d.accepted for d in worse]) < 0.01
    for decisions in (better, worse):
        assert np.mean([d.episodes for d in decisions]) < 14  # a fixed test would take 60


def test_a_modest_improvement_is_seen_more_often_with_more_pairs():
    rng = np.random.default_rng(2)
    returns = rng.normal(0.6, 1, (300, 60))
    rates = [
        np.mean([decide(Sequential(cap, 0.1, 5), row)[0].accepted for row in returns])
        for cap in (10, 30, 60)
    ]
    assert rates[0] + 0.15 < rates[1] < rates[2] - 0.05
    assert rates[2] > 0.9


def test_long_tests_do_not_overflow():
    gate = Sequential(max_episodes=5000, error_rate=1e-9, batch=5000)
    assert decide(gate, np.ones(5000))[0].accepted
    assert not decide(gate, -np.ones(5000))[0].accepted
    assert not decide(gate, np.zeros(5000))[0].accepted


# -- settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("cap", "delta"), [(4, 0.1), (1, 0.1), (5, 0.05), (30, 1e-12)])
def test_settings_that_can_never_accept_are_refused(cap, delta):
    assert first_crossing([1] * cap, delta) is None
    with pytest.raises(ConfigurationError, match=f"max_episodes = {cap} can never accept"):
        Sequential(max_episodes=cap, error_rate=delta)


def test_the_shortest_test_that_can_accept_is_allowed():
    assert decide(Sequential(max_episodes=5, error_rate=0.1), np.ones(5))[0].accepted


@pytest.mark.parametrize("delta", [0.0, 1.0, -0.1, 2.0, np.nan])
def test_an_error_rate_outside_of_0_1_is_refused(delta):
    with pytest.raises(ConfigurationError, match=r"error_rate must be in \(0, 1\)"):
        Sequential(error_rate=delta)


@pytest.mark.parametrize("value", [0, -1, 2.0, True, "5", None])
@pytest.mark.parametrize(
    ("gate", "option"),
    [
        (StaleBest, "episodes"),
        (Paired, "episodes"),
        (Sequential, "max_episodes"),
        (Sequential, "batch"),
    ],
)
def test_counts_must_be_positive_integers(gate, option, value):
    with pytest.raises(ConfigurationError, match=f"{option} must be an integer ≥ 1"):
        gate(**{option: value})


def test_gates_are_made_by_name():
    assert make_gate("off") == AlwaysAccept()
    assert make_gate("stale-best", episodes=3) == StaleBest(3)
    assert make_gate("paired") == Paired(5)
    assert make_gate("sequential", error_rate=0.2, batch=2) == Sequential(30, 0.2, 2)
    assert set(GATES) == {"off", "stale-best", "blocking", "paired", "sequential"}


def test_unknown_gates_and_options_are_named_with_their_neighbours():
    with pytest.raises(UnknownNameError, match="unknown gate 'pared'; did you mean 'paired'"):
        make_gate("pared")
    with pytest.raises(UnknownNameError, match=r"gate 'paired': 'episode'.*mean 'episodes'"):
        make_gate("paired", episode=3)
    with pytest.raises(UnknownNameError, match="gate 'off': 'episodes'; known: none"):
        make_gate("off", episodes=3)
