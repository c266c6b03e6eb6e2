"""Recorders by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from toy_recorders import Tally

from zorl.common.errors import ConfigurationError, UnknownNameError
from zorl.envs import make_task
from zorl.recorders import (
    RECORDERS,
    JsonlRecorder,
    PlainRecord,
    Recorder,
    Recorders,
    Run,
    TensorBoardRecorder,
    make_recorder,
    register_recorder,
)


class Still:
    """An agent that pushes nothing."""

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: Any = 1
    ) -> tuple[Any, Any]:
        return np.int64(1), state


def run_in(folder: Path | None) -> Run:
    task = make_task("MountainCar-v0", env_kwargs={"max_episode_steps": 4})
    return Run("a run", Still(), task, {"seed": 1}, 1000, folder)


def recorded(recorders: list[Recorder], folder: Path) -> None:
    with Recorders(recorders) as all_of_them:
        all_of_them.start(run_in(folder))
        for index in range(3):
            all_of_them.record(PlainRecord(index, 100 * (index + 1), {"task/return": 0.5}))


def test_every_registered_recorder_records_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    left: Mapping[str, str] = {"jsonl": "generations.jsonl", "tensorboard": "events.out.*",
                               "video": "events.out.*"}  # fmt: skip
    for name in RECORDERS:
        folder = tmp_path / name
        folder.mkdir()
        recorded([make_recorder(name)], folder)
        if name in left:
            assert list(folder.glob(left[name])), name
        elif name == "console":
            assert not list(folder.iterdir())
    assert "gen 3" in capsys.readouterr().err  # console


def test_recorders_of_a_run_share_one_event_file(tmp_path: Path) -> None:
    recorded([make_recorder("tensorboard"), make_recorder("video(first_cost=0.0)")], tmp_path)
    (file,) = tmp_path.glob("events*")
    assert {path.name for path in tmp_path.iterdir()} == {file.name, "rollouts.gif"}
    tags = {v.tag for event in EventFileLoader(str(file)).Load() for v in event.summary.value}
    assert tags >= {"task/return", "rollout"}
    other = tmp_path / "other"
    recorded([make_recorder("tensorboard"), make_recorder("video")], other)
    assert len(list(other.iterdir())) == 1


def test_a_run_without_a_folder_is_told_that_one_is_needed(tmp_path: Path) -> None:
    for name in ("jsonl", "tensorboard", "video"):
        with pytest.raises(ConfigurationError, match=f"'{name}' writes into the run's folder"):
            make_recorder(name).start(run_in(None))
    path = tmp_path / "deep" / "x.jsonl"
    with Recorders([JsonlRecorder(path)]) as recorders:
        recorders.start(replace(run_in(None), start_index=0))
    assert path.exists()


def test_options_reach_the_recorder() -> None:
    board = make_recorder("tensorboard(points=7, seconds=2)")
    assert isinstance(board, TensorBoardRecorder)
    assert (board._points, board._seconds) == (7, 2)
    tally = make_recorder("toy_recorders:Tally(every=3)")
    assert isinstance(tally, Tally)
    assert tally.every == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tensorbord", "unknown recorder 'tensorbord'; did you mean 'tensorboard'"),
        ("tensorboard(pionts=3)", "option of recorder tensorboard 'pionts'; .*'points'"),
        ("tensorboard(points=many)", "tensorboard points must be like 2000, got 'many'"),
        ("tensorboard(points=0)", "points must be ≥ 1"),
        ("tensorboard(", "expected recorder or recorder.option=value"),
        ("toy_recorders:Taly", "'Taly'; did you mean 'Tally'"),
        ("toy_recorders:Half", r"'toy_recorders:Half' has no '\w+'; derive it from"),
    ],
)
def test_what_is_no_recorder_is_refused(text: str, message: str) -> None:
    with pytest.raises((ConfigurationError, UnknownNameError), match=message):
        make_recorder(text)


def test_a_recorder_of_a_module_is_registered_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RECORDERS, "_things", dict(RECORDERS))
    monkeypatch.setattr(RECORDERS, "_defaults", dict(RECORDERS._defaults))
    register_recorder("tally", every=5)(Tally)
    tally = make_recorder("tally")
    assert isinstance(tally, Tally)
    assert tally.every == 5
    assert RECORDERS.summaries()["tally"].startswith("Counts every n-th record")
