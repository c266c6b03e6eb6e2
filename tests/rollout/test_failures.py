"""What becomes of an episode that fails."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
import toy_envs
from toy_batches import RUNNING, batch, runner

from zorl.common.errors import (
    ConfigurationError,
    EnvironmentFailure,
    NonFiniteRewardError,
    ZorlError,
)
from zorl.rollout.backend import Backend
from zorl.rollout.failures import FailedEpisode, FailureRule
from zorl.rollout.local.serial import SerialBackend
from zorl.rollout.processes.backend import ProcessBackend


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
    assert (
        caught.value.trace.splitlines()[1].split('"')[1] == toy_envs.__file__
    )  # no caller's frame
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


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_an_environment_that_ends_its_program_is_named(workers: int) -> None:
    """As those do whose window was closed: sys.exit would end the training without a word."""
    playing = runner(fault="sys-exit", fault_seed=8)
    backend: Backend = SerialBackend(playing) if workers == 1 else ProcessBackend(playing, workers)
    with (
        closing(backend),
        pytest.raises(
            EnvironmentFailure, match=r"raised SystemExit in step.* seed 8: the window was closed"
        ),
    ):
        backend.run(batch())


def test_a_reward_that_is_no_number_raises_whatever_the_rule_for_failures() -> None:
    backend = SerialBackend(runner(fault="nan-reward", fault_seed=8), FailureRule("worst"))
    with pytest.raises(NonFiniteRewardError, match="seed 8"):
        backend.run(batch())


def test_there_are_two_rules() -> None:
    with pytest.raises(ConfigurationError, match=r"'worse'; did you mean 'worst'"):
        FailureRule("worse")
