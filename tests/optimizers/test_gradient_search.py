"""Gradient search: unbiased at the right scale, with the published candidates and steps.

`check_estimator` covers every direction and scheme (tests/testing/test_what_zorl_has.py); here are
some of them without it. Seeds are fixed. Tolerances are 4.5 standard errors, which each test
estimates from its own draws or takes from a closed form.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from optimizer_toys import assert_same

from zorl.common.errors import ConfigurationError, UnknownNameError
from zorl.optimizers import (
    SGD,
    Adam,
    CentredRanks,
    ClipUp,
    GradientSearch,
    Guide,
    NormalisedReturns,
    Raw,
    SigmaR,
    Standardised,
    mpge,
    spsa,
    two_point,
)
from zorl.optimizers.base import Asked
from zorl.optimizers.weights import SCHEMES

Z = 4.5


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


@pytest.mark.parametrize(
    ("recipe", "m", "dim"),
    [(spsa, 1, 2), (spsa, 25, 51), (two_point, 2, 11), (mpge, 5, 11), (mpge, 25, 51)],
)
def test_estimates_are_the_gradient_of_a_linear_and_of_a_quadratic_function(recipe, m, dim):
    rng, draws = rng_of(dim), max(300, 1000 * min(dim, 3) // m)
    g = rng.normal(size=dim)
    search = recipe(radius=0.5, m=m)
    assert_mean_is(estimates(search, rng.normal(size=dim), lambda x: x @ g + 17.0, draws), g)

    root = rng.normal(size=(dim, dim)) / np.sqrt(dim)
    hessian, peak = -(root @ root.T), rng.normal(size=dim)
    theta = peak + rng.normal(size=dim)

    def quadratic(x):
        return 0.5 * np.einsum("ni,ij,nj->n", x - peak, hessian, x - peak)

    assert_mean_is(estimates(search, theta, quadratic, draws), hessian @ (theta - peak))


@pytest.mark.parametrize(
    ("directions", "fourth", "scheme"),
    [
        ("gaussian", 3.0, "antithetic"),
        ("uniform", 9 / 5, "forward"),
        ("rademacher", 1.0, "one-sided"),
    ],
)
def test_the_gradient_is_that_of_the_smoothed_function(directions, fourth, scheme):
    """On x³ with independent directions, E[δ⁴] = κ: the smoothed gradient is 3x² + κc²."""
    x, c = 0.8, 0.9
    search = GradientSearch(SGD(1.0), c, 200, directions, scheme)
    rows = estimates(search, [x], lambda thetas: thetas[:, 0] ** 3, 300)
    assert_mean_is(rows, np.array([3 * x**2 + fourth * c**2]))


def test_mpge_with_a_whole_basis_is_exact_on_a_linear_function():
    for dim, m in ((2, None), (11, 11), (51, None)):
        g = rng_of(dim).normal(size=dim)
        search = mpge(radius=0.25, m=m)
        rows = estimates(search, rng_of(3).normal(size=dim), lambda x, g=g: x @ g, 5)
        np.testing.assert_allclose(rows, np.tile(g, (5, 1)), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("search", "relative_mse"),
    [
        (spsa(m=5), (11 - 1) / 5),
        (GradientSearch(SGD(1.0), 0.1, 4, "gaussian"), (11 + 1) / 4),
        (GradientSearch(SGD(1.0), 0.1, 1, "uniform"), 11 - 1 / 5),
        (mpge(m=4), 11 / 4 - 1),
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


def test_the_radius_decays_as_spall_says():
    search = spsa(radius=0.4, gains=True)
    state = search.init(np.zeros(3))
    for t in range(4):
        c = 0.4 / (t + 1) ** 0.101
        asked = search.ask(state, rng_of(t))
        np.testing.assert_allclose(np.abs(asked.thetas - state.theta), c, rtol=1e-14)
        assert asked.sigma == search.radius_at(t) == pytest.approx(c, rel=1e-15)
        gradient = search.gradient(state, asked, [5.0, 1.0])
        np.testing.assert_allclose(gradient, (5 - 1) / (2 * c) * asked.directions[0], rtol=1e-14)
        state = search.tell(state, asked, [5.0, 1.0])
    assert {spsa(radius=0.4).radius_at(t) for t in (0, 5, 1000)} == {0.4}


def test_candidates_without_directions_are_refused():
    search = spsa()
    state = search.init(np.ones(4))
    asked = search.ask(state, rng_of())
    with pytest.raises(ConfigurationError, match="carry no directions"):
        search.tell(state, Asked(asked.thetas, 0, sigma=1.0), [1.0, 2.0])


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
def test_candidates_of_another_scheme_or_number_are_refused(told, asks):
    state = told.init(np.ones(4))
    asked = asks.ask(state, rng_of())
    for returns in (np.zeros(len(asked)), np.arange(float(len(asked)))):
        for use in (told.tell, told.gradient):
            with pytest.raises(
                ConfigurationError, match=r"this .* search asks for .*search that asked"
            ):
                use(state, asked, returns)
        asks.tell(state, asked, returns)


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
def test_equal_returns_leave_momentum_and_memory_alone_too(search):
    state = search.init(np.ones(3))
    asked = search.ask(state, rng_of())
    state = search.tell(state, asked, np.arange(float(len(asked))))
    asked = search.ask(state, rng_of(1))
    for value in (0.0, -200.0, np.nan):
        assert_same(search.tell(state, asked, np.full(len(asked), value)), replace(state, t=2))


def test_a_single_one_sided_return_is_a_measurement_not_a_flat_generation():
    search = spsa(0.1, 0.5, measurements=1)
    state = search.init([0.0, 0.0])
    asked = search.ask(state, rng_of())
    assert asked.thetas.shape == (1, 2)
    after = search.tell(state, asked, [3.0])
    np.testing.assert_allclose(after.theta, 0.1 * 3.0 / 0.5 * asked.directions[0], rtol=1e-15)


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


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GradientSearch(SGD(1.0), 0.1, directions="gausian"), "mean 'gaussian'"),
        (lambda: GradientSearch(SGD(1.0), 0.1, scheme="antitetic"), "mean 'antithetic'"),
        (lambda: GradientSearch(SGD(1.0), 0.1, directions=None), "unknown direction None"),
    ],
    ids=["direction", "scheme", "none"],
)
def test_unknown_parts_are_named_with_their_neighbours(make, message):
    with pytest.raises(UnknownNameError, match=message):
        make()
