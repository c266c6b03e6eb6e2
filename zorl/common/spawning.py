"""How worker processes are started, and how they end with their parent, however it ends."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import select
import signal
from collections.abc import Iterator
from multiprocessing import resource_tracker

from zorl.common.errors import ConfigurationError

try:
    import fcntl as fcntl
except ModuleNotFoundError:  # Windows; `require_posix` says so where processes are asked for
    fcntl = None  # type: ignore[assignment]

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def require_posix() -> None:
    """Refuse worker processes on a system that does not have what they need.

    Raises:
        ConfigurationError: on Windows.
    """
    if fcntl is None:
        raise ConfigurationError(
            "worker processes need Linux (or another system with fcntl): use one process here"
        )


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Numerical libraries of processes started in here use one thread."""
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def blocked(*signals: signal.Signals) -> Iterator[None]:
    """Processes started in here never see these signals, which are sent to whole groups of them.

    Ctrl-C in a terminal and the SIGTERM of a service manager reach parent and workers alike, and
    are the parent's to handle. Unlike a handler, which a new process could set only after its
    imports, the mask is inherited. One that arrives meanwhile reaches this process afterwards.
    """
    resource_tracker.ensure_running()  # its own start, left to the first process, would unblock
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_with_parent() -> None:
    """Let the kernel end this spawned process as soon as its parent is gone.

    The parent holds the other end of the pipe behind its sentinel. When that end closes, also by
    SIGKILL, the kernel sends SIGIO, whose default is to end the process. A thread that waits for
    the same could not run while an environment hangs in foreign code with the interpreter's lock.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    sentinel = parent.sentinel
    fcntl.fcntl(sentinel, fcntl.F_SETOWN, os.getpid())
    flags = fcntl.fcntl(sentinel, fcntl.F_GETFL)
    fcntl.fcntl(sentinel, fcntl.F_SETFL, flags | os.O_ASYNC)
    if select.select([sentinel], [], [], 0)[0]:  # it was gone before
        os._exit(1)
