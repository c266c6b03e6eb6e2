"""Take from Python what Windows, or macOS, does not have: first of all in a process of its own."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

_MODULES = ("fcntl", "termios", "tty", "pty", "resource", "grp", "pwd")
_OS = (
    *("memfd_create", "posix_fallocate", "sched_getaffinity", "sched_setaffinity", "getuid"),
    *("geteuid", "fork", "killpg", "O_ASYNC"),
)
_SIGNALS = ("SIGHUP", "SIGIO", "SIGPIPE", "SIGKILL", "SIGBUS", "SIGCHLD", "SIGUSR1")


def hide(system: str) -> None:
    """Hide what a system lacks: "windows" or "macos"."""
    gone: tuple[tuple[Any, tuple[str, ...]], ...] = ((os, _OS[:4]),)
    if system == "windows":
        for name in _MODULES:
            sys.modules[name] = None  # type: ignore[assignment]
        gone = ((os, _OS), (signal, (*_SIGNALS, "pthread_sigmask", "pthread_kill")))
    for module, names in gone:
        for name in names:
            if hasattr(module, name):
                delattr(module, name)
