"""Tracebacks for the author of an environment: without the frames of what called it."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path

import zorl

# The second is of a checkout without links, where two packages lie beside the others.
_ZORL = [
    Path(zorl.__file__).parent,
    *(Path(beside, name) for beside in list(zorl.__path__)[1:] for name in ("agents", "envs")),
]
# Of Gymnasium: what lies between zorl and an environment.
_BETWEEN = ("core.py", "wrappers", "utils", "envs/registration.py")


def own_traceback(error: BaseException) -> str:
    """The traceback of an exception without the frames of zorl and of wrappers that lead to it.

    What an environment itself calls is shown. Exceptions behind it are shown likewise. Where no
    frame is an environment's, the exception alone is left, without "Traceback".
    """
    shown = traceback.TracebackException.from_exception(error)
    parts = [shown]
    callers = _callers()
    for part in parts:
        own = [i for i, frame in enumerate(part.stack) if not _is_within(frame.filename, callers)]
        if not (own or shown.__cause__ or shown.__context__):
            return "".join(shown.format_exception_only())
        kept = [part.stack[i] for i in own] + part.stack[own[-1] + 1 :] if own else []
        part.stack = traceback.StackSummary.from_list(kept)
        parts += [other for other in (part.__cause__, part.__context__) if other is not None]
    return "".join(shown.format())


def _callers() -> list[Path]:
    gymnasium = sys.modules.get("gymnasium")
    found = [*_ZORL]
    if gymnasium is not None and gymnasium.__file__ is not None:
        found += [Path(gymnasium.__file__).parent / name for name in _BETWEEN]
    return found


def _is_within(file: str, places: list[Path]) -> bool:
    return any(place == Path(file) or place in Path(file).parents for place in places)
