"""Recorders of a user's own, as "toy_recorders:Class"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zorl.recorders import BaseRecorder, Record, Run


class Tally(BaseRecorder):
    """Counts every n-th record, and writes the count into the run's folder."""

    def __init__(self, every: int = 1) -> None:
        self.every = every
        self.count = 0

    def start(self, run: Run) -> None:
        self.folder = run.folder

    def record(self, record: Record) -> None:
        self.count += record.index % self.every == 0

    def finish(self, result: Mapping[str, Any]) -> None:
        if self.folder is not None:
            (self.folder / "tally.txt").write_text(str(self.count))


class Half:
    """No recorder: it has one of the four methods."""

    def start(self, run: Run) -> None:
        pass
