"""Every registered method, direction, weighting and gate passes the public checks."""

from __future__ import annotations

import doctest
import importlib

import numpy as np
import pytest

import zorl.optimizers as zo
from zorl.common.options import describe_options
from zorl.optimizers import METHODS, SGD, GradientSearch
from zorl.optimizers.directions import DIRECTIONS
from zorl.optimizers.weights import SCHEMES, CentredRanks, NormalisedReturns, SigmaR, Standardised
from zorl.search.gates import GATES
from zorl.testing import check_estimator, check_gate, check_optimizer, linear_relative_mse

# Directions whose variance has a closed form.
CLOSED_FORMS = ("gaussian", "uniform", "rademacher", "sphere", "orthogonal", "coordinate")
RANKS = ("monotone", "affine", "translation")
RATIOS = ("affine", "scale", "offset", "translation")
DIFFERENCES = ("offset", "translation")
# Invariances that hold beside the contract; a method need not have a line here.
DECLARED = {
    # Passes "rotation" too, but ±1 directions prefer the axes all the same.
    "spsa": DIFFERENCES,
    "mpge": (*DIFFERENCES, "rotation"),
    "two-point": (*DIFFERENCES, "rotation"),
    "guided-es": (*DIFFERENCES, "rotation"),
    "es": (*RATIOS, "rotation"),
    "ars": (*RATIOS, "rotation"),
    "openai-es": RANKS,  # passes "rotation" too, but Adam scales each coordinate by itself
    "cma-es": (*RANKS, "rotation"),
    "sep-cma-es": RANKS,
    # Restarts look at differences of returns too, so that only the order before one counts.
    "ipop-cma-es": ("translation", "rotation"),
    "bipop-cma-es": ("translation",),
    "random-search": RANKS,
    "snes": RANKS,
    "xnes": (*RANKS, "rotation"),
    "cem": RANKS,
    "pgpe": RANKS,
    "lm-ma-es": (*RANKS, "rotation"),
    "lra-cma-es": (*RANKS, "rotation"),
    # Their directions are those of mpge, two-point, ars and es, which are checked for "rotation".
    "mpge-average": DIFFERENCES,
    "two-point-unit": DIFFERENCES,
    "sigma-r-forward": RATIOS,
    "es-normalised": RATIOS,
}
OPTIONS = {
    # Steps of a standardised estimate are learning_rate / sigma long, however near the optimum is.
    "es": {"learning_rate": 0.01},
    "openai-es": {"learning_rate": 0.05},
    # A generation of two candidates makes many generations, which take long.
    "two-point": {"m": 4},
    "two-point-unit": {"m": 4, "learning_rate": 0.5},
}
# What the defaults of the methods leave out: other settings, and optimizers around an optimizer.
SPSA = zo.spsa(learning_rate=0.05, m=2)
VARIANTS = {
    "es vanilla": zo.es("vanilla", learning_rate=0.01, m=32),
    "es fd": zo.es("fd", learning_rate=0.01, m=32),
    "spsa with gains": zo.spsa(learning_rate=0.5, gains=True, stability=10.0),
    "momentum": GradientSearch(SGD(0.05, momentum=0.5), 0.1, 4, weight_decay=1e-3),
    "clipup, guided": GradientSearch(zo.ClipUp(0.05), 0.1, 4, guide=zo.Guide(2)),
    "pgpe with adam": zo.pgpe(optimizer="adam"),
    "cem with noise": zo.CEM(noise=1.0, noise_updates=30),
    "cma-es, independent": zo.CMAES(mirrored=False),
    "lra-cma-es, separable": zo.lra_cma_es(covariance="separable"),
    "ipop-cma-es, separable": zo.ipop_cma_es(covariance="separable", low=-5.0, high=5.0),
    "averaged": zo.Averaged(SPSA),
    "averaged, ema": zo.Averaged(zo.CMAES(), "ema", start=4, decay=0.5),
    "reflected": zo.Bounded(zo.CMAES(), -5.0, 5.0),
    "penalised": zo.Bounded(SPSA, -5.0, 5.0, "penalty"),
}


@pytest.mark.parametrize("name", METHODS)
def test_every_method_keeps_the_contract(name):
    make = METHODS[name]
    options = OPTIONS.get(name, {})
    check_optimizer(lambda: make(**options), budget=1500, invariances=DECLARED.get(name, ()))


@pytest.mark.parametrize("name", VARIANTS)
def test_other_settings_and_wrappers_keep_the_contract(name):
    check_optimizer(VARIANTS[name], budget=600, progress=0.3)


@pytest.mark.parametrize("dim", [2, 13])
@pytest.mark.parametrize("name", METHODS)
def test_the_contract_holds_in_other_dimensions(name, dim):
    check_optimizer(METHODS[name](), dim=dim, skip=("ascent", "flat"), seed=1)


@pytest.mark.parametrize("name", METHODS)
def test_every_option_of_a_method_is_explained(name):
    options = describe_options(METHODS[name])
    assert options
    for option in options:
        assert len(option.meaning) > 10, f"{name} does not say what {option.name} is"
        assert option.type, f"{name} does not say of which type {option.name} is"
    assert METHODS.summaries()[name].endswith(".")


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("directions", DIRECTIONS)
def test_every_direction_and_scheme_estimates_the_gradient(directions, scheme):
    search = GradientSearch(SGD(1.0), 0.3, 3, directions, scheme)
    theory = None
    if directions in CLOSED_FORMS:

        def theory(dim):
            return linear_relative_mse(directions, dim, 3)

    reports = check_estimator(search, draws=400, theory=theory)
    assert [(r.function, r.dim) for r in reports] == [
        (function, dim) for dim in (2, 11, 51) for function in ("linear", "quadratic")
    ]
    assert all(r.draws == 400 and 0 < r.slope_error < 0.1 and r.cosine > 0.9 for r in reports)


@pytest.mark.parametrize("name", ["mpge-average", "two-point-unit"])
def test_published_conventions_pass_at_their_declared_scale_alone(name):
    search = METHODS[name](m=2)
    reports = check_estimator(search, draws=600, scale=lambda dim: 1 / dim)
    assert reports[-1].slope == pytest.approx(1 / 51, rel=0.2)
    with pytest.raises(AssertionError, match=r"d = 2.*biased in scale.*slope 0\.[45].*expected 1"):
        check_estimator(search, draws=600)


@pytest.mark.parametrize(
    ("weights", "scheme"),
    [
        (weights, scheme)
        for weights in (Standardised(), NormalisedReturns(), CentredRanks(), SigmaR(6))
        for scheme in SCHEMES
        if not (isinstance(weights, SigmaR) and scheme == "one-sided")  # which is refused
    ],
)
def test_weights_that_lose_the_scale_keep_the_direction(weights, scheme):
    search = GradientSearch(SGD(1.0), 0.1, 8, "gaussian", scheme, weights)
    check_estimator(search, draws=150, unbiased=False)
    with pytest.raises(AssertionError, match="biased in scale"):
        check_estimator(search, draws=150)


def test_guided_directions_estimate_a_preconditioned_gradient():
    search = METHODS["guided-es"](learning_rate=1e-3, m=8, memory=2, share=0.5)

    def covariance(state):
        basis = search.guide.basis(state.recent)
        dim = state.theta.size
        return 0.5 * np.eye(dim) + 0.5 * dim / len(basis) * basis.T @ basis

    check_estimator(search, draws=400, warm_up=3, precondition=covariance)
    with pytest.raises(AssertionError, match="biased in"):
        check_estimator(search, draws=400, warm_up=3, dims=(11,))


@pytest.mark.parametrize("name", GATES)
def test_every_gate_keeps_the_contract(name):
    check_gate(GATES[name](), always=name == "off")


@pytest.mark.parametrize(
    ("directions", "dim", "m", "expected"),
    [
        ("gaussian", 11, 1, 12.0),
        ("gaussian", 11, 4, 3.0),
        ("uniform", 11, 1, 10.8),
        ("rademacher", 51, 5, 10.0),
        ("sphere", 2, 1, 1.0),
        ("orthogonal", 11, 4, 7 / 4),
        ("orthogonal", 11, 11, 0.0),
        ("orthogonal", 4, 6, (2 / 6) ** 2 * (4 / 2 - 1)),
        ("coordinate", 51, 1, 50.0),
    ],
)
def test_closed_forms(directions, dim, m, expected):
    assert linear_relative_mse(directions, dim, m) == pytest.approx(expected)


def test_the_closed_form_of_blocks_is_what_is_measured():
    for directions in ("orthogonal", "coordinate"):
        search = GradientSearch(SGD(1.0), 0.3, 6, directions)
        theory = linear_relative_mse(directions, 4, 6)
        report = check_estimator(search, dims=(4,), draws=400, theory=lambda dim, t=theory: t)[0]
        assert report.relative_mse == pytest.approx(1 / 9, rel=1e-9)


@pytest.mark.parametrize("module", ["optimizers", "estimators", "gates"])
def test_the_examples_run(module):
    results = doctest.testmod(importlib.import_module(f"zorl.testing.{module}"))
    assert results.attempted >= 2 and results.failed == 0
