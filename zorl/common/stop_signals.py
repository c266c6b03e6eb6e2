"""A stop flag that is set by SIGINT, SIGTERM and SIGHUP.

Whoever trains looks at the flag between two generations. What plays episodes calls
`raise_if_overdue` as it goes, so that long generations, validations and endless episodes are left
too: they are given up when `PATIENCE` seconds have passed since the signal.
"""

from __future__ import annotations

import signal
import threading
import time
from contextlib import AbstractContextManager
from types import FrameType
from typing import Any

from zorl.common.errors import Interrupted

HANGUP: signal.Signals | None = getattr(signal, "SIGHUP", None)  # not on Windows
STOPPING = tuple(n for n in (signal.SIGINT, signal.SIGTERM, HANGUP) if n is not None)

PATIENCE = 2.0  # seconds from a signal until episodes under way are given up

_asked: float | None = None  # when the first signal came, by time.monotonic; signals are global


def raise_if_overdue() -> None:
    """Give up what is under way, if a `StopSignals` got a signal more than `PATIENCE` seconds ago.

    Raises:
        Interrupted: it did.
    """
    if _asked is not None and time.monotonic() - _asked > PATIENCE:
        raise Interrupted("a signal asked to stop: the episodes under way were given up")


class StopSignals(AbstractContextManager["StopSignals"]):
    """Turns SIGINT, SIGTERM and SIGHUP into a flag; a second SIGINT raises KeyboardInterrupt.

    SIGHUP comes when the terminal is closed. Where it is ignored, as below nohup, it stays so.

    Outside the main thread Python allows no handlers, so the flag is never set.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __call__(self) -> bool:
        """Whether a signal arrived."""
        return self.received is not None

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            for number in STOPPING:
                if number != HANGUP or signal.getsignal(number) != signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._handle)
        return self

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        global _asked
        self.received = signal.Signals(number)
        _asked = _asked or time.monotonic()

    def __exit__(self, *exc: object) -> None:
        global _asked
        _asked = None
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
