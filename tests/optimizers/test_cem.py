"""CEM against the refit written out, its noise, its elites, and how far it gets.

What it shares with the other distribution searches is in test_distribution.py.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from optimizer_toys import ellipsoid, final, sphere

from zorl.common.errors import ConfigurationError
from zorl.optimizers.cem import CEM


@pytest.mark.parametrize(
    ("options", "elites"),
    [
        ({"smoothing": 1.0}, 10),
        ({"popsize": 31, "elite": 0.35, "smoothing": 0.3}, 10),
        ({"popsize": 20, "elite": 0.5, "smoothing": 1.0, "noise": 5.0, "noise_updates": 10}, 10),
        ({"popsize": 7, "elite": 0.01, "noise": 0.5, "noise_updates": 100}, 2),
    ],
)
def test_an_update_refits_the_elites(options, elites):
    d, optimizer, rng = 6, CEM(sigma0=0.7, **options), np.random.default_rng(0)
    state = optimizer.init(np.linspace(1, 2, d))
    mu, variance = np.linspace(1, 2, d), np.full(d, 0.49)
    alpha, noise = optimizer.smoothing, optimizer.noise
    for t in range(15):
        asked = optimizer.ask(state, rng)
        spread = np.abs(asked.thetas - mu - np.sqrt(variance) * asked.directions)
        assert spread.max() < 1e-9
        losses = ellipsoid(asked.thetas)
        state = optimizer.tell(state, asked, -losses)
        best = [asked.thetas[i] for i in np.argsort(losses, kind="stable")[:elites]]
        mean = sum(best) / elites
        extra = max(noise - noise * t / optimizer.noise_updates, 0)
        mu = (1 - alpha) * mu + alpha * mean
        scatter = sum((x - mean) ** 2 for x in best) / elites
        variance = (1 - alpha) * variance + alpha * scatter + extra
        np.testing.assert_allclose(state.theta, mu, rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(state.sigmas, np.sqrt(variance), rtol=1e-7)
    assert state.t == 15


def test_szitas_noise_is_5_less_a_tenth_per_update():
    optimizer = CEM(sigma0=1e-3, smoothing=1.0, noise=5.0, noise_updates=50)
    state = optimizer.init(np.zeros(2))
    for t in range(60):
        asked = optimizer.ask(state, np.random.default_rng(t))
        before = state.sigmas
        state = optimizer.tell(state, asked, -sphere(asked.thetas))
        gained = state.sigmas**2 - before**2 * asked.directions[
            np.argsort(sphere(asked.thetas), kind="stable")[:10]
        ].var(axis=0)
        np.testing.assert_allclose(gained, max(5 - t / 10, 0), atol=1e-9)


@pytest.mark.parametrize(
    ("popsize", "elite", "elites"),
    [(50, 0.2, 10), (4, 0.999, 3), (100, 0.001, 2), (31, 0.35, 10), (4, 0.1, 2)],
)
def test_some_but_never_all_candidates_are_elites(popsize, elite, elites):
    optimizer = CEM(popsize=popsize, elite=elite)
    assert optimizer.elites == elites
    state = optimizer.init(np.zeros(3))
    asked = optimizer.ask(state, np.random.default_rng(0))
    returns = np.where(np.arange(popsize) < elites, 1.0, 0.0)
    told = optimizer.tell(state, asked, returns)
    np.testing.assert_allclose(told.theta, 0.5 * asked.thetas[:elites].mean(axis=0), rtol=1e-12)
    assert len(asked) == popsize


def test_the_sphere_in_10_dimensions():
    # 10,000 evaluations; smoothing is what keeps the variances from vanishing on the way.
    for seed in range(3):
        start = np.random.default_rng(100 + seed).uniform(-4, 4, 10)
        far = final(CEM(sigma0=2.0, smoothing=0.3), lambda x: -sphere(x), start, 200, seed)
        assert sphere(far.theta[None])[0] < 1e-12
        noisy = CEM(sigma0=2.0, noise=1.0, noise_updates=100)
        far = final(noisy, lambda x: -sphere(x), start, 200, seed)
        assert sphere(far.theta[None])[0] < 1e-10
        plain = final(CEM(sigma0=2.0, smoothing=1.0), lambda x: -sphere(x), start, 200, seed)
        assert sphere(plain.theta[None])[0] > 1e-8  # the known weakness


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"elite": 1.0}, r"elite is a fraction of the candidates, in \(0, 1\), got 1.0"),
        ({"elite": 0.0}, "elite must be a finite number > 0, got 0.0"),
        ({"elite": math.nan}, "elite must be"),
        ({"elite": "half"}, "elite must be"),
        ({"smoothing": 0.0}, "smoothing must be a finite number > 0, got 0.0"),
        ({"smoothing": 1.1}, r"smoothing must be in \(0, 1\], got 1.1"),
        ({"noise": -1.0}, "noise must be a finite number ≥ 0"),
        ({"noise_updates": 0}, "noise_updates must be an integer ≥ 1"),
        ({"popsize": None}, "popsize must be an integer ≥ 4"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ConfigurationError, match=message):
        CEM(**options)
