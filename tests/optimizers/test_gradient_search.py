"""Gradient search: unbiased at the right scale, equal to the published updates, pure.

Statistical tests use fixed seeds and tolerances of 4.5 standard errors, which each test estimates
from its own draws or takes from a closed form.
"""

from __future__ import annotations

import dataclasses
import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from zorl.common.errors import ConfigurationError, UnknownNameError
from zorl.optimizers import (
    SGD,
    Adam,
    CentredRanks,
    ClipUp,
    GainSequence,
    GradientSearch,
    Guide,
    NormalisedReturns,
    Raw,
    SigmaR,
    Standardised,
    ars,
    es,
    mpge,
    openai_es,
    spsa,
    two_point,
)
from zorl.optimizers.base import Asked
from zorl.optimizers.directions import DIRECTIONS
from zorl.optimizers.weights import SCHEMES

Z = 4.5
DIMS = (2, 11, 51)
RECIPES = {
    "spsa": spsa(m=3),
    "spsa with gains": spsa(gains=True, stability=5.0, m=2),
    "two-point": two_point(m=2),
    "mpge": mpge(),
    "es": es(m=4),
    "es vanilla": es("vanilla", m=4),
    "es fd": es("fd", m=4),
    "es uniform": es(m=4, noise="uniform"),
    "ars": ars(m=4, top=2),
    "openai-es": openai_es(m=4),
}
each_recipe = pytest.mark.parametrize("search", RECIPES.values(), ids=RECIPES.keys())


def rng_of(seed=0):
    return np.random.default_rng(seed)


def estimates(search, theta, function, count, seed=0):
    """(count, d) gradient estimates of a batched function at theta."""
    state, rng = search.init(theta), rng_of(seed)
    rows = []
    for _ in range(count):
        asked = search.ask(state, rng)
        rows.append(search.gradient(state, asked, function(asked.thetas)))
    return np.array(rows)


def assert_mean_is(rows, expected):
    """Every coordinate's mean, and the slope on the expected vector, within Z standard errors."""
    error = rows.std(axis=0, ddof=1) / np.sqrt(len(rows))
    assert (np.abs(rows.mean(axis=0) - expected) <= Z * error + 1e-9).all()
    slopes = rows @ expected / (expected @ expected)
    slope_error = slopes.std(ddof=1) / np.sqrt(len(rows))
    assert abs(slopes.mean() - 1) <= Z * slope_error + 1e-9
    assert slope_error < 0.06  # a wrong factor of 1.3 or more cannot pass


def m_values(dim):
    return sorted({1, 2, max(dim // 2, 1), dim})


# -- scale: unbiased estimates of the gradient ---------------------------------------------------

each_method = pytest.mark.parametrize(
    ("recipe", "m", "dim"),
    [(recipe, m, d) for recipe in (spsa, two_point, mpge) for d in DIMS for m in m_values(d)],
)


def draws(dim, m):
    """How many estimates bring the slope's standard error to about 0.04."""
    return max(300, 1000 * min(dim, 3) // m)


@each_method
def test_estimates_of_a_linear_function_have_slope_one(recipe, m, dim):
    g = rng_of(dim).normal(size=dim)
    search = recipe(radius=0.3, m=m)
    rows = estimates(search, rng_of(1).normal(size=dim), lambda x: x @ g + 17.0, draws(dim, m))
    assert_mean_is(rows, g)


@each_method
def test_estimates_of_a_quadratic_are_its_gradient(recipe, m, dim):
    rng = rng_of(dim)
    root = rng.normal(size=(dim, dim)) / np.sqrt(dim)
    hessian, peak = -(root @ root.T), rng.normal(size=dim)
    theta = peak + rng.normal(size=dim)

    def function(x):
        return 0.5 * np.einsum("ni,ij,nj->n", x - peak, hessian, x - peak)

    rows = estimates(recipe(radius=0.5, m=m), theta, function, draws(dim, m))
    assert_mean_is(rows, hessian @ (theta - peak))


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("directions", DIRECTIONS)
def test_raw_weights_are_unbiased_with_every_scheme_and_direction(directions, scheme, dim):
    g = rng_of(dim).normal(size=dim)
    m = max(1, min(8, dim // 2))
    search = GradientSearch(SGD(1.0), 0.7, m, directions, scheme)
    rows = estimates(search, np.zeros(dim), lambda x: x @ g, 3000 // m)
    assert_mean_is(rows, g)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(
    ("directions", "fourth"), [("gaussian", 3.0), ("uniform", 9 / 5), ("rademacher", 1.0)]
)
def test_the_gradient_is_that_of_the_smoothed_function(directions, fourth, scheme):
    """On x³ with independent directions, E[δ⁴] = κ: the smoothed gradient is 3x² + κc²."""
    x, c = 0.8, 0.9
    search = GradientSearch(SGD(1.0), c, 200, directions, scheme)
    rows = estimates(search, [x], lambda thetas: thetas[:, 0] ** 3, 300)
    assert_mean_is(rows, np.array([3 * x**2 + fourth * c**2]))


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("m", [None, "d"])
def test_mpge_with_a_whole_basis_is_exact_on_a_linear_function(dim, m):
    g = rng_of(dim).normal(size=dim)
    search = mpge(radius=0.25, m=dim if m else None)
    rows = estimates(search, rng_of(3).normal(size=dim), lambda x: x @ g, 5)
    np.testing.assert_allclose(rows, np.tile(g, (5, 1)), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("search", "relative_mse"),
    [
        (spsa(m=1), 11 - 1),
        (spsa(m=5), (11 - 1) / 5),
        (two_point(m=1), 11 - 1),
        (GradientSearch(SGD(1.0), 0.1, 1, "gaussian"), 11 + 1),
        (GradientSearch(SGD(1.0), 0.1, 4, "gaussian"), (11 + 1) / 4),
        (GradientSearch(SGD(1.0), 0.1, 1, "uniform"), 11 - 1 / 5),
        (mpge(m=1), 11 - 1),
        (mpge(m=4), 11 / 4 - 1),
        (mpge(m=10), 11 / 10 - 1),
    ],
    ids=lambda value: f"{value:.2f}" if isinstance(value, float) else "",
)
def test_the_variance_has_its_closed_form(search, relative_mse):
    """On g·x with independent directions, E|ĝ − g|² / |g|² = (d + κ − 2)/m; orthogonal, d/m − 1."""
    g = np.ones(11)  # the worst case for no method and the same for all of them
    rows = estimates(search, np.zeros(11), lambda x: x @ g, 4000)
    errors = ((rows - g) ** 2).sum(axis=1) / 11
    standard_error = errors.std(ddof=1) / np.sqrt(4000)
    assert errors.mean() == pytest.approx(relative_mse, abs=Z * standard_error)
    assert standard_error < 0.05 * relative_mse


# -- directions ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dim", [1, 2, 11])
@pytest.mark.parametrize("name", DIRECTIONS)
def test_directions_have_zero_mean_and_identity_covariance(name, dim):
    rng, m = rng_of(), max(1, dim // 2)
    rows = np.concatenate([DIRECTIONS[name](rng, m, dim) for _ in range(8000 // m)])
    assert np.abs(rows.mean(axis=0)).max() < Z / np.sqrt(len(rows))
    products = rows[:, :, None] * rows[:, None, :]
    error = products.std(axis=0) / np.sqrt(len(rows))
    assert (np.abs(products.mean(axis=0) - np.eye(dim)) <= Z * error + 1e-12).all()


@pytest.mark.parametrize("m", [1, 3, 7])
def test_directions_have_their_shapes(m):
    d = 7
    drawn = {name: sampler(rng_of(), m, d) for name, sampler in DIRECTIONS.items()}
    assert all(rows.shape == (m, d) and rows.dtype == np.float64 for rows in drawn.values())
    assert set(np.unique(drawn["rademacher"])) == {-1.0, 1.0}
    assert np.abs(drawn["uniform"]).max() <= np.sqrt(3)
    assert np.abs(DIRECTIONS["uniform"](rng_of(), 1000, 1)).max() > 0.99 * np.sqrt(3)
    np.testing.assert_allclose((drawn["sphere"] ** 2).sum(axis=1), np.full(m, d), rtol=1e-12)
    gram = drawn["orthogonal"] @ drawn["orthogonal"].T
    np.testing.assert_allclose(gram, d * np.eye(m), atol=1e-12)


def test_sphere_and_rademacher_rows_are_independent_but_orthogonal_ones_are_not():
    for name in ("gaussian", "uniform", "rademacher", "sphere"):
        pairs = [DIRECTIONS[name](rng_of(seed), 2, 5) for seed in range(500)]
        assert np.std([a @ b for a, b in pairs]) == pytest.approx(np.sqrt(5), rel=0.2)


# -- asking --------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", SCHEMES)
def test_candidates_lie_where_the_scheme_says(scheme):
    theta = np.array([1.0, -2.0, 3.0])
    search = GradientSearch(SGD(1.0), 0.25, 2, "rademacher", scheme)
    asked = search.ask(search.init(theta), rng_of())
    plus, minus = theta + 0.25 * asked.directions, theta - 0.25 * asked.directions
    expected = {
        "antithetic": [*plus, *minus],
        "forward": [*plus, theta],
        "one-sided": [*plus],
    }[scheme]
    np.testing.assert_array_equal(asked.thetas, expected)
    assert len(asked) == len(expected) and asked.t == 0


def test_recipes_ask_for_as_many_candidates_as_the_field_says():
    counts = {name: len(s.ask(s.init(np.zeros(5)), rng_of())) for name, s in RECIPES.items()}
    assert counts == {
        "spsa": 6,
        "spsa with gains": 4,
        "two-point": 4,
        "mpge": 10,
        "es": 8,
        "es vanilla": 4,
        "es fd": 5,
        "es uniform": 8,
        "ars": 8,
        "openai-es": 8,
    }


def test_recipes_perturb_as_their_papers_do():
    def offsets(search, d=6):
        return search.ask(search.init(np.zeros(d)), rng_of()).thetas

    np.testing.assert_allclose(np.abs(offsets(spsa(radius=0.5))), 0.5)
    lengths = np.linalg.norm(offsets(two_point(radius=0.5, m=4)), axis=1)
    np.testing.assert_allclose(lengths, 0.5 * np.sqrt(6))
    basis = offsets(mpge(radius=0.5))[:6]
    np.testing.assert_allclose(basis @ basis.T, 0.25 * 6 * np.eye(6), atol=1e-12)
    for search in (ars(radius=0.5, m=2000), es(sigma=0.5, m=2000), openai_es(sigma=0.5, m=2000)):
        rows = offsets(search)
        assert rows.std() == pytest.approx(0.5, rel=0.03)
        assert (rows**4).mean() / 0.5**4 == pytest.approx(3, rel=0.1)  # Gaussian
    assert np.abs(offsets(es(sigma=0.5, m=500, noise="uniform"))).max() <= 0.5 * np.sqrt(3)


@each_recipe
def test_candidates_are_a_function_of_state_and_generator(search):
    state = search.init(np.ones(4))
    one, same, other = (search.ask(state, rng_of(seed)) for seed in (7, 7, 8))
    np.testing.assert_array_equal(one.thetas, same.thetas)
    np.testing.assert_array_equal(one.directions, same.directions)
    assert not np.array_equal(one.thetas, other.thetas)


def test_the_radius_decays_as_spall_says():
    search = spsa(radius=0.4, gains=True)
    state = search.init(np.zeros(3))
    for t in range(4):
        c = 0.4 / (t + 1) ** 0.101
        asked = search.ask(state, rng_of(t))
        np.testing.assert_allclose(np.abs(asked.thetas - state.theta), c, rtol=1e-14)
        assert search.radius_at(t) == pytest.approx(c, rel=1e-15)
        gradient = search.gradient(state, asked, [5.0, 1.0])
        np.testing.assert_allclose(gradient, (5 - 1) / (2 * c) * asked.directions[0], rtol=1e-14)
        state = search.tell(state, asked, [5.0, 1.0])
    assert {spsa(radius=0.4).radius_at(t) for t in (0, 5, 1000)} == {0.4}


def test_spsa_by_hand_over_two_updates_with_gains():
    search = spsa(learning_rate=0.2, radius=0.1, gains=True, stability=3.0)
    state = search.init([1.0, 2.0])
    theta = np.array([1.0, 2.0])
    for t, (plus, minus) in enumerate([(3.0, 1.0), (-4.0, 2.5)]):
        asked = search.ask(state, rng_of(t))
        delta = asked.directions[0]
        gain, c = 0.2 / (3 + t + 1) ** 0.602, 0.1 / (t + 1) ** 0.101
        theta = theta + gain * (plus - minus) / (2 * c) / delta  # Spall divides by ±1
        state = search.tell(state, asked, [plus, minus])
        np.testing.assert_allclose(state.theta, theta, rtol=1e-13)
        assert state.t == t + 1


# -- weights -------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("top", [None, 1, 3, 8])
@pytest.mark.parametrize("ties", [False, True])
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


def test_openai_es_is_adam_on_the_ranked_gradient_with_weight_decay():
    search = openai_es(learning_rate=0.1, sigma=0.5, m=2, weight_decay=0.3)
    state, theta = search.init([1.0, -2.0]), np.array([1.0, -2.0])
    first, second = np.zeros(2), np.zeros(2)
    for t, returns in enumerate([[3.0, 1, 3, 2], [-1.0, 7, 7, 0]]):
        asked = search.ask(state, rng_of(t))
        ranks = {1: [1, -1.5, 1, -0.5], 2: [-1.5, 1, 1, -0.5]}[t + 1]
        u = np.array(ranks) / 3
        gradient = sum((u[k] - u[2 + k]) / 2 * asked.directions[k] for k in range(2)) / (2 * 0.5)
        gradient = gradient - 0.3 * theta
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        mean, variance = first / (1 - 0.9 ** (t + 1)), second / (1 - 0.999 ** (t + 1))
        theta = theta + 0.1 * mean / (np.sqrt(variance) + 1e-8)
        state = search.tell(state, asked, returns)
        np.testing.assert_allclose(state.theta, theta, rtol=1e-12)


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


RETURNS = st.lists(st.integers(-1000, 1000), min_size=8, max_size=8)
EXAMPLES = settings(deadline=None, derandomize=True, max_examples=60)


def ask_of(search):
    return search.ask(search.init(np.array([1.0, -2.0, 0.5])), rng_of())


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


# -- rules for returns ---------------------------------------------------------------------------


@each_recipe
@pytest.mark.parametrize("value", [0.0, -200.0, 0.1, 1 / 3, 1e12, -1e-300])
def test_equal_returns_move_nothing_at_all(search, value):
    theta = np.array([0.1, -2.0, 3e5, 7.0])
    state = search.init(theta)
    asked = search.ask(state, rng_of())
    returns = np.full(len(asked), value)
    np.testing.assert_array_equal(search.gradient(state, asked, returns), np.zeros(4))
    after = search.tell(state, asked, returns)
    np.testing.assert_array_equal(after.theta, theta)
    assert after.t == 1


@pytest.mark.parametrize("make", [lambda m: es("vanilla", m=m), lambda m: ars(m=m)])
def test_a_spread_that_is_only_rounding_is_no_signal(make):
    for m, value in itertools.product(range(2, 12), (0.1, 0.3, 0.7, -1e8 / 3)):
        assert next_theta(make(m), np.full(len(ask_of(make(m))), value)).tolist() == [1, -2, 0.5]
    assert np.full(3, 0.1).std() > 0  # numpy's deviation of equal numbers


@each_recipe
def test_a_single_row_of_signal_does_move_theta(search):
    state = search.init(np.ones(4))
    asked = search.ask(state, rng_of())
    returns = np.zeros(len(asked))
    returns[0] = 1e-9
    assert (search.tell(state, asked, returns).theta != state.theta).all()


@each_recipe
def test_faults_count_as_the_worst_finite_return(search):
    state = search.init(np.ones(4))
    asked = search.ask(state, rng_of())
    returns = rng_of(9).normal(-50, 10, len(asked))
    returns[2] = returns[[0, 1, 3]].min() - 1
    returns[0] = returns[1:].min()
    expected = search.tell(state, asked, returns).theta
    for fault in (np.nan, np.inf, -np.inf):
        faulty = returns.copy()
        faulty[0] = fault
        np.testing.assert_array_equal(search.tell(state, asked, faulty).theta, expected)
        kept = faulty.copy()
        search.tell(state, asked, faulty)
        np.testing.assert_array_equal(faulty, kept)  # the caller's array stays as it was
        nothing = search.tell(state, asked, np.full(len(asked), fault))
        np.testing.assert_array_equal(nothing.theta, state.theta)


@each_recipe
@pytest.mark.parametrize("shape", ["n-1", "n+1", "column", "scalar", "empty"])
def test_returns_of_another_shape_are_refused(search, shape):
    state = search.init(np.ones(4))
    asked = search.ask(state, rng_of())
    n = len(asked)
    returns = {
        "n-1": np.zeros(n - 1),
        "n+1": np.zeros(n + 1),
        "column": np.zeros((n, 1)),
        "scalar": 1.0,
        "empty": [],
    }[shape]
    with pytest.raises(ConfigurationError, match=rf"one return per candidate, shape \({n},\)"):
        search.tell(state, asked, returns)


@each_recipe
def test_foreign_candidates_are_refused(search):
    state = search.init(np.ones(4))
    asked = search.ask(state, rng_of())
    returns = np.arange(float(len(asked)))
    later = search.tell(state, asked, returns)
    with pytest.raises(ConfigurationError, match=r"asked at update 0 .* state is at update 1"):
        search.tell(later, asked, returns)
    other = search.init(np.ones(5))
    foreign = search.ask(other, rng_of())
    with pytest.raises(ConfigurationError, match=r"\(d = 5\), but the state .* \(d = 4\)"):
        search.tell(state, foreign, np.zeros(len(foreign)))
    bare = Asked(asked.thetas, 0, sigma=1.0)
    with pytest.raises(ConfigurationError, match="carry no directions"):
        search.tell(state, bare, returns)


@pytest.mark.parametrize(
    ("told", "asks"),
    [
        (GradientSearch(SGD(1.0), 0.1, 3, scheme="forward"), GradientSearch(SGD(1.0), 0.1, 3)),
        (GradientSearch(SGD(1.0), 0.1, 3), GradientSearch(SGD(1.0), 0.1, 5, scheme="forward")),
        (GradientSearch(SGD(1.0), 0.1, 6, scheme="one-sided"), GradientSearch(SGD(1.0), 0.1, 3)),
        (spsa(m=2), spsa(m=3)),
        (mpge(), mpge(m=3)),
        (mpge(m=3), mpge()),
    ],
    ids=["forward", "antithetic", "one-sided", "m", "m of all", "all of m"],
)
@pytest.mark.parametrize("flat", [False, True])
def test_candidates_of_another_scheme_or_number_are_refused(told, asks, flat):
    state = told.init(np.ones(4))
    asked = asks.ask(state, rng_of())
    returns = np.zeros(len(asked)) if flat else np.arange(float(len(asked)))
    for use in (told.tell, told.gradient):
        with pytest.raises(
            ConfigurationError, match=r"this .* search asks for .*search that asked"
        ):
            use(state, asked, returns)
    asks.tell(state, asked, returns)


def test_returns_may_be_any_sequence_of_numbers():
    search = spsa()
    state = search.init(np.ones(3))
    asked = search.ask(state, rng_of())
    thetas = [
        search.tell(state, asked, returns).theta
        for returns in ([3, 1], (3.0, 1.0), np.float32([3, 1]), np.array([3, 1]))
    ]
    for theta in thetas[1:]:
        np.testing.assert_array_equal(theta, thetas[0])


# -- purity --------------------------------------------------------------------------------------


def arrays_of(value):
    """Every array in nested dataclasses."""
    for field in dataclasses.fields(value):
        item = getattr(value, field.name)
        if dataclasses.is_dataclass(item):
            yield from arrays_of(item)
        elif isinstance(item, np.ndarray):
            yield item


@each_recipe
def test_states_and_candidates_are_read_only_and_never_change(search):
    start = np.array([1.0, -2.0, 0.5, 3.0])
    state = search.init(start)
    start[:] = 99.0
    np.testing.assert_array_equal(state.theta, [1.0, -2.0, 0.5, 3.0])
    for t in range(3):
        asked = search.ask(state, rng_of(t))
        held = [*arrays_of(state), *arrays_of(asked)]
        copies = [array.copy() for array in held]
        returns = rng_of(t).normal(size=len(asked))
        one, two = search.tell(state, asked, returns), search.tell(state, asked, returns)
        for array, copy in zip(held, copies, strict=True):
            np.testing.assert_array_equal(array, copy)
            assert not array.flags.writeable
        for a, b in zip(arrays_of(one), arrays_of(two), strict=True):
            np.testing.assert_array_equal(a, b)  # telling twice is telling once
        assert (state.t, asked.t, one.t) == (t, t, t + 1)
        with pytest.raises(ValueError, match="read-only"):
            asked.thetas[0] = 0.0
        state = one
    with pytest.raises(dataclasses.FrozenInstanceError):
        state.t = 0


@pytest.mark.parametrize(
    ("theta", "message"),
    [
        ([], "non-empty vector"),
        (1.0, "non-empty vector"),
        ([[1.0, 2.0]], r"got shape \(1, 2\)"),
        ([0.0, np.nan, 1.0], r"theta\[1\] is nan"),
        ([0.0, 1.0, -np.inf], r"theta\[2\] is -inf"),
    ],
)
def test_a_start_that_is_no_finite_vector_is_refused(theta, message):
    with pytest.raises(ConfigurationError, match=message):
        spsa().init(theta)


def test_a_start_may_be_integers_or_float32_and_becomes_float64():
    for theta in ([1, 2], np.float32([1, 2]), (1, 2)):
        state = spsa().init(theta)
        assert state.theta.dtype == np.float64 and state.theta.tolist() == [1.0, 2.0]


# -- parts and settings --------------------------------------------------------------------------


def test_weight_decay_pulls_towards_zero():
    with_decay = GradientSearch(SGD(0.5), 0.1, 2, weight_decay=0.1)
    without = GradientSearch(SGD(0.5), 0.1, 2)
    state = without.init([2.0, -4.0])
    asked = without.ask(state, rng_of())
    plain, decayed = (s.tell(state, asked, np.arange(4.0)).theta for s in (without, with_decay))
    np.testing.assert_allclose(decayed - plain, [-0.1, 0.2], rtol=1e-13)


def test_momentum_is_carried_in_the_state():
    search = GradientSearch(SGD(1.0, momentum=0.5), 0.1)
    state = search.init([0.0, 0.0])
    asked = search.ask(state, rng_of())
    first = search.tell(state, asked, [1.0, 0.0])
    again = search.ask(first, rng_of(1))
    second = search.tell(first, again, [2.0, 0.0])
    push = search.gradient(first, again, [2.0, 0.0])
    np.testing.assert_allclose(second.theta, 1.5 * first.theta + push, rtol=1e-14)


@pytest.mark.parametrize(
    "search",
    [
        GradientSearch(SGD(1.0, momentum=0.9), 0.1, 4, weight_decay=0.1),
        GradientSearch(Adam(0.1), 0.1, 4, scheme="one-sided"),
        GradientSearch(ClipUp(0.1), 0.1, 4, scheme="forward", guide=Guide(2)),
    ],
    ids=["momentum", "adam one-sided", "clipup guided"],
)
@pytest.mark.parametrize("value", [0.0, -200.0, np.nan])
def test_equal_returns_leave_momentum_and_memory_alone_too(search, value):
    state = search.init(np.ones(3))
    asked = search.ask(state, rng_of())
    state = search.tell(state, asked, np.arange(float(len(asked))))
    asked = search.ask(state, rng_of(1))
    after = search.tell(state, asked, np.full(len(asked), value))
    assert after.t == 2
    for field in dataclasses.fields(state):
        if field.name != "t":
            assert getattr(after, field.name) is getattr(state, field.name)


def test_a_single_one_sided_return_is_a_measurement_not_a_flat_generation():
    search = spsa(0.1, 0.5, measurements=1)
    state = search.init([0.0, 0.0])
    asked = search.ask(state, rng_of())
    assert asked.thetas.shape == (1, 2)
    after = search.tell(state, asked, [3.0])
    np.testing.assert_allclose(after.theta, 0.1 * 3.0 / 0.5 * asked.directions[0], rtol=1e-15)


@pytest.mark.parametrize(
    "search",
    [
        spsa(0.05, 0.1),
        spsa(1.0, 0.1, gains=True, stability=10),
        two_point(0.05, 0.1),
        mpge(0.2, 0.1),
        es("antithetic", 0.01, 0.1),
        es("vanilla", 0.01, 0.1, m=32),
        es("fd", 0.01, 0.1, m=32),
        ars(0.05, 0.1, m=8, top=4),
        openai_es(0.05, 0.1, m=16),
    ],
    ids=lambda s: type(s.weights).__name__ + "-" + s.scheme + "-" + s.directions,
)
def test_every_recipe_climbs_a_quadratic(search):
    peak = np.array([1.0, -1.0, 0.5, 2.0])
    state = search.init(np.zeros(4))
    for t in range(300):
        asked = search.ask(state, rng_of(t))
        state = search.tell(state, asked, -((asked.thetas - peak) ** 2).sum(axis=1))
    assert np.linalg.norm(state.theta - peak) < 0.2 * np.linalg.norm(peak)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        *(({"radius": bad}, "radius must be") for bad in (0.0, -1.0, np.nan, np.inf)),
        *(({"m": bad}, "m must be an integer ≥ 1") for bad in (0, -2, 1.5, True, "3")),
        *(({"radius_decay": bad}, "radius_decay must") for bad in (-0.1, np.nan, np.inf)),
        *(({"weight_decay": bad}, "weight_decay must") for bad in (-0.1, np.nan, np.inf)),
        ({"weights": Standardised(), "m": 1}, "need m ≥ 2"),
        ({"weights": CentredRanks(), "m": 1, "scheme": "one-sided"}, "need m ≥ 2"),
        ({"weights": SigmaR(), "scheme": "one-sided"}, "σ_R weights need the antithetic or forw"),
        ({"weights": SigmaR(), "scheme": "forward"}, "forward σ_R weights need m ≥ 2"),
        ({"weights": SigmaR(1), "m": 4, "scheme": "forward"}, "top ≥ 2"),
        ({"weights": NormalisedReturns(), "scheme": "one-sided"}, "need m ≥ 2"),
        ({"weights": SigmaR(5), "m": 4}, "top = 5 of m = 4"),
        ({"weights": "ranks"}, r"weights such as Raw\(\) or CentredRanks\(\), got 'ranks'"),
        ({"weights": CentredRanks}, r"weights such as .*CentredRanks\(\), got <class"),
        ({"weights": None}, "weights must be weights .*got None"),
        ({"step_rule": 0.1}, r"step_rule must be a step rule such as SGD\(0.1\), got 0.1"),
        ({"step_rule": SGD}, r"step_rule must be a step rule .*got <class"),
        ({"step_rule": Raw()}, r"step_rule must be a step rule .*got Raw\(\)"),
        ({"directions": ["gaussian"]}, r"unknown direction \['gaussian'\]"),
        ({"scheme": ["forward"]}, r"unknown scheme \['forward'\]"),
    ],
)
def test_settings_that_cannot_work_are_refused(options, message):
    with pytest.raises(ConfigurationError, match=message):
        GradientSearch(**{"step_rule": SGD(1.0), "radius": 0.1, **options})


@pytest.mark.parametrize("top", [0, -1, 2.0, True])
def test_top_must_be_a_positive_integer(top):
    with pytest.raises(ConfigurationError, match=r"top .* must be an integer ≥ 1"):
        ars(top=top)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GradientSearch(SGD(1.0), 0.1, directions="gausian"), "mean 'gaussian'"),
        (lambda: GradientSearch(SGD(1.0), 0.1, scheme="antitetic"), "mean 'antithetic'"),
        (lambda: es("vanila"), "mean 'vanilla'"),
        (lambda: es(noise="uniforms"), "mean 'uniform'"),
        (lambda: GradientSearch(SGD(1.0), 0.1, directions=None), "unknown direction None"),
    ],
    ids=["direction", "scheme", "variant", "noise", "none"],
)
def test_unknown_parts_are_named_with_their_neighbours(make, message):
    with pytest.raises(UnknownNameError, match=message):
        make()


def test_recipes_are_values_made_of_the_parts_in_the_designs_table():
    assert spsa() == GradientSearch(SGD(0.1), 0.1, 1, "rademacher")
    assert spsa(gains=True, stability=9.0) == GradientSearch(
        GainSequence(0.1, 9.0, 0.602), 0.1, 1, "rademacher", radius_decay=0.101
    )
    assert two_point() == GradientSearch(SGD(0.1), 0.1, 1, "sphere")
    assert mpge() == GradientSearch(SGD(0.1), 0.1, None, "orthogonal")
    assert es("fd").scheme == "forward" and es("vanilla").scheme == "one-sided"
    assert es().weights == Standardised() and ars(top=3).weights == SigmaR(3)
    assert openai_es(0.1).step_rule == Adam(0.1) and openai_es().weights == CentredRanks()
    assert spsa().weights == Raw()
