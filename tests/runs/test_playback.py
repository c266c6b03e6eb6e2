"""`zorl.runs.playback`: a policy in a window or in a file."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from zorl.common.errors import ConfigurationError, ZorlError
from zorl.common.streams import Purpose, Streams
from zorl.envs import Task, make_task
from zorl.recorders.frames import PlayedEpisode
from zorl.runs.playback import watch

CARTPOLE = make_task("CartPole-v1")
NOTHING: Any = None


class Left:
    """Always pushes to the left: the pole falls within about ten steps."""

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
    ) -> tuple[Any, Any]:
        return np.array(0), state


def check(results: Sequence[PlayedEpisode], seed: int, episodes: int) -> None:
    assert tuple(result.seed for result in results) == Streams(seed).seeds(
        Purpose.VIDEO, 0, episodes
    )
    for result in results:
        assert 8 <= result.length <= 11
        assert result.native_return == result.episode_return == result.length
        assert not result.success


def test_a_gif_holds_all_episodes(tmp_path: Path) -> None:
    path = tmp_path / "new" / "Left.GIF"
    results = watch(Left(), CARTPOLE, seed=4, episodes=2, out=path, frame_skip=1)
    check(results, 4, 2)
    pictures = sum(result.length + 1 for result in results)
    shown = 0
    with Image.open(path) as image:
        assert image.size == (600, 400)
        frames: int = getattr(image, "n_frames", 1)
        assert frames > pictures // 2
        for index in range(frames):  # equal pictures are one that lasts longer
            image.seek(index)
            shown += image.info["duration"]
    assert shown == 20 * (pictures - 1) + 500


def test_an_mp4_holds_every_frame_at_the_environments_speed(tmp_path: Path) -> None:
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")
    path = tmp_path / "left.mp4"
    results = watch(Left(), CARTPOLE, out=str(path), size=(300, 200))
    check(results, 0, 1)
    frames, seconds = imageio_ffmpeg.count_frames_and_secs(str(path))
    assert frames == results[0].length + 1
    assert seconds == pytest.approx(frames / 50, abs=0.011)


@pytest.mark.parametrize("name", ["film.avi", "film"])
def test_other_files_are_rejected_before_anything_is_played(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"\.gif or \.mp4"):
        watch(NOTHING, NOTHING, out=tmp_path / name)


def test_a_missing_extra_is_told_before_anything_is_played(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(ConfigurationError, match=r"zorl\[mp4\]"):
        watch(NOTHING, NOTHING, out=tmp_path / "film.mp4")


def test_no_episodes_are_an_error() -> None:
    with pytest.raises(ConfigurationError, match="episodes"):
        watch(Left(), CARTPOLE, episodes=0)


def test_a_window_plays_the_episodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    check(watch(Left(), CARTPOLE, seed=2, episodes=2), 2, 2)


LINUX = pytest.mark.skipif(sys.platform != "linux", reason="displays are found otherwise")


@LINUX
def test_without_a_display_the_error_suggests_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SDL_VIDEODRIVER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigurationError, match=r"no display.*--out"):
        watch(NOTHING, NOTHING)  # before the environment, whose viewer may abort the process


@LINUX
def test_a_display_that_cannot_be_reached_is_as_good_as_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("SDL_VIDEODRIVER", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DISPLAY", ":98765")
    with pytest.raises(ZorlError, match="--out"):
        watch(Left(), CARTPOLE)


def test_an_environment_without_windows_suggests_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")

    class Blind(Task):
        def make(self, render_mode: str | None = None) -> Any:
            raise TypeError(f"unknown render mode {render_mode}")

    with pytest.raises(ZorlError, match=r"Blind-v0.*--out"):
        watch(Left(), Blind("Blind-v0"))
