"""CMA-ES within the limits of float64 and of memory."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from dataclasses import astuple, replace
from pathlib import Path

import numpy as np
import pytest
from optimizer_toys import ellipsoid, search, some_state

from zorl.common.errors import ConfigurationError
from zorl.optimizers.cma_es import CMAES
from zorl.optimizers.lra import lra_cma_es

CLEAR, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


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


@pytest.mark.slow
@pytest.mark.skipif(not CLEAR.exists(), reason="resident memory's peak is Linux's to tell")
@pytest.mark.parametrize("make", ["CMAES(covariance={0!r})", "lra_cma_es(covariance={0!r})"])
@pytest.mark.parametrize(("covariance", "d"), [("full", 800), ("separable", 200_000)])
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
Path("{CLEAR}").write_text("5")  # the peak starts again
before = resident("VmRSS")
search(optimizer, {d})
print(resident("VmHWM") - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    optimizer = lra_cma_es(covariance=covariance) if "lra" in make else CMAES(covariance=covariance)
    memory = optimizer.memory_bytes(d)
    assert 0.6 * memory < int(done.stdout) < 1.1 * memory
