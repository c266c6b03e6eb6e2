"""Start worker processes that end when their parent ends, for any reason."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import select
import signal
import sys
import threading
from collections.abc import Iterator
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

from zorl.common.errors import ConfigurationError

try:
    import fcntl as fcntl
except ModuleNotFoundError:  # Windows; `require_posix` says so where processes are asked for
    fcntl = None  # type: ignore[assignment]

CAN_BLOCK = hasattr(signal, "pthread_sigmask")  # not on Windows
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def require_posix() -> None:
    """Refuse worker processes on a system that does not have what they need.

    Raises:
        ConfigurationError: on Windows.
    """
    if fcntl is None:
        raise ConfigurationError(
            "worker processes need fcntl, which this system does not have: leave out workers and "
            "timeout (one process plays then, and compiled twins on all cores)"
        )


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Limit the numerical libraries of processes started in this context to one thread."""
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
def without_missing_program() -> Iterator[None]:
    """Let processes started here not import the main program where it has no file.

    Of `python - <<END`, whose "file" is <stdin>, and of a script that was removed, they would die.
    """
    main = sys.modules["__main__"]
    file = getattr(main, "__file__", None)
    if file is None or getattr(main, "__spec__", None) is not None or Path(file).exists():
        yield
        return
    del main.__file__
    try:
        yield
    finally:
        main.__file__ = file


@contextlib.contextmanager
def blocked(*signals: signal.Signals | None) -> Iterator[None]:
    """Block signals in processes started in this context; None stands for one that is not there.

    Ctrl-C in a terminal, its end (SIGHUP) and the SIGTERM of a service manager reach the parent and
    its workers. Only the parent shall handle them. A new process could set a handler only after its
    imports, but a signal mask is inherited. A signal that arrives meanwhile reaches this process
    afterwards.
    """
    resource_tracker.ensure_running()  # its own start, left to the first process, would unblock
    if not CAN_BLOCK:
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {n for n in signals if n is not None})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_with_parent() -> None:
    """Let this spawned process end as soon as its parent has ended.

    On Linux the kernel does that. The parent holds the other end of the sentinel's pipe. When that
    end closes, even by SIGKILL, the kernel sends SIGIO, which by default ends the process. A
    waiting thread, which other systems have, does less: it cannot run while an environment hangs in
    foreign code that holds the interpreter's lock.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    if sys.platform != "linux":
        watch_parent()
        return
    sentinel = parent.sentinel
    fcntl.fcntl(sentinel, fcntl.F_SETOWN, os.getpid())
    flags = fcntl.fcntl(sentinel, fcntl.F_GETFL)
    fcntl.fcntl(sentinel, fcntl.F_SETFL, flags | os.O_ASYNC)
    if select.select([sentinel], [], [], 0)[0]:  # the parent had already ended
        os._exit(1)


def watch_parent() -> None:
    """End this spawned process when its parent has ended, unless foreign code keeps it busy."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent,), daemon=True).start()


def _end_after(parent: Any) -> None:
    parent.join()
    os._exit(1)
