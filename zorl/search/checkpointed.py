"""A search that may take hours: logged, saved, and resumed where it stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

from numpy.typing import ArrayLike

from zorl.common.errors import FileFormatError
from zorl.common.output import tell
from zorl.common.storage import flatten, load_archive, save_archive, unflatten
from zorl.common.types import Stop, Vector
from zorl.common.validation import at_least
from zorl.search.budget import Budget
from zorl.search.loop import Search
from zorl.search.records import SearchState

_KIND = "long-search"
_SAVE_SECONDS = 60.0
_LINE_SECONDS = 10.0

Measured = dict[str, float]


def long_search(
    search: Search,
    theta: ArrayLike,
    folder: str | Path,
    generations: int,
    measure: Callable[[Vector], Mapping[str, float]],
    points: int = 50,
    stop: Stop = lambda: False,
) -> list[Measured] | None:
    """Run a search for a number of generations; bit-identical however often it is stopped.

    The folder receives TensorBoard's log, and a checkpoint every minute and at a stop. A search
    whose folder has a checkpoint continues from there.

    Args:
        search: what runs.
        theta: (d,) where it starts.
        folder: of this search alone.
        generations: how many in all.
        measure: figures by name of a θ (d,), for the curve; its time is not counted.
        points: of the curve, not counting the start.
        stop: asked after every generation; at True the search is saved and left.

    Returns:
        The curve: a row before the first generation and at each point, with "generation",
        "evaluations", the "cpu_seconds" of this process (all of its threads), "seconds" by the
        clock, and what `measure` says; or None if it was stopped.

    Raises:
        FileFormatError: the checkpoint is damaged, or of another search.
    """
    budget = Budget(generations=generations)
    at_least("points", points, 1)
    run = _Run(search.init(theta), Path(folder) / "checkpoint.zip", generations, measure)
    with closing(run.log):
        if not run.curve:
            run.point({})
        save_due, line_due = _Every(_SAVE_SECONDS), _Every(_LINE_SECONDS)
        for generation in search.run(run.state, until=budget, stop=stop):
            run.state = generation.state
            done = run.state.generation
            if done * points // generations > (done - 1) * points // generations:
                run.point(generation.scalars)
            if line_due():
                run.print_line()
            if save_due():
                run.save()
        run.save()
    return run.curve if budget(run.state) else None


class _Run:
    """State, curve and clock of one search, and the files that keep them."""

    def __init__(
        self,
        start: SearchState,
        path: Path,
        generations: int,
        measure: Callable[[Vector], Mapping[str, float]],
    ) -> None:
        from zorl.recorders.event_log import EventLog

        self.state = start
        self.curve: list[Measured] = []
        self._path = path
        self._generations = generations
        self._measure = measure
        clocks = self._load() if path.is_file() else (0.0, 0.0)
        self.log = EventLog(path.parent)
        self.log.open()
        self.log.session(self.state.generation + 1 if self.state.generation else 0)
        self._clock = _Clock(*clocks)

    def point(self, figures: Mapping[str, float]) -> None:
        """Add a row to the curve, and to the log together with other figures."""
        cpu, wall = self._clock.pause()
        theta, counters = self.state.theta, self.state.counters
        measured = {name: float(value) for name, value in self._measure(theta).items()}
        counts = {"generation": self.state.generation, "evaluations": counters.search_episodes}
        self.curve.append({**counts, "cpu_seconds": cpu, "seconds": wall, **measured})
        named = {f"measured/{name}": value for name, value in measured.items()}
        self.log.scalars({**figures, **named}, self.state.generation)
        self._clock.go()

    def save(self) -> None:
        """Write the checkpoint."""
        scalars, arrays = flatten(self.state, "state")
        metadata = {
            "scalars": scalars,
            "curve": self.curve,
            "clocks": self._clock.read(),
            "generations": self._generations,
        }
        save_archive(self._path, _KIND, metadata, arrays)

    def _load(self) -> tuple[float, float]:
        """Continue from the checkpoint; its CPU seconds and seconds."""
        _, metadata, arrays = load_archive(self._path, _KIND)
        try:
            if metadata["generations"] != self._generations:
                raise FileFormatError(
                    f"{self._path} is of a search of {metadata['generations']} generations, "
                    f"not {self._generations}"
                )
            self.state = unflatten(self.state, "state", metadata["scalars"], arrays)
            self.curve = list(metadata["curve"])
            cpu, wall = metadata["clocks"]
            return float(cpu), float(wall)
        except (KeyError, TypeError, ValueError) as error:
            raise FileFormatError(f"{self._path} lacks {error}") from error

    def print_line(self) -> None:
        """Say on standard error how far the search is."""
        done, whole = self.state.generation, self._generations
        cpu, wall = self._clock.read()
        figures = ", ".join(
            f"{name} {value:.4g}"
            for name, value in self.curve[-1].items()
            if name not in ("generation", "evaluations", "cpu_seconds", "seconds")
        )
        left = wall / max(done, 1) * (whole - done)
        tell(f"generation {done:,} of {whole:,}, {cpu:.0f} CPU s, {left:.0f} s left; {figures}")


class _Every:
    """True at most once in a number of seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._last = time.monotonic()

    def __call__(self) -> bool:
        due = time.monotonic() - self._last > self._seconds
        if due:
            self._last = time.monotonic()
        return due


class _Clock:
    """CPU seconds and seconds, without the pauses."""

    def __init__(self, cpu: float, wall: float) -> None:
        self._before = cpu, wall
        self.go()

    def go(self) -> None:
        """Count from here on."""
        self._since = time.process_time(), time.perf_counter()

    def read(self) -> tuple[float, float]:
        """What was counted so far."""
        cpu, wall = self._before
        since_cpu, since_wall = self._since
        return cpu + time.process_time() - since_cpu, wall + time.perf_counter() - since_wall

    def pause(self) -> tuple[float, float]:
        """Count no further until `go`."""
        self._before = self.read()
        return self._before
