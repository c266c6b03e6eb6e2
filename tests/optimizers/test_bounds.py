"""Bounds: every candidate inside, the constrained optimum found, nothing changed far from them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from optimizer_toys import assert_same, played

from zorl.common.errors import ConfigurationError
from zorl.optimizers.averaging import Averaged
from zorl.optimizers.base import Asked
from zorl.optimizers.bounds import Bounded, BoundedState, reflected
from zorl.optimizers.cma_es import CMAES
from zorl.optimizers.gradient_search import GradientSearch
from zorl.optimizers.lra import LearningRateAdaptation, lra_cma_es
from zorl.optimizers.random_search import RandomSearch
from zorl.optimizers.spsa import spsa
from zorl.optimizers.step_rules import SGD, GainSequence

HANDLINGS = ("reflect", "penalty")
SPSA = GradientSearch(SGD(0.02), 0.05, 1, "rademacher")


def sphere_at(centre):
    return lambda x: -((x - np.asarray(centre)) ** 2).sum(axis=1)


# ------------------------------------------------------------------ the reflection


def mirrored(x, low, high):
    """Reflect one number at one mirror after the other until it is inside."""
    while not low <= x <= high:
        x = 2 * low - x if x < low else 2 * high - x
    return x


def test_the_reflection_is_mirror_after_mirror():
    low = np.array([-1.0, 0.0, -math.inf, -math.inf, 2.0])
    high = np.array([1.0, math.inf, 3.0, math.inf, 2.5])
    x = np.random.default_rng(0).uniform(-9, 9, (200, 5))
    expected = [[mirrored(*each) for each in zip(row, low, high, strict=True)] for row in x]
    got = reflected(x, low, high)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-13)
    assert ((got >= low) & (got <= high)).all()
    inside = (x >= low) & (x <= high)
    np.testing.assert_array_equal(got[inside], x[inside])  # bit for bit
    assert inside.sum() > 100
    assert (~inside).sum() > 100


def test_the_reflection_of_far_and_exact_points():
    low, high = np.array([0.0, 0.0]), np.array([1.0, 4.0])
    x = np.array([[0.0, 4.0], [1.0, 4.5], [1.25, 8.0], [2.0, 8.5], [-0.25, -1.0], [-3.5, 1e20]])
    expected = [[0, 4], [1, 3.5], [0.75, 0], [0, 0.5], [0.25, 1]]
    got = reflected(x, low, high)
    np.testing.assert_array_equal(got[:5], expected)
    assert got[5, 0] == 0.5
    assert 0 <= got[5, 1] <= 4


# ------------------------------------------------------------------ the penalty


def test_the_penalty_by_hand():
    inner = CMAES(popsize=5)
    optimizer = Bounded(inner, -1.0, (0.5, math.inf, 2.0), "penalty")
    state = optimizer.init([0.4, -0.9, 1.9])
    state = BoundedState(state.theta, state.inner, 7.0)
    asked = optimizer.ask(state, np.random.default_rng(1))
    returns = [1.0, 3.0, -2.0, 5.0, 4.0]

    x, theta, d = asked.source.thetas, state.inner.theta, 3
    low, high = [-1.0] * 3, [0.5, math.inf, 2.0]
    mean = sum(returns) / 5
    deviation = math.sqrt(sum((r - mean) ** 2 for r in returns) / 5)
    spread = max(deviation, 0.9 * 7.0)
    told = []
    for j in range(5):
        cost = 0.0
        for i in range(d):
            out = max(low[i] - x[j, i], x[j, i] - high[i], 0.0)
            u = out / math.sqrt(sum((x[k, i] - theta[i]) ** 2 for k in range(5)) / 5)
            cost += u * u if u <= 1 else 2 * u - 1
        told.append(returns[j] - spread * cost / math.sqrt(d))
    assert sum(a != b for a, b in zip(told, returns, strict=True)) >= 3

    seen = {}

    class Spy(CMAES):
        def tell(self, state, asked, values):
            seen["values"] = values
            return inner.tell(state, asked, values)

    spied = Bounded(Spy(), -1.0, (0.5, math.inf, 2.0), "penalty")
    after = spied.tell(state, asked, returns)
    np.testing.assert_allclose(seen["values"], told, rtol=1e-13)
    assert after.spread == pytest.approx(spread, rel=1e-15)
    np.testing.assert_array_equal(asked.thetas, np.clip(x, low, high))
    assert_same(optimizer.tell(state, asked, returns), after)


def test_the_penalty_follows_the_scale_of_the_returns():
    # By powers of two, so that every bit can agree: a gradient method told 8 f, at an eighth of
    # the learning rate, is the same search; one with a penalty that has a scale of its own is not.
    f = sphere_at([2.0, 0.3])
    one, eight = (
        played(
            Bounded(GradientSearch(SGD(0.02 / a), 0.05), -1.0, 1.0, "penalty"),
            lambda x, a=a: a * f(x),
            [0.5, 0.5],
            200,
        )[0]
        for a in (1.0, 8.0)
    )
    for a, b in zip(one, eight, strict=True):
        np.testing.assert_array_equal(a.inner.theta, b.inner.theta)
        assert b.spread == 8 * a.spread
    assert np.abs(one[-1].inner.theta).max() > 1  # there was a penalty


# ------------------------------------------------------------------ optima


@pytest.mark.parametrize("handling", HANDLINGS)
@pytest.mark.parametrize(
    ("returns_of", "optimum"),
    [
        (sphere_at([0.3, -0.2, 0.0, 0.5]), [0.3, -0.2, 0.0, 0.5]),  # inside
        (sphere_at([1.0, 0.0, 0.0, 0.0]), [1.0, 0.0, 0.0, 0.0]),  # on a face
        (sphere_at([3.0, 0.0, 0.0, 0.0]), [1.0, 0.0, 0.0, 0.0]),  # beyond a face
        (sphere_at([1.0, -1.0, 1.0, -1.0]), [1.0, -1.0, 1.0, -1.0]),  # in a corner
        (sphere_at([3.0, -3.0, 3.0, -1.5]), [1.0, -1.0, 1.0, -1.0]),  # beyond a corner
        (lambda x: x @ [1.0, 10.0, -0.1, 1e-3], [1.0, 1.0, -1.0, 1.0]),  # linear
    ],
)
def test_the_best_point_of_the_box_is_found(handling, returns_of, optimum):
    decreasing = GradientSearch(GainSequence(0.1), 0.1, 1, "rademacher", radius_decay=0.101)
    for inner, generations, tolerance in ((CMAES(), 300, 1e-6), (decreasing, 1200, 0.03)):
        if inner is decreasing and returns_of(np.array([[0.0, 1, 0, 0]]))[0] == 10:
            continue  # slopes from 0.001 to 10: no job for one gain sequence
        optimizer = Bounded(inner, -1.0, 1.0, handling)
        states, all_asked = played(optimizer, returns_of, np.full(4, -0.5), generations)
        np.testing.assert_allclose(states[-1].theta, optimum, rtol=0, atol=tolerance)
        points = np.vstack([asked.thetas for asked in all_asked] + [s.theta for s in states])
        assert np.abs(points).max() <= 1
        if inner is not decreasing:
            assert np.abs(np.vstack([a.source.thetas for a in all_asked])).max() > 1


def test_learning_rate_adaptation_wants_the_penalty():
    for inner in (LearningRateAdaptation(), Averaged(lra_cma_es())):
        with pytest.raises(ConfigurationError, match=r'LearningRateAdaptation.*"penalty"'):
            Bounded(inner, 0.0, 1.0)
    for seed in range(3):
        optimizer = Bounded(lra_cma_es(sigma0=2.0), -5.0, 5.0, "penalty")
        start = np.random.default_rng(100 + seed).uniform(-4, 4, 5)
        states, all_asked = played(optimizer, sphere_at(np.full(5, 0.5)), start, 400, seed)
        np.testing.assert_allclose(states[-1].theta, 0.5, rtol=0, atol=1e-4)
        assert max(np.abs(asked.source.thetas).max() for asked in all_asked) > 5
        assert max(asked.sigma for asked in all_asked) < 10  # with "reflect" it grows without end


@pytest.mark.parametrize("handling", HANDLINGS)
@pytest.mark.parametrize(("low", "high"), [(0.5, None), (None, -0.5), (-math.inf, -0.5)])
def test_a_side_may_be_open(handling, low, high):
    optimizer = Bounded(CMAES(), low, high, handling)
    side = 1.0 if high is None else -1.0
    states, all_asked = played(optimizer, sphere_at(np.zeros(3)), np.full(3, 4 * side), 250)
    np.testing.assert_allclose(states[-1].theta, np.full(3, 0.5 * side), atol=1e-6)
    assert min((side * asked.thetas).min() for asked in all_asked) >= 0.5
    assert max((side * asked.thetas).max() for asked in all_asked) > 2


@pytest.mark.parametrize("handling", HANDLINGS)
def test_huge_steps_stay_inside(handling):
    low, high = (-1.0, 0.0, 1e-3), (1.0, 1e-9, 1e6)
    noise = np.random.default_rng(9)
    for inner in (CMAES(sigma0=1e6), GradientSearch(SGD(1e4), 0.5)):
        optimizer = Bounded(inner, low, high, handling)
        states, all_asked = played(
            optimizer, lambda x: noise.standard_normal(len(x)), [0.0, 5e-10, 1.0], 100
        )
        points = np.vstack([a.thetas for a in all_asked] + [s.theta for s in states])
        assert (points >= low).all()
        assert (points <= high).all()


# ------------------------------------------------------------------ what it leaves alone


@pytest.mark.parametrize("handling", HANDLINGS)
@pytest.mark.parametrize("inner", [CMAES(), SPSA])
def test_far_from_its_bounds_the_search_is_the_inner_one(handling, inner):
    returns_of = sphere_at([0.5, 0.5])
    plain, _ = played(inner, returns_of, [0.0, 0.0], 50)
    for low, high in ((None, None), (-100.0, 100.0)):
        bounded, _ = played(Bounded(inner, low, high, handling), returns_of, [0.0, 0.0], 50)
        for one, other in zip(plain, bounded, strict=True):
            assert_same(one, other.inner)
            np.testing.assert_array_equal(one.theta, other.theta)


@pytest.mark.parametrize("handling", HANDLINGS)
def test_equal_returns_are_no_signal_while_theta_is_inside(handling):
    optimizer = Bounded(CMAES(), -1.0, 1.0, handling)
    state = played(optimizer, sphere_at([2.0, 0.0]), [0.5, 0.5], 3)[0][-1]
    state = BoundedState(np.array([0.9, 0.0]), optimizer.init([0.9, 0.0]).inner, state.spread)
    asked = optimizer.ask(state, np.random.default_rng(0))
    assert np.abs(asked.source.thetas).max() > 1  # a penalty there would be
    for value in (0.0, -3.0, math.nan, math.inf):
        told = optimizer.tell(state, asked, np.full(len(asked), value))
        np.testing.assert_array_equal(told.theta, state.theta)
        np.testing.assert_array_equal(told.inner.covariance, state.inner.covariance)
        assert (told.t, told.spread) == (state.t + 1, state.spread)


def test_a_theta_far_outside_is_led_back_though_all_candidates_are_projected_onto_one_point():
    f = sphere_at([0.5])
    optimizer = Bounded(GradientSearch(SGD(0.05), 0.05), -1.0, 1.0, "penalty")
    state = played(optimizer, f, [0.9], 5)[0][-1]
    away = replace(state.inner, theta=np.array([3.0]))
    rng, state = np.random.default_rng(0), BoundedState(np.array([1.0]), away, state.spread)
    asked = optimizer.ask(state, rng)
    assert (asked.thetas == 1.0).all()
    for _ in range(600):
        asked = optimizer.ask(state, rng)
        state = optimizer.tell(state, asked, f(asked.thetas))
    assert state.theta == pytest.approx([0.5], abs=1e-3)


# ------------------------------------------------------------------ values


def test_descriptions_compare_and_hash_whatever_they_were_built_from():
    one = Bounded(CMAES(), [0, None], np.array([1.0, 2.0]))
    other = Bounded(CMAES(), (0.0, -math.inf), (1, 2))
    assert one == other
    assert hash(one) == hash(other)
    assert one != Bounded(CMAES(), (0.0, -1.0), (1, 2))
    assert Bounded(CMAES(), None, 1).low == -math.inf


def test_wrappers_nest_and_pass_sigma_through():
    states, asked = played(
        Averaged(Bounded(CMAES(), -1.0, 1.0), "ema", decay=0.5), sphere_at([2.0, 2.0]), [0, 0], 150
    )
    np.testing.assert_allclose(states[-1].theta, 1.0, atol=1e-4)
    assert isinstance(asked[0], Asked)
    for before, then in zip(states, asked, strict=False):
        assert then.sigma == before.inner.inner.sigma


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"low": 1.0, "high": 1.0}, r"low must be < high, but low\[0\] = 1.0 and high\[0\] = 1.0"),
        ({"low": (0, 3), "high": (1, 2)}, r"low\[1\] = 3.0 and high\[1\] = 2.0"),
        ({"low": math.inf}, r"low\[0\] = inf"),
        ({"low": (0, 0), "high": (1, 1, 1)}, "got 2 for low and 3 for high"),
        ({"low": math.nan}, "low must hold numbers, got nan"),
        ({"high": ()}, "high must hold numbers"),
        ({"high": ("a",)}, r"high must be a number, a vector \(d,\) of numbers, or None"),
        ({"handling": "clip"}, "unknown handling 'clip'; known: penalty, reflect"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ConfigurationError, match=message):
        Bounded(CMAES(), **options)


@pytest.mark.parametrize("inner", [spsa(measurements=1), RandomSearch(popsize=1)])
def test_the_penalty_of_a_single_candidate_is_refused(inner):
    rng = np.random.default_rng(0)
    optimizer = Bounded(inner, 0.0, 1.0, "penalty")
    with pytest.raises(ConfigurationError, match=r'one candidate has none; use two.*"reflect"'):
        optimizer.ask(optimizer.init([0.5]), rng)
    reflected_one = Bounded(inner, 0.0, 1.0)
    assert len(reflected_one.ask(reflected_one.init([0.5]), rng)) == 1


def test_a_start_outside_is_refused_by_name():
    optimizer = Bounded(CMAES(), 0.0, (1.0, 2.0, None))
    optimizer.init([0.0, 2.0, 1e9])  # on the bounds is inside
    with pytest.raises(ConfigurationError, match=r"theta\[1\] = 2.5 lies outside \[0.0, 2.0\]"):
        optimizer.init([0.5, 2.5, 0.0])
    with pytest.raises(ConfigurationError, match="one number or d = 2 of them"):
        optimizer.init([0.5, 0.5])
    state = optimizer.init([0.5, 0.5, 0.5])
    with pytest.raises(ConfigurationError, match="ask of Bounded"):
        optimizer.tell(state, Asked(np.zeros((4, 3)), 0, sigma=1.0), np.arange(4.0))
