"""The recorders of `zorl train`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from zorl.common.errors import ConfigurationError
from zorl.recorders import TensorBoardRecorder, standard_recorders


def names(**options: Any) -> list[str]:
    return [type(item).__name__ for item in standard_recorders(**options)]


EVERYTHING = ["JsonlRecorder", "ConsoleRecorder", "TensorBoardRecorder", "VideoRecorder"]


def test_what_is_not_wanted_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert names() == EVERYTHING
    assert names(quiet=True) == [EVERYTHING[0], *EVERYTHING[2:]]
    assert names(tensorboard=False) == EVERYTHING[:2]
    assert names(video_budget=0) == EVERYTHING[:3]
    assert names(quiet=True, tensorboard=False) == EVERYTHING[:1]
    assert list(tmp_path.iterdir()) == []  # nothing is written before a run starts


def test_the_video_budget_reaches_the_recorder() -> None:
    assert standard_recorders(video_budget=0.25)[-1]._budget == 0.25  # type: ignore[attr-defined]
    with pytest.raises(ConfigurationError, match="share"):
        standard_recorders(video_budget=-0.5)


def test_others_are_added_and_one_of_a_standard_name_takes_its_place() -> None:
    found = standard_recorders(more=["toy_recorders:Tally(every=3)", "tensorboard(points=7)"])
    assert [type(item).__name__ for item in found] == [*EVERYTHING, "Tally"]
    (board,) = [item for item in found if isinstance(item, TensorBoardRecorder)]
    assert board._points == 7
    assert names(tensorboard=False, quiet=True, more=["video"]) == [
        "JsonlRecorder",
        "VideoRecorder",
    ]
