"""Learning-rate adaptation against the paper's formulas, and for what it is meant to do."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import optimizer_toys
import pytest
from optimizer_toys import assert_same, leaves, search, uphill

from zorl.common.errors import ConfigurationError
from zorl.optimizers.cma_es import CMAES
from zorl.optimizers.lra import LearningRateAdaptation, Rate, lra_cma_es

sphere = uphill(optimizer_toys.sphere)
ellipsoid = uphill(lambda x: optimizer_toys.ellipsoid(x, 1e4))


def full(state):
    """Sigma = sigma² C as a (d, d) matrix."""
    c = np.diag(state.covariance) if state.covariance.ndim == 1 else state.covariance
    return state.sigma**2 * c


# ------------------------------------------------------------------ the paper, by hand


def paper_rate(eta, e, v, update, fisher, beta, alpha=1.4, gamma=0.1):
    """Section 3 of the paper for one parameter vector: its new eta, E and V."""
    values, vectors = np.linalg.eigh(fisher)
    local = vectors @ np.diag(np.sqrt(values)) @ vectors.T @ update  # F^1/2 Δ
    e = (1 - beta) * e + beta * local
    v = (1 - beta) * v + beta * np.linalg.norm(local) ** 2
    norm2 = np.linalg.norm(e) ** 2
    snr = (norm2 - beta / (2 - beta) * v) / (v - norm2)
    clipped = max(-1.0, min(1.0, snr / (alpha * eta) - 1))
    return min(1.0, eta * math.exp(min(gamma * eta, beta) * clipped)), e, v


@pytest.mark.parametrize("separable", [False, True])
@pytest.mark.parametrize("noise", [0.0, 1e5])
def test_a_generation_is_the_papers(separable, noise):
    d, inner = 3, CMAES(covariance="separable" if separable else "full")
    optimizer, coin = LearningRateAdaptation(inner), np.random.default_rng(7)
    state, rng = optimizer.init([1.0, -2.0, 0.5]), np.random.default_rng(0)
    eta_m = eta_c = 1.0
    e_m, e_c, v_m, v_c = np.zeros(d), np.zeros(d if separable else d * d), 0.0, 0.0
    for _ in range(40):
        asked = optimizer.ask(state, rng)
        returns = ellipsoid(asked.thetas) + noise * coin.standard_normal(len(asked))
        proposal = inner.tell(state.inner, asked, returns)
        told = optimizer.tell(state, asked, returns)

        sigma_old, sigma_new = full(state.inner), full(proposal)
        inverse = np.linalg.inv(sigma_old)
        m_step, c_step = proposal.theta - state.theta, sigma_new - sigma_old
        before = eta_m
        eta_m, e_m, v_m = paper_rate(eta_m, e_m, v_m, m_step, inverse, 0.1)
        if separable:
            fisher, update = np.diag(np.diag(inverse) ** 2 / 2), np.diag(c_step)
        else:
            fisher, update = np.kron(inverse, inverse) / 2, c_step.ravel()
        eta_c, e_c, v_c = paper_rate(eta_c, e_c, v_c, update, fisher, 0.03)
        sigma_matrix = (sigma_old + eta_c * c_step) * (before / eta_m) ** 2

        assert told.mean_rate.eta == pytest.approx(eta_m, rel=1e-8)
        assert told.covariance_rate.eta == pytest.approx(eta_c, rel=1e-8)
        assert told.mean_rate.power == pytest.approx(v_m, rel=1e-8)
        assert told.covariance_rate.power == pytest.approx(v_c, rel=1e-8)
        np.testing.assert_allclose(told.mean_rate.mean, e_m, atol=1e-8)
        np.testing.assert_allclose(told.covariance_rate.mean.ravel(), e_c, atol=1e-8)
        np.testing.assert_allclose(told.theta, state.theta + eta_m * m_step, rtol=1e-12)
        np.testing.assert_allclose(full(told.inner), sigma_matrix, rtol=1e-7, atol=1e-12)
        assert np.prod(told.inner.scales) == pytest.approx(1, rel=1e-9)  # det C = 1
        np.testing.assert_array_equal(told.inner.path_c, proposal.path_c)
        np.testing.assert_array_equal(told.inner.path_sigma, proposal.path_sigma)
        state = told
    assert eta_m < 0.6
    assert eta_c < 0.9


@pytest.mark.parametrize("covariance", ["full", "separable"])
def test_the_axes_are_those_of_the_damped_covariance(covariance):
    state = search(lra_cma_es(covariance=covariance), ellipsoid, np.ones(5), 80)[-1].inner
    if covariance == "full":
        rebuilt = (state.eigenbasis * state.scales**2) @ state.eigenbasis.T
        np.testing.assert_allclose(rebuilt, state.covariance, rtol=0, atol=1e-10)
        np.testing.assert_array_equal(state.covariance, state.covariance.T)
    else:
        np.testing.assert_allclose(state.scales**2, state.covariance, rtol=1e-12)
    assert np.ptp(state.scales) > 1


def test_at_rate_one_nothing_is_damped():
    # Whatever signal there is exceeds a tiny alpha, so that both rates stay where they start.
    inner = CMAES()
    plain = search(inner, ellipsoid, np.ones(4), 30)
    free = search(LearningRateAdaptation(inner, alpha=1e-12), ellipsoid, np.ones(4), 1)[-1]
    assert (free.mean_rate.eta, free.covariance_rate.eta) == (1.0, 1.0)
    np.testing.assert_allclose(free.theta, plain[1].theta, rtol=1e-12)
    np.testing.assert_allclose(full(free.inner), full(plain[1]), rtol=1e-9, atol=1e-12)


# ------------------------------------------------------------------ what it is for


def test_noise_lowers_the_rates_and_its_absence_raises_them():
    coin = np.random.default_rng(3)
    noisy = search(lra_cma_es(), lambda x: coin.standard_normal(len(x)), np.zeros(5), 400)[-1]
    assert noisy.mean_rate.eta < 0.15
    assert noisy.covariance_rate.eta < 0.15
    rate = Rate(0.1, np.zeros(5), 0.0)
    for _ in range(200):  # the same update again and again is all signal
        rate = LearningRateAdaptation()._adapted(rate, np.ones(5), 0.1)
    assert rate.eta == 1.0
    still = LearningRateAdaptation()._adapted(Rate(0.5, np.zeros(5), 0.0), np.zeros(5), 0.1)
    assert still.eta == 0.5


def test_sphere_costs_no_more_than_the_reference_implementation():
    # The published one takes 5310 evaluations (median of 11) to |theta|² < 1e-8 from 3 and 2.
    counts = []
    for seed in range(5):
        optimizer, rng = lra_cma_es(sigma0=2.0), np.random.default_rng(seed)
        state, spent = optimizer.init(np.full(10, 3.0)), 0
        while state.theta @ state.theta >= 1e-8 and spent < 20_000:
            asked = optimizer.ask(state, rng)
            spent += len(asked)
            state = optimizer.tell(state, asked, sphere(asked.thetas))
        counts.append(spent)
    assert np.median(counts) < 1.15 * 5310


def test_noise_is_averaged_out_where_cma_es_stops():
    def end(optimizer, seed):
        coin = np.random.default_rng(seed + 100)
        states = search(
            optimizer,
            lambda x: sphere(x) + coin.standard_normal(len(x)),
            np.full(5, 3.0),
            1000,
            seed,
        )
        return states[-1].theta @ states[-1].theta

    damped, plain = np.array(
        [[end(o, seed) for seed in range(3)] for o in (lra_cma_es(sigma0=2.0), CMAES(2.0))]
    )
    assert np.median(damped) < 0.25 * np.median(plain)


# ------------------------------------------------------------------ values and bad numbers


@pytest.mark.parametrize("covariance", ["full", "separable"])
def test_a_flat_generation_changes_nothing_but_t(covariance):
    optimizer = lra_cma_es(covariance=covariance)
    state = search(optimizer, ellipsoid, np.ones(4), 10)[-1]
    asked = optimizer.ask(state, np.random.default_rng(0))
    assert asked.sigma == state.inner.sigma
    for value in (0.0, -7.0, math.nan, math.inf):
        told = optimizer.tell(state, asked, np.full(len(asked), value))
        expected = replace(state, inner=replace(state.inner, t=state.t + 1))
        assert_same(told, expected)


@pytest.mark.parametrize("returns_of", [sphere, lambda x: x[:, 0], lambda x: -np.abs(x[:, 0])])
def test_no_objective_leads_out_of_the_numbers(returns_of):
    state = search(lra_cma_es(sigma0=1e20), returns_of, np.ones(2), 1500)[-1]
    arrays = (value for value in leaves(state).values() if isinstance(value, np.ndarray))
    assert all(np.isfinite(array).all() for array in arrays)
    assert 1e-100 <= state.inner.sigma * state.inner.scales.max() <= 1.001e30
    assert 0 < state.mean_rate.eta <= 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 0.0}, "alpha must be a finite number > 0, got 0.0"),
        ({"gamma": math.nan}, "gamma must be a finite number > 0"),
        ({"beta_mean": 1.0}, r"beta_mean must be in \(0, 1\), got 1.0"),
        ({"beta_covariance": 0.0}, r"beta_covariance must be in \(0, 1\), got 0.0"),
        ({"beta_mean": "0.5"}, r"beta_mean must be in \(0, 1\), got '0.5'"),
        ({"beta_mean": math.nan}, r"beta_mean must be in \(0, 1\), got nan"),
        ({"mirrored": 1}, "mirrored must be True or False, got 1"),
        ({"max_memory_gb": 0.0}, "max_memory_gb must be"),
        ({"popsize": 3}, "popsize must be"),
        ({"covariance": "diagonal"}, "unknown covariance"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ConfigurationError, match=message):
        lra_cma_es(**options)


def test_a_search_that_would_not_fit_is_refused_before_it_allocates():
    optimizer = lra_cma_es(max_memory_gb=1e-3, popsize=10)
    d = max(d for d in range(1, 1000) if optimizer.memory_bytes(d) <= 1e6)
    assert optimizer.memory_bytes(d + 1) < 3 * optimizer.optimizer.memory_bytes(d + 1)
    assert optimizer.optimizer.memory_bytes(d + 1) < 1e6  # CMA-ES itself would fit
    assert optimizer.init(np.zeros(d)).t == 0
    with pytest.raises(ConfigurationError, match=r"LRA-CMA-ES.*full.*max_memory_gb = 0\.001"):
        optimizer.init(np.zeros(d + 1))
    with pytest.raises(ConfigurationError, match=r"d = 20,000 needs 48 GB"):
        lra_cma_es().init(np.zeros(20_000))
