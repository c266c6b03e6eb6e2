"""What the MNIST page says of the report's rules, as mathematics."""

from __future__ import annotations

import numpy as np
import pytest

from zorl.networks.classifier import MlpClassifier
from zorl.optimizers import GradientSearch, ars, es, es_normalised
from zorl.studies.mnist import BATCH, LONGEST, PUBLISHED, RADIUS, RATE, at, optimizer

N, D = 10, 30


def step(search: GradientSearch, returns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The step that a rule takes from returns, and its directions."""
    state = search.init(np.zeros(D))
    asked = search.ask(state, np.random.default_rng(1))
    return search.tell(state, asked, returns).theta, np.asarray(asked.directions)


def test_the_antithetic_normalised_rule_is_sigma_r_at_another_learning_rate() -> None:
    returns = np.random.default_rng(0).normal(size=2 * N)
    normalised, _ = step(es_normalised("antithetic", RATE, RADIUS, N), returns)
    sigma_r, _ = step(ars(RATE / (2 * RADIUS), RADIUS, N), returns)
    np.testing.assert_allclose(normalised, sigma_r, rtol=1e-12)
    assert RATE / (2 * RADIUS) == 0.25


def test_fd_is_vanilla_when_differences_are_standardised_and_else_differs_by_an_offset() -> None:
    returns = np.random.default_rng(0).normal(size=N + 1)
    vanilla, directions = step(es("vanilla", RATE, RADIUS, N), returns[:-1])
    fd, _ = step(es("fd", RATE, RADIUS, N), returns)
    np.testing.assert_allclose(fd, vanilla, rtol=1e-12)
    # Normalised first and subtracted then, f(θ) stays in: (mean − f(θ)) / spread along Σ δ.
    normalised, _ = step(es_normalised("fd", RATE, RADIUS, N), returns)
    offset = (returns[:-1].mean() - returns[-1]) / returns.std()
    scale = returns[:-1].std() / returns.std()
    expected = scale * vanilla + RATE / (N * RADIUS) * offset * directions.sum(axis=0)
    np.testing.assert_allclose(normalised, expected, rtol=1e-10)


def test_a_normalised_step_is_as_long_whatever_the_slope() -> None:
    rms = []
    for scale in (1e-6, 1.0):
        returns = scale * np.random.default_rng(0).normal(size=(500, N))
        steps = [step(es_normalised("vanilla", RATE, RADIUS, N), row)[0] for row in returns]
        rms.append(np.sqrt(np.mean(np.square(steps))))
    assert rms[0] == pytest.approx(rms[1], rel=1e-9)
    # Of directions that have nothing to do with the returns: rate / (radius · √N) a weight.
    assert rms[1] == pytest.approx(RATE / (RADIUS * np.sqrt(N)), rel=0.15)


def test_the_network_has_235146_parameters_and_the_report_left_out_a_layer() -> None:
    assert MlpClassifier().dim == 235_146
    assert 784 * 256 + 256 * 128 + 128 == 233_600


def test_every_row_is_read_off_its_longest_run() -> None:
    assert LONGEST["vanilla", 10] == 6000
    assert LONGEST["antithetic", 50] == 3600
    assert BATCH == 50
    assert len(PUBLISHED) == 11
    curve = [{"generation": float(g)} for g in (0, 250, 500)]
    assert at(curve, 250) == {"generation": 250}
    assert at(curve, 251) == {"generation": 500}
    for method, n in LONGEST:
        if method != "backpropagation":
            noise = MlpClassifier((3, 2)).noise()
            assert optimizer(method, n, RATE, noise).m == n
