"""Episodes as pictures, and the videos that a run leaves in TensorBoard."""

from __future__ import annotations

import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from zorl.common.errors import ConfigurationError, EnvironmentFailure, ZorlError
from zorl.common.streams import Purpose, Streams
from zorl.envs import make_task
from zorl.recorders import video
from zorl.recorders.base import PlainRecord, Recorders, Run
from zorl.recorders.encoding import encode_gif, write_mp4
from zorl.recorders.event_log import EventLog
from zorl.recorders.frames import Frames, PlayedEpisode, render_episode
from zorl.recorders.tensorboard import TensorBoardRecorder
from zorl.recorders.video import VideoRecorder


class Coloured(gym.Env):
    """An episode of `length` steps whose picture's red is the step; action 1 pays 1."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}  # noqa: RUF012
    observation_space = gym.spaces.Box(0.0, 1e6, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)
    rendered: list[int]
    seeds: list[int]
    closed = 0

    def __init__(
        self, length: int = 10, size: Any = (60, 40), fails: str = "", render_mode: Any = None
    ) -> None:
        self.length, self.size, self.fails, self.render_mode = length, size, fails, render_mode
        self.count = 0

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        Coloured.seeds.append(seed)  # type: ignore[arg-type]
        self.count = 0
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> Any:
        assert type(action) is int
        self.count += 1
        observation = np.array([self.count], np.float32)
        return observation, float(action), self.count == self.length, False, {}

    def render(self) -> Any:
        if self.fails == "raise":
            raise RuntimeError("no GL context\nof any kind")
        Coloured.rendered.append(self.count)
        width, height = self.size
        picture = np.zeros((height, width, 3), np.uint8)
        picture[..., 0] = self.count
        return None if self.fails == "none" else picture

    def close(self) -> None:
        Coloured.closed += 1


gym.register("zorl-tests/Coloured-v0", entry_point=lambda **kwargs: Coloured(**kwargs))


class OneAgent:
    """Always action 1, as SB3 returns it."""

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
    ) -> Any:
        assert deterministic
        return np.array(1), state


class Counting:
    """An agent with a state: the number of its steps in the episode, which is also its action."""

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
    ) -> Any:
        count = 0 if episode_start[0] else state + 1
        return np.array(int(count == 0)), count


class Swing:
    """Pushes the car the way it moves, which reaches the flag."""

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
    ) -> Any:
        return np.array(2 if observation[1] >= 0 else 0), state


class Clock:
    now = 1000.0

    def __call__(self) -> Any:
        return self.now


@pytest.fixture(autouse=True)
def _fresh() -> None:
    Coloured.rendered, Coloured.seeds, Coloured.closed = [], [], 0


def coloured(**kwargs: Any) -> Any:
    return make_task("zorl-tests/Coloured-v0", env_kwargs=kwargs)


def gif_frames(data: Any) -> Any:
    """Pictures and durations in ms of an encoded GIF."""
    image = Image.open(io.BytesIO(data))
    pictures, durations = [], []
    for index in range(image.n_frames):  # type: ignore[attr-defined]
        image.seek(index)
        durations.append(image.info["duration"])
        pictures.append(np.asarray(image.convert("RGB")))
    return pictures, durations


def reds(frames: Any) -> Any:
    return [int(picture[0, 0, 0]) for picture in frames.pictures]


# ---------------------------------------------------------------------------- frames


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


# ---------------------------------------------------------------------------- encoding


def stripes(count: Any, height: int = 40, width: int = 60) -> Any:
    """Pictures of distinct colours, a stripe moving over them."""
    pictures = []
    for index in range(count):
        picture = np.full((height, width, 3), 255, np.uint8)
        picture[:, index : index + 3] = (200, 10 * index % 256, 30)
        pictures.append(picture)
    return pictures


def test_a_gif_has_the_pictures_their_colours_and_their_times() -> None:
    pictures = stripes(20)
    shown, durations = gif_frames(encode_gif(pictures, fps=10))
    assert len(shown) == 20
    for picture, back in zip(pictures, shown, strict=True):
        assert np.abs(picture.astype(int) - back).mean() < 2
        assert np.abs(picture.astype(int) - back).max() < 24
    assert durations == [100] * 19 + [500]


@pytest.mark.parametrize(
    ("fps", "delay"), [(30, 30), (7.5, 130), (15, 70), (50, 20), (1000, 20), (4, 250)]
)
def test_a_frame_lasts_a_whole_multiple_of_10_ms_that_browsers_respect(
    fps: float, delay: int
) -> None:
    _, durations = gif_frames(encode_gif(stripes(3), fps))
    assert durations[:-1] == [delay, delay]


def test_a_gif_loops_for_ever() -> None:
    assert Image.open(io.BytesIO(encode_gif(stripes(2), 10))).info["loop"] == 0


def test_a_gif_of_one_picture_is_a_gif() -> None:
    shown, _ = gif_frames(encode_gif(stripes(1), 10))
    assert len(shown) == 1


def read_mp4(path: Any) -> Any:
    """Frames a second and the frames of a file."""
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the reader leaves its pipes to the garbage collector
        reader = imageio_ffmpeg.read_frames(str(path))
        meta = next(reader)
        shape = (*meta["size"][::-1], 3)
        shown = [np.frombuffer(frame, np.uint8).reshape(shape) for frame in reader]
        del reader
    return meta["fps"], shown


@pytest.mark.parametrize(("height", "width"), [(40, 60), (41, 63)])
def test_an_mp4_can_be_read_back(
    tmp_path: Path, height: int, width: int, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "new" / "film.mp4"
    pictures = stripes(25, height, width)
    write_mp4(path, pictures, fps=25)
    fps, shown = read_mp4(path)
    assert fps == 25
    assert len(shown) == 25
    for picture, back in zip(pictures, shown, strict=True):
        assert back.shape == (height + height % 2, width + width % 2, 3)
        assert np.abs(picture.astype(int) - back[:height, :width]).mean() < 8
    assert [p.name for p in path.parent.iterdir()] == ["film.mp4"]
    assert caplog.records == []


def test_a_failed_mp4_leaves_the_old_file(tmp_path: Path) -> None:
    pytest.importorskip("imageio_ffmpeg")
    path = tmp_path / "film.mp4"
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match="broadcast"):
        write_mp4(path, [*stripes(2), np.zeros(7, np.uint8)], fps=25)
    assert path.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_an_mp4_that_ffmpeg_did_not_write_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(*args: Any, **kwargs: Any) -> Iterator[Any]:
        while True:
            yield

    monkeypatch.setattr(pytest.importorskip("imageio_ffmpeg"), "write_frames", silent)
    with pytest.raises(ZorlError, match="wrote nothing"):
        write_mp4(tmp_path / "film.mp4", stripes(2), 25)


def test_mp4_without_the_extra_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(ConfigurationError, match=r"zorl\[mp4\]"):
        write_mp4(tmp_path / "film.mp4", stripes(2), 25)


# ---------------------------------------------------------------------------- the recorder


class FakeLog:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.gifs, self.users = [], 0  # type: ignore[var-annotated]

    def open(self) -> None:
        self.users += 1

    def close(self) -> None:
        self.users -= 1

    def gif(self, tag: Any, data: Any, step: Any) -> None:
        self.gifs.append((tag, step))


def make_run(task: Any, total: int = 10_000, seed: int = 7, agent: Any = None) -> Any:
    return Run("r", agent or OneAgent(), task, {"seed": seed}, total)


def simulate(
    monkeypatch: pytest.MonkeyPatch,
    cost: Any,
    seconds_each: float = 1.0,
    records: int = 1000,
    total: int = 1_000_000,
    **options: Any,
) -> Any:
    """A run of `records` records, each of `seconds_each`, whose videos take `cost` seconds.

    Returns the log, the elapsed times of its videos, and the recorder and the clock after it.
    """
    clock, log, times = Clock(), FakeLog(), []
    began = clock.now

    def rendered(*args: Any) -> Any:
        times.append(clock.now - began)
        clock.now += cost
        episode = PlayedEpisode(0, 0.0, 0.0, 1, False)
        return Frames(tuple(stripes(2)), 10, episode)

    monkeypatch.setattr(video, "render_episode", rendered)
    recorder = VideoRecorder(log, clock=clock, **options)  # type: ignore[arg-type]
    recorder.start(make_run(None, total))
    for index in range(records):
        clock.now += seconds_each
        recorder.record(PlainRecord(index, (index + 1) * total // records, {}))
        spent = cost * len(times)
        assert spent <= options.get("budget", 0.05) * (clock.now - began) or cost > 1
    return log, times, recorder, clock


def test_videos_wait_until_the_budget_allows_them(monkeypatch: pytest.MonkeyPatch) -> None:
    # At 5 %: the first (thought to take 1 s) after 20 s, the second when 2 + 2 s are 5 %, ...
    log, times, recorder, _ = simulate(monkeypatch, cost=2.0, records=200, videos=200)
    assert times[:3] == [20.0, 80.0, 120.0]
    before = len(times)
    recorder.finish({"status": "finished"})
    assert len(times) == before + 1
    assert log.gifs[-1] == ("rollout", 1_000_000)


def test_videos_stay_within_their_share_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    _, times, _, clock = simulate(monkeypatch, cost=0.5, records=3000, videos=10_000)
    share = 0.5 * len(times) / (clock.now - Clock.now)
    assert 0.045 < share <= 0.05


def test_cheap_videos_are_spread_over_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    log, _, recorder, _ = simulate(monkeypatch, cost=0.01, videos=5, seconds=1e9)
    recorder.finish({})
    steps = [step for _, step in log.gifs]
    assert steps == [20_000, 220_000, 420_000, 620_000, 820_000, 1_000_000]
    assert log.users == 0


def test_a_run_with_a_huge_budget_has_a_video_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    _, times, _, _ = simulate(monkeypatch, cost=0.01, videos=1, seconds=300.0, total=10**9)
    assert times == pytest.approx([20.0, 320.0, 620.0, 920.0], abs=1.0)


def test_no_budget_leaves_the_final_video(monkeypatch: pytest.MonkeyPatch) -> None:
    log, times, recorder, _ = simulate(monkeypatch, cost=0.1, budget=0.0)
    assert times == []
    recorder.finish({"status": "interrupted"})
    assert log.gifs == [("rollout", 1_000_000)]


def test_nothing_trained_gives_no_video(monkeypatch: pytest.MonkeyPatch) -> None:
    log, times, recorder, _ = simulate(monkeypatch, cost=0.1, records=0)
    recorder.finish({"status": "failed"})
    assert times == [] and log.gifs == []
    assert log.users == 0


def test_finish_without_start_does_nothing() -> None:
    log = FakeLog()
    recorder = VideoRecorder(log)  # type: ignore[arg-type]
    recorder.record(PlainRecord(0, 1, {}))
    recorder.finish({})
    assert log.users == 0 and log.gifs == []


@pytest.mark.parametrize("options", [{"budget": -0.1}, {"budget": 5}, {"videos": 0}])
def test_recorder_options_that_cannot_work_are_rejected(options: Any) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        VideoRecorder(FakeLog(), **options)  # type: ignore[arg-type]


def test_a_run_leaves_animated_rollouts_beside_its_scalars(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    task = make_task("MountainCar-v0", ["momentum"])
    with Recorders(
        [TensorBoardRecorder(log), VideoRecorder(log, budget=1.0, first_cost=0.0, videos=1)]
    ) as recorders:
        recorders.start(make_run(task, agent=Swing()))
        for index in range(3):
            recorders.record(PlainRecord(index, (index + 1) * 100, {"x/y": 1.0}))
    assert len(list(tmp_path.iterdir())) == 1  # one file for both
    events = EventAccumulator(str(tmp_path), size_guidance={"images": 0}).Reload()
    images = events.Images("rollout")
    assert [image.step for image in images] == [100, 300]
    pictures, durations = gif_frames(images[0].encoded_image_string)
    assert (images[0].height, images[0].width) == (200, 300) == pictures[0].shape[:2]
    assert len(pictures) > 20
    assert set(durations[:-1]) == {100}
    # The car is where the picture changes; it begins in the valley and ends at the flag.
    dark = [np.argwhere(picture.max(axis=2) < 40)[:, 1].mean() for picture in pictures]
    assert dark[0] < 200 < dark[-1]
    assert [event.step for event in events.Scalars("x/y")] == [100, 200, 300]


def test_every_video_plays_the_same_start_from_the_seeds_for_videos() -> None:
    recorder = VideoRecorder(FakeLog(), budget=1.0, first_cost=0.0, videos=1000)  # type: ignore[arg-type]
    recorder.start(make_run(coloured(length=3), seed=11))
    for index in range(3):
        recorder.record(PlainRecord(index, (index + 1) * 1000, {}))
    recorder.finish({})
    expected = Streams(11).seeds(Purpose.VIDEO, 0, 1)[0]
    assert len(Coloured.seeds) >= 2
    assert set(Coloured.seeds) == {expected}


@pytest.mark.parametrize(
    "task",
    [
        coloured(fails="raise"),
        coloured(fails="none"),
        make_task("zorl-tests/Coloured-v0", env_kwargs={"no_such_option": 1}),
    ],
    ids=["raises", "none", "cannot be made"],
)
def test_an_environment_that_cannot_be_rendered_costs_one_warning_and_no_run(
    task: Any, caplog: pytest.LogCaptureFixture
) -> None:
    log = FakeLog()
    recorder = VideoRecorder(log, budget=1.0, first_cost=0.0, videos=1000)  # type: ignore[arg-type]
    recorder.start(make_run(task))
    with caplog.at_level(logging.WARNING):
        for index in range(5):
            recorder.record(PlainRecord(index, (index + 1) * 1000, {}))
        recorder.finish({"status": "finished"})
    assert log.gifs == [] and log.users == 0
    (warning,) = caplog.records
    assert "no videos of zorl-tests/Coloured-v0" in warning.getMessage()
    assert "\n" not in warning.getMessage()


def test_a_mode_that_the_environment_does_not_have_gives_the_same_warning(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Coloured, "metadata", {"render_modes": []})
    monkeypatch.setattr(Coloured, "render", lambda self: None)
    recorder = VideoRecorder(FakeLog(), budget=1.0, first_cost=0.0)  # type: ignore[arg-type]
    recorder.start(make_run(coloured()))
    recorder.record(PlainRecord(0, 1000, {}))
    recorder.finish({})
    assert [record.levelname for record in caplog.records] == ["WARNING"]
