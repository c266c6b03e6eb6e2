"""Iterate averaging: the average by hand, the search inside untouched, and what it is good for."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest

from zorl.common.errors import ConfigurationError
from zorl.common.storage import flatten, unflatten
from zorl.optimizers.averaging import Averaged
from zorl.optimizers.base import Asked
from zorl.optimizers.cma_es import CMAES
from zorl.optimizers.gradient_search import GradientSearch
from zorl.optimizers.random_search import RandomSearch
from zorl.optimizers.step_rules import SGD

SPSA = GradientSearch(SGD(0.05), 0.1, 1, "rademacher")


def quadratic(x):
    return -(x**2).sum(axis=1)


def search(optimizer, generations, seed=0, returns_of=quadratic, start=(1.0, -2.0, 3.0)):
    rng, state = np.random.default_rng(seed), optimizer.init(start)
    states = [state]
    for _ in range(generations):
        asked = optimizer.ask(state, rng)
        state = optimizer.tell(state, asked, returns_of(asked.thetas))
        states.append(state)
    return states


def leaves(value):
    return list(flatten(value, "s")[0].items()), [
        a.tobytes() for a in flatten(value, "s")[1].values()
    ]


@pytest.mark.parametrize("inner", [SPSA, CMAES()])
@pytest.mark.parametrize("kind", ["polyak", "ema"])
@pytest.mark.parametrize("start", [0, 7])
def test_theta_is_the_average_and_the_search_inside_is_untouched(inner, kind, start):
    alone = search(inner, 30)
    states = search(Averaged(inner, kind, start, decay=0.9), 30)
    for t, (state, plain) in enumerate(zip(states, alone, strict=True)):
        assert leaves(state.inner) == leaves(plain)
        assert state.t == t
        assert not state.theta.flags.writeable
        thetas = [s.theta for s in alone[start + 1 : t + 1]]
        if not thetas:
            np.testing.assert_array_equal(state.theta, plain.theta)
            continue
        ages = np.arange(len(thetas))[::-1]
        weights = np.ones(len(thetas)) if kind == "polyak" else 0.9**ages
        expected = weights @ np.array(thetas) / weights.sum()
        np.testing.assert_allclose(state.theta, expected, rtol=1e-13, atol=1e-14)


def test_the_recursion_in_exact_numbers():
    # One candidate after the other, 2, 4, 9: halves, thirds and their sums are by hand.
    optimizer = Averaged(RandomSearch(popsize=1))
    state, averages = optimizer.init([0.0]), []
    for value in (2.0, 4.0, 9.0):
        asked = Asked(np.array([[value]]), state.t, sigma=1.0)
        state = optimizer.tell(state, asked, [value])
        averages.append(float(state.theta[0]))
    assert averages == [2.0, 3.0, 5.0]


def test_the_average_is_closer_to_a_noisy_optimum_than_the_last_iterate():
    # SPSA with a constant step never stops moving: noise of one enters with every update.
    def error(seed):
        noise = np.random.default_rng(seed + 500)

        def noisy(x):
            return quadratic(x) + noise.standard_normal(len(x))

        state = search(Averaged(SPSA, start=50), 400, seed, noisy)[-1]
        return [np.sum(theta**2) for theta in (state.inner.theta, state.theta)]

    last, average = np.array([error(seed) for seed in range(20)]).T
    assert (average < last).sum() >= 17  # chance alone: 20 coins show 17 or more at 0.13 %
    assert average.mean() < 0.25 * last.mean()


def test_a_flat_generation_is_not_averaged():
    optimizer = Averaged(SPSA)
    state = search(optimizer, 10)[-1]
    assert not np.allclose(state.theta, state.inner.theta)
    for returns in (np.zeros(2), np.full(2, np.nan)):
        told = optimizer.tell(state, optimizer.ask(state, np.random.default_rng(0)), returns)
        np.testing.assert_array_equal(told.theta, state.theta)
        assert (told.t, told.count) == (state.t + 1, state.count)


def test_a_return_that_is_not_finite_counts_as_the_worst():
    optimizer = Averaged(CMAES(popsize=4))
    state = search(optimizer, 3)[-1]
    asked = optimizer.ask(state, np.random.default_rng(0))
    broken = optimizer.tell(state, asked, [3, np.nan, 1, np.inf])
    assert leaves(broken) == leaves(optimizer.tell(state, asked, [3, 1, 1, 1]))


def test_sigma_is_the_inner_search_s():
    optimizer = Averaged(CMAES())
    state = search(optimizer, 3)[-1]
    assert optimizer.ask(state, np.random.default_rng(0)).sigma == state.inner.sigma != 0.5


@pytest.mark.parametrize("kind", ["polyak", "ema"])
def test_a_stored_state_goes_on_to_the_same_bits(kind):
    optimizer = Averaged(CMAES(), kind, start=4)
    states = search(optimizer, 12)
    scalars, arrays = flatten(states[8], "s")
    state = unflatten(optimizer.init(np.zeros(3)), "s", scalars, arrays)
    rng = np.random.default_rng(0)
    for before in states[:8]:
        optimizer.ask(before, rng)
    for _ in range(4):
        asked = optimizer.ask(state, rng)
        state = optimizer.tell(state, asked, quadratic(asked.thetas))
    assert leaves(state) == leaves(states[12])
    assert len(astuple(state)) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "mean"}, "unknown kind of average 'mean'; did you mean 'ema'"),
        ({"start": -1}, "start must be an integer ≥ 0, got -1"),
        ({"decay": 1.0}, r"decay must be in \(0, 1\), got 1.0"),
        ({"decay": "0.9"}, r"decay must be in \(0, 1\), got '0.9'"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ConfigurationError, match=message):
        Averaged(SPSA, **options)


@pytest.mark.parametrize("optimizer", ["cma-es", CMAES, None])
def test_what_is_no_optimizer_is_refused(optimizer):
    with pytest.raises(
        ConfigurationError, match=r"Averaged needs an optimizer, e\.g\. CMAES\(\), not"
    ):
        Averaged(optimizer)
