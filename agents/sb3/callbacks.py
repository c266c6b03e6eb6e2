"""What SB3's callbacks need around them: counts that jump, what they log, files that both read.

This module imports SB3, and is imported where callbacks of SB3 are used.
"""

from __future__ import annotations

import functools
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, SupportsIndex

import numpy as np
from stable_baselines3.common.callbacks import ProgressBarCallback
from stable_baselines3.common.logger import Logger

from zorl.common.storage import Arrays, archive_members


class Count(int):
    """A count of steps that grew by more than one since a callback was last called.

    SB3's callbacks, and those of its users, ask `n_calls % frequency == 0` after every step. A
    search calls them once a generation: a multiple that was passed since then counts as reached,
    once. In everything else this is an int.

    Args:
        value: the count.
        before: what it was at the last call.

    Example:
        >>> Count(1200, before=900) % 1000, Count(1200, before=900) % 500, Count(1200, 1100) % 500
        (0, 0, 200)
    """

    before: int

    def __new__(cls, value: int = 0, before: int | None = None) -> Count:
        """See the class; by default it has just grown by one."""
        made = super().__new__(cls, value)
        made.before = value - 1 if before is None else before
        return made

    def __mod__(self, frequency: Any) -> Any:
        """0 where a multiple of the frequency was reached or passed, else the usual remainder."""
        value = int(self)
        if frequency and frequency > 0 and value // frequency > self.before // frequency:
            return 0
        return value % frequency

    def __add__(self, more: Any) -> Any:
        """The same jump, later."""
        if isinstance(more, int):
            return Count(int(self) + more, self.before + more)
        return int(self) + more

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        return int, (int(self),)


def count_steps(callback: Any, now: int, before: int) -> None:
    """Have a callback count env steps: its next call is that of step `now`.

    What is called for every step counts steps, also in a list. What an event calls counts events.

    Args:
        callback: of SB3, about to be called.
        now: env steps that it will have seen then.
        before: env steps that it has seen.
    """
    callback.n_calls = Count(now - 1, before - 1)  # it adds one itself
    for inner in getattr(callback, "callbacks", ()):
        if hasattr(inner, "on_step"):
            count_steps(inner, now, before)


def advance_bars(callback: Any, steps: int) -> None:
    """Have progress bars show env steps: SB3's moves by one step of each environment a call.

    Args:
        callback: of SB3, just called.
        steps: env steps since its call before.
    """
    if isinstance(callback, ProgressBarCallback):
        callback.pbar.update(steps - callback.training_env.num_envs)
    for inner in getattr(callback, "callbacks", ()):
        advance_bars(inner, steps)


class FiguresLogger(Logger):
    """A logger of SB3 that keeps numbers for the records of a run and writes nothing."""

    def __init__(self) -> None:
        super().__init__(None, [])
        self._figures: dict[str, float] = {}

    def dump(self, step: int = 0) -> None:
        """Keep what was recorded, and forget it, as SB3's logger does once it has written."""
        for name, value in self.name_to_value.items():
            number = isinstance(value, (bool, int, float, np.number, np.bool_))
            if number and not name.startswith("time/"):
                self._figures[name] = float(value)
        super().dump(step)

    def take(self) -> dict[str, float]:
        """The numbers by name since the last call."""
        self.dump()
        figures, self._figures = self._figures, {}
        return figures


def with_suffix(path: str | Path) -> Path:
    """The file that SB3 writes for this path: it adds .zip to a name without an extension."""
    path = Path(path)
    return path if path.suffix else path.with_name(f"{path.name}.zip")


@contextmanager
def saved_for_both(
    model: Any, contents: Callable[[], tuple[dict[str, Any], Arrays]]
) -> Iterator[None]:
    """In here, `model.save` writes files that SB3 loads, and zorl as well.

    Args:
        model: of SB3.
        contents: metadata and arrays of the agent's file.
    """

    @functools.wraps(model.save)
    def save(path: Any, exclude: Any = None, include: Any = None) -> None:
        # SB3 writes all attributes of the model, and this function is one of them in here.
        type(model).save(model, path, [*(exclude or ()), "save"], include)
        if isinstance(path, (str, Path)):
            with zipfile.ZipFile(with_suffix(path), "a") as archive:
                for name, data in archive_members("agent", *contents()):
                    archive.writestr(name, data)

    model.save = save
    try:
        yield
    finally:
        del model.save
