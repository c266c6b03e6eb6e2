"""CMA-ES's constants: those of the tutorial by another implementation, and what they are for."""

from __future__ import annotations

import numpy as np
import pytest

from zorl.optimizers.cma_es_constants import constants, mirrored, tutorial


@pytest.mark.parametrize(("d", "n"), [(2, 6), (10, 10), (10, 11), (40, 200), (3, 4)])
def test_the_tutorial_s_constants_are_those_of_cmaes(d, n):
    cmaes = pytest.importorskip("cmaes")
    theirs = cmaes.CMA(mean=np.zeros(d), sigma=1.0, population_size=n)
    ours = tutorial(d, n)
    assert ours.c_sigma == pytest.approx(theirs._c_sigma, rel=1e-12)
    assert ours.d_sigma == pytest.approx(theirs._d_sigma, rel=1e-12)
    assert ours.c_c == pytest.approx(theirs._cc, rel=1e-12)
    assert ours.c_1 == pytest.approx(theirs._c1, rel=1e-12)
    # There c_mu lacks the 1/4 of eq. 58, and with it eq. 50 and 52 differ.
    assert ours.c_mu > theirs._cmu
    np.testing.assert_allclose(ours.recombination[: n // 2], theirs._weights[: n // 2], rtol=1e-12)
    assert ours.chi == pytest.approx(theirs._chi_n, rel=0.01)  # approximated there


@pytest.mark.parametrize(
    ("d", "n"), [(2, 6), (2, 60), (5, 64), (10, 40), (20, 12), (20, 48), (40, 200)]
)
def test_damped_the_tutorials_sigma_has_pycmas_damping(d, n):
    cma = pytest.importorskip("cma")
    theirs = cma.CMAEvolutionStrategy(np.zeros(d), 1.0, {"popsize": n, "verbose": -9}).adapt_sigma
    ours, plain = tutorial(d, n, damped=True), tutorial(d, n)
    # Its c_sigma, which is added, is a little larger than the tutorial's.
    assert ours.d_sigma - ours.c_sigma == pytest.approx(theirs.damps - theirs.cs, rel=1e-12)
    assert (ours.d_sigma > plain.d_sigma) == ((d, n) in {(10, 40), (20, 48), (40, 200)})


def test_damping_changes_the_mirrored_step_and_the_damping_alone():
    for make in (tutorial, mirrored):
        for d, n in ((5, 8), (20, 12), (20, 36)):  # mu_eff ≤ d
            plain, damped = vars(make(d, n)), vars(make(d, n, damped=True))
            changed = {"d_sigma"}
            if make is mirrored:  # without the push of the worse half it has the tutorial's step
                changed |= {"recombination", "gain_sigma", "gain_c"}
                step = tutorial(d, n).recombination
                np.testing.assert_array_equal(damped["recombination"], step)
            for name in plain.keys() - changed:
                np.testing.assert_array_equal(plain[name], damped[name])
    # 1 + 2 (8 (1 - 2^(-20/9)) √((mu_eff - 1) / 21) - 1)
    k = mirrored(20, 48, damped=True)
    mu_eff = 1 / (k.recombination**2).sum()
    expected = 16 * (1 - 2 ** (-20 / 9)) * np.sqrt((mu_eff - 1) / 21) - 1
    assert k.d_sigma - k.c_sigma == pytest.approx(expected, rel=1e-12)
    assert expected > 8
    k = mirrored(1, 4, damped=True)  # in one dimension nothing is counted more than once
    assert k.d_sigma == 1 + k.c_sigma


@pytest.mark.parametrize(("d", "n"), [(20, 96), (5, 64), (10, 80), (5, 2000)])
def test_damped_large_populations_learn_the_covariance_at_nearly_the_tutorials_rate(d, n):
    # α_cov is 3, of which 1 goes with d / mu_eff.
    damped, plain = mirrored(d, n, damped=True), mirrored(d, n)
    mu_eff = 1 / (damped.recombination**2).sum()
    assert mu_eff > d
    alpha = 2 + d / mu_eff
    assert damped.c_1 == pytest.approx(alpha / ((d + 1.3) ** 2 + mu_eff), rel=1e-12)
    raw = alpha * (mu_eff + 1 / mu_eff - 1.75) / ((d + 2) ** 2 + alpha * mu_eff / 2)
    assert damped.c_mu == pytest.approx(min(1 - damped.c_1, raw), rel=1e-12)
    assert plain.c_1 == pytest.approx(3 / alpha * damped.c_1, rel=1e-12)


@pytest.mark.parametrize(("d", "n"), [(2, 6), (10, 10), (51, 15), (500, 22)])
def test_default_populations_are_too_small_for_more_damping(d, n):
    for make, least in ((tutorial, 1.0), (mirrored, 0.7)):
        k = make(d, n)
        assert k.d_sigma == least + k.c_sigma


def test_the_negative_weights_are_as_small_as_each_of_equations_50_to_52_wants():
    limits = set()
    for d in (2, 5, 10, 40, 200):
        for n in (4, 6, 10, 15, 40, 400):
            k = tutorial(d, n)
            worse = -k.weights[k.weights < 0].sum()
            raw = np.log((n + 1) / 2) - np.log(np.arange(1, n + 1))
            effective = raw[n // 2 :].sum() ** 2 / (raw[n // 2 :] ** 2).sum()
            mu_eff = 1 / (k.recombination**2).sum()
            bounds = (
                1 + k.c_1 / k.c_mu,
                1 + 2 * effective / (mu_eff + 2),
                (1 - k.c_1 - k.c_mu) / (d * k.c_mu),
            )
            assert worse == pytest.approx(min(bounds), rel=1e-9, abs=1e-15)
            limits.add(int(np.argmin(bounds)))
    assert limits == {0, 1, 2}  # each of them is the least somewhere
    assert (tutorial(10, 10, active=False).weights >= 0).all()


def test_a_diagonal_is_learned_faster():
    for make in (tutorial, mirrored):
        full, separable = make(10, 12), make(10, 12, separable=True)
        assert separable.c_1 == pytest.approx(4 * full.c_1)  # (d + 2) / 3
        assert separable.c_mu == pytest.approx(4 * full.c_mu)
        assert make(3, 400, separable=True).c_mu == pytest.approx(1 - make(3, 400, True).c_1)


@pytest.mark.parametrize("n", [4, 5, 6, 7, 15, 40])
@pytest.mark.parametrize(("mirrored", "damped"), [(False, False), (True, False), (True, True)])
def test_the_steps_variance_is_that_of_random_ranks(n, mirrored, damped):
    # gain_sigma² E|C^-1/2 step|² = c_sigma (2 - c_sigma) d is what keeps sigma where it is.
    k = constants(6, n, False, True, mirrored, damped)
    rng = np.random.default_rng(n)
    ranks = rng.permuted(np.tile(np.arange(n), (40_000, 1)), axis=1)
    pulls = np.zeros((40_000, (n + 1) // 2 if mirrored else n))
    for candidate in range(n):
        pulls[:, k.pair[candidate]] += k.sign[candidate] * k.recombination[ranks[:, candidate]]
    powers = (pulls**2).sum(axis=1) * k.gain_sigma**2 / (k.c_sigma * (2 - k.c_sigma))
    error = powers.std() / 200
    assert error < 0.01
    assert abs(powers.mean() - 1) < 4 * error + 1e-12
