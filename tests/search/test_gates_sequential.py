"""The sequential gate: its evidence by hand, what it costs, and the error rate that it promises."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from gate_toys import decide, first_crossing

from zorl.common.errors import ConfigurationError
from zorl.search.gates import Sequential

STAKES = [Fraction(share) for share in ("1/10", "1/4", "1/2", "3/4", "19/20")]


def wealth(signs: str) -> Fraction:
    """What one coin is worth, in rational numbers, after wins (+), losses (-) and ties (=)."""
    worth = Fraction(0)
    for stake in STAKES:
        fortune = Fraction(1, len(STAKES))
        for sign in signs:
            fortune *= 1 + stake * {"+": 1, "-": -1, "=": 0}[sign]
        worth += fortune
    return worth


def returns(signs: str, total: int) -> np.ndarray:
    """Differences with these signs, then ties; wins are worth more than losses."""
    values = [{"+": 10.0, "-": -1.0, "=": 0.0}[sign] for sign in signs]
    return np.array(values + [0.0] * (total - len(values)))


SEQUENCES = ["+" * 3, "+" * 5, "+" * 9, "++-+++", "-++++=+++", "+-+-+++++++", "==+++++"]


@pytest.mark.parametrize("signs", SEQUENCES)
@pytest.mark.parametrize("tight", [True, False])
def test_it_accepts_at_the_first_pair_whose_evidence_reaches_1_over_delta(
    signs: str, tight: bool
) -> None:
    """Each sequence ends at its maximum; 1/δ lies just below it, or just above all before it.

    In the first case 1.01/δ would accept too late, in the second 0.99/δ one pair too early.
    """
    peak = wealth(signs)
    before = max(wealth(signs[:k]) for k in range(len(signs)))
    level = peak * Fraction(999, 1000) if tight else before * Fraction(1001, 1000)
    assert before < level < peak
    gate = Sequential(max_episodes=30, error_rate=float(1 / level), batch=1)
    decision, measured = decide(gate, returns(signs, 30))
    assert decision.accepted and measured.episodes == 2 * len(signs)
    mirrored = returns(signs.translate(str.maketrans("+-", "-+")), 30)
    decision, measured = decide(gate, mirrored)
    assert not decision.accepted and measured.episodes == 2 * len(signs)


@pytest.mark.parametrize("signs", SEQUENCES)
def test_evidence_just_below_1_over_delta_is_not_enough(signs: str) -> None:
    """The level is 1.001 times what the sequence reaches; nothing but ties comes after it."""
    gate = Sequential(20, error_rate=float(1 / (wealth(signs) * Fraction(1001, 1000))), batch=1)
    for sign in (1, -1):
        decision, measured = decide(gate, sign * returns(signs, 20))
        assert not decision.accepted and measured.episodes == 40  # undecided to the end


@pytest.mark.parametrize("pairs", range(2, 8))
def test_reaching_1_over_delta_exactly_is_enough(pairs: int) -> None:
    stakes = np.array([float(stake) for stake in STAKES])
    reached = float(np.cumprod(1 + stakes[:, None] * np.ones(pairs), axis=1).mean(axis=0)[-1])
    rates = [1 / reached]
    for _ in range(3):
        rates.append(float(np.nextafter(rates[-1], 1.0)))
    rate = next(rate for rate in rates if 1 / rate <= reached)  # 1/δ rounds to the level or below
    gate = Sequential(max_episodes=pairs, error_rate=rate, batch=1)
    decision, measured = decide(gate, np.ones(pairs))
    assert decision.accepted and measured.episodes == 2 * pairs


def test_evidence_that_was_reached_between_two_looks_counts() -> None:
    """Five wins reach 10 ≤ 1/δ; the loss after them, before the look, takes that back."""
    assert wealth("+++++-") < 10 <= wealth("+++++")
    gate = Sequential(max_episodes=6, error_rate=0.1, batch=6)
    assert decide(gate, returns("+++++-", 6))[0].accepted
    assert not decide(gate, -returns("+++++-", 6))[0].accepted


def test_winning_every_pair_convinces_after_five_and_losing_every_pair_too() -> None:
    assert first_crossing([1] * 30, 10) == 5
    gate = Sequential(max_episodes=30, error_rate=0.1, batch=1)
    won, measured = decide(gate, np.ones(30))
    assert won.accepted and won.claimed == 1.0
    assert measured.ranges == [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]
    lost, measured = decide(gate, -np.ones(30))
    assert not lost.accepted and measured.episodes == 10 and lost.claimed == 0.0
    coarse, measured = decide(Sequential(max_episodes=30, error_rate=0.1, batch=4), np.ones(30))
    assert coarse.accepted and measured.ranges == [(0, 4), (4, 8)]


def test_an_undecided_test_stops_at_its_cap_and_never_measures_beyond() -> None:
    gate = Sequential(max_episodes=12, error_rate=0.1, batch=5)
    decision, measured = decide(gate, np.tile([1.0, -1.0], 6))
    assert not decision.accepted
    assert measured.ranges == [(0, 5), (5, 10), (10, 12)]
    ties, measured = decide(gate, np.zeros(12))
    assert not ties.accepted and measured.episodes == 24


def test_ties_bet_nothing() -> None:
    gate = Sequential(max_episodes=30, error_rate=0.1, batch=1)
    new = np.zeros(30)
    new[[3, 8, 9, 17, 25]] = 2.0
    decision, measured = decide(gate, new)
    assert decision.accepted and measured.episodes == 2 * 26


def test_wins_that_lose_on_the_mean_are_not_kept() -> None:
    gate = Sequential(max_episodes=12, error_rate=0.1, batch=6)
    often = np.array([1, 1, 1, 1, 1, -100] + [1] * 6, dtype=float)
    assert first_crossing(list(np.sign(often)), 10) == 5
    decision, measured = decide(gate, often)
    assert not decision.accepted and measured.episodes == 24
    recovers = np.array([1, 1, 1, 1, 1, -100] + [50] * 6, dtype=float)
    assert decide(gate, recovers)[0].accepted


def test_wins_with_an_equal_mean_are_not_kept() -> None:
    gate = Sequential(max_episodes=6, error_rate=0.1, batch=6)
    assert not decide(gate, [1.0, 1.0, 1.0, 1.0, 1.0, -5.0])[0].accepted
    assert decide(gate, [1.0, 1.0, 1.0, 1.0, 1.0, -4.5])[0].accepted


@pytest.mark.parametrize(("delta", "batch"), [(0.1, 1), (0.3, 1), (0.1, 4)])
def test_false_acceptances_stay_below_delta_over_all_sequences_of_signs(
    delta: float, batch: int
) -> None:
    """The null in full: every sequence of ten fair wins and losses, each with chance 2⁻¹⁰."""
    gate = Sequential(max_episodes=10, error_rate=delta, batch=batch)
    accepted = 0
    for signs in itertools.product([1.0, -1.0], repeat=10):
        decision, measured = decide(gate, signs)
        for_it = first_crossing(signs, 1 / delta)
        against = first_crossing([-sign for sign in signs], 1 / delta)
        looks = measured.episodes // 2
        if decision.accepted:
            assert for_it is not None and for_it <= looks
        elif looks < 10:
            assert against is not None and against <= looks
        accepted += decision.accepted
    assert 0.2 * delta < accepted / 2**10 <= delta  # and the bound is not met by never accepting


@pytest.mark.parametrize("ties", [0.0, 0.7])
@pytest.mark.parametrize("batch", [2, 5])
def test_false_acceptances_stay_below_delta_with_optional_stopping(ties: float, batch: int) -> None:
    rng = np.random.default_rng(0)
    gate = Sequential(max_episodes=30, error_rate=0.1, batch=batch)
    common = rng.normal(0, 50, (2000, 30))
    noise = rng.standard_t(2, (2000, 30)) * (rng.random((2000, 30)) >= ties)
    pairs = zip(common, noise, strict=True)
    accepted = [decide(gate, old + difference, old)[0].accepted for old, difference in pairs]
    assert 0.01 < np.mean(accepted) <= 0.1


def test_a_clear_improvement_is_seen_in_few_episodes() -> None:
    rng = np.random.default_rng(1)
    gate = Sequential(max_episodes=30, error_rate=0.1, batch=5)
    common = rng.normal(0, 50, (300, 30))
    better = [decide(gate, c + rng.normal(2, 1, 30), c) for c in common]
    worse = [decide(gate, c + rng.normal(-2, 1, 30), c) for c in common]
    assert np.mean([decision.accepted for decision, _ in better]) > 0.99
    assert np.mean([decision.accepted for decision, _ in worse]) < 0.01
    for decisions in (better, worse):  # a fixed test would take 60
        assert np.mean([measured.episodes for _, measured in decisions]) < 14


def test_a_modest_improvement_is_seen_more_often_with_more_pairs() -> None:
    rng = np.random.default_rng(2)
    rows = rng.normal(0.6, 1, (300, 60))
    rates = [
        np.mean([decide(Sequential(cap, 0.1, 5), row)[0].accepted for row in rows])
        for cap in (10, 30, 60)
    ]
    assert rates[0] + 0.15 < rates[1] < rates[2] - 0.05
    assert rates[2] > 0.9


def test_long_tests_do_not_overflow() -> None:
    gate = Sequential(max_episodes=5000, error_rate=1e-9, batch=5000)
    assert decide(gate, np.ones(5000))[0].accepted
    assert not decide(gate, -np.ones(5000))[0].accepted
    assert not decide(gate, np.zeros(5000))[0].accepted


@pytest.mark.parametrize(("cap", "delta"), [(4, 0.1), (1, 0.1), (5, 0.05), (30, 1e-12)])
def test_settings_that_can_never_accept_are_refused(cap: int, delta: float) -> None:
    assert first_crossing([1] * cap, 1 / delta) is None
    with pytest.raises(ConfigurationError, match=f"max_episodes = {cap} can never accept"):
        Sequential(max_episodes=cap, error_rate=delta)


@pytest.mark.parametrize("cap", [3, 5, 9])
def test_settings_are_refused_exactly_where_winning_every_pair_is_not_enough(cap: int) -> None:
    most = wealth("+" * cap)
    Sequential(cap, error_rate=float(1 / (most * Fraction(999, 1000))))
    with pytest.raises(ConfigurationError, match="can never accept"):
        Sequential(cap, error_rate=float(1 / (most * Fraction(1001, 1000))))


def test_the_shortest_test_that_can_accept_is_allowed() -> None:
    assert decide(Sequential(max_episodes=5, error_rate=0.1), np.ones(5))[0].accepted


@pytest.mark.parametrize("delta", [0.0, 1.0, -0.1, 2.0, np.nan])
def test_an_error_rate_outside_of_0_1_is_refused(delta: float) -> None:
    with pytest.raises(ConfigurationError, match=r"error_rate must be in \(0, 1\)"):
        Sequential(error_rate=delta)
