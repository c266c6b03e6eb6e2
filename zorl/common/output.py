"""Output that nobody can read any more, as on a terminal that was closed, costs no results."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import IO, Any


@contextlib.contextmanager
def if_readable(stream: IO[str]) -> Iterator[None]:
    """What is written to `stream` here is dropped, now and later, where it cannot be written."""
    try:
        yield
        stream.flush()
    except OSError:
        silence(stream)


def open_closed_streams() -> None:
    """Let standard streams that were closed (`>&-`, pythonw) read nothing and write nowhere.

    Python has None in their place. Opened first of all, so that no file of a run gets the number of
    one, into which libraries write.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: PTH123, SIM115


def silence(stream: Any) -> None:
    """Let whatever is written to a stream from now on go nowhere."""
    with contextlib.suppress(OSError, ValueError, AttributeError):  # no file of the system
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def tell(text: str) -> None:
    """Write a line to standard error, if anybody can read it."""
    if sys.stderr is None:  # closed
        return
    with if_readable(sys.stderr):
        print(text, file=sys.stderr)
