"""The serial backend plays everything, finds the episode that failed, and goes on."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from toy_batches import RUNNING, Playing, batch, bits, nothing, runner

from zorl.common.errors import (
    EnvironmentFailure,
)
from zorl.rollout.batch import EpisodeBatch, EpisodeResults
from zorl.rollout.evaluator import RolloutEvaluator
from zorl.rollout.failures import FailureRule
from zorl.rollout.local.serial import SerialBackend


def test_serial_plays_every_candidate_on_every_seed() -> None:
    task = batch()
    results = SerialBackend(runner()).run(task)
    assert (results.lengths > 0).all()
    assert len(set(results.returns.tolist())) > 10
    for row in range(5):
        alone = SerialBackend(runner(lanes=1)).run(
            EpisodeBatch(task.thetas[[row]], task.seeds, RUNNING)
        )
        assert bits(alone) == {
            name: values[3 * row : 3 * row + 3].tobytes() for name, values in vars(results).items()
        }
    result = RolloutEvaluator(SerialBackend(runner())).evaluate(task.thetas, task.seeds, RUNNING)
    assert result.returns.tolist() == results.returns.reshape(5, 3).tolist()
    assert result.successes.tolist() == results.successes.reshape(5, 3).tolist()
    assert result.moments is not None and result.moments.count == results.lengths.sum()


class Idle(Playing):
    def run(self, batch: EpisodeBatch, jobs: Iterable[int], results: EpisodeResults) -> None:
        """Take nothing."""


def test_a_runner_that_takes_no_job_is_no_endless_loop() -> None:
    with pytest.raises(RuntimeError, match=r"Idle\.run returned and took no job"):
        SerialBackend(Idle(1)).run(nothing(3)[0])


@pytest.mark.parametrize("named", [False, True])
def test_the_guilty_episode_is_found_and_scored_worst(
    named: bool, caplog: pytest.LogCaptureFixture
) -> None:
    playing = Playing(lanes=4, broken=(3, 6), named=named)
    with caplog.at_level(logging.WARNING):
        results = SerialBackend(playing, FailureRule("worst")).run(nothing(12)[0])
    assert np.flatnonzero(np.isnan(results.returns)).tolist() == [3, 6]
    assert np.flatnonzero(np.isnan(results.native_returns)).tolist() == [3, 6]
    assert np.flatnonzero(results.lengths == 0).tolist() == [3, 6]
    assert [results.returns[job] for job in range(12) if job not in (3, 6)] == [
        job for job in range(12) if job not in (3, 6)
    ]
    assert [record.getMessage() for record in caplog.records] == [
        "scored worst: job 3 is broken",
        "scored worst: job 6 is broken",
    ]


def test_an_exception_that_comes_once_fails_and_is_survived_by_the_other_rule(
    tmp_path: Path,
) -> None:
    """The runner may not say which episode it was; alone, none of them raises again."""

    class Flaky(Playing):
        def run(self, batch: EpisodeBatch, jobs: Iterable[int], results: EpisodeResults) -> None:
            try:
                super().run(batch, jobs, results)
            finally:
                self.broken = ()

    task = nothing(12)[0]
    with pytest.raises(EnvironmentFailure, match="job 6 is broken"):
        SerialBackend(Flaky(4, (6,))).run(task)
    results = SerialBackend(Flaky(4, (6,)), FailureRule("worst")).run(task)
    assert results.returns.tolist() == list(range(12))


def test_environments_are_made_again_after_an_error() -> None:
    """Else an environment that stays broken would score all later episodes worst too."""

    class Brittle(Playing):
        def run(self, batch: EpisodeBatch, jobs: Iterable[int], results: EpisodeResults) -> None:
            try:
                super().run(batch, jobs, results)
            except EnvironmentFailure:
                self.broken = tuple(range(12))
                raise

        def close(self) -> None:
            self.broken = ()

    results = SerialBackend(Brittle(4, (6,), named=True), FailureRule("worst")).run(nothing(12)[0])
    assert np.flatnonzero(np.isnan(results.returns)).tolist() == [6]
