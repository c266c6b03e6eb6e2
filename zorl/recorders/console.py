"""What a person sees while a run goes on: a bar on a terminal, else a line now and then."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Mapping
from typing import IO, Any

from zorl.common.output import if_readable
from zorl.recorders.base import BaseRecorder, Record, Run, budget_words
from zorl.recorders.registry import register_recorder

_REFRESH_SECONDS = 0.2


@register_recorder("console")
class ConsoleRecorder(BaseRecorder):
    """Shows progress: a bar on a terminal, else a line of figures every few seconds.

    Generation, env steps, steps/s, shaped and native return, acceptance, time left. Where
    nobody can read it any more, as on a terminal that was closed, the run goes on.

    Args:
        stream: where to; standard error by default, so that standard output stays clean.
        interval: seconds between lines where the stream is not a terminal.
    """

    def __init__(self, stream: IO[str] | None = None, interval: float = 5.0) -> None:
        self._stream = stream or sys.stderr or io.StringIO()  # it is None where it was closed
        self._interval = interval
        self._progress: Any = None
        self._task: Any = None
        self._last = -float("inf")
        self._latest: Record | None = None
        self._room: Callable[[], int | None] = lambda: None

    def start(self, run: Run) -> None:
        """See `Recorder`."""
        super().start(run)
        self._run = run
        self._began = time.perf_counter()
        self._last = -float("inf")
        with if_readable(self._stream):
            if run.folder is not None:
                # Long before the first record: a validation and a generation may take a while.
                words = budget_words(run.total_timesteps, run.seconds)
                print(f"training for {words}; Ctrl-C stops and saves", file=self._stream)
            if run.description is not None:
                print(run.description, file=self._stream)
        if not self._stream.isatty():
            return
        from rich.console import Console
        from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn
        from rich.table import Column

        console = Console(file=self._stream)
        # What does not fit goes on in the next row: what is cut off could not be read at all.
        fold = Column(overflow="fold", no_wrap=False)
        columns: list[ProgressColumn] = [
            TextColumn("{task.percentage:>3.0f}% {task.fields[line]}", table_column=fold)
        ]
        self._room = lambda: console.width - 1 - len("100% ")
        if console.width >= 120:
            columns.insert(0, BarColumn(bar_width=16))
            self._room = lambda: console.width - 1 - len("100% ") - 17
        self._progress = Progress(*columns, console=console, auto_refresh=False, transient=True)
        self._task = self._progress.add_task("", total=1.0, line="")
        with if_readable(self._stream):
            self._progress.start()

    def record(self, record: Record) -> None:
        """See `Recorder`."""
        self._latest = record
        now = time.perf_counter()
        if now - self._last >= (self._interval if self._progress is None else _REFRESH_SECONDS):
            self._last = now
            self._latest = None  # shown
            self._show(record)

    def finish(self, result: Mapping[str, Any]) -> None:
        """See `Recorder`."""
        super().finish(result)
        if self._latest is not None:
            self._show(self._latest)
            self._latest = None
        if self._progress is not None:
            with if_readable(self._stream):
                self._progress.stop()
            self._progress = None

    def _show(self, record: Record) -> None:
        line = self.line(record)
        with if_readable(self._stream):
            done = self._share(record)
            if self._progress is None:
                print(f"{100 * done:3.0f}% {line}", file=self._stream)
            else:
                line = self.line(record, self._room())
                self._progress.update(self._task, completed=done, line=line, refresh=True)

    def _share(self, record: Record) -> float:
        """How much of the budget is spent."""
        steps = record.env_steps / self._run.total_timesteps
        if self._run.seconds is None:
            return min(1.0, steps)
        return min(1.0, max(steps, (time.perf_counter() - self._began) / self._run.seconds))

    def line(self, record: Record, room: int | None = None) -> str:
        """The figures of a record in one line.

        Args:
            record: has them.
            room: signs that the line may have; figures are left out where it would have more, first
                those that matter least.
        """
        figures = record.scalars
        seconds = max(time.perf_counter() - self._began, 1e-9)
        done = record.env_steps - self._run.start_steps
        rate = done / seconds
        left = max(self._run.total_timesteps - record.env_steps, 0) / max(rate, 1e-9)
        if self._run.seconds is not None:
            left = min(left, max(self._run.seconds - seconds, 0.0))
        parts = [f"gen {record.index + 1}", f"{record.env_steps:,} steps", f"{rate:,.0f}/s"]
        native = figures.get("task/native_return_mean")
        if self._run.task.shaped:
            shaped = figures.get("search/return_mean", figures.get("task/return_mean"))
            parts.append(f"shaped {_number(shaped)}")
        parts.append(f"native {_number(native)}")
        if "task/success_rate" in figures and self._run.task.success != "none":
            parts.append(f"success {figures['task/success_rate']:.0%}")
        if figures.get("gate/episodes"):
            parts.append(f"kept {figures['gate/acceptance_rate']:.0%}")
        parts.append(f"{int(left // 60)}:{int(left % 60):02d} left")
        line = " · ".join(parts)
        for start in ("gen ", "kept ", f"{rate:,.0f}/s", "shaped ", "success "):
            if room is not None and len(line) > room:
                parts = [part for part in parts if not part.startswith(start)]
                line = " · ".join(parts)
        return line


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"
