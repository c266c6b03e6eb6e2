"""Animated rollouts of the policy in TensorBoard's IMAGES tab, while it trains."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from zorl.common.errors import ConfigurationError, EnvironmentFailure
from zorl.common.storage import write_atomically
from zorl.common.streams import Purpose, Streams
from zorl.recorders.base import BaseRecorder, Predictor, Record, Run
from zorl.recorders.encoding import encode_gif
from zorl.recorders.event_log import EventLog, log_of
from zorl.recorders.frames import render_episode
from zorl.recorders.montage import Film, side_by_side
from zorl.recorders.pace import Clock, Pace
from zorl.recorders.registry import register_recorder

TAG = "rollout"
FILE = "rollouts.gif"

logger = logging.getLogger(__name__)


@register_recorder("video")
class VideoRecorder(BaseRecorder):
    """Writes animated episodes of the current policy for TensorBoard's IMAGES tab.

    The rule: a video is due whenever 1/`videos` of the budget was trained, or `seconds` have
    passed. It is made as soon as the time spent on videos so far and as much as the last one took
    (`first_cost` before there is one) stay within `budget` of the run's elapsed time. Until then a
    search agent's policy is kept as it was; a baseline's is not, its video waits for the next
    record. Where a finished run has fewer than `least`, as one of a few seconds has, more are made
    of what was kept, in at most `ending` seconds; and one of the final policy, whatever it costs,
    unless nothing was trained. Every video plays from the same seed, so that what changes is the
    policy.

    Beside the event file, rollouts.gif in the run's folder shows up to six of them side by side.

    If the environment cannot be rendered, one warning is logged and there are no more videos; the
    run goes on.

    Args:
        log: where to write; None: the run's folder, in one file with other recorders.
        budget: share of the run's time that videos may take.
        videos: how many along the training; TensorBoard keeps ten per tag, the final one with them.
        seconds: how long to go without, in runs whose budget is far away.
        least: how many a finished run shows, if what was kept and `ending` allow it.
        ending: seconds that videos may take at the end of the run, beside that of the final policy.
        frame_skip: env steps per frame; None for about ten frames a second of play.
        size: (width, height) in pixels that a frame is scaled down to fit.
        max_frames: at most this many per video, and the last.
        first_cost: seconds that the first video is expected to take.
        clock: seconds from any origin.
    """

    def __init__(
        self,
        log: EventLog | None = None,
        budget: float = 0.05,
        videos: int = 9,
        seconds: float = 600.0,
        least: int = 6,
        ending: float = 5.0,
        frame_skip: int | None = None,
        size: tuple[int, int] = (300, 200),
        max_frames: int = 100,
        first_cost: float = 1.0,
        clock: Clock = time.perf_counter,
    ) -> None:
        if not 0 <= budget <= 1:
            raise ConfigurationError(f"the video budget is a share in [0, 1], got {budget}")
        if videos < 1:
            raise ConfigurationError(f"videos must be ≥ 1, got {videos}")
        if least < 1 or ending < 0:
            raise ConfigurationError(f"least must be ≥ 1 and ending ≥ 0, got {least} and {ending}")
        self._given = log
        self._least = least
        self._ending = ending
        self._budget = budget
        self._videos = videos
        self._seconds = seconds
        self._frame_skip = frame_skip
        self._size = size
        self._max_frames = max_frames
        self._first_cost = first_cost
        self._clock = clock
        self._run: Run | None = None

    def start(self, run: Run) -> None:
        """See `Recorder`."""
        super().start(run)
        self._log = self._given or log_of(run.folder, "video")
        self._log.open()
        self._run = run
        self._seed = Streams(run.seed).seeds(Purpose.VIDEO, 0, 1)[0]
        seconds = min(self._seconds, run.pace(self._videos))
        self._pace = Pace(max(1, run.total_timesteps) / self._videos, seconds, self._clock)
        self._began = self._clock()
        self._spent = 0.0
        self._next_cost = self._first_cost
        self._last: int | None = None
        self._waiting: list[tuple[int, Predictor]] = []  # env steps, and the policy there
        self._films: list[Film] = []
        self._off = False

    def record(self, record: Record) -> None:
        """See `Recorder`."""
        if self._run is None:
            return
        self._last = record.env_steps
        if self._off or not self._budget:
            return
        affordable = self._spent + self._next_cost <= self._budget * (self._clock() - self._began)
        if self._pace.due(record.env_steps):
            policy = _kept(self._run.agent)
            if policy is not None or affordable:
                self._waiting.append((record.env_steps, policy or self._run.agent))
                self._pace.mark(record.env_steps)
        if self._waiting and affordable:
            self._film(self._run, *self._waiting.pop(0))
        if len(self._waiting) > self._videos:  # of a run whose videos cost more than it lasts
            del self._waiting[1::2]

    def finish(self, result: Mapping[str, Any]) -> None:
        """See `Recorder`."""
        super().finish(result)
        if self._run is None:
            return
        run, self._run = self._run, None
        try:
            if self._last is None:
                return
            if result.get("status") == "finished":
                self._film_kept(run, self._last)
            if not self._off:
                self._film(run, self._last, run.agent)
            if run.folder is not None and len(self._films) > 1:
                self._write(run.folder / FILE)
        finally:
            self._waiting, self._films = [], []
            self._log.close()

    def _film_kept(self, run: Run, last: int) -> None:
        """Make the videos that a short run lacks."""
        waiting = [item for item in self._waiting if item[0] < last]
        began = self._clock()
        lacking = self._least - 1 - len(self._films)  # 1: the final one
        if self._next_cost > 0:
            lacking = min(lacking, int(self._ending / self._next_cost))
        count = max(min(lacking, len(waiting)), 0)
        for index in np.linspace(0, len(waiting) - 1, count).round().astype(int):
            if self._off or self._clock() - began + self._next_cost > self._ending:
                return
            self._film(run, *waiting[index])

    def _film(self, run: Run, env_steps: int, policy: Predictor) -> None:
        begin = self._clock()
        try:
            frames = render_episode(
                policy, run.task, self._seed, self._frame_skip, self._size, self._max_frames
            )
            self._log.gif(TAG, encode_gif(frames.pictures, frames.fps), env_steps)
            self._films.append(Film.small(frames, f"{env_steps:,} env steps"))
        except Exception as error:  # whatever an environment raises, the training is unharmed
            self._off = True
            text = " ".join(f"{type(error).__name__}: {error}".split())  # one line, whatever it was
            logger.warning("no videos of %s: %s", run.task.env_id, text)
            return
        self._next_cost = self._clock() - begin
        self._spent += self._next_cost

    def _write(self, path: Path) -> None:
        """Write the animation of all."""
        try:
            write_atomically(path, side_by_side(self._films))
        except EnvironmentFailure as error:  # its pictures differ in size
            logger.warning("%s is not written: %s", path, error)


def _kept(agent: Predictor) -> Predictor | None:
    """The agent's policy as it is now; None where it keeps none."""
    incumbent: Callable[[], Predictor | None] = getattr(agent, "incumbent", lambda: None)
    return incumbent()
