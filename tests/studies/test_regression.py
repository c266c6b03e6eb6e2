"""What the page on regression rests on: the problem, the dead weights' walk, and its cure."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import zorl.optimizers as zo
from zorl.optimizers.recipes import mpge_average
from zorl.studies.regression import METHODS, follow
from zorl.studies.regression_cure import Cycle, probe, search_for, solve
from zorl.studies.sparse_regression import (
    RATE,
    Problem,
    begin,
    descend,
    errors,
    gaps,
    predicted,
    walk,
)


@pytest.mark.parametrize("d", [2, 11])
def test_loss_and_gradient_are_those_of_the_residuals(d: int) -> None:
    problem, theta = Problem.draw(d, 3), np.random.default_rng(1).normal(size=d)
    residual = problem.x @ theta - problem.y
    assert problem.loss(theta) == pytest.approx((residual**2).mean(), rel=1e-10)
    np.testing.assert_allclose(
        problem.gradient(theta), 2 * residual @ problem.x / len(residual), rtol=1e-9, atol=1e-9
    )


def test_noise_of_the_data_has_a_standard_deviation_of_0_4() -> None:
    problem = Problem.draw(11, 0, samples=200_000)
    assert (problem.y - problem.x @ problem.truth).std() == pytest.approx(0.4, abs=0.003)
    assert (problem.truth == 0).sum() == 5 and not problem.x[:, :5].any()


def test_spsa_is_the_one_by_hand() -> None:
    problem = Problem.draw(11, 0)
    theta, rng = np.zeros(11), np.random.default_rng(5)
    for _ in range(30):
        delta = zo.directions.rademacher(rng, 1, 11)[0]
        difference = problem.loss(theta + 0.01 * delta) - problem.loss(theta - 0.01 * delta)
        theta = theta - RATE * difference / 0.02 * delta
    found = walk(problem, METHODS["SPSA"](), np.zeros(11), 5, 30)[-1]
    np.testing.assert_allclose(found, theta, rtol=1e-8, atol=1e-9)


def test_steps_of_spsa_move_all_dead_weights_by_one_number() -> None:
    moves = np.abs(
        np.diff(walk(Problem.draw(11, 0), METHODS["SPSA"](), np.zeros(11), 0, 20), axis=0)
    )
    np.testing.assert_allclose(moves[:, :5], moves[:, 5:6].repeat(5, 1), rtol=1e-9)
    assert moves[0, 0] > 0.1


def test_prediction_of_the_walk() -> None:
    """On the exact loss ‖live − θ*‖², 1,500 walks; the standard error is about 2 %."""
    problem, flats = Problem.draw(11, 0), []
    exact = Problem(problem.x, problem.y, problem.truth, np.diag([0.0] * 5 + [1.0] * 6),
                    problem.truth, 29.0)  # fmt: skip
    for seed in range(1500):
        theta = walk(exact, METHODS["SPSA"](), np.zeros(11), seed, 5)
        flats.append((theta[:, :5] ** 2).sum(1))
    got, want = np.mean(flats, axis=0), predicted(0.0, 29.0, np.arange(6.0))
    assert want[1] == pytest.approx(5 * RATE**2 * 4 * 29)
    np.testing.assert_allclose(got[[1, 3, 5]], want[[1, 3, 5]], rtol=0.08)
    assert predicted(0.0, 29.0, np.array([1e6]))[0] == pytest.approx(36.25)


def test_mpge_descends_like_the_gradient_and_the_published_one_d_times_as_slowly() -> None:
    problem, start = Problem.draw(11, 2), begin("normal", 11, 2)
    want = descend(problem, start, 22)
    np.testing.assert_allclose(
        walk(problem, METHODS["MPGE, unbiased"](), start, 0, 22), want, atol=1e-8
    )
    slow = walk(problem, mpge_average(RATE * 11, 0.01), start, 0, 22)
    np.testing.assert_allclose(slow, want, atol=1e-8)


def test_descent_in_closed_form_is_descent() -> None:
    by_hand = [np.abs(descend(Problem.draw(2, s), np.zeros(2), 50)[-1] - [2, 3]).sum()
               for s in range(3)]  # fmt: skip
    assert gaps(2, 50, RATE, 3)[0] == pytest.approx(np.median(by_hand), rel=1e-9)


def test_errors_are_means_of_the_last_ten() -> None:
    problem = Problem.draw(11, 0)
    thetas = problem.truth + np.zeros((20, 11))
    thetas[-10:, 0] += np.arange(10)
    thetas[-10:, 10] -= 2.0
    found = errors(problem, thetas)
    assert found["flat"] == pytest.approx(4.5) and found["l1"] == pytest.approx(6.5)


def test_probe_finds_the_weights_with_influence() -> None:
    problem = Problem.draw(11, 4)
    live = probe(problem.loss, begin("normal", 11, 4))
    np.testing.assert_array_equal(live, [0.0] * 5 + [1.0] * 6)


def test_probed_spsa_ends_at_least_squares_from_any_start_within_the_budget() -> None:
    problem = Problem.draw(11, 4)
    least = np.linalg.lstsq(problem.x, problem.y, rcond=None)[0]
    thetas = search_for("SPSA, probed", problem, begin("normal", 11, 4), 0, 1000)
    assert len(thetas) - 1 == (1000 - 22) // 2
    np.testing.assert_allclose(thetas[-1], least, atol=1e-6)


def test_hadamard_blocks_are_balanced() -> None:
    rows = Cycle()(np.random.default_rng(0), 32, 11)
    for block in (rows[:16], rows[16:]):
        np.testing.assert_array_equal(block.T @ block, 16 * np.eye(11))


def test_regression_cells_twice_are_the_same_bits() -> None:
    one: dict[str, Any] = {"method": "SPSA", "d": 11, "seeds": 2, "steps": 20, "start": "normal"}
    assert follow(**one) == follow(**one)
    two: dict[str, Any] = {"method": "CMA-ES", "seeds": 2, "budget": 100, "start": "zeros",
                           "turned": True, "first": 5}  # fmt: skip
    assert solve(**two) == solve(**two)
