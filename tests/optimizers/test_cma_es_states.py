"""CMA-ES for its invariances, and for what its states are and stay."""

from __future__ import annotations

import math
import subprocess
import sys
import tracemalloc
from dataclasses import astuple, fields, replace
from pathlib import Path

import numpy as np
import pytest
from cma_toys import assert_same, ellipsoid, rotation, search, some_state, sphere

from zorl.common.errors import ConfigurationError
from zorl.optimizers.base import Asked
from zorl.optimizers.cma_es import CMAES, sep_cma_es
from zorl.optimizers.lra import lra_cma_es

CLEAR, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")

# ------------------------------------------------------------------ invariances


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
    for seed in range(60):
        states = search(optimizer, lambda x: noise.standard_normal(len(x)), np.zeros(4), 200, seed)
        # The path starts at zero, which is too short; after 20 generations it is typical.
        drifts.append(math.log(states[-1].sigma / states[20].sigma) / 180)
    error = float(np.std(drifts)) / math.sqrt(len(drifts))
    # A chi of sqrt(d) in place of E|N(0, I)| drifts by -0.018 a generation; with pairs the path's
    # mean square is right but its mean length is not quite (0.001 at d = 4, by 1,500 searches).
    assert error < 0.003
    assert abs(np.mean(drifts)) < 3 * error + 0.001 * mirrored


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


@pytest.mark.parametrize(("mirrored", "gap"), [(False, 36), (True, 24)])
def test_the_eigenvectors_lag_behind_but_only_so_far(mirrored, gap):
    # d = 80, 17 candidates: mu_eff = 5.1, so c_1 + c_mu = 0.00068 alpha_cov, and 0.05 over that.
    d, optimizer = 80, CMAES(mirrored=mirrored)
    states = search(optimizer, lambda x: -ellipsoid(x), np.ones(d), 2 * gap)
    assert {state.eigen_t for state in states} == {0, gap, 2 * gap}
    for state in (states[gap], states[2 * gap]):
        assert state.eigen_t == state.t
        rebuilt = (state.eigenbasis * state.scales**2) @ state.eigenbasis.T
        np.testing.assert_allclose(rebuilt, state.covariance, atol=1e-12)
        np.testing.assert_allclose(state.covariance, state.covariance.T, atol=1e-14)
    before = np.abs(states[gap].covariance - states[2 * gap - 1].covariance).max()
    assert before > 0.01


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
        ({"max_memory_gb": 0}, "max_memory_gb must be a finite number > 0, got 0"),
        ({"sigma0": 0.0}, "sigma0 must be a finite number > 0, got 0.0"),
        ({"sigma0": -1.0}, "sigma0 must be"),
        ({"sigma0": math.nan}, "sigma0 must be"),
        ({"mirrored": "no"}, "mirrored must be True or False, got 'no'"),
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


def test_a_search_that_would_not_fit_is_refused_before_it_allocates():
    optimizer = CMAES()
    tracemalloc.start()
    with pytest.raises(
        ConfigurationError,
        match=r'd = 20,000 needs 22\.4 GB.*max_memory_gb = 4;.*"separable".*"lm-ma-es".*raise',
    ):
        optimizer.init(np.zeros(20_000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1e6
    with pytest.raises(ConfigurationError, match=r"separable.*needs 0\.0237 GB.*smaller popsize"):
        CMAES(covariance="separable", max_memory_gb=0.01).init(np.zeros(20_000))
    limit = optimizer.memory_bytes(50) / 1e9
    assert CMAES(max_memory_gb=limit).init(np.zeros(50)).t == 0
    with pytest.raises(ConfigurationError, match="d = 51"):
        CMAES(max_memory_gb=limit).init(np.zeros(51))


@pytest.mark.skipif(not CLEAR.exists(), reason="resident memory's peak is Linux's to tell")
@pytest.mark.parametrize("make", ["CMAES(covariance={0!r})", "lra_cma_es(covariance={0!r})"])
@pytest.mark.parametrize(("covariance", "d"), [("full", 1200), ("separable", 200_000)])
def test_memory_is_what_a_search_takes_at_its_peak(make, covariance, d):
    make = make.format(covariance)
    code = f"""
import re
from dataclasses import replace
from pathlib import Path
import numpy as np
from zorl.optimizers import CMAES, lra_cma_es

def resident(name):
    return int(re.search(name + r":\\s+(\\d+) kB", Path("{STATUS}").read_text())[1]) * 1024

def search(optimizer, d):
    state = optimizer.init(np.ones(d))
    for _ in range(2):
        asked = optimizer.ask(state, rng)
        if isinstance(optimizer, CMAES):  # or else the axes are computed anyway
            state = replace(state, eigen_t=-1_000_000)
        state = optimizer.tell(state, asked, np.arange(len(asked)))

optimizer, rng = {make}, np.random.default_rng(0)
search(optimizer, 150)  # BLAS makes its buffers
Path("{CLEAR}").write_text("5")  # the peak starts anew
before = resident("VmRSS")
search(optimizer, {d})
print(resident("VmHWM") - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    optimizer = lra_cma_es(covariance=covariance) if "lra" in make else CMAES(covariance=covariance)
    memory = optimizer.memory_bytes(d)
    assert 0.6 * memory < int(done.stdout) < 1.1 * memory


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
        optimizer.tell(state, Asked(asked.thetas, 0, sigma=1.0), returns)
    other = CMAES(popsize=len(asked) + 1)  # as many directions
    with pytest.raises(ConfigurationError, match="needs the 8 candidates that ask of CMAES"):
        other.tell(state, asked, returns)
    with pytest.raises(ConfigurationError, match="needs the 7 candidates that ask of CMAES"):
        CMAES(mirrored=False).tell(state, asked, returns)
    with pytest.raises(ConfigurationError, match="theta must be finite"):
        optimizer.init([1.0, math.nan])
