"""Random search: it samples around the start, keeps the best, and learns nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from zorl.common.errors import ConfigurationError
from zorl.optimizers import RandomSearch

START = np.array([1.0, -2.0, 3.0])


def ask(search, state, seed=0):
    return search.ask(state, np.random.default_rng(seed))


def test_candidates_are_normal_around_the_start_for_ever():
    search = RandomSearch(radius=0.5, popsize=20_000)
    state = search.init(START)
    first = ask(search, state)
    learned = search.tell(state, first, first.thetas[:, 0])
    assert abs(learned.theta[0] - 1.0) > 1.5  # far out, and still not the centre
    for seed, where in ((1, state), (2, learned)):
        asked = ask(search, where, seed)
        assert asked.sigma == 0.5
        offsets = asked.thetas - START
        assert offsets.shape == (20_000, 3)
        assert np.abs(offsets.mean(axis=0)).max() < 4.5 * 0.5 / np.sqrt(20_000)
        np.testing.assert_allclose(np.cov(offsets.T), 0.25 * np.eye(3), atol=0.25 * 0.05)
        kurtosis = (offsets**4).mean() / (offsets**2).mean() ** 2
        assert kurtosis == pytest.approx(3, abs=0.1)


def test_the_best_is_kept_with_its_return_until_it_is_beaten():
    search = RandomSearch(popsize=3)
    state = search.init(START)
    assert state.best == -np.inf
    kept = []
    for t, returns in enumerate([[-5, -3, -9], [-4, -4, -8], [-3, -7, -7], [0, -1, 2]]):
        asked = ask(search, state, t)
        state = search.tell(state, asked, returns)
        kept.append(asked.thetas[int(np.argmax(returns))])
        assert state.t == t + 1
        # The second and third generation do not beat −3; a tie keeps the older one.
        np.testing.assert_array_equal(state.theta, kept[0] if t < 3 else kept[3])
        assert state.best == (-3.0 if t < 3 else 2.0) and type(state.best) is float
        np.testing.assert_array_equal(state.start, START)


def test_a_single_candidate_can_be_kept_but_not_on_a_fault():
    search = RandomSearch(popsize=1)
    state = search.init(START)
    for fault in (np.nan, np.inf, -np.inf):
        after = search.tell(state, ask(search, state), [fault])
        np.testing.assert_array_equal(after.theta, START)
        assert after.best == -np.inf  # zero, the fault's stand-in, would block negative returns
    asked = ask(search, after, 1)
    kept = search.tell(after, asked, [-7.0])
    np.testing.assert_array_equal(kept.theta, asked.thetas[0])
    assert kept.best == -7.0


def test_neither_a_fault_nor_equal_returns_are_the_best():
    search = RandomSearch(popsize=3)
    state = search.init(START)
    asked = ask(search, state)
    for fault in (np.nan, np.inf, -np.inf):
        after = search.tell(state, asked, [fault, 4.0, 5.0])
        np.testing.assert_array_equal(after.theta, asked.thetas[2])
        assert after.best == 5.0
        assert not np.shares_memory(after.theta, asked.thetas)  # or one row would keep all alive
    for value in (0.0, -200.0, np.nan, np.inf):
        after = search.tell(state, asked, np.full(3, value))
        assert (after.best, after.theta.tolist()) == (-np.inf, START.tolist())


@pytest.mark.parametrize("popsize", [0, -1, 2.5, True, None])
def test_popsize_must_be_a_positive_integer(popsize):
    with pytest.raises(ConfigurationError, match="popsize must be an integer ≥ 1"):
        RandomSearch(popsize=popsize)


@pytest.mark.parametrize("radius", [0.0, -1.0, np.nan, np.inf])
def test_radius_must_be_positive(radius):
    with pytest.raises(ConfigurationError, match="radius must be a finite number > 0"):
        RandomSearch(radius=radius)
