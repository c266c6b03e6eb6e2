"""Episodes as pictures."""

from __future__ import annotations

import os
import sys
from typing import Any

import numpy as np
import pytest
from toy_videos import (
    Coloured,
    Counting,
    OneAgent,
    Swing,
    coloured,
    reds,
)

from zorl.common.errors import ConfigurationError, EnvironmentFailure
from zorl.envs import make_task
from zorl.recorders.frames import render_episode


def test_only_the_frames_that_are_kept_are_rendered() -> None:
    frames = render_episode(OneAgent(), coloured(length=10), seed=5, frame_skip=4)
    assert Coloured.rendered == [0, 4, 8, 10]
    assert reds(frames) == [0, 4, 8, 10]
    assert frames.fps == 30 / 4
    assert frames.pictures[0].shape == (40, 60, 3)
    assert Coloured.seeds == [5]
    assert Coloured.closed == 1


def test_the_last_state_is_kept_once() -> None:
    assert reds(render_episode(OneAgent(), coloured(length=8), 0, frame_skip=4)) == [0, 4, 8]


def test_ten_frames_are_kept_of_a_second_of_play() -> None:
    frames = render_episode(OneAgent(), coloured(length=7), 0)
    assert reds(frames) == [0, 3, 6, 7]
    assert frames.fps == 10


@pytest.mark.parametrize("length", [8, 9, 15, 16, 17, 33, 64, 200])
def test_a_long_episode_is_thinned_evenly_and_keeps_its_ends(length: int) -> None:
    frames = render_episode(OneAgent(), coloured(length=length), 0, frame_skip=1, max_frames=8)
    kept = reds(frames)
    assert (kept[0], kept[-1]) == (0, length)
    assert 5 <= len(kept) <= 9
    assert len(set(np.diff(kept[:-1]))) == 1  # evenly, but for the last
    assert frames.fps == 30  # so that it plays faster
    assert len(Coloured.rendered) <= 8 * (1 + np.log2(length))


def test_pictures_are_scaled_down_to_fit_and_keep_their_shape() -> None:
    def shape(size: Any, within: Any) -> Any:
        frames = render_episode(OneAgent(), coloured(size=size), 0, size=within)
        return frames.pictures[0].shape

    assert shape((600, 400), (300, 200)) == (200, 300, 3)
    assert shape((400, 400), (300, 200)) == (200, 200, 3)
    assert shape((60, 40), (300, 200)) == (40, 60, 3)


def test_the_episode_is_told_with_both_returns_and_success() -> None:
    task = make_task("MountainCar-v0", ["momentum"])
    episode = render_episode(Swing(), task, seed=3).episode
    assert episode.success
    assert episode.native_return == -episode.length
    assert episode.native_return > -200
    assert episode.episode_return != episode.native_return
    assert episode.seed == 3


def test_an_agent_with_a_state_gets_it_back() -> None:
    episode = render_episode(Counting(), coloured(length=5), 0).episode
    assert episode.episode_return == 1.0  # only the first action of the episode was 1


@pytest.mark.parametrize("fails", ["none", "raise"])
def test_an_environment_without_pictures_is_an_error_and_closed(fails: str) -> None:
    message = "gives no pictures" if fails == "none" else "RuntimeError: no GL context"
    with pytest.raises(EnvironmentFailure, match=message):
        render_episode(OneAgent(), coloured(fails=fails), 0)
    assert Coloured.closed == 1


@pytest.mark.parametrize("options", [{"frame_skip": 0}, {"max_frames": 1}])
def test_options_that_cannot_work_are_rejected(options: Any) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        render_episode(OneAgent(), coloured(), 0, **options)


@pytest.mark.parametrize("named", [None, "osmesa"])
def test_pictures_need_no_display_and_the_environment_is_left_as_it_was(
    monkeypatch: pytest.MonkeyPatch, named: str | None
) -> None:
    names = ("SDL_VIDEODRIVER", "MUJOCO_GL")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", *names):
        monkeypatch.delenv(name, raising=False)
    if named:
        monkeypatch.setenv("MUJOCO_GL", named)
    seen = []
    render = Coloured.render

    def spy(env: Any) -> Any:
        seen.append([os.environ.get(name) for name in names])
        return render(env)

    monkeypatch.setattr(Coloured, "render", spy)
    with pytest.raises(EnvironmentFailure):
        render_episode(OneAgent(), coloured(fails="raise"), 0)
    assert seen[0] == ["dummy", named or ("egl" if sys.platform == "linux" else None)]
    assert [os.environ.get(name) for name in names] == [None, named]


def test_an_environment_that_raises_while_it_is_shown_is_named() -> None:
    with pytest.raises(EnvironmentFailure, match=r"Coloured-v0 failed .* seed 3 .*stuck") as caught:
        render_episode(OneAgent(), coloured(fails="step"), seed=3)
    assert "RuntimeError: stuck" in caught.value.trace
    with pytest.raises(EnvironmentFailure, match=r"rendered .RuntimeError: no GL context of any k"):
        render_episode(OneAgent(), coloured(fails="raise"), seed=3)
