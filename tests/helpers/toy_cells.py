"""Cells of studies, for tests that compute them in other processes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


def square(x: int) -> int:
    return x * x


def where(x: int, folder: Path, data: Path | None, threads: int) -> list[Any]:
    folder.mkdir(parents=True)
    (folder / "note").write_text(str(x))
    return [str(data), threads, os.getpid()]


def faulty(x: int) -> int:
    if x == 1:
        raise ValueError("one is too many")
    return x


def until_stopped(x: int, folder: Path, stop: Callable[[], bool]) -> int | None:
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "saved").exists():
        return x
    (folder / "begun").touch()
    while not stop():
        pass
    (folder / "saved").touch()
    return None
