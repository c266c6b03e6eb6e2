"""Iterate averaging: the average by hand, the search inside untouched, and what it is good for."""

from __future__ import annotations

import numpy as np
import pytest
from optimizer_toys import assert_same, search, sphere, uphill

from zorl.common.errors import ConfigurationError
from zorl.optimizers.averaging import Averaged
from zorl.optimizers.base import Asked
from zorl.optimizers.cma_es import CMAES
from zorl.optimizers.gradient_search import GradientSearch
from zorl.optimizers.random_search import RandomSearch
from zorl.optimizers.step_rules import SGD

START = (1.0, -2.0, 3.0)
SPSA = GradientSearch(SGD(0.05), 0.1, 1, "rademacher")


@pytest.mark.parametrize("inner", [SPSA, CMAES()])
@pytest.mark.parametrize("kind", ["polyak", "ema"])
@pytest.mark.parametrize("start", [0, 7])
def test_theta_is_the_average_and_the_search_inside_is_untouched(inner, kind, start):
    alone = search(inner, uphill(sphere), START, 30)
    states = search(Averaged(inner, kind, start, decay=0.9), uphill(sphere), START, 30)
    for t, (state, plain) in enumerate(zip(states, alone, strict=True)):
        assert_same(state.inner, plain)
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
            return noise.standard_normal(len(x)) - sphere(x)

        state = search(Averaged(SPSA, start=50), noisy, START, 400, seed)[-1]
        return [np.sum(theta**2) for theta in (state.inner.theta, state.theta)]

    last, average = np.array([error(seed) for seed in range(20)]).T
    assert (average < last).sum() >= 17  # chance alone: 20 coins show 17 or more at 0.13 %
    assert average.mean() < 0.25 * last.mean()


def test_a_flat_generation_is_not_averaged():
    optimizer = Averaged(SPSA)
    state = search(optimizer, uphill(sphere), START, 10)[-1]
    assert not np.allclose(state.theta, state.inner.theta)
    for returns in (np.zeros(2), np.full(2, np.nan)):
        told = optimizer.tell(state, optimizer.ask(state, np.random.default_rng(0)), returns)
        np.testing.assert_array_equal(told.theta, state.theta)
        assert (told.t, told.count) == (state.t + 1, state.count)


def test_sigma_is_the_inner_search_s():
    optimizer = Averaged(CMAES())
    state = search(optimizer, uphill(sphere), START, 3)[-1]
    assert optimizer.ask(state, np.random.default_rng(0)).sigma == state.inner.sigma != 0.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "mean"}, "unknown kind of average 'mean'; known: ema, polyak"),
        ({"start": -1}, "start must be an integer ≥ 0, got -1"),
        ({"decay": 1.0}, r"decay must be in \(0, 1\), got 1.0"),
        ({"decay": "0.9"}, r"decay must be in \(0, 1\), got '0.9'"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ConfigurationError, match=message):
        Averaged(SPSA, **options)
