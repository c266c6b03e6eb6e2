"""CMA-ES against the tutorial's equations, against pycma, and for its invariances."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import astuple, fields, replace

import numpy as np
import pytest

from zorl.errors import ConfigurationError
from zorl.optimizers.base import Asked
from zorl.optimizers.cma_es import CMAES, CMAESState

Losses = Callable[[np.ndarray], np.ndarray]


def sphere(x):
    return (x**2).sum(axis=1)


def ellipsoid(x):
    return x**2 @ 1e6 ** np.linspace(0, 1, x.shape[1])


def rosenbrock(x):
    return (100 * (x[:, :-1] ** 2 - x[:, 1:]) ** 2 + (x[:, :-1] - 1) ** 2).sum(axis=1)


def rotation(d, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((d, d)))[0]


def evaluations(optimizer: CMAES, loss: Losses, start, seed: int, budget: int) -> float:
    """How many evaluations until one candidate has a loss of 1e-8 or less."""
    rng, state, spent = np.random.default_rng(seed), optimizer.init(start), 0
    while spent < budget:
        asked = optimizer.ask(state, rng)
        losses = loss(asked.thetas)
        hits = np.flatnonzero(losses <= 1e-8)
        if hits.size:
            return spent + hits[0] + 1
        spent += len(losses)
        state = optimizer.tell(state, asked, -losses)
    return math.inf


def some_state(d, separable=False, seed=0, path_sigma_length=1.0, t=20):
    """Make a state of a search under way, with nothing zero, unit or aligned."""
    rng = np.random.default_rng(seed)
    root = rng.standard_normal((d, d))
    covariance = root @ root.T / d + 0.3 * np.eye(d)
    variances, basis = np.linalg.eigh(covariance)
    if separable:
        covariance = variances = rng.uniform(0.2, 3.0, d)
        basis = np.empty((0, 0))
    path = rng.standard_normal(d)
    return CMAESState(
        theta=rng.standard_normal(d),
        t=t,
        sigma=0.7,
        covariance=covariance,
        path_c=rng.standard_normal(d),
        path_sigma=path * path_sigma_length * math.sqrt(d) / np.linalg.norm(path),
        eigenbasis=basis,
        scales=np.sqrt(variances),
        eigen_t=t,
    )


# ------------------------------------------------------------------ the equations, by hand


def tutorial_step(state, ys, returns, active, separable):
    """One generation of arXiv 1604.00772, appendix A, in plain loops; C^-1/2 from C itself.

    Returns:
        theta, sigma, C, p_c, p_sigma and h_sigma.
    """
    n, lam = len(state.theta), len(ys)
    mu = lam // 2
    w_prime = [math.log((lam + 1) / 2) - math.log(i) for i in range(1, lam + 1)]
    positive = [w for w in w_prime if w > 0]
    negative = [w for w in w_prime if w < 0]
    mu_eff = sum(positive) ** 2 / sum(w * w for w in positive)
    mu_eff_minus = sum(w_prime[mu:]) ** 2 / sum(w * w for w in w_prime[mu:])
    cc = (4 + mu_eff / n) / (n + 4 + 2 * mu_eff / n)
    c1 = 2 / ((n + 1.3) ** 2 + mu_eff)
    cmu = 2 * (1 / 4 + mu_eff + 1 / mu_eff - 2) / ((n + 2) ** 2 + 2 * mu_eff / 2)
    if separable:
        c1, cmu = c1 * (n + 2) / 3, cmu * (n + 2) / 3
    cmu = min(1 - c1, cmu)
    cs = (mu_eff + 2) / (n + mu_eff + 5)
    ds = 1 + 2 * max(0, math.sqrt((mu_eff - 1) / (n + 1)) - 1) + cs
    alpha = min(1 + c1 / cmu, 1 + 2 * mu_eff_minus / (mu_eff + 2), (1 - c1 - cmu) / (n * cmu))
    w = []
    for value in w_prime:
        if value >= 0:
            w.append(value / sum(positive))
        else:
            w.append(alpha * value / -sum(negative) if active else 0.0)

    c = np.diag(state.covariance) if separable else state.covariance
    eigenvalues, vectors = np.linalg.eigh(c)
    inverse_root = vectors @ np.diag(eigenvalues**-0.5) @ vectors.T
    order = sorted(range(lam), key=lambda i: -returns[i])
    step = sum(w[i] * ys[order[i]] for i in range(mu))
    theta = state.theta + state.sigma * step
    p_s = (1 - cs) * state.path_sigma + math.sqrt(cs * (2 - cs) * mu_eff) * inverse_root @ step
    chi = math.sqrt(2) * math.gamma((n + 1) / 2) / math.gamma(n / 2)
    norm = math.sqrt(sum(p_s**2))
    sigma = state.sigma * math.exp(cs / ds * (norm / chi - 1))
    # The tutorial's g counts from 0: this is generation g = t, with g + 1 terms in the path.
    h = norm / math.sqrt(1 - (1 - cs) ** (2 * (state.t + 1))) < (1.4 + 2 / (n + 1)) * chi
    p_c = (1 - cc) * state.path_c + h * math.sqrt(cc * (2 - cc) * mu_eff) * step
    new = (1 + c1 * (1 - h) * cc * (2 - cc) - c1 - cmu * sum(w)) * c + c1 * np.outer(p_c, p_c)
    for i in range(lam):
        y = ys[order[i]]
        w_circle = w[i] if w[i] >= 0 else w[i] * n / sum((inverse_root @ y) ** 2)
        new = new + cmu * w_circle * np.outer(y, y)
    return theta, sigma, np.diag(new) if separable else new, p_c, p_s, h


@pytest.mark.parametrize("separable", [False, True])
@pytest.mark.parametrize("active", [True, False])
@pytest.mark.parametrize(
    ("d", "popsize", "length", "t", "h_sigma"),
    [
        (6, None, 0.5, 20, True),
        (6, None, 4.0, 20, False),
        (6, None, 0.8, 0, True),  # with 2 g in place of 2 (g + 1) it would be too long
        (6, None, 2.0, 0, False),  # too long for its age
        (7, 4, 1.0, 20, True),
        (3, 400, 1.0, 20, False),  # so many candidates that C forgets all (c_1 + c_mu = 1)
    ],
)
def test_one_update_is_the_tutorials(d, popsize, length, t, h_sigma, active, separable):
    state = some_state(d, separable, path_sigma_length=length, t=t)
    optimizer = CMAES(
        popsize=popsize, active=active, covariance="separable" if separable else "full"
    )
    asked = optimizer.ask(state, np.random.default_rng(1))
    returns = np.random.default_rng(2).standard_normal(len(asked))
    theta, sigma, covariance, path_c, path_sigma, h = tutorial_step(
        state, asked.directions, returns, active, separable
    )
    assert h == h_sigma  # both branches are under test
    told = optimizer.tell(state, asked, returns)
    np.testing.assert_allclose(told.theta, theta, rtol=1e-11)
    assert told.sigma == pytest.approx(sigma, rel=1e-11)
    np.testing.assert_allclose(told.covariance, covariance, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(told.path_c, path_c, rtol=1e-11)
    np.testing.assert_allclose(told.path_sigma, path_sigma, rtol=1e-9, atol=1e-11)
    assert told.t == state.t + 1


@pytest.mark.parametrize("separable", [False, True])
def test_candidates_have_the_states_mean_and_covariance(separable):
    state = some_state(3, separable, seed=4)
    asked = CMAES(popsize=400_000).ask(state, np.random.default_rng(0))
    covariance = np.diag(state.covariance) if separable else state.covariance
    np.testing.assert_allclose(asked.thetas.mean(axis=0), state.theta, atol=0.01)
    np.testing.assert_allclose(np.cov(asked.thetas.T), 0.49 * covariance, atol=0.012)
    np.testing.assert_allclose(asked.thetas, state.theta + 0.7 * asked.directions, rtol=1e-15)


@pytest.mark.parametrize(("d", "popsize"), [(1, 4), (2, 6), (10, 10), (40, 15), (1000, 24)])
def test_the_default_popsize_is_equation_48(d, popsize):
    optimizer = CMAES(covariance="separable")
    assert len(optimizer.ask(optimizer.init(np.zeros(d)), np.random.default_rng(0))) == popsize


# ------------------------------------------------------------------ against pycma


@pytest.mark.parametrize("active", [True, False])
def test_mean_paths_and_covariance_move_as_in_pycma(active):
    # The step size is left out: pycma has c_sigma = (mu_eff + 2) / (d + mu_eff + 3), not eq. 55.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import cma

        d, optimizer = 8, CMAES(active=active)
        es = cma.CMAEvolutionStrategy(
            np.ones(d), 0.5, {"seed": 5, "verbose": -9, "CMA_active": active}
        )
        for t in range(60):
            thetas = np.array(es.ask())
            losses = ellipsoid(thetas)
            covariance = es.sm.C.copy()
            variances, basis = np.linalg.eigh(covariance)
            state = CMAESState(
                theta=es.mean.copy(),
                t=t,
                sigma=float(es.sigma),
                covariance=covariance,
                path_c=np.array(es.pc, dtype=float),
                path_sigma=np.array(getattr(es.adapt_sigma, "ps", np.zeros(d)), dtype=float),
                eigenbasis=basis,
                scales=np.sqrt(variances),
                eigen_t=t,
            )
            asked = Asked(thetas, t, (thetas - state.theta) / state.sigma)
            told = optimizer.tell(state, asked, -losses)
            es.tell(list(thetas), list(losses))
            np.testing.assert_allclose(told.theta, es.mean, rtol=0, atol=1e-9 * told.sigma)
            np.testing.assert_allclose(told.path_c, es.pc, rtol=1e-8, atol=1e-9)
            # 1e-7: pycma adds 1e-9 to the lengths of the directions that it takes away.
            np.testing.assert_allclose(told.covariance, es.sm.C, rtol=0, atol=1e-7 * es.sm.C.max())


# Medians of pycma 4.5.0 to 1e-8 (15 seeds; plain and separable 9), start uniform in [-4, 4]^d with
# sigma0 2, Rosenbrock from 0 with 0.1; the rotated ellipsoid must cost what the plain one costs.
@pytest.mark.parametrize(
    ("loss", "d", "options", "median"),
    [
        (sphere, 10, {}, 1420),
        (ellipsoid, 10, {}, 4050),
        ("rotated", 10, {}, 4050),
        (rosenbrock, 10, {}, 4840),
        (rosenbrock, 20, {"active": False}, 19692),
        (ellipsoid, 20, {"covariance": "separable"}, 4560),
    ],
)
def test_as_many_evaluations_as_pycma(loss, d, options, median):
    optimizer = CMAES(sigma0=0.1 if loss is rosenbrock else 2.0, **options)
    seeds = range(5 if d == 20 else 11)
    counts = []
    for seed in seeds:
        start = np.random.default_rng(100 + seed).uniform(-4, 4, d)
        turn = rotation(d, seed)
        counts.append(
            evaluations(
                optimizer,
                (lambda x, turn=turn: ellipsoid(x @ turn)) if loss == "rotated" else loss,
                np.zeros(d) if loss is rosenbrock else start,
                seed,
                budget=3 * median,
            )
        )
    assert max(counts) < math.inf
    assert 0.85 * median < np.median(counts) < 1.15 * median


# ------------------------------------------------------------------ invariances


def search(optimizer, returns_of, start, generations, seed=0):
    rng, state = np.random.default_rng(seed), optimizer.init(start)
    states = [state]
    for _ in range(generations):
        asked = optimizer.ask(state, rng)
        state = optimizer.tell(state, asked, returns_of(asked.thetas))
        states.append(state)
    return states


def assert_same(one, other):
    for a, b in zip(astuple(one), astuple(other), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("covariance", ["full", "separable"])
def test_only_the_order_of_the_returns_counts(covariance):
    optimizer = CMAES(covariance=covariance)
    start = np.full(5, 2.0)
    plain = search(optimizer, lambda x: -ellipsoid(x), start, 60)
    cubed = search(optimizer, lambda x: 7 - 3 * ellipsoid(x) ** 3, start, 60)
    logged = search(optimizer, lambda x: -np.log(ellipsoid(x)), start, 60)
    for states in zip(plain, cubed, logged, strict=True):
        assert_same(states[0], states[1])
        assert_same(states[0], states[2])
    reversed_order = search(optimizer, ellipsoid, start, 60)
    assert not np.array_equal(plain[-1].theta, reversed_order[-1].theta)


def test_rotating_the_problem_rotates_the_search():
    d, optimizer, rng = 6, CMAES(), np.random.default_rng(0)
    turn = rotation(d)
    state = optimizer.init(np.arange(1.0, 7.0))
    turned = optimizer.init(turn @ state.theta)
    for _ in range(80):
        asked = optimizer.ask(state, rng)
        returns = -ellipsoid(asked.thetas)
        state = optimizer.tell(state, asked, returns)
        turned_asked = Asked(asked.thetas @ turn.T, asked.t, asked.directions @ turn.T)
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


def test_log_sigma_does_not_drift_when_returns_are_noise():
    optimizer, noise = CMAES(), np.random.default_rng(1)
    drifts = []
    for seed in range(60):
        states = search(optimizer, lambda x: noise.standard_normal(len(x)), np.zeros(4), 200, seed)
        # The path starts at zero, which is too short; after 20 generations it is typical.
        drifts.append(math.log(states[-1].sigma / states[20].sigma) / 180)
    error = float(np.std(drifts)) / math.sqrt(len(drifts))
    # A chi of sqrt(d) in place of E|N(0, I)| drifts by -0.018 a generation.
    assert error < 0.003
    assert abs(np.mean(drifts)) < 3 * error


# ------------------------------------------------------------------ values, not objects


@pytest.mark.parametrize("covariance", ["full", "separable"])
def test_states_are_frozen_values_and_never_change(covariance):
    optimizer = CMAES(covariance=covariance)
    start = np.ones(4)
    state = search(optimizer, lambda x: -ellipsoid(x), start, 5)[-1]
    before = [np.copy(value) for value in astuple(state)]
    asked = optimizer.ask(state, np.random.default_rng(3))
    thetas = asked.thetas.copy()
    returns = -ellipsoid(asked.thetas)
    kept = returns.copy()
    told, again = (optimizer.tell(state, asked, returns) for _ in range(2))
    assert_same(told, again)
    for value, old in zip(astuple(state), before, strict=True):
        np.testing.assert_array_equal(value, old)
    np.testing.assert_array_equal(asked.thetas, thetas)
    np.testing.assert_array_equal(returns, kept)
    for some in (state, told, optimizer.init(start), optimizer.tell(state, asked, 0 * returns)):
        for field in fields(some):
            value = getattr(some, field.name)
            if isinstance(value, np.ndarray):
                assert value.dtype == np.float64 and not value.flags.writeable, field.name
            else:
                assert type(value) in (int, float), field.name  # it is serialised
    assert not (asked.thetas.flags.writeable or asked.directions.flags.writeable)
    assert start.flags.writeable
    with pytest.raises(AttributeError):
        state.sigma = 1.0


def test_the_same_generator_gives_the_same_candidates():
    optimizer, state = CMAES(), some_state(5)
    one, same, other = (optimizer.ask(state, np.random.default_rng(s)).thetas for s in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


# ------------------------------------------------------------------ returns that say little


@pytest.mark.parametrize("value", [0.0, -200.0, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("covariance", ["full", "separable"])
def test_a_flat_generation_changes_nothing_but_t(value, covariance):
    optimizer = CMAES(covariance=covariance)
    state = some_state(5, covariance == "separable")
    asked = optimizer.ask(state, np.random.default_rng(0))
    told = optimizer.tell(state, asked, np.full(len(asked), value))
    assert_same(told, replace(state, t=state.t + 1))


def test_returns_that_are_not_finite_count_as_the_worst():
    optimizer, state = CMAES(popsize=8), some_state(5)
    asked = optimizer.ask(state, np.random.default_rng(0))
    broken = optimizer.tell(state, asked, [3, math.nan, 1, math.inf, 2, -math.inf, 5, 4])
    mended = optimizer.tell(state, asked, [3, 1, 1, 1, 2, 1, 5, 4])
    assert_same(broken, mended)
    best_broken = optimizer.tell(state, asked, [3, 1, 1, 9, 2, 1, 5, 4])
    assert not np.array_equal(broken.theta, best_broken.theta)


def test_ties_are_broken_by_index():
    optimizer, state = CMAES(popsize=90), some_state(5)
    asked = optimizer.ask(state, np.random.default_rng(0))
    returns = np.arange(90) % 3
    tied = optimizer.tell(state, asked, returns)
    ordered = optimizer.tell(state, asked, 1000 * returns - np.arange(90))
    assert_same(tied, ordered)


# ------------------------------------------------------------------ numerical safety


def test_the_eigenvectors_lag_behind_but_only_so_far():
    # d = 300, 21 candidates: mu_eff = 6.2, so 1 / (10 d (c_1 + c_mu)) = 2.7, rounded down to 2.
    d, optimizer = 300, CMAES()
    states = search(optimizer, lambda x: -ellipsoid(x), np.ones(d), 7)
    assert [state.eigen_t for state in states] == [0, 0, 2, 2, 4, 4, 6, 6]
    for state in (states[2], states[6]):
        rebuilt = (state.eigenbasis * state.scales**2) @ state.eigenbasis.T
        np.testing.assert_allclose(rebuilt, state.covariance, atol=1e-12)
    assert np.abs(states[5].covariance - states[4].covariance).max() > 1e-4


@pytest.mark.parametrize("covariance", ["full", "separable"])
def test_an_unbounded_objective_does_not_overflow(covariance):
    optimizer = CMAES(covariance=covariance)
    states = search(optimizer, lambda x: x[:, 0], np.zeros(2), 1500)
    reach = states[-1].sigma * states[-1].scales.max()
    assert reach == pytest.approx(1e30)
    assert np.isfinite(np.concatenate([np.ravel(value) for value in astuple(states[-1])])).all()
    assert np.isfinite(states[-1].theta.astype(np.float32)).all()


def test_a_search_that_has_arrived_keeps_a_positive_step_size():
    state = search(CMAES(), lambda x: -np.abs(x).sum(axis=1), np.ones(2), 2500)[-1]
    assert np.abs(state.theta).max() < 1e-90
    assert state.sigma * state.scales.max() >= 0.99e-100
    assert np.isfinite(np.concatenate([np.ravel(value) for value in astuple(state)])).all()


@pytest.mark.parametrize("covariance", ["full", "separable"])
def test_the_condition_number_is_limited(covariance):
    optimizer = CMAES(covariance=covariance, popsize=20)
    # Two useless parameters, and one that has to be known ever more exactly.
    state = search(optimizer, lambda x: -np.abs(x[:, 0]), np.ones(3), 400)[-1]
    assert state.scales.max() / state.scales.min() == pytest.approx(1e7, rel=0.1)
    if covariance == "full":
        assert np.linalg.eigvalsh(state.covariance)[0] > 0
    assert abs(state.theta[0]) < 1e-12


@pytest.mark.parametrize("separable", [False, True])
def test_sigma_takes_over_a_scale_that_has_drifted_into_the_covariance(separable):
    optimizer = CMAES(covariance="separable" if separable else "full")
    state = some_state(4, separable)
    tiny = 2.0**-120
    drifted = replace(
        state,
        sigma=state.sigma / tiny,
        covariance=state.covariance * tiny**2,
        scales=state.scales * tiny,
        path_c=state.path_c * tiny,
    )
    told, other = (
        optimizer.tell(s, asked, -ellipsoid(asked.thetas))
        for s in (state, drifted)
        for asked in [optimizer.ask(s, np.random.default_rng(0))]
    )
    assert 0.4 < other.scales.max() < 1.1
    np.testing.assert_allclose(other.theta, told.theta, rtol=1e-12)
    for power, name in ((2, "covariance"), (1, "scales"), (1, "path_c")):
        one, two = (s.sigma**power * getattr(s, name) for s in (told, other))
        np.testing.assert_allclose(two, one, rtol=1e-9, atol=1e-12)


# ------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"popsize": 3}, "popsize must be an integer >= 4.*got 3"),
        ({"popsize": 8.0}, "popsize must be an integer >= 4.*got 8.0"),
        ({"sigma0": 0.0}, "sigma0 must be a finite number > 0, got 0.0"),
        ({"sigma0": -1.0}, "sigma0 must be"),
        ({"sigma0": math.nan}, "sigma0 must be"),
        ({"covariance": "diagonal"}, "unknown covariance 'diagonal'.*separable"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ConfigurationError, match=message):
        CMAES(**options)


def test_a_full_covariance_has_a_largest_dimension():
    with pytest.raises(ConfigurationError, match=r'20,001 > 20,000.*6\.4 GB.*"separable"'):
        CMAES().init(np.zeros(20_001))
    optimizer = CMAES(covariance="separable")
    state = search(optimizer, lambda x: -sphere(x), np.ones(20_001), 2)[-1]
    assert sum(np.size(value) for value in astuple(state)) < 6 * 20_001
    assert state.theta @ state.theta != 20_001


def test_tell_refuses_what_is_not_the_states():
    optimizer, rng = CMAES(), np.random.default_rng(0)
    state = optimizer.init(np.ones(3))
    asked = optimizer.ask(state, rng)
    returns = np.arange(float(len(asked)))
    told = optimizer.tell(state, asked, returns)
    with pytest.raises(ConfigurationError, match="asked at update 0"):
        optimizer.tell(told, asked, returns)
    with pytest.raises(ConfigurationError, match="one return per candidate"):
        optimizer.tell(state, asked, returns[:-1])
    with pytest.raises(ConfigurationError, match="ask of CMAES"):
        optimizer.tell(state, Asked(asked.thetas, 0), returns)
    with pytest.raises(ConfigurationError, match="theta must be finite"):
        optimizer.init([1.0, math.nan])
