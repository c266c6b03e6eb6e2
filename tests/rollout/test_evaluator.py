"""The rollout evaluator: what a backend played, as matrices of candidates and seeds."""

from __future__ import annotations

import numpy as np
from toy_batches import RUNNING, batch, runner

from zorl.rollout.backend import Backend
from zorl.rollout.batch import EpisodeBatch, EpisodeResults
from zorl.rollout.evaluator import RolloutEvaluator
from zorl.rollout.local.serial import SerialBackend


class Recording(Backend):
    """Plays nothing and keeps what it was given."""

    def __init__(self, uses_origin: bool) -> None:
        self.uses_origin = uses_origin
        self.given: list[EpisodeBatch] = []

    def run(self, batch: EpisodeBatch) -> EpisodeResults:
        self.given.append(batch)
        return EpisodeResults.empty(batch)

    def close(self) -> None:
        self.given = []


def test_results_are_matrices_of_candidates_and_seeds() -> None:
    task = batch()
    results = SerialBackend(runner()).run(task)
    evaluation = RolloutEvaluator(SerialBackend(runner())).evaluate(
        task.thetas, task.seeds, RUNNING
    )
    for name in ("returns", "native_returns", "lengths", "successes"):
        expected = getattr(results, name).reshape(5, 3)
        assert getattr(evaluation, name).tolist() == expected.tolist(), name
    assert evaluation.moments is not None
    assert evaluation.moments.count == evaluation.env_steps == results.lengths.sum()
    assert evaluation.episodes == 15


def test_an_offset_of_the_reward_is_not_in_the_native_return() -> None:
    task = batch()
    results = SerialBackend(runner()).run(task)
    evaluator = RolloutEvaluator(SerialBackend(runner()), reward_offset=-0.5)
    evaluation = evaluator.evaluate(task.thetas, task.seeds, RUNNING)
    expected = (results.returns - 0.5 * results.lengths).reshape(5, 3)
    assert evaluation.returns.tolist() == expected.tolist()
    assert evaluation.native_returns.ravel().tolist() == results.native_returns.tolist()


def test_candidates_reach_the_backend_in_single_precision() -> None:
    backend = Recording(uses_origin=False)
    evaluator = RolloutEvaluator(backend)
    evaluator.evaluate(np.full((2, 6), 0.1)[:, ::2], (1,), RUNNING)
    (given,) = backend.given
    assert given.thetas.dtype == np.float32
    assert given.thetas.flags.c_contiguous
    assert given.origin is None
    evaluator.close()
    assert backend.given == []


def test_an_origin_is_asked_for_where_the_backend_uses_it() -> None:
    assert RolloutEvaluator(Recording(uses_origin=True)).takes_origin
    assert not RolloutEvaluator(Recording(uses_origin=False)).takes_origin
    assert not RolloutEvaluator(SerialBackend(runner())).structured
