"""Structured noise: the same as the dense computation, unbiased, made anew from its numbers."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

from zorl.common.errors import ConfigurationError
from zorl.networks.classifier import MlpClassifier
from zorl.networks.noise import LayerNoise
from zorl.optimizers import SGD, GradientSearch, Raw
from zorl.optimizers.gradient_search import Perturbed

SHAPES = ((4, 3), (4,), (2, 4), (2,))
NET = MlpClassifier((20, 13, 7, 5))
RANKS = [None, 1, 3]


def directions(noise: LayerNoise, m: int, seed: int = 0) -> Any:
    return noise(np.random.default_rng(seed), m, noise.dim)


@pytest.mark.parametrize("rank", RANKS)
def test_a_weighted_sum_is_that_of_the_dense_directions(rank: int | None) -> None:
    made = directions(LayerNoise(SHAPES, rank, block=4), 10)
    weights = np.random.default_rng(1).normal(size=10)
    assert made.dense().shape == made.shape == (10, 26)
    np.testing.assert_allclose(made.combine(weights), weights @ made.dense(), atol=2e-6)


@pytest.mark.parametrize("rank", [1, 2])
def test_a_matrix_of_low_rank_has_that_rank_and_is_the_product_of_its_factors(rank: int) -> None:
    made = directions(LayerNoise(((6, 5), (6,)), rank, block=4), 3)
    left, right = made.factors(0)[0]
    for row, a, b in zip(made.dense(), left.numpy(), right.numpy(), strict=True):
        matrix = row[:30].reshape(6, 5)
        assert np.linalg.matrix_rank(matrix, 1e-5) == rank
        np.testing.assert_allclose(matrix, a @ b.T, atol=1e-6)


@pytest.mark.parametrize("rank", RANKS)
def test_entries_have_mean_zero_and_the_identity_as_covariance(rank: int | None) -> None:
    rows = directions(LayerNoise(SHAPES, rank), 40_000).dense()
    # A product of two normal numbers has a fourth moment of 9, so a square's deviation is √8.
    deviation = np.sqrt(8 / len(rows))
    assert np.abs(rows.mean(axis=0)).max() < 5 / np.sqrt(len(rows))
    assert np.abs(rows.T @ rows / len(rows) - np.eye(26)).max() < 5 * deviation


@pytest.mark.parametrize("rank", RANKS)
def test_a_member_is_the_same_whoever_asks_and_in_whatever_order(rank: int | None) -> None:
    noise = LayerNoise(SHAPES, rank, block=4)
    whole = directions(noise, 11).dense()
    again = directions(noise, 11)
    for block in (2, 0, 1):
        again.factors(block)
    assert np.array_equal(again.dense(), whole)
    assert np.array_equal(directions(noise, 8).dense(), whole[:8])
    assert not np.array_equal(directions(noise, 11, seed=1).dense(), whole)
    threads = LayerNoise(SHAPES, rank, block=4, threads=3)
    weights = np.arange(11.0)
    assert np.array_equal(directions(threads, 11).combine(weights), again.combine(weights))


def test_blocks_differ() -> None:
    rows = directions(LayerNoise(SHAPES, 1, block=2), 6).dense()
    assert len(np.unique(rows.round(6), axis=0)) == 6


def test_numbers_that_would_take_too_much_memory_are_made_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    noise = LayerNoise(SHAPES, 1, block=4)
    kept = directions(noise, 12)
    weights = np.arange(12.0)
    expected = kept.combine(weights)
    assert len(kept._kept) == 3
    monkeypatch.setattr("zorl.networks.noise._KEEP_BYTES", 100)
    anew = directions(noise, 12)
    assert np.array_equal(anew.combine(weights), expected)
    assert anew._kept == {}


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("scheme", ["antithetic", "forward", "one-sided"])
def test_losses_are_those_of_the_dense_candidates(rank: int | None, scheme: str) -> None:
    rng = np.random.default_rng(2)
    images, labels = rng.random((9, 20)), rng.integers(0, 5, 9)
    made = directions(NET.noise(rank, block=4), 10)
    candidates = Perturbed(NET.init(rng), 0.1, made, scheme)
    found = NET.losses(candidates, images, labels)
    np.testing.assert_allclose(found, NET.losses(candidates.dense(), images, labels), atol=1e-6)


def test_losses_are_cross_entropies_by_hand() -> None:
    rng = np.random.default_rng(3)
    net = MlpClassifier((3, 4, 2))
    theta, images, labels = rng.normal(size=net.dim), rng.normal(size=(5, 3)), rng.integers(0, 2, 5)
    w1, b1, w2, b2 = np.split(theta, np.cumsum([12, 4, 8]))
    hidden = np.maximum(images @ w1.reshape(4, 3).T + b1, 0)
    logits = hidden @ w2.reshape(2, 4).T + b2
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = -np.log(chances[np.arange(5), labels]).mean()
    np.testing.assert_allclose(net.losses(theta[None], images, labels), [expected], rtol=1e-5)
    assert net.accuracy(theta, images, labels) == (logits.argmax(axis=1) == labels).mean()


def test_a_search_on_structured_candidates_takes_the_steps_of_the_dense_one() -> None:
    noise = NET.noise(1, block=4)
    search = GradientSearch(SGD(0.5), 0.1, 6, noise, weights=Raw())
    rng = np.random.default_rng(4)
    images, labels = rng.random((9, 20)), rng.integers(0, 5, 9)
    state = search.init(NET.init(rng))
    asked = search.ask(state, np.random.default_rng(5))
    after = search.tell(state, asked, -NET.losses(asked.candidates, images, labels))
    dense = GradientSearch(
        SGD(0.5), 0.1, 6, lambda rng, m, dim: noise(rng, m, dim).dense(), weights=Raw()
    )
    asked = dense.ask(state, np.random.default_rng(5))
    expected = dense.tell(state, asked, -NET.losses(asked.thetas, images, labels))
    assert np.linalg.norm(expected.theta - state.theta) > 0.01
    np.testing.assert_allclose(after.theta, expected.theta, atol=2e-5)


def test_an_update_never_builds_the_directions() -> None:
    net = MlpClassifier((784, 256, 10))
    made = directions(net.noise(1), 512)  # 512 × 203,530 numbers would be 417 MB
    images, labels = np.zeros((2, 784), np.float32), np.zeros(2, np.int64)
    theta = np.zeros(net.dim)
    tracemalloc.start()  # sees numpy's arrays
    net.losses(Perturbed(theta, 0.1, made, "antithetic"), images, labels)
    made.combine(np.ones(512))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10 * theta.nbytes
    assert sum(numbers.nbytes for numbers in made._kept.values()) < 4 * 512 * 2_000


def test_what_is_wrong_is_said() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ConfigurationError, match="have 26 parameters, but theta has 27"):
        LayerNoise(SHAPES)(rng, 2, 27)
    with pytest.raises(ConfigurationError, match="rank must be an integer ≥ 1"):
        LayerNoise(SHAPES, rank=0)
    with pytest.raises(ConfigurationError, match="shapes must be"):
        LayerNoise(((3, 0),))
    other = MlpClassifier((20, 13, 5)).noise(1)
    wrong = Perturbed(np.zeros(other.dim), 0.1, directions(other, 4), "antithetic")
    with pytest.raises(ConfigurationError, match="to a network of other sizes"):
        NET.losses(wrong, np.zeros((2, 20)), np.zeros(2, int))
    with pytest.raises(ConfigurationError, match=r"images must have shape \(b, 20\)"):
        NET.losses(np.zeros((1, NET.dim)), np.zeros((2, 19)), np.zeros(2, int))
    with pytest.raises(ConfigurationError, match=r"has 411 parameters, but theta has 3"):
        NET.losses(np.zeros((1, 3)), np.zeros((2, 20)), np.zeros(2, int))
    with pytest.raises(ConfigurationError, match="torch cannot use the device 'abacus'"):
        MlpClassifier((3, 2), device="abacus").noise()
