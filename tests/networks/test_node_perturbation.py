"""Node perturbation: unbiased, equal to its definition, an optimizer like any other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from zorl import FunctionEvaluator, Search, Streams
from zorl.common.errors import ConfigurationError
from zorl.networks.backpropagation import gradient, train_by_backpropagation
from zorl.networks.classifier import MlpClassifier
from zorl.networks.node_perturbation import NodePerturbation
from zorl.optimizers import SGD, Adam

NET = MlpClassifier((6, 5, 4, 3))
RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(40, 6)).astype(np.float32)
LABELS = RNG.integers(0, 3, 40)
THETA = NET.init(RNG)


def node(**changes: Any) -> Any:
    settings = {"step_rule": SGD(1.0), "radius": 1e-3, "examples": 40, "m": 4}
    return NodePerturbation(NET, IMAGES, LABELS, **{**settings, **changes})


def evaluator() -> FunctionEvaluator:
    return FunctionEvaluator(
        NodePerturbation.objective, minimise=True, batched=True, structured=True
    )


def test_backpropagation_is_the_slope_of_the_loss() -> None:
    slope = gradient(NET, THETA, IMAGES, LABELS)
    along = np.random.default_rng(1).normal(size=NET.dim)
    ends = NET.losses(np.stack([THETA + 2e-3 * along, THETA - 2e-3 * along]), IMAGES, LABELS)
    assert slope @ along == pytest.approx((ends[0] - ends[1]) / 4e-3, abs=1e-3)


def test_the_mean_estimate_is_the_gradient() -> None:
    search = node(examples=100, m=100)
    state = search.init(THETA)
    estimates = []
    for draw in range(40):
        asked = search.ask(state, np.random.default_rng(draw))
        after = search.tell(state, asked, -asked.candidates.losses)
        estimates.append(state.theta - after.theta)  # ascent of −loss at rate 1
    expected = gradient(NET, THETA, IMAGES, LABELS)
    mean = np.mean(estimates, axis=0)
    error = np.std(estimates, axis=0, ddof=1) / np.sqrt(len(estimates))
    # 82 coordinates: the largest of them within 4.5 standard errors, slope 1 within 3 %.
    assert (np.abs(mean - expected) < 4.5 * error + 2e-4).all()
    assert mean @ expected / (expected @ expected) == pytest.approx(1, abs=0.03)


def test_losses_and_update_are_those_of_a_computation_by_hand() -> None:
    search = node(examples=7, m=3, radius=0.05)
    state = search.init(THETA)
    asked = search.ask(state, np.random.default_rng(3))
    candidates = asked.candidates
    (part,) = candidates._parts
    w1, b1, w2, b2, w3, b3 = (tensor.numpy() for tensor in NET.tensors(THETA))
    x, y = IMAGES[candidates.chosen], LABELS[candidates.chosen]
    first, second, third = (u.numpy() for u in part.noise)

    def loss(z: Any) -> Any:
        shifted = np.exp(z - z.max(axis=1, keepdims=True))
        return -np.log(shifted[np.arange(7), y] / shifted.sum(axis=1))

    own = loss(np.maximum(np.maximum(x @ w1.T + b1, 0) @ w2.T + b2, 0) @ w3.T + b3)
    losses, total = [own], [np.zeros_like(t) for t in (w1, b1, w2, b2, w3, b3)]
    for k in range(3):
        z1 = x @ w1.T + b1
        assert (first[k][z1 <= 0] == 0).all()
        assert (first[k][z1 > 0] != 0).all()
        h1 = np.maximum(z1 + 0.05 * first[k], 0)
        z2 = h1 @ w2.T + b2
        assert (second[k][z2 <= 0] == 0).all()
        h2 = np.maximum(z2 + 0.05 * second[k], 0)
        f = loss(h2 @ w3.T + b3 + 0.05 * third[k])
        losses.append(f)
        weights = (f - own) / (0.05 * 21)
        for layer, (u, h) in enumerate(((first[k], x), (second[k], h1), (third[k], h2))):
            total[2 * layer] += (u * weights[:, None]).T @ h
            total[2 * layer + 1] += u.T @ weights
    np.testing.assert_allclose(candidates.losses, np.concatenate(losses), atol=1e-6)
    after = search.tell(state, asked, -candidates.losses)
    descent = np.concatenate([tensor.ravel() for tensor in total])
    np.testing.assert_allclose(state.theta - after.theta, descent, atol=2e-5)
    assert np.abs(descent).max() > 0.05


def test_variance_is_that_of_the_units_not_of_the_weights() -> None:
    # A linear layer: the estimate's relative variance is (units + 1) / m, whatever the inputs.
    net = MlpClassifier((50, 8))
    rng = np.random.default_rng(6)
    x, y = rng.normal(size=(1, 50)).astype(np.float32), np.array([2])
    search = NodePerturbation(net, x, y, SGD(1.0), radius=1e-3, examples=1, m=64)
    state = search.init(net.init(rng))
    expected = gradient(net, state.theta, x, y)
    errors = []
    for draw in range(400):
        asked = search.ask(state, np.random.default_rng(draw))
        candidates: Any = asked.candidates
        estimate = state.theta - search.tell(state, asked, -candidates.losses).theta
        errors.append(np.sum((estimate - expected) ** 2) / np.sum(expected**2))
    assert np.mean(errors) == pytest.approx(9 / 64, rel=0.15)  # 401 / 64 for the weights


def test_a_search_learns_and_is_the_same_bits_with_threads() -> None:
    def end(threads: int) -> np.ndarray:
        net = MlpClassifier((6, 5, 4, 3), threads=threads)
        search = NodePerturbation(net, IMAGES, LABELS, Adam(0.02), 0.01, 300, 4)
        found = Search(search, evaluator(), Streams(1))
        state = found.init(THETA)
        for _ in range(60):
            state = found.step(state).state
        assert state.counters.search_episodes == 60 * 300 * 5
        return state.theta

    theta = end(1)
    assert np.array_equal(theta, end(3))
    before, after = NET.losses(np.stack([THETA, theta]), IMAGES, LABELS)
    assert after < 0.6 * before


def test_a_curve_of_backpropagation() -> None:
    curve = train_by_backpropagation(
        NET, IMAGES, LABELS, Adam(0.02), 20, 50, Streams(0),
        lambda theta: {"loss": NET.losses(theta[None], IMAGES, LABELS)[0]}, points=5,
    )  # fmt: skip
    assert [row["generation"] for row in curve] == [0, 10, 20, 30, 40, 50]
    assert curve[-1]["loss"] < 0.7 * curve[0]["loss"]


def test_what_is_wrong_is_said() -> None:
    search = node()
    state = search.init(THETA)
    asked = search.ask(state, np.random.default_rng(0))
    with pytest.raises(ConfigurationError, match="not vectors"):
        asked.thetas  # noqa: B018
    with pytest.raises(ConfigurationError, match="without a gate"):
        NodePerturbation.objective(np.zeros((2, NET.dim)))
    with pytest.raises(ConfigurationError, match="same length"):
        NodePerturbation(NET, IMAGES, LABELS[:-1], SGD(1.0))
    with pytest.raises(ConfigurationError, match="parameters, but theta has 3"):
        search.init(np.zeros(3))
    with pytest.raises(ConfigurationError, match="radius"):
        node(radius=0.0)


def test_torch_keeps_no_graph() -> None:
    search = node()
    asked = search.ask(search.init(THETA), np.random.default_rng(0))
    assert not asked.candidates._parts[0].noisy.requires_grad
    assert torch.is_grad_enabled()
