"""Animated rollouts of the policy in TensorBoard's IMAGES tab, while it trains."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

from zorl.common.errors import ConfigurationError
from zorl.common.streams import Purpose, Streams
from zorl.recorders.base import BaseRecorder, Record, Run
from zorl.recorders.encoding import encode_gif
from zorl.recorders.event_log import EventLog, log_of
from zorl.recorders.frames import render_episode
from zorl.recorders.pace import Clock, Pace
from zorl.recorders.registry import register_recorder

TAG = "rollout"

logger = logging.getLogger(__name__)


@register_recorder("video")
class VideoRecorder(BaseRecorder):
    """Writes animated episodes of the current policy for TensorBoard's IMAGES tab.

    The rule: a video is made after a record if 1/`videos` of the budget was trained since the last
    one, or `seconds` have passed, and if the time spent on videos so far and as much as the last
    one took (`first_cost` before there is one) stay within `budget` of the run's elapsed time.
    One more is made at the finish, whatever it costs, unless nothing was trained. Every video
    plays from the same seed, so that what changes is the policy.

    If the environment cannot be rendered, one warning is logged and there are no more videos; the
    run goes on.

    Args:
        log: where to write; None: the run's folder, in one file with other recorders.
        budget: share of the run's time that videos may take.
        videos: how many along the training; TensorBoard keeps ten per tag, the final one with them.
        seconds: how long to go without, in runs whose budget is far away.
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
        self._given = log
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
        self._pace = Pace(max(1, run.total_timesteps) / self._videos, self._seconds, self._clock)
        self._began = self._clock()
        self._spent = 0.0
        self._next_cost = self._first_cost
        self._last: int | None = None
        self._off = False

    def record(self, record: Record) -> None:
        """See `Recorder`."""
        if self._run is None:
            return
        self._last = record.env_steps
        if self._off or not self._pace.due(record.env_steps):
            return
        allowed = self._budget * (self._clock() - self._began)
        if self._spent + self._next_cost <= allowed:
            self._film(self._run, record.env_steps)

    def finish(self, result: Mapping[str, Any]) -> None:
        """See `Recorder`."""
        super().finish(result)
        if self._run is None:
            return
        run, self._run = self._run, None
        try:
            if self._last is not None and not self._off:
                self._film(run, self._last)
        finally:
            self._log.close()

    def _film(self, run: Run, env_steps: int) -> None:
        begin = self._clock()
        try:
            frames = render_episode(
                run.agent, run.task, self._seed, self._frame_skip, self._size, self._max_frames
            )
            self._log.gif(TAG, encode_gif(frames.pictures, frames.fps), env_steps)
        except Exception as error:  # whatever an environment raises, the training is unharmed
            self._off = True
            text = " ".join(f"{type(error).__name__}: {error}".split())  # one line, whatever it was
            logger.warning("no videos of %s: %s", run.task.env_id, text)
            return
        self._next_cost = self._clock() - begin
        self._spent += self._next_cost
        self._pace.mark(env_steps)
