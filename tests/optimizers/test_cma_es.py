"""CMA-ES against its equations by hand, its candidates, invariances and options."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from optimizer_toys import ellipsoid, rotation, search, some_state, sphere

from zorl.common.errors import ConfigurationError
from zorl.optimizers.cma_es import CMAES, sep_cma_es

# ------------------------------------------------------------------ the equations, by hand


def update_by_hand(state, ys, returns, active, separable, mirrored):
    """One generation of arXiv 1604.00772, appendix A, in plain loops; C^-1/2 from C itself.

    With `mirrored`, that of zorl's own variant: alpha_cov 3, d_sigma smaller by 0.3, (d + 5) / 1.5
    in c_sigma, 0.3 of the worse half taken from the step, whose variance allows for the pairs.

    `ys` are all n directions, the mirrored ones too. The results are theta, sigma, C, p_c, p_sigma
    and h_sigma.
    """
    n, lam = len(state.theta), len(ys)
    mu = lam // 2
    w_prime = [math.log((lam + 1) / 2) - math.log(i) for i in range(1, lam + 1)]
    positive = [w for w in w_prime if w > 0]
    negative = [w for w in w_prime if w < 0]
    mu_eff = sum(positive) ** 2 / sum(w * w for w in positive)
    mu_eff_minus = sum(w_prime[mu:]) ** 2 / sum(w * w for w in w_prime[mu:])
    alpha_cov = 3 if mirrored else 2
    cc = (4 + mu_eff / n) / (n + 4 + 2 * mu_eff / n)
    c1 = alpha_cov / ((n + 1.3) ** 2 + mu_eff)
    cmu = alpha_cov * (1 / 4 + mu_eff + 1 / mu_eff - 2) / ((n + 2) ** 2 + alpha_cov * mu_eff / 2)
    if separable:
        c1, cmu = c1 * (n + 2) / 3, cmu * (n + 2) / 3
    cmu = min(1 - c1, cmu)
    cs = (mu_eff + 2) / (mu_eff + (n + 5) / (1.5 if mirrored else 1))
    ds = 1 + 2 * max(0, math.sqrt((mu_eff - 1) / (n + 1)) - 1) + cs - (0.3 if mirrored else 0)
    alpha = min(1 + c1 / cmu, 1 + 2 * mu_eff_minus / (mu_eff + 2), (1 - c1 - cmu) / (n * cmu))
    w, v = [], []
    for value in w_prime:
        if value >= 0:
            w.append(value / sum(positive))
            v.append(value / sum(positive))
        else:
            w.append(alpha * value / -sum(negative) if active else 0.0)
            v.append(0.3 * value / -sum(negative) if mirrored else 0.0)
    variance = sum(x * x for x in v)
    if mirrored:
        # Of all couples of candidates, these are the two of a pair, whose directions are opposite.
        pairs, couples = lam // 2, lam * (lam - 1) / 2
        products = [v[i] * v[j] for i in range(lam) for j in range(i)]
        variance -= 2 * sum(products) * pairs / couples

    c = np.diag(state.covariance) if separable else state.covariance
    eigenvalues, vectors = np.linalg.eigh(c)
    inverse_root = vectors @ np.diag(eigenvalues**-0.5) @ vectors.T
    order = sorted(range(lam), key=lambda i: -returns[i])
    step = sum(v[i] * ys[order[i]] for i in range(lam))
    theta = state.theta + state.sigma * step
    p_s = (1 - cs) * state.path_sigma + math.sqrt(cs * (2 - cs) / variance) * inverse_root @ step
    chi = math.sqrt(2) * math.gamma((n + 1) / 2) / math.gamma(n / 2)
    norm = math.sqrt(sum(p_s**2))
    sigma = state.sigma * math.exp(cs / ds * (norm / chi - 1))
    # The tutorial's g counts from 0: this is generation g = t, with g + 1 terms in the path.
    h = norm / math.sqrt(1 - (1 - cs) ** (2 * (state.t + 1))) < (1.4 + 2 / (n + 1)) * chi
    p_c = (1 - cc) * state.path_c + h * math.sqrt(cc * (2 - cc) / variance) * step
    new = (1 + c1 * (1 - h) * cc * (2 - cc) - c1 - cmu * sum(w)) * c + c1 * np.outer(p_c, p_c)
    for i in range(lam):
        y = ys[order[i]]
        w_circle = w[i] if w[i] >= 0 else w[i] * n / sum((inverse_root @ y) ** 2)
        new = new + cmu * w_circle * np.outer(y, y)
    return theta, sigma, np.diag(new) if separable else new, p_c, p_s, h


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("separable", [False, True])
@pytest.mark.parametrize("active", [True, False])
@pytest.mark.parametrize(
    ("d", "popsize", "length", "t", "h_sigma"),
    [
        (6, None, 0.5, 20, True),
        (6, None, 5.0, 20, False),
        (6, None, 0.7, 0, True),  # with 2 g in place of 2 (g + 1) it would be too long
        (6, None, 4.0, 0, False),  # too long for its age
        (7, 4, 1.0, 20, True),
        (7, 11, 1.0, 20, True),  # the last direction has no mirror image
        (3, 400, 80.0, 20, False),  # so many candidates that C forgets all (c_1 + c_mu = 1)
    ],
)
def test_one_update_is_that_of_the_equations(
    d, popsize, length, t, h_sigma, active, separable, mirrored
):
    state = some_state(d, separable, path_sigma_length=length, t=t)
    optimizer = CMAES(
        popsize=popsize,
        active=active,
        covariance="separable" if separable else "full",
        mirrored=mirrored,
    )
    asked = optimizer.ask(state, np.random.default_rng(1))
    returns = np.random.default_rng(2).standard_normal(len(asked))
    ys = (asked.thetas - state.theta) / state.sigma
    theta, sigma, covariance, path_c, path_sigma, h = update_by_hand(
        state, ys, returns, active, separable, mirrored
    )
    assert h == h_sigma  # both branches are under test
    told = optimizer.tell(state, asked, returns)
    np.testing.assert_allclose(told.theta, theta, rtol=1e-10, atol=1e-12)
    assert told.sigma == pytest.approx(sigma, rel=1e-10)
    np.testing.assert_allclose(told.covariance, covariance, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(told.path_c, path_c, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(told.path_sigma, path_sigma, rtol=1e-9, atol=1e-11)
    assert told.t == state.t + 1


@pytest.mark.parametrize(("mirrored", "length"), [(False, 1.2), (True, 1.9)])
def test_a_path_is_too_long_for_its_age(mirrored, length):
    # One generation later, h_sigma would be 1 for a path of that length.
    state, optimizer = some_state(6, path_sigma_length=length, t=0), CMAES(mirrored=mirrored)
    asked = optimizer.ask(state, np.random.default_rng(1))
    returns = np.random.default_rng(2).standard_normal(len(asked))
    ys = (asked.thetas - state.theta) / state.sigma
    *_, path_c, _, h = update_by_hand(state, ys, returns, True, False, mirrored)
    assert not h
    np.testing.assert_allclose(optimizer.tell(state, asked, returns).path_c, path_c, rtol=1e-10)


@pytest.mark.parametrize("t", [0, 3, 400])
@pytest.mark.parametrize("d", [1, 2, 7, 30])
def test_p_c_stalls_from_the_tutorials_threshold_on(d, t):
    """‖p_sigma‖ of (1.4 + 2 / (d + 1)) E‖N(0, I)‖, at its age, to a thousandth."""
    optimizer = CMAES(mirrored=False)
    state = replace(optimizer.init(np.zeros(d)), t=t)
    asked = optimizer.ask(state, np.random.default_rng(1))
    returns = np.random.default_rng(2).standard_normal(len(asked))
    # p_sigma is affine in the one before, so that any new one can be had.
    away = optimizer.tell(state, asked, returns).path_sigma
    along = replace(state, path_sigma=np.eye(d)[0])
    kept = (optimizer.tell(along, asked, returns).path_sigma - away)[0]
    chi = math.sqrt(2) * math.gamma((d + 1) / 2) / math.gamma(d / 2)
    threshold = (1.4 + 2 / (d + 1)) * chi * math.sqrt(1 - kept ** (2 * (t + 1)))
    for factor, stalls in ((0.999, False), (1.001, True)):
        path = (factor * threshold * np.eye(d)[0] - away) / kept
        told = optimizer.tell(replace(state, path_sigma=path), asked, returns)
        np.testing.assert_allclose(np.linalg.norm(told.path_sigma), factor * threshold, rtol=1e-9)
        assert (not told.path_c.any()) is stalls  # it was empty before


# ------------------------------------------------------------------ the candidates


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("separable", [False, True])
def test_candidates_have_the_states_mean_and_covariance(separable, mirrored):
    state = some_state(3, separable, seed=4)
    optimizer = CMAES(popsize=400_001, mirrored=mirrored)
    asked = optimizer.ask(state, np.random.default_rng(0))
    y, covariance = asked.directions, np.diag(state.covariance) if separable else state.covariance
    np.testing.assert_allclose(asked.thetas.mean(axis=0), state.theta, atol=0.01)
    np.testing.assert_allclose(np.cov(asked.thetas.T), 0.49 * covariance, atol=0.012)
    m = len(y)
    assert (len(asked), m) == (400_001, 200_001 if mirrored else 400_001)
    np.testing.assert_allclose(asked.thetas[:m], state.theta + 0.7 * y, rtol=1e-15)
    np.testing.assert_allclose(asked.thetas[m:], state.theta - 0.7 * y[: 400_001 - m], rtol=1e-15)
    # Each alone is normal: squared lengths of C^-1/2 y are chi² with d degrees of freedom.
    chi2 = np.einsum("ij,jk,ik->i", y, np.linalg.inv(covariance), y)
    assert (chi2.mean(), chi2.var()) == pytest.approx((3, 6), rel=0.02)
    assert np.mean(chi2 < 2.366) == pytest.approx(0.5, abs=0.005)  # the median
    angles = np.arctan2(*(y @ np.linalg.inv(np.linalg.cholesky(covariance)).T)[:, :2].T)
    assert np.histogram(angles, 8)[0] == pytest.approx(m / 8, rel=0.03)  # uniform on the circle


@pytest.mark.parametrize(("d", "popsize"), [(20, None), (5, 9), (4, 37), (1, 7)])
def test_mirrored_directions_are_orthogonal_where_there_is_room(d, popsize):
    state = some_state(d)
    y = CMAES(popsize=popsize).ask(state, np.random.default_rng(3)).directions
    white = (y @ state.eigenbasis) / state.scales
    for block in (white[i : i + d] for i in range(0, len(white), d)):
        gram = block @ block.T
        scale = np.sqrt(np.outer(np.diag(gram), np.diag(gram)))
        np.testing.assert_allclose(gram / scale, np.eye(len(block)), atol=1e-9)


@pytest.mark.parametrize(("d", "popsize"), [(1, 4), (2, 6), (10, 10), (40, 15), (1000, 24)])
def test_the_default_popsize_is_equation_48(d, popsize):
    optimizer = CMAES(covariance="separable")
    assert len(optimizer.ask(optimizer.init(np.zeros(d)), np.random.default_rng(0))) == popsize


# ------------------------------------------------------------------ invariances


def test_rotating_the_problem_rotates_the_search():
    d, optimizer, rng = 6, CMAES(), np.random.default_rng(0)
    turn = rotation(d)
    state = optimizer.init(np.arange(1.0, 7.0))
    turned = optimizer.init(turn @ state.theta)
    for _ in range(80):
        asked = optimizer.ask(state, rng)
        returns = -ellipsoid(asked.thetas)
        state = optimizer.tell(state, asked, returns)
        directions = asked.directions @ turn.T
        turned_asked = replace(asked, candidates=asked.thetas @ turn.T, directions=directions)
        turned = optimizer.tell(turned, turned_asked, returns)
        assert turned.sigma == pytest.approx(state.sigma, rel=1e-6)
        np.testing.assert_allclose(turned.theta, turn @ state.theta, atol=1e-6)
        expected = turn @ state.covariance @ turn.T
        np.testing.assert_allclose(turned.covariance, expected, atol=1e-6 * expected.max())
    assert np.ptp(state.scales) > 0.5  # there was a shape to be turned


def test_full_and_separable_are_one_method_in_one_dimension():
    full, separable = (
        search(CMAES(covariance=covariance), lambda x: -sphere(x), [3.0], 100)[-1]
        for covariance in ("full", "separable")
    )
    assert full.sigma == pytest.approx(separable.sigma, rel=1e-9)
    np.testing.assert_allclose(full.theta, separable.theta, atol=1e-12)


@pytest.mark.parametrize("mirrored", [False, True])
def test_log_sigma_does_not_drift_when_returns_are_noise(mirrored):
    optimizer, noise = CMAES(mirrored=mirrored), np.random.default_rng(1)
    drifts = []
    for seed in range(30):
        states = search(optimizer, lambda x: noise.standard_normal(len(x)), np.zeros(4), 200, seed)
        # The path starts at zero, which is too short; after 20 generations it is typical.
        drifts.append(math.log(states[-1].sigma / states[20].sigma) / 180)
    error = float(np.std(drifts)) / math.sqrt(len(drifts))
    # A chi of sqrt(d) in place of E|N(0, I)| drifts by -0.018 a generation; with pairs the path's
    # mean square is right but its mean length is not quite (0.001 at d = 4, by 1,500 searches).
    assert error < 0.004
    assert abs(np.mean(drifts)) < 3 * error + 0.001 * mirrored


def test_a_damped_search_does_not_stall_on_a_sharp_ridge():
    # Undamped, sigma shrinks before C has found the ridge.
    d, ends = 20, {}
    for damped in (False, True):
        for seed in range(2):
            turn = np.linalg.qr(np.random.default_rng(seed).standard_normal((d, d)))[0]

            def height(x, turn=turn):
                z = x @ turn
                return -(z[:, 0] ** 2) - 1000 * np.sqrt((z[:, 1:] ** 2).sum(axis=1))

            optimizer = CMAES(sigma0=2.0, popsize=48, damped=damped)
            start = np.random.default_rng(10 + seed).uniform(-4, 4, d)
            states = search(optimizer, height, start, 700, seed)
            ends[damped, seed] = -height(states[-1].theta[None])[0]
    assert max(ends[True, 0], ends[True, 1]) < 1e-7
    assert max(ends[False, 0], ends[False, 1]) > 0.1  # not always: rounding decides


# ------------------------------------------------------------------ options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"popsize": 3}, "popsize must be an integer >= 4.*got 3"),
        ({"popsize": 8.0}, "popsize must be an integer >= 4.*got 8.0"),
        ({"max_memory_gb": 0}, "max_memory_gb must be a finite number > 0, got 0"),
        ({"sigma0": 0.0}, "sigma0 must be a finite number > 0, got 0.0"),
        ({"sigma0": -1.0}, "sigma0 must be"),
        ({"sigma0": math.nan}, "sigma0 must be"),
        ({"mirrored": "no"}, "mirrored must be True or False, got 'no'"),
        ({"damped": 1}, "damped must be True or False, got 1"),
        ({"active": 0}, "active must be True or False, got 0"),
        ({"sigma0": "a"}, "sigma0 must be a finite number > 0, got 'a'"),
        ({"covariance": "diagonal"}, "unknown covariance 'diagonal'.*separable"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ConfigurationError, match=message):
        CMAES(**options)


def test_the_separable_recipe_has_all_options_but_the_covariance():
    options = {"sigma0": 0.7, "popsize": 9, "max_memory_gb": 2.0}
    for flag in ("active", "mirrored"):
        expected = CMAES(**options, covariance="separable", **{flag: False})
        assert sep_cma_es(**options, **{flag: False}) == expected
    assert sep_cma_es(damped=True) == CMAES(covariance="separable", damped=True)
