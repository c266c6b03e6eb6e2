"""The figures of a run as TensorBoard shows them: scalars, histograms, settings."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from zorl.common.errors import ConfigurationError
from zorl.recorders.base import BaseRecorder, Record, Run
from zorl.recorders.event_log import EventLog, log_of
from zorl.recorders.pace import Clock, Pace
from zorl.recorders.registry import register_recorder

_HISTOGRAM_SECONDS = 60.0  # how long to go without, in runs whose budget is far away

Setting: TypeAlias = bool | int | float | str


@register_recorder("tensorboard")
class TensorBoardRecorder(BaseRecorder):
    """Writes curves, histograms and settings for TensorBoard, over the env steps of training.

    A record is written when 1/`points` of the budget was trained since the last one that was, or
    `seconds` have passed, and always the first and the last: an event file stays a few megabytes
    however fast the generations are, and TensorBoard draws 1,000 points a curve anyway.

    A resumed run goes on in the same folder; what an interrupted one wrote after its checkpoint is
    forgotten. The hyperparameter session ends with a finished or a failed run. It stays open for an
    interrupted one, as TensorBoard keeps the first end it reads and the run may be resumed.

    Args:
        log: where to write; None: the run's folder, in one file with other recorders.
        points: how many records to write along the budget.
        seconds: how long records may be left out.
        histograms: how many histograms of a kind to write along the budget; 0: none.
        clock: seconds from any origin.
    """

    def __init__(
        self,
        log: EventLog | None = None,
        points: int = 2000,
        seconds: float = 1.0,
        histograms: int = 100,
        clock: Clock = time.perf_counter,
    ) -> None:
        if points < 1:
            raise ConfigurationError(f"points must be ≥ 1, got {points}")
        if histograms < 0:
            raise ConfigurationError(f"histograms must be ≥ 0, got {histograms}")
        self._given = log
        self._points = points
        self._seconds = seconds
        self._histograms = histograms
        self._clock = clock
        self._pace: Pace | None = None
        self._left_out: Record | None = None

    def start(self, run: Run) -> None:
        """Write the settings; see `Recorder`."""
        super().start(run)
        self._log = self._given or log_of(run.folder, "tensorboard")
        self._log.open()
        seconds = min(self._seconds, run.pace(self._points))
        self._pace = Pace(max(1, run.total_timesteps) / self._points, seconds, self._clock)
        steps = max(1, run.total_timesteps) / max(1, self._histograms)
        seconds = min(_HISTOGRAM_SECONDS, run.pace(max(1, self._histograms)))
        self._histogram_pace = Pace(steps, seconds, self._clock)
        self._left_out = None
        # The checkpoint's own record has env_steps == start_steps and stays.
        self._log.session(run.start_steps + 1 if run.start_index > 0 else 0)
        settings = flatten_settings(run.config)
        self._log.hparams(settings)
        self._log.text("config", settings_table(settings), run.start_steps)
        self._log.flush()

    def record(self, record: Record) -> None:
        """See `Recorder`."""
        if self._pace is None:
            return
        if self._pace.due(record.env_steps):
            self._pace.mark(record.env_steps)
            self._write(record)
        else:
            self._left_out = record

    def validation(self, env_steps: int, figures: Mapping[str, float]) -> None:
        """See `Recorder`."""
        if self._pace is not None:
            self._log.scalars(figures, env_steps)

    def finish(self, result: Mapping[str, Any]) -> None:
        """See `Recorder`; `result["status"]` is "finished", "interrupted" or "failed"."""
        super().finish(result)
        if self._pace is None:
            return
        self._pace = None
        try:
            if self._left_out is not None:
                self._write(self._left_out)
            if result.get("status") in ("finished", "failed"):
                self._log.hparams_end(success=result["status"] == "finished")
        finally:
            self._log.close()

    def _write(self, record: Record) -> None:
        self._left_out = None
        self._log.scalars(record.scalars, record.env_steps)
        if self._histograms and self._histogram_pace.due(record.env_steps):
            self._histogram_pace.mark(record.env_steps)
            self._log.histograms(record.histograms, record.env_steps)


def flatten_settings(config: Mapping[str, Any]) -> dict[str, Setting]:
    """A nested configuration as "group.name": value, with the types that HPARAMS accepts.

    None and non-finite numbers become their names, lists become JSON.
    """
    settings: dict[str, Setting] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            for inner, setting in flatten_settings(value).items():
                settings[f"{key}.{inner}"] = setting
        else:
            settings[str(key)] = _setting(value)
    return settings


def settings_table(settings: Mapping[str, Setting]) -> str:
    """A Markdown table of settings, for the TEXT tab."""
    rows = ["| setting | value |", "|---|---|"]
    for name, value in settings.items():
        # A bar or a line break would end the cell.
        shown = str(value).replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")
        rows.append(f"| {name} | {shown} |")
    return "\n".join(rows)


def _setting(value: Any) -> Setting:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple, Mapping)):
        return json.dumps(value, default=str)
    return str(value)
