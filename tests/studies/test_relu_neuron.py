"""The single neuron: exact loss and slope, plateaus, and searches equal to zorl's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from zorl.optimizers import SGD, CentredRanks, GradientSearch, NormalisedReturns, Raw, SigmaR
from zorl.studies.neuron import CONSTANT, LINE, descend, evolve, loss, slope, start, weigh
from zorl.studies.relu_neuron_map import RECOMMENDED

RNG = np.random.default_rng(0)
THETAS = RNG.normal(0, 1.5, (200, 4))


def test_the_loss_is_the_mean_square_over_a_fine_grid() -> None:
    x = (np.arange(20_000) + 0.5) / 10_000 - 1
    for theta, found in zip(THETAS, loss(THETAS), strict=True):
        w1, b1, w2, b2 = theta
        error = w2 * np.maximum(w1 * x + b1, 0) + b2 - np.maximum(x, 0)
        assert found == pytest.approx(np.mean(error**2), rel=1e-6, abs=1e-8)


def test_the_slope_is_that_of_the_loss() -> None:
    for i in range(4):
        step = np.zeros(4)
        step[i] = 1e-6
        numeric = (loss(THETAS + step) - loss(THETAS - step)) / 2e-6
        np.testing.assert_allclose(slope(THETAS)[:, i], numeric, atol=1e-6, rtol=1e-6)


def test_known_losses() -> None:
    points = {
        (1, 0, 1, 0): 0.0,
        (4, 0, 0.25, 0): 0.0,  # w1 · w2 = 1
        (1, 5, 0.5, -2.25): LINE,
        (1, -2, 1, 0.25): CONSTANT,
        (0, 0, 1, 0.25): CONSTANT,
        (0, 0, 0, 0): 1 / 6,
    }
    for theta, expected in points.items():
        assert loss(np.array(theta, float)) == pytest.approx(expected, abs=1e-15)
    assert np.abs(slope(np.array([1, 5, 0.5, -2.25]))).max() < 1e-12


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("raw", Raw()),
        ("z-score", SigmaR()),
        ("z-score", NormalisedReturns()),
        ("ranks", CentredRanks()),
    ],
)
def test_a_weighting_is_zorls_up_to_its_scale(name: str, weights: Any) -> None:
    m, c = 6, 0.05
    losses = np.random.default_rng(1).random(2 * m)
    ratio = -weigh(losses[None], m, name, c)[0] / weights(-losses, "antithetic", c)
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-9)
    if not isinstance(weights, (NormalisedReturns, CentredRanks)):
        assert ratio[0] == pytest.approx(1)


@pytest.mark.parametrize("noise", ["gaussian", "uniform"])
def test_a_run_takes_the_steps_of_a_gradient_search(noise: str) -> None:
    search = GradientSearch(SGD(0.3), 0.01, 2, noise)
    state = search.init(start(-1.0)[0])
    rng = np.random.default_rng(3)
    for _ in range(50):
        asked = search.ask(state, rng)
        state = search.tell(state, asked, -loss(asked.thetas))
    found = evolve(start(-1.0), np.random.default_rng(3), 50, 2, 0.01, 0.3, noise)
    np.testing.assert_allclose(found["theta"][0], state.theta, atol=1e-10)
    assert np.abs(state.theta - start(-1.0)[0]).max() > 0.1


def test_gradient_flow_keeps_the_balance() -> None:
    starts = np.array([[1.0, 0.0, 1.0, -1.0], [1.5, 0.3, 0.7, 0.5]])
    _, path = descend(starts, 20_000, 1e-3, adam=False)
    balance = path[..., 0] ** 2 + path[..., 1] ** 2 - path[..., 2] ** 2
    assert np.ptp(balance, axis=0).max() < 2e-3
    assert np.ptp(path[..., 0], axis=0).min() > 0.05  # it moved


def test_adam_turns_over_between_minus_1_15_and_minus_1_2() -> None:
    starts = np.concatenate([start(-1.15), start(-1.2)])
    ends, _ = descend(starts, 20_000, 0.01)
    solved, stuck = loss(ends)
    assert solved < 1e-12
    assert stuck == pytest.approx(LINE, rel=0.02)


def test_the_recommended_setting_solves_from_everywhere_and_counts_honestly() -> None:
    for noise in ("gaussian", "uniform"):
        found = evolve(
            np.concatenate([start(b2, 10) for b2 in (-5.0, -1.2, 2.0, 5.0)]),
            np.random.default_rng(5), 4_000, noise=noise, **RECOMMENDED,
        )  # fmt: skip
        assert (found["loss"] < 1e-8).all()
        assert np.median(found["evaluations"]) < 3_000
        assert np.median(found["tries"][:10]) > 1  # from −5 restarts help


def test_raw_differences_settle_and_z_scores_do_not() -> None:
    """At a constant radius and rate; by σ⁴ for the raw ones, whose radius blurs the kink."""
    ends = {}
    for weights, rate, sigma in (("raw", 0.1, 0.01), ("raw", 0.1, 0.001), ("z-score", 0.01, 0.01)):
        found = evolve(
            start(0.5, 20), np.random.default_rng(0), 3_000, 4, sigma, rate, weights=weights,
            target=0.0,
        )  # fmt: skip
        ends[weights, sigma] = np.median(found["loss"])
    assert ends["z-score", 0.01] > 1e-6
    assert ends["raw", 0.01] < 1e-6
    assert ends["raw", 0.001] < ends["raw", 0.01] / 1_000


def test_the_same_seed_gives_the_same_bits() -> None:
    first, second = (
        evolve(start(-2.0, 5), np.random.default_rng(1), 100, 2, 0.01, 0.3, restart=True)
        for _ in range(2)
    )
    assert np.array_equal(first["theta"], second["theta"])
