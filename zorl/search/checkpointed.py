"""A search that may take an hour: followed, logged, saved, and gone on with where it stopped."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from zorl.common.errors import FileFormatError
from zorl.common.storage import flatten, load_archive, save_archive, unflatten
from zorl.common.types import Vector
from zorl.common.validation import at_least
from zorl.search.loop import Search
from zorl.search.records import SearchState

_KIND = "long-search"
_SAVE_SECONDS = 60.0
_SAY_SECONDS = 10.0

Row = dict[str, float]


def long_search(
    search: Search,
    theta: ArrayLike,
    folder: str | Path,
    generations: int,
    measure: Callable[[Vector], Mapping[str, float]],
    points: int = 50,
    stop: Callable[[], bool] = lambda: False,
) -> list[Row] | None:
    """Run a search for a number of generations; to the same bits, however often it is stopped.

    The folder receives TensorBoard's log, and a checkpoint every minute and at a stop. A folder
    with a checkpoint is gone on with.

    Args:
        search: what runs.
        theta: (d,) where it starts.
        folder: of this search alone.
        generations: how many in all.
        measure: figures by name of a θ (d,), for the curve; its time is not counted.
        points: of the curve, besides the start.
        stop: asked after every generation; at True the search is saved and left.

    Returns:
        The curve: a row before the first generation and at each point, with "generation",
        "evaluations", the "cpu_seconds" of this process (all of its threads), "seconds" by the
        clock, and what `measure` says; or None if it was stopped.

    Raises:
        FileFormatError: the checkpoint is damaged, or of another search.
    """
    at_least("generations", generations, 1)
    at_least("points", points, 1)
    from zorl.recorders.event_log import EventLog

    path = Path(folder) / "checkpoint.zip"
    state = search.init(theta)
    curve: list[Row] = []
    clocks = (0.0, 0.0)
    if path.is_file():
        state, curve, clocks = _load(path, state, generations)
    log = EventLog(folder)
    log.open()
    log.session(state.generation + 1 if state.generation else 0)
    clock = _Clock(*clocks)
    saved = said = time.monotonic()

    def point(state: SearchState, figures: Mapping[str, float]) -> None:
        cpu, wall = clock.pause()
        measured = {name: float(value) for name, value in measure(state.theta).items()}
        counts = {"generation": state.generation, "evaluations": state.counters.search_episodes}
        curve.append({**counts, "cpu_seconds": cpu, "seconds": wall, **measured})
        named = {f"measured/{name}": value for name, value in measured.items()}
        log.scalars({**figures, **named}, state.generation)
        clock.go()

    def save(state: SearchState) -> None:
        scalars, arrays = flatten(state, "state")
        metadata = {"scalars": scalars, "curve": curve, "clocks": clock.read()}
        save_archive(path, _KIND, {**metadata, "generations": generations}, arrays)

    try:
        if not curve:
            point(state, {})
        while state.generation < generations:
            generation = search.step(state)
            state = generation.state
            done, now = state.generation, time.monotonic()
            if done * points // generations > (done - 1) * points // generations:
                point(state, generation.scalars)
            if now - said > _SAY_SECONDS:
                said = now
                _say(done, generations, curve[-1], clock.read())
            stopped = stop() and done < generations
            if stopped or now - saved > _SAVE_SECONDS:
                saved = now
                save(state)
            if stopped:
                return None
        save(state)
    finally:
        log.close()
    return curve


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


def _load(
    path: Path, template: SearchState, generations: int
) -> tuple[SearchState, list[Row], tuple[float, float]]:
    _, metadata, arrays = load_archive(path, _KIND)
    try:
        if metadata["generations"] != generations:
            raise FileFormatError(
                f"{path} is of a search of {metadata['generations']} generations, not {generations}"
            )
        state = unflatten(template, "state", metadata["scalars"], arrays)
        cpu, wall = metadata["clocks"]
        return state, list(metadata["curve"]), (float(cpu), float(wall))
    except (KeyError, TypeError, ValueError) as error:
        raise FileFormatError(f"{path} lacks {error}") from error


def _say(done: int, generations: int, row: Row, clocks: Any) -> None:
    cpu, wall = clocks
    left = wall / max(done, 1) * (generations - done)
    figures = ", ".join(
        f"{name} {value:.4g}"
        for name, value in row.items()
        if name not in ("generation", "evaluations", "cpu_seconds", "seconds")
    )
    print(
        f"generation {done:,} of {generations:,}, {cpu:.0f} CPU s, {left:.0f} s left; {figures}",
        file=sys.stderr,
        flush=True,
    )
