"""One process at a time writes into a folder; the lock of a dead one is free."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from zorl.common import locks
from zorl.common.errors import RunFolderError
from zorl.common.locks import LOCK_NAME, FolderLock

HOLD = """
import sys
from pathlib import Path
from zorl.common.locks import FolderLock
with FolderLock(Path(sys.argv[1])).held():
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_process(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock until its standard input ends."""
    command = [sys.executable, "-c", HOLD, str(folder)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_the_folder_is_made_and_left_without_a_trace(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    lock = FolderLock(folder)
    with lock.held(), lock.held():
        assert (folder / LOCK_NAME).read_text().startswith(f"process {os.getpid()} on ")
        with pytest.raises(RunFolderError, match="in use"):
            FolderLock(folder).held().__enter__()
    assert list(folder.iterdir()) == []
    with FolderLock(folder).held():
        pass


def test_another_process_is_named_and_its_death_frees_the_lock(tmp_path: Path) -> None:
    with another_process(tmp_path) as process:
        with pytest.raises(RunFolderError, match=f"in use: process {process.pid} on .* writes"):
            FolderLock(tmp_path).held().__enter__()
        assert (tmp_path / LOCK_NAME).exists()
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert (tmp_path / LOCK_NAME).exists()
        with FolderLock(tmp_path).held():
            assert f"process {os.getpid()} on" in (tmp_path / LOCK_NAME).read_text()


def test_a_fork_neither_holds_nor_frees_the_lock(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    reader, writer = os.pipe()
    held = lock.held()
    held.__enter__()
    pid = os.fork()
    if pid == 0:
        os.close(writer)
        os.read(reader, 1)  # outlives the holder
        held.__exit__(None, None, None)
        os._exit(0)
    os.close(reader)
    held.__exit__(None, None, None)
    with FolderLock(tmp_path).held():  # although the fork still lives
        os.close(writer)
        assert os.waitpid(pid, 0)[1] == 0
        assert (tmp_path / LOCK_NAME).exists()


def test_a_lock_that_was_removed_while_waiting_is_taken_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, real, calls = tmp_path / LOCK_NAME, locks._try_lock, []

    def removed_first(descriptor: int) -> bool:
        calls.append(descriptor)
        if len(calls) == 1:
            path.unlink()
        return real(descriptor)

    monkeypatch.setattr(locks, "_try_lock", removed_first)
    with FolderLock(tmp_path).held():
        assert len(calls) == 2
        with pytest.raises(RunFolderError):
            FolderLock(tmp_path).held().__enter__()


def test_without_fcntl_msvcrt_locks_and_without_both_nobody_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []

    def locking(descriptor: int, mode: int, count: int) -> None:
        assert os.lseek(descriptor, 0, os.SEEK_CUR) > 1000  # the words stay readable
        if taken:
            raise PermissionError
        taken.append(descriptor)

    fake: Any = SimpleNamespace(locking=locking, LK_NBLCK=2)
    monkeypatch.setattr(locks, "fcntl", None)
    monkeypatch.setattr(locks, "msvcrt", fake)
    with FolderLock(tmp_path).held(), pytest.raises(RunFolderError, match=f"process {os.getpid()}"):
        FolderLock(tmp_path).held().__enter__()
    monkeypatch.setattr(locks, "msvcrt", None)
    with FolderLock(tmp_path).held(), FolderLock(tmp_path).held():
        pass


def test_a_file_system_without_locks_refuses_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(descriptor: int, operation: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(locks.fcntl, "flock", no_locks)
    with FolderLock(tmp_path).held(), FolderLock(tmp_path).held():
        pass
