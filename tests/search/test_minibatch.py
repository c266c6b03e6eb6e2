"""Mini-batches as an objective: who sees which rows, and what is wrong said clearly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import zorl
from zorl import FunctionEvaluator, MinibatchObjective
from zorl.common.errors import ConfigurationError, UnknownNameError

ROWS = np.arange(30.0)


def seen(thetas: Any, *batch: Any) -> np.ndarray:
    """A loss that says which rows it saw: their sum, for each candidate."""
    (rows,) = batch
    sums = np.asarray(rows).reshape(-1, 5).sum(axis=1)
    return np.broadcast_to(sums, (thetas.shape[0],)).astype(float)


def test_one_batch_serves_all_candidates_and_the_seed_decides_it() -> None:
    objective = MinibatchObjective(ROWS, seen, 5)
    thetas = np.zeros((6, 2))
    first = objective(thetas, 1)
    assert len(set(first.tolist())) == 1
    assert np.array_equal(first, objective(thetas, 1))
    assert len({objective(thetas, seed)[0] for seed in range(20)}) > 10


@pytest.mark.parametrize("batches", ["shared", "pair", "candidate"])
def test_a_batch_has_distinct_rows_and_every_row_its_turn(batches: str) -> None:
    objective = MinibatchObjective(ROWS, seen, 12, batches)
    drawn = [objective.indices(4, seed).reshape(-1, 12) for seed in range(300)]
    batch_rows = np.concatenate(drawn)
    assert all(len(set(row)) == 12 for row in batch_rows)
    counts = np.bincount(batch_rows.ravel(), minlength=30) / len(batch_rows)
    assert np.abs(counts - 12 / 30).max() < 5 * np.sqrt(0.24 / 300)


def test_pairs_share_their_rows_and_candidates_do_not() -> None:
    thetas = np.zeros((8, 2))
    pair = MinibatchObjective(ROWS, seen, 5, "pair")(thetas, 3)
    assert np.array_equal(pair[:4], pair[4:])
    assert len(set(pair.tolist())) == 4
    own = MinibatchObjective(ROWS, seen, 5, "candidate")(thetas, 3)
    assert len(set(own.tolist())) > 4


def test_several_arrays_keep_their_rows_together() -> None:
    def loss(thetas: Any, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        assert np.array_equal(2 * x, y)
        return np.zeros(len(thetas))

    for batches in ("shared", "pair", "candidate"):
        MinibatchObjective((ROWS, 2 * ROWS), loss, 4, batches)(np.zeros((2, 1)), 0)


def test_torch_data_stay_torch() -> None:
    def loss(thetas: Any, x: torch.Tensor) -> torch.Tensor:
        assert isinstance(x, torch.Tensor)
        return x.sum() + torch.zeros(len(thetas), requires_grad=True)

    objective = MinibatchObjective(torch.arange(30.0), loss, 5)
    expected = MinibatchObjective(ROWS, seen, 5)
    assert np.array_equal(objective(np.zeros((3, 1)), 7), expected(np.zeros((3, 1)), 7))


def test_structured_candidates_are_handed_on_as_they_are() -> None:
    class Candidates:
        shape = (3, 2)

    given = Candidates()

    def loss(thetas: Any, x: np.ndarray) -> np.ndarray:
        assert thetas is given
        return np.zeros(3)

    assert MinibatchObjective(ROWS, loss, 5)(given, 0).shape == (3,)


def test_the_full_loss_sees_everything() -> None:
    objective = MinibatchObjective(ROWS, lambda thetas, x: np.full(len(thetas), x.sum()), 5)
    assert objective.full(np.zeros((2, 1))).tolist() == [ROWS.sum()] * 2


def test_minimize_learns_from_mini_batches() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 4))
    truth = np.array([1.0, -2.0, 0.5, 3.0])
    y = x @ truth + 0.1 * rng.normal(size=500)

    def loss(thetas: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.asarray(((thetas @ x.T - y) ** 2).mean(axis=1))

    objective = MinibatchObjective((x, y), loss, 20)
    result = zorl.minimize(
        objective, np.zeros(4), "openai-es", options={"learning_rate": 0.05},
        batched=True, seeded=True, max_evaluations=20_000,
    )  # fmt: skip
    assert objective.full(result.x[None])[0] < 0.03
    np.testing.assert_allclose(result.x, truth, atol=0.1)


def test_a_generation_has_one_batch_and_the_next_another() -> None:
    asked: list[int] = []

    def loss(thetas: Any, x: np.ndarray) -> np.ndarray:
        asked.append(int(x.sum()))
        return np.zeros(len(thetas))

    evaluator = FunctionEvaluator(
        MinibatchObjective(ROWS, loss, 5), minimise=True, batched=True, seeded=True
    )
    streams = zorl.Streams(0)
    for generation in (0, 0, 1):
        evaluator.evaluate(np.zeros((6, 2)), streams.episodes(generation, 1))
    assert asked[0] == asked[1] != asked[2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1, 2], seen, 1), "data must be arrays with a first axis, got a list"),
        (((), seen, 1), "one common length"),
        ((np.float64(3), seen, 1), "first axis"),
        (((ROWS, ROWS[:-1]), seen, 5), r"one common length, got \[30, 29\]"),
        ((ROWS, "loss", 5), "loss must be a function"),
        ((ROWS, seen, 0), "batch_size must be an integer ≥ 1"),
        ((ROWS, seen, 2.5), "batch_size must be an integer ≥ 1"),
        ((ROWS, seen, True), "batch_size must be an integer ≥ 1"),
        ((ROWS, seen, 31), "the data have only 30 rows"),
    ],
)
def test_what_is_wrong_is_said(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        MinibatchObjective(*arguments)


def test_more_that_is_wrong() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'shared'"):
        MinibatchObjective(ROWS, seen, 5, "share")
    with pytest.raises(ConfigurationError, match="3 candidates are no pairs"):
        MinibatchObjective(ROWS, seen, 5, "pair")(np.zeros((3, 1)), 0)
    with pytest.raises(ConfigurationError, match=r"one number per candidate, shape \(2,\), got"):
        MinibatchObjective(ROWS, lambda thetas, x: 1.0, 5)(np.zeros((2, 1)), 0)
