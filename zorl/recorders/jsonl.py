"""One JSON line per record, for programs that read a run afterwards."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from zorl.common.storage import write_atomically
from zorl.recorders.base import BaseRecorder, Record, Run, folder_of
from zorl.recorders.registry import register_recorder


@register_recorder("jsonl")
class JsonlRecorder(BaseRecorder):
    """Writes the scalars of every record as a line of JSON.

    After a resume, lines from beyond the checkpoint (and a torn last line) are dropped first, so
    that an interrupted run leaves the same lines as an unbroken one.

    Args:
        path: of the file; None: generations.jsonl in the run's folder.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self._path = None if path is None else Path(path)
        self._file: IO[str] | None = None

    def start(self, run: Run) -> None:
        """See `Recorder`."""
        super().start(run)
        path = self._path or folder_of(run.folder, "jsonl") / "generations.jsonl"
        if path.exists():
            kept = [
                line
                for line in path.read_text(encoding="utf-8", errors="replace").splitlines(
                    keepends=True
                )
                if _index(line) < run.start_index
            ]
            write_atomically(path, "".join(kept).encode())
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", buffering=1, encoding="utf-8")

    def record(self, record: Record) -> None:
        """See `Recorder`."""
        if self._file is None:
            return
        figures = {
            name: value if math.isfinite(value) else None for name, value in record.scalars.items()
        }
        line = {"index": record.index, "env_steps": record.env_steps, **figures}
        try:
            self._file.write(json.dumps(line) + "\n")
        except OSError as error:
            error.filename = self._file.name  # a full disk names no file
            raise

    def finish(self, result: Mapping[str, Any]) -> None:
        """See `Recorder`."""
        super().finish(result)
        if self._file is not None:
            file, self._file = self._file, None
            with contextlib.suppress(OSError):  # what could not be written was an error before
                file.close()


def _index(line: str) -> float:
    """The record number of a line; infinite for a torn one."""
    try:
        return float(json.loads(line)["index"]) if line.endswith("\n") else math.inf
    except (ValueError, KeyError, TypeError):
        return math.inf
