"""Interrupted runs are resumed and end bit-identical to unbroken ones, or are refused."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from run_outcomes import outcome
from toy_runs import PLAN, StopAfter, begin, fresh, recorders

from zorl.agents.plan import TrainingPlan
from zorl.agents.registry import load_agent, make_agent
from zorl.agents.resuming import resume
from zorl.agents.training import run_config, train
from zorl.agents.validation import Validator
from zorl.common import storage
from zorl.common.errors import (
    ConfigurationError,
    FileFormatError,
    Interrupted,
    RunFolderError,
    UnknownNameError,
)
from zorl.common.storage import load_archive, read_json, save_archive, write_json
from zorl.recorders.base import BaseRecorder, Run
from zorl.runs.folder import RunFolder
from zorl.runs.result import HeldOut, RunResult


@pytest.mark.parametrize("stops", [(1,), (3, 2, 1), (9,)], ids=str)
def test_an_interrupted_run_goes_on_to_the_same_bits(
    stops: tuple[int, ...], unbroken: tuple[TrainingPlan, dict[str, Any]], tmp_path: Path
) -> None:
    plan, expected = unbroken
    agent, folder = begin(tmp_path / "unbroken", plan)
    result = train(agent, plan, folder, recorders(folder), StopAfter(stops[0]))
    for count in (*stops[1:], None):
        assert result.status == "interrupted"
        assert result.held_out is None
        assert read_json(folder.result)["status"] == "interrupted"
        assert not folder.agent.exists()
        stop = None if count is None else StopAfter(count)
        result = resume(folder, recorders(folder), stop)
    assert outcome(folder) == expected


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_run_that_gave_up_a_validation_makes_up_for_it(
    count: int,
    unbroken: tuple[TrainingPlan, dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan, expected = unbroken
    agent, folder = begin(tmp_path / "unbroken", plan)
    figures = Validator._figures

    def interrupted(validator: Validator) -> Any:
        if len(validator.rows) == count:
            raise Interrupted("by a signal")
        return figures(validator)

    with monkeypatch.context() as patch:
        patch.setattr(Validator, "_figures", interrupted)
        assert train(agent, plan, folder, recorders(folder)).status == "interrupted"
    assert len(folder.validation.read_text().splitlines() if count else "x") == 1 + count
    assert resume(folder, recorders(folder)).finished
    assert outcome(folder) == expected


@pytest.mark.parametrize("at", [0, 60, 500, 960])
def test_a_run_that_gave_up_episodes_under_way_goes_on_to_the_same_bits(
    at: int,
    unbroken: tuple[TrainingPlan, dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In the first validation, in generations and in the held-out episodes: steps 0 to 973."""
    (plan, expected), steps = unbroken, 0

    def interrupt() -> None:
        nonlocal steps
        steps += 1
        if steps == at + 1:
            raise Interrupted("by a signal")

    monkeypatch.setattr("zorl.rollout.local.gymnasium_runner.raise_if_overdue", interrupt)
    agent, folder = begin(tmp_path / "unbroken", plan)
    result = train(agent, plan, folder, recorders(folder))
    assert result.status == read_json(folder.result)["status"] == "interrupted"
    assert result.held_out is None
    assert not folder.agent.exists()
    assert resume(folder, recorders(folder)).finished
    assert outcome(folder) == expected
    assert steps > 960


class Meanwhile:
    """Asks to stop, after it has tried to train in the same folder."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.messages: list[str] = []

    def __call__(self) -> bool:
        other = RunFolder(self.folder.path)
        saved = sorted((path.name, path.stat().st_mtime_ns) for path in other.path.iterdir())
        for attempt in (resume, lambda folder: train(fresh(), PLAN, folder)):
            with pytest.raises(RunFolderError) as caught:
                attempt(other)
            self.messages.append(str(caught.value))
        assert saved == sorted((p.name, p.stat().st_mtime_ns) for p in other.path.iterdir())
        return True


def test_a_run_that_goes_on_is_not_resumed_a_second_time(tmp_path: Path) -> None:
    agent, folder = begin(tmp_path / "run")
    parts: list[Callable[[Meanwhile], RunResult]] = [
        lambda stop: train(agent, PLAN, folder, stop=stop),
        lambda stop: resume(folder, stop=stop),
    ]
    for begun in parts:
        meanwhile = Meanwhile(folder)
        assert begun(meanwhile).status == "interrupted"
        assert len(meanwhile.messages) == 2
        for message in meanwhile.messages:
            assert message.startswith(f"{folder.path} is in use: process {os.getpid()} on ")
    assert not (folder.path / ".lock").exists()


@pytest.mark.parametrize("checkpoint", ["older", "newer"])
def test_a_run_from_before_some_options_existed_goes_on(checkpoint: str, tmp_path: Path) -> None:
    """The checkpoint may have been written since, by a zorl that had them."""
    agent, folder = begin(tmp_path / "run", gate="off", gate_options={}, max_episodes=None)
    train(agent, PLAN, folder, stop=StopAfter(2))
    saved = folder.read_config()
    for values in (saved["agent"], saved["agent"]["options"]):
        for name in ("max_episodes", "source", "top"):
            values.pop(name, None)
    write_json(folder.config, saved)
    if checkpoint == "older":
        _, metadata, arrays = load_archive(folder.checkpoint, "agent")
        metadata["config"] = {k: v for k, v in saved["agent"].items() if k != "family"}
        save_archive(folder.checkpoint, "agent", metadata, arrays)
        assert resume(folder, stop=StopAfter(2)).status == "interrupted"
    else:
        source = load_agent(folder.checkpoint).config["source"]
        saved["agent"]["source"] = source
        write_json(folder.config, saved)
    assert resume(folder).finished


@pytest.mark.parametrize("at", ["start", "early", "late"])
def test_a_run_that_was_killed_between_checkpoints_goes_on_to_the_same_bits(
    at: str, unbroken: tuple[TrainingPlan, dict[str, Any]], tmp_path: Path
) -> None:
    """The checkpoint is older than the lines, the curve and the best policy beside it."""
    plan, expected = unbroken
    agent, folder = begin(tmp_path / "unbroken", plan)
    old = tmp_path / "old.zip"
    if at != "start":
        train(agent, plan, folder, recorders(folder), StopAfter(2 if at == "early" else 6))
        shutil.copy(folder.checkpoint, old)
        agent = load_agent(folder.checkpoint)  # type: ignore[assignment]
    train(agent, plan, folder, recorders(folder), StopAfter(7))
    folder.result.unlink()
    later = len(folder.generations.read_text().splitlines())
    if at == "start":
        folder.checkpoint.unlink()
    else:
        shutil.copy(old, folder.checkpoint)
    with folder.generations.open("a") as file:
        file.write('{"index": 1, "env_st')  # torn by the kill
    seen: list[int] = []

    class Recorder(BaseRecorder):
        def start(self, run: Run) -> None:
            seen.append(run.start_index)

    result = resume(folder, [*recorders(folder), Recorder()], StopAfter(1))
    assert result.curve[-1]["env_steps"] <= result.env_steps.training
    resume(folder, recorders(folder))
    assert seen == [{"start": 0, "early": 2, "late": 6}[at]] < [later]
    assert outcome(folder) == expected


def test_workers_may_change_at_a_resume(
    unbroken: tuple[TrainingPlan, dict[str, Any]], tmp_path: Path
) -> None:
    plan, expected = unbroken
    agent, folder = begin(tmp_path / "unbroken", plan)
    train(agent, plan, folder, recorders(folder), StopAfter(3))
    resume(folder, recorders(folder), workers=2)
    assert outcome(folder) == expected


def test_a_run_killed_while_its_result_was_measured_is_finished_by_resume(
    unbroken: tuple[TrainingPlan, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, expected = unbroken
    agent, folder = begin(tmp_path / "unbroken", plan)
    with monkeypatch.context() as patch:
        patch.setattr(HeldOut, "from_evaluation", lambda _: _raise(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            train(agent, plan, folder, recorders(folder))
    assert not folder.agent.exists()
    resume(folder, recorders(folder))
    assert outcome(folder) == expected
    # And one that was killed between its last two files.
    folder.agent.unlink()
    resume(folder, recorders(folder))
    assert outcome(folder) == expected


def _raise(kind: type[BaseException]) -> Any:
    raise kind


def test_seconds_go_on_from_where_they_were(tmp_path: Path) -> None:
    agent, folder = begin(tmp_path / "run")
    before = train(agent, PLAN, folder, stop=StopAfter(3)).seconds
    saved = read_json(folder.result)
    write_json(folder.result, {**saved, "seconds": before + 1000})
    after = resume(folder)
    assert 1000 < after.seconds < 1060
    assert after.curve[-1]["seconds"] > 1000
    assert [row["seconds"] for row in after.curve] == sorted(row["seconds"] for row in after.curve)


def test_a_finished_run_is_left_alone(tmp_path: Path) -> None:
    plan = replace(PLAN, total_timesteps=300)
    agent, folder = begin(tmp_path / "run", plan)
    train(agent, plan, folder)
    before = {path: path.read_bytes() for path in folder.path.iterdir()}
    with pytest.raises(RunFolderError, match="is finished: nothing is left to resume"):
        resume(folder)
    assert {path: path.read_bytes() for path in folder.path.iterdir()} == before


def test_a_baseline_is_not_resumed(tmp_path: Path) -> None:
    plan = TrainingPlan(64, validate_episodes=1, held_out=2, select="last")
    agent = make_agent("ppo", "CartPole-v1", settings="default", n_steps=16, batch_size=16)
    folder = RunFolder.create(tmp_path / "run", run_config(agent, plan))
    result = train(agent, plan, folder, stop=StopAfter(20))
    agent.close()
    assert result.status == "interrupted"
    assert result.env_steps.training == 20
    assert folder.checkpoint.exists()
    with pytest.raises(RunFolderError, match="cannot be resumed: stable-baselines3 keeps"):
        resume(folder)


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        (
            lambda c: c["agent"].update(seed=5),
            RunFolderError,
            r"checkpoint\.zip was written by another configuration than .*config\.json",
        ),
        (lambda c: c["agent"]["options"].update(m=3), RunFolderError, "another configuration"),
        (lambda c: c["agent"].update(family="x"), FileFormatError, "unknown family of agents 'x'"),
        (lambda c: c["agent"].pop("task"), FileFormatError, "search agent: 'task'"),
        (lambda c: c["agent"].update(colour=1), FileFormatError, "colour"),
        (lambda c: c["agent"].update(episodes="x"), ConfigurationError, "episodes must be"),
        (lambda c: c["agent"].update(agent="sps"), UnknownNameError, "did you mean 'spsa'"),
        (lambda c: c.update(agent=[1]), FileFormatError, "not the configuration of an agent"),
        (lambda c: c.pop("agent"), FileFormatError, "config.json: 'agent' is missing"),
        (lambda c: c.pop("plan"), FileFormatError, "config.json: 'plan' is missing"),
        (lambda c: c["plan"].update(colour=1), FileFormatError, "not the plan .*colour"),
        (lambda c: c["plan"].update(held_out=-1), ConfigurationError, "held_out must be .*got -1"),
        (lambda c: c["plan"].update(select="worst"), UnknownNameError, "selection 'worst'"),
        (lambda c: c["plan"].update(stop_at="x"), ConfigurationError, "stop_at must be a return"),
    ],
)
def test_a_tampered_configuration_is_refused(
    change: Callable[[Any], Any], kind: type[Exception], words: str, tmp_path: Path
) -> None:
    agent, folder = begin(tmp_path / "run")
    train(agent, PLAN, folder, stop=StopAfter(1))
    config = read_json(folder.config)
    change(config)
    write_json(folder.config, config)
    before = {path: path.read_bytes() for path in folder.path.iterdir()}
    with pytest.raises(kind, match=words) as caught:
        resume(folder)
    assert type(caught.value) is kind
    assert {path: path.read_bytes() for path in folder.path.iterdir()} == before


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("env_steps,x\n1,2\n", "validation.csv: expected the columns env_steps, episodes"),
        ("a,b\n1\n", "not a learning curve"),
        ("a\nx\n", "not a learning curve"),
    ],
)
def test_a_broken_learning_curve_is_refused(text: str, words: str, tmp_path: Path) -> None:
    agent, folder = begin(tmp_path / "run")
    train(agent, PLAN, folder, stop=StopAfter(1))
    folder.validation.write_text(text)
    with pytest.raises(FileFormatError, match=words):
        resume(folder)
    assert folder.validation.read_text() == text


class FullDisk:
    """Stands for `storage._write`: from the `n`-th writing of a file on there is no space."""

    def __init__(self, name: str, n: int) -> None:
        self.real = storage._write
        self.name, self.left = name, n

    def __call__(self, path: Path, data: bytes) -> None:
        self.left -= path.name == self.name
        if self.left <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.real(path, data)


@pytest.mark.parametrize("file", ["checkpoint.zip", "validation.csv", "result.json"])
def test_on_a_full_disk_the_error_says_what_is_left_and_the_run_goes_on_afterwards(
    file: str, unbroken: tuple[TrainingPlan, dict[str, Any]], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    plan, expected = unbroken
    monkeypatch.setattr("zorl.agents.training.CHECKPOINT_SECONDS", 0.0)
    agent, folder = begin(tmp_path / "run", plan)
    with monkeypatch.context() as patch:
        patch.setattr(storage, "_write", FullDisk(file, 1 if file == "result.json" else 2))
        with pytest.raises(RunFolderError) as caught:
            train(agent, plan, folder, recorders(folder))
    message = str(caught.value)
    assert f"{folder.path}{os.sep}" in message
    assert (
        "cannot be written (No space left on device); what was saved before is whole: " in message
    )
    assert "validation.csv" in message
    assert f"zorl resume {folder.path} goes on" in message
    assert not (folder.path / ".lock").exists()
    resume(folder, recorders(folder))
    assert outcome(folder) == expected
