"""LM-MA-ES against the paper's algorithm written out, its invariances, memory and reach.

What it shares with the other distribution searches is in test_distribution.py.
"""

from __future__ import annotations

import math
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from optimizer_toys import ellipsoid, evaluations, final, rosenbrock, rotation, sphere

from zorl.common.errors import ConfigurationError
from zorl.optimizers.lm_ma_es import LMMAES, LMMAESState, _Transform


def sequential(vectors, t, z):
    """The algorithm's inner loop for one z: vector after vector."""
    n = len(z)
    for j in range(min(t, len(vectors))):
        c = min(1 / (1.5**j * n), 0.5)
        z = (1 - c) * z + c * vectors[j] * (vectors[j] @ z)
    return z


# ------------------------------------------------------------------ the algorithm, by hand


@pytest.mark.parametrize("t", [0, 1, 2, 7, 1000])
@pytest.mark.parametrize(("d", "m"), [(1, 4), (2, 6), (30, 14), (30, 1), (200, 60)])
def test_two_matrix_products_are_the_sequence_of_rank_one_maps(d, m, t):
    rng = np.random.default_rng(0)
    # As long as the vectors of a search without selection, √d, and longer, and alike.
    vectors = rng.standard_normal((m, d)) * rng.uniform(0.5, 4, (m, 1)) + rng.standard_normal(d)
    state = LMMAESState(np.zeros(d), t, 1.0, np.zeros(d), vectors)
    z = rng.standard_normal((9, d))
    expected = np.array([sequential(vectors, t, row) for row in z])
    found = _Transform(state)(z)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * np.abs(expected).max())
    asked = LMMAES(popsize=9).ask(replace(state, theta=np.ones(d)), np.random.default_rng(1))
    for theta, row in zip(asked.thetas, asked.directions, strict=True):
        step = sequential(vectors, t, row)
        np.testing.assert_allclose(theta - 1, step, rtol=0, atol=1e-12 * np.abs(expected).max())


def test_reach_is_an_upper_bound_of_the_transform():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        d, m = int(rng.integers(1, 12)), int(rng.integers(1, 8))
        vectors = rng.standard_normal((m, d)) * rng.uniform(0, 5)
        transform = _Transform(LMMAESState(np.zeros(d), 50, 1.0, np.zeros(d), vectors))
        longest = np.linalg.norm(transform(np.eye(d)), 2)
        assert longest <= transform.reach * (1 + 1e-12)
        if m == 1:
            c = min(1 / d, 0.5)
            assert transform.reach == pytest.approx(1 - c + c * vectors[0] @ vectors[0])


@pytest.mark.parametrize(
    ("d", "popsize", "vectors"), [(40, None, None), (3, None, None), (100, 31, 5), (1, 4, 1)]
)
def test_twenty_updates_are_the_papers(d, popsize, vectors):
    optimizer, rng = LMMAES(0.7, popsize, vectors), np.random.default_rng(0)
    state = optimizer.init(np.linspace(1, 2, d))
    n = popsize or 4 + math.floor(3 * math.log(d))
    m = vectors or 4 + math.floor(3 * math.log(d))
    mu = n // 2
    raw = [math.log(mu + 1 / 2) - math.log(i + 1) for i in range(mu)]
    w = [value / sum(raw) for value in raw]
    mu_w = 1 / sum(value**2 for value in w)
    c_sigma = min(2 * n / d, 1)  # the published rates exceed 1 in few dimensions
    y, sigma, p, big_m = np.linspace(1, 2, d), 0.7, np.zeros(d), np.zeros((m, d))
    for t in range(20):
        asked = optimizer.ask(state, rng)
        z = asked.directions
        steps = np.array([sequential(big_m, t, row) for row in z])
        np.testing.assert_allclose(asked.thetas, y + sigma * steps, rtol=1e-9, atol=1e-10)
        assert len(asked) == n
        losses = ellipsoid(asked.thetas)
        state = optimizer.tell(state, asked, -losses)
        order = np.argsort(losses, kind="stable")
        y = y + sigma * sum(w[i] * steps[order[i]] for i in range(mu))
        mean = sum(w[i] * z[order[i]] for i in range(mu))
        p = (1 - c_sigma) * p + math.sqrt(mu_w * c_sigma * (2 - c_sigma)) * mean
        for i in range(m):
            c = min(n / (4**i * d), 1)
            big_m[i] = (1 - c) * big_m[i] + math.sqrt(mu_w * c * (2 - c)) * mean
        sigma = sigma * math.exp(c_sigma / 2 * (sum(p**2) / d - 1))
        np.testing.assert_allclose(state.theta, y, rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(state.path, p, rtol=1e-8, atol=1e-11)
        np.testing.assert_allclose(state.vectors, big_m, rtol=1e-8, atol=1e-11)
        assert state.sigma == pytest.approx(sigma, rel=1e-9)
    assert state.t == 20


# ------------------------------------------------------------------ how it searches


# The first two: an independent implementation (pypop7 0.0.82) needs 9,886 and 10,074 for the
# sphere in 100 dimensions from uniform starts in [-4, 4]^d.
@pytest.mark.parametrize(
    ("loss", "d", "least", "most"),
    [(sphere, 100, 9_000, 11_000), (sphere, 10, 1_300, 1_900), (sphere, 500, 36_000, 50_000)],
)
def test_evaluations_grow_linearly_on_the_sphere(loss, d, least, most):
    start = np.random.default_rng(100).uniform(-4, 4, d)
    assert least < evaluations(LMMAES(sigma0=2.0), loss, start, 0, budget=60_000) < most


def test_it_learns_a_narrow_valley():
    start = np.zeros(20)
    assert 18_000 < evaluations(LMMAES(0.1), rosenbrock, start, 0, budget=60_000) < 27_000
    # One direction vector does not get there in ten times as many.
    assert evaluations(LMMAES(0.1, vectors=1), rosenbrock, start, 0, budget=60_000) == math.inf


def test_rotating_the_problem_rotates_the_search():
    d, optimizer, rng = 8, LMMAES(), np.random.default_rng(0)
    turn = rotation(d, 1)
    state = optimizer.init(np.arange(1.0, 9.0))
    turned = optimizer.init(turn @ state.theta)
    for _ in range(100):
        asked = optimizer.ask(state, rng)
        returns = -ellipsoid(asked.thetas)
        noise = asked.directions @ turn.T
        thetas = turned.theta + turned.sigma * _Transform(turned)(noise)
        np.testing.assert_allclose(thetas @ turn, asked.thetas, rtol=1e-6, atol=1e-7)
        state = optimizer.tell(state, asked, returns)
        turned_asked = replace(asked, candidates=thetas, directions=noise)
        turned = optimizer.tell(turned, turned_asked, returns)
        assert turned.sigma == pytest.approx(state.sigma, rel=1e-7)
        np.testing.assert_allclose(turned.theta, turn @ state.theta, atol=1e-7)
        np.testing.assert_allclose(turned.vectors, state.vectors @ turn.T, atol=1e-7)


# ------------------------------------------------------------------ memory and options


def test_memory_is_what_a_search_takes():
    d, optimizer = 50_000, LMMAES()
    m = n = 4 + math.floor(3 * math.log(d))
    assert optimizer.memory_bytes(d) == 8 * d * (3 * m + 2 * n + 6)
    assert LMMAES(vectors=2, popsize=4).memory_bytes(10) == 8 * 10 * (6 + 8 + 6)
    state = final(optimizer, lambda x: -sphere(x), np.ones(d), 3)
    assert state.vectors.shape == (m, d)
    tracemalloc.start()
    try:
        state = final(optimizer, lambda x: -x[:, 0], np.ones(d), 4)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert 0.8 * optimizer.memory_bytes(d) < peak < 1.05 * optimizer.memory_bytes(d)


@pytest.mark.parametrize("vectors", [0, 2.0, True])
def test_bad_options_are_refused(vectors):
    with pytest.raises(ConfigurationError, match=r"vectors .*must be an integer ≥ 1"):
        LMMAES(vectors=vectors)
