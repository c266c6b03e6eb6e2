"""Recipes: the parts that they are made of, and the published conventions by their formulas."""

from __future__ import annotations

import numpy as np
import pytest

from zorl.common.errors import ConfigurationError, UnknownNameError
from zorl.optimizers import (
    SGD,
    Adam,
    CentredRanks,
    GainSequence,
    GradientSearch,
    Raw,
    SigmaR,
    Standardised,
    ars,
    es,
    es_normalised,
    guided_es,
    mpge,
    mpge_average,
    openai_es,
    sigma_r_forward,
    spsa,
    two_point,
    two_point_unit,
)
from zorl.optimizers.directions import Guide, orthogonal, sphere

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


def rng_of(seed=0):
    return np.random.default_rng(seed)


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


def test_recipes_are_values_made_of_the_parts():
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
    assert guided_es(memory=2, share=0.2) == GradientSearch(
        SGD(0.1), 0.1, 8, "gaussian", guide=Guide(2, 0.2)
    )


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


# -- published conventions


def asked_of(search, d=5, seed=0):
    state = search.init(np.linspace(-1, 1, d))
    return state, search.ask(state, rng_of(seed))


def quartic(thetas):
    return (np.atleast_2d(thetas) ** 4).sum(axis=1)


@pytest.mark.parametrize(("d", "m"), [(5, 10), (5, 100), (50, 10)])
def test_steps_of_normalised_rewards_are_as_long_as_documented(d, m):
    """√(1 + (d − 1)/m) / sigma in the root mean square, whatever the slope."""
    for slope in (1e-3, 50.0):
        g, squares = slope * np.linspace(-1, 2, d), []
        search = es_normalised("antithetic", 1.0, 0.1, m)
        for seed in range(400):
            state, asked = asked_of(search, d, seed)
            step = search.tell(state, asked, asked.thetas @ g - 7.0).theta - state.theta
            squares.append(step @ step)
        error = np.std(squares) / np.sqrt(400)
        expected = (1 + (d - 1) / m) / 0.1**2
        assert abs(np.mean(squares) - expected) < 4.5 * error < 0.15 * expected


@pytest.mark.parametrize("make", [lambda: mpge_average(1.0, 0.3), lambda: two_point_unit(1.0, 0.3)])
def test_unit_conventions_are_the_printed_formulas(make):
    search = make()
    state, asked = asked_of(search)
    u, c, theta = asked.directions, 0.3, state.theta
    np.testing.assert_allclose(np.linalg.norm(u, axis=1), np.ones(len(u)), rtol=1e-12)
    by_hand = np.mean(
        [(quartic(theta + c * v) - quartic(theta - c * v)) / (2 * c) * v for v in u], axis=0
    )
    np.testing.assert_allclose(
        search.gradient(state, asked, quartic(asked.thetas)), by_hand, rtol=1e-12
    )


@pytest.mark.parametrize("d", [2, 11, 51])
def test_the_average_over_a_basis_is_the_gradient_over_d(d):
    g = np.linspace(1, 2, d)
    search = mpge_average(0.1, 0.1)
    state, asked = asked_of(search, d)
    np.testing.assert_allclose(search.gradient(state, asked, asked.thetas @ g), g / d, rtol=1e-9)


@pytest.mark.parametrize("d", [2, 11, 51])
def test_the_unit_two_point_estimate_has_slope_one_over_d(d):
    g, search = np.linspace(1, 2, d), two_point_unit(0.1, 0.1, m=4000)
    state, asked = asked_of(search, d)
    u = asked.directions
    slopes = (asked.thetas[:4000] - asked.thetas[4000:]) @ g / 0.2 * (u @ g) / (g @ g)
    slope = search.gradient(state, asked, asked.thetas @ g) @ g / (g @ g)
    assert slope == pytest.approx(slopes.mean(), rel=1e-9)
    assert abs(slope - 1 / d) < 4.5 * slopes.std() / np.sqrt(4000) < 0.3 / d


@pytest.mark.parametrize(
    ("published", "draw"), [(mpge_average, orthogonal), (two_point_unit, sphere)]
)
def test_unit_conventions_are_zorls_with_scaled_settings(published, draw):
    d = 4
    unit = published(0.1, 0.3, m=2)
    own = GradientSearch(SGD(0.1 / d), 0.3 / np.sqrt(d), 2, draw)
    after = []
    for search in (unit, own):
        state, asked = asked_of(search, d)
        after.append(search.tell(state, asked, quartic(asked.thetas)).theta)
    np.testing.assert_allclose(after[0], after[1], rtol=1e-12)


@pytest.mark.parametrize(
    ("m", "top", "b"),
    [(8, 0.5, 4), (2, 0.5, 1), (1, 0.5, 1), (10, 0.25, 2), (8, 3, 3), (8, None, None)],
)
def test_the_best_directions_of_ars_are_a_number_or_a_share(m, top, b):
    assert ars(m=m, top=top).weights == SigmaR(b)
    for wrong in (0.0, 1.0, -0.5, float("nan")):
        with pytest.raises(ConfigurationError, match="a share in \\(0, 1\\), got"):
            ars(top=wrong)


@pytest.mark.parametrize("top", [None, 3])
def test_sigma_r_forward_is_the_printed_formula(top):
    search = sigma_r_forward(0.5, 0.2, m=6, top=top)
    state, asked = asked_of(search)
    returns = quartic(asked.thetas)
    rewards, base = returns[:-1], returns[-1]
    np.testing.assert_array_equal(asked.thetas[-1], state.theta)
    best = np.argsort(-rewards)[: top or 6]
    by_hand = sum((rewards[k] - base) * asked.directions[k] for k in best)
    by_hand = 0.5 * by_hand / (len(best) * np.std(rewards[best]))
    after = search.tell(state, asked, returns).theta
    np.testing.assert_allclose(after - state.theta, by_hand, rtol=1e-12)


def test_normalised_rewards_by_hand():
    search = es_normalised("antithetic", 0.5, 0.2, m=4)
    state, asked = asked_of(search)
    returns = quartic(asked.thetas)
    z = (returns - returns.mean()) / returns.std()
    by_hand = sum((z[k] - z[4 + k]) / 2 * asked.directions[k] for k in range(4)) / (4 * 0.2)
    after = search.tell(state, asked, returns).theta
    np.testing.assert_allclose(after - state.theta, 0.5 * by_hand, rtol=1e-12)


def test_one_sided_normalised_rewards_are_the_standardised_es():
    returns = np.array([1.0, 4.0, -2.0, 0.5])
    thetas = []
    for make in (es_normalised, es):
        search = make("vanilla", 0.1, 0.2, m=4)
        state, asked = asked_of(search)
        thetas.append(search.tell(state, asked, returns).theta)
    np.testing.assert_allclose(thetas[0], thetas[1], rtol=1e-14)


def test_antithetic_normalisation_keeps_the_common_slope_that_standardising_removes():
    """All directions point equally uphill: the one shared contrast is all the signal."""
    returns = np.array([1.0, 1.0, 1.0, -1.0, -1.0, -1.0])
    for make, moves in ((es_normalised, True), (es, False)):
        search = make("antithetic", 0.1, 0.2, m=3)
        state, asked = asked_of(search)
        after = search.tell(state, asked, returns)
        assert np.array_equal(after.theta, state.theta) is not moves


def test_unknown_variants_are_named():
    for make in (es, es_normalised):
        with pytest.raises(UnknownNameError, match="mean 'vanilla'"):
            make("vanila")
        with pytest.raises(UnknownNameError, match="mean 'uniform'"):
            make(noise="uniforms")
    with pytest.raises(UnknownNameError, match=r"unknown ES variant \['vanilla'\]"):
        es_normalised(["vanilla"])
