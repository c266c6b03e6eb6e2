"""The serial backend, how jobs are tracked, and what becomes of episodes that fail."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_works import RUNNING, bits, runner, work

from zorl.common.errors import (
    ConfigurationError,
    EnvironmentFailure,
    NonFiniteRewardError,
    ZorlError,
)
from zorl.policies.normalization import Normalizer
from zorl.rollout.batch import Episodes, Work
from zorl.rollout.evaluator import RolloutEvaluator
from zorl.rollout.failures import FailedEpisode, FailureRule
from zorl.rollout.local.serial import Serial
from zorl.rollout.tracking import BEGUN, OVER, WAITING, Tracker


def test_serial_plays_every_candidate_on_every_seed() -> None:
    task = work()
    out = Serial(runner()).run(task)
    assert (out.lengths > 0).all()
    assert len(set(out.returns.tolist())) > 10
    for row in range(5):
        alone = Serial(runner(lanes=1)).run(Work(task.thetas[[row]], task.seeds, RUNNING))
        assert bits(alone) == {
            name: values[3 * row : 3 * row + 3].tobytes() for name, values in vars(out).items()
        }
    result = RolloutEvaluator(Serial(runner())).evaluate(task.thetas, task.seeds, RUNNING)
    assert result.returns.tolist() == out.returns.reshape(5, 3).tolist()
    assert result.successes.tolist() == out.successes.reshape(5, 3).tolist()
    assert result.moments is not None and result.moments.count == out.lengths.sum()


class Playing:
    """A runner of no environment: an episode's return is its job's number."""

    def __init__(self, lanes: int, broken: tuple[int, ...] = (), named: bool = False) -> None:
        self.lanes, self.broken, self.named = lanes, broken, named
        self.batches: list[list[int]] = []

    def run(self, work: Work, jobs: Iterable[int], out: Episodes) -> None:
        queue, batch = iter(jobs), []
        self.batches.append(batch)
        flying = list(islice(queue, self.lanes))
        while flying:
            job = flying.pop(0)
            if job in self.broken:
                error = EnvironmentFailure(f"job {job} is broken")
                error.job = job if self.named else None
                raise error
            batch.append(job)
            out.returns[job], out.lengths[job] = job, 1
            flying += islice(queue, 1)

    def close(self) -> None:
        self.batches.append([-1])


def nothing(k: int) -> tuple[Work, Episodes, np.ndarray[Any, Any]]:
    task = Work(np.zeros((k, 1), np.float32), (5,), Normalizer.create("off", [], []))
    return task, Episodes.empty(task), np.zeros(k, np.uint8)


def test_a_batch_ends_where_too_many_episodes_are_under_way() -> None:
    task, out, status = nothing(10)
    playing, beats = Playing(lanes=8), []
    Tracker(range(10), out, status, most=4, beat=lambda: beats.append(1)).play(playing, task, out)
    assert playing.batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert (status == OVER).all()
    assert len(beats) >= 10

    # With lanes enough for others it is one batch, and the lanes never run dry.
    task, out, status = nothing(10)
    playing = Playing(lanes=3)
    Tracker(range(10), out, status, most=5).play(playing, task, out)
    assert playing.batches == [list(range(10))]


def test_what_is_under_way_when_a_runner_raises() -> None:
    task, out, status = nothing(40)
    with pytest.raises(EnvironmentFailure, match="job 20"):
        Tracker(range(40), out, status).play(Playing(lanes=3, broken=(20,)), task, out)
    assert np.flatnonzero(status == OVER).tolist() == list(range(20))
    assert np.flatnonzero(status == BEGUN).tolist() == [20, 21, 22]
    assert np.flatnonzero(status == WAITING).tolist() == list(range(23, 40))


class Idle(Playing):
    def run(self, work: Work, jobs: Iterable[int], out: Episodes) -> None:
        """Take nothing."""


def test_a_runner_that_takes_no_job_is_no_endless_loop() -> None:
    with pytest.raises(RuntimeError, match=r"Idle\.run returned and took no job"):
        Serial(Idle(1)).run(nothing(3)[0])


@pytest.mark.parametrize("named", [False, True])
def test_the_guilty_episode_is_found_and_scored_worst(
    named: bool, caplog: pytest.LogCaptureFixture
) -> None:
    playing = Playing(lanes=4, broken=(3, 6), named=named)
    with caplog.at_level(logging.WARNING):
        out = Serial(playing, FailureRule("worst")).run(nothing(12)[0])
    assert np.flatnonzero(np.isnan(out.returns)).tolist() == [3, 6]
    assert np.flatnonzero(np.isnan(out.native_returns)).tolist() == [3, 6]
    assert np.flatnonzero(out.lengths == 0).tolist() == [3, 6]
    assert [out.returns[job] for job in range(12) if job not in (3, 6)] == [
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

    task = work()
    backend = Serial(runner(fault="raise-step", fault_seed=8), FailureRule("fail", keep))
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

    backend = Serial(runner(fault="raise-step", fault_seed=8), FailureRule("fail", refuse))
    with pytest.raises(EnvironmentFailure, match=r"not saved for replay: it is full") as caught:
        backend.run(task)
    assert caught.value.replay is None


def test_a_reward_that_is_no_number_raises_whatever_the_rule_for_failures() -> None:
    backend = Serial(runner(fault="nan-reward", fault_seed=8), FailureRule("worst"))
    with pytest.raises(NonFiniteRewardError, match="seed 8"):
        backend.run(work())


def test_an_exception_that_comes_once_fails_and_is_survived_by_the_other_rule(
    tmp_path: Path,
) -> None:
    """The runner may not say which episode it was; alone, none of them raises again."""

    class Flaky(Playing):
        def run(self, work: Work, jobs: Iterable[int], out: Episodes) -> None:
            try:
                super().run(work, jobs, out)
            finally:
                self.broken = ()

    task = nothing(12)[0]
    with pytest.raises(EnvironmentFailure, match="job 6 is broken"):
        Serial(Flaky(4, (6,))).run(task)
    out = Serial(Flaky(4, (6,)), FailureRule("worst")).run(task)
    assert out.returns.tolist() == list(range(12))


def test_what_raised_once_is_made_anew() -> None:
    """Else an environment that stays broken would score all later episodes worst too."""

    class Brittle(Playing):
        def run(self, work: Work, jobs: Iterable[int], out: Episodes) -> None:
            try:
                super().run(work, jobs, out)
            except EnvironmentFailure:
                self.broken = tuple(range(12))
                raise

        def close(self) -> None:
            self.broken = ()

    out = Serial(Brittle(4, (6,), named=True), FailureRule("worst")).run(nothing(12)[0])
    assert np.flatnonzero(np.isnan(out.returns)).tolist() == [6]


def test_there_are_two_rules() -> None:
    with pytest.raises(ConfigurationError, match=r"'worse'; did you mean 'worst'"):
        FailureRule("worse")
