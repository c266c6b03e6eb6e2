"""A batch in memory that parent and workers share, and how its jobs are handed out.

The memory is an anonymous file. It has no name that could be left behind: it is gone with the last
process that holds it, however these end.
"""

from __future__ import annotations

import contextlib
import math
import mmap
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, fields
from multiprocessing import reduction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zorl.common.spawning import fcntl
from zorl.common.streams import Seeds
from zorl.policies.normalization import Normalizer
from zorl.rollout.batch import EpisodeBatch, EpisodeResults
from zorl.rollout.tracking import BEGUN, OVER, WAITING

_ALIGNMENT = 64  # bytes: arrays of two workers share no cache line
_LOCKED_BYTES = 8  # the pool's counter, at the start of the file
_NOBODY = -1


class MemoryFile:
    """An anonymous file that each process maps into its memory.

    It reaches a process only as an argument of its start.
    """

    def __init__(self) -> None:
        if hasattr(os, "memfd_create"):
            self._fd = os.memfd_create("zorl")
        else:
            with tempfile.TemporaryFile() as file:
                self._fd = os.dup(file.fileno())
        self._map: mmap.mmap | None = None

    def __getstate__(self) -> Any:
        return reduction.DupFd(self._fd)

    def __setstate__(self, state: Any) -> None:
        self._fd = state.detach()
        self._map = None

    def mapped(self, size: int) -> mmap.mmap:
        """At least `size` bytes of it; the file grows where it is smaller.

        Raises:
            OSError: there is not so much memory.
        """
        if self._map is None or len(self._map) < size:
            room = os.fstat(self._fd).st_size
            if room < size:
                room = max(size, 2 * room)
                os.ftruncate(self._fd, room)
                if hasattr(os, "posix_fallocate"):  # else a full memory is a SIGBUS later on
                    os.posix_fallocate(self._fd, 0, room)
            self._map = mmap.mmap(self._fd, room)
        return self._map

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Excludes other processes, not threads; the kernel frees the lock of one that dies."""
        fcntl.lockf(self._fd, fcntl.LOCK_EX, _LOCKED_BYTES)
        try:
            yield
        finally:
            fcntl.lockf(self._fd, fcntl.LOCK_UN, _LOCKED_BYTES)

    def close(self) -> None:
        """Give the file back; arrays over it stay valid as long as they live."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1
        self._map = None


@dataclass(frozen=True)
class Header:
    """What a worker is sent about a batch; the rest lies in the shared memory.

    Attributes:
        number: of the batch: 1, 2, …
        shape: (n, d) of the thetas.
        seeds: of the episodes.
        normalizer: of the batch.
        workers: how many there are.
        chunk: most jobs that a worker takes at a time.
        most_steps: of the batch.
    """

    number: int
    shape: tuple[int, int]
    seeds: Seeds
    normalizer: Normalizer
    workers: int
    chunk: int
    most_steps: int | None = None


class SharedBatch:
    """The arrays of one batch as a process sees them; equal headers give equal positions.

    Attributes:
        batch: with its thetas in shared memory.
        results: in shared memory.
        status: (k,) how far each job is; see `zorl.rollout.tracking`.
        owners: (k,) index of the worker that last took the job, −1 where none did.
        heartbeats: (workers,) a count that grows whenever a worker makes progress.
    """

    def __init__(self, memory: MemoryFile, header: Header) -> None:
        self._memory = memory
        self._header = header
        n, d = header.shape
        k = n * len(header.seeds)
        template = EpisodeResults.empty(
            EpisodeBatch(np.zeros((n, 0), np.float32), header.seeds, header.normalizer)
        )
        wanted: list[tuple[Any, tuple[int, ...]]] = [
            (np.int64, (1,)),
            (np.int64, (header.workers,)),
            (np.int32, (k,)),
            (np.uint8, (k,)),
            (np.float32, (n, d)),
            *((values.dtype, values.shape) for values in vars(template).values()),
        ]
        offsets, end = [], 0
        for dtype, shape in wanted:
            offsets.append(end)
            bytes_needed = math.prod(shape) * np.dtype(dtype).itemsize
            end += -(-bytes_needed // _ALIGNMENT) * _ALIGNMENT
        buffer = memory.mapped(max(end, 1))
        arrays: list[NDArray[Any]] = [
            np.ndarray(shape, dtype, buffer, offset)
            for (dtype, shape), offset in zip(wanted, offsets, strict=True)
        ]
        self._taken, self.heartbeats, self.owners, self.status, thetas, *results = arrays
        self._thetas = thetas.view()
        thetas.flags.writeable = False
        self.batch = EpisodeBatch(
            thetas, header.seeds, header.normalizer, most_steps=header.most_steps
        )
        names = [item.name for item in fields(EpisodeResults)]
        self.results = EpisodeResults(**dict(zip(names, results, strict=True)))

    def write(self, batch: EpisodeBatch) -> None:
        """Write a batch, with no job taken."""
        self._thetas[...] = batch.thetas
        self._taken[0] = 0
        self.owners[...] = _NOBODY
        self.status[...] = WAITING
        self.results.lengths[...] = 0

    def read(self) -> EpisodeResults:
        """A copy of the results, outside the shared memory."""
        return EpisodeResults(
            **{name: values.copy() for name, values in vars(self.results).items()}
        )

    @property
    def pool_is_empty(self) -> bool:
        """Whether every job was handed out once."""
        return bool(self._taken[0] >= len(self.batch))

    def left(self) -> list[int]:
        """The jobs that are not over."""
        return np.flatnonzero(self.status != OVER).tolist()

    def reclaim(self, worker: int) -> tuple[list[int], list[int]]:
        """Take from a worker the jobs that are not over: those begun, and those still waiting."""
        mine = self.owners == worker
        begun = np.flatnonzero(mine & (self.status == BEGUN))
        waiting = np.flatnonzero(mine & (self.status == WAITING))
        self.owners[begun] = self.owners[waiting] = _NOBODY
        self.status[begun] = WAITING
        return begun.tolist(), waiting.tolist()

    def assign(self, worker: int, jobs: list[int]) -> None:
        """Note that a worker is to play these jobs, again or for the first time."""
        self.owners[jobs] = worker
        self.results.lengths[jobs] = 0  # forget results that were half written

    def claim(self, worker: int) -> Iterator[int]:
        """Take jobs from the pool, a chunk at a time, until it is empty.

        Chunks shrink towards the end, so that uneven episodes leave no worker idle for long.
        """
        k, header = len(self.batch), self._header
        while True:
            with self._memory.locked():
                first = int(self._taken[0])
                share = (k - first) // (4 * header.workers)
                last = min(first + min(max(share, 1), header.chunk), k)
                self._taken[0] = last
            if first >= k:
                return
            self.owners[first:last] = worker
            yield from range(first, last)
