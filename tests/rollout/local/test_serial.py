"""The serial backend, how jobs are tracked, and what becomes of episodes that fail."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_batches import RUNNING, batch, bits, runner

from zorl.common.errors import (
    ConfigurationError,
    EnvironmentFailure,
    NonFiniteRewardError,
    ZorlError,
)
from zorl.policies.normalization import Normalizer
from zorl.rollout.batch import EpisodeBatch, EpisodeResults
from zorl.rollout.env_runner import EnvRunner
from zorl.rollout.evaluator import RolloutEvaluator
from zorl.rollout.failures import FailedEpisode, FailureRule
from zorl.rollout.local.serial import SerialBackend
from zorl.rollout.tracking import BEGUN, OVER, WAITING, JobTracker


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


class Playing(EnvRunner):
    """A runner of no environment: an episode's return is its job's number."""

    def __init__(self, lanes: int, broken: tuple[int, ...] = (), named: bool = False) -> None:
        self.lanes, self.broken, self.named = lanes, broken, named
        self.calls: list[list[int]] = []

    def run(self, batch: EpisodeBatch, jobs: Iterable[int], results: EpisodeResults) -> None:
        queue, played = iter(jobs), list[int]()
        self.calls.append(played)
        flying = list(islice(queue, self.lanes))
        while flying:
            job = flying.pop(0)
            if job in self.broken:
                error = EnvironmentFailure(f"job {job} is broken")
                error.job = job if self.named else None
                raise error
            played.append(job)
            results.returns[job], results.lengths[job] = job, 1
            flying += islice(queue, 1)

    def close(self) -> None:
        self.calls.append([-1])


def nothing(k: int) -> tuple[EpisodeBatch, EpisodeResults, np.ndarray[Any, Any]]:
    task = EpisodeBatch(np.zeros((k, 1), np.float32), (5,), Normalizer.create("off", [], []))
    return task, EpisodeResults.empty(task), np.zeros(k, np.uint8)


def test_a_batch_ends_where_too_many_episodes_are_under_way() -> None:
    task, results, status = nothing(10)
    playing, heartbeats = Playing(lanes=8), []
    JobTracker(range(10), results, status, most=4, heartbeat=lambda: heartbeats.append(1)).play(
        playing, task, results
    )
    assert playing.calls == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert (status == OVER).all()
    assert len(heartbeats) >= 10

    # With lanes enough for others it is one batch, and the lanes never run dry.
    task, results, status = nothing(10)
    playing = Playing(lanes=3)
    JobTracker(range(10), results, status, most=5).play(playing, task, results)
    assert playing.calls == [list(range(10))]


def test_what_is_under_way_when_a_runner_raises() -> None:
    task, results, status = nothing(40)
    with pytest.raises(EnvironmentFailure, match="job 20"):
        JobTracker(range(40), results, status).play(Playing(lanes=3, broken=(20,)), task, results)
    assert np.flatnonzero(status == OVER).tolist() == list(range(20))
    assert np.flatnonzero(status == BEGUN).tolist() == [20, 21, 22]
    assert np.flatnonzero(status == WAITING).tolist() == list(range(23, 40))


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


def test_a_failure_keeps_the_episode_its_traceback_and_says_where() -> None:
    kept: list[FailedEpisode] = []

    def keep(episode: FailedEpisode) -> Path:
        kept.append(episode)
        return Path("here.zip")

    task = batch()
    backend = SerialBackend(runner(fault="raise-step", fault_seed=8), FailureRule("fail", keep))
    with pytest.raises(
        EnvironmentFailure, match=r"seed 8: the step is broken; see it again: zorl replay here.zip"
    ) as caught:
        backend.run(task)
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert caught.value.replay == "here.zip"
    assert "_go_wrong" in caught.value.trace
    assert caught.value.trace.endswith("RuntimeError: the step is broken\n")
    (episode,) = kept
    assert caught.value.job is not None
    row, seed = task.job(caught.value.job)
    assert (episode.seed, seed) == (8, 8)
    assert episode.theta.tobytes() == task.thetas[row].tobytes()
    assert episode.normalizer is RUNNING

    def refuse(episode: FailedEpisode) -> Path:
        raise ZorlError("it is full")

    backend = SerialBackend(runner(fault="raise-step", fault_seed=8), FailureRule("fail", refuse))
    with pytest.raises(EnvironmentFailure, match=r"not saved for replay: it is full") as caught:
        backend.run(task)
    assert caught.value.replay is None


def test_a_reward_that_is_no_number_raises_whatever_the_rule_for_failures() -> None:
    backend = SerialBackend(runner(fault="nan-reward", fault_seed=8), FailureRule("worst"))
    with pytest.raises(NonFiniteRewardError, match="seed 8"):
        backend.run(batch())


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


def test_what_raised_once_is_made_anew() -> None:
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


def test_there_are_two_rules() -> None:
    with pytest.raises(ConfigurationError, match=r"'worse'; did you mean 'worst'"):
        FailureRule("worse")
