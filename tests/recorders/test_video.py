"""Animated rollouts in TensorBoard, within their budget."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from toy_videos import (
    Clock,
    Coloured,
    OneAgent,
    Swing,
    coloured,
    gif_frames,
    stripes,
)

from zorl.common.errors import ConfigurationError
from zorl.common.streams import Purpose, Streams
from zorl.envs import make_task
from zorl.recorders import video
from zorl.recorders.base import PlainRecord, Recorders, Run
from zorl.recorders.event_log import EventLog
from zorl.recorders.frames import Frames, PlayedEpisode
from zorl.recorders.montage import Film, side_by_side
from zorl.recorders.tensorboard import TensorBoardRecorder
from zorl.recorders.video import VideoRecorder


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
    return Run("r", agent or OneAgent(), task, {}, total, seed=seed)


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


class Counting:
    """An agent whose policy is how often it was asked for."""

    def __init__(self) -> None:
        self.count = 0

    def incumbent(self) -> Any:
        self.count += 1
        return self.count


def filmed(
    monkeypatch: pytest.MonkeyPatch,
    status: str,
    cost: float = 0.3,
    folder: Any = None,
    **options: Any,
) -> list[tuple[int, int]]:
    """The videos of a run of ten records in half a second: env steps and policy."""
    clock, log, policies = Clock(), FakeLog(), []

    def rendered(policy: Any, *_: Any) -> Any:
        policies.append(policy)
        clock.now += cost
        return Frames(tuple(stripes(2)), 10, PlayedEpisode(0, 0.0, 10.0 * len(policies), 1, False))

    monkeypatch.setattr(video, "render_episode", rendered)
    recorder = VideoRecorder(log, clock=clock, **options)  # type: ignore[arg-type]
    agent = Counting()
    recorder.start(Run("r", agent, make_task("CartPole-v1"), {}, 1000, folder))  # type: ignore[arg-type]
    for index in range(10):
        clock.now += 0.05
        recorder.record(PlainRecord(index, (index + 1) * 100, {}))
    assert policies == []  # 5 % of half a second
    recorder.finish({"status": status})
    assert policies.pop() is agent
    return list(zip([step for _, step in log.gifs], [*policies, 0], strict=True))


def test_a_short_run_shows_policies_of_its_way_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    # Due at 100, 300, ..., 900 and 1000: every 1000 / 9 steps, at the next record.
    steps = [(100, 1), (300, 2), (500, 3), (700, 4), (900, 5), (1000, 0)]
    assert filmed(monkeypatch, "finished") == steps
    assert filmed(monkeypatch, "finished", least=3) == [steps[0], steps[4], steps[5]]
    assert filmed(monkeypatch, "interrupted") == steps[-1:]
    assert filmed(monkeypatch, "finished", budget=0) == steps[-1:]
    # 2 seconds each: the first is thought to take 1, of at most 5.
    assert filmed(monkeypatch, "finished", cost=2.0) == [*steps[:2], steps[-1]]


def test_videos_are_shown_side_by_side_in_one_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    filmed(monkeypatch, "finished", folder=tmp_path)
    pictures, _ = gif_frames((tmp_path / "rollouts.gif").read_bytes())
    height, width = stripes(1)[0].shape[:2]
    assert pictures[0].shape == (2 * (height + 16), 3 * width, 3)
    assert len(pictures) == 2
    assert not list(tmp_path.glob(".*"))
    filmed(monkeypatch, "interrupted", folder=tmp_path / "none")  # one alone is no comparison


def test_a_long_run_films_kept_policies_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, log = Clock(), FakeLog()

    def rendered(*_: Any) -> Any:
        clock.now += 0.5
        return Frames(tuple(stripes(2)), 10, PlayedEpisode(0, 0.0, 0.0, 1, False))

    monkeypatch.setattr(video, "render_episode", rendered)
    recorder = VideoRecorder(log, clock=clock)  # type: ignore[arg-type]
    recorder.start(make_run(None, 900, agent=Counting()))
    for index in range(90):
        clock.now += 1.0
        recorder.record(PlainRecord(index, 10 * (index + 1), {}))
    recorder.finish({"status": "finished"})
    steps = [step for _, step in log.gifs]
    assert steps == [*range(10, 811, 100), 900]
    # The first waits for 20 s, when 1 s would be 5 %; none is left out.


def test_films_of_other_lengths_and_rates_play_at_one_speed() -> None:
    def film(count: int, fps: float) -> Film:
        return Film(tuple(stripes(count)), fps, "x")

    pictures, durations = gif_frames(side_by_side([film(20, 10.0), film(3, 5.0)]))
    assert len(pictures) == 10  # two seconds at 5 a second
    assert durations[0] == 200
    width = stripes(1)[0].shape[1]
    right = [picture[16:, width:] for picture in pictures]
    assert (right[2] == right[9]).all()  # it is over, and stays
    assert (right[0] != right[1]).any()


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
        coloured(fails="grow"),
        coloured(fails="step"),
        make_task("zorl-tests/Coloured-v0", env_kwargs={"no_such_option": 1}),
    ],
    ids=["raises", "none", "grows", "raises in a step", "cannot be made"],
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
