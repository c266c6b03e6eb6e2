"""PGPE against the published updates written out, as a gradient, and its limits.

What it shares with the other distribution searches is in test_distribution.py.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import optimizer_toys
import pytest
from optimizer_toys import final, sphere

from zorl.common.errors import ConfigurationError, UnknownNameError
from zorl.optimizers.pgpe import PGPE, pgpe
from zorl.optimizers.step_rules import SGD, Adam, ClipUp, GainSequence
from zorl.optimizers.weights import CentredRanks, Raw, SigmaR, Standardised


def ellipsoid(x):
    return optimizer_toys.ellipsoid(x, 1e3)


def utilities_by_hand(weights, returns):
    n = len(returns)
    if isinstance(weights, Raw):
        return list(returns)
    if isinstance(weights, Standardised):
        mean = sum(returns) / n
        spread = math.sqrt(sum((r - mean) ** 2 for r in returns) / n)
        return [(r - mean) / spread for r in returns]
    ranks = [sum(other < r for other in returns) for r in returns]
    return [rank / (n - 1) - 0.5 for rank in ranks]


@pytest.mark.parametrize("weights", [CentredRanks(), Standardised(), Raw()])
@pytest.mark.parametrize("rule", ["sgd", "clipup", "adam"])
def test_updates_are_the_published_ones(weights, rule):
    d, m, rate, rate_sigma, rng = 4, 6, 0.05, 0.3, np.random.default_rng(0)
    rules = {"sgd": SGD(rate, 0.5), "clipup": ClipUp(rate), "adam": Adam(rate)}
    optimizer = PGPE(rules[rule], 0.7, m, weights, rate_sigma)
    state = optimizer.init(np.linspace(1, 2, d))
    mu, sigma = np.linspace(1, 2, d), np.full(d, 0.7)
    velocity, first, second = np.zeros(d), np.zeros(d), np.zeros(d)
    limited = 0
    for t in range(15):
        asked = optimizer.ask(state, rng)
        losses = ellipsoid(asked.thetas) / 100
        state = optimizer.tell(state, asked, -losses)

        u = utilities_by_hand(weights, [-loss for loss in losses])
        baseline = sum(u) / (2 * m)
        gradient_mu, gradient_sigma = np.zeros(d), np.zeros(d)
        for i in range(m):  # Sehnke's T and S, one column after the other
            epsilon = (asked.thetas[i] - asked.thetas[m + i]) / 2
            np.testing.assert_allclose(asked.thetas[i] + asked.thetas[m + i], 2 * mu, rtol=1e-9)
            gradient_mu += (u[i] - u[m + i]) / 2 * epsilon / m
            s = (epsilon**2 - sigma**2) / sigma
            gradient_sigma += ((u[i] + u[m + i]) / 2 - baseline) * s / m
        if rule == "sgd":
            velocity = 0.5 * velocity + gradient_mu
            mu = mu + rate * velocity
        elif rule == "clipup":
            velocity = 0.9 * velocity + rate * gradient_mu / math.sqrt(sum(gradient_mu**2))
            if math.sqrt(sum(velocity**2)) > 2 * rate:
                velocity = velocity * 2 * rate / math.sqrt(sum(velocity**2))
            mu = mu + velocity
        else:
            first = 0.9 * first + 0.1 * gradient_mu
            second = 0.999 * second + 0.001 * gradient_mu**2
            step = first / (1 - 0.9 ** (t + 1))
            mu = mu + rate * step / (np.sqrt(second / (1 - 0.999 ** (t + 1))) + 1e-8)
        for j in range(d):
            change = rate_sigma * gradient_sigma[j]
            limit = 0.2 * sigma[j]
            limited += abs(change) > limit
            sigma[j] += min(max(change, -limit), limit)
        np.testing.assert_allclose(state.theta, mu, rtol=1e-9)
        np.testing.assert_allclose(state.sigmas, sigma, rtol=1e-9)
    assert state.t == 15
    assert limited < 15 * d
    assert np.ptp(sigma) > 0.01
    if isinstance(weights, Raw):
        assert limited > 0  # both branches are under test


def test_raw_weights_ascend_the_gradients_of_the_smoothed_objective():
    # f = g x - a x²: the gradient of E f is g - 2 a mu in mu and -2 a sigma in sigma; times sigma².
    g, a, mu = np.array([1.0, -2.0, 0.5]), np.array([0.3, 0.0, -0.2]), np.array([1.0, 0.0, -1.0])
    m, rates = 400_000, (1.0, 0.05)
    optimizer = PGPE(SGD(rates[0]), 0.7, m, Raw(), rates[1])
    state = replace(optimizer.init(mu), sigmas=np.array([0.5, 0.7, 1.2]))
    asked = optimizer.ask(state, np.random.default_rng(0))
    x = asked.thetas
    told = optimizer.tell(state, asked, x @ g - x**2 @ a)
    by_mu = (told.theta - mu) / rates[0]
    by_sigma = (told.sigmas - state.sigmas) / rates[1]
    variance = state.sigmas**2
    np.testing.assert_allclose(by_mu, variance * (g - 2 * a * mu), atol=0.02)
    np.testing.assert_allclose(by_sigma, variance * -2 * a * state.sigmas, atol=0.02)


def test_candidates_are_mirrored_and_have_the_states_spread():
    optimizer = pgpe(m=100_000)
    state = replace(optimizer.init([1.0, -2.0]), sigmas=np.array([0.3, 2.0]))
    asked = optimizer.ask(state, np.random.default_rng(0))
    assert len(asked) == 200_000 and asked.directions.shape == (100_000, 2)
    offsets = asked.thetas - state.theta
    np.testing.assert_allclose(offsets[:100_000], -offsets[100_000:], atol=1e-15 * 20)
    np.testing.assert_allclose(offsets[:100_000], state.sigmas * asked.directions, atol=1e-14)
    np.testing.assert_allclose(offsets.std(axis=0), state.sigmas, rtol=0.01)


@pytest.mark.parametrize("max_change", [0.2, 0.9])
def test_sigmas_change_by_so_much_and_stay_positive(max_change):
    optimizer = pgpe(sigma_learning_rate=1e9, max_change=max_change)
    state = final(optimizer, lambda x: -ellipsoid(x), np.ones(5), 3)
    asked = optimizer.ask(state, np.random.default_rng(5))
    told = optimizer.tell(state, asked, -ellipsoid(asked.thetas))
    ratio = told.sigmas / state.sigmas
    np.testing.assert_allclose(np.abs(ratio - 1), max_change, rtol=1e-9)
    assert set(np.round(ratio, 6)) == {round(1 - max_change, 6), round(1 + max_change, 6)}


def test_sigmas_have_ends():
    optimizer = pgpe(sigma_learning_rate=1e9)
    for end, better in ((1e-100, -1), (1e30, 1)):
        state = replace(optimizer.init(np.zeros(2)), sigmas=np.full(2, end))
        asked = optimizer.ask(state, np.random.default_rng(0))
        returns = better * np.abs(asked.directions).sum(axis=1)  # a longer step is better or worse
        told = optimizer.tell(state, asked, np.append(returns, returns))
        np.testing.assert_array_equal(told.sigmas, state.sigmas)


def test_sigmas_stay_without_a_learning_rate():
    optimizer = pgpe(sigma_learning_rate=0.0, sigma=0.3)
    state = final(optimizer, lambda x: -ellipsoid(x), np.ones(3), 20)
    np.testing.assert_array_equal(state.sigmas, np.full(3, 0.3))
    assert not np.array_equal(state.theta, np.ones(3))


def test_momentum_waits_while_returns_are_flat():
    optimizer = pgpe()
    state = final(optimizer, lambda x: -sphere(x), np.ones(3), 5)
    assert np.linalg.norm(state.memory.first) > 0.01
    asked = optimizer.ask(state, np.random.default_rng(0))
    told = optimizer.tell(state, asked, np.full(len(asked), 3.0))
    np.testing.assert_array_equal(told.theta, state.theta)
    np.testing.assert_array_equal(told.memory.first, state.memory.first)


# Steps of ClipUp have a length of their own; those of the others shrink with sigma.
@pytest.mark.parametrize(
    ("options", "loss"),
    [
        ({"learning_rate": 0.05, "sigma": 1.0}, 0.2),
        ({"learning_rate": 0.1, "sigma": 2.0, "optimizer": "adam"}, 1e-6),
        ({"learning_rate": 1.0, "sigma": 2.0, "optimizer": "sgd", "momentum": 0.0}, 1e-7),
        (
            {
                "learning_rate": 1.0,
                "sigma": 2.0,
                "optimizer": "sgd",
                "momentum": 0.0,
                "weights": "standardised",
            },
            1e-40,
        ),
    ],
)
def test_the_sphere_in_10_dimensions(options, loss):
    for seed in range(3):
        start = np.random.default_rng(100 + seed).uniform(-4, 4, 10)
        state = final(pgpe(**options), lambda x: -sphere(x), start, 500, seed)
        assert sphere(state.theta[None])[0] < loss


def test_flat_options_make_the_parts():
    assert pgpe() == PGPE(ClipUp(0.1, 0.9), 0.5, 16, CentredRanks(), 0.1, 0.2)
    assert pgpe(0.2, max_speed=0.3, momentum=0.5).step_rule == ClipUp(0.2, 0.5, 0.3)
    assert pgpe(0.2, optimizer="adam").step_rule == Adam(0.2)
    assert pgpe(0.2, optimizer="sgd", momentum=0.5).step_rule == SGD(0.2, 0.5)
    assert pgpe(weights="raw").weights == Raw()
    assert pgpe(weights="standardised").weights == Standardised()
    rule = GainSequence(0.1)
    assert final(PGPE(rule), lambda x: -sphere(x), np.ones(3), 3).t == 3  # any step rule


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"m": 1}, r"m \(the number of pairs.*must be an integer ≥ 2, got 1"),
        ({"sigma": 0.0}, "sigma must be a finite number > 0"),
        ({"sigma_learning_rate": -0.1}, "sigma_learning_rate must be"),
        ({"max_change": 1.0}, r"max_change must be in \(0, 1\).*got 1.0"),
        ({"max_change": 0.0}, "max_change must be"),
        ({"learning_rate": 0.0}, "learning_rate must be"),
        ({"optimizer": "adam", "max_speed": 1.0}, 'max_speed is ClipUp\'s.*"adam"'),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ConfigurationError, match=message):
        pgpe(**options)


def test_bad_names_and_weights_are_refused():
    with pytest.raises(UnknownNameError, match=r"unknown optimizer 'clip-up'.*'clipup'"):
        pgpe(optimizer="clip-up")
    with pytest.raises(UnknownNameError, match=r"unknown weights 'rank'.*'ranks'"):
        pgpe(weights="rank")
    with pytest.raises(ConfigurationError, match="every single candidate"):
        PGPE(SGD(0.1), weights=SigmaR())
