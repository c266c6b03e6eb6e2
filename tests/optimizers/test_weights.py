"""Weights against the papers' formulas by hand, and what of the returns they do not see."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from zorl.common.errors import ConfigurationError
from zorl.optimizers import (
    CentredRanks,
    NormalisedReturns,
    SigmaR,
    Standardised,
    ars,
    es,
    openai_es,
)
from zorl.optimizers.weights import ONE_SIDED, SCHEMES, candidates_of


def rng_of(seed=0):
    return np.random.default_rng(seed)


def ars_by_hand(theta, deltas, returns, learning_rate, b):
    """Algorithm 2 of Mania et al. (2018), a loop at a time."""
    n = len(deltas)
    pairs = [(returns[k], returns[n + k]) for k in range(n)]
    order = sorted(range(n), key=lambda k: (-max(pairs[k]), k))[:b]
    used = [r for k in order for r in pairs[k]]
    mean = sum(used) / len(used)
    sigma_r = (sum((r - mean) ** 2 for r in used) / len(used)) ** 0.5
    update = [0.0] * len(theta)
    for k in order:
        for i in range(len(theta)):
            update[i] += (pairs[k][0] - pairs[k][1]) * deltas[k][i]
    return [theta[i] + learning_rate / (b * sigma_r) * update[i] for i in range(len(theta))]


@pytest.mark.parametrize(("top", "ties"), [(None, False), (3, False), (1, True), (3, True)])
def test_ars_is_algorithm_2(top, ties):
    rng = rng_of(4)
    search = ars(learning_rate=0.07, radius=0.2, m=8, top=top)
    state = search.init(rng.normal(size=5))
    asked = search.ask(state, rng)
    returns = rng.normal(-100, 30, 16)
    if ties:  # exactly b directions are used all the same, the first of the equal ones
        returns = np.append(rng.integers(0, 3, 8), rng.integers(0, 2, 8)).astype(float)
    expected = ars_by_hand(state.theta, asked.directions, returns, 0.07, top or 8)
    np.testing.assert_allclose(search.tell(state, asked, returns).theta, expected, rtol=1e-12)


def test_ars_uses_exactly_the_b_best_and_the_first_of_equals():
    weights = SigmaR(top=2)(np.array([5.0, 1, 7, 5, 0, 2, 1, 5]), "antithetic", 0.1)
    assert (weights != 0).tolist() == [True, False, True, False]


def test_the_radius_does_not_enter_ars():
    returns = np.array([5.0, 1, 7, 5])
    np.testing.assert_array_equal(
        SigmaR()(returns, "antithetic", 0.1), SigmaR()(returns, "antithetic", 9.0)
    )


def test_ars_is_the_update_of_sb3_contrib():
    """Their code on our deltas; it takes the unbiased deviation and adds 1e-6 below the line."""
    torch = pytest.importorskip("torch")
    library = pytest.importorskip("sb3_contrib.ars.ars")
    rng, n, b, d = rng_of(6), 6, 3, 7
    theta, returns = rng.normal(size=d), rng.normal(-50, 20, 2 * n)
    search = ars(learning_rate=0.05, radius=0.03, m=n, top=b)
    state = search.init(theta)
    asked = search.ask(state, rng)
    deltas = torch.tensor(asked.directions.copy())
    theirs = SimpleNamespace(
        delta_std_schedule=lambda _: 0.03,
        lr_schedule=lambda _: 0.05,
        _current_progress_remaining=1.0,
        n_delta=n,
        n_top=b,
        n_params=d,
        device="cpu",
        weights=torch.tensor(theta),
        policy=SimpleNamespace(load_from_vector=lambda _: None),
        logger=SimpleNamespace(record=lambda *_, **__: None),
        _n_updates=0,
        evaluate_candidates=None,
    )

    def evaluate(candidates, *_):
        np.testing.assert_allclose(candidates.numpy(), asked.thetas, rtol=1e-14)
        return torch.tensor(returns)

    theirs.evaluate_candidates = evaluate
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library.th, "normal", lambda **_: deltas)
        library.ARS._do_one_update(theirs, None, None)
    top = np.argsort(-np.maximum(returns[:n], returns[n:]))[:b]
    sigma = np.concatenate([returns[top], returns[n + top]]).std()
    sigma_unbiased = sigma * np.sqrt(2 * b / (2 * b - 1))
    ours = (search.tell(state, asked, returns).theta - theta) * b * sigma
    np.testing.assert_allclose(
        ours / (b * sigma_unbiased + 1e-6), theirs.weights.numpy() - theta, rtol=1e-9
    )


def test_openai_es_ranks_by_hand_with_ties():
    # n = 6: sorted 1 2 4 4 4 9 have ranks 1 2 4 4 4 6, centred (r − 3.5)/5
    returns = np.array([4.0, 9, 1, 4, 2, 4])
    ranks = np.array([0.1, 0.5, -0.5, 0.1, -0.3, 0.1])
    weights = CentredRanks()(returns, "antithetic", 0.02)
    np.testing.assert_allclose(weights, (ranks[:3] - ranks[3:]) / 2 / (3 * 0.02), rtol=1e-14)
    one_sided = CentredRanks()(returns, "one-sided", 0.5)
    np.testing.assert_allclose(one_sided, ranks / (6 * 0.5), rtol=1e-14)
    forward = CentredRanks()(returns, "forward", 0.5)
    np.testing.assert_allclose(forward, (ranks[:5] - ranks[5]) / (5 * 0.5), atol=1e-15)


@pytest.mark.parametrize(
    ("scheme", "contrasts"),
    [
        ("antithetic", [(4 - 4) / 2, (9 - 2) / 2, (1 - 0) / 2]),
        ("one-sided", [4, 9, 1, 4, 2, 0]),
        ("forward", [4, 9, 1, 4, 2]),
    ],
)
def test_standardised_weights_by_hand(scheme, contrasts):
    weights = Standardised()(np.array([4.0, 9, 1, 4, 2, 0]), scheme, 0.25)
    z = (np.array(contrasts) - np.mean(contrasts)) / np.std(contrasts)
    np.testing.assert_allclose(weights, z / (len(contrasts) * 0.25), rtol=1e-13)


NO_SCALE = [
    (weights, scheme)
    for weights in (Standardised(), NormalisedReturns(), CentredRanks(), SigmaR())
    for scheme in SCHEMES
    if not (isinstance(weights, SigmaR) and scheme == ONE_SIDED)  # which is refused
]


@pytest.mark.parametrize(("weights", "scheme"), NO_SCALE)
def test_equal_returns_weigh_nothing_and_a_small_difference_weighs_something(weights, scheme):
    # numpy's standard deviation of equal numbers is often some ulps, which are no signal.
    values = (0.0, -200.0, 0.1, 0.3, 1 / 3, 0.7, 1e12, -1e-300, -1e8 / 3)
    for m, value in itertools.product(range(2, 12), values):
        assert not weights(np.full(candidates_of(scheme, m), value), scheme, 0.1).any()
    returns = np.zeros(candidates_of(scheme, 4))
    returns[0] = 1e-9
    assert weights(returns, scheme, 0.1)[0] > 0


@pytest.mark.parametrize(("weights", "scheme"), NO_SCALE)
def test_a_small_difference_counts_beside_a_large_common_return(weights, scheme):
    # A task that costs −200 whatever the policy does, and a thousandth of a thousandth on top.
    returns = np.zeros(candidates_of(scheme, 4))
    returns[0] = 1e-6
    alone = weights(returns, scheme, 0.1)
    np.testing.assert_allclose(weights(returns - 200.0, scheme, 0.1), alone, rtol=1e-6, atol=1e-9)


RETURNS = st.lists(st.integers(-1000, 1000), min_size=8, max_size=8)


EXAMPLES = settings(deadline=None, derandomize=True, max_examples=60)


def next_theta(search, returns):
    state = search.init(np.array([1.0, -2.0, 0.5]))
    return search.tell(state, search.ask(state, rng_of()), returns).theta


@EXAMPLES
@given(RETURNS)
def test_ranks_see_only_the_order_of_the_returns(returns):
    returns = np.array(returns, dtype=float)
    expected = next_theta(openai_es(m=4), returns)
    for transform in (lambda x: 3 * x - 5, np.cbrt, lambda x: np.exp(x / 100), np.arctan):
        np.testing.assert_array_equal(next_theta(openai_es(m=4), transform(returns)), expected)


@EXAMPLES
@given(RETURNS, st.sampled_from([0.5, 3.0, 1e-6, 1e6]), st.sampled_from([0.0, -17.5, 1e4]))
@pytest.mark.parametrize(
    "search", [ars(m=4), ars(m=4, top=2), es(m=4), es("vanilla", m=8), es("fd", m=7)], ids=str
)
def test_scaled_weights_do_not_see_units_and_offset(search, returns, scale, offset):
    returns = np.array(returns, dtype=float)
    expected = next_theta(search, returns)
    # An offset of 1e10 spreads costs digits in float64 and must not be larger than the tolerance.
    got = next_theta(search, scale * (returns + offset))
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("top", [0, -1, 2.0, True, "3"])
def test_top_must_be_a_positive_integer(top):
    with pytest.raises(ConfigurationError, match=r"top .*must be an integer ≥ 1"):
        ars(top=top)
