"""Restarts: when a run is over, what the next one is like, and what theta stands for meanwhile."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import optimizer_toys
import pytest
from optimizer_toys import assert_same, leaves, played, uphill

from zorl.common.errors import ConfigurationError
from zorl.optimizers.base import Asked
from zorl.optimizers.cma_es import CMAES
from zorl.optimizers.restarts import RestartAsked, Restarts, bipop_cma_es, ipop_cma_es

sphere = uphill(optimizer_toys.sphere)


def rastrigin(x):
    return -(10 + x**2 - 10 * np.cos(2 * np.pi * x)).sum(axis=1)


def runs_of(states):
    """The last state of each run but the latest."""
    return [a for a, b in pairwise(states) if a.restarts != b.restarts]


# ------------------------------------------------------------------ what they are for


@pytest.mark.parametrize("make", [ipop_cma_es, bipop_cma_es])
def test_restarts_find_rastrigins_optimum_where_one_run_does_not(make):
    d, found, found_alone = 5, 0, 0
    for seed in range(3):
        start = np.random.default_rng(100 + seed).uniform(-5, 5, d)
        for optimizer in (make(sigma0=2.0, low=-5.0, high=5.0), CMAES(2.0)):
            rng, state, spent = np.random.default_rng(seed), optimizer.init(start), 0
            while spent < 60_000 and (isinstance(optimizer, Restarts) or spent < 5000):
                asked = optimizer.ask(state, rng)
                returns = rastrigin(asked.thetas)
                spent += len(asked)
                state = optimizer.tell(state, asked, returns)
                if rastrigin(state.theta[None])[0] > -1e-8:
                    found += isinstance(optimizer, Restarts)
                    found_alone += isinstance(optimizer, CMAES)
                    break
    assert found == 3
    assert found_alone <= 1


# ------------------------------------------------------------------ schedules


def test_ipop_doubles_the_population():
    states, all_asked = played(ipop_cma_es(popsize=4, max_restarts=4), rastrigin, [3.0, 3.0], 900)
    sizes = {state.restarts: state.run.popsize for state in states}
    assert sizes == {0: 4, 1: 8, 2: 16, 3: 32, 4: 64}
    for asked in all_asked:
        assert len(asked) == asked.begun.run.popsize
    sizes = [
        played(ipop_cma_es(popsize=5, factor=f, max_restarts=2), rastrigin, [3.0], 400)[0][-1]
        for f in (1.0, 1.5)
    ]
    assert [state.run.popsize for state in sizes] == [5, 11]


def test_bipops_budgets_populations_and_step_sizes():
    optimizer = bipop_cma_es(sigma0=2.0, popsize=6, spread=1.0, max_restarts=5)
    rng, state = np.random.default_rng(1), optimizer.init(np.full(3, 3.0))
    large = small = last_large = doublings = kinds = 0
    while state.doublings < 5:
        before = state
        twin = copy.deepcopy(rng)
        asked = optimizer.ask(state, rng)
        begun = asked.begun
        assert asked.sigma == begun.current.sigma
        if before.run.stop:
            over = before.run
            large, small = (
                (large, small + over.evaluations)
                if over.small
                else (large + over.evaluations, small)
            )
            last_large = last_large if over.small else over.evaluations
            assert begun.run.small == (small < large)
            if begun.run.small:
                ratio = max(2**doublings / 2, 1)
                assert begun.run.popsize == int(6 * ratio ** (twin.random() ** 2))
                assert begun.current.sigma == pytest.approx(2.0 * 10 ** (-2 * twin.random()))
                assert begun.run.allowance == last_large // 2
                kinds += 1
            else:
                doublings += 1
                assert begun.run.popsize == 6 * 2**doublings
                assert (begun.current.sigma, begun.run.allowance) == (2.0, 0)
            np.testing.assert_array_equal(begun.current.theta, 3.0 + twin.standard_normal(3))
            assert (begun.large_evaluations, begun.small_evaluations) == (large, small)
            assert begun.current.t == begun.run.evaluations == 0
            assert begun.run.stop == ""
        else:
            assert begun is before
        state = optimizer.tell(state, asked, rastrigin(asked.thetas))
        run = state.run
        assert not (run.allowance and run.evaluations >= run.allowance) or run.stop == "budget"
    assert kinds > 5
    assert 0.3 < small / large < 3


def test_bipops_first_run_counts_as_small():
    states, _ = played(bipop_cma_es(popsize=6), rastrigin, [3.0, 3.0], 700)
    runs = runs_of(states)
    assert [state.run.small for state in runs[:3]] == [True, False, True]
    assert [state.run.allowance for state in runs[:2]] == [0, 0]
    first, second = (state.run.evaluations for state in runs[:2])
    begun = next(state for state in states if state.restarts == 2)
    assert (begun.small_evaluations, begun.large_evaluations) == (first, second)
    assert begun.run.allowance == second // 2
    # ipop has large ones alone.
    states, _ = played(ipop_cma_es(popsize=6), rastrigin, [3.0, 3.0], 300)
    assert [state.run.small for state in runs_of(states)[:2]] == [False, False]


@pytest.mark.parametrize("make", [ipop_cma_es, bipop_cma_es])
def test_all_runs_but_the_first_are_damped(make):
    optimizer = make(popsize=12)
    rng, state, kinds = np.random.default_rng(0), optimizer.init([3.0, 3.0, 3.0]), set()
    while state.restarts < 3:
        asked = optimizer.ask(state, rng)
        returns, begun = rastrigin(asked.thetas), asked.begun
        state = optimizer.tell(state, asked, returns)
        damped = begun.restarts > 0
        inner = CMAES(popsize=begun.run.popsize, damped=damped)
        assert_same(state.current, inner.tell(begun.current, asked.source, returns))
        other = replace(inner, damped=not damped).tell(begun.current, asked.source, returns)
        kinds.add((damped, other.sigma > state.current.sigma, other.sigma < state.current.sigma))
    # They do differ: sigma moves less, up or down, in a damped run.
    assert {kind[0] for kind in kinds} == {False, True}
    assert (True, True, False) in kinds
    assert (True, False, True) in kinds


def test_starts_are_uniform_in_the_domain_or_normal_around_the_first():
    def starts(optimizer):
        state = optimizer.init([3.0, 30.0])
        state = replace(state, run=replace(state.run, stop="tolfun"))
        rng = np.random.default_rng(0)
        return np.array([optimizer.ask(state, rng).begun.current.theta for _ in range(1500)])

    low, high = (-1.0, 10.0), (2.0, 50.0)
    inside = starts(Restarts(CMAES(), low=low, high=high))
    assert (inside >= low).all()
    assert (inside <= high).all()
    np.testing.assert_allclose(inside.mean(axis=0), [0.5, 30.0], atol=1.2)
    np.testing.assert_allclose(inside.std(axis=0), np.array([3, 40]) / math.sqrt(12), rtol=0.07)
    for spread, expected in ((None, 0.7), (4.0, 4.0), (0.0, 0.0)):
        around = starts(Restarts(CMAES(sigma0=0.7), spread=spread))
        np.testing.assert_allclose(around.mean(axis=0), [3.0, 30.0], atol=0.1 * expected)
        np.testing.assert_allclose(around.std(axis=0), expected, rtol=0.07)


def test_without_restarts_it_is_cma_es():
    inner = CMAES(sigma0=1.0)
    states, _ = played(Restarts(inner, max_restarts=0), sphere, np.ones(3), 300)
    plain, _ = played(inner, sphere, np.ones(3), 300)
    assert states[-1].run.stop  # it would have been over
    for one, other in zip(states, plain, strict=True):
        assert_same(one.current, other)
        np.testing.assert_array_equal(one.theta, other.theta)
        assert one.t == other.t


@pytest.mark.parametrize("make", [ipop_cma_es, bipop_cma_es])
def test_no_run_begins_that_would_not_fit(make):
    d, popsize = 5, 4
    limit = CMAES(popsize=4 * popsize).memory_bytes(d) / 1e9  # two doublings fit
    optimizer = make(popsize=popsize, tolfun=1e9, max_memory_gb=limit)  # a run is over at once
    states, all_asked = played(optimizer, sphere, np.ones(d), 600)
    assert max(len(asked) for asked in all_asked) == 4 * popsize
    assert states[-1].doublings == 2
    assert states[-1].run.stop  # it would have been over, and goes on
    quiet = sum(len(asked) for asked in all_asked[-100:]) / 100
    assert quiet == states[-1].run.popsize
    assert states[-1].restarts == states[-100].restarts
    assert states[-1].t == states[-2].t + 1 == 600
    # Nothing is drawn for the run that is not begun.
    rng, twin = np.random.default_rng(0), np.random.default_rng(0)
    asked = optimizer.ask(states[-1], rng)
    assert asked.begun is states[-1]
    run = states[-1].run
    replace(optimizer.optimizer, popsize=run.popsize).ask(states[-1].current, twin)
    assert rng.bit_generator.state == twin.bit_generator.state


# ------------------------------------------------------------------ theta


def test_theta_is_the_mean_of_the_run_with_the_best_median():
    states, all_asked = played(
        ipop_cma_es(sigma0=2.0, low=-5.0, high=5.0), rastrigin, np.full(3, 3.1), 700
    )
    assert states[-1].restarts >= 3
    best, theta, run, changes = -math.inf, states[0].theta, -1, 0
    record = -math.inf  # of the run under way
    for before, asked, state in zip(states, all_asked, states[1:], strict=False):
        if state.restarts != before.restarts:
            best, record = max(best, record), -math.inf
            np.testing.assert_array_equal(before.theta, asked.begun.theta)
        record = max(record, np.median(rastrigin(asked.thetas)))
        if record > best:
            theta, changes, run = (
                state.current.theta,
                changes + (run != state.restarts),
                state.restarts,
            )
        np.testing.assert_array_equal(state.theta, theta)
        assert state.t == before.t + 1
    assert changes >= 2  # a later run took over
    elsewhere = [s for s in states if not np.array_equal(s.theta, s.current.theta)]
    assert len(elsewhere) > 100  # while others searched on


@pytest.mark.parametrize(("schedule", "value"), [("ipop", -7.0), ("bipop", math.nan)])
def test_equal_returns_never_move_theta(schedule, value):
    optimizer = Restarts(CMAES(), schedule)
    states, _ = played(optimizer, lambda x: np.full(len(x), value), [1.0, 2.0], 120)
    assert states[-1].restarts >= 2
    for state in states:
        np.testing.assert_array_equal(state.theta, [1.0, 2.0])
        arrays = (value for value in leaves(state).values() if isinstance(value, np.ndarray))
        assert all(np.isfinite(array).all() for array in arrays)
    # Nor does a flat generation of a new run, however high, take theta away from a better one.
    states, _ = played(optimizer, sphere, [1.0, 2.0], 5)
    ended = replace(states[-1], run=replace(states[-1].run, stop="tolfun"))
    asked = optimizer.ask(ended, np.random.default_rng(0))
    told = optimizer.tell(ended, asked, np.full(len(asked), 1e9))
    np.testing.assert_array_equal(told.theta, ended.theta)
    assert not np.array_equal(told.current.theta, ended.theta)


def test_a_poor_run_does_not_lower_the_mark_for_the_next():
    optimizer = ipop_cma_es()
    state = optimizer.init([1.0, 2.0])
    for best, run_best in ((5.0, 1.0), (1.0, 5.0)):
        run = replace(state.run, best=run_best, stop="tolfun")
        begun = optimizer.ask(replace(state, best=best, run=run), np.random.default_rng(0)).begun
        assert (begun.best, begun.run.best) == (5.0, -math.inf)


# ------------------------------------------------------------------ when a run is over


def test_runs_end_for_the_expected_reasons():
    reasons = {}
    for name, returns_of in {
        "tolfun": rastrigin,
        "flat": lambda x: np.minimum(sphere(x), -1.0) + 1,
        "tolx": lambda x: np.log(np.maximum(-sphere(x), 1e-300)) * -1,
    }.items():
        states, _ = played(ipop_cma_es(max_restarts=1), returns_of, [2.0, 1.0], 400)
        ends = runs_of(states)
        reasons[name] = ends[0].run.stop if ends else ""
    assert reasons["tolfun"] in ("tolfun", "flat")
    assert reasons["flat"] in ("flat", "ties")
    assert reasons["tolx"] in ("tolx", "no effect")


def test_a_useless_search_stagnates():
    coin = np.random.default_rng(0)
    states, _ = played(
        ipop_cma_es(max_restarts=1), lambda x: coin.standard_normal(len(x)), [0.0, 0.0], 700
    )
    assert runs_of(states)[0].run.stop == "stagnation"


# ------------------------------------------------------------------ values


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"schedule": "lpop"}, "unknown restart schedule 'lpop'; did you mean"),
        ({"max_restarts": -1}, "max_restarts must be an integer ≥ 0"),
        ({"factor": "2"}, "factor must be a finite number ≥ 1, got '2'"),
        ({"factor": True}, "factor must be a finite number ≥ 1, got True"),
        ({"factor": math.inf}, "factor must be a finite number ≥ 1, got inf"),
        ({"spread": "1"}, "spread must be a finite number ≥ 0, got '1'"),
        ({"factor": 0.5}, "factor must be a finite number ≥ 1, got 0.5"),
        ({"low": 0.0}, "both low and high, or neither"),
        ({"low": 1.0, "high": 0.0}, "low must be < high"),
        ({"low": 0.0, "high": math.inf}, "finite bounds"),
        ({"spread": -1.0}, "spread must be a finite number ≥ 0"),
        ({"tolfun": math.nan}, "tolfun must be"),
        ({"tolx": -1.0}, "tolx must be"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ConfigurationError, match=message):
        Restarts(CMAES(), **options)


@pytest.mark.parametrize("make", [ipop_cma_es, bipop_cma_es])
def test_the_recipes_options_are_those_of_the_parts(make):
    options = {"low": -2.0, "high": 3.0, "factor": 3.0, "tolfun": 1e-3, "tolx": 1e-4}
    inner = {"sigma0": 0.7, "popsize": 9, "covariance": "separable", "max_memory_gb": 2.0}
    for flag in ("active", "mirrored"):
        made = make(**inner, **options, **{flag: False}, spread=0.5, max_restarts=3)
        expected = CMAES(**inner, **{flag: False})
        schedule = "ipop" if make is ipop_cma_es else "bipop"
        assert made == Restarts(expected, schedule, spread=0.5, max_restarts=3, **options)


def test_tell_refuses_what_is_not_the_states():
    optimizer = ipop_cma_es()
    state = optimizer.init([0.0, 0.0])
    asked = optimizer.ask(state, np.random.default_rng(0))
    assert isinstance(asked, RestartAsked)
    with pytest.raises(ConfigurationError, match="ask of Restarts"):
        optimizer.tell(state, Asked(asked.thetas, 0, sigma=1.0), np.arange(float(len(asked))))
    told = optimizer.tell(state, asked, np.arange(float(len(asked))))
    with pytest.raises(ConfigurationError, match="asked at update 0"):
        optimizer.tell(told, asked, np.arange(float(len(asked))))
    with pytest.raises(ConfigurationError, match="one number or d = 2"):
        Restarts(CMAES(), low=(0, 0, 0), high=1).init([0.0, 0.0])
