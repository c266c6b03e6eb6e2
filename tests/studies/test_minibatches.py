"""The closed forms of the mini-batch page, against sums over everything that can be drawn."""

from __future__ import annotations

import numpy as np
import pytest

from zorl.optimizers import SGD, GradientSearch, Raw
from zorl.studies.minibatches import DIM, ROWS, Logistic, errors, softmax_loss

MODEL = Logistic()


def test_slopes_and_losses_are_those_of_the_model() -> None:
    found = MODEL.loss(MODEL.theta[None], MODEL.x, MODEL.y)
    assert found[0] == pytest.approx(MODEL.losses.mean())
    for i in range(DIM):
        step = np.zeros((2, DIM))
        step[:, i] = 1e-6, -1e-6
        ends = MODEL.loss(MODEL.theta + step, MODEL.x, MODEL.y)
        assert MODEL.slope[i] == pytest.approx((ends[0] - ends[1]) / 2e-6, abs=1e-8)


def test_a_batch_of_each_is_the_loss_of_each() -> None:
    rng = np.random.default_rng(1)
    thetas, chosen = rng.normal(size=(3, DIM)), rng.integers(ROWS, size=(3, 7))
    found = MODEL.loss(thetas, MODEL.x[chosen], MODEL.y[chosen])
    for theta, rows, value in zip(thetas, chosen, found, strict=True):
        assert value == pytest.approx(MODEL.loss(theta[None], MODEL.x[rows], MODEL.y[rows])[0])


@pytest.mark.parametrize("batches", ["shared", "pair", "candidate"])
def test_the_variance_is_the_closed_form(batches: str) -> None:
    mean, error, theory = errors(batches, "antithetic", 10, 8, 3_000)
    assert abs(mean - theory) < 4 * error
    assert error < 0.05 * theory


@pytest.mark.parametrize("batches", ["shared", "candidate"])
def test_without_pairs_the_value_itself_is_noise(batches: str) -> None:
    mean, error, theory = errors(batches, "one-sided", 10, 8, 3_000)
    assert abs(mean - theory) < 4 * error


def test_a_batch_for_each_pair_is_never_worse_than_one_for_all() -> None:
    for batch in (1, 3, 50, ROWS):
        for m in (1, 2, 16, 500):
            own, common = (
                MODEL.theory(kind, "antithetic", batch, m) for kind in ("pair", "shared")
            )
            left = (ROWS - batch) / (ROWS - 1) / batch * MODEL.scatter
            assert common - own == pytest.approx(left * (1 - 1 / m), abs=1e-12)
            assert own <= common


def test_the_whole_data_leave_the_noise_of_the_directions_alone() -> None:
    size = MODEL.slope @ MODEL.slope
    for kind in ("shared", "pair", "candidate"):
        assert MODEL.theory(kind, "antithetic", ROWS, 4) == pytest.approx((DIM + 1) / 4 * size)


def test_forward_differences_are_pairs_to_first_order() -> None:
    search = GradientSearch(SGD(1.0), 1e-5, 6, scheme="forward", weights=Raw())
    pairs = GradientSearch(SGD(1.0), 1e-5, 6, weights=Raw())
    state = search.init(MODEL.theta)
    found = []
    for kind in (search, pairs):
        asked = kind.ask(state, np.random.default_rng(0))
        values = -MODEL.loss(asked.thetas, MODEL.x[:9], MODEL.y[:9])
        found.append(kind.gradient(state, asked, values))
    np.testing.assert_allclose(found[0], found[1], rtol=2e-4, atol=2e-5)


def test_softmax_loss_is_the_same_for_one_batch_and_for_copies_of_it() -> None:
    rng = np.random.default_rng(2)
    thetas = rng.normal(0, 0.1, (4, 7850))
    images, labels = rng.random((6, 784), dtype=np.float32), rng.integers(0, 10, 6)
    one = softmax_loss(thetas, images, labels)
    each = softmax_loss(thetas, np.tile(images, (4, 1, 1)), np.tile(labels, (4, 1)))
    np.testing.assert_allclose(one, each, rtol=1e-5)
    logits = images @ thetas[0].reshape(785, 10)[:784] + thetas[0][-10:]
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert one[0] == pytest.approx(-np.log(chances[np.arange(6), labels]).mean(), rel=1e-5)
