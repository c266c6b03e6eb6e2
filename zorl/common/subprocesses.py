"""Run calls in separate processes, a few at a time, and stop them together."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any

from zorl.common.spawning import (
    CAN_BLOCK,
    blocked,
    one_thread,
    watch_parent,
    without_missing_program,
)
from zorl.common.stop_signals import HANGUP

_POLL_SECONDS = 0.1


def available_cores() -> int:
    """How many cores this process may use; all of the machine where the system does not say."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_in_processes(
    target: Callable[..., None],
    calls: Sequence[tuple[Any, ...]],
    jobs: int,
    stop: Callable[[], bool],
    grace: float = 30.0,
) -> Generator[tuple[int, int], None, None]:
    """Call `target(*calls[i])` for every i, each in a spawned process with one numerical thread.

    Every call has its own process instead of a pool, so a process that crashes or runs out of
    memory does not affect the others. The processes ignore SIGINT and SIGHUP, which a
    terminal sends to all of them. They end when their parent ends, for any reason, and when the
    iterator is exhausted or closed.

    Args:
        target: a function at module level; it should end soon after a SIGTERM.
        calls: its arguments, which must be picklable.
        jobs: number of processes at a time.
        stop: called several times a second. If it returns True no further process is started, and
            the running ones get a SIGTERM.
        grace: seconds after the SIGTERM until they are killed.

    Yields:
        (i, exit code) as the processes end; negative is the signal that ended one.
    """
    context = multiprocessing.get_context("spawn")
    todo = deque(enumerate(calls))
    running: dict[int, tuple[int, BaseProcess]] = {}  # by sentinel
    deadline = math.inf
    try:
        while running or todo:
            if deadline == math.inf and stop():
                deadline = time.monotonic() + grace
                todo.clear()
                for _, process in running.values():
                    if CAN_BLOCK:  # elsewhere Ctrl-C has reached them, and this would not save
                        process.terminate()
            while todo and len(running) < jobs:
                index, arguments = todo.popleft()
                with one_thread(), without_missing_program(), blocked(signal.SIGINT, HANGUP):
                    process = context.Process(target=_call, args=(target, arguments))
                    process.start()
                    running[process.sentinel] = index, process
            for ready in wait(list(running), _POLL_SECONDS):
                assert isinstance(ready, int)
                index, process = running.pop(ready)
                process.join()
                assert process.exitcode is not None
                yield index, process.exitcode
            if time.monotonic() > deadline:
                return
    finally:
        for _, process in running.values():
            process.kill()
        for _, process in running.values():
            process.join()


def _call(target: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    watch_parent()
    target(*arguments)
