"""Exceptions that zorl raises on purpose, and the nearest-name helper for their messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class ZorlError(Exception):
    """Base of every error that zorl raises for bad input or a failed run."""


class ConfigurationError(ZorlError, ValueError):
    """An option, a name or a combination of settings that cannot work."""


class UnknownNameError(ConfigurationError):
    """A name that is not registered; the message suggests the nearest ones."""

    def __init__(self, kind: str, name: str, known: Iterable[str], hint: str = "") -> None:
        known = sorted(known)
        self._arguments = (kind, name, known, hint)
        near = _nearest(str(name), known)
        if near:
            message = f"unknown {kind} {name!r}; did you mean {' or '.join(map(repr, near))}?"
        else:
            message = f"unknown {kind} {name!r}; known: {', '.join(known) or 'none'}"
        super().__init__(f"{message} {hint}".strip())

    def __reduce__(self) -> tuple[Any, ...]:
        # Pickle would call the class with the message alone; workers send their errors by pickle.
        return type(self), self._arguments


def _nearest(name: str, known: list[str]) -> list[str]:
    """The names most like this one, whatever their case; a poor guess would serve nobody."""
    by_lower: dict[str, list[str]] = {}
    for other in known:
        by_lower.setdefault(other.lower(), []).append(other)
    near = difflib.get_close_matches(name.lower(), by_lower, n=3, cutoff=0.65)
    return [other for lower in near for other in by_lower[lower]]


class UnsupportedSpaceError(ConfigurationError):
    """An observation or action space that policies cannot handle."""


class FileFormatError(ZorlError):
    """A file that is corrupt, truncated, from a newer format, or not zorl's."""


class RunFolderError(ZorlError):
    """A run folder that exists already, is missing, or belongs to another configuration."""


class EnvironmentFailure(ZorlError):
    """An environment raised, returned something unusable, hung, or its worker died.

    Attributes:
        job: index of the failed episode in its `EpisodeBatch`, if known.
        trace: traceback of the environment's own exception; "" if it raised none.
        replay: file in which the episode is saved for `zorl replay`, or None.
    """

    job: int | None = None
    trace: str = ""
    replay: str | None = None


class NonFiniteRewardError(EnvironmentFailure):
    """An environment returned a NaN or infinite reward or observation."""


class Interrupted(ZorlError):
    """A signal asked to stop, and the episodes under way were given up."""


class TooManySteps(ZorlError):
    """Episodes under way took more env steps than they may in all, and were given up.

    Attributes:
        most_steps: what they may take.
    """

    most_steps: int = 0


class GenerationGivenUp(TooManySteps):
    """A generation of a search went far beyond the budget."""


class DivergedError(ZorlError):
    """The parameters of a search left the range of the network's float32 numbers."""
