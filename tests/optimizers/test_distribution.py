"""What all searches that move a distribution promise beside the contract.

`check_optimizer` covers the contract for every method (tests/testing/test_what_zorl_has.py).
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from optimizer_toys import assert_same, ellipsoid, leaves, search, sphere

from zorl.common.errors import ConfigurationError
from zorl.optimizers import CEM, CMAES, LMMAES, SNES, XNES, pgpe

FAMILY = {
    "cma-es": CMAES(),
    "cma-es separable": CMAES(covariance="separable"),
    "cma-es independent": CMAES(mirrored=False),
    "snes": SNES(),
    "xnes": XNES(),
    "cem": CEM(),
    "cem with noise": CEM(noise=1.0, noise_updates=30),
    "lm-ma-es": LMMAES(),
    "pgpe": pgpe(),
    "pgpe-sgd": pgpe(optimizer="sgd", weights="standardised"),
}
every = pytest.mark.parametrize("optimizer", FAMILY.values(), ids=FAMILY)


def under_way(optimizer):
    """A state, and what it asks."""
    state = search(optimizer, lambda x: -ellipsoid(x), np.ones(5), 7)[-1]
    return state, optimizer.ask(state, np.random.default_rng(0))


@every
def test_a_flat_generation_changes_nothing_but_t(optimizer):
    state, asked = under_way(optimizer)
    for value in (0.0, -200.0, math.nan, math.inf, -math.inf):
        told = optimizer.tell(state, asked, np.full(len(asked), value))
        assert_same(told, replace(state, t=state.t + 1))


@pytest.mark.parametrize("name", ["cma-es", "snes", "xnes", "cem", "lm-ma-es"])
def test_ties_are_broken_by_index(name):
    optimizer = replace(FAMILY[name], popsize=90)
    state, asked = under_way(optimizer)
    returns = np.arange(90) % 3
    ordered = optimizer.tell(state, asked, 1000 * returns - np.arange(90))
    assert_same(optimizer.tell(state, asked, returns), ordered)
    other = optimizer.tell(state, asked, 1000 * returns + np.arange(90))
    assert not np.array_equal(other.theta, ordered.theta)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (SNES(0.5), SNES(2.0)),
        (XNES(0.5), XNES(2.0)),
        (CMAES(0.5), CMAES(2.0)),
        (LMMAES(0.5), LMMAES(2.0)),
        (CEM(0.5, noise=0.25), CEM(2.0, noise=4.0)),
        (pgpe(0.25, 0.5), pgpe(1.0, 2.0)),
    ],
)
def test_a_problem_four_times_as_wide_is_searched_in_steps_four_times_as_long(one, other):
    near = search(one, lambda x: -ellipsoid(x), np.arange(1.0, 6.0), 60)[-1]
    far = search(other, lambda x: -ellipsoid(x / 4), 4 * np.arange(1.0, 6.0), 60)[-1]
    np.testing.assert_array_equal(far.theta, 4 * near.theta)  # a power of two: the same bits
    assert far.sigma == pytest.approx(4 * near.sigma, rel=1e-14)


LANDSCAPES = {
    "cone": (lambda x: -np.abs(x).sum(axis=1), 3000),
    "linear": (lambda x: x[:, 0], 3000),
    "one axis": (lambda x: -np.abs(x[:, 0]), 1000),
}


@pytest.mark.parametrize(
    ("name", "case"),
    [
        *((name, case) for name in ("snes", "xnes", "lm-ma-es") for case in LANDSCAPES),
        *(("cem", "cone"), ("cem", "one axis"), ("pgpe", "linear"), ("pgpe-sgd", "cone")),
    ],
)
def test_long_searches_stay_finite(name, case):
    optimizer, (returns_of, generations) = FAMILY[name], LANDSCAPES[case]
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        start = np.ones(5 if name == "lm-ma-es" else 2)  # LM-MA-ES is not made for two dimensions
        states = search(optimizer, returns_of, start, generations)
    for state in states[::100]:
        for field, value in leaves(state).items():
            assert isinstance(value, (int, str)) or np.isfinite(value).all(), field
        assert 1e-101 < state.sigma < 1.01e30
    theta = states[-1].theta
    assert np.isfinite(theta.astype(np.float32)).all()
    bounded = name in ("snes", "xnes", "lm-ma-es")  # where sigma grows and shrinks without end
    if case == "linear":
        assert theta[0] > 1.5
        assert not bounded or 1e30 < theta[0] < 1e35
    else:
        assert abs(theta[0]) < 0.5
        # xNES's path depends on the last bits, and so on the processor's BLAS kernels: some paths
        # run into the bound of the axis ratio around 1e-38, and crawl from there on.
        limit = 1e-35 if name == "xnes" else 1e-95
        assert not bounded or case != "cone" or np.abs(theta).max() < limit


@every
def test_the_size_of_the_perturbations_is_the_distribution_s(optimizer):
    state, asked = under_way(optimizer)
    assert type(asked.sigma) is float
    assert asked.sigma == state.sigma != optimizer.init(np.ones(5)).sigma


@every
def test_few_dimensions_are_no_special_case(optimizer):
    for d in (1, 3):
        state = search(optimizer, lambda x: -sphere(x), np.ones(d), 300)[-1]
        assert float(sphere(state.theta[None])[0]) < 0.2


@pytest.mark.parametrize("make", [CMAES, SNES, XNES, CEM, LMMAES])
def test_sigma0_is_a_positive_number(make):
    for sigma0 in (0.0, -1.0, math.nan, math.inf, "a"):
        with pytest.raises(ConfigurationError, match="sigma0 must be a finite number > 0"):
            make(sigma0=sigma0)


@pytest.mark.parametrize(
    ("make", "popsize", "least"),
    [
        (CMAES, 3, 4),
        (CMAES, 8.0, 4),
        (SNES, 1, 2),
        (XNES, 1, 2),
        (SNES, 8.0, 2),
        (CEM, 3, 4),
        (LMMAES, 3, 4),
        (LMMAES, True, 4),
    ],
)
def test_popsize_has_a_least_value(make, popsize, least):
    with pytest.raises(ConfigurationError, match=rf"popsize must be.* {least}.*got {popsize}"):
        make(popsize=popsize)
    optimizer = make(popsize=least)
    state = search(optimizer, lambda x: -sphere(x), np.ones(3), 50)[-1]
    assert np.isfinite(state.theta).all() and not np.array_equal(state.theta, np.ones(3))


@every
def test_candidates_that_are_not_its_own_are_refused(optimizer):
    state, asked = under_way(optimizer)
    returns = np.arange(float(len(asked)))
    refused = rf"needs the {len(asked)} candidates that ask of {type(optimizer).__name__} returned"
    for directions in (None, asked.directions[1:], asked.directions[:, 1:]):
        with pytest.raises(ConfigurationError, match=refused):
            optimizer.tell(state, replace(asked, directions=directions), returns)


@pytest.mark.parametrize("make", [CMAES, SNES, XNES, CEM, LMMAES, lambda popsize: pgpe(m=popsize)])
def test_candidates_of_another_population_are_refused(make):
    six, ten = make(popsize=6), make(popsize=10)
    state = six.init(np.ones(3))
    asked = ten.ask(state, np.random.default_rng(0))
    name = type(six).__name__
    with pytest.raises(ConfigurationError, match=f"needs the (6|12) candidates.*ask of {name}"):
        six.tell(state, asked, np.arange(float(len(asked))))


def test_candidates_of_another_sampling_are_refused():
    independent, pairs = CMAES(mirrored=False), CMAES()
    state = pairs.init(np.ones(3))
    asked = pairs.ask(state, np.random.default_rng(0))
    returns = np.arange(float(len(asked)))
    with pytest.raises(ConfigurationError, match="needs the 7 candidates that ask of CMAES"):
        independent.tell(state, asked, returns)
    more = replace(pairs, popsize=len(asked) + 1)  # as many directions
    with pytest.raises(ConfigurationError, match="needs the 8 candidates that ask of CMAES"):
        more.tell(state, asked, returns)
