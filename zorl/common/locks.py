"""A folder is written by one process at a time; the system frees the lock of one that dies."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zorl.common.errors import RunFolderError

try:
    import fcntl as fcntl
except ModuleNotFoundError:  # Windows
    fcntl = None  # type: ignore[assignment]
try:
    import msvcrt as _msvcrt

    msvcrt: Any = _msvcrt
except ModuleNotFoundError:  # everywhere else
    msvcrt = None

LOCK_NAME = ".lock"
_FAR = 1 << 30  # Windows keeps others from reading what is locked: not the words at the beginning
_HELD: set[int] = set()  # descriptors of this process


class FolderLock:
    """The right to write into a folder.

    The file .lock in it says who has the right. It is removed at the end; one that a killed process
    left behind is free. Where a file system has no locks, nobody is refused.

    Args:
        folder: is made where it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / LOCK_NAME
        self._depth = 0

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock; it may be held again inside.

        Raises:
            RunFolderError: somebody else holds it, with who that is; or it cannot be written.
        """
        descriptor = self._acquire() if self._depth == 0 else None
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if descriptor is not None:
                self._release(descriptor)

    def _acquire(self) -> int:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunFolderError(
                f"the folder {self.folder} cannot be made ({error.strerror}); choose another with "
                "--out"
            ) from error
        while True:
            try:
                descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
            except OSError as error:
                raise RunFolderError(
                    f"nothing can be written into {self.folder} ({error.strerror})"
                ) from error
            if not _try_lock(descriptor):
                words = _words(descriptor)
                os.close(descriptor)
                raise RunFolderError(
                    f"{self.folder} is in use: {words} writes into it; wait until it has ended, "
                    "or stop it"
                )
            if _is_at(descriptor, self._path):
                break
            os.close(descriptor)  # its holder removed it in between
        os.ftruncate(descriptor, 0)
        with contextlib.suppress(OSError):  # a full disk: locked all the same
            os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode())
        _HELD.add(descriptor)
        return descriptor

    def _release(self, descriptor: int) -> None:
        if descriptor not in _HELD:  # a fork
            return
        _HELD.discard(descriptor)
        if fcntl is not None:  # before others can have it; elsewhere an open file stays
            self._path.unlink(missing_ok=True)
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    """Lock a file, or say that somebody else has; freed when the file is closed."""
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        elif msvcrt is not None:
            os.lseek(descriptor, _FAR, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            os.lseek(descriptor, 0, os.SEEK_SET)
    except (BlockingIOError, PermissionError):  # the second on Windows
        return False
    except OSError:  # of a file system without locks
        return True
    return True


def _words(descriptor: int) -> str:
    os.lseek(descriptor, 0, os.SEEK_SET)
    return os.read(descriptor, 1000).decode(errors="replace") or "another process"


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether an open file is still the one of this name."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False


def _let_go() -> None:
    """In a fork: it does not keep what its parent had locked."""
    for descriptor in _HELD:
        os.close(descriptor)
    _HELD.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)
